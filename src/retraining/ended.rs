//! What the driver remembers of a run that has ended, by whatever it ended.

use super::{Driver, Report, Told, now};
use crate::retraining::place::{ATTEMPTS_MAX, Kept, UnderWay};
use crate::retraining::run_folder::RunFolder;
use crate::retraining::work::{Running, Work};
use anyhow::{Result, anyhow};
use std::sync::atomic::Ordering;

impl Driver<'_> {
    /// Waits for a run, and says what came of it.
    pub(super) fn take_in(&mut self, running: Running, tell: &mut dyn FnMut(Told<'_>) -> Result<()>) -> Result<()> {
        let outcome = running.thread.join().map_err(|_| anyhow!("the thread of the run panicked")).flatten();
        self.ended(&running.work, &outcome)?;
        match outcome {
            Ok(Some(report)) => tell(Told::Run(&report))?,
            Ok(None) => eprintln!("the run that is under way goes on later"),
            Err(error) => eprintln!("the run failed: {error:#}"),
        }
        Ok(())
    }

    /// Remembers what came of a run, unless it was stopped and is under way.
    pub(super) fn ended(&mut self, work: &Work, outcome: &Result<Option<Report>>) -> Result<()> {
        match outcome {
            Ok(Some(report)) => {
                self.place.learn(&work.folder)?;
                self.place.state.history.ended(&work.under_way.cause, report.is_promoted, now());
                self.finish(&work.folder, Kept::Nothing)
            }
            Ok(None) if self.stop.load(Ordering::SeqCst) => self.place.stopped(),
            Ok(None) => Ok(()),
            Err(_) => self.failed(work),
        }
    }

    /// Remembers that a run came to no verdict: a candidate that is trained is measured again after the interval, and
    /// what a run that is given up learned from is new again.
    pub(super) fn failed(&mut self, work: &Work) -> Result<()> {
        self.place.state.history.failed(now());
        let is_trained = work.folder.is_trained();
        if is_trained && work.under_way.attempts < ATTEMPTS_MAX {
            eprintln!("its candidate is measured again when [retraining] interval_min_minutes have passed");
            self.place.state.under_way = Some(UnderWay { has_failed: true, ..work.under_way.clone() });
            return self.place.save();
        }
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
