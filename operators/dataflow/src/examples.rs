//! `Examples`: what is to be learned of every current note, for each task.
//!
//! In: upserts of notes, keyed by note and partition, and of references and teachers' labels, as
//! [`Score`](crate::Score) has them. Out: a collection of `(ExampleKey, Example)`, one at most for a key; one that
//! changes leaves as a retraction and an addition at the same epoch. Examples change when an epoch is complete, and
//! only those of notes that the epoch touched.
//!
//! ```text
//! notes ─────► KeepNotes ──────► Notes ───────► ArrangeByNote ─┐
//!                                                              ├► JoinCore ─► Consolidate ─► examples
//! references ► KeepReferences ─► References ─► LabelsOfNote ───┘
//! labels
//! ```
//!
//! State: of the latest revision of each note its place in the topic, the hash of its text, whose it is and where its
//! words are, and the latest reference of each note and annotator and the latest label of each text and teacher: all of
//! it without text. A withdrawn note or reference leaves its key and a tombstone behind.
//!
//! A reference or label is joined with the note of the same text alone: one for an earlier revision is kept and teaches
//! nothing, until the note has that text again. Under the same `note_id` another partition has another note, as for
//! `LatestNotes`; what was said of a text under that id is said of both.
//!
//! Order: as for `Score`. Of one key the greatest epoch counts, and in one epoch the greatest `(revision, offset)`, or
//! `offset`; over epochs `LatestNotes` and the order of partitions see to it.

use crate::labels::{NoteLabels, labels_of_notes, latest_labels, one_of_each, views};
use crate::upserts::{arrange_upserts, stamp};
use crate::{Epoch, HeldOut, Output, ReferenceUpsert, SoftSpan, TeacherPanel, TokenizedNote, Words};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{Span, Task, TextHash};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Enter;

/// Of whose mentions a task of a note is learned or measured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExampleKey {
    /// The note.
    pub note_id: String,
    /// Of the note's record.
    pub partition: u32,
    /// What is looked for.
    pub task: Task,
}

/// What is to be learned of one note for one task. The text is not here: it is read from the notes topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Example {
    /// Of the note's record, in the partition of the key.
    pub offset: u64,
    /// What the text at that offset must have.
    pub text_hash: TextHash,
    /// The patient, where one is known.
    pub patient_id: Option<String>,
    /// Such as `discharge_summary`.
    pub note_type: Option<String>,
    /// The hospital or clinic.
    pub site: Option<String>,
    /// The mentions of the task, in Unicode code points, by position and without repetitions. None is a statement too:
    /// the note has none.
    pub spans: Vec<Span>,
    /// By which shares of the teachers; absent where people say so, and where the panel is not asked for shares.
    pub soft: Option<Vec<SoftSpan>>,
    /// Who says so.
    pub source: ExampleSource,
    /// Whether the patient is held out, see [`HeldOut`].
    pub is_held_out: bool,
}

/// Who says what is to be learned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ExampleSource {
    /// A reference, by its annotator.
    Human(String),
    /// Teachers, merged by the ensemble that was chosen for the task.
    Teachers,
}

impl Example {
    /// Whether a student may learn from it: the patient is not held out.
    pub fn is_to_be_learned(&self) -> bool {
        !self.is_held_out
    }

    /// Whether students are measured by it: the patient is held out, and a human says so. What teachers say of those
    /// who are held out serves neither.
    pub fn is_to_be_measured_by(&self) -> bool {
        self.is_held_out && matches!(self.source, ExampleSource::Human(_))
    }
}

/// An example that becomes current (`diff` is 1) or ceases to be (`diff` is -1). When an example is replaced, both come
/// at one epoch, in any order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExampleChange {
    /// Of which note and task.
    pub key: ExampleKey,
    /// What is, or was, to be learned.
    pub example: Example,
    /// 1 or -1.
    pub diff: isize,
}

/// What must be known of the latest revision of a note to learn from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentNote {
    /// Of its text.
    pub text_hash: TextHash,
    /// The patient, where one is known.
    pub patient_id: Option<String>,
    /// Such as `discharge_summary`.
    pub note_type: Option<String>,
    /// The hospital or clinic.
    pub site: Option<String>,
    /// Where its words are: ensembles vote on words.
    pub words: Words,
}

/// A note and its partition, with its revision, the offset of its record, and what is known of it; nothing when it was
/// withdrawn or could not be cut into words.
pub type CurrentNoteUpsert = ((String, u32), (u64, u64, Option<CurrentNote>));

impl TokenizedNote {
    /// The note as an upsert for [`Examples`]; its text is dropped.
    pub fn into_current(self) -> CurrentNoteUpsert {
        let TokenizedNote { note, tokenized } = self;
        let (note, text_hash, position) = (note.note, note.text_hash, note.record.position);
        let current = CurrentNote {
            text_hash,
            patient_id: note.patient_id,
            note_type: note.note_type,
            site: note.site,
            words: tokenized.words,
        };
        ((note.note_id, position.partition), (note.revision, position.offset, Some(current)))
    }
}

impl Output {
    /// The note as an upsert for [`Examples`], if its record says that there is nothing to learn of it any more: it was
    /// withdrawn, or could not be cut into words, or all that is known of it is what an earlier run remembered.
    pub fn without_current(&self) -> Option<CurrentNoteUpsert> {
        match self {
            Output::Withdrawn { .. } | Output::DeadLettered { .. } | Output::Restored { .. } => {
                let (state, partition) = (self.state()?, self.partition()?);
                Some(((state.note_id.clone(), partition), (state.revision, state.offset, None)))
            }
            _ => None,
        }
    }
}

/// Finds what is to be learned of notes.
pub trait Examples<'scope> {
    /// The current example of every note and task, retracted and added as notes, references and labels change.
    ///
    /// A human says what is to be learned of a task, of several the one whose name comes first; where none annotated
    /// the task, the ensemble that `panel` has for it, once each of its teachers has labelled the text. A task that
    /// nobody annotated has no example; nor has a note that was withdrawn.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use stillroom_dataflow::{CurrentNote, Examples, HeldOut, ReferenceKey, TeacherPanel, Words};
    /// use stillroom_schemas::{Reference, Span, Task, TextHash};
    /// use timely::dataflow::operators::Input;
    ///
    /// let text_hash = TextHash::of("Migraine today.");
    /// let note = CurrentNote {
    ///     text_hash: text_hash.clone(),
    ///     patient_id: Some("p1".into()),
    ///     note_type: None,
    ///     site: None,
    ///     words: Words(vec![0..8, 9..14, 14..15]),
    /// };
    /// let reference = Reference {
    ///     note_id: "n1".into(),
    ///     annotator: "adjudicated".into(),
    ///     text_hash,
    ///     tasks: [Task::Disease].into(),
    ///     spans: vec![Span { task: Task::Disease, start: 0, end: 8 }],
    /// };
    /// let changes = Arc::new(Mutex::new(Vec::new()));
    /// let seen = changes.clone();
    /// timely::execute_directly(move |worker| {
    ///     let (mut notes, mut labels, probe) = worker.dataflow::<u64, _, _>(|scope| {
    ///         let (notes, currents) = scope.new_input();
    ///         let (labels, references) = scope.new_input();
    ///         let examples = currents.examples(references, TeacherPanel::default(), HeldOut { share: 0.2 });
    ///         let examples = examples.inspect(move |update| seen.lock().unwrap().push(update.clone()));
    ///         (notes, labels, examples.probe().0)
    ///     });
    ///     notes.send((("n1".to_string(), 0), (1, 7, Some(note))));
    ///     let (note_id, annotator) = ("n1".to_string(), "adjudicated".to_string());
    ///     labels.send((ReferenceKey { note_id, annotator, text_hash: None, partition: 0 }, (0, Some(reference))));
    ///     notes.advance_to(1);
    ///     labels.advance_to(1);
    ///     worker.step_while(|| probe.less_than(&1));
    ///     notes.send((("n1".to_string(), 0), (1, 8, None))); // withdrawn
    /// });
    /// let changes = changes.lock().unwrap();
    /// let changes: Vec<_> =
    ///     changes.iter().map(|((key, example), epoch, diff)| (key.task, example.offset, *epoch, *diff)).collect();
    /// assert_eq!(changes, [(Task::Disease, 7, 0, 1), (Task::Disease, 7, 1, -1)]);
    /// ```
    fn examples(
        self,
        references: StreamVec<'scope, Epoch, ReferenceUpsert>,
        panel: TeacherPanel,
        held_out: HeldOut,
    ) -> VecCollection<'scope, Epoch, (ExampleKey, Example)>;
}

impl<'scope> Examples<'scope> for StreamVec<'scope, Epoch, CurrentNoteUpsert> {
    fn examples(
        self,
        references: StreamVec<'scope, Epoch, ReferenceUpsert>,
        panel: TeacherPanel,
        held_out: HeldOut,
    ) -> VecCollection<'scope, Epoch, (ExampleKey, Example)> {
        let outer = self.scope();
        outer.region_named("Examples", |region| {
            let notes = stamp(self.enter(region), "KeepNotes", keep_note);
            let notes = arrange_upserts(notes, "Notes")
                .flat_map_ref(|(note_id, partition), (_, offset, note)| {
                    note.clone().map(|note| (note_id.clone(), (*partition, *offset, note)))
                })
                .arrange_by_key_named("ArrangeByNote");
            let said = labels_of_notes(latest_labels(references.enter(region))).arrange_by_key_named("ArrangeByNote");
            // A note and its labels that change in one epoch meet in all combinations, of which most cancel.
            notes
                .join_core(said, move |note_id, note, said| examples_of((note_id, note), said, &panel, held_out))
                .consolidate()
                .leave_region(outer)
        })
    }
}

/// What is kept of a note: its id, partition, revision and offset are beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct KeptNote {
    text_hash: TextHash,
    patient_id: Option<String>,
    note_type: Option<String>,
    site: Option<String>,
    /// As [`Words::to_bytes`] writes them.
    words: Vec<u8>,
}

type KeptUpsert = (u64, u64, Option<Arc<KeptNote>>);

/// A note with its partition and the offset of its record.
type PlacedNote = (u32, u64, Arc<KeptNote>);

fn keep_note(((note_id, partition), (revision, offset, note)): CurrentNoteUpsert) -> ((Arc<str>, u32), KeptUpsert) {
    let note = note.map(|CurrentNote { text_hash, patient_id, note_type, site, words }| {
        let mut words = words.to_bytes();
        // They are kept for as long as the note lives.
        words.shrink_to_fit();
        Arc::new(KeptNote { text_hash, patient_id, note_type, site, words })
    });
    ((note_id.into(), partition), (revision, offset, note))
}

/// What is to be learned of a note: for each task what the first human who annotated it says, or else the ensemble.
fn examples_of(
    (note_id, (partition, offset, note)): (&str, &PlacedNote),
    said: &NoteLabels,
    panel: &TeacherPanel,
    held_out: HeldOut,
) -> Vec<(ExampleKey, Example)> {
    let of_text = said.iter().filter(|(_, labels)| labels.text_hash == note.text_hash);
    let (teachers, humans): (Vec<_>, Vec<_>) = of_text.partition(|(_, labels)| labels.is_of_teacher);
    let teachers = one_of_each(teachers.into_iter());
    let words = Words::from_bytes(&note.words).expect("words are kept as Words::to_bytes writes them");
    let labels = views(&teachers);
    let ((merged_tasks, merged), mut shares) = (panel.merge(&words, &labels), panel.shares(&words, &labels));
    let is_held_out = held_out.is_held_out(note.patient_id.as_deref(), note_id);
    let of_task = |task: Task| {
        let soft = shares.remove(&task);
        let (source, spans, soft) = match humans.iter().find(|(_, labels)| labels.tasks.contains(&task)) {
            Some((annotator, labels)) => (ExampleSource::Human(annotator.to_string()), &labels.spans, None),
            None if merged_tasks.contains(&task) => (ExampleSource::Teachers, &merged, soft),
            None => return None,
        };
        let mut spans: Vec<Span> = spans.iter().filter(|span| span.task == task).copied().collect();
        spans.sort_unstable();
        spans.dedup();
        let example = Example {
            offset: *offset,
            text_hash: note.text_hash.clone(),
            patient_id: note.patient_id.clone(),
            note_type: note.note_type.clone(),
            site: note.site.clone(),
            spans,
            soft,
            source,
            is_held_out,
        };
        Some((ExampleKey { note_id: note_id.to_owned(), partition: *partition, task }, example))
    };
    Task::ALL.into_iter().filter_map(of_task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::{Ensemble, Rule};
    use crate::labels::Labels;
    use stillroom_schemas::TaskSet;

    fn task(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.name() == name)
    }

    /// Word `k` of the text is at code point `2 * k`.
    fn span(task: Task, word: u32) -> Span {
        Span { task, start: 2 * word, end: 2 * word + 1 }
    }

    /// What somebody says: a name, then for each task its name and the numbers of its words. Names of teachers begin
    /// with one.
    fn said(line: &str) -> (Arc<str>, Arc<Labels>) {
        let (name, rest) = line.split_once(' ').unwrap();
        let (mut tasks, mut spans, mut of) = (TaskSet::new(), Vec::new(), None);
        for word in rest.split(' ') {
            match task(word) {
                Some(task) => {
                    tasks.insert(task);
                    of = Some(task);
                }
                None => spans.push(span(of.unwrap(), word.parse().unwrap())),
            }
        }
        let (is_of_teacher, text_hash) = (name.starts_with("teacher"), TextHash::of("a b c d"));
        (name.into(), Arc::new(Labels { is_of_teacher, text_hash, tasks, spans }))
    }

    /// The examples of a text of four words of which this is said, in order of names. Diseases are what both teachers
    /// mark, medications what `teacher_a` marks; nobody was chosen for symptoms.
    fn check(lines: &[&str], expected: &str) {
        let both = Ensemble { teachers: vec!["teacher_a".into(), "teacher_b".into()], rule: Rule::Intersection };
        let alone = Ensemble { teachers: vec!["teacher_a".into()], rule: Rule::Union };
        let panel = TeacherPanel::new(&[], [(Task::Disease, both), (Task::Medication, alone)].into());
        let words = Words((0..4).map(|word| 2 * word..2 * word + 1).collect()).to_bytes();
        let text_hash = TextHash::of("a b c d");
        let note = KeptNote { text_hash, patient_id: None, note_type: None, site: None, words };
        let mut all: NoteLabels = lines.iter().map(|line| said(line)).collect();
        all.sort();
        let examples = examples_of(("n1", &(0, 7, Arc::new(note))), &all, &panel, HeldOut { share: 0.0 });
        assert!(examples.iter().all(|(_, example)| example.soft.is_none()), "nobody asked for shares");
        let told = examples.iter().map(|(key, example)| {
            let words: String = example.spans.iter().map(|span| format!(" {}", span.start / 2)).collect();
            let by = match &example.source {
                ExampleSource::Human(annotator) => annotator,
                ExampleSource::Teachers => "teachers",
            };
            format!("{}{words} by {by}", key.task.name())
        });
        assert_eq!(told.collect::<Vec<_>>().join(", "), expected, "{lines:?}");
    }

    #[test]
    fn people_come_before_teachers_task_by_task() {
        check(
            &["ada disease 1", "teacher_a disease 0 medication 2", "teacher_b disease 0"],
            "disease 1 by ada, medication 2 by teachers",
        );
        check(&["ada disease", "teacher_a disease 0", "teacher_b disease 0"], "disease by ada");
        check(&["bob disease 0 symptom 3", "ada disease 1"], "disease 1 by ada, symptom 3 by bob");
        check(&["ada symptom 3 0 3"], "symptom 0 3 by ada");
    }

    #[test]
    fn an_ensemble_speaks_once_all_of_its_teachers_have() {
        check(&["teacher_a disease 0 1", "teacher_b disease 1 2"], "disease 1 by teachers");
        check(&["teacher_a disease 0 1"], "");
        check(&["teacher_a disease 0", "teacher_b disease 1"], "disease by teachers");
        check(&["teacher_a medication 2 symptom 1", "teacher_b medication 3"], "medication 2 by teachers");
        check(&["teacher_c disease 0 medication 0 symptom 0"], "");
    }
}
