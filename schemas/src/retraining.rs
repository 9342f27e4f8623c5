//! What there is to learn, and how far notes have drifted.

use crate::{ModelId, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `retraining.v1`: what the retraining topology sees of labels and notes. A null value under the same key says that it
/// is seen no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Retraining {
    /// What is said.
    #[serde(flatten)]
    pub key: RetrainingKey,
    /// What there is to learn of the task; there if this is about the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// How far the measure has drifted; there if this is about drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RetrainingKey {
    /// Of which kind it is.
    pub about: About,
    /// The task; absent where a measure is of all tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// What drifts; absent for the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// The notes' type; absent for notes of all types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_type: Option<String>,
    /// The notes' site; absent for notes of all sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// Of which kind a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// What there is to learn of a task.
    Balance,
    /// How far a measure has drifted since the serving student took over.
    Drift,
}

/// What is measured of each note that the serving student tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share of its words that are tagged as the task.
    TaggedWords,
    /// Word pieces a word: what the student's vocabulary does not know is cut into many.
    WordPieces,
    /// How its entities are spread over the tasks.
    Entities,
}

/// Examples of a task, a note each, as they stand now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// By people, to learn from.
    pub human: u64,
    /// By teachers, to learn from.
    pub teachers: u64,
    /// Mentions in those to learn from.
    pub mentions: u64,
    /// By people, of patients who are held out: students are measured by them.
    pub held_out: u64,
    /// Those to learn from that the last run did not learn from.
    pub new: u64,
}

/// How far a measure of recent notes is from that of the first ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The student that tagged them.
    pub model: ModelId,
    /// How many notes stand on each side: the first that the student tagged, and the last.
    pub notes: u64,
    /// The population stability index, to three decimals: 0 where both sides are alike; by custom 0.1 is a moderate
    /// shift and 0.25 a large one.
    pub psi: f64,
    /// What chance alone exceeds once in a million, to three decimals.
    pub chance: f64,
    /// The mean over the first notes, to four decimals; absent for entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// The mean over the last notes, to four decimals; absent for entities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<f64>,
}
