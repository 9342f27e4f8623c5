//! Files of names: which file, for which task, and in which format.

use super::lines::{Lines, VocabularyReport};
use super::{obo, rxnorm, snomed, tsv};
use crate::TeacherError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use stillroom_schemas::Task;

/// A file of names. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularySource {
    /// What its names are. Example: `task = "medication"`.
    pub task: Task,
    /// The file. Example: `path = "rrf/RXNCONSO.RRF"`.
    pub path: PathBuf,
    /// Its format. Default: by the file's name (`RXNCONSO…`, `sct2_Description…`, `….obo`, `….tsv`).
    #[serde(default)]
    pub format: Option<VocabularyFormat>,
    /// The kinds of names to take. Default: of RxNorm the term types `IN`, `PIN`, `MIN` and `BN`, and with any of them the synonyms
    /// `SY` and `TMSY` of the same concept; of OBO names and synonyms of scope `EXACT`, `NARROW` and `RELATED`; of SNOMED CT names and synonyms
    /// (`FSN`, `SYN`); of TSV all. Example: `kinds = ["IN", "BN"]`.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Of SNOMED CT, the semantic tags to take. Default: for diseases `disorder`; for symptoms `finding`; for medications `product`,
    /// `medicinal product`, `medicinal product form`, `clinical drug` and `substance`. Example: `tags = ["disorder", "finding"]`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Of SNOMED CT, the file of concepts (`sct2_Concept_Snapshot…`), so that names of retired concepts are left out. Default: none,
    /// and they are taken.
    #[serde(default)]
    pub concepts: Option<PathBuf>,
}

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
    /// Tab-separated values with a line of column names, `id` and `synonym` among them, `kind` if there are kinds.
    Tsv,
}

impl VocabularySource {
    /// A file with the defaults of its format.
    pub fn new(task: Task, path: impl Into<PathBuf>) -> VocabularySource {
        let path = path.into();
        VocabularySource { task, path, format: None, kinds: Vec::new(), tags: Vec::new(), concepts: None }
    }

    /// The format that is set, or the one that the file's name tells.
    fn format(&self) -> Result<VocabularyFormat, TeacherError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        match self.format {
            Some(format) => Ok(format),
            None if name.starts_with("rxnconso") => Ok(VocabularyFormat::Rxnorm),
            None if name.contains("sct2_description") => Ok(VocabularyFormat::Snomed),
            None if name.ends_with(".obo") => Ok(VocabularyFormat::Obo),
            None if name.ends_with(".tsv") => Ok(VocabularyFormat::Tsv),
            None => Err(TeacherError::Config {
                object: format!("the vocabulary {}", self.path.display()),
                reason: "has a name that tells no format; set format to rxnorm, snomed, obo or tsv".to_owned(),
            }),
        }
    }

    /// Whether names of this kind are taken, given the format's own choice.
    pub(super) fn takes(&self, kind: &str, defaults: &[&str]) -> bool {
        match self.kinds.is_empty() {
            true => defaults.contains(&kind),
            false => self.kinds.iter().any(|taken| taken == kind),
        }
    }

    /// Passes each name to `sink` with its concept.
    pub(super) fn read(&self, sink: &mut Sink) -> Result<VocabularyReport, TeacherError> {
        let format = self.format()?;
        let mut lines = Lines::open(&self.path)?;
        let before = sink.names;
        match format {
            VocabularyFormat::Rxnorm => rxnorm::read(self, &mut lines, sink)?,
            VocabularyFormat::Snomed => snomed::read(self, &mut lines, sink)?,
            VocabularyFormat::Obo => obo::read(self, &mut lines, sink)?,
            VocabularyFormat::Tsv => tsv::read(self, &mut lines, sink)?,
        }
        lines.report(sink.names - before)
    }
}

/// Where names go: concept and name.
pub(super) struct Sink<'a> {
    pub(super) take: &'a mut dyn FnMut(&str, &str) -> Result<(), TeacherError>,
    pub(super) names: u64,
}

impl Sink<'_> {
    pub(super) fn put(&mut self, concept: &str, name: &str) -> Result<(), TeacherError> {
        self.names += 1;
        (self.take)(concept, name)
    }
}

/// Reads `text` as a file of this name, with these changes to its source; the names as `concept=name` lines.
#[cfg(test)]
pub(super) fn read_text(
    file: &str,
    text: &[u8],
    change: impl Fn(&mut VocabularySource),
) -> Result<(String, VocabularyReport), TeacherError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    let mut source = VocabularySource::new(Task::Disease, folder.path().join(file));
    change(&mut source);
    let mut read = Vec::new();
    let mut take = |concept: &str, name: &str| {
        read.push(format!("{concept}={name}"));
        Ok(())
    };
    let report = source.read(&mut Sink { take: &mut take, names: 0 })?;
    Ok((read.join("\n"), report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_format_or_is_told() {
        let error = read_text("names.csv", b"id\tsynonym\n1\tfever\n", |_| {}).unwrap_err();
        assert!(error.to_string().contains("names.csv has a name that tells no format; set format to"), "{error}");
        let read =
            read_text("names.csv", b"id\tsynonym\n1\tfever\n", |source| source.format = Some(VocabularyFormat::Tsv));
        assert_eq!(read.unwrap().0, "1=fever");
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = VocabularySource::new(Task::Disease, "no/such.obo");
        let error = source.read(&mut Sink { take: &mut |_, _| Ok(()), names: 0 }).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such.obo");
    }

    #[test]
    fn lines_without_end_and_other_texts_are_refused() {
        let text = [b"id\tsynonym\n1\t".as_slice(), &[b'a'; 2 << 20]].concat();
        let error = read_text("names.tsv", &text, |_| {}).unwrap_err();
        assert!(error.to_string().contains("has a line of over a mebibyte (line 2)"), "{error}");
        let error = read_text("names.tsv", b"id\tsynonym\n1\n2\n3\ta\n\xff\n", |_| {}).unwrap_err();
        assert!(error.to_string().contains("has 3 bad lines, first in lines 2, 3, 5"), "{error}");
    }
}
