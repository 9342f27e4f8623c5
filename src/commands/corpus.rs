//! `stillroom corpus`: corpora as their publishers write them, counted and converted.

mod convert;
mod stats;

use crate::commands::train::task;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_connectors::{Corpus, CorpusConfig, CorpusFormat, CorpusProblem, KnownCorpus};
use stillroom_schemas::Task;

/// So many problems are told one by one.
const PROBLEMS_SHOWN_MAX: u64 = 20;

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum CorpusCommand {
    /// Count documents, words and entities, and tell what is wrong with the files.
    Stats(stats::Stats),
    /// Write annotated documents as `train` and `eval` read them, and notes as `label` and `extract` do.
    Convert(convert::Convert),
}

impl CorpusCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            CorpusCommand::Stats(command) => command.run(),
            CorpusCommand::Convert(command) => command.run(),
        }
    }
}

/// Which corpus.
#[derive(Args)]
pub(crate) struct CorpusArgs {
    /// Files and folders: PubTator, brat, NOTEEVENTS.csv of MIMIC-III, EHRs of MedAlign (XML, or OMOP's note.csv), JSON Lines.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
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

impl CorpusArgs {
    /// # Errors
    /// When a path is no corpus, or its labels are not known.
    fn open(&self) -> Result<Corpus> {
        let config = CorpusConfig { format: self.format, corpus: self.corpus, map: self.map.clone() };
        Ok(Corpus::open(&self.paths, &config)?)
    }
}

/// Tells problems on stderr, the first ones in full.
#[derive(Default)]
struct Problems(u64);

impl Problems {
    fn tell(&mut self, problem: &CorpusProblem) {
        self.0 += 1;
        if self.0 <= PROBLEMS_SHOWN_MAX {
            eprintln!("{problem}");
        }
    }

    /// How many there were.
    fn finish(&self) -> u64 {
        if self.0 > PROBLEMS_SHOWN_MAX {
            eprintln!("and {} more problems", self.0 - PROBLEMS_SHOWN_MAX);
        }
        self.0
    }
}

fn format(name: &str) -> Result<CorpusFormat> {
    let found = CorpusFormat::ALL.into_iter().find(|format| format.name() == name);
    found.context("write pubtator, brat, mimic, medalign or jsonl")
}

fn known(name: &str) -> Result<KnownCorpus> {
    let found = KnownCorpus::ALL.into_iter().find(|known| known.name == name);
    found.context("write ncbi_disease, bc5cdr, n2c2_2018, maccrobat or coral")
}

fn mapped(mapped: &str) -> Result<(String, Option<Task>)> {
    let (label, name) = mapped.split_once('=').context("write LABEL=TASK, such as Chemical=medication")?;
    let task = if name == "none" { None } else { Some(task(name).context("or none after the =")?) };
    Ok((label.to_owned(), task))
}
