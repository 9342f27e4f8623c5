//! Files of vocabularies: names, and how concepts stand to one another.
//!
//! In flow files as their publishers write them, out flow names and relations, one at a time, to a [`Sink`]. One line of a file is in
//! memory at a time, and the concepts that are taken where a format does not say so beside each name. A line that is not of its
//! format is left out and counted; a file of which most lines are is refused.

mod lines;
mod obo;
mod release;
mod rxnorm;
mod snomed;
mod tsv;

pub use lines::{Lines, RelationsReport, VocabularyReport};
pub use snomed::tags_of;

pub(crate) use release::beside;

use crate::ConceptError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a file of names is called in errors.
const VOCABULARY: &str = "the vocabulary";

/// What a file of relations is called in errors.
const RELATIONS: &str = "the relations";

/// The formats of vocabularies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VocabularyFormat {
    /// `RXNCONSO.RRF` of RxNorm, in full or its prescribable subset.
    Rxnorm,
    /// `sct2_Description_Snapshot….txt` of SNOMED CT, release format 2.
    Snomed,
    /// An ontology in OBO, version 1.2 or 1.4.
    Obo,
    /// Tab-separated values with a line of column names, `id` and `synonym` among them, `kind` if there are kinds. Concepts also take
    /// `preferred_name`, and of `parents` and `ingredients` ids with a bar between them.
    Tsv,
}

impl VocabularyFormat {
    /// The format that the file's name tells.
    ///
    /// # Errors
    /// When it tells none.
    pub fn of(path: &Path) -> Result<VocabularyFormat, ConceptError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match () {
            () if name.starts_with("rxnconso") => Ok(VocabularyFormat::Rxnorm),
            () if name.contains("sct2_description") => Ok(VocabularyFormat::Snomed),
            () if name.ends_with(".obo") => Ok(VocabularyFormat::Obo),
            () if name.ends_with(".tsv") => Ok(VocabularyFormat::Tsv),
            () => Err(ConceptError::Config {
                object: format!("{VOCABULARY} {}", path.display()),
                reason: "has a name that tells no format; set format to rxnorm, snomed, obo or tsv".to_owned(),
            }),
        }
    }
}

/// How a name stands to its concept, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is the one that the vocabulary prefers.
    Preferred,
    /// It means the same.
    Exact,
    /// It means something narrower.
    Narrow,
    /// It means something near.
    Related,
    /// It means something broader.
    Broad,
}

/// A name of a concept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The concept's code, as the file has it.
    pub concept: &'a str,
    /// The name.
    pub name: &'a str,
    /// How it stands to the concept.
    pub standing: Standing,
    /// Where the concept comes among those that have a name in common, the least first; the least of all of its names counts. Of
    /// RxNorm that of its term type, of SNOMED CT that of its semantic tag among [`Reading::tags`], else 255.
    pub order: u8,
    /// Whether the concept is an ingredient, as far as the name tells.
    pub is_ingredient: bool,
}

/// How a concept stands to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// To a broader one: by is-a, and of RxNorm from a brand, product or component towards what it is made of.
    Broader,
    /// To an ingredient of it.
    Ingredient,
}

/// A relation between two concepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The code of the narrower concept, or of the drug.
    pub from: &'a str,
    /// The code of the broader concept, or of the ingredient.
    pub to: &'a str,
    /// Which of these.
    pub kind: RelationKind,
}

/// Where names and relations go.
pub trait Sink {
    /// Why it takes no more.
    type Error: From<ConceptError>;

    /// Takes a name.
    ///
    /// # Errors
    /// Ends the reading.
    fn name(&mut self, name: Name<'_>) -> Result<(), Self::Error>;

    /// Takes the name that is preferred for a concept, from a file that has it in a place of its own; it need not be among the names.
    ///
    /// # Errors
    /// Ends the reading.
    fn preferred(&mut self, _concept: &str, _name: &str) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Takes a relation; the same one may come several times, and about concepts without a name.
    ///
    /// # Errors
    /// Ends the reading.
    fn relation(&mut self, _relation: Relation<'_>) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A file of names, and what to take of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: VocabularyFormat,
    /// The kinds of names; the format's own choice where there are none.
    pub kinds: Vec<String>,
    /// Of SNOMED CT, the semantic tags.
    pub tags: Vec<String>,
    /// Of RxNorm, whether drugs with strength and dose form are among the format's own choice.
    pub products: bool,
    /// Of SNOMED CT, the file of concepts, so that retired ones are left out.
    pub concepts: Option<PathBuf>,
}

impl Reading {
    /// Whether names of this kind are taken, given the format's own choice.
    fn takes(&self, kind: &str, defaults: &[&str]) -> bool {
        match self.kinds.is_empty() {
            true => defaults.contains(&kind),
            false => self.kinds.iter().any(|taken| taken == kind),
        }
    }

    /// Passes each name to `sink`, and the relations that stand beside names.
    ///
    /// # Errors
    /// When a file cannot be read or is not of its format, or when the sink takes no more.
    pub fn read<S: Sink>(&self, sink: &mut S) -> Result<VocabularyReport, S::Error> {
        let mut lines = Lines::open(&self.path, VOCABULARY)?;
        let mut sink = Counted { sink, names: 0, relations: 0 };
        match self.format {
            VocabularyFormat::Rxnorm => rxnorm::read(self, &mut lines, &mut sink)?,
            VocabularyFormat::Snomed => snomed::read(self, &mut lines, &mut sink)?,
            VocabularyFormat::Obo => obo::read(self, &mut lines, &mut sink)?,
            VocabularyFormat::Tsv => tsv::read(self, &mut lines, &mut sink)?,
        }
        Ok(lines.names(sink.names)?)
    }

    /// Passes each relation of a file of relations to `sink`: `RXNREL.RRF` of RxNorm, `sct2_Relationship_Snapshot…` of SNOMED CT.
    ///
    /// # Errors
    /// As [`Reading::read`]; also when the format has no such file.
    pub fn read_relations<S: Sink>(&self, path: &Path, sink: &mut S) -> Result<RelationsReport, S::Error> {
        let mut lines = Lines::open(path, RELATIONS)?;
        let mut sink = Counted { sink, names: 0, relations: 0 };
        match self.format {
            VocabularyFormat::Rxnorm => rxnorm::read_relations(&mut lines, &mut sink)?,
            VocabularyFormat::Snomed => snomed::read_relations(&mut lines, &mut sink)?,
            VocabularyFormat::Obo | VocabularyFormat::Tsv => {
                let reason = "belong to a format that has its relations beside its names; leave relations out";
                let object = format!("{RELATIONS} {}", path.display());
                return Err(ConceptError::Config { object, reason: reason.to_owned() }.into());
            }
        }
        Ok(lines.relations(sink.relations)?)
    }
}

/// A sink, and how much went there.
struct Counted<'a, S> {
    sink: &'a mut S,
    names: u64,
    relations: u64,
}

impl<S: Sink> Counted<'_, S> {
    fn name(&mut self, name: Name<'_>) -> Result<(), S::Error> {
        self.names += 1;
        self.sink.name(name)
    }

    fn relation(&mut self, from: &str, to: &str, kind: RelationKind) -> Result<(), S::Error> {
        self.relations += 1;
        self.sink.relation(Relation { from, to, kind })
    }
}

#[cfg(test)]
mod tests;
