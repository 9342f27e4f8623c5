//! Vocabularies that are written for a test, and what is found in them.

use std::fs;
use std::path::PathBuf;
use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyConfig};
use stillroom_schemas::{Code, Task, Tier};
use tempfile::TempDir;

/// A folder of vocabularies.
pub(crate) struct Files {
    folder: TempDir,
    /// They, in order.
    pub(crate) config: ConceptsConfig,
}

impl Files {
    pub(crate) fn new() -> Files {
        Files { folder: tempfile::tempdir().unwrap(), config: ConceptsConfig::default() }
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a vocabulary and takes it for a task.
    pub(crate) fn add(&mut self, name: &str, task: Task, (file, text): (&str, &str)) -> &mut VocabularyConfig {
        let path = self.write(file, text);
        self.config.vocabularies.push(VocabularyConfig::new(name, task, path));
        self.config.vocabularies.last_mut().unwrap()
    }

    /// Takes a vocabulary in TSV; a row has a code and a name, and its other columns as `header` says.
    pub(crate) fn add_tsv(&mut self, name: &str, task: Task, header: &str, rows: &str) {
        let rows: String = rows.lines().map(|row| row.split(" | ").collect::<Vec<_>>().join("\t") + "\n").collect();
        self.add(name, task, (&format!("{name}.tsv"), &format!("{header}\n{rows}"))).version = Some("1".to_owned());
    }

    pub(crate) fn load(&self) -> Concepts {
        Concepts::load(&self.config).unwrap()
    }
}

/// How a tier is written.
fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Exact => "exact",
        Tier::Normalised => "normalised",
        Tier::Abbreviation => "abbreviation",
        Tier::Fuzzy => "fuzzy",
    }
}

/// A code as `vocabulary:code`.
pub(crate) fn code(code: &Code) -> String {
    format!("{}:{}", code.vocabulary, code.code)
}

/// What is found: `tier vocabulary:code name`, the score of a fuzzy one, and the ingredients behind `of`.
pub(crate) fn found(concepts: &Concepts, task: Task, words: &str) -> String {
    let Some(concept) = concepts.find(task, words) else { return "unknown".to_owned() };
    let mut shown = format!("{} {} {}", tier(concept.tier), code(&concept.code), concept.name);
    match concept.tier {
        Tier::Fuzzy => shown += &format!(" {}", concept.score),
        _ => assert_eq!(concept.score, 1.0, "{words}"),
    }
    if !concept.ingredients.is_empty() {
        shown += &format!(" of {}", concept.ingredients.iter().map(code).collect::<Vec<_>>().join(" "));
    }
    shown
}

/// Finds each of the words, `words => what`, a line each.
pub(crate) fn check(concepts: &Concepts, task: Task, expected: &str) {
    for line in expected.lines() {
        let (words, expected) = line.trim().split_once(" => ").unwrap();
        assert_eq!(found(concepts, task, words), expected, "{words}");
    }
}

/// The codes below or above one, sorted.
pub(crate) fn codes(walk: impl Iterator<Item = Code>) -> Vec<String> {
    let mut codes: Vec<String> = walk.map(|code| code.code).collect();
    codes.sort();
    codes
}

/// A code of a vocabulary.
pub(crate) fn code_of(vocabulary: &str, code: &str) -> Code {
    Code { vocabulary: vocabulary.to_owned(), code: code.to_owned() }
}
