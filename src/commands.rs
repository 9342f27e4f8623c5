//! The subcommands. Each is a struct of its arguments with a `run` that gives the exit code: 0 when all is done, 1 when it could
//! not be done, 2 when the command line is wrong, 3 when it was done but some notes became dead letters.

pub(crate) mod assert;
pub(crate) mod calibrate;
pub(crate) mod check;
pub(crate) mod cohorts;
pub(crate) mod concepts;
pub(crate) mod config;
pub(crate) mod corpus;
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod label;
pub(crate) mod models;
pub(crate) mod quality;
pub(crate) mod retrain;
pub(crate) mod review;
pub(crate) mod run;
pub(crate) mod send;
pub(crate) mod study;
pub(crate) mod teachers;
pub(crate) mod train;

use crate::config::{Config, Loaded};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Which configuration.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// The configuration; the defaults when absent.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides a setting, such as engine.workers=4. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
}

impl ConfigArgs {
    pub(crate) fn load(&self) -> Result<Loaded> {
        Config::load(self.config.as_deref(), &self.sets)
    }
}

/// Done, but not for every note.
pub(crate) fn some_dead_lettered() -> ExitCode {
    ExitCode::from(3)
}

/// Refuses an output that would be read as input.
///
/// # Errors
/// Names both.
pub(crate) fn check_output(output: &Path, inputs: &[PathBuf]) -> Result<()> {
    let folder = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Some(name)) = (folder.canonicalize(), output.file_name()) else { return Ok(()) };
    let written = folder.join(name);
    // Where it exists already it may be a link to something that is read.
    let written = written.canonicalize().unwrap_or(written);
    let is_read = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| written.starts_with(path));
    match inputs.iter().find(is_read) {
        Some(path) if output != Path::new("-") => {
            bail!("{} would be read with the notes in {}; write it somewhere else", output.display(), path.display())
        }
        _ => Ok(()),
    }
}

/// A line of results on stdout. Unlike `println!` it does not panic when nobody reads them any more.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn print_line(line: impl Display) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("cannot write to stdout")
}

/// Whether `error` only says that whoever read the results has seen enough.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kinds.into_iter().any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}
