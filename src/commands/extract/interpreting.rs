//! What `extract` tells of entities beside where they stand.

use crate::interpreter::{self, AssertionConfig};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_concepts::ConceptsConfig;
use stillroom_dataflow::Interpret;

/// Lexicons and vocabularies.
#[derive(Args)]
pub(super) struct InterpretArgs {
    /// A lexicon in TOML that adds to the one that comes with stillroom. May be repeated.
    #[arg(long = "lexicon", value_name = "FILE")]
    lexicons: Vec<PathBuf>,
    /// Do not tell how entities are meant, nor in which section they stand.
    #[arg(long, conflicts_with = "lexicons")]
    without_assertion: bool,
    /// Look entities up in the vocabularies of this file in TOML: those of its table `[concepts]`, as in a configuration.
    #[arg(long, value_name = "FILE")]
    concepts: Option<PathBuf>,
}

impl InterpretArgs {
    /// What tells of entities, if anything is to be told.
    ///
    /// # Errors
    /// When a lexicon or a vocabulary cannot be read or used.
    pub(super) fn load(&self) -> Result<Option<Arc<dyn Interpret>>> {
        let (enabled, lexicons) = (!self.without_assertion, self.lexicons.clone());
        let assertion = AssertionConfig { enabled, lexicons, ..AssertionConfig::default() };
        let concepts = self.concepts.as_deref().map(read_concepts).transpose()?.unwrap_or_default();
        interpreter::load(&assertion, &concepts)
    }
}

/// What a configuration says of vocabularies; all else in it is passed over.
#[derive(Deserialize)]
struct OfFile {
    concepts: Option<ConceptsConfig>,
}

/// The vocabularies that a file names.
fn read_concepts(path: &Path) -> Result<ConceptsConfig> {
    let about = || format!("cannot read the vocabularies in {}; name a file with a table [concepts]", path.display());
    let text = std::fs::read_to_string(path).with_context(about)?;
    let of_file: OfFile = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        anyhow!("{}, line {line}: {}", path.display(), error.message())
    })?;
    let missing = || format!("{} has no table [concepts]; name the vocabularies there", path.display());
    of_file.concepts.with_context(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_of_vocabularies_is_said_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stillroom.toml");
        let check = |text: &str, expected: &str| {
            std::fs::write(&path, text).unwrap();
            let error = read_concepts(&path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(expected), "{error}");
        };
        check("[engine]\nworkers = 2", "has no table [concepts]");
        check("[engine]\nworkers = 2\n[concepts]\nfuzzy_score_min = 0.9\nnames = 1", "line 5: unknown field `names`");
        check("[[concepts.vocabularies]]\nname = 'doid'", "missing field `tasks`");
        std::fs::write(&path, "[engine]\nworkers = 2\n[concepts]\nfuzzy_score_min = 0.9").unwrap();
        assert_eq!(read_concepts(&path).unwrap().fuzzy_score_min, 0.9);
        let error = format!("{:#}", read_concepts(&folder.path().join("none.toml")).unwrap_err());
        assert!(error.contains("none.toml; name a file with a table [concepts]"), "{error}");
    }
}
