//! What the labels of the known corpora are read as.

use super::{CorpusConfig, CorpusFormat};
use crate::LogError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillroom_schemas::{Task, TaskSet};

/// So many labels are named in an error.
const LABELS_NAMED_MAX: usize = 12;

/// A corpus whose labels are known. Its tasks are those of its labels; whatever else a corpus annotates is unannotated to stillroom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCorpus {
    /// Its name on the command line.
    pub name: &'static str,
    /// As what its publisher writes it.
    pub format: CorpusFormat,
    /// Labels and the tasks that they are read as.
    pub labels: &'static [(&'static str, Task)],
    /// How many documents the published study took for development out of those that are no test documents, and how many for tests,
    /// where the corpus has no such part of its own; absent where there is no split to follow.
    pub drawn: Option<(usize, usize)>,
}

impl KnownCorpus {
    /// All of them.
    pub const ALL: [KnownCorpus; 5] = [
        // Doğan, Leaman and Lu, 2014: doi.org/10.1016/j.jbi.2013.12.006.
        KnownCorpus {
            name: "ncbi_disease",
            format: CorpusFormat::PubTator,
            labels: &[
                ("SpecificDisease", Task::Disease),
                ("DiseaseClass", Task::Disease),
                ("CompositeMention", Task::Disease),
                ("Modifier", Task::Disease),
            ],
            drawn: Some((0, 0)),
        },
        // Li et al., 2016: doi.org/10.1093/database/baw068. Chemicals are more than medications.
        KnownCorpus {
            name: "bc5cdr",
            format: CorpusFormat::PubTator,
            labels: &[("Disease", Task::Disease), ("Chemical", Task::Medication)],
            drawn: Some((0, 0)),
        },
        // Henry et al., 2020: doi.org/10.1093/jamia/ocz166. Reasons and adverse events are marked for drugs alone, so that they annotate
        // neither diseases nor symptoms.
        KnownCorpus {
            name: "n2c2_2018",
            format: CorpusFormat::Brat,
            labels: &[("Drug", Task::Medication)],
            drawn: Some((25, 0)),
        },
        // Caufield et al., 2018: doi.org/10.1038/sdata.2018.258.
        KnownCorpus {
            name: "maccrobat",
            format: CorpusFormat::Brat,
            labels: &[
                ("Disease_disorder", Task::Disease),
                ("Medication", Task::Medication),
                ("Sign_symptom", Task::Symptom),
            ],
            drawn: None,
        },
        // Sushil et al., 2024: doi.org/10.13026/v69y-xa45, with the labels of its annotation.conf. A tumour is annotated by its
        // characteristics, so that ClinicalCondition, the other conditions, does not annotate all diseases.
        KnownCorpus {
            name: "coral",
            format: CorpusFormat::Brat,
            labels: &[("Symptom", Task::Symptom), ("MedicationName", Task::Medication)],
            drawn: Some((5, 35)),
        },
    ];

    fn has_label(&self, label: &str) -> bool {
        self.labels.iter().any(|(known, _)| *known == label)
    }
}

/// What labels are read as.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    corpus: Option<KnownCorpus>,
    labels: BTreeMap<String, Task>,
}

/// The labels of all files.
#[derive(Debug, Default)]
pub(super) struct Seen {
    labels: BTreeSet<String>,
    are_there: bool,
}

impl Mapping {
    /// What `config` and the corpus say of the labels that were found at `path`: of the corpus that `config` names, or the one of this
    /// format that has a label among them.
    ///
    /// # Errors
    /// When several corpora have, or when nothing says what any of them is.
    pub(super) fn of(
        path: &Path,
        (format, found): (CorpusFormat, BTreeSet<String>),
        config: &CorpusConfig,
        seen: &mut Seen,
    ) -> Result<Mapping, LogError> {
        let failed = |cause: String| Err(LogError::NotCorpus { path: path.to_owned(), cause });
        let known = KnownCorpus::ALL.into_iter().filter(|known| known.format == format);
        let told: Vec<KnownCorpus> = match config.corpus {
            Some(corpus) => vec![corpus],
            None => known.filter(|known| found.iter().any(|label| known.has_label(label))).collect(),
        };
        if let [one, other, ..] = told.as_slice() {
            let (one, other) = (one.name, other.name);
            return failed(format!("has labels of {one} and of {other}; give each corpus by itself, or name the one"));
        }
        let corpus = told.first().copied();
        let of_corpus =
            corpus.iter().flat_map(|corpus| corpus.labels).map(|(label, task)| ((*label).to_owned(), Some(*task)));
        let mut labels: BTreeMap<String, Option<Task>> = of_corpus.collect();
        labels.extend(config.map.iter().cloned());
        let labels: BTreeMap<String, Task> =
            labels.into_iter().filter_map(|(label, task)| Some((label, task?))).collect();
        if labels.is_empty() {
            let named: Vec<&str> = found.iter().map(String::as_str).take(LABELS_NAMED_MAX).collect();
            let named = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
            return failed(format!(
                "has no label that is read ({named}); name the corpus, or the task of a label, such as Disease=disease"
            ));
        }
        seen.labels.extend(found);
        seen.are_there = true;
        Ok(Mapping { corpus, labels })
    }

    pub(super) fn corpus(&self) -> Option<KnownCorpus> {
        self.corpus
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = (String, Task)> + '_ {
        self.labels.iter().map(|(label, task)| (label.clone(), *task))
    }

    pub(super) fn task(&self, label: &str) -> Option<Task> {
        self.labels.get(label).copied()
    }

    /// What a document is annotated for, whether it has such a mention or not.
    pub(super) fn tasks(&self) -> TaskSet {
        self.labels.values().copied().collect()
    }
}

impl Seen {
    /// A label of `config` that no annotation has would turn a slip of the pen into documents without mentions.
    pub(super) fn check(&self, config: &CorpusConfig) -> Result<(), LogError> {
        let is_known =
            |label: &str| self.labels.contains(label) || config.corpus.is_some_and(|corpus| corpus.has_label(label));
        match config.map.iter().find(|(label, _)| !is_known(label)) {
            Some((label, _)) if self.are_there => {
                let named: Vec<&str> = self.labels.iter().map(String::as_str).take(LABELS_NAMED_MAX).collect();
                Err(LogError::NoLabel { label: label.clone(), labels: named.join(", ") })
            }
            _ => Ok(()),
        }
    }
}

/// Whether this can be a label. What is none may be text of a document that slipped into its column.
pub(super) fn is_label(label: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    !label.is_empty() && label.len() <= 64 && label.chars().all(is_part)
}
