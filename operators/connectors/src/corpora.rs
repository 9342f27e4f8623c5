//! Corpora as their publishers write them.
//!
//! In: files and folders. Out, of a corpus that is annotated, documents with spans in code points, and of one that is not, notes;
//! and what is wrong with the files, by file and line and without text. State: the list of files, and of what is read the ids, so that
//! no document comes twice; texts are not kept.
//!
//! ```text
//! files ─► list ─► PubTator, brat ─► resolve (labels to tasks, offsets against the text) ─► documents ─┐
//!                  JSON Lines ───────────────────────────────────────────────────────────► documents ─┼─► items
//!                  NOTEEVENTS.csv, EHRs in XML, note.csv ────────────────────────────────► notes ─────┘
//! ```
//!
//! An annotation is taken as it is, or reported and left out: no offset is ever corrected. How each format is told, and what it holds,
//! stands at [`CorpusFormat`].

mod annotated;
mod brat;
mod draw;
mod labels;
mod list;
mod medalign;
mod pubtator;
mod tables;

pub use draw::{Part, Sample, Split};
pub use labels::KnownCorpus;

use crate::{GoldDocument, GoldDocuments, LogError};
use annotated::Annotated;
use brat::Brat;
use labels::{Mapping, Seen};
use list::{CorpusFile, list};
use medalign::Records;
use pubtator::PubTator;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::path::PathBuf;
use stillroom_schemas::{Note, Task};
use tables::NoteTable;

/// A format, and how a file tells that it is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorpusFormat {
    /// `PMID|t|title`, `PMID|a|abstract` and lines of annotations, in a `.txt` or `.pubtator` file whose first line is a title: NCBI
    /// Disease and BC5CDR. Offsets are code points of title and abstract, with one character between them, which is read as a space.
    PubTator,
    /// Stand-off annotations, a `.ann` file beside each `.txt`: n2c2 2018 Track 2, MACCROBAT, CORAL. Offsets are code points of the
    /// file as it is, line ends included.
    Brat,
    /// `NOTEEVENTS.csv` of MIMIC-III, told by its header. Notes that are marked as errors are not read.
    Mimic,
    /// Of MedAlign the EHRs as `.xml` (`record` or `eventstream`), or the table `note.csv` of OMOP, told by its header.
    MedAlign,
    /// The documents that [`GoldDocuments`] reads, in `.jsonl` files.
    Documents,
}

impl CorpusFormat {
    /// Every format.
    pub const ALL: [CorpusFormat; 5] = [
        CorpusFormat::PubTator,
        CorpusFormat::Brat,
        CorpusFormat::Mimic,
        CorpusFormat::MedAlign,
        CorpusFormat::Documents,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            CorpusFormat::PubTator => "pubtator",
            CorpusFormat::Brat => "brat",
            CorpusFormat::Mimic => "mimic",
            CorpusFormat::MedAlign => "medalign",
            CorpusFormat::Documents => "jsonl",
        }
    }
}

/// How a corpus is to be read, where its files do not tell.
#[derive(Clone, Debug, Default)]
pub struct CorpusConfig {
    /// The format of every file; by each file when absent.
    pub format: Option<CorpusFormat>,
    /// Whose labels the annotations have; by the labels when absent.
    pub corpus: Option<KnownCorpus>,
    /// Labels and the tasks that they are read as, before those of the corpus; a label without a task is not read.
    pub map: Vec<(String, Option<Task>)>,
}

/// Something that a corpus holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorpusItem {
    /// An annotated document.
    Document(CorpusDocument),
    /// A note without annotations.
    Note(Note),
    /// Something that was left out.
    Problem(CorpusProblem),
}

/// An annotated document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorpusDocument {
    /// The document, its spans in the order of the text.
    pub document: GoldDocument,
    /// The file that it stands in, or its annotations.
    pub path: PathBuf,
    /// The part of the corpus that it belongs to, where the name of its file or folder tells.
    pub part: Option<Part>,
    /// How many of its annotations are in several fragments. Each fragment is a span: to scores in words that is the same, and no word
    /// between them is claimed.
    pub discontinuous: usize,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CorpusProblem {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; absent when it is the whole file.
    pub line: Option<u64>,
    /// What is wrong, and what became of it. No text of the corpus.
    pub what: String,
}

impl fmt::Display for CorpusProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

/// A corpus on disk, which can be read several times.
#[derive(Debug)]
pub struct Corpus {
    sources: Vec<Source>,
}

/// What is read in one go.
#[derive(Debug)]
enum Source {
    PubTator(CorpusFile, Mapping),
    /// All documents below one path, whose labels are of one corpus.
    Brat(Vec<CorpusFile>, Mapping),
    Table(CorpusFile),
    Records(CorpusFile),
    Documents(CorpusFile),
    /// A file that cannot be read.
    Nothing(CorpusProblem),
}

type Items<'a> = Box<dyn Iterator<Item = Result<CorpusItem, LogError>> + 'a>;

/// What a format's reader gives: a document whose labels and offsets have not been looked at.
enum Parsed {
    Document(Annotated),
    Problem(CorpusProblem),
}

impl Corpus {
    /// The corpus under `paths`. Annotated files are read for their labels.
    ///
    /// # Errors
    /// When a path does not exist, or tells no format; when the labels are of no known corpus, or of several, and `config` does not
    /// say which task they stand for; when a label of `config` has no annotation.
    pub fn open(paths: &[PathBuf], config: &CorpusConfig) -> Result<Corpus, LogError> {
        let (mut sources, mut seen) = (Vec::new(), Seen::default());
        for root in paths {
            let mut brat = Vec::new();
            for (file, format) in list(root, paths.len() > 1, config.format)? {
                sources.push(match format {
                    Ok(CorpusFormat::PubTator) => {
                        let labels = labels_of(PubTator::open(&file)?)?;
                        let mapping = Mapping::of(&file.path, (CorpusFormat::PubTator, labels), config, &mut seen)?;
                        Source::PubTator(file, mapping)
                    }
                    Ok(CorpusFormat::Brat) => {
                        brat.push(file);
                        continue;
                    }
                    Ok(CorpusFormat::Mimic) => Source::Table(file),
                    Ok(CorpusFormat::MedAlign) if file.has_extension("xml") => Source::Records(file),
                    Ok(CorpusFormat::MedAlign) => Source::Table(file),
                    Ok(CorpusFormat::Documents) => Source::Documents(file),
                    Err(what) => Source::Nothing(CorpusProblem { path: file.path, line: None, what }),
                });
            }
            if !brat.is_empty() {
                let labels = labels_of(Brat::open(&brat))?;
                let mapping = Mapping::of(root, (CorpusFormat::Brat, labels), config, &mut seen)?;
                sources.push(Source::Brat(brat, mapping));
            }
        }
        seen.check(config)?;
        Ok(Corpus { sources })
    }

    /// The known corpora that it was taken for, each once.
    pub fn known(&self) -> Vec<KnownCorpus> {
        let mut known: Vec<KnownCorpus> = Vec::new();
        for corpus in self.mappings().filter_map(Mapping::corpus) {
            if !known.contains(&corpus) {
                known.push(corpus);
            }
        }
        known
    }

    /// The labels that are read, and as what, each once.
    pub fn labels(&self) -> Vec<(String, Task)> {
        let all: BTreeSet<_> = self.mappings().flat_map(Mapping::labels).collect();
        all.into_iter().collect()
    }

    /// What it holds, in the order of the names of its files. A document whose id was there before is left out and reported.
    pub fn items(&self) -> impl Iterator<Item = Result<CorpusItem, LogError>> + '_ {
        let mut ids = HashSet::new();
        self.sources.iter().flat_map(Source::items).map(move |item| {
            Ok(match item? {
                CorpusItem::Document(CorpusDocument { document, path, .. }) if !ids.insert(document.id.clone()) => {
                    let what = format!("the document {} was there before; left out", document.id);
                    CorpusItem::Problem(CorpusProblem { path, line: None, what })
                }
                item => item,
            })
        })
    }

    fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        self.sources.iter().filter_map(|source| match source {
            Source::PubTator(_, mapping) | Source::Brat(_, mapping) => Some(mapping),
            Source::Table(_) | Source::Records(_) | Source::Documents(_) | Source::Nothing(_) => None,
        })
    }
}

impl Source {
    fn items(&self) -> Items<'_> {
        match self {
            Source::PubTator(file, mapping) => {
                opened(PubTator::open(file), |documents| Box::new(resolved(documents, mapping)))
            }
            Source::Brat(files, mapping) => Box::new(resolved(Brat::open(files), mapping)),
            Source::Table(file) => opened(NoteTable::open(file), |notes| Box::new(notes)),
            Source::Records(file) => opened(Records::open(file), |notes| Box::new(notes)),
            Source::Documents(file) => opened(GoldDocuments::open(&file.path), |documents| {
                Box::new(documents.map(|document| checked(document, file)))
            }),
            Source::Nothing(problem) => Box::new(std::iter::once(Ok(CorpusItem::Problem(problem.clone())))),
        }
    }
}

/// The items of a reader, or why there is none.
fn opened<'a, R>(reader: Result<R, LogError>, items: impl FnOnce(R) -> Items<'a>) -> Items<'a> {
    match reader {
        Ok(reader) => items(reader),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

fn resolved<'a>(
    parsed: impl Iterator<Item = Result<Parsed, LogError>> + 'a,
    mapping: &'a Mapping,
) -> impl Iterator<Item = Result<CorpusItem, LogError>> + 'a {
    parsed.flat_map(|parsed| match parsed {
        Ok(Parsed::Document(annotated)) => {
            let (annotated, line_ends) = brat::with_line_ends(annotated, mapping);
            let (document, misfits) = annotated.resolve(mapping);
            let problems = line_ends.into_iter().chain(misfits).map(CorpusItem::Problem);
            problems.chain([CorpusItem::Document(document)]).map(Ok).collect::<Vec<_>>()
        }
        Ok(Parsed::Problem(problem)) => vec![Ok(CorpusItem::Problem(problem))],
        Err(error) => vec![Err(error)],
    })
}

/// A document of a line, or what is wrong with the line, which is left out as a whole.
fn checked(document: Result<GoldDocument, LogError>, file: &CorpusFile) -> Result<CorpusItem, LogError> {
    let (path, part) = (file.path.clone(), file.part);
    match document {
        Ok(document) => Ok(CorpusItem::Document(CorpusDocument { document, path, part, discontinuous: 0 })),
        Err(LogError::Line { line, cause, .. }) => {
            Ok(CorpusItem::Problem(CorpusProblem { path, line: Some(line), what: format!("{cause}; left out") }))
        }
        Err(error) => Err(error),
    }
}

/// The labels of documents, none checked against its text.
fn labels_of(parsed: impl Iterator<Item = Result<Parsed, LogError>>) -> Result<BTreeSet<String>, LogError> {
    let mut labels = BTreeSet::new();
    for parsed in parsed {
        if let Parsed::Document(annotated) = parsed? {
            for mark in annotated.marks {
                labels.insert(mark.label);
            }
        }
    }
    Ok(labels)
}
