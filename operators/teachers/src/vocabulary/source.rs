//! Files of names: which file, for which task, and in which format.

use super::index::Builder;
use crate::TeacherError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use stillroom_concepts::reading::{Name, Reading, Sink, VocabularyFormat, VocabularyReport, tags_of};
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

impl VocabularySource {
    /// A file with the defaults of its format.
    pub fn new(task: Task, path: impl Into<PathBuf>) -> VocabularySource {
        let path = path.into();
        VocabularySource { task, path, format: None, kinds: Vec::new(), tags: Vec::new(), concepts: None }
    }

    /// Passes each name to `sink` with its concept.
    pub(super) fn read<S: Sink>(&self, sink: &mut S) -> Result<VocabularyReport, S::Error> {
        let format = match self.format {
            Some(format) => format,
            None => VocabularyFormat::of(&self.path)?,
        };
        let tags = match self.tags.is_empty() {
            true => tags_of(self.task).iter().map(|tag| tag.to_string()).collect(),
            false => self.tags.clone(),
        };
        let (path, kinds, concepts) = (self.path.clone(), self.kinds.clone(), self.concepts.clone());
        Reading { path, format, kinds, tags, products: false, concepts }.read(sink)
    }
}

/// The names of one source on their way to the index.
pub(super) struct Names<'a> {
    pub(super) builder: &'a mut Builder,
    pub(super) task: Task,
}

impl Sink for Names<'_> {
    type Error = TeacherError;

    fn name(&mut self, name: Name<'_>) -> Result<(), TeacherError> {
        self.builder.add(self.task, name.concept, name.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_concepts::ConceptError;

    struct Read(Vec<String>);

    impl Sink for Read {
        type Error = ConceptError;

        fn name(&mut self, name: Name<'_>) -> Result<(), ConceptError> {
            self.0.push(format!("{}={}", name.concept, name.name));
            Ok(())
        }
    }

    /// Reads `text` as a file of this name, with these changes to its source; the names as `concept=name` lines.
    fn read_text(file: &str, text: &str, change: impl Fn(&mut VocabularySource)) -> Result<String, ConceptError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
        let mut source = VocabularySource::new(Task::Disease, folder.path().join(file));
        change(&mut source);
        let mut read = Read(Vec::new());
        source.read(&mut read)?;
        Ok(read.0.join("\n"))
    }

    #[test]
    fn a_file_tells_its_format_or_is_told() {
        let error = read_text("names.csv", "id\tsynonym\n1\tfever\n", |_| {}).unwrap_err();
        assert!(error.to_string().contains("names.csv has a name that tells no format; set format to"), "{error}");
        let read =
            read_text("names.csv", "id\tsynonym\n1\tfever\n", |source| source.format = Some(VocabularyFormat::Tsv));
        assert_eq!(read.unwrap(), "1=fever");
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = VocabularySource::new(Task::Disease, "no/such.obo");
        let error = TeacherError::from(source.read(&mut Read(Vec::new())).unwrap_err());
        assert_eq!(error.to_string(), "cannot read no/such.obo");
    }

    #[test]
    fn the_tags_of_the_task_are_taken_and_products_are_not() {
        let snomed = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n\
            1\t20250101\t1\tm\t195967001\ten\t900000000000003001\tAsthma (disorder)\tc\n\
            2\t20250101\t1\tm\t25064002\ten\t900000000000003001\tHeadache (finding)\tc\n";
        let of = |change: &dyn Fn(&mut VocabularySource)| read_text("sct2_Description.txt", snomed, change).unwrap();
        assert_eq!(of(&|_: &mut VocabularySource| {}), "195967001=Asthma");
        assert_eq!(of(&|source: &mut VocabularySource| source.task = Task::Symptom), "25064002=Headache");
        let both = vec!["finding".to_owned(), "disorder".to_owned()];
        assert_eq!(
            of(&|source: &mut VocabularySource| source.tags = both.clone()),
            "195967001=Asthma\n25064002=Headache"
        );
        let rxnorm = "1191|ENG||||||829|829|1191||RXNORM|IN|1191|aspirin||N|4096|\n\
            212033|ENG||||||834|834|212033||RXNORM|SCD|212033|aspirin 325 MG Oral Tablet||N|4096|\n";
        assert_eq!(read_text("RXNCONSO.RRF", rxnorm, |_| {}).unwrap(), "1191=aspirin");
    }

    #[test]
    fn a_refused_file_is_an_error_of_the_teacher() {
        let error = read_text("names.tsv", "fever\n", |_| {}).unwrap_err();
        let said = error.to_string();
        let error = TeacherError::from(error);
        assert!(matches!(error, TeacherError::Config { .. }));
        assert_eq!(error.to_string(), said);
        assert!(said.starts_with("the vocabulary ") && said.contains("names.tsv does not begin with"), "{said}");
    }
}
