//! The configuration of a dataset.

use crate::corpora::{self, Drawn};
use crate::refused::{Refused, not_empty};
use crate::study::figures::ALL;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use stillroom_connectors::CorpusConfig;
use stillroom_schemas::Task;

/// What a dataset is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// To choose and to learn by, and to measure on.
    #[default]
    Study,
    /// To measure on alone: external validation.
    External,
}

/// An annotated corpus. A path is a file or folder in a format of `corpus convert`; `PATH:train`, `PATH:dev` and `PATH:test` are a part
/// of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DatasetConfig {
    /// Its name in the report.
    pub(crate) name: String,
    /// `study`, or `external` for one that is only measured on. Default `study`.
    pub(crate) role: Role,
    /// Documents that students learn from. Default none. Example: `train = ["n2c2:train"]`.
    pub(crate) train: Vec<PathBuf>,
    /// Documents that ensembles, passes and thresholds are chosen by; a dataset of the study needs them.
    pub(crate) dev: Vec<PathBuf>,
    /// Documents that nothing is chosen by; an external dataset needs them. Default none.
    pub(crate) test: Vec<PathBuf>,
    /// What it is used for; all that its documents are annotated for by default. Example: `tasks = ["symptom"]`.
    pub(crate) tasks: Vec<Task>,
    /// The format of all files: `pubtator`, `brat` or `jsonl`. Default: by each file.
    pub(crate) format: Option<String>,
    /// Whose labels the annotations have: `ncbi_disease`, `bc5cdr`, `n2c2_2018`, `maccrobat` or `coral`. Default: by the labels.
    pub(crate) corpus: Option<String>,
    /// Labels and the tasks that they are read as, or `none`. Default: as the corpus says. Example: `map = { Modifier = "none" }`.
    pub(crate) map: BTreeMap<String, String>,
    /// How many documents are drawn for the parts that files do not tell.
    pub(crate) split: Drawn,
    /// Training documents at most, drawn by `split.seed`; 0 for all. Default 0.
    pub(crate) train_max: usize,
    /// Development documents at most, drawn by `split.seed`; 0 for all. Default 0.
    pub(crate) dev_max: usize,
    /// Test documents at most, drawn by `split.seed`; 0 for all. Default 0.
    pub(crate) test_max: usize,
}

impl DatasetConfig {
    /// Refuses what cannot be read, given the datasets before it.
    ///
    /// # Errors
    /// Names the setting and the dataset.
    pub(crate) fn check(&self, others: &[DatasetConfig]) -> Result<(), Refused> {
        let key = |field: &str| format!("datasets.{field}");
        not_empty(key("name"), self.name.is_empty(), "say what the dataset is called")?;
        let refuse = |field: &str, reason: String| Err(Refused::new(key(field), format!("of {} {reason}", self.name)));
        if others.iter().any(|other| other.name == self.name) {
            return refuse("name", "is there twice; give each dataset a name of its own".to_owned());
        }
        if self.name == ALL {
            let reason = "is what the report calls all datasets of the study together; choose another name";
            return refuse("name", reason.to_owned());
        }
        match self.role {
            Role::Study if self.dev.is_empty() => {
                return refuse("dev", "is empty; name documents to choose by, or write role = \"external\"".to_owned());
            }
            Role::External if self.test.is_empty() => {
                return refuse("test", "is empty; name documents to measure on".to_owned());
            }
            Role::External if !self.train.is_empty() || !self.dev.is_empty() => {
                return refuse("role", "is external, but it has train or dev; leave them out".to_owned());
            }
            Role::Study | Role::External => {}
        }
        match self.reading() {
            Ok(_) => Ok(()),
            Err(error) => refuse("format, corpus or map", format!("cannot be used: {error:#}")),
        }
    }

    /// What the reader of corpora is told.
    ///
    /// # Errors
    /// When a format, a corpus or a task is unknown.
    pub(crate) fn reading(&self) -> Result<CorpusConfig> {
        let mapped = |(label, task): (&String, &String)| corpora::mapped(&format!("{label}={task}"));
        Ok(CorpusConfig {
            format: self.format.as_deref().map(corpora::format).transpose()?,
            corpus: self.corpus.as_deref().map(corpora::known).transpose()?,
            map: self.map.iter().map(mapped).collect::<Result<_>>()?,
        })
    }
}
