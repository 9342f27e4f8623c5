//! Temperature scaling (Guo et al., arXiv 1706.04599): the log-odds of a word are divided by one number a task, chosen on dev, so
//! that of the words to which a student gives a probability of 0.8 about eight in ten lie inside of an entity. The order of the words
//! stays as it is, and with it what can be reached by a threshold.

use serde::{Deserialize, Serialize};
use stillroom_schemas::Task;

/// Bins of equal width over the probabilities, as in Guo et al.
const BINS: usize = 15;

/// Beyond these a dev set is too small or too easy to say anything.
const TEMPERATURE_MIN: f64 = 0.2;
const TEMPERATURE_MAX: f64 = 5.0;

/// How far probabilities stay away from 0 and 1, where log-odds end: the precision of `f32` below 1.
const MARGIN: f32 = f32::EPSILON;

/// How well a task's probabilities are what they say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The log-odds of a word are divided by it: more than 1 where the network is too sure.
    pub temperature: f32,
    /// Expected calibration error of the words' probabilities, in 15 bins: the mean distance between the probability of lying
    /// inside of an entity and the share of words that do. Files of documents count alike, whatever their size. Each half of the
    /// documents is measured at the temperature that was fitted on the other.
    pub ece: f64,
    /// The same without a temperature.
    pub ece_uncalibrated: f64,
    /// The same over the words that are tagged: what is written with the entities.
    pub ece_tagged: f64,
    /// The same without a temperature.
    pub ece_tagged_uncalibrated: f64,
}

/// An output of a student: a task and its temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) task: Task,
    pub(crate) temperature: f32,
}

impl Head {
    /// As the network says it.
    pub(crate) fn uncalibrated(task: Task) -> Head {
        Head { task, temperature: 1.0 }
    }
}

/// A word's probability at a temperature.
pub(crate) fn calibrated(probability: f32, temperature: f32) -> f32 {
    if temperature == 1.0 { probability } else { sigmoid(log_odds(probability) / temperature) }
}

fn log_odds(probability: f32) -> f32 {
    let probability = probability.clamp(MARGIN, 1.0 - MARGIN);
    (probability / (1.0 - probability)).ln()
}

fn sigmoid(log_odds: f32) -> f32 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// A word of an annotated document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Word {
    /// The probability of class I.
    pub(crate) probability: f32,
    /// Whether it lies inside of an entity.
    pub(crate) is_inside: bool,
    /// How much it counts.
    pub(crate) weight: f64,
}

/// The temperature with the least cross-entropy; 1 of no words. The cross-entropy is convex in its inverse, so halving an interval
/// finds it.
pub(crate) fn best_temperature(words: &[Word]) -> f32 {
    if words.is_empty() {
        return 1.0;
    }
    let slope = |inverse: f64| -> f64 {
        let of_word = |word: &Word| {
            let log_odds = f64::from(log_odds(word.probability));
            let probability = 1.0 / (1.0 + (-inverse * log_odds).exp());
            word.weight * (probability - f64::from(u8::from(word.is_inside))) * log_odds
        };
        words.iter().map(of_word).sum()
    };
    let (mut low, mut high) = (TEMPERATURE_MAX.recip(), TEMPERATURE_MIN.recip());
    // Thirty halvings leave less than the precision of the result.
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high).recip() as f32
}

/// The expected calibration error to six decimals, which a manifest keeps exactly; 0 of no words.
pub(crate) fn calibration_error(words: impl IntoIterator<Item = Word>) -> f64 {
    let (mut gaps, mut total) = ([0.0; BINS], 0.0);
    for Word { probability, is_inside, weight } in words {
        let bin = ((probability * BINS as f32) as usize).min(BINS - 1);
        gaps[bin] += weight * (f64::from(probability) - f64::from(u8::from(is_inside)));
        total += weight;
    }
    let error = if total > 0.0 { gaps.iter().map(|gap| gap.abs()).sum::<f64>() / total } else { 0.0 };
    (error * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    /// Words of a student whose log-odds are `factor` times what they should be.
    fn words(factor: f32) -> Vec<Word> {
        let mut random = SmallRng::seed_from_u64(3);
        let word = |_| {
            let truth = random.random_range(-4.0f32..4.0);
            let is_inside = random.random::<f32>() < sigmoid(truth);
            Word { probability: sigmoid(truth * factor), is_inside, weight: 0.5 }
        };
        (0..20_000).map(word).collect()
    }

    #[test]
    fn the_temperature_undoes_what_makes_a_student_too_sure_or_too_unsure() {
        for factor in [0.5, 1.0, 2.0, 3.0] {
            let words = words(factor);
            let temperature = best_temperature(&words);
            assert!(
                (temperature / factor - 1.0).abs() < 0.05,
                "{temperature} for log-odds that are {factor} times too large"
            );
            let at = |word: &Word| Word { probability: calibrated(word.probability, temperature), ..*word };
            let after = calibration_error(words.iter().map(at));
            assert!(after < 0.015, "an error of {after} is left");
            if factor != 1.0 {
                assert!(calibration_error(words) > 3.0 * after);
            }
        }
    }

    #[test]
    fn a_temperature_divides_logits() {
        for logits in [[0.3, 2.0], [4.0, -1.0], [0.0, 0.0]] {
            let inside = |temperature: f64| {
                let [outside, inside] = logits.map(|logit: f64| (logit / temperature).exp());
                inside / (outside + inside)
            };
            for temperature in [0.5, 1.0, 4.0] {
                let said = calibrated(inside(1.0) as f32, temperature as f32);
                assert!((f64::from(said) - inside(temperature)).abs() < 1e-6, "{logits:?} at {temperature}: {said}");
            }
        }
    }

    #[test]
    fn a_temperature_keeps_the_order_of_words_and_stays_within_its_range() {
        let scale: Vec<f32> = (0..=1000).map(|step| calibrated(step as f32 / 1000.0, 2.5)).collect();
        assert!(scale.is_sorted() && scale[0] > 0.0 && scale[1000] < 1.0);
        let easy =
            [(0.9, true), (0.1, false)].map(|(probability, is_inside)| Word { probability, is_inside, weight: 1.0 });
        assert!((f64::from(best_temperature(&easy)) - TEMPERATURE_MIN).abs() < 1e-3);
        let hopeless = easy.map(|word| Word { is_inside: !word.is_inside, ..word });
        assert!((f64::from(best_temperature(&hopeless)) - TEMPERATURE_MAX).abs() < 1e-3);
        assert_eq!(best_temperature(&[]), 1.0);
    }

    #[test]
    fn the_error_is_the_weighted_distance_of_bins() {
        let words = [(0.95, true, 3.0), (0.94, false, 1.0), (0.2, false, 4.0)];
        let words = words.map(|(probability, is_inside, weight)| Word { probability, is_inside, weight });
        let expected = ((3.0 * (0.95 - 1.0) + 0.94f64).abs() + 4.0 * 0.2) / 8.0;
        assert!((calibration_error(words) - expected).abs() < 1e-6);
        assert_eq!(calibration_error([]), 0.0);
    }
}
