//! `stillroom concepts`: what words are, in the vocabularies of a configuration.

use crate::commands::print_line;
use crate::highlight::plain;
use anyhow::{Context, Result, anyhow};
use clap::{Args, Subcommand};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyStats};
use stillroom_schemas::{Code, Concept, Task, Tier};

/// Broader concepts of one that are printed at most.
const ANCESTORS_SHOWN: usize = 20;

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum ConceptsCommand {
    /// Print the concept that words name, how they came to it, what it is made of and what is broader.
    Find(Find),
}

impl ConceptsCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            ConceptsCommand::Find(command) => command.run(),
        }
    }
}

/// Arguments of `concepts find`.
#[derive(Args)]
pub(crate) struct Find {
    /// The words of one entity.
    #[arg(required_unless_present = "stats")]
    words: Vec<String>,
    /// A file in TOML with a table `[concepts]`; other tables in it are not looked at. Paths in it are relative to where this runs.
    #[arg(long, value_name = "FILE", default_value = "stillroom.toml")]
    vocabularies: PathBuf,
    /// Look for the concept of an entity of this task alone; all tasks when absent. May be repeated.
    #[arg(long = "task", value_name = "TASK", value_parser = crate::corpora::task)]
    tasks: Vec<Task>,
    /// Print what was loaded: names, concepts, relations, memory, and what is wrong with the files.
    #[arg(long)]
    stats: bool,
}

impl Find {
    fn run(self) -> Result<ExitCode> {
        let start = Instant::now();
        let concepts = Concepts::load(&read_concepts(&self.vocabularies)?)?;
        let seconds = start.elapsed().as_secs_f64();
        if self.stats {
            for vocabulary in concepts.vocabularies() {
                stats(vocabulary).into_iter().try_for_each(print_line)?;
            }
            print_line(format!("all: {:.1} MB, loaded in {seconds:.1} s", megabytes(concepts.bytes())))?;
        }
        let words = self.words.join(" ");
        let is_asked = |task: &Task| self.tasks.is_empty() || self.tasks.contains(task);
        for task in Task::ALL.into_iter().filter(is_asked).filter(|_| !self.words.is_empty()) {
            match concepts.find(task, &words) {
                Some(concept) => shown(&concepts, task, &concept).into_iter().try_for_each(print_line)?,
                None => print_line(format!("{:<11} unknown", task.name()))?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a configuration says of vocabularies; all else in it is passed over.
#[derive(Deserialize)]
struct OfFile {
    concepts: Option<ConceptsConfig>,
}

/// The vocabularies that a file names.
///
/// # Errors
/// When it cannot be read or used. Names the line.
pub(crate) fn read_concepts(path: &Path) -> Result<ConceptsConfig> {
    let about = || format!("cannot read the vocabularies in {}; name a file with a table [concepts]", path.display());
    let text = std::fs::read_to_string(path).with_context(about)?;
    let of_file: OfFile = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        anyhow!("{}, line {line}: {}", path.display(), error.message())
    })?;
    let missing = || format!("{} has no table [concepts]; name the vocabularies there", path.display());
    of_file.concepts.with_context(missing)
}

/// A concept, its ingredients and what is broader.
fn shown(concepts: &Concepts, task: Task, concept: &Concept) -> Vec<String> {
    let Concept { code, version, name, tier, score, ingredients } = concept;
    let tier = match tier {
        Tier::Exact => "exact",
        Tier::Normalised => "normalised",
        Tier::Abbreviation => "abbreviation",
        Tier::Fuzzy => "fuzzy",
    };
    let named = |code: &Code| {
        let name = concepts.name(code).unwrap_or_default();
        // Names come from files of others, and go to a terminal.
        plain(format!("{}:{} {name}", code.vocabulary, code.code).trim_end())
    };
    let heading = format!("{}:{} {name} ({version})", code.vocabulary, code.code);
    let mut lines = vec![format!("{:<11} {tier:<12} {score:.4}  {}", task.name(), plain(&heading))];
    let indented = |what: &str, of: &Code| format!("{:<11} {what:<12} {:6}  {}", "", "", named(of));
    lines.extend(ingredients.iter().map(|ingredient| indented("made of", ingredient)));
    let mut broader = concepts.ancestors(code).skip(1).filter(|ancestor| !ingredients.contains(ancestor));
    lines.extend(broader.by_ref().take(ANCESTORS_SHOWN).map(|ancestor| indented("under", &ancestor)));
    match broader.count() {
        0 => {}
        more => lines.push(format!("{:<11} and {more} more", "")),
    }
    lines
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// What a vocabulary has.
fn stats(vocabulary: &VocabularyStats) -> Vec<String> {
    let VocabularyStats { name, version, tasks, names, concepts, relations, bytes, .. } = vocabulary;
    let tasks: Vec<&str> = tasks.iter().map(|task| task.name()).collect();
    let a_name = *bytes as f64 / (*names).max(1) as f64;
    let mut lines = vec![format!(
        "{} ({}) for {}: {names} names of {concepts} concepts, {relations} relations, {:.1} MB, {a_name:.0} bytes a name",
        plain(name),
        plain(version),
        tasks.join(", "),
        megabytes(*bytes)
    )];
    let names = &vocabulary.names_report;
    let mut files = vec![(&names.path, names.bad_lines, &names.bad_lines_first)];
    files.extend(vocabulary.relations_report.as_ref().map(|of| (&of.path, of.bad_lines, &of.bad_lines_first)));
    lines.extend(files.into_iter().map(|(path, bad, first)| match bad {
        0 => format!("  {}", path.display()),
        _ => format!("  {}: {bad} lines are not of its format, first {first:?}", path.display()),
    }));
    if vocabulary.cyclic > 0 {
        let first = vocabulary.cyclic_first.join(", ");
        lines.push(format!("  {} concepts are broader than themselves, first {}", vocabulary.cyclic, plain(&first)));
    }
    lines
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
