//! How the driver begins a run, or goes on with one.

use super::{Answered, Driver, now};
use crate::log::is_outage;
use crate::retraining::drift;
use crate::retraining::live::LiveF1;
use crate::retraining::place::{ATTEMPTS_MAX, Kept, State};
use crate::retraining::run;
use crate::retraining::snapshot::Choice;
use crate::retraining::triggers::{Cause, Seen};
use crate::retraining::work::{Documents, Job, Work};
use anyhow::{Error, Result, anyhow};
use std::time::{Duration, Instant};
use stillroom_schemas::Retraining;

impl Driver<'_> {
    /// The run that is under way, after the interval if its candidate could not be measured, or one that a trigger
    /// starts.
    pub(super) fn next_job(&mut self, live: &LiveF1, drifts: &[Retraining]) -> Result<Option<Job>> {
        let is_asked = self.askers().is_some();
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
            // What began it may begin it anew, on what there is now. A request was answered, and nobody would ask again.
            if under_way.cause == Cause::Command {
                self.place.request.leave()?;
            }
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

    /// Who asks for a run, unless that could not begin a moment ago.
    fn askers(&self) -> Option<Vec<String>> {
        let is_due = |askers: &Vec<String>| {
            self.put_off.as_ref().is_none_or(|(put_off, until)| put_off != askers || Instant::now() >= *until)
        };
        self.place.request.askers().filter(is_due)
    }

    /// A run that is asked for or that a trigger starts, if one is.
    ///
    /// # Errors
    /// Also when the log cannot be reached: what is due then is so at the next look.
    fn due(&mut self, live: &LiveF1, drifts: &[Retraining]) -> Result<Option<Job>> {
        let askers = self.askers();
        let cause = if askers.is_some() { Some(Cause::Command) } else { self.triggered(live, drifts) };
        let Some(cause) = cause else { return Ok(None) };
        eprintln!("retraining: {cause}");
        let (refused, is_for_good) = match Choice::of(&self.book, &self.config.retraining) {
            Ok(choice) => match self.start_on(choice, cause) {
                Err(error) if !is_outage(&error) => (error, false),
                started => return started.map(Some),
            },
            Err(error) => (error, true),
        };
        eprintln!("the run fails: {refused:#}");
        self.place.state.under_way = None;
        self.place.state.history.failed(now());
        self.place.save()?;
        if let Some(askers) = askers {
            self.refuse(askers, &refused, is_for_good)?;
        }
        Ok(None)
    }

    /// Tells who asked why no run begins. A request stays where that may change without anything new to learn.
    fn refuse(&mut self, askers: Vec<String>, refused: &Error, is_for_good: bool) -> Result<()> {
        let reason = format!("{refused:#}");
        if is_for_good {
            return self.place.request.settle(Answered::Refused(reason));
        }
        // No more often than a run that a trigger starts; a minute at least, as each look would be another try.
        let minutes = self.config.retraining.interval_min_minutes.max(1);
        eprintln!("it stays asked for, and is tried again in {minutes} minutes, or when it is asked for again");
        self.place.request.answer(askers.clone(), Answered::PutOff(reason))?;
        self.put_off = Some((askers, Instant::now() + Duration::from_secs(60 * minutes)));
        Ok(())
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
        self.start_on(Choice::of(&self.book, &self.config.retraining)?, cause)
    }

    /// Begins a run on what was chosen of the book.
    fn start_on(&mut self, choice: Choice, cause: Cause) -> Result<Job> {
        let under_way = run::begin(self.config, choice.hash.clone(), cause)?;
        let (folder, learned) = (self.place.run_folder(&choice.hash), self.book.fingerprints());
        folder.begin(&learned)?;
        self.place.state.under_way = Some(under_way.clone());
        self.place.save()?;
        if under_way.cause == Cause::Command {
            self.place.request.settle(Answered::Begun)?;
        }
        self.book.learn(learned);
        let documents = Documents::Chosen(choice, self.follower.origin());
        Ok(Job { work: Work { under_way, folder }, documents })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::retraining::book::tests::{change, example};
    use crate::retraining::place::UnderWay;
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use stillroom_connectors::EmbeddedLog;
    use stillroom_dataflow::ExampleSource;
    use stillroom_schemas::{ModelId, Task};

    #[test]
    fn a_request_that_no_run_can_be_made_of_is_refused_and_one_that_cannot_begin_yet_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.retraining.dir = folder.path().join("retraining");
        // Nothing is there, so that no student can be found to begin with.
        config.log.dir = folder.path().join("nowhere");
        let log = Arc::new(EmbeddedLog::open(folder.path().join("log")).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let mut driver = Driver::open(&config, log, &stop).unwrap();
        let request = driver.place.request.clone();
        let begins = |driver: &mut Driver<'_>| driver.next_job(&LiveF1::default(), &[]).unwrap().is_some();
        let reason_of = |asker: &str| match request.heard(asker).unwrap() {
            Some(Answered::Refused(reason)) => ("refused", reason),
            Some(Answered::PutOff(reason)) => ("put off", reason),
            other => panic!("{other:?}"),
        };
        assert!(!begins(&mut driver), "nobody asks");

        let asker = request.leave().unwrap();
        assert!(!begins(&mut driver));
        let (how, reason) = reason_of(&asker);
        assert!(how == "refused" && reason.contains("two are needed"), "{how}: {reason}");
        assert_eq!(request.askers(), None);

        let source = || ExampleSource::Human("dr".to_owned());
        driver.book.apply((0..2).map(|note| change(1, example(note, 0, source(), false), 1)).collect());
        let asker = request.leave().unwrap();
        assert!(!begins(&mut driver));
        let (how, reason) = reason_of(&asker);
        assert!(how == "put off" && reason.contains("there is no log in"), "{how}: {reason}");
        assert_eq!(request.askers(), Some(vec![asker.clone()]));
        // It is not tried at each look, and at once when somebody asks again.
        fs::remove_file(config.retraining.dir.join("answer.json")).unwrap();
        assert!(!begins(&mut driver));
        assert_eq!(request.heard(&asker).unwrap(), None);
        let another = request.leave().unwrap();
        assert!(!begins(&mut driver));
        assert_eq!((reason_of(&asker).0, reason_of(&another).0), ("put off", "put off"));
    }

    #[test]
    fn what_was_asked_for_is_asked_for_again_where_its_documents_were_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.retraining.dir = folder.path().join("retraining");
        let log = Arc::new(EmbeddedLog::open(folder.path().join("log")).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let mut driver = Driver::open(&config, log, &stop).unwrap();
        // As a kill leaves a run whose request was answered.
        let mut is_asked_again = |cause: Cause| {
            let under_way = UnderWay {
                snapshot: "0123456789abcdef".to_owned(),
                cause,
                serving: ModelId("s@1".to_owned()),
                base: "base".into(),
                tasks: vec![Task::Disease],
                attempts: 1,
                has_failed: false,
            };
            driver.place.run_folder(&under_way.snapshot).begin(&driver.book.fingerprints()).unwrap();
            driver.place.state.under_way = Some(under_way);
            assert!(driver.resumed().unwrap().is_none());
            assert_eq!(driver.place.state.under_way, None);
            driver.place.request.askers().is_some()
        };
        assert!(!is_asked_again(Cause::Labels { new: 7 }), "labels begin it anew by themselves");
        assert!(is_asked_again(Cause::Command));
    }
}
