//! `stillroom corpus convert`: documents and notes as stillroom reads them.

use super::CorpusArgs;
use crate::commands::label::writer;
use crate::commands::{check_output, some_dead_lettered};
use crate::corpora::{Drawn, Problems, part};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_connectors::{Corpus, CorpusDocument, CorpusItem, LogError, Part, Sample};
use stillroom_schemas::Note;

/// Arguments of `corpus convert`.
#[derive(Args)]
pub(crate) struct Convert {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Where to write the lines; - is stdout.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
    /// Write the documents of one part, train, dev or test: by the names of files and folders, and where these do not tell, drawn by the
    /// seed as many as the published study took of the corpus.
    #[arg(long, value_name = "PART", value_parser = part)]
    split: Option<Part>,
    /// Draw so many documents for dev.
    #[arg(long, value_name = "DOCUMENTS", requires = "split")]
    dev: Option<usize>,
    /// Draw so many documents for test.
    #[arg(long, value_name = "DOCUMENTS", requires = "split")]
    test: Option<usize>,
    /// Write so many notes, drawn by the seed, of each note type in proportion to its share.
    #[arg(long, value_name = "NOTES", conflicts_with_all = ["split", "one_per_patient"])]
    sample: Option<usize>,
    /// Write one note of each patient, drawn by the seed.
    #[arg(long, conflicts_with = "split")]
    one_per_patient: bool,
    /// The seed by which documents and notes are drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What is written.
enum Wanted {
    All,
    /// Documents.
    Part(Part, HashMap<String, Part>),
    /// Notes.
    Sample(HashSet<String>),
}

impl Convert {
    pub(crate) fn run(self) -> Result<ExitCode> {
        check_output(&self.output, &self.corpus.paths)?;
        let corpus = self.corpus.open()?;
        let wanted = self.wanted(&corpus)?;
        let mut output = writer(&self.output)?;
        let (mut problems, mut documents, mut notes) = (Problems::default(), 0u64, 0u64);
        for item in corpus.items() {
            let line = match item? {
                CorpusItem::Problem(problem) => {
                    problems.tell(&problem);
                    continue;
                }
                CorpusItem::Document(CorpusDocument { document, .. }) if wanted.has_document(&document.id)? => {
                    documents += 1;
                    document.to_line()
                }
                CorpusItem::Note(note) if wanted.has_note(&note)? => {
                    notes += 1;
                    serde_json::to_string(&note)?
                }
                CorpusItem::Document(_) | CorpusItem::Note(_) => continue,
            };
            ensure!(
                documents == 0 || notes == 0,
                "there are annotated documents and notes; convert them one at a time"
            );
            writeln!(output, "{line}").context("cannot write the lines")?;
        }
        output.flush().context("cannot write the lines")?;
        eprintln!("{}", if notes > 0 { format!("{notes} notes") } else { format!("{documents} documents") });
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }

    /// # Errors
    /// When there is too little to draw from, or nothing to draw by.
    fn wanted(&self, corpus: &Corpus) -> Result<Wanted> {
        let sample = match (self.sample, self.one_per_patient) {
            (Some(notes), _) => Some(Sample::ByType { notes, seed: self.seed }),
            (None, true) => Some(Sample::OnePerPatient { seed: self.seed }),
            (None, false) => None,
        };
        if let Some(sample) = sample {
            return Ok(Wanted::Sample(sample.draw(corpus.items().filter_map(note))?));
        }
        let Some(part) = self.split else { return Ok(Wanted::All) };
        let drawn = Drawn { dev: self.dev, test: self.test, seed: self.seed };
        Ok(Wanted::Part(part, drawn.parts(corpus)?))
    }
}

impl Wanted {
    fn has_document(&self, id: &str) -> Result<bool> {
        match self {
            Wanted::All => Ok(true),
            Wanted::Part(part, parts) => Ok(parts.get(id) == Some(part)),
            Wanted::Sample(_) => bail!("annotated documents are not sampled; write --split for a part of them"),
        }
    }

    fn has_note(&self, note: &Note) -> Result<bool> {
        match self {
            Wanted::All => Ok(true),
            Wanted::Part(..) => bail!("notes without annotations have no parts; write --sample to draw some of them"),
            Wanted::Sample(ids) => Ok(ids.contains(&note.note_id)),
        }
    }
}

fn note(item: Result<CorpusItem, LogError>) -> Option<Result<Note, LogError>> {
    match item {
        Ok(CorpusItem::Note(note)) => Some(Ok(note)),
        Ok(CorpusItem::Document(_) | CorpusItem::Problem(_)) => None,
        Err(error) => Some(Err(error)),
    }
}
