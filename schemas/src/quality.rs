//! Live precision, recall and F1.

use crate::{ModelId, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `quality.v1`: agreement of a student or of teachers with a reference, over the live notes. A null value under the same key says that no
/// such notes are left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    /// What is measured.
    #[serde(flatten)]
    pub key: QualityKey,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// `tp / (tp + fp)`, 0 when nothing was predicted.
    pub precision: f64,
    /// `tp / (tp + fn)`, 0 when nothing was there to find.
    pub recall: f64,
    /// `2 tp / (2 tp + fp + fn)`, 0 when nothing was predicted and nothing was there.
    pub f1: f64,
}

/// What a quality figure is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct QualityKey {
    /// The task.
    pub task: Task,
    /// The unit that is counted.
    pub level: Level,
    /// What stands on both sides. Agreement with teachers is not accuracy: read this before the figure.
    #[serde(default, skip_serializing_if = "Comparison::is_default")]
    pub comparison: Comparison,
    /// Who is measured: the student, or the teachers and the rule that merges them.
    pub model: ModelId,
    /// The annotator of the reference, the teacher, or the ensemble.
    pub reference: String,
    /// The notes' type; absent for the sum over all types and sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_type: Option<String>,
    /// The notes' site; absent for the sum over all types and sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whether this is the sum over all note types and sites.
    pub rollup: bool,
}

/// What is measured against what. References are what stands on the topic of references, be it by people or not; teachers' labels
/// have a topic of their own and are never among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The student against an annotator's references.
    #[default]
    StudentReference,
    /// The student against a teacher's labels.
    StudentTeacher,
    /// The student against what the chosen ensemble makes of its teachers' labels.
    StudentEnsemble,
    /// Teachers, merged by a rule, against an annotator's references, over the notes that all teachers have labelled.
    TeachersReference,
    /// Of the words that the student tags and the chosen ensemble does not, those that an annotator's references call mentions (`tp`) and
    /// those that they do not (`fp`): `precision` is the share of these false positives that were errors of annotation. `fn` is 0, and
    /// recall and F1 say nothing. Over the notes that all teachers of the ensemble have labelled.
    FalsePositivesReviewed,
}

impl Comparison {
    fn is_default(&self) -> bool {
        *self == Comparison::default()
    }

    /// Whether the figure depends on nothing but the records on the topics, and not on which teachers are asked or chosen.
    pub fn is_of_records(self) -> bool {
        matches!(self, Comparison::StudentReference | Comparison::StudentTeacher)
    }
}

/// The unit that true and false positives are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Words under I/O tags, class I positive, as in the published method.
    Word,
    /// Spans with both ends equal.
    SpanExact,
    /// Spans that share a word.
    SpanOverlap,
}

impl Level {
    /// Every level.
    pub const ALL: [Level; 3] = [Level::Word, Level::SpanExact, Level::SpanOverlap];
}

/// Counts of one task at one level, micro-averaged by addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Notes that were compared.
    pub notes: i64,
    /// True positives.
    pub tp: i64,
    /// False positives.
    pub fp: i64,
    /// False negatives.
    #[serde(rename = "fn")]
    pub fn_: i64,
}

impl Counts {
    /// `tp / (tp + fp)`; 0 when nothing was predicted, as scikit-learn's `zero_division=0`.
    pub fn precision(&self) -> f64 {
        ratio(self.tp, self.tp + self.fp)
    }

    /// `tp / (tp + fn)`; 0 when there was nothing to find.
    pub fn recall(&self) -> f64 {
        ratio(self.tp, self.tp + self.fn_)
    }

    /// `2 tp / (2 tp + fp + fn)`; 0 when all counts are 0.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.notes += other.notes;
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
    }
}

fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
