//! `stillroom corpus`: corpora as their publishers write them, counted and converted.

mod convert;
mod stats;

use crate::corpora::ReadingArgs;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_connectors::Corpus;

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum CorpusCommand {
    /// Count documents, words and entities, and tell what is wrong with the files.
    Stats(stats::Stats),
    /// Write annotated documents and notes as JSON Lines, or a part of them.
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
    #[command(flatten)]
    reading: ReadingArgs,
}

impl CorpusArgs {
    /// # Errors
    /// When a path is no corpus, or its labels are not known.
    fn open(&self) -> Result<Corpus> {
        Ok(Corpus::open(&self.paths, &self.reading.config())?)
    }
}
