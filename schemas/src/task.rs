//! What is looked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is extracted: the three tasks of the published method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Diseases and disorders.
    Disease,
    /// Medications, and drugs in the wider sense of the corpora.
    Medication,
    /// Signs and symptoms.
    Symptom,
}

impl Task {
    /// Every task, in the order of the student's heads.
    pub const ALL: [Task; 3] = [Task::Disease, Task::Medication, Task::Symptom];

    /// The position in [`Task::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name as it stands in records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Task::Disease => "disease",
            Task::Medication => "medication",
            Task::Symptom => "symptom",
        }
    }
}

/// The tasks that a document was annotated for. A task outside the set is unannotated there, not empty.
pub type TaskSet = std::collections::BTreeSet<Task>;
