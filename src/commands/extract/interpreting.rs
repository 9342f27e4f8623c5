//! What `extract` tells of entities beside where they stand.

use crate::commands::concepts::read_concepts;
use crate::interpreter::{self, AssertionConfig};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
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
        Ok(interpreter::load(&assertion, &concepts)?.interpret)
    }
}
