//! `stillroom retrain`: one run now, on what labels and references there are. Where a process follows the log, that is
//! asked for it.

use crate::commands::run::{StopNotes, stop_on_signal};
use crate::commands::{ConfigArgs, print_line};
use crate::config::Config;
use crate::log::open_written_log;
use crate::retraining::{self, Answered, Request, Taken, Told};
use anyhow::{Error, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stillroom_connectors::Log;

/// What is said of a stop while students are retrained.
pub(crate) const STOP_NOTES: StopNotes = StopNotes {
    first: "the training under way is ended; the next run goes on from its last checkpoint",
    second: "stopped at once; the next run goes on from the last checkpoint",
};

/// How often to look for an answer: nothing tells that a file has come.
const HEAR_EVERY: Duration = Duration::from_millis(100);

/// Beyond the time of the next look, how long an answer is waited for: the student that serves is loaded before a run
/// begins.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Arguments of `retrain`.
#[derive(Args)]
pub(crate) struct Retrain {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print what there is to learn from and to measure by, and train nothing.
    #[arg(long, group = "instead")]
    dry_run: bool,
    /// Choose again what this student of the registry was made of, from the log up to where that was read, and say whether
    /// it is the same: its id, its name if no other has it, or the beginning of its version. With --dry-run or --out.
    #[arg(long, requires = "instead", value_name = "ID")]
    at: Option<String>,
    /// Write the documents that the student --at learned from, was chosen by and was measured by to this folder, which must
    /// not be there yet, and compare those that it learned from with what the registry says. They are texts of notes.
    #[arg(long, requires = "at", group = "instead", value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Retrain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = self.config.load()?.config;
        let log = open_written_log(&config)?;
        let stop = stop_on_signal(STOP_NOTES)?;
        if let Some(student) = &self.at {
            return rebuild(&config, log.as_ref(), (student.as_str(), self.out.as_deref()), &stop);
        }
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
            Err(error) => ask(&config, error, &stop),
        }
    }
}

/// Says whether what a student was made of is chosen again, and writes it again if a folder is named.
fn rebuild(config: &Config, log: &dyn Log, wanted: (&str, Option<&Path>), stop: &AtomicBool) -> Result<ExitCode> {
    let Some(rebuilt) = retraining::rebuild(config, log, wanted, stop)? else {
        bail!("stopped before the log was read")
    };
    print_line(serde_json::to_string(&rebuilt)?)?;
    rebuilt.differences.iter().for_each(|difference| eprintln!("{difference}"));
    match rebuilt.refusal() {
        Some(refusal) => bail!(refusal),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Asks for a run the process that has the folder, if that is why there was none and it takes up requests.
fn ask(config: &Config, error: Error, stop: &AtomicBool) -> Result<ExitCode> {
    let Some(Taken { folder, is_following: true }) = error.downcast_ref::<Taken>() else { return Err(error) };
    let (request, look_every) = (Request::of(folder), config.retraining.look_every_seconds);
    let asker = request.leave()?;
    eprintln!(
        "another process follows the log and retrains in {}; it is asked for a run, which begins there within \
         {look_every} s, or when the one under way has ended, and what comes of it is printed there",
        folder.display()
    );
    let until = Instant::now() + Duration::from_secs(look_every) + ANSWER_WAIT_MAX;
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        match request.heard(&asker)? {
            Some(Answered::Begun) => {
                eprintln!("the run has begun");
                return Ok(ExitCode::SUCCESS);
            }
            Some(Answered::Refused(reason)) => bail!("no run begins there: {reason}"),
            Some(Answered::PutOff(reason)) => {
                eprintln!("the run cannot begin there; it stays asked for, and is tried again: {reason}");
                return Ok(ExitCode::SUCCESS);
            }
            None => std::thread::park_timeout(HEAR_EVERY),
        }
    }
    eprintln!(
        "nothing is heard of it yet; it stays asked for until the one under way has ended, or the log is there again"
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
