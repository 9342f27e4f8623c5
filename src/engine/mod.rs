//! The engine: runs the extraction topology between a log's sources and its committer.
//!
//! ```text
//! reader thread ─ feed ─► worker: Source ─► extraction topology ─► Sink ─ reports ─► committer thread
//!   one a worker  bounded                       │   ▲                               one, owns the Committer
//!                    ▲                       tagger pool                                   │
//!                    └────────────────── admission: what is committed ◄────────────────────┘
//! ```
//!
//! A run first restores what earlier runs committed, at epochs below all live ones, and compares the quality that comes out with
//! the quality that was published. Then every reader stamps what it reads with the running epoch, and every epoch that all
//! workers have completed is committed: outputs and the offsets they stand for, both or neither.
//!
//! The first error of any thread ends the run: nothing is committed after it, and a restart resumes at the last commit.

mod commit;
mod committer;
mod config;
mod reader;
mod restore;
#[cfg(test)]
mod tests;

pub use commit::QualityChange;
pub use committer::{Committed, Observer};
pub use config::{EngineConfig, Topics};

use crate::engine::committer::{CommitLoop, Live};
use crate::engine::config::FEED_BATCHES_MAX;
use crate::engine::reader::{EpochClock, Reader};
use anyhow::{Context, Result, anyhow, ensure};
use crossbeam_channel::{Sender, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use stillroom_connectors::{Committer, Source};
use stillroom_dataflow::{
    Admission, DecodeConfig, Feed, FeedSender, Report, Retirement, Sink, TagConfig, TaggerHandle, TaggerPool,
    TaggerPoolError, TokenizeText, feed, source, timely_config,
};
use stillroom_schemas::Progress;
use stillroom_topologies::{ExtractionParts, extraction};
use timely::communication::WorkerGuards;

/// A worker that nobody wakes looks this often whether the run is to end.
const PARK_MAX: Duration = Duration::from_millis(50);

/// What the engine runs with.
pub struct Parts {
    /// One for each worker, with no partition assigned yet.
    pub sources: Vec<Box<dyn Source>>,
    /// Reads back what earlier runs committed, with no partition assigned yet.
    pub history: Box<dyn Source>,
    /// Makes epochs durable.
    pub committer: Box<dyn Committer>,
    /// How texts are cut.
    pub tokenize: TokenizeText,
    /// The student, started for as many workers as there are.
    pub pool: TaggerPool,
    /// Is told of every commit.
    pub observer: Box<dyn Observer>,
}

/// Runs until every source is finished or `stop` is set; what was read by then is committed before this returns.
///
/// # Errors
/// The first error of any thread. What was committed before it stays.
pub fn run(config: &EngineConfig, parts: Parts, stop: Arc<AtomicBool>) -> Result<Progress> {
    config.check()?;
    let Parts { sources, mut history, committer, tokenize, pool, observer } = parts;
    ensure!(sources.len() == config.workers, "{} sources for {} workers; open one each", sources.len(), config.workers);
    let start = committer.progress().clone();
    let clock = EpochClock::start(start.epoch, config.tick());
    let control = Arc::new(Control { stop, ..Control::default() });
    tracing::info!(bytes = config.record_bytes_max(), workers = config.workers, "records in memory at most");

    let published = restore::published_quality(history.as_mut(), &config.topics, &start)?;
    let (reports, reported) = unbounded();
    let Seating { seats, feeds, retirements } = Seating::new(config, &tokenize, &pool, reports);
    let live = Live { first_epoch: clock.first(), published, topics: config.topics.clone() };
    let commit_loop = CommitLoop::new(committer, observer, retirements, live, Arc::clone(&control));
    let committing = spawn("committer", &control, move || commit_loop.run(&reported))?;
    let workers = start_workers(config, seats, &control)?;

    let mut readers = Vec::new();
    match restore::restore(history.as_mut(), &feeds, &config.topics, &start, &control) {
        Ok(()) => {
            for (worker, (source, feed)) in sources.into_iter().zip(feeds).enumerate() {
                let reader = Reader::new(source, feed, worker, config, &start, clock.clone());
                let control_of_reader = Arc::clone(&control);
                readers.push(spawn("reader", &control, move || reader.run(&control_of_reader))?);
            }
        }
        Err(error) => {
            control.raise(error);
            drop(feeds);
        }
    }
    drop(history);
    for reader in readers {
        join(reader, &control);
    }
    for worker in workers.join() {
        if let Err(cause) = worker {
            control.raise(anyhow!("a worker ended before its time: {cause}"));
        }
    }
    let progress = join(committing, &control);
    if let Err(error) = pool.join() {
        control.raise(error.into());
    }
    match control.take_error() {
        Some(error) => Err(error),
        None => progress.context("the committer ended before the last epoch was committed"),
    }
}

/// What the threads of a run tell each other.
#[derive(Default)]
pub(crate) struct Control {
    /// Set from outside: read no more, commit what was read, end.
    stop: Arc<AtomicBool>,
    /// Set by the first error: end.
    is_raised: AtomicBool,
    /// Set once everything that earlier runs committed is in the dataflow.
    is_restored: AtomicBool,
    error: Mutex<Option<anyhow::Error>>,
}

impl Control {
    /// Ends the run with `error`, unless another came first.
    fn raise(&self, error: anyhow::Error) {
        self.lock().get_or_insert(error);
        self.is_raised.store(true, Ordering::SeqCst);
    }

    fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::SeqCst)
    }

    /// Whether no more is to be read.
    fn is_ending(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.is_raised()
    }

    fn take_error(&self) -> Option<anyhow::Error> {
        self.lock().take()
    }

    /// An error that was put down whole is good whatever became of the thread.
    fn lock(&self) -> MutexGuard<'_, Option<anyhow::Error>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one worker takes with it.
struct Seat {
    feed: Feed,
    admission: Admission,
    extraction: ExtractionParts,
    reports: Sender<Report>,
}

/// A place for every worker, and the ends of their feeds that others hold; all by worker.
struct Seating {
    seats: Vec<Option<Seat>>,
    feeds: Vec<FeedSender>,
    retirements: Vec<Retirement>,
}

impl Seating {
    fn new(config: &EngineConfig, tokenize: &TokenizeText, pool: &TaggerPool, reports: Sender<Report>) -> Seating {
        let bytes_open_max = config.worker_bytes_open_max();
        let admission = Admission { epochs_open_max: config.epochs_open_max, bytes_open_max };
        let notes: Arc<str> = config.topics.notes.as_str().into();
        let tag = TagConfig { tokens_max: config.tokens_max, linger_max: Duration::from_millis(config.linger_ms_max) };
        let mut seating = Seating { seats: Vec::new(), feeds: Vec::new(), retirements: Vec::new() };
        for _ in 0..config.workers {
            let (sender, feed) = feed(FEED_BATCHES_MAX);
            seating.feeds.push(sender);
            seating.retirements.push(feed.retirement());
            let decode = DecodeConfig { notes: Arc::clone(&notes), note_bytes_max: config.note_bytes_max };
            let (tokenize, tagger, offset_unit) = (Arc::clone(tokenize), pool.handle(), config.offset_unit);
            let extraction = ExtractionParts { decode, tokenize, tagger, tag, offset_unit };
            seating.seats.push(Some(Seat { feed, admission, extraction, reports: reports.clone() }));
        }
        seating
    }
}

/// The workers end when the feeds are closed and everything has left, or when an error is raised.
fn start_workers(config: &EngineConfig, seats: Vec<Option<Seat>>, control: &Arc<Control>) -> Result<WorkerGuards<()>> {
    let (seats, control) = (Mutex::new(seats), Arc::clone(control));
    let guards = timely::execute(timely_config(config.workers), move |worker| {
        let index = worker.index();
        let seat = seats.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index).and_then(Option::take);
        let Some(Seat { feed, admission, extraction: parts, reports }) = seat else { return };
        let tagger = parts.tagger.clone();
        worker.dataflow(|scope| extraction(source(scope, feed, admission), parts).sink_to(index, reports));
        step_until_done(worker, &tagger, &control);
    });
    guards.map_err(|cause| anyhow!("cannot start the workers: {cause}"))
}

fn step_until_done(worker: &mut timely::worker::Worker, tagger: &TaggerHandle, control: &Control) {
    while worker.has_dataflows() {
        if tagger.is_lost() {
            control.raise(TaggerPoolError::Lost.into());
        }
        if control.is_raised() {
            // Open epochs can no longer complete: what they hold is dropped, and read again by the next run.
            worker.installed_dataflows().into_iter().for_each(|dataflow| worker.drop_dataflow(dataflow));
            return;
        }
        worker.step_or_park(Some(PARK_MAX));
    }
}

/// A named thread whose error ends the run.
fn spawn<T: Send + 'static>(
    name: &str,
    control: &Arc<Control>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Option<T>>> {
    let control_of_thread = Arc::clone(control);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn(move || match work() {
        Ok(done) => Some(done),
        Err(error) => {
            control_of_thread.raise(error);
            None
        }
    });
    thread.inspect_err(|_| control.raise(anyhow!("cannot start the {name} thread"))).context("cannot start a thread")
}

fn join<T>(thread: JoinHandle<Option<T>>, control: &Control) -> Option<T> {
    thread.join().unwrap_or_else(|_| {
        control.raise(anyhow!("a thread of the engine panicked; its message stands above"));
        None
    })
}
