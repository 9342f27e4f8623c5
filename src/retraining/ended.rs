//! What the driver remembers of a run that has ended, by whatever it ended.

use super::{Driver, Report, Told, now};
use crate::log::is_outage;
use crate::retraining::place::{ATTEMPTS_MAX, Kept, UnderWay};
use crate::retraining::run_folder::RunFolder;
use crate::retraining::work::{Running, Work};
use anyhow::{Result, anyhow};
use std::sync::atomic::Ordering;

impl Driver<'_> {
    /// Waits for a run, and says what came of it.
    pub(super) fn take_in(&mut self, running: Running, tell: &mut dyn FnMut(Told<'_>) -> Result<()>) -> Result<()> {
        let Running { work, thread } = running;
        let outcome = thread.join().map_err(|_| anyhow!("the thread of the run panicked")).flatten();
        self.ended(&work, &outcome)?;
        match outcome {
            Ok(Some(report)) => tell(Told::Run(&report))?,
            Ok(None) => eprintln!("the run that is under way goes on later"),
            Err(error) if is_outage(&error) => {
                eprintln!("the run that is under way goes on when the log can be reached: {error:#}")
            }
            Err(error) => eprintln!("the run failed: {error:#}"),
        }
        Ok(())
    }

    /// Remembers what came of a run, unless it is under way: what was stopped, or had no log, goes on at no attempt.
    pub(super) fn ended(&mut self, work: &Work, outcome: &Result<Option<Report>>) -> Result<()> {
        match outcome {
            Ok(Some(report)) => {
                self.place.learn(&work.folder)?;
                self.place.state.history.ended(&work.under_way.cause, report.is_promoted, now());
                self.finish(&work.folder, Kept::Nothing)
            }
            Ok(None) if self.stop.load(Ordering::SeqCst) => self.place.stopped(),
            Ok(None) => Ok(()),
            Err(error) if is_outage(error) => self.place.stopped(),
            Err(_) => self.failed(work),
        }
    }

    /// Remembers that a run came to no verdict: a candidate that is trained is measured again after the interval, and
    /// what a run that is given up learned from is new again.
    pub(super) fn failed(&mut self, work: &Work) -> Result<()> {
        let is_trained = work.folder.is_trained();
        if is_trained && work.under_way.attempts < ATTEMPTS_MAX {
            self.place.state.history.put_off(now());
            eprintln!("its candidate is measured again when [retraining] interval_min_minutes have passed");
            self.place.state.under_way = Some(UnderWay { has_failed: true, ..work.under_way.clone() });
            return self.place.save();
        }
        self.place.state.history.failed(now());
        if is_trained {
            let student = work.folder.student();
            eprintln!("its candidate is kept in {}; look at it by `stillroom models add`", student.display());
        }
        self.finish(&work.folder, if is_trained { Kept::Student } else { Kept::Nothing })?;
        self.book.learn(self.place.learned()?);
        Ok(())
    }

    /// Remembers that a run has ended, and keeps this of it, or all of it if that was configured.
    fn finish(&mut self, folder: &RunFolder, kept: Kept) -> Result<()> {
        let kept = if self.config.retraining.keep_snapshots { Kept::All } else { kept };
        self.place.finish(folder, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::retraining::triggers::Cause;
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use stillroom_connectors::{EmbeddedLog, LogError};
    use stillroom_schemas::{ModelId, Task};

    fn outage() -> anyhow::Error {
        let (action, cause) = ("read".to_owned(), "nobody answers".to_owned());
        anyhow::Error::from(LogError::Unreachable { action, cause, remedy: "wait" })
    }

    #[test]
    fn an_outage_costs_a_run_no_attempt_and_its_own_faults_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.retraining.dir = folder.path().join("retraining");
        let log = EmbeddedLog::open(folder.path().join("log")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut driver = Driver::open(&config, Arc::new(log), &stop).unwrap();
        let snapshot = "0123456789abcdef".to_owned();
        let run = driver.place.run_folder(&snapshot);
        fs::create_dir_all(run.student()).unwrap();
        fs::write(run.student().join("manifest.json"), "{}").unwrap();
        driver.place.state.under_way = Some(UnderWay {
            snapshot,
            cause: Cause::Command,
            serving: ModelId("s@1".to_owned()),
            base: "base".into(),
            tasks: vec![Task::Disease],
            attempts: 0,
            has_failed: false,
        });
        // What comes of an attempt: how many there were, unless the run is given up.
        let mut attempt = |error: anyhow::Error| {
            let under_way = driver.place.attempt().unwrap().expect("an attempt is left");
            driver.ended(&Work { under_way, folder: run.clone() }, &Err(error)).unwrap();
            driver.place.state.under_way.as_ref().map(|under_way| under_way.attempts)
        };
        for _ in 0..2 * ATTEMPTS_MAX {
            assert_eq!(attempt(outage().context("the candidate cannot read along")), Some(0));
        }
        assert_eq!(attempt(anyhow!("a golden note is wrong")), Some(1));
        assert_eq!(attempt(outage()), Some(1));
        assert_eq!(attempt(anyhow!("a golden note is wrong")), Some(2));
        assert_eq!(attempt(anyhow!("a golden note is wrong")), None, "it is given up");
    }
}
