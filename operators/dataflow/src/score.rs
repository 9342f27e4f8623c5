//! `Score`: live agreement of a student and of teachers with every reference, and how many of the words that the student alone
//! tags references call mentions.
//!
//! In: upserts of predictions, keyed by note and partition, and of references and teachers' labels, keyed by note, annotator and
//! partition, and labels by their text as well. Out: a collection of `(QualityKey, Counts)`, one row for each task, level, comparison,
//! model, reference, note type and site, and one `rollup` row over all note types and sites; a row that changes leaves as a retraction
//! and an addition at the same epoch. Rows change when an epoch is complete, and only those that the epoch touched.
//!
//! ```text
//! predictions ─► KeepPredictions ─► Predictions ─► ArrangeByNote ─┬─┐
//!                                                                 │ ├► JoinCore ─► student, reference ─────────────┐
//! references, ─► KeepReferences ──► References ─┬► ArrangeByNote ─│─┴───────────┐                                explode
//! labels                                        │                 │             │                                  │
//!                                               └► LabelsOfNote ──┴► JoinCore ─┬─│► student, teachers, ensemble ───┤
//!                                                                              └─┴► JoinCore ─► all, reference ─────┴► CountTotal ─► quality
//! ```
//!
//! State: the latest prediction of each note, the latest reference of each note and annotator and the latest label of each text and
//! teacher, without text, behind an `Arc`, so that the arrangements share them and merge them without copying; and the counts
//! of each row. What a changed note costs depends on that note and on the logarithm of the number of notes, not on how many changes
//! there were. A withdrawn note or reference leaves its key and a tombstone behind.
//!
//! A label is joined with the prediction of the same text alone: one for an earlier revision is kept and counts nowhere, until a note
//! has that text again.
//!
//! Order: upserts of one key come from one partition, in its order. The arrangements keep, of all upserts of a key, the one of the
//! greatest epoch, and in one epoch the greatest value. Values begin with `(revision, offset)` or `offset` for that reason, and a
//! withdrawal is a value like any other, so an amendment or withdrawal in the epoch of what it replaces is not lost. Over epochs the
//! inputs must already be in order: of notes `LatestNotes` sees to it, of references the order of their partition does.

use crate::labels::{Labels, NoteLabels, labels_of_notes, latest_labels, one_of_each, views};
use crate::panel::{ENSEMBLE, LabelOf};
use crate::reviewed::only_student;
use crate::upserts::{arrange_upserts, stamp};
use crate::{AsJson, Epoch, TeacherPanel, Words, score_spans};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::CountTotal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{
    Comparison, Counts, Level, ModelId, Prediction, QualityKey, Reference, Span, TaskSet, TextHash,
};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Enter;

/// A note and its partition, with its revision, the offset of its record, and what the student said of it; nothing when it was
/// withdrawn or could not be read.
pub type PredictionUpsert = ((String, u32), (u64, u64, Option<Prediction>));

/// Whose reference it is, and of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceKey {
    /// The note.
    pub note_id: String,
    /// Who annotated it.
    pub annotator: String,
    /// Of a teacher's label, the text: a teacher may say something of every revision. Absent of a reference, which replaces what the
    /// annotator said of the revision before.
    pub text_hash: Option<TextHash>,
    /// Of the record.
    pub partition: u32,
}

/// A reference or a label, with the offset of its record, and what was said of the note; nothing when it was withdrawn.
pub type ReferenceUpsert = (ReferenceKey, (u64, Option<Reference>));

/// Measures predictions against references.
pub trait Score<'scope> {
    /// The counts of every quality figure, retracted and added as predictions and references change.
    ///
    /// A prediction is compared with a reference or label of the same note and the same text, for the tasks that were annotated, and
    /// with what the ensemble of `panel` makes of the labels; the teachers of `panel` are compared with references, and so are the words
    /// that the student tags and the ensemble does not. A row whose last note leaves is retracted.
    ///
    /// # Panics
    /// When the words of a prediction are not the output of [`Words::to_bytes`].
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use stillroom_dataflow::{ReferenceKey, Score, TeacherPanel, Words};
    /// use stillroom_schemas::{Level, ModelId, Prediction, Reference, Span, Task, TextHash};
    /// use timely::dataflow::operators::Input;
    ///
    /// let span = Span { task: Task::Disease, start: 0, end: 8 };
    /// let prediction = Prediction {
    ///     model: ModelId("student@1".into()),
    ///     text_hash: TextHash::of("Migraine today."),
    ///     note_type: None,
    ///     site: None,
    ///     words: Words(vec![0..8, 9..14, 14..15]).to_bytes(),
    ///     spans: vec![span],
    /// };
    /// let reference = Reference {
    ///     note_id: "n1".into(),
    ///     annotator: "adjudicated".into(),
    ///     text_hash: prediction.text_hash.clone(),
    ///     tasks: [Task::Disease].into(),
    ///     spans: vec![span],
    /// };
    /// let rows = Arc::new(Mutex::new(Vec::new()));
    /// let seen = rows.clone();
    /// timely::execute_directly(move |worker| {
    ///     let (mut notes, mut labels, probe) = worker.dataflow::<u64, _, _>(|scope| {
    ///         let (notes, predictions) = scope.new_input();
    ///         let (labels, references) = scope.new_input();
    ///         let quality = predictions.score(references, TeacherPanel::default());
    ///         let quality = quality.inspect(move |update| seen.lock().unwrap().push(update.clone()));
    ///         (notes, labels, quality.probe().0)
    ///     });
    ///     notes.send((("n1".to_string(), 0), (1, 0, Some(prediction))));
    ///     let (note_id, annotator) = ("n1".to_string(), "adjudicated".to_string());
    ///     labels.send((ReferenceKey { note_id, annotator, text_hash: None, partition: 0 }, (0, Some(reference))));
    ///     notes.advance_to(1);
    ///     labels.advance_to(1);
    ///     worker.step_while(|| probe.less_than(&1));
    ///     notes.send((("n1".to_string(), 0), (1, 1, None))); // withdrawn
    /// });
    /// let rows = rows.lock().unwrap();
    /// let words = rows.iter().filter(|((key, _), _, _)| key.level == Level::Word && key.rollup);
    /// let changes: Vec<_> = words.map(|((_, counts), epoch, change)| (counts.tp, *epoch, *change)).collect();
    /// assert_eq!(changes, [(1, 0, 1), (1, 1, -1)]); // "Migraine" at epoch 0, retracted at epoch 1
    /// ```
    fn score(
        self,
        references: StreamVec<'scope, Epoch, ReferenceUpsert>,
        panel: TeacherPanel,
    ) -> VecCollection<'scope, Epoch, (QualityKey, Counts)>;
}

impl<'scope> Score<'scope> for StreamVec<'scope, Epoch, PredictionUpsert> {
    fn score(
        self,
        references: StreamVec<'scope, Epoch, ReferenceUpsert>,
        panel: TeacherPanel,
    ) -> VecCollection<'scope, Epoch, (QualityKey, Counts)> {
        let outer = self.scope();
        outer.region_named("Score", |region| {
            let predictions = stamp(self.enter(region), "KeepPredictions", keep_prediction);
            let predictions = arrange_upserts(predictions, "Predictions")
                .flat_map_ref(|(note, _), (_, _, prediction)| {
                    prediction.clone().map(|prediction| (note.clone(), prediction))
                })
                .arrange_by_key_named("ArrangeByNote");
            let said = latest_labels(references.enter(region));
            let of_note = labels_of_notes(said.clone().filter(|(_, (_, labels))| labels.is_of_teacher));
            let references =
                said.filter(|(_, (_, labels))| !labels.is_of_teacher).arrange_by_key_named("ArrangeByNote");
            let of_references =
                predictions.clone().join_core(references.clone(), |_, prediction, (annotator, labels)| {
                    student_against(&prediction.0, annotator, labels)
                });
            let labelled =
                predictions.join_core(of_note.arrange_by_key_named("ArrangeByNote"), |note, prediction, labels| {
                    labels_of(prediction, labels).map(|labelled| (note.clone(), Arc::new(labelled)))
                });
            let panel = Arc::new(panel);
            let panel_of_region = Arc::clone(&panel);
            let of_labels = labelled.clone().flat_map(move |(_, labelled)| student_against_labels(&labelled, &panel));
            let of_teachers = labelled.arrange_by_key_named("ArrangeByNote").join_core(
                references,
                move |_, labelled, (annotator, reference)| {
                    labelled_against(labelled, annotator, reference, &panel_of_region)
                },
            );
            of_references
                .concat(of_labels)
                .concat(of_teachers)
                .explode(|(key, counts)| Some((AsJson(key), diff_of(counts))))
                .count_total()
                .map(|(AsJson(key), diff)| (key, counts_of(diff)))
                .leave_region(outer)
        })
    }
}

type KeptPrediction = (u64, u64, Option<Arc<AsJson<Prediction>>>);

/// A prediction with what teachers said of the same text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Labelled {
    prediction: Arc<AsJson<Prediction>>,
    labels: NoteLabels,
}

/// Notes counted, true positives, false positives, false negatives: a difference, because tuples of `isize` add up. As every
/// pair counts one note, it is zero only when no note is left.
type CountsDiff = (isize, isize, isize, isize);

fn diff_of(counts: Counts) -> CountsDiff {
    (counts.notes as isize, counts.tp as isize, counts.fp as isize, counts.fn_ as isize)
}

fn counts_of((notes, tp, fp, fn_): CountsDiff) -> Counts {
    Counts { notes: notes as i64, tp: tp as i64, fp: fp as i64, fn_: fn_ as i64 }
}

fn keep_prediction(((note, partition), kept): PredictionUpsert) -> ((Arc<str>, u32), KeptPrediction) {
    let (revision, offset, prediction) = kept;
    let prediction = prediction.map(|mut prediction| {
        // It is kept for as long as the note lives.
        prediction.words.shrink_to_fit();
        prediction.spans.shrink_to_fit();
        Arc::new(AsJson(prediction))
    });
    ((note.into(), partition), (revision, offset, prediction))
}

/// The labels of the prediction's text, one of each teacher, if there are any.
fn labels_of(prediction: &Arc<AsJson<Prediction>>, labels: &NoteLabels) -> Option<Labelled> {
    let labels = one_of_each(labels.iter().filter(|(_, labels)| labels.text_hash == prediction.0.text_hash));
    (!labels.is_empty()).then(|| Labelled { prediction: Arc::clone(prediction), labels })
}

impl Labelled {
    fn words(&self) -> Words {
        words_of(&self.prediction.0)
    }

    fn views(&self) -> Vec<LabelOf<'_>> {
        views(&self.labels)
    }
}

fn words_of(prediction: &Prediction) -> Words {
    Words::from_bytes(&prediction.words).expect("words are kept as Words::to_bytes writes them")
}

/// The counts of one note against one reference, for each row that they belong to; none when the texts differ.
fn student_against(prediction: &Prediction, annotator: &str, reference: &Labels) -> Vec<(QualityKey, Counts)> {
    if prediction.text_hash != reference.text_hash {
        return Vec::new();
    }
    let sides = (Comparison::StudentReference, annotator);
    rows(prediction, &words_of(prediction), sides, (&reference.tasks, &reference.spans))
}

/// The counts of one note against each teacher's label and against the chosen ensembles.
fn student_against_labels(labelled: &Labelled, panel: &TeacherPanel) -> Vec<(QualityKey, Counts)> {
    let (prediction, words, labels) = (&labelled.prediction.0, labelled.words(), labelled.views());
    let of_teacher = |label: &LabelOf<'_>| {
        rows(prediction, &words, (Comparison::StudentTeacher, label.teacher), (label.tasks, label.spans))
    };
    let mut counted: Vec<_> = labels.iter().flat_map(of_teacher).collect();
    let (tasks, spans) = panel.merge(&words, &labels);
    counted.extend(rows(prediction, &words, (Comparison::StudentEnsemble, ENSEMBLE), (&tasks, &spans)));
    counted
}

/// A row of a note's type and site and one of all, for each task and level.
fn rows(
    prediction: &Prediction,
    words: &Words,
    (comparison, reference): (Comparison, &str),
    (tasks, spans): (&TaskSet, &[Span]),
) -> Vec<(QualityKey, Counts)> {
    let mut rows = Vec::with_capacity(2 * Level::ALL.len() * tasks.len());
    for &task in tasks {
        let scores = score_spans(words, task, &prediction.spans, spans);
        for (level, counts) in Level::ALL.into_iter().zip(scores) {
            let rollup = QualityKey {
                task,
                level,
                comparison,
                model: prediction.model.clone(),
                reference: reference.to_owned(),
                note_type: None,
                site: None,
                rollup: true,
            };
            let (note_type, site) = (prediction.note_type.clone(), prediction.site.clone());
            rows.push((QualityKey { note_type, site, rollup: false, ..rollup.clone() }, counts));
            rows.push((rollup, counts));
        }
    }
    rows
}

/// The counts in words of one reference of the same text: of every subset of the teachers, and of what the student alone tags.
fn labelled_against(
    labelled: &Labelled,
    annotator: &str,
    reference: &Labels,
    panel: &TeacherPanel,
) -> Vec<(QualityKey, Counts)> {
    let prediction = &labelled.prediction.0;
    if reference.text_hash != prediction.text_hash {
        return Vec::new();
    }
    let (words, labels) = (labelled.words(), labelled.views());
    let row = |task, comparison, model: ModelId| QualityKey {
        task,
        level: Level::Word,
        comparison,
        model,
        reference: annotator.to_owned(),
        note_type: None,
        site: None,
        rollup: true,
    };
    let mut counted = Vec::new();
    for &task in &reference.tasks {
        let of_teachers = panel.against(&words, task, &labels, &reference.spans).into_iter();
        counted.extend(of_teachers.map(|(model, counts)| (row(task, Comparison::TeachersReference, model), counts)));
    }
    let (labelled_tasks, merged) = panel.merge(&words, &labels);
    for &task in labelled_tasks.intersection(&reference.tasks) {
        let counts = only_student(&words, task, (&prediction.spans, &merged), &reference.spans);
        counted.push((row(task, Comparison::FalsePositivesReviewed, prediction.model.clone()), counts));
    }
    counted
}
