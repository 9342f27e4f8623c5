//! The order of a pass, the learning rate, and when to stop.

use super::run::Run;
use crate::backend::StudentBackend;
use crate::manifest::Recipe;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// The share of the steps in which the rate rises to its height, where it decays.
const WARM_UP: f64 = 0.06;

impl<B: StudentBackend> Run<'_, B> {
    pub(super) fn steps_per_pass(&self) -> usize {
        self.examples.len().div_ceil(self.config.recipe.batch)
    }

    /// Whether the last `patience` passes brought nothing.
    pub(super) fn is_stale(&self) -> bool {
        let best = best_index(&self.state.dev_f1);
        best.is_some_and(|best| self.state.dev_f1.len() - 1 - best >= self.config.patience)
    }

    /// The order of the examples in a pass depends on the seed and the pass alone, so that a resumed run sees the same.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        order.shuffle(&mut SmallRng::seed_from_u64(self.config.recipe.seed.wrapping_add(self.state.epoch as u64)));
        order
    }
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
