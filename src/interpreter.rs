//! What tells what notes say of their entities: how they are meant and in which section by a lexicon, what they are by
//! vocabularies, and beside medications how they are to be taken.
//!
//! It is loaded once a process and shared by all workers. What it tells is a function of a note and of the configuration: every
//! extraction names the lexicon and the vocabularies by a hash.

#[cfg(test)]
mod tests;

use crate::refused::{Refused, not_empty};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_assertion::{Asserted, Context, Lexicon};
use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyConfig, dosage};
use stillroom_dataflow::{Fact, Interpret};
use stillroom_schemas::{Span, Task};

/// How it is told what notes mean by what they mention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AssertionConfig {
    /// Whether entities are told to be negated, uncertain, historical, hypothetical or of somebody else, and their
    /// sections. Default true.
    pub(crate) enabled: bool,
    /// Files in TOML whose triggers, headings and chronic diseases are added to those that come with stillroom, or take their
    /// place; a later file changes what an earlier one says. Paths are relative to the working folder. Default: none. Example:
    /// `lexicons = ["ward.toml"]`.
    pub(crate) lexicons: Vec<PathBuf>,
    /// Whether the lexicon that comes with stillroom applies. Default true.
    pub(crate) own_lexicon: bool,
}

impl Default for AssertionConfig {
    fn default() -> AssertionConfig {
        AssertionConfig { enabled: true, lexicons: Vec::new(), own_lexicon: true }
    }
}

impl AssertionConfig {
    /// Refuses lexicons without a name.
    ///
    /// # Errors
    /// Names the setting.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let is_nameless = self.lexicons.iter().any(|lexicon| lexicon.as_os_str().is_empty());
        not_empty("assertion.lexicons", is_nameless, "name a file in each item, or remove it")
    }
}

/// What a configuration names, loaded.
#[derive(Default)]
pub(crate) struct Loaded {
    /// What tells; none where nothing is to be told: entities are mentions then.
    pub(crate) interpret: Option<Arc<dyn Interpret>>,
    /// Its vocabularies, if it has any.
    pub(crate) concepts: Option<Arc<Concepts>>,
}

/// What tells, by a configuration.
///
/// # Errors
/// When a lexicon or a vocabulary cannot be read or used.
pub(crate) fn load(assertion: &AssertionConfig, concepts: &ConceptsConfig) -> Result<Loaded> {
    let (context, concepts) = (load_context(assertion)?, load_concepts(concepts)?);
    let names: Vec<&str> =
        [context.as_ref().map(Named::name), concepts.as_ref().map(Named::name)].into_iter().flatten().collect();
    if names.is_empty() {
        return Ok(Loaded::default());
    }
    let name = names.join(" ");
    let concepts = concepts.map(Named::into_arc);
    let interpreter = Interpreter { context: context.map(|named| named.0), concepts: concepts.clone(), name };
    Ok(Loaded { interpret: Some(Arc::new(interpreter)), concepts })
}

/// A part, and how it is called after what it was made of.
pub(crate) struct Named<T>(pub(crate) T, String);

impl<T> Named<T> {
    /// `assertion@` or `concepts@`, and the beginning of a hash.
    pub(crate) fn name(&self) -> &str {
        &self.1
    }

    /// The part, to be shared.
    pub(crate) fn into_arc(self) -> Arc<T> {
        Arc::new(self.0)
    }
}

/// What tells how entities are meant; none where that is off.
///
/// # Errors
/// When a lexicon cannot be read or used.
pub(crate) fn load_context(config: &AssertionConfig) -> Result<Option<Named<Context>>> {
    if !config.enabled {
        return Ok(None);
    }
    let about = "entities cannot be asserted; see [assertion]";
    let mut lexicon = if config.own_lexicon { Lexicon::shipped() } else { Lexicon::default() };
    config.lexicons.iter().try_for_each(|path| lexicon.extend_from(path)).context(about)?;
    let mut hash = Hash::default();
    // All that is in it, however it is spread over files: it is kept in order.
    hash.text(&format!("{lexicon:?}"));
    let context = Context::new(lexicon).context(about)?;
    Ok(Some(Named(context, hash.name("assertion"))))
}

/// What knows concepts; none where no vocabulary is named.
///
/// # Errors
/// When a vocabulary cannot be read or used.
pub(crate) fn load_concepts(config: &ConceptsConfig) -> Result<Option<Named<Concepts>>> {
    if config.vocabularies.is_empty() {
        return Ok(None);
    }
    let concepts = Concepts::load(config).context("concepts cannot be looked up; see [concepts]")?;
    let mut hash = Hash::default();
    hash.text(&settings_of(config)?);
    // Of files beside the names that are found by themselves, what came of them.
    for stats in concepts.vocabularies() {
        hash.text(&format!("{} {} {} {}", stats.version, stats.names, stats.concepts, stats.relations));
    }
    for VocabularyConfig { path, concepts, relations, .. } in &config.vocabularies {
        [Some(path), concepts.as_ref(), relations.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|file| hash.file(file))?;
    }
    config.abbreviations.iter().try_for_each(|file| hash.file(file))?;
    Ok(Some(Named(concepts, hash.name("concepts"))))
}

/// The settings without where files are: on another machine they are elsewhere, and the same.
fn settings_of(config: &ConceptsConfig) -> Result<String> {
    let placeless = |vocabulary: &VocabularyConfig| VocabularyConfig {
        path: PathBuf::new(),
        concepts: None,
        relations: None,
        ..vocabulary.clone()
    };
    let vocabularies = config.vocabularies.iter().map(placeless).collect();
    let config = ConceptsConfig { vocabularies, abbreviations: Vec::new(), ..config.clone() };
    serde_json::to_string(&config).context("the settings of [concepts] cannot be written")
}

/// Of what a part is made.
struct Hash(Sha256);

impl Default for Hash {
    /// Begins with the version of the program, whose rules are a part of it.
    fn default() -> Hash {
        Hash(Sha256::new().chain_update(env!("CARGO_PKG_VERSION")))
    }
}

impl Hash {
    fn text(&mut self, text: &str) {
        // What follows cannot be taken for a part of it.
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let about = || format!("cannot read {}; it was there a moment ago", path.display());
        let mut hash = Sha256::new();
        std::io::copy(&mut File::open(path).with_context(about)?, &mut hash).with_context(about)?;
        self.0.update(hash.finalize());
        Ok(())
    }

    fn name(self, part: &str) -> String {
        let digits: String = self.0.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{part}@{digits}")
    }
}

/// Tells by a lexicon, by vocabularies, or by both.
struct Interpreter {
    context: Option<Context>,
    concepts: Option<Arc<Concepts>>,
    name: String,
}

impl Interpret for Interpreter {
    fn interpret(&self, text: &str, spans: &[Span]) -> Vec<Fact> {
        let asserted = self.context.as_ref().map(|context| context.assert(text, spans));
        let mut asserted = asserted.into_iter().flatten();
        let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
        let words = |span: &Span| &text[bytes[span.start as usize]..bytes[span.end as usize]];
        let is_medication = |span: &&Span| span.task == Task::Medication;
        let mut medications: Vec<u32> = spans.iter().filter(is_medication).map(|span| span.start).collect();
        medications.sort_unstable();
        let fact = |span: &Span| {
            let (assertion, section) = match asserted.next() {
                Some(Asserted { assertion, section }) => (Some(assertion), section),
                None => (None, None),
            };
            let concept = self.concepts.as_ref().and_then(|concepts| concepts.find(span.task, words(span)));
            let next = medications.get(medications.partition_point(|start| *start <= span.start)).copied();
            let dosage = if span.task == Task::Medication { dosage(text, span, next) } else { None };
            Fact { assertion, section, concept, dosage }
        };
        spans.iter().map(fact).collect()
    }

    fn name(&self) -> &str {
        &self.name
    }
}
