//! Annotated documents of the command line and of configurations, by the one reader of corpora.
//!
//! A path is a file or a folder in any format that `corpus convert` reads. `PATH:train`, `PATH:dev` and `PATH:test` are a part of it:
//! by the names of files and folders, and where these do not tell, drawn as many as the published study took of the corpus.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use stillroom_connectors::{
    Corpus, CorpusConfig, CorpusDocument, CorpusFormat, CorpusItem, CorpusProblem, GoldDocument, KnownCorpus, Part,
    Split,
};
use stillroom_schemas::Task;

/// So many problems are told one by one.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// How corpora are read, where their files do not tell.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ReadingArgs {
    /// The format of all files, pubtator, brat, mimic, medalign or jsonl; by each file when absent.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<CorpusFormat>,
    /// Whose labels the annotations have, ncbi_disease, bc5cdr, n2c2_2018, maccrobat or coral; by the labels when absent.
    #[arg(long, value_name = "NAME", value_parser = known)]
    corpus: Option<KnownCorpus>,
    /// Read a label as a task, such as Chemical=medication, or not at all, such as Modifier=none; may be given again.
    #[arg(long = "map", value_name = "LABEL=TASK", value_parser = mapped)]
    map: Vec<(String, Option<Task>)>,
}

impl ReadingArgs {
    /// What the reader is told.
    pub(crate) fn config(&self) -> CorpusConfig {
        CorpusConfig { format: self.format, corpus: self.corpus, map: self.map.clone() }
    }
}

/// How many documents are drawn for the parts that files do not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Drawn {
    /// Documents for dev. Default: as many as the published study drew of the corpus.
    pub(crate) dev: Option<usize>,
    /// Documents for test. Default: as many as the published study drew of the corpus.
    pub(crate) test: Option<usize>,
    /// The seed by which they are drawn. Default 0.
    pub(crate) seed: u64,
}

impl Drawn {
    /// The part of every document, by id.
    ///
    /// # Errors
    /// When a file cannot be read, there is too little to draw from, or nothing to draw by.
    pub(crate) fn parts(&self, corpus: &Corpus) -> Result<HashMap<String, Part>> {
        let mut documents = Vec::new();
        for item in corpus.items() {
            if let CorpusItem::Document(CorpusDocument { document, part, .. }) = item? {
                documents.push((document.id, part));
            }
        }
        let parts = self.split(corpus, &documents)?.parts(&documents)?;
        Ok(documents.into_iter().map(|(id, _)| id).zip(parts).collect())
    }

    /// How many are drawn: what was asked for, else what the study drew.
    fn split(&self, corpus: &Corpus, documents: &[(String, Option<Part>)]) -> Result<Split> {
        let is_drawn_from = |(_, part): &(String, Option<Part>)| matches!(part, None | Some(Part::Train));
        let studied = match corpus.known().as_slice() {
            [known] => known.drawn.filter(|_| documents.iter().any(is_drawn_from)),
            _ => None,
        };
        let is_told = documents.iter().all(|(_, part)| part.is_some());
        let (dev, test) = match (self.dev, self.test, studied) {
            (None, None, Some(studied)) => studied,
            (None, None, None) if is_told => (0, 0),
            (None, None, None) => bail!(
                "the files do not tell their parts, and no split of a study is known: say how many are for dev and test, \
                 by `corpus convert --split PART --dev N --test N`"
            ),
            (dev, test, _) => (dev.unwrap_or(0), test.unwrap_or(0)),
        };
        Ok(Split { dev, test, seed: self.seed })
    }
}

/// The annotated documents of `path`, or of the part that it ends in.
///
/// # Errors
/// When a file cannot be read or tells no format, when there is no annotated document, or notes without annotations.
pub(crate) fn gold_documents(
    path: &Path,
    config: &CorpusConfig,
    drawn: &Drawn,
    problems: &mut Problems,
) -> Result<Vec<GoldDocument>> {
    let (place, part) = part_of(path);
    let corpus = Corpus::open(std::slice::from_ref(&place), config)?;
    let about = || format!("cannot take a part of {}", place.display());
    let wanted = match part {
        Some(part) => Some((part, drawn.parts(&corpus).with_context(about)?)),
        None => None,
    };
    let mut documents = Vec::new();
    for item in corpus.items() {
        match item? {
            CorpusItem::Problem(problem) => problems.tell(&problem),
            CorpusItem::Document(CorpusDocument { document, .. }) => {
                if wanted.as_ref().is_none_or(|(part, parts)| parts.get(&document.id) == Some(part)) {
                    documents.push(document);
                }
            }
            CorpusItem::Note(_) => {
                bail!("{} has notes without annotations; give annotated documents", place.display())
            }
        }
    }
    ensure!(!documents.is_empty(), "there is no annotated document in {}; give another file or part", path.display());
    Ok(documents)
}

/// A path and the part that it ends in, if there is no such file.
pub(crate) fn part_of(path: &Path) -> (PathBuf, Option<Part>) {
    let text = path.to_string_lossy();
    let told = text.rsplit_once(':').and_then(|(place, name)| Some((PathBuf::from(place), part(name).ok()?)));
    match told {
        Some((place, part)) if !path.exists() => (place, Some(part)),
        _ => (path.to_owned(), None),
    }
}

/// Tells problems on stderr, each once and the first ones in full. Only their hashes are kept, as every line of a corpus may have one.
#[derive(Default)]
pub(crate) struct Problems(HashSet<u64>);

impl Problems {
    pub(crate) fn tell(&mut self, problem: &CorpusProblem) {
        let mut hasher = DefaultHasher::new();
        problem.hash(&mut hasher);
        // Two parts of a corpus have the problems of one.
        if self.0.insert(hasher.finish()) && self.0.len() <= PROBLEMS_SHOWN_MAX {
            eprintln!("{problem}");
        }
    }

    /// How many there were.
    pub(crate) fn finish(&self) -> u64 {
        if self.0.len() > PROBLEMS_SHOWN_MAX {
            eprintln!("and {} more problems", self.0.len() - PROBLEMS_SHOWN_MAX);
        }
        self.0.len() as u64
    }
}

/// # Errors
/// When it names no part.
pub(crate) fn part(name: &str) -> Result<Part> {
    Part::ALL.into_iter().find(|part| part.name() == name).context("write train, dev or test")
}

/// # Errors
/// When it names no task.
pub(crate) fn task(name: &str) -> Result<Task> {
    let found = Task::ALL.into_iter().find(|task| task.name() == name);
    found.context("write disease, medication or symptom")
}

/// # Errors
/// When it names no format.
pub(crate) fn format(name: &str) -> Result<CorpusFormat> {
    let found = CorpusFormat::ALL.into_iter().find(|format| format.name() == name);
    found.context("write pubtator, brat, mimic, medalign or jsonl")
}

/// # Errors
/// When it names no corpus whose labels are known.
pub(crate) fn known(name: &str) -> Result<KnownCorpus> {
    let found = KnownCorpus::ALL.into_iter().find(|known| known.name == name);
    found.context("write ncbi_disease, bc5cdr, n2c2_2018, maccrobat or coral")
}

/// # Errors
/// When it is no label with a task.
pub(crate) fn mapped(mapped: &str) -> Result<(String, Option<Task>)> {
    let (label, name) = mapped.split_once('=').context("write LABEL=TASK, such as Chemical=medication")?;
    let task = if name == "none" { None } else { Some(task(name).context("or none after the =")?) };
    Ok((label.to_owned(), task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_once() {
        let mut problems = Problems::default();
        for line in [Some(1), Some(2), Some(1), None, None] {
            problems.tell(&CorpusProblem { path: "notes".into(), line, what: "left out".into() });
        }
        assert_eq!(problems.finish(), 3);
    }

    #[test]
    fn a_path_may_end_in_a_part() {
        let check = |path: &str, place: &str, part: Option<Part>| {
            assert_eq!(part_of(Path::new(path)), (PathBuf::from(place), part), "{path}");
        };
        check("n2c2:dev", "n2c2", Some(Part::Dev));
        check("a:b/n2c2/:test", "a:b/n2c2/", Some(Part::Test));
        check("n2c2:development", "n2c2:development", None);
        check("n2c2", "n2c2", None);
        check("c:/dev", "c:/dev", None);
        let folder = tempfile::tempdir().unwrap();
        let literal = folder.path().join("notes:dev");
        std::fs::write(&literal, "").unwrap();
        check(literal.to_str().unwrap(), literal.to_str().unwrap(), None);
    }
}
