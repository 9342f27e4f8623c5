//! How reliable teachers are, from their agreement alone.
//!
//! Dawid and Skene, Maximum likelihood estimation of observer error-rates using the EM algorithm, Applied Statistics 28 (1979), for two
//! classes: a word is a mention or not, each teacher marks mentions with its sensitivity and leaves others alone with its
//! specificity, independently of the other teachers. Three teachers are the least that can be told apart.

use super::Pattern;
use serde::{Deserialize, Serialize};

/// Steps at most; a corpus of some ten thousand words takes some tens.
const STEPS_MAX: usize = 500;

/// The largest change of a parameter in a step that counts as none.
const TOLERANCE: f64 = 1e-7;

/// A word of each class that every teacher is taken to have got right half-way, so that no rate is 0 or 1.
const SMOOTHING: f64 = 0.5;

/// The parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelModel {
    /// The share of words that are mentions.
    pub prior: f64,
    /// Of each teacher, the share of mentions that it marks.
    pub sensitivity: Vec<f64>,
    /// Of each teacher, the share of other words that it leaves alone.
    pub specificity: Vec<f64>,
}

impl LabelModel {
    /// Fits the model to how often each pattern of so many teachers stands in a corpus. It begins with the share of teachers that
    /// mark a word as the chance that it is a mention.
    pub fn fit(counts: &[(Pattern, f64)], teachers: usize) -> LabelModel {
        let share = |pattern: Pattern| f64::from(pattern.count_ones()) / teachers as f64;
        let mut model = LabelModel::maximise(counts, teachers, share);
        for _ in 0..STEPS_MAX {
            let next = LabelModel::maximise(counts, teachers, |pattern| model.posterior(pattern));
            let change = next.distance(&model);
            model = next;
            if change < TOLERANCE {
                break;
            }
        }
        model
    }

    /// The parameters that are most likely if a word of a pattern is a mention with chance `posterior`.
    fn maximise(counts: &[(Pattern, f64)], teachers: usize, posterior: impl Fn(Pattern) -> f64) -> LabelModel {
        let (mut mentions, mut others) = (0.0, 0.0);
        let (mut marked, mut left) = (vec![0.0; teachers], vec![0.0; teachers]);
        for &(pattern, words) in counts {
            let chance = posterior(pattern);
            mentions += words * chance;
            others += words * (1.0 - chance);
            for teacher in 0..teachers {
                match pattern & (1 << teacher) != 0 {
                    true => marked[teacher] += words * chance,
                    false => left[teacher] += words * (1.0 - chance),
                }
            }
        }
        let rate = |part: f64, whole: f64| (part + SMOOTHING) / (whole + 2.0 * SMOOTHING);
        LabelModel {
            prior: rate(mentions, mentions + others),
            sensitivity: marked.into_iter().map(|part| rate(part, mentions)).collect(),
            specificity: left.into_iter().map(|part| rate(part, others)).collect(),
        }
    }

    /// The chance that a word of this pattern is a mention.
    pub fn posterior(&self, pattern: Pattern) -> f64 {
        // Logarithms, as the product of many rates is small.
        let mut odds = (self.prior / (1.0 - self.prior)).ln();
        for (teacher, (sensitivity, specificity)) in self.sensitivity.iter().zip(&self.specificity).enumerate() {
            odds += match pattern & (1 << teacher) != 0 {
                true => (sensitivity / (1.0 - specificity)).ln(),
                false => ((1.0 - sensitivity) / specificity).ln(),
            };
        }
        1.0 / (1.0 + (-odds).exp())
    }

    /// How many teachers it is of.
    pub fn teachers(&self) -> usize {
        self.sensitivity.len()
    }

    fn distance(&self, other: &LabelModel) -> f64 {
        let pairs =
            self.sensitivity.iter().zip(&other.sensitivity).chain(self.specificity.iter().zip(&other.specificity));
        pairs.map(|(one, other)| (one - other).abs()).fold((self.prior - other.prior).abs(), f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeMap;

    #[test]
    fn error_rates_of_simulated_annotators_are_recovered() {
        let (prior, sensitivity, specificity) = (0.1, [0.9, 0.7, 0.6, 0.85], [0.99, 0.98, 0.95, 0.9]);
        let mut random = SmallRng::seed_from_u64(1);
        let (mut counts, mut right, mut majority) = (BTreeMap::<Pattern, f64>::new(), Vec::new(), 0);
        for _ in 0..50_000 {
            let is_mention = random.random_bool(prior);
            let marks = |teacher: usize, random: &mut SmallRng| {
                random.random_bool(if is_mention { sensitivity[teacher] } else { 1.0 - specificity[teacher] })
            };
            let pattern = (0..4).map(|teacher| Pattern::from(marks(teacher, &mut random)) << teacher).sum();
            *counts.entry(pattern).or_default() += 1.0;
            majority += usize::from((pattern.count_ones() >= 2) == is_mention);
            right.push((pattern, is_mention));
        }
        let model = LabelModel::fit(&counts.into_iter().collect::<Vec<_>>(), 4);
        assert!((model.prior - prior).abs() < 0.01, "{model:?}");
        for teacher in 0..4 {
            assert!((model.sensitivity[teacher] - sensitivity[teacher]).abs() < 0.03, "{teacher}: {model:?}");
            assert!((model.specificity[teacher] - specificity[teacher]).abs() < 0.01, "{teacher}: {model:?}");
        }
        let correct =
            right.iter().filter(|(pattern, is_mention)| (model.posterior(*pattern) >= 0.5) == *is_mention).count();
        assert!(correct > majority, "{correct} words right, and {majority} by a vote");
    }

    #[test]
    fn a_corpus_without_a_word_or_a_mark_breaks_nothing() {
        for counts in [&[][..], &[(0, 100.0)]] {
            let model = LabelModel::fit(counts, 3);
            assert!(model.posterior(0).is_finite() && model.posterior(7).is_finite(), "{model:?}");
        }
    }
}
