//! All figures of a study, as they stand in `report.json`. The pages are made from this and from nothing else.

use crate::estimate::Estimate;
use crate::study::dataset::Role;
use serde::Serialize;
use std::collections::BTreeMap;
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_schemas::{Counts, Level, Task};

/// All figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The study's name.
    pub(crate) name: String,
    /// The version of the program.
    pub(crate) stillroom: String,
    /// Where students and vocabularies ran.
    pub(crate) machine: Machine,
    /// Samples of each bootstrap.
    pub(crate) samples: usize,
    /// Annotations that were left out, as they do not stand where they say.
    pub(crate) problems: u64,
    /// What was read.
    pub(crate) datasets: Vec<DatasetRow>,
    /// The choice of teachers, for each task that has any.
    pub(crate) selections: Vec<Selection>,
    /// Who was trained.
    pub(crate) students: Vec<StudentRow>,
    /// Of each task the documents that stand for it: test where there is some, else dev.
    pub(crate) main_groups: BTreeMap<Task, Group>,
    /// How well everybody does.
    pub(crate) figures: Vec<Figure>,
    /// How well students do on average over their seeds, where they have several.
    pub(crate) seed_means: Vec<SeedMean>,
    /// Students less their teachers.
    pub(crate) differences: Vec<Difference>,
    /// What a note takes.
    pub(crate) costs: Vec<Cost>,
    /// Teachers over students.
    pub(crate) ratios: Vec<Ratio>,
    /// What is to be reviewed, for each task.
    pub(crate) reviews: Vec<Review>,
}

/// A machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Notes that are read at once.
    pub(crate) threads: usize,
    /// `cpu` or `cuda:0`.
    pub(crate) device: String,
    /// In what students multiply when they read: `int8` or `f32` on a processor, `bf16`, `f16` or `f32` on a GPU.
    pub(crate) precision: String,
    /// Dollars an hour; absent when not stated.
    pub(crate) usd_an_hour: Option<f64>,
}

/// A part of a dataset.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DatasetRow {
    /// The dataset.
    pub(crate) dataset: String,
    /// What it is for.
    pub(crate) role: Role,
    /// The part.
    pub(crate) part: String,
    /// Documents.
    pub(crate) documents: usize,
    /// Words, pre-tokens of the basic BERT tokenizer.
    pub(crate) words: usize,
    /// Mentions by task; a task that is absent is unannotated.
    pub(crate) entities: BTreeMap<Task, usize>,
}

/// Every subset of the teachers under every rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Selection {
    /// The task.
    pub(crate) task: Task,
    /// Documents of dev with a useful answer of every teacher.
    pub(crate) documents: usize,
    /// Documents of dev that lack one.
    pub(crate) left_out: usize,
    /// The best F1 first; the first one is the choice.
    pub(crate) candidates: Vec<CandidateRow>,
}

/// A subset under a rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CandidateRow {
    /// Teachers and rule.
    pub(crate) ensemble: Ensemble,
    /// Whether no other rule is better for these teachers.
    pub(crate) is_best_rule: bool,
    /// Words.
    pub(crate) counts: Counts,
    /// Precision in words.
    pub(crate) precision: f64,
    /// Recall in words.
    pub(crate) recall: f64,
    /// F1 in words, with its interval.
    pub(crate) f1: Estimate,
}

/// A student.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StudentRow {
    /// Its name among the systems of its tasks.
    pub(crate) name: String,
    /// What it started from.
    pub(crate) base: String,
    /// Whose labels it learned from.
    pub(crate) source: String,
    /// What it learned.
    pub(crate) tasks: Vec<Task>,
    /// Its seed.
    pub(crate) seed: u64,
    /// Documents and notes that it learned from.
    pub(crate) documents: usize,
    /// Passes that were made.
    pub(crate) epochs: usize,
    /// SHA-256 of its weights.
    pub(crate) weights_hash: String,
    /// Its folder in that of the study.
    pub(crate) folder: String,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A teacher.
    Teacher,
    /// The chosen ensemble of teachers.
    Ensemble,
    /// A student.
    Student,
}

/// The documents that a figure is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Group {
    /// The dataset, or `all` for those of the study together.
    pub(crate) dataset: String,
    /// What it is for.
    pub(crate) role: Role,
    /// The part.
    pub(crate) part: String,
}

/// How well a system does.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// On what.
    #[serde(flatten)]
    pub(crate) group: Group,
    /// The task.
    pub(crate) task: Task,
    /// The system.
    pub(crate) system: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Documents that it has read.
    pub(crate) documents: usize,
    /// Their words.
    pub(crate) words: usize,
    /// In words and in spans.
    pub(crate) levels: BTreeMap<Level, LevelFigure>,
}

/// Precision, recall and F1 at one level.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LevelFigure {
    /// What was counted.
    pub(crate) counts: Counts,
    /// Precision.
    pub(crate) precision: Estimate,
    /// Recall.
    pub(crate) recall: Estimate,
    /// F1.
    pub(crate) f1: Estimate,
}

/// How well a student does on average over its seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SeedMean {
    /// On what.
    #[serde(flatten)]
    pub(crate) group: Group,
    /// The task.
    pub(crate) task: Task,
    /// Its name in the tables.
    pub(crate) system: String,
    /// The students that it is the mean of, one a seed.
    pub(crate) students: Vec<String>,
    /// Documents that each of them has read.
    pub(crate) documents: usize,
    /// Their words.
    pub(crate) words: usize,
    /// In words and in spans.
    pub(crate) levels: BTreeMap<Level, LevelMean>,
}

/// Precision, recall and F1 at one level, over seeds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct LevelMean {
    /// Precision.
    pub(crate) precision: Spread,
    /// Recall.
    pub(crate) recall: Spread,
    /// F1.
    pub(crate) f1: Spread,
}

/// A figure over seeds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    /// The mean.
    pub(crate) mean: f64,
    /// The standard deviation of the seeds as a sample, with n - 1.
    pub(crate) deviation: f64,
}

/// F1 of a student less that of its teacher, in words, over the documents that both have read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Difference {
    /// On what.
    #[serde(flatten)]
    pub(crate) group: Group,
    /// The task.
    pub(crate) task: Task,
    /// The student.
    pub(crate) student: String,
    /// Whom it learned from.
    pub(crate) teacher: String,
    /// Documents.
    pub(crate) documents: usize,
    /// The difference; the samples of both are the same.
    pub(crate) f1: Estimate,
}

/// What a note takes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// The task.
    pub(crate) task: Task,
    /// The system.
    pub(crate) system: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Documents that were timed.
    pub(crate) documents: usize,
    /// Seconds a note; of an ensemble those of its slowest teacher, as they are asked at once.
    pub(crate) seconds: f64,
    /// Dollars a note; absent where no price is stated.
    pub(crate) usd: Option<f64>,
}

/// A teacher's cost over a student's.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ratio {
    /// The task.
    pub(crate) task: Task,
    /// The student.
    pub(crate) student: String,
    /// The teacher, or the ensemble.
    pub(crate) teacher: String,
    /// How many times faster the student is.
    pub(crate) faster: f64,
    /// How many times cheaper the student is; absent where a price is not stated.
    pub(crate) cheaper: Option<f64>,
}

/// False positives that people are to judge.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Review {
    /// The task.
    pub(crate) task: Task,
    /// The student.
    pub(crate) student: String,
    /// On what.
    #[serde(flatten)]
    pub(crate) group: Group,
    /// The sheet, in the folder of the study.
    pub(crate) file: String,
    /// Rows of this task in the sheet.
    pub(crate) rows: usize,
    /// Runs of words that it tagged and nobody had annotated, of which the rows were drawn.
    pub(crate) runs: usize,
    /// Words of these runs.
    pub(crate) false_positives: i64,
    /// Words that it tagged rightly.
    pub(crate) true_positives: i64,
}
