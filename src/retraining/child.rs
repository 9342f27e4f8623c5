//! The training of a run: `stillroom train` as a process of its own, which gives way to whatever else runs here, has a
//! memory of its own within a bound, and never outlives who started it.
//!
//! It holds the lock of a file while it trains, and ends when its stdin is closed, as it is by whatever ends this
//! process. The next one waits for the lock, so that no two write the same student, and goes on from the last
//! checkpoint.

use crate::retraining::RetrainingConfig;
use crate::retraining::place::UnderWay;
use crate::retraining::run_folder::{DEV, RunFolder, STUDENT, TRAIN, TRAIN_LOCK};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines of what a training said that are told when it fails.
const LINES_TOLD_MAX: usize = 20;

/// What a process says, or the system in its name, that gets no more memory, or no thread as there is none for its
/// stack.
const SHORT_OF_MEMORY: [&str; 3] =
    ["memory allocation of ", "Cannot allocate memory", "Resource temporarily unavailable"];

/// Neither the end of a process nor a stop wakes who waits for both.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Trains the candidate of a run, or goes on with it. Whether it is trained: not when `stop` is set meanwhile, or the
/// training is told to end, as a supervisor tells all processes of a service at once, or is killed.
///
/// # Errors
/// When it fails, with the end of what it said, which has no text of a note in it.
pub(crate) fn train(
    under_way: &UnderWay,
    config: &RetrainingConfig,
    (folder, stop): (&RunFolder, &AtomicBool),
) -> Result<bool> {
    let mut child = command(under_way, config, folder)?
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| match config.nice {
            0 => "cannot start the training".to_owned(),
            _ => {
                "cannot start the training by the program nice; set [retraining] nice to 0 to do without it".to_owned()
            }
        })?;
    let last = child.stderr.take().map(last_lines);
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the training")? {
            break status;
        }
        if stop.load(Ordering::SeqCst) {
            end(&mut child)?;
            return Ok(false);
        }
        std::thread::park_timeout(LOOK_EVERY);
    };
    if status.success() {
        return Ok(true);
    }
    if is_told_to_end(status) {
        return Ok(false);
    }
    let said = Vec::from(last.and_then(|last| last.join().ok()).unwrap_or_default()).join("\n");
    let memory_bytes_max = config.memory_bytes_max;
    if memory_bytes_max > 0 && is_short_of_memory(&said) {
        bail!(
            "the training needed more than memory_bytes_max = {memory_bytes_max}; raise it, or lower batch or \
             notes_max: it ended with {status}: {said}"
        );
    }
    bail!("the training ended with {status}: {said}")
}

/// Whether a process ended as it got no more memory, by the end of what it said.
fn is_short_of_memory(said: &str) -> bool {
    SHORT_OF_MEMORY.iter().any(|part| said.contains(part))
}

/// Whether a process ended by SIGHUP, SIGINT, SIGTERM, or SIGKILL, as when memory is short.
#[cfg(unix)]
fn is_told_to_end(status: ExitStatus) -> bool {
    matches!(std::os::unix::process::ExitStatusExt::signal(&status), Some(1 | 2 | 9 | 15))
}

/// Elsewhere nobody says so by a signal.
#[cfg(not(unix))]
fn is_told_to_end(_status: ExitStatus) -> bool {
    false
}

/// Ends a training; what it learned since its last checkpoint is learned again.
fn end(child: &mut Child) -> Result<()> {
    child.kill().context("cannot end the training")?;
    child.wait().context("cannot wait for the training")?;
    Ok(())
}

/// Reads what a process says, so that a full pipe never holds it up, and keeps the end of it.
fn last_lines(stderr: impl Read + Send + 'static) -> JoinHandle<VecDeque<String>> {
    std::thread::spawn(move || {
        let mut last = VecDeque::new();
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            last.push_back(String::from_utf8_lossy(&line).into_owned());
            if last.len() > LINES_TOLD_MAX {
                last.pop_front();
            }
        }
        last
    })
}

fn command(under_way: &UnderWay, config: &RetrainingConfig, folder: &RunFolder) -> Result<Command> {
    let program = std::env::current_exe().context("cannot find the program that this is")?;
    let mut command = match config.nice {
        0 => Command::new(program),
        nice => {
            let mut command = Command::new("nice");
            command.arg("-n").arg(nice.to_string()).arg(program);
            command
        }
    };
    // A backtrace would take the place of what went wrong among the lines that are told.
    command.env("RUST_BACKTRACE", "0").current_dir(folder.path()).args(arguments(under_way, config));
    Ok(command)
}

/// The arguments of `train` in the folder of a run. The recipe of a run that goes on is the configured one: with
/// another it would be another run, and is refused.
///
/// They name nothing after the snapshot: the manifest has them, and other notes to measure by make no other student.
fn arguments(under_way: &UnderWay, config: &RetrainingConfig) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["train".into()];
    let mut option = |name: &str, value: OsString| arguments.extend([OsString::from(format!("--{name}")), value]);
    option("base", under_way.base.clone().into());
    option("train", TRAIN.into());
    option("dev", DEV.into());
    option("out", STUDENT.into());
    option("leash", TRAIN_LOCK.into());
    under_way.tasks.iter().for_each(|task| option("task", task.name().into()));
    let plain = [
        ("name", config.name.clone()),
        ("device", config.device.clone()),
        ("threads", config.threads().to_string()),
        ("memory-bytes-max", config.memory_bytes_max.to_string()),
        ("patience", config.patience.to_string()),
        ("dev-documents-max", config.dev_documents_max.to_string()),
        ("seed", config.seed.to_string()),
    ];
    plain.into_iter().for_each(|(name, value)| option(name, value.into()));
    arguments.extend(config.recipe.options().into_iter().map(OsString::from));
    arguments
}
