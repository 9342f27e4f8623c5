//! Which vocabularies entities are looked up in, and how.

use crate::ConceptError;
use crate::fuzzy::SCORE_MIN;
use crate::reading::{Reading, VocabularyFormat, beside, tags_of};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::PathBuf;
use stillroom_schemas::Task;

/// Which vocabularies entities are looked up in, and how. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConceptsConfig {
    /// The vocabularies; where two know a name equally well the first one has it. Default none: entities have no concept.
    pub vocabularies: Vec<VocabularyConfig>,
    /// Files of abbreviations: a line each, with a tab between the abbreviation, what it stands for and, if it does so for one only, the
    /// task; lines that begin with `#` are comments. They go before those that come with the program. Default none.
    pub abbreviations: Vec<PathBuf>,
    /// Whether the abbreviations that come with the program are spelt out. Default true.
    pub own_abbreviations: bool,
    /// The least score of a name that is nearly the words of an entity, 0.7 to 1; 1 looks for none. Default 0.85: one letter in seven.
    pub fuzzy_score_min: f64,
    /// Names of all vocabularies at most; each takes about 0.1 KB, while loading twice as much. Default 5000000.
    pub names_max: usize,
}

impl Default for ConceptsConfig {
    fn default() -> ConceptsConfig {
        ConceptsConfig {
            vocabularies: Vec::new(),
            abbreviations: Vec::new(),
            own_abbreviations: true,
            fuzzy_score_min: 0.85,
            names_max: 5_000_000,
        }
    }
}

impl ConceptsConfig {
    /// # Errors
    /// When a setting cannot be used.
    pub(crate) fn check(&self) -> Result<(), ConceptError> {
        let refuse = |object: String, reason: &str| Err(ConceptError::Config { object, reason: reason.to_owned() });
        if !(SCORE_MIN..=1.0).contains(&self.fuzzy_score_min) {
            let reason = "must be from 0.7 to 1; 1 looks for no names that are only nearly the words";
            return refuse("concepts.fuzzy_score_min".to_owned(), reason);
        }
        let mut names = HashSet::new();
        for VocabularyConfig { name, path, tasks, .. } in &self.vocabularies {
            let object = format!("the vocabulary {}", path.display());
            if name.is_empty() {
                return refuse(object, "has no name; set name to what its codes are to be known by, such as rxnorm");
            }
            if tasks.is_empty() {
                return refuse(object, "has no tasks; name those whose entities it knows");
            }
            if !names.insert(name) {
                return refuse(object, &format!("has the name {name} of one before; give each a name of its own"));
            }
        }
        Ok(())
    }
}

/// A vocabulary. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularyConfig {
    /// What its codes are known by. Example: `name = "rxnorm"`.
    pub name: String,
    /// The tasks whose entities it knows. Example: `tasks = ["disease", "symptom"]`.
    pub tasks: Vec<Task>,
    /// The file of names. Example: `path = "rrf/RXNCONSO.RRF"`.
    pub path: PathBuf,
    /// Its format. Default: by the file's name (`RXNCONSO…`, `sct2_Description…`, `….obo`, `….tsv`).
    #[serde(default)]
    pub format: Option<VocabularyFormat>,
    /// The kinds of names to take. Default: of RxNorm all term types of drugs, with their synonyms; of OBO names and synonyms of scope
    /// `EXACT`, `NARROW` and `RELATED`; of SNOMED CT names and synonyms (`FSN`, `SYN`); of TSV all. Example: `kinds = ["NAME", "EXACT"]`.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Of SNOMED CT, the semantic tags to take; a name that concepts of several have is that of the first. Default: those of the tasks,
    /// for diseases `disorder`; for symptoms `finding`; for medications `product`, `medicinal product`, `medicinal product form`,
    /// `clinical drug` and `substance`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Of SNOMED CT, the file of concepts, so that names of retired concepts are left out. Default: `sct2_Concept_Snapshot…` beside the
    /// names; where it is not there they are taken.
    #[serde(default)]
    pub concepts: Option<PathBuf>,
    /// The file of relations. Default: `RXNREL.RRF` or `sct2_Relationship_Snapshot…` beside the names, where it is there; OBO and TSV
    /// have none.
    #[serde(default)]
    pub relations: Option<PathBuf>,
    /// The version that stands in every code. Default: as the publisher names it in or beside the file, or else the beginning of the
    /// file's SHA-256. Example: `version = "2025-10-06"`.
    #[serde(default)]
    pub version: Option<String>,
}

impl VocabularyConfig {
    /// A file with the defaults of its format.
    pub fn new(name: &str, task: Task, path: impl Into<PathBuf>) -> VocabularyConfig {
        VocabularyConfig {
            name: name.to_owned(),
            tasks: vec![task],
            path: path.into(),
            format: None,
            kinds: Vec::new(),
            tags: Vec::new(),
            concepts: None,
            relations: None,
            version: None,
        }
    }

    /// How the file of names is read.
    ///
    /// # Errors
    /// When its format is not known.
    pub(crate) fn reading(&self) -> Result<Reading, ConceptError> {
        let format = match self.format {
            Some(format) => format,
            None => VocabularyFormat::of(&self.path)?,
        };
        let is_snomed = format == VocabularyFormat::Snomed;
        let (mut tags, mut concepts) = (self.tags.clone(), self.concepts.clone());
        if is_snomed && tags.is_empty() {
            tags.extend(self.tasks.iter().flat_map(|&task| tags_of(task)).map(|tag| tag.to_string()));
        }
        if is_snomed && concepts.is_none() {
            concepts = beside(&self.path, "sct2_concept_snapshot");
        }
        Ok(Reading { path: self.path.clone(), format, kinds: self.kinds.clone(), tags, products: true, concepts })
    }

    /// The file of relations, where there is one.
    pub(crate) fn relations(&self, format: VocabularyFormat) -> Option<PathBuf> {
        self.relations.clone().or_else(|| match format {
            VocabularyFormat::Rxnorm => beside(&self.path, "rxnrel."),
            VocabularyFormat::Snomed => beside(&self.path, "sct2_relationship_snapshot"),
            VocabularyFormat::Obo | VocabularyFormat::Tsv => None,
        })
    }
}
