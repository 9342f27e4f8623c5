//! Every subset of the teachers under every rule, beside what people say.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use stillroom_dataflow::Bootstrap;
use stillroom_dataflow::ensemble::{Ensemble, LabelModel, NoteVotes, Pattern, Rule, members, project};
use stillroom_schemas::Counts;

/// Teachers at most: 1,023 subsets.
pub const TEACHERS_MAX: usize = 10;

/// The fewest teachers that a label model can tell apart.
const LABEL_MODEL_MIN: usize = 3;

/// What teachers and people say of the notes of a corpus, for one task.
#[derive(Clone, Debug)]
pub struct Votes {
    teachers: Vec<String>,
    notes: Vec<NoteVotes>,
    /// Of all notes.
    sum: NoteVotes,
}

/// A subset of the teachers under a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The teachers and the rule.
    pub ensemble: Ensemble,
    /// Which of all teachers they are.
    pub subset: Pattern,
    /// Words, against people.
    pub counts: Counts,
}

impl Votes {
    /// # Panics
    /// With more than [`TEACHERS_MAX`] teachers.
    pub fn new(teachers: Vec<String>, notes: Vec<NoteVotes>) -> Votes {
        assert!(teachers.len() <= TEACHERS_MAX, "{} teachers, and {TEACHERS_MAX} at most", teachers.len());
        let mut sum = NoteVotes::default();
        for (key, words) in notes.iter().flat_map(|note| &note.0) {
            *sum.0.entry(*key).or_default() += words;
        }
        Votes { teachers, notes, sum }
    }

    /// How many notes they are.
    pub fn notes(&self) -> usize {
        self.notes.len()
    }

    /// Every subset under every rule that means something else than the others, the best F1 first; of equal ones the one of fewer
    /// teachers, then the simpler rule.
    pub fn candidates(&self) -> Vec<Candidate> {
        let alone: Vec<f64> =
            (0..self.teachers.len()).map(|teacher| self.sum.counts(|p| p & (1 << teacher) != 0).f1()).collect();
        let subsets = 1..(1 as Pattern) << self.teachers.len();
        let mut candidates: Vec<Candidate> = subsets.flat_map(|subset| self.of_subset(subset, &alone)).collect();
        // Stable, so that rules stay in the order in which they are tried.
        candidates.sort_by(|one, other| {
            let better = other.counts.f1().partial_cmp(&one.counts.f1()).unwrap_or(Ordering::Equal);
            better.then(one.subset.count_ones().cmp(&other.subset.count_ones()))
        });
        candidates
    }

    fn of_subset(&self, subset: Pattern, alone: &[f64]) -> Vec<Candidate> {
        let members = members(subset, self.teachers.len());
        let mut rules = Rule::plain(members.len());
        if members.len() > 1 {
            rules.push(Rule::Weighted { weights: members.iter().map(|member| alone[*member]).collect() });
        }
        if members.len() >= LABEL_MODEL_MIN {
            rules.push(Rule::LabelModel(self.label_model(&members)));
        }
        let candidate = |rule: Rule| {
            let teachers = members.iter().map(|member| self.teachers[*member].clone()).collect();
            let counts = self.sum.counts(|pattern| rule.marks(project(pattern, &members), members.len()));
            let counts = Counts { notes: self.notes.len() as i64, ..counts };
            Candidate { ensemble: Ensemble { teachers, rule }, subset, counts }
        };
        rules.into_iter().map(candidate).collect()
    }

    /// Fitted without what people say.
    fn label_model(&self, members: &[usize]) -> LabelModel {
        let mut counts: BTreeMap<Pattern, f64> = BTreeMap::new();
        for ((pattern, _), words) in &self.sum.0 {
            *counts.entry(project(*pattern, members)).or_default() += *words as f64;
        }
        LabelModel::fit(&counts.into_iter().collect::<Vec<_>>(), members.len())
    }

    /// The interval that holds the F1 of 95 % of bootstrap samples of the notes.
    pub fn interval(&self, candidate: &Candidate, bootstrap: Bootstrap) -> (f64, f64) {
        let members = members(candidate.subset, self.teachers.len());
        let marks = |pattern| candidate.ensemble.rule.marks(project(pattern, &members), members.len());
        let of_notes: Vec<Counts> = self.notes.iter().map(|note| note.counts(marks)).collect();
        let f1 = |sample: &[usize]| {
            let mut sum = Counts::default();
            sample.iter().for_each(|&note| sum += of_notes[note]);
            [sum.f1()]
        };
        let [interval] = bootstrap.intervals(of_notes.len(), f1);
        interval
    }
}

#[cfg(test)]
mod tests {
    use super::{Bootstrap, Counts, NoteVotes, Pattern, Votes};
    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};
    use stillroom_dataflow::{Words, score_spans};
    use stillroom_schemas::{Span, Task};

    const TASK: Task = Task::Symptom;

    /// A text of one-letter words.
    fn words(count: u32) -> Words {
        Words((0..count).map(|word| 2 * word..2 * word + 1).collect())
    }

    fn spans(marks: &[bool]) -> Vec<Span> {
        let marked = marks.iter().enumerate().filter(|(_, marked)| **marked);
        marked.map(|(word, _)| Span { task: TASK, start: 2 * word as u32, end: 2 * word as u32 + 1 }).collect()
    }

    proptest! {
        /// Of every candidate: merging the spans note by note and comparing them with those of people comes to the same counts.
        #[test]
        fn counts_are_those_of_merging_every_note(
            notes in prop::collection::vec((1usize..30, any::<u64>()), 1..6),
            teachers in 1usize..=5,
        ) {
            let mut random = SmallRng::seed_from_u64(notes[0].1);
            let notes: Vec<(Words, Vec<Vec<Span>>, Vec<Span>)> = notes.iter().map(|(count, _)| {
                let mut marks = || spans(&(0..*count).map(|_| random.random_bool(0.4)).collect::<Vec<_>>());
                (words(*count as u32), (0..teachers).map(|_| marks()).collect(), marks())
            }).collect();
            let names: Vec<String> = (0..teachers).map(|teacher| format!("t{teacher}")).collect();
            let count = |(words, labels, people): &(Words, Vec<Vec<Span>>, Vec<Span>)| {
                NoteVotes::count(words, TASK, &labels.iter().map(Vec::as_slice).collect::<Vec<_>>(), people)
            };
            let votes = Votes::new(names.clone(), notes.iter().map(count).collect());
            let candidates = votes.candidates();
            let subsets: std::collections::BTreeSet<Pattern> = candidates.iter().map(|candidate| candidate.subset).collect();
            prop_assert_eq!(subsets.len(), (1 << teachers) - 1);
            prop_assert!(candidates.is_sorted_by(|one, other| one.counts.f1() >= other.counts.f1()));
            for candidate in &candidates {
                let mut brute = Counts::default();
                for (words, labels, people) in &notes {
                    let of = |name: &String| labels[names.iter().position(|other| other == name).unwrap()].as_slice();
                    let labels: Vec<&[Span]> = candidate.ensemble.teachers.iter().map(of).collect();
                    let merged = candidate.ensemble.merge(words, TASK, &labels);
                    brute += score_spans(words, TASK, &merged, people)[0];
                }
                prop_assert_eq!(candidate.counts, brute, "{:?}", candidate.ensemble);
                prop_assert!(candidate.ensemble.rule.fits(candidate.ensemble.teachers.len()));
                let (low, high) = votes.interval(candidate, Bootstrap { samples: 100, seed: 1 });
                prop_assert!(0.0 <= low && low <= high && high <= 1.0);
            }
        }
    }

    #[test]
    fn an_interval_narrows_with_notes_and_holds_the_figure() {
        let note = |is_right: bool| {
            let (marked, people) = (spans(&[true, false]), spans(&[is_right, !is_right]));
            NoteVotes::count(&words(2), TASK, &[&marked], &people)
        };
        let width = |notes: usize| {
            let votes = Votes::new(vec!["one".to_owned()], (0..notes).map(|at| note(at % 4 > 0)).collect());
            let best = &votes.candidates()[0];
            let (low, high) = votes.interval(best, Bootstrap::default());
            assert!(low <= best.counts.f1() && best.counts.f1() <= high, "{low} {high}");
            high - low
        };
        assert!(width(400) < width(20) / 2.0);
    }
}
