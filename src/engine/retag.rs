//! Has live notes tagged again, after another student has taken over, after a change of the lexicon or of a vocabulary, or once
//! cohorts are kept that must know what earlier ones say.
//!
//! In: the last student that is known to tag, by what its entities are interpreted, what is committed, and the topics of
//! states and notes. Out: records of notes, for the worker that reads their partition. State: the offsets of notes whose
//! extractions are by others, and some of their records.
//!
//! ```text
//! states ─► scan ─► offsets ─► topic of notes ─► records ─► pace ─► Turn ─► reader ─► Input::Again
//!                      ▲              │ gone
//!                      └── copies ◄───┘
//! ```
//!
//! What is to be done is kept nowhere: it follows from the states that are committed, at the start and whenever a student has begun to
//! tag, so a run that was killed goes on with what is left. A scan waits until every epoch that earlier students tag is committed, and
//! all that was handed over before. A note that it finds was tagged in an epoch that is committed, and what enters now gets a later
//! one: no note is tagged twice in one epoch, where `Score` could not tell the two predictions apart.
//!
//! It may wait, and what serves may not: where the log fails, it is tried again after a rest, and the run goes on. What is left is known
//! then, and not looked for anew, so that nothing is handed over twice.
//!
//! One thread a process, which waits for the log so that readers need not.

mod copies;
mod rereading;
mod stale;

use crate::engine::config::{EngineConfig, RETAG_READ_BYTES};
use crate::engine::control::{Control, join, spawn};
use crate::engine::reader::Place;
use crate::engine::restore::state_of;
use crate::engine::turn::{Turn, Turns};
use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rereading::Rereading;
use stale::{Places, Stale};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stillroom_connectors::Source;
use stillroom_dataflow::{Epoch, FeedSender, Record, Retirement, Students, Tenure, WireFormat};

/// How often the thread looks whether another student tags, if epochs are not shorter.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often it looks whether readers have room, if epochs are not shorter.
const OFFER_EVERY: Duration = Duration::from_millis(5);

/// How long it rests after the log has failed: brokers that are away are not asked without end, and what is left can wait.
const LOG_REST: Duration = Duration::from_secs(10);

/// After a rest so much of a second's notes may come at once, or those of two epochs if these are longer.
const BURST_MIN: Duration = Duration::from_millis(250);

/// Opens a source with nothing assigned.
pub type OpenSource = Box<dyn Fn() -> Result<Box<dyn Source>> + Send>;

/// The sources by which notes are read again.
pub struct RetagSources {
    /// One that ends each partition where it ends now: of an output topic, where what is committed ends.
    pub bounded: OpenSource,
    /// One that does not end, as those of the readers.
    pub tail: OpenSource,
}

/// By what notes are read again.
pub(crate) struct RetagBy<'a> {
    /// Nothing is read again without.
    pub(crate) sources: Option<RetagSources>,
    /// Who tags.
    pub(crate) students: &'a Students,
    /// How notes are written.
    pub(crate) wire: &'a Arc<dyn WireFormat>,
    /// By what entities are interpreted.
    pub(crate) interpretation: Option<String>,
}

/// The thread, if notes are to be read again.
pub(crate) struct Retagging(Option<(Sender<()>, JoinHandle<Option<()>>)>);

impl Retagging {
    /// Starts the thread, unless nothing is to be read again; with what each reader takes its part from.
    pub(crate) fn start(
        RetagBy { sources, students, wire, interpretation }: RetagBy<'_>,
        (config, place, first_live): (&EngineConfig, Place, Epoch),
        feeds: &[FeedSender],
        control: &Arc<Control>,
    ) -> Result<(Vec<Option<Turn>>, Retagging)> {
        let per_second = config.retag_notes_per_second;
        let (Some(sources), Some(first)) = (sources.filter(|_| per_second > 0), feeds.first()) else {
            return Ok((feeds.iter().map(|_| None).collect(), Retagging(None)));
        };
        let (turns, of_readers) = Turns::new(feeds.iter().map(FeedSender::retirement));
        let (ends, over) = bounded(0);
        let retagger = Retagger {
            sources,
            notes: config.topics.notes.clone(),
            states: config.topics.state.clone(),
            needs_facts: config.cohorts,
            place,
            students: students.clone(),
            wire: Arc::clone(wire),
            interpretation,
            retired: first.retirement(),
            first_live,
            pace: Pace::new(per_second, BURST_MIN.max(2 * config.tick())),
            bytes_max: config.batch_bytes_max(),
            look_every: LOOK_EVERY.min(config.tick()),
            offer_every: OFFER_EVERY.min(config.tick()),
            turns,
            over,
        };
        let of_thread = Arc::clone(control);
        let thread = spawn("retagger", control, move || retagger.run(&of_thread))?;
        Ok((of_readers.into_iter().map(Some).collect(), Retagging(Some((ends, thread)))))
    }

    /// Ends the thread, and waits for it.
    pub(crate) fn end(self, control: &Control) {
        if let Some((ends, thread)) = self.0 {
            drop(ends);
            join(thread, control);
        }
    }
}

/// What the thread works with.
struct Retagger {
    sources: RetagSources,
    notes: String,
    states: String,
    /// Whether notes are read again of which it is not remembered what they say of their patients.
    needs_facts: bool,
    place: Place,
    students: Students,
    wire: Arc<dyn WireFormat>,
    /// By what entities are interpreted in this run.
    interpretation: Option<String>,
    retired: Retirement,
    first_live: Epoch,
    pace: Pace,
    /// Of the records that are handed over at once.
    bytes_max: usize,
    look_every: Duration,
    offer_every: Duration,
    turns: Turns,
    /// Disconnected when the readers have ended.
    over: Receiver<()>,
}

impl Retagger {
    fn run(mut self, control: &Control) -> Result<()> {
        // The student that notes are tagged again for, and those that are left.
        let mut work: Option<(Tenure, Option<Rereading>)> = None;
        let mut rest = Duration::ZERO;
        while !self.is_over(rest, control) {
            rest = self.look_every;
            let tenure = self.students.last_tenure();
            match work.take_if(|(of, _)| *of == tenure) {
                Some((_, Some(mut rereading))) => {
                    rest = self.hand_over(&mut rereading).unwrap_or_else(|error| put_off(&error));
                    let left = if rereading.is_done() { None } else { Some(rereading) };
                    work = Some((tenure, left));
                }
                Some((_, None)) => work = Some((tenure, None)),
                None if self.has_begun(&tenure) => {
                    // What is left for an earlier student is found again.
                    drop(work.take());
                    match self.scan(&tenure, control)? {
                        Scanned::Places(left) => {
                            work = Some((tenure.clone(), Some(Rereading::new(&self.notes, tenure.model, left))));
                            rest = Duration::ZERO;
                        }
                        Scanned::Failed(error) => rest = put_off(&error),
                        Scanned::Over => break,
                    }
                }
                None => work = None,
            }
        }
        Ok(())
    }

    /// Whether the run ends, now or within `wait`.
    fn is_over(&self, wait: Duration, control: &Control) -> bool {
        control.is_ending() || self.over.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
    }

    /// Whether all that other students have tagged is committed, and what was handed over too.
    fn has_begun(&self, tenure: &Tenure) -> bool {
        self.retired.before() >= tenure.begin.max(self.first_live) && self.turns.are_settled()
    }

    /// Where the notes are that are live and not tagged by this student, or interpreted by something else.
    ///
    /// # Errors
    /// When what was read is no state.
    fn scan(&self, tenure: &Tenure, control: &Control) -> Result<Scanned> {
        let mut source = match self.open_states() {
            Ok(source) => source,
            Err(error) => return Ok(Scanned::Failed(error)),
        };
        let mut stale = Stale::new(self.needs_facts);
        while !source.is_finished() {
            if self.is_over(Duration::ZERO, control) {
                return Ok(Scanned::Over);
            }
            let records = match source.poll(RETAG_READ_BYTES, self.look_every) {
                Ok(records) => records,
                Err(error) => return Ok(Scanned::Failed(error.into())),
            };
            for record in records {
                let by = (&tenure.model, self.interpretation.as_deref());
                stale.see(record.position.partition, state_of(&record)?, by);
            }
        }
        let (places, notes) = stale.into_places();
        tracing::info!(model = tenure.model.0, notes, "live notes are to be tagged again");
        Ok(Scanned::Places(places))
    }

    /// A source of the states of this process, from their first on.
    fn open_states(&self) -> Result<Box<dyn Source>> {
        let mut source = (self.sources.bounded)()?;
        let partitions = source.partitions(&self.states)?;
        for partition in (0..partitions).filter(|partition| self.place.reader_of(*partition).is_some()) {
            source.assign(&self.states, partition, 0)?;
        }
        Ok(source)
    }

    /// Hands over as many records as the pace and the readers allow; how long to rest then.
    ///
    /// # Errors
    /// When the log cannot be read: nothing was handed over then.
    fn hand_over(&mut self, rereading: &mut Rereading) -> Result<Duration> {
        if rereading.is_searching() {
            rereading.search(&self.sources.bounded, self.wire.as_ref(), self.offer_every)?;
            return Ok(Duration::ZERO);
        }
        let allowed = self.pace.allowed(Instant::now());
        if allowed == 0 || !self.turns.are_free() {
            return Ok(self.pace.rest().max(self.offer_every).min(self.look_every));
        }
        // A log that has nothing at the moment is waited for here.
        rereading.read(&self.sources.tail, self.offer_every)?;
        let records = rereading.take(allowed, self.bytes_max);
        self.pace.spend(records.len());
        let place = self.place;
        let reader_of = |record: &Record| place.reader_of(record.position.partition);
        self.turns.hand_over(records.into_iter().filter_map(|record| Some((reader_of(&record)?, record))));
        Ok(Duration::ZERO)
    }
}

/// What came of a scan.
enum Scanned {
    /// Where the notes are.
    Places(Places),
    /// The log could not be read.
    Failed(anyhow::Error),
    /// The run ends.
    Over,
}

/// Says that the log has failed; how long to rest then. What is left is kept, or follows from the states, so nothing is lost.
fn put_off(error: &anyhow::Error) -> Duration {
    tracing::warn!("notes are tagged again later: {error:#}");
    LOG_REST
}

/// So many notes a second, and after a rest those of a moment at once.
struct Pace {
    per_second: f64,
    saved_max: f64,
    /// Notes that may come.
    saved: f64,
    at: Option<Instant>,
}

impl Pace {
    fn new(per_second: u64, burst: Duration) -> Pace {
        let per_second = per_second as f64;
        Pace { per_second, saved_max: (per_second * burst.as_secs_f64()).max(1.0), saved: 0.0, at: None }
    }

    /// How many notes may come now.
    fn allowed(&mut self, now: Instant) -> usize {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.saved = (self.saved + passed.as_secs_f64() * self.per_second).min(self.saved_max);
        self.saved as usize
    }

    /// So many have come.
    fn spend(&mut self, notes: usize) {
        self.saved -= notes as f64;
    }

    /// How long until one more may come.
    fn rest(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.saved).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes that come by a pace in so long, if it is asked every so often.
    fn notes_in(seconds: u64, per_second: u64, every: Duration) -> usize {
        let (mut pace, mut notes) = (Pace::new(per_second, BURST_MIN), 0);
        let (start, mut passed) = (Instant::now(), Duration::ZERO);
        while passed < Duration::from_secs(seconds) {
            let allowed = pace.allowed(start + passed);
            pace.spend(allowed);
            notes += allowed;
            passed += every;
        }
        notes
    }

    #[test]
    fn no_more_come_than_are_allowed_and_hardly_fewer() {
        for (per_second, every) in [(1, 7), (20, 50), (20, 240), (1000, 1), (1000, 100)] {
            let notes = notes_in(10, per_second, Duration::from_millis(every));
            let most = 10 * per_second as usize;
            assert!(notes <= most && notes * 10 >= most * 8, "{per_second} a second, every {every} ms: {notes}");
        }
        assert!(notes_in(10, 1000, Duration::from_secs(1)) <= 10 * 250, "what is saved has a bound");
    }

    #[test]
    fn a_pace_says_when_the_next_note_may_come() {
        let (mut pace, start) = (Pace::new(4, BURST_MIN), Instant::now());
        assert_eq!((pace.allowed(start), pace.rest()), (0, Duration::from_millis(250)));
        assert_eq!(pace.allowed(start + pace.rest()), 1);
        assert_eq!(pace.rest(), Duration::ZERO);
    }
}
