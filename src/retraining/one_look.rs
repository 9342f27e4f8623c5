//! One look at the log, and the run that a trigger starts on what it finds: retraining for who has something else to do
//! afterwards.

use super::{Driver, Job, Report, now};
use crate::config::Config;
use crate::retraining::live::LiveF1;
use crate::retraining::run_folder::SNAPSHOT;
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::Log;

/// The run that a trigger starts on what the log says now, or that is under way; what came of it. Nothing when no
/// trigger starts one, or when `stop` is set meanwhile: then it goes on with the next call.
///
/// # Errors
/// When the run fails, the log cannot be read, another process retrains in the folder, or the folder cannot be written.
pub(crate) fn at_first_look(config: &Config, log: Arc<dyn Log>, stop: &Arc<AtomicBool>) -> Result<Option<Report>> {
    let mut driver = Driver::open(config, log, stop)?;
    driver.place.state.history.ended_at.get_or_insert(now());
    driver.place.save()?;
    if !driver.look()? {
        return Ok(None);
    }
    eprintln!("{}", driver.status());
    // A training that was killed goes on, as often as a run is tried.
    while let Some(Job { work, documents }) = driver.next_job(&LiveF1::default(), &[])? {
        let outcome = work.complete(documents, config, (&driver.log, stop));
        driver.ended(&work, &outcome)?;
        if !matches!(outcome, Ok(None)) || stop.load(Ordering::SeqCst) {
            return outcome;
        }
    }
    Ok(None)
}

/// Whether a run in this folder has written all that it learns from and is measured by: what comes to the log from then
/// on makes no difference to it.
pub(crate) fn has_documents(folder: &Path) -> bool {
    let mut runs = std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok);
    runs.any(|run| run.path().join(SNAPSHOT).exists())
}
