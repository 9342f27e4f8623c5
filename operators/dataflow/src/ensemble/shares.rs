//! What several teachers say, as the share of them that says so.

use super::{Ensemble, Pattern, Rule, labelled, patterns};
use crate::{Share, SoftSpan, SoftSpans, Words};
use stillroom_schemas::{Span, Task};

impl Rule {
    /// Which share of `teachers` takes a word for a mention that those of `pattern` mark, from 0 to 1. Under weighted votes it is
    /// the share of the weight, under the label model the chance that the word is a mention, and else each teacher counts alike.
    /// As for [`Rule::marks`], what nobody marks is none: its share is 0, also where the label model leaves it a chance.
    pub fn share(&self, pattern: Pattern, teachers: usize) -> f64 {
        let is_marking = |teacher: &usize| pattern & (1 << teacher) != 0;
        let plain = || (0..teachers).filter(is_marking).count() as f64 / teachers as f64;
        match self {
            _ if pattern == 0 => 0.0,
            Rule::Union | Rule::Intersection | Rule::AtLeast { .. } => plain(),
            Rule::Weighted { weights } => match weights.iter().sum::<f64>() {
                all if all > 0.0 => (0..teachers).filter(is_marking).map(|teacher| weights[teacher]).sum::<f64>() / all,
                _ => plain(),
            },
            Rule::LabelModel(model) => model.posterior(pattern),
        }
    }
}

impl Ensemble {
    /// The soft labels of `task`: runs of words of one share. `labels` are in the order of the teachers.
    ///
    /// ```
    /// use stillroom_dataflow::ensemble::{Ensemble, Rule};
    /// use stillroom_dataflow::{Share, SoftSpan, Words};
    /// use stillroom_schemas::{Span, Task};
    ///
    /// let teachers = vec!["a".to_owned(), "b".to_owned()];
    /// let ensemble = Ensemble { teachers, rule: Rule::Union };
    /// let span = |start, end| Span { task: Task::Symptom, start, end };
    /// // "night sweats today": one marks both of the first words, the other the second alone.
    /// let words = Words(vec![0..5, 6..12, 13..18]);
    /// let soft = ensemble.shares(&words, Task::Symptom, &[&[span(0, 12)], &[span(6, 12)]]);
    /// let expected = [(0, 5, 0.5), (6, 12, 1.0)];
    /// assert_eq!(soft, expected.map(|(start, end, share)| SoftSpan { start, end, share: Share::new(share).unwrap() }));
    /// ```
    pub fn shares(&self, words: &Words, task: Task, labels: &[&[Span]]) -> Vec<SoftSpan> {
        let share = |pattern: Pattern| Share::new(self.rule.share(pattern, self.teachers.len()) as f32);
        words.soft_spans(patterns(words, task, labels).into_iter().map(share))
    }
}

/// The soft labels of the tasks that [`merge_tasks`](super::merge_tasks) merges.
pub fn share_tasks<'a, 'b>(
    ensembles: impl Iterator<Item = (Task, &'b Ensemble)>,
    words: &Words,
    label_of: impl Fn(&str, Task) -> Option<&'a [Span]>,
) -> SoftSpans {
    labelled(ensembles, label_of)
        .map(|(task, ensemble, labels)| (task, ensemble.shares(words, task, &labels)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::LabelModel;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    const TEACHERS: usize = 4;

    /// Every rule with weights and error rates that are drawn.
    fn rules(random: &mut SmallRng) -> Vec<Rule> {
        let mut rates = |least: f64| (0..TEACHERS).map(|_| random.random_range(least..0.99)).collect::<Vec<f64>>();
        let (weights, sensitivity, specificity) = (rates(0.01), rates(0.5), rates(0.5));
        let model = LabelModel { prior: 0.1, sensitivity, specificity };
        let mut rules = Rule::plain(TEACHERS);
        rules.extend([Rule::Weighted { weights }, Rule::LabelModel(model)]);
        rules
    }

    /// By its definition, one teacher after the other.
    fn expected(rule: &Rule, marks: &[bool]) -> f64 {
        if marks.iter().all(|marks| !marks) {
            return 0.0;
        }
        let part = |weights: &[f64]| -> f64 {
            let of = |wanted: &dyn Fn(bool) -> bool| -> f64 {
                weights.iter().zip(marks).filter(|(_, marks)| wanted(**marks)).map(|(weight, _)| weight).sum()
            };
            of(&|marks| marks) / of(&|_| true)
        };
        match rule {
            Rule::Union | Rule::Intersection | Rule::AtLeast { .. } => part(&[1.0; TEACHERS]),
            Rule::Weighted { weights } => part(weights),
            Rule::LabelModel(model) => {
                // Bayes: the joint chance of the votes with a mention, over that with either.
                let (mut mention, mut other) = (model.prior, 1.0 - model.prior);
                for (teacher, marks) in marks.iter().enumerate() {
                    let (sensitivity, specificity) = (model.sensitivity[teacher], model.specificity[teacher]);
                    mention *= if *marks { sensitivity } else { 1.0 - sensitivity };
                    other *= if *marks { 1.0 - specificity } else { specificity };
                }
                mention / (mention + other)
            }
        }
    }

    #[test]
    fn every_rule_gives_each_word_its_share() {
        let mut random = SmallRng::seed_from_u64(5);
        let words = Words((0..40).map(|word| 3 * word..3 * word + 2).collect());
        let names: Vec<String> = (0..TEACHERS).map(|teacher| format!("t{teacher}")).collect();
        for _ in 0..20 {
            let said: Vec<Vec<bool>> =
                (0..TEACHERS).map(|_| (0..words.len()).map(|_| random.random_bool(0.4)).collect()).collect();
            let span = |(word, _): (usize, &bool)| {
                let at = &words.0[word];
                Span { task: Task::Disease, start: at.start, end: at.end }
            };
            let marked = |said: &Vec<bool>| -> Vec<Span> {
                said.iter().enumerate().filter(|(_, marks)| **marks).map(span).collect()
            };
            let spans: Vec<Vec<Span>> = said.iter().map(marked).collect();
            let labels: Vec<&[Span]> = spans.iter().map(Vec::as_slice).collect();
            for rule in rules(&mut random) {
                let ensemble = Ensemble { teachers: names.clone(), rule };
                let soft = ensemble.shares(&words, Task::Disease, &labels);
                for (word, share) in words.shares(&soft).into_iter().enumerate() {
                    let marks: Vec<bool> = said.iter().map(|said| said[word]).collect();
                    let expected = expected(&ensemble.rule, &marks);
                    let about = format!("{} of {marks:?}: {share}, not {expected}", ensemble.rule.name());
                    assert!((f64::from(share) - expected).abs() < 1e-6, "{about}");
                    if matches!(ensemble.rule, Rule::Weighted { .. } | Rule::LabelModel(_)) {
                        let pattern = marks.iter().enumerate().map(|(at, marks)| Pattern::from(*marks) << at).sum();
                        // Within rounding either side of a half is right.
                        let is_marked = ensemble.rule.marks(pattern, TEACHERS);
                        assert!(is_marked == (expected >= 0.5) || (expected - 0.5).abs() < 1e-9, "{about}");
                    }
                }
                let is_one_run = |pair: &[SoftSpan]| pair[0].end + 1 == pair[1].start && pair[0].share == pair[1].share;
                assert!(!soft.windows(2).any(is_one_run), "{soft:?}");
                assert_eq!(ensemble.shares(&words, Task::Symptom, &labels), [], "nobody spoke of symptoms");
            }
        }
    }

    #[test]
    fn teachers_without_any_weight_count_alike() {
        let rule = Rule::Weighted { weights: vec![0.0; TEACHERS] };
        assert_eq!(rule.share(0b0011, TEACHERS), 0.5);
        assert_eq!(rule.share(0, TEACHERS), 0.0);
    }

    #[test]
    fn one_teacher_or_all_of_one_mind_say_what_is_said_without_shares() {
        let mut random = SmallRng::seed_from_u64(6);
        let weighted = Rule::Weighted { weights: vec![0.1, 0.2, 0.3, 0.7] };
        for rule in Rule::plain(TEACHERS).into_iter().chain([weighted]) {
            assert_eq!(rule.share(0b1111, TEACHERS), 1.0, "{}", rule.name());
        }
        let alone = Ensemble { teachers: vec!["a".to_owned()], rule: Rule::Union };
        let words = Words((0..40).map(|word| 3 * word..3 * word + 2).collect());
        let start = random.random_range(0..60);
        let span = Span { task: Task::Disease, start, end: start + 30 };
        let (spans, soft) =
            (alone.merge(&words, Task::Disease, &[&[span]]), alone.shares(&words, Task::Disease, &[&[span]]));
        let as_spans: Vec<(u32, u32)> = soft.iter().map(|soft| (soft.start, soft.end)).collect();
        assert_eq!(as_spans, spans.iter().map(|span| (span.start, span.end)).collect::<Vec<_>>());
        assert!(soft.iter().all(|soft| soft.share.get() == 1.0), "{soft:?}");
    }
}
