//! `stillroom models compare`: two students of the registry on annotated documents.

use crate::commands::models::{documents, open};
use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::corpora::{Problems, ReadingArgs};
use crate::gate::Gate;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_schemas::ModelId;

/// Arguments of `models compare`.
#[derive(Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    config: ConfigArgs,
    /// The student that serves, or might.
    #[arg(value_name = "A")]
    serving: String,
    /// The student that might take its place; differences are its F1 less that of A.
    #[arg(value_name = "B")]
    candidate: String,
    /// Annotated documents that neither learned from, as for `eval`.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH[:PART]")]
    gold: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
}

impl Compare {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (config, registry) = open(&self.config)?;
        let (serving, candidate) = (registry.find(&self.serving)?.model, registry.find(&self.candidate)?.model);
        let mut problems = Problems::default();
        let documents = documents(&self.gold, &self.reading, &mut problems)?;
        let folders = (registry.folder(&serving)?, registry.folder(&candidate)?);
        let gate = Gate::measure(&config.student, (&folders.0, &folders.1), &documents)?;
        print_gate((&serving, &candidate), &gate)?;
        print_line(match gate.too_few().or_else(|| gate.refusal()) {
            Some(reason) => format!("{} would not be promoted: {reason}", candidate.0),
            None => format!("{} would be promoted", candidate.0),
        })?;
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

/// Who was measured, and how they did.
pub(super) fn print_gate((serving, candidate): (&ModelId, &ModelId), gate: &Gate) -> Result<()> {
    print_line(format_args!("serving:   {}\ncandidate: {}", serving.0, candidate.0))?;
    gate.table().iter().try_for_each(print_line)
}
