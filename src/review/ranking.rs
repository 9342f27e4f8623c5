//! Where a student and an ensemble disagree, and how sure the student is there.
//!
//! Pure: probabilities of words and what the ensemble marks, in; runs of words, out.

use std::ops::Range;

/// Adjacent words on which a student and an ensemble disagree in one way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Disagreement {
    /// The words, by index.
    pub(super) words: Range<usize>,
    /// Whether it is the student that marks them; otherwise the ensemble does.
    pub(super) is_of_student: bool,
    /// The mean over the words of the probability that the student is right, by its own account, to four decimals.
    pub(super) confidence: f64,
}

/// The disagreements on a text for one task, by position. `probabilities` and `is_of_ensemble` have a value a word; a word is
/// marked by the student from `threshold` on.
pub(super) fn disagreements(probabilities: &[f32], threshold: f32, is_of_ensemble: &[bool]) -> Vec<Disagreement> {
    let is_of_student = |word: usize| probabilities[word] >= threshold;
    let kind = |word: usize| (is_of_student(word) != is_of_ensemble[word]).then(|| is_of_student(word));
    let words: Vec<usize> = (0..probabilities.len().min(is_of_ensemble.len())).collect();
    let runs = words.chunk_by(|one, other| kind(*one) == kind(*other));
    let disagreement = |run: &[usize]| {
        let (is_of_student, words) = (kind(run[0])?, run[0]..run[0] + run.len());
        let sum: f64 = words.clone().map(|word| f64::from(probabilities[word])).sum();
        let mean = sum / run.len() as f64;
        let confidence = if is_of_student { mean } else { 1.0 - mean };
        Some(Disagreement { words, is_of_student, confidence: (confidence * 1e4).round() / 1e4 })
    };
    runs.filter_map(disagreement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words stand as probability and, where the ensemble marks them, `*`; disagreements as words, who marks them, and confidence.
    fn check(words: &str, expected: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let probabilities: Vec<f32> = words.iter().map(|word| word.trim_end_matches('*').parse().unwrap()).collect();
        let ensemble: Vec<bool> = words.iter().map(|word| word.ends_with('*')).collect();
        let found = disagreements(&probabilities, 0.6, &ensemble).into_iter().map(|one| {
            let who = if one.is_of_student { "student" } else { "ensemble" };
            format!("{}..{} {who} {}", one.words.start, one.words.end, one.confidence)
        });
        assert_eq!(found.collect::<Vec<_>>().join(", "), expected, "{words:?}");
    }

    #[test]
    fn adjacent_words_of_one_kind_are_one() {
        check("0.1 0.9* 0.7*", "");
        check("0.75 0.875 0.1", "0..2 student 0.8125");
        check("0.75 0.9* 0.875", "0..1 student 0.75, 2..3 student 0.875");
        check("0.25* 0.5* 0.75 0.1", "0..2 ensemble 0.625, 2..3 student 0.75");
        check("", "");
    }

    #[test]
    fn the_threshold_decides_and_not_one_half() {
        check("0.5", "");
        check("0.5*", "0..1 ensemble 0.5");
        check("0.6", "0..1 student 0.6");
    }

    #[test]
    fn a_word_that_no_window_answers_for_is_as_sure_as_nothing() {
        check("NaN* 0.1", "0..1 ensemble NaN");
        check("NaN", "");
    }
}
