//! Retraining: what labels and references there are becomes a student, which takes over if it is better.
//!
//! ```text
//! notes, references, labels ─► Follower ─► Book ─► Choice ─► documents ─► `stillroom train` ─► gate ─► registry, activation
//!                              (topology)    │        ▲        (texts)      (a process)
//!                                            └─► triggers ◄─ live F1, drift
//! ```
//!
//! Where live F1 says that a promoted student does worse than the one before, that one serves again ([`watch`]).
//!
//! It runs beside the extraction topology, in a process of its own, and needs nothing of it but the log: it commits
//! nothing, and takes no transactional id. What there is to learn and how notes drift it says on a topic of its own
//! ([`publish`]). All that it remembers stands in a folder ([`place`]), so that it goes on
//! wherever it was killed.

mod beginning;
mod book;
mod child;
mod config;
mod current;
mod documents;
mod drift;
mod ended;
mod follower;
mod live;
mod one_look;
mod origin;
mod place;
mod publish;
mod rebuilt;
mod request;
mod run;
mod run_folder;
mod same_notes;
mod shadowing;
mod share;
mod snapshot;
mod told;
mod triggers;
mod watch;
mod work;

pub(crate) use config::RetrainingConfig;
pub(crate) use current::{Current, Notes, notes_at};
pub(crate) use documents::{NotesTopic, Wanted};
pub(crate) use one_look::{at_first_look, has_documents};
pub(crate) use rebuilt::rebuild;
pub(crate) use request::{Answered, Request, Taken};
pub(crate) use run::Report;
pub(crate) use told::Told;

use crate::config::Config;
use crate::log::is_outage;
use crate::wire::Wire;
use anyhow::{Context, Result};
use book::Book;
use drift::LiveDrift;
use follower::Follower;
use live::LiveF1;
use place::{Place, UnderWay};
use publish::{Published, balances};
use serde::Serialize;
use snapshot::{Choice, Snapshot};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stillroom_connectors::Log;
use stillroom_dataflow::Example;
use stillroom_schemas::Retraining;
use triggers::Cause;
use work::{Job, Running};

/// Neither a stop nor the end of a run wakes who waits for both and for the time of the next look.
const WAIT: Duration = Duration::from_millis(100);

/// Follows the log until `stop` is set, and retrains whenever a trigger says so; `tell` is given what came of each run,
/// and each student that was rolled back. A run that is under way then goes on with the next process. A log that cannot be
/// reached any more is waited for.
///
/// # Errors
/// When the log cannot be reached at the start or not be followed, another process retrains in the folder, or the folder
/// cannot be written. A run that fails is said, and what it learned from stays new.
pub(crate) fn follow(
    config: &Config,
    log: Arc<dyn Log>,
    stop: &Arc<AtomicBool>,
    tell: &mut dyn FnMut(Told<'_>) -> Result<()>,
) -> Result<()> {
    let mut driver = Driver::open(config, log, stop)?;
    driver.place.follow()?;
    driver.place.state.history.ended_at.get_or_insert(now());
    driver.place.save()?;
    let (mut followed, mut running) = (Followed::default(), None);
    let mut goes_on = Ok(true);
    while matches!(goes_on, Ok(true)) {
        goes_on = driver.turn(&mut followed, &mut running, tell);
    }
    match &goes_on {
        Ok(_) => driver.finish_saying(&mut followed.published),
        // A run that is under way ends as at a stop, which costs it no attempt.
        Err(_) => stop.store(true, Ordering::SeqCst),
    }
    let ended = running.map_or(Ok(()), |running| driver.take_in(running, tell));
    goes_on.and(ended)
}

/// What is followed beside what there is to learn.
#[derive(Default)]
struct Followed {
    live: LiveF1,
    drift: LiveDrift,
    published: Published,
    /// Whether it was said what there is.
    is_told: bool,
}

/// One run now, on what there is; the one that is under way, if there is one. Nothing when `stop` is set meanwhile: it
/// goes on with the next call.
///
/// # Errors
/// When there is too little to learn from or the run fails; when another process has the folder, by [`Taken`]; and as
/// those of [`follow`].
pub(crate) fn once(config: &Config, log: Arc<dyn Log>, stop: &Arc<AtomicBool>) -> Result<Option<Report>> {
    let mut driver = Driver::open(config, log, stop)?;
    let job = match driver.resumed()? {
        Some(job) => job,
        None if driver.look()? => driver.start(Cause::Command)?,
        None => return Ok(None),
    };
    let Job { work, documents } = job;
    let outcome = work.complete(documents, config, (&driver.log, stop));
    driver.ended(&work, &outcome)?;
    outcome
}

/// What a run would learn from, and by whom it would be judged.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Preview {
    /// With who serves.
    #[serde(flatten)]
    snapshot: Snapshot,
    /// The folder of the base.
    base: PathBuf,
}

/// What a run that starts now would begin with; nothing when `stop` is set meanwhile. No text is read, and nothing is
/// written.
///
/// # Errors
/// When there is too little to learn from, or the log or the student that serves cannot be read.
pub(crate) fn preview(config: &Config, log: &dyn Log, stop: &AtomicBool) -> Result<Option<Preview>> {
    let wire = Wire::open(config)?;
    let (mut follower, mut book) = (Follower::new(config, &wire)?, Book::default());
    if !follower.look((log, &wire), &mut book, stop)? {
        return Ok(None);
    }
    let choice = Choice::of(&book, &config.retraining)?;
    let UnderWay { serving, base, .. } = run::begin(config, choice.hash.clone(), Cause::Command)?;
    let mut snapshot = choice.snapshot(&follower.origin());
    snapshot.training.serving = Some(serving);
    Ok(Some(Preview { snapshot, base }))
}

/// What follows the log and remembers runs.
struct Driver<'a> {
    config: &'a Config,
    log: Arc<dyn Log>,
    wire: Wire,
    follower: Follower,
    book: Book,
    place: Place,
    /// A request that could not begin, by its askers, until when it is not tried again.
    put_off: Option<(Vec<String>, Instant)>,
    stop: &'a Arc<AtomicBool>,
}

impl<'a> Driver<'a> {
    fn open(config: &'a Config, log: Arc<dyn Log>, stop: &'a Arc<AtomicBool>) -> Result<Driver<'a>> {
        share::check_at_start(config)?;
        let place = Place::open(&config.retraining.dir)?;
        if !config.retraining.keep_snapshots {
            place.sweep()?;
        }
        let (wire, book) = (Wire::open(config)?, Book::new(place.learned()?));
        let follower = Follower::new(config, &wire)?;
        Ok(Driver { config, log, wire, follower, book, place, put_off: None, stop })
    }

    /// Reads on to where the topics end now, unless it is stopped.
    fn look(&mut self) -> Result<bool> {
        self.follower.look((self.log.as_ref(), &self.wire), &mut self.book, self.stop)
    }

    /// One look, what follows from it, and the end of a run. Whether there is to be another.
    fn turn(
        &mut self,
        followed: &mut Followed,
        running: &mut Option<Running>,
        tell: &mut dyn FnMut(Told<'_>) -> Result<()>,
    ) -> Result<bool> {
        match self.act(followed, running, tell) {
            Ok(()) => {}
            // What was read stays, and the next look goes on from there. What was never there may have another name.
            Err(error) if followed.is_told && is_outage(&error) => {
                eprintln!("the log is looked at again when it can be reached: {error:#}")
            }
            Err(error) => return Err(error),
        }
        self.wait(running.as_ref());
        if let Some(ended) = running.take_if(|running| running.thread.is_finished()) {
            self.take_in(ended, tell)?;
        }
        Ok(!self.stop.load(Ordering::SeqCst))
    }

    /// One look, and what follows from it: a rollback, or a run. Nothing does when it is stopped.
    fn act(
        &mut self,
        followed: &mut Followed,
        running: &mut Option<Running>,
        tell: &mut dyn FnMut(Told<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.stop.load(Ordering::SeqCst) || !self.look()? {
            return Ok(());
        }
        let Followed { live, drift, published, is_told } = followed;
        if !std::mem::replace(is_told, true) {
            eprintln!("{}", self.status());
        }
        if !drift.look(self.config, (self.log.as_ref(), &self.wire), self.stop)? {
            return Ok(());
        }
        let drifts = drift.drifts(self.config);
        if let Err(error) = self.publish(published, &drifts) {
            eprintln!("what there is to learn cannot be said: {error:#}");
        }
        let topics = (self.log.as_ref(), &self.wire);
        if let Some(rolled_back) = watch::look(self.config, topics, live, (&self.book, self.stop))? {
            // Neither a fall nor a drift of the student that went starts a run: the next look is at who serves now.
            self.place.state.history.rolled_back(now());
            self.place.save()?;
            return tell(Told::RolledBack(&rolled_back));
        }
        if live.rollbacks().is_some_and(|count| self.place.state.history.saw_rollbacks(count, now())) {
            self.place.save()?;
        }
        if running.is_none() {
            *running = self.next_job(live, &drifts)?.map(|job| self.spawn(job)).transpose()?;
        }
        Ok(())
    }

    /// For people: what there is.
    fn status(&self) -> String {
        let count =
            |is_counted: fn(&Example) -> bool| self.book.examples().filter(|(_, example)| is_counted(example)).count();
        format!(
            "following {}: {} examples to learn from, {} of them new, and {} to measure by",
            self.log.place(),
            count(Example::is_to_be_learned),
            self.book.new_examples(),
            count(Example::is_to_be_measured_by)
        )
    }

    /// Says on the topic of retraining what there is to learn, and how far notes have drifted.
    fn publish(&self, published: &mut Published, drifts: &[Retraining]) -> Result<()> {
        let records: Vec<Retraining> = balances(&self.book).chain(drifts.iter().cloned()).collect();
        published.say(&records, (self.log.as_ref(), &self.config.engine.topics.retraining))
    }

    /// Says the last of it.
    fn finish_saying(&self, published: &mut Published) {
        if let Err(error) = published.finish((self.log.as_ref(), &self.config.engine.topics.retraining)) {
            eprintln!("what there is to learn cannot be said: {error:#}");
        }
    }

    /// Does a run on a thread of its own, while the log is followed.
    fn spawn(&self, Job { work, documents }: Job) -> Result<Running> {
        let (of_thread, config) = (work.clone(), self.config.clone());
        let (log, stop) = (Arc::clone(&self.log), Arc::clone(self.stop));
        let thread = std::thread::Builder::new().name("retraining".to_owned());
        let thread = thread.spawn(move || of_thread.complete(documents, &config, (&log, &stop)));
        Ok(Running { work, thread: thread.context("cannot start a thread")? })
    }

    /// Waits for the next look, the end of a run, or a stop.
    fn wait(&self, running: Option<&Running>) {
        let until = Instant::now() + Duration::from_secs(self.config.retraining.look_every_seconds);
        let is_done = || running.is_some_and(|running| running.thread.is_finished());
        while !self.stop.load(Ordering::SeqCst) && !is_done() && Instant::now() < until {
            std::thread::park_timeout(WAIT);
        }
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
