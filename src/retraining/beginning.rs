//! How the driver begins a run, or goes on with one.

use super::{Driver, now};
use crate::retraining::drift;
use crate::retraining::live::LiveF1;
use crate::retraining::place::{ATTEMPTS_MAX, Kept, State};
use crate::retraining::run;
use crate::retraining::snapshot::Choice;
use crate::retraining::triggers::{Cause, Seen};
use crate::retraining::work::{Documents, Job, Work};
use anyhow::{Result, anyhow};
use stillroom_schemas::Retraining;

impl Driver<'_> {
    /// The run that is under way, after the interval if its candidate could not be measured, or one that a trigger
    /// starts.
    pub(super) fn next_job(&mut self, live: &LiveF1, drifts: &[Retraining]) -> Result<Option<Job>> {
        let is_asked = self.place.request.is_there();
        let State { under_way, history } = &mut self.place.state;
        let has_failed = under_way.as_ref().is_some_and(|under_way| under_way.has_failed);
        if has_failed && !is_asked && history.is_within(&self.config.retraining, now()) {
            return Ok(None);
        }
        match self.resumed()? {
            Some(job) => Ok(Some(job)),
            None => self.due(live, drifts),
        }
    }

    /// The run that was under way when a process or its training ended, if its documents are whole and it is not to be
    /// given up.
    pub(super) fn resumed(&mut self) -> Result<Option<Job>> {
        let Some(under_way) = self.place.state.under_way.clone() else { return Ok(None) };
        let folder = self.place.run_folder(&under_way.snapshot);
        let Some(snapshot) = folder.snapshot()? else {
            // What began it may begin it anew, on what there is now.
            self.place.finish(&folder, Kept::Nothing)?;
            self.book.learn(self.place.learned()?);
            return Ok(None);
        };
        let Some(under_way) = self.place.attempt()? else {
            let refused = anyhow!("its training was killed, or the process was, at each of {ATTEMPTS_MAX} attempts");
            eprintln!("the run that was under way fails: {refused}");
            self.failed(&Work { under_way, folder })?;
            return Ok(None);
        };
        eprintln!("the run that was under way goes on: {}", under_way.cause);
        self.book.learn(folder.learned()?);
        Ok(Some(Job { work: Work { under_way, folder }, documents: Documents::Written(snapshot) }))
    }

    /// A run that is asked for or that a trigger starts, if one is.
    fn due(&mut self, live: &LiveF1, drifts: &[Retraining]) -> Result<Option<Job>> {
        let is_asked = self.place.request.is_there();
        let cause = if is_asked { Some(Cause::Command) } else { self.triggered(live, drifts) };
        let Some(cause) = cause else { return Ok(None) };
        eprintln!("retraining: {cause}");
        match self.start(cause) {
            Ok(job) => Ok(Some(job)),
            Err(error) => {
                eprintln!("the run fails: {error:#}");
                self.place.state.under_way = None;
                self.place.state.history.failed(now());
                self.place.save()?;
                if is_asked {
                    self.place.request.remove()?;
                }
                Ok(None)
            }
        }
    }

    /// Why a trigger starts a run, if one does.
    fn triggered(&mut self, live: &LiveF1, drifts: &[Retraining]) -> Option<Cause> {
        let retraining = &self.config.retraining;
        let drifted = drift::worst(drifts, retraining.drift_psi);
        let (new, fallen, drifted) = (self.book.new_examples(), live.fallen(), drifted.as_ref());
        self.place.state.history.due(retraining, Seen { now: now(), new, fallen, drifted })
    }

    /// Begins a run on what is in the book.
    pub(super) fn start(&mut self, cause: Cause) -> Result<Job> {
        let choice = Choice::of(&self.book, &self.config.retraining)?;
        let under_way = run::begin(self.config, choice.hash.clone(), cause)?;
        let (folder, learned) = (self.place.run_folder(&choice.hash), self.book.fingerprints());
        folder.begin(&learned)?;
        self.place.state.under_way = Some(under_way.clone());
        self.place.save()?;
        if under_way.cause == Cause::Command {
            self.place.request.remove()?;
        }
        self.book.learn(learned);
        let documents = Documents::Chosen(choice, self.follower.offsets().clone());
        Ok(Job { work: Work { under_way, folder }, documents })
    }
}
