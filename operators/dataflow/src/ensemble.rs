//! What several teachers say, made one.
//!
//! All that a rule looks at is which teachers mark a word, so a corpus comes down to how often each pattern of teachers stands beside
//! each word of people: 2^n numbers a note, from which every subset and every rule is counted without looking at a word again.

mod label_model;
mod rule;
mod shares;

pub use label_model::LabelModel;
pub use rule::{Ensemble, Rule};
pub use shares::share_tasks;

use crate::Words;
use std::collections::BTreeMap;
use stillroom_schemas::{Counts, Span, Task, TaskSet};

/// Which teachers mark a word: teacher `i` is bit `i`.
pub type Pattern = u16;

/// The pattern of every word of a text, for one task.
pub fn patterns(words: &Words, task: Task, teachers: &[&[Span]]) -> Vec<Pattern> {
    let mut patterns = vec![0; words.len()];
    for (teacher, spans) in teachers.iter().enumerate() {
        for span in spans.iter().filter(|span| span.task == task) {
            patterns[words.under(span)].iter_mut().for_each(|pattern| *pattern |= 1 << teacher);
        }
    }
    patterns
}

/// The teachers of a subset of so many, by number.
pub fn members(subset: Pattern, teachers: usize) -> Vec<usize> {
    (0..teachers).filter(|teacher| subset & (1 << teacher) != 0).collect()
}

/// The pattern of some teachers alone.
pub fn project(pattern: Pattern, members: &[usize]) -> Pattern {
    members.iter().enumerate().map(|(at, member)| (pattern >> member & 1) << at).sum()
}

/// What ensembles of several tasks say of a text: the tasks for which each of their teachers gave a label, and the spans, by task and
/// position. `label_of` a teacher that was not asked for a task is nothing: it did not say that there is none.
pub fn merge_tasks<'a, 'b>(
    ensembles: impl Iterator<Item = (Task, &'b Ensemble)>,
    words: &Words,
    label_of: impl Fn(&str, Task) -> Option<&'a [Span]>,
) -> (TaskSet, Vec<Span>) {
    let (mut tasks, mut merged) = (TaskSet::new(), Vec::new());
    for (task, ensemble, labels) in labelled(ensembles, label_of) {
        tasks.insert(task);
        merged.extend(ensemble.merge(words, task, &labels));
    }
    (tasks, merged)
}

/// The tasks for which each teacher of the ensemble gave a label, with these labels in the order of the teachers.
fn labelled<'a, 'b>(
    ensembles: impl Iterator<Item = (Task, &'b Ensemble)>,
    label_of: impl Fn(&str, Task) -> Option<&'a [Span]>,
) -> impl Iterator<Item = (Task, &'b Ensemble, Vec<&'a [Span]>)> {
    ensembles.filter_map(move |(task, ensemble)| {
        let labels: Option<Vec<&[Span]>> = ensemble.teachers.iter().map(|teacher| label_of(teacher, task)).collect();
        Some((task, ensemble, labels?))
    })
}

/// How often each pattern stands at words that people marked (`true`), and at others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoteVotes(pub BTreeMap<(Pattern, bool), i64>);

impl NoteVotes {
    /// Counts one note.
    pub fn count(words: &Words, task: Task, teachers: &[&[Span]], people: &[Span]) -> NoteVotes {
        let reference = patterns(words, task, &[people]);
        let mut votes = NoteVotes::default();
        for (pattern, reference) in patterns(words, task, teachers).into_iter().zip(reference) {
            *votes.0.entry((pattern, reference != 0)).or_default() += 1;
        }
        votes
    }

    /// The counts of words under a decision for each pattern.
    pub fn counts(&self, marks: impl Fn(Pattern) -> bool) -> Counts {
        let mut counts = Counts { notes: 1, ..Counts::default() };
        for (&(pattern, reference), &words) in &self.0 {
            match (marks(pattern), reference) {
                (true, true) => counts.tp += words,
                (true, false) => counts.fp += words,
                (false, true) => counts.fn_ += words,
                (false, false) => {}
            }
        }
        counts
    }
}
