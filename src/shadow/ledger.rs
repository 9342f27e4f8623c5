//! What two students say of the notes that both have read, and how it compares.

use crate::gate::{DOCUMENTS_MIN, Gate};
use crate::highlight::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stillroom_dataflow::{PairUpsert, PredictionPair, ReferenceKey, ReferenceUpsert, Words, score_spans};
use stillroom_schemas::{Counts, Prediction, Reference, Span, Task, TaskSet};

/// The pairs of predictions, and what people and teachers say of the same notes; no text.
#[derive(Default)]
pub(super) struct Ledger {
    /// By note and partition.
    pairs: BTreeMap<(String, u32), PredictionPair>,
    /// By note; what was withdrawn is kept as nothing, with its offset.
    said: BTreeMap<String, BTreeMap<ReferenceKey, (u64, Option<Reference>)>>,
}

/// How a candidate does beside the student that serves, on the notes that both have read while it read along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Notes that both have read.
    pub(crate) notes: usize,
    /// In words, by the annotator of the references.
    pub(crate) references: BTreeMap<String, Gate>,
    /// The same by the teacher: agreement, not accuracy.
    pub(crate) teachers: BTreeMap<String, Gate>,
    /// Words that the candidate tags, held to those that the serving student tags.
    pub(crate) agreement: BTreeMap<Task, Counts>,
}

impl Ledger {
    /// Takes in what whole epochs have changed, in their order.
    pub(super) fn apply(&mut self, pairs: Vec<PairUpsert>, said: Vec<ReferenceUpsert>) {
        for (note, (_, _, pair)) in pairs {
            match pair {
                Some(pair) => drop(self.pairs.insert(note, pair)),
                None => drop(self.pairs.remove(&note)),
            }
        }
        for (key, (offset, reference)) in said {
            let of_note = self.said.entry(key.note_id.clone()).or_default();
            let known = of_note.entry(key).or_insert((offset, None));
            // Within an epoch they come in any order.
            if known.0 <= offset {
                *known = (offset, reference);
            }
        }
    }

    /// Notes that both students have read.
    pub(super) fn notes(&self) -> usize {
        self.pairs.len()
    }

    /// How both do on these tasks.
    ///
    /// # Panics
    /// When the words of a prediction are not the output of [`Words::to_bytes`].
    pub(super) fn figures(&self, tasks: &TaskSet) -> Figures {
        type OfTasks = BTreeMap<Task, Vec<(Counts, Counts)>>;
        let (mut references, mut teachers) = (BTreeMap::<&str, OfTasks>::new(), BTreeMap::<&str, OfTasks>::new());
        let mut agreement: BTreeMap<Task, Counts> = tasks.iter().map(|task| (*task, Counts::default())).collect();
        for ((note_id, _), PredictionPair { candidate, serving }) in &self.pairs {
            let (of_candidate, of_serving) = (Tagged::of(candidate), Tagged::of(serving));
            for (task, counts) in &mut agreement {
                *counts += of_candidate.against(*task, &serving.spans);
            }
            for ((is_teacher, name), reference) in self.said_of(note_id, candidate) {
                let by = if is_teacher { &mut teachers } else { &mut references };
                let of_tasks = by.entry(name).or_default();
                for &task in reference.tasks.intersection(tasks) {
                    let counts = [&of_candidate, &of_serving].map(|tagged| tagged.against(task, &reference.spans));
                    of_tasks.entry(task).or_default().push((counts[0], counts[1]));
                }
            }
        }
        let gates = |by: BTreeMap<&str, OfTasks>| -> BTreeMap<String, Gate> {
            by.into_iter().map(|(name, of_tasks)| (name.to_owned(), Gate::of(of_tasks))).collect()
        };
        Figures { notes: self.pairs.len(), references: gates(references), teachers: gates(teachers), agreement }
    }

    /// What is said of the text of a prediction, one by each teacher and annotator.
    fn said_of(&self, note_id: &str, prediction: &Prediction) -> BTreeMap<(bool, &str), &Reference> {
        let said = self.said.get(note_id).into_iter().flatten();
        let of_text = said.filter_map(|(key, (_, reference))| {
            let reference = reference.as_ref().filter(|reference| reference.text_hash == prediction.text_hash)?;
            Some(((key.text_hash.is_some(), key.annotator.as_str()), reference))
        });
        of_text.collect()
    }
}

/// What a student tags of a text.
struct Tagged<'a> {
    words: Words,
    spans: &'a [Span],
}

impl<'a> Tagged<'a> {
    fn of(prediction: &'a Prediction) -> Tagged<'a> {
        let words = Words::from_bytes(&prediction.words).expect("words are kept as Words::to_bytes writes them");
        Tagged { words, spans: &prediction.spans }
    }

    /// In words.
    fn against(&self, task: Task, reference: &[Span]) -> Counts {
        let [in_words, ..] = score_spans(&self.words, task, self.spans, reference);
        in_words
    }
}

impl Figures {
    /// Why the candidate is not to serve: a task on which it is worse by references, of notes that are enough.
    pub(crate) fn refusal(&self) -> Option<String> {
        let worse = self
            .references
            .iter()
            .find_map(|(annotator, gate)| Some((annotator, gate.worse())).filter(|(_, worse)| !worse.is_empty()));
        worse.map(|(annotator, worse)| {
            let tasks: Vec<&str> = worse.into_iter().map(Task::name).collect();
            let (notes, tasks) = (self.notes, tasks.join(" and "));
            format!("as it read {notes} notes along, it was worse on {tasks} by the references of {annotator}")
        })
    }

    /// Why nothing is decided: no task has enough notes with references; nothing if one has.
    pub(crate) fn undecided(&self) -> Option<String> {
        let is_decided = self.references.values().any(|gate| !gate.decided().is_empty());
        (!is_decided).then(|| match self.references.is_empty() {
            true => "there are no references to compare by".to_owned(),
            false => format!("no task has references for {DOCUMENTS_MIN} notes to compare by"),
        })
    }

    /// For people: both students by each annotator and teacher, and how far they agree with each other.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("both have read {} notes", self.notes)];
        for (annotator, gate) in &self.references {
            lines.push(format!("by the references of {}:", plain(annotator)));
            lines.extend(gate.table());
        }
        for (teacher, gate) in &self.teachers {
            lines.push(format!("agreement with the teacher {}:", plain(teacher)));
            lines.extend(gate.table());
        }
        let agreement = self.agreement.iter().map(|(task, counts)| format!("{} {:.4}", task.name(), counts.f1()));
        lines.push(format!("F1 of each by the other: {}", agreement.collect::<Vec<_>>().join(", ")));
        lines
    }
}
