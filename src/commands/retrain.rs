//! `stillroom retrain`: one run now, on what labels and references there are. Where a process follows the log, that is
//! asked for it.

use crate::commands::run::{StopNotes, stop_on_signal};
use crate::commands::{ConfigArgs, print_line};
use crate::config::Config;
use crate::log::open_written_log;
use crate::retraining::{self, Request, Taken, Told};
use anyhow::{Error, Result, bail};
use clap::Args;
use std::process::ExitCode;

/// What is said of a stop while students are retrained.
pub(crate) const STOP_NOTES: StopNotes = StopNotes {
    first: "the training under way is ended; the next run goes on from its last checkpoint",
    second: "stopped at once; the next run goes on from the last checkpoint",
};

/// Arguments of `retrain`.
#[derive(Args)]
pub(crate) struct Retrain {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print what there is to learn from and to measure by, and train nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Retrain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = self.config.load()?.config;
        let log = open_written_log(&config)?;
        let stop = stop_on_signal(STOP_NOTES)?;
        if self.dry_run {
            return match retraining::preview(&config, log.as_ref(), &stop)? {
                Some(preview) => {
                    print_line(serde_json::to_string(&preview)?)?;
                    Ok(ExitCode::SUCCESS)
                }
                None => bail!("stopped before the log was read"),
            };
        }
        match retraining::once(&config, log, &stop) {
            Ok(Some(report)) => {
                tell(Told::Run(&report))?;
                Ok(ExitCode::SUCCESS)
            }
            Ok(None) => bail!("stopped before the run was done; the same command goes on with it"),
            Err(error) => ask(&config, error),
        }
    }
}

/// Asks for a run the process that has the folder, if that is why there was none and it takes up requests.
fn ask(config: &Config, error: Error) -> Result<ExitCode> {
    let Some(Taken { folder, is_following: true }) = error.downcast_ref::<Taken>() else { return Err(error) };
    Request::of(folder).leave()?;
    eprintln!(
        "another process follows the log and retrains in {}; it is asked for a run, which begins there within {} s, or \
         when the one under way has ended, and what comes of it is printed there",
        folder.display(),
        config.retraining.look_every_seconds
    );
    Ok(ExitCode::SUCCESS)
}

/// Says to people what came to pass, and prints it.
///
/// # Errors
/// When stdout cannot be written.
pub(crate) fn tell(told: Told<'_>) -> Result<()> {
    told.lines().iter().for_each(|line| eprintln!("{line}"));
    print_line(serde_json::to_string(&told)?)
}
