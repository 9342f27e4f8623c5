//! The order of a pass, the learning rate, and when to stop.

use super::run::Run;
use crate::backend::StudentBackend;
use crate::manifest::Recipe;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// The share of the steps in which the rate rises to its height, where it decays.
const WARM_UP: f64 = 0.06;

/// Batches whose examples are sorted together where batches are padded: so many that those of one have like lengths, and so few that
/// which examples meet differs from pass to pass.
const SORTED_BATCHES: usize = 16;

impl<B: StudentBackend> Run<'_, B> {
    pub(super) fn steps_per_pass(&self) -> usize {
        self.examples.len().div_ceil(self.config.recipe.batch)
    }

    /// Whether the last `patience` passes brought nothing.
    pub(super) fn is_stale(&self) -> bool {
        let best = best_index(&self.state.dev_f1);
        best.is_some_and(|best| self.state.dev_f1.len() - 1 - best >= self.config.patience)
    }

    /// The order of the examples in a pass depends on the seed and the pass alone, and on whether batches are padded, so that a
    /// resumed run sees the same.
    pub(super) fn order(&self) -> Vec<usize> {
        let lengths: Vec<usize> = self.examples.iter().map(|example| example.window.ids.len()).collect();
        let padded_batch = self.padded.is_some().then_some(self.config.recipe.batch);
        order_of(&lengths, padded_batch, self.config.recipe.seed.wrapping_add(self.state.epoch as u64))
    }
}

/// An order of examples of these lengths. Batches of `padded_batch`, where they are padded, have examples of like length, as each is
/// padded to its longest.
fn order_of(lengths: &[usize], padded_batch: Option<usize>, seed: u64) -> Vec<usize> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.shuffle(&mut random);
    let Some(batch) = padded_batch else { return order };
    for run in order.chunks_mut(SORTED_BATCHES * batch) {
        run.sort_by_key(|&example| lengths[example]);
    }
    let mut batches: Vec<&[usize]> = order.chunks(batch).collect();
    // One that is not full stays the last: a pass counts its batches from the first.
    batches[..lengths.len() / batch].shuffle(&mut random);
    batches.concat()
}

pub(super) fn learning_rate(recipe: &Recipe, step: usize, steps: usize) -> f64 {
    if !recipe.linear_decay {
        return recipe.learning_rate;
    }
    let (step, steps) = (step as f64, steps as f64);
    let rising = (step + 1.0) / (WARM_UP * steps);
    recipe.learning_rate * rising.min(1.0 - step / steps)
}

/// The first of the best.
pub(super) fn best_index(f1: &[f64]) -> Option<usize> {
    (0..f1.len()).max_by(|&a, &b| f1[a].total_cmp(&f1[b]).then(b.cmp(&a)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::padded::padded_length;
    use rand::Rng;

    const BATCH: usize = 8;

    /// Of all lengths, and of no whole number of batches.
    fn lengths() -> Vec<usize> {
        let mut random = SmallRng::seed_from_u64(1);
        (0..1003).map(|_| random.random_range(3..=512)).collect()
    }

    #[test]
    fn batches_that_are_padded_have_examples_of_like_length() {
        let lengths = lengths();
        let padding = |order: &[usize]| -> usize {
            let longest = |batch: &[usize]| batch.iter().map(|&example| lengths[example]).max().unwrap();
            let padded: usize = order.chunks(BATCH).map(|batch| batch.len() * padded_length(longest(batch))).sum();
            padded - lengths.iter().sum::<usize>()
        };
        for seed in 0..3 {
            let [mixed, alike] = [None, Some(BATCH)].map(|batch| order_of(&lengths, batch, seed));
            let [before, after] = [&mixed, &alike].map(|order| padding(order));
            assert!(3 * after < before, "{after} word pieces of padding where it was {before}");
            let mut seen = alike.clone();
            seen.sort_unstable();
            assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>(), "each example once");
            assert_eq!(alike, order_of(&lengths, Some(BATCH), seed), "the same for a run that goes on");
            assert_ne!(alike, order_of(&lengths, Some(BATCH), seed + 1), "another one for the next pass");
            let is_rising = alike.chunks(BATCH).map(|batch| lengths[batch[0]]).take(SORTED_BATCHES).is_sorted();
            assert!(!is_rising, "batches come by length");
        }
    }

    /// So that recipes of students that were published give them again.
    #[test]
    fn examples_that_are_not_padded_come_as_the_seed_shuffles_them() {
        let lengths = lengths();
        let mut shuffled: Vec<usize> = (0..lengths.len()).collect();
        shuffled.shuffle(&mut SmallRng::seed_from_u64(7));
        assert_eq!(order_of(&lengths, None, 7), shuffled);
    }
}
