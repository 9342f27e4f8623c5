//! The engine: runs the extraction topology between a log's sources and its committer.
//!
//! ```text
//! reader thread ─ feed ─► worker: Source ─► extraction topology ─► Sink ─ reports ─► committer thread
//!   one a worker  bounded            ▲          │   ▲                               one, owns the Committer
//!                                    │       tagger pool                                   │
//!                                    └─────── Retire: what is committed ◄──────────────────┘
//! ```
//!
//! Several processes may be one [`Cluster`]: each has readers, workers and a student, the first has the committer, and `Gossip` keeps
//! their epochs together. Outputs then travel to the first worker.
//!
//! A run first restores what earlier runs committed, at epochs below all live ones, and compares the quality that comes out with
//! the quality that was published. Then every reader stamps what it reads with the running epoch, and every epoch that all
//! workers have completed is committed: outputs and the offsets they stand for, both or neither.
//!
//! The first error of any thread ends the run: nothing is committed after it, and a restart resumes at the last commit.

mod cluster;
mod cohorts;
mod commit;
mod committer;
mod config;
mod control;
mod reader;
mod restore;
mod retag;
mod role;
#[cfg(test)]
mod tests;
mod turn;

pub use cluster::Cluster;
pub use cohorts::CohortParts;
pub(crate) use cohorts::today;
pub(crate) use commit::QualityBook;
pub use commit::QualityChange;
pub use committer::{Committed, Observer};
pub use config::{EngineConfig, Topics};
pub(crate) use restore::{published_quality, state_of};
pub use retag::{OpenSource, RetagSources};
pub use role::Role;

use crate::engine::committer::{CommitLoop, Live};
use crate::engine::config::FEED_BATCHES_MAX;
use crate::engine::control::{Control, join, spawn};
use crate::engine::reader::{EpochClock, Place, Reader};
use crate::engine::retag::{RetagBy, Retagging};
use anyhow::{Context, Result, anyhow, ensure};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillroom_connectors::Source;
use stillroom_dataflow::{
    Admission, AsJson, AskConfig, CohortTopics, CohortsConfig, CommittedFeed, ExtractConfig, Feed, FeedSender,
    Interpret, Report, Retirement, Sink, StudentLease, Students, TagConfig, TeacherPanel, TokenizeText, Voice,
    WireFormat, Word, committed, feed, gossip, retire, source, worker_config,
};
use stillroom_schemas::Progress;
use stillroom_topologies::{ExtractionParts, extraction};
use timely::communication::WorkerGuards;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::vec::Map;

/// A worker that nobody wakes looks this often whether the run is to end.
const PARK_MAX: Duration = Duration::from_millis(50);

/// What the engine runs with.
pub struct Parts {
    /// One for each worker of this process, with no partition assigned yet.
    pub sources: Vec<Box<dyn Source>>,
    /// Reads back what earlier runs committed, with no partition assigned yet.
    pub history: Box<dyn Source>,
    /// What this process does beside reading.
    pub role: Role,
    /// How values stand on the wire.
    pub wire: Arc<dyn WireFormat>,
    /// How texts are cut.
    pub tokenize: TokenizeText,
    /// The students of this process, and the one that serves until another is activated.
    pub students: (Students, StudentLease),
    /// What tells what notes say of their entities, in all processes the same; nothing is told if absent.
    pub interpret: Option<Arc<dyn Interpret>>,
    /// The other processes, if there are any.
    pub cluster: Option<Cluster>,
    /// Which notes teachers are asked about, if any are.
    pub ask: Option<AskConfig>,
    /// The teachers whose labels are compared.
    pub panel: TeacherPanel,
    /// By which live notes are read again after a change of students, if they are to be.
    pub retag: Option<RetagSources>,
    /// What cohorts depend on, where the configuration says that they are kept.
    pub cohorts: CohortParts,
}

/// Runs until every source is finished or `stop` is set, here or in another process; what was read by then is committed before this
/// returns.
///
/// In a cluster an error here, or the end of another process, ends this process at once with exit code 1.
///
/// # Errors
/// The first error of any thread. What was committed before it stays.
pub fn run(config: &EngineConfig, parts: Parts, stop: Arc<AtomicBool>) -> Result<Progress> {
    config.check()?;
    let Parts { sources, mut history, role, wire, tokenize, students, interpret, cluster, ask, panel, retag, cohorts } =
        parts;
    let (students, first) = students;
    let by = interpret.as_ref().map(|interpret| interpret.name().to_owned());
    ensure!(sources.len() == config.workers, "{} sources for {} workers; open one each", sources.len(), config.workers);
    let place = Place::of(cluster.as_ref(), config.workers);
    let control = Arc::new(Control::new(stop, cluster.is_some()));

    // All that can fail before the others are met.
    let published = role.published(history.as_mut(), config, wire.as_ref())?;
    // With cohorts the graph of a worker is another one.
    let (tick_ms, epochs, model) = (config.tick_ms, config.activation_epochs(), first.model());
    let serving = format!("{tick_ms} {epochs} {model:?} {by:?} {}", config.cohorts);
    let communication = cluster::connect(cluster.as_ref(), config.workers, serving.as_bytes())?;
    if cluster.is_some() {
        cluster::end_on_panic();
    }
    let (clock, (committed_sender, committed_feed)) = (EpochClock::new(config.tick()), committed());
    let start = role.start();
    let first_epoch = start.as_ref().map_or(0, |start| EpochClock::first_live(start.epoch));
    let (tokenize, cohorts) = (&tokenize, cohorts.config(config, first_epoch));
    let stage = Stage { config, wire: &wire, tokenize, students: (&students, first), interpret, ask, panel, cohorts };
    let Seating { seats, feeds, reported } = Seating::new(&stage, place, &clock, committed_feed);
    // The first student goes when no worker needs it any more.
    drop(stage);
    let workers = start_workers(communication, seats, place, &control)?;
    let committer = match role {
        Role::Commits { committer, observer } => {
            let live = Live { first_epoch, published };
            let reporters = reported.workers;
            let commit_loop = CommitLoop::new(config, committer, observer, live, committed_sender);
            let (of_loop, reports) = (Arc::clone(&control), reported.reports);
            let thread = spawn("committer", &control, move || commit_loop.run(reporters, &reports, &of_loop))?;
            Ok(thread)
        }
        Role::Follows { progress } => {
            drop((reported, committed_sender));
            Err(progress)
        }
    };
    let retag = RetagBy { sources: retag, students: &students, wire: &wire, interpretation: by };
    let reading = Reading { config, place, clock: &clock, control: &control, retag };
    match start {
        Ok(start) => reading.read(history, sources, feeds, &start)?,
        Err(error) => {
            control.raise(error);
            drop(feeds);
        }
    }
    clock.leave(control.stop.load(Ordering::SeqCst));
    for worker in workers.join() {
        if let Err(cause) = worker {
            control.raise(anyhow!("a worker ended before its time: {cause}"));
        }
    }
    let progress = match committer {
        Ok(thread) => join(thread, &control),
        Err(progress) => Some(progress()?),
    };
    if let Err(error) = students.join() {
        control.raise(error.into());
    }
    match control.take_error() {
        Some(error) => Err(error),
        None => progress.context("the committer ended before the last epoch was committed"),
    }
}

/// What the readers of this process read by.
struct Reading<'a> {
    config: &'a EngineConfig,
    place: Place,
    clock: &'a EpochClock,
    control: &'a Arc<Control>,
    /// How notes are read again.
    retag: RetagBy<'a>,
}

impl Reading<'_> {
    /// Restores what earlier runs knew, then reads until every source is finished or the run is to end.
    fn read(
        self,
        mut history: Box<dyn Source>,
        sources: Vec<Box<dyn Source>>,
        feeds: Vec<FeedSender>,
        start: &Progress,
    ) -> Result<()> {
        self.clock.start(start.epoch);
        let restoring = restore::Restoring { history: history.as_mut(), config: self.config, start, place: self.place };
        if let Err(error) = restoring.run(&feeds, self.control) {
            self.control.raise(error);
            return Ok(());
        }
        drop(history);
        let first_live = EpochClock::first_live(start.epoch);
        let retagging = Retagging::start(self.retag, (self.config, self.place, first_live), &feeds, self.control)?;
        let (turns, retagging) = retagging;
        let mut readers = Vec::new();
        for (index, ((source, feed), turn)) in sources.into_iter().zip(feeds).zip(turns).enumerate() {
            let reader = Reader::new(source, feed, self.place.worker(index), (self.config, start), self.clock.clone());
            let (reader, control) = (reader.with_turn(turn), Arc::clone(self.control));
            readers.push(spawn("reader", self.control, move || reader.run(&control))?);
        }
        for reader in readers {
            join(reader, self.control);
        }
        retagging.end(self.control);
        Ok(())
    }
}

/// What all workers of this process are made from.
struct Stage<'a> {
    config: &'a EngineConfig,
    wire: &'a Arc<dyn WireFormat>,
    tokenize: &'a TokenizeText,
    students: (&'a Students, StudentLease),
    interpret: Option<Arc<dyn Interpret>>,
    ask: Option<AskConfig>,
    panel: TeacherPanel,
    cohorts: Option<(CohortTopics, CohortsConfig)>,
}

/// What one worker takes with it.
struct Seat {
    feed: Feed,
    retirement: Retirement,
    admission: Admission,
    extraction: ExtractionParts,
    /// Absent where outputs travel to another worker.
    reports: Option<Sender<Report>>,
    /// On the first worker of the cluster.
    committed: Option<CommittedFeed>,
    /// On the first worker of a process that is one of several.
    voice: Option<Voice>,
    clock: EpochClock,
}

/// What the committer hears from.
struct Reported {
    /// How many report.
    workers: usize,
    reports: Receiver<Report>,
}

/// A place for every worker of this process, and the ends that others hold.
struct Seating {
    seats: Vec<Option<Seat>>,
    feeds: Vec<FeedSender>,
    reported: Reported,
}

impl Seating {
    fn new(stage: &Stage<'_>, place: Place, clock: &EpochClock, committed: CommittedFeed) -> Seating {
        let config = stage.config;
        let bytes_open_max = config.worker_bytes_open_max();
        let admission = Admission { epochs_open_max: config.epochs_open_max, bytes_open_max };
        let (reports, received) = unbounded();
        let workers = if place.is_cluster() { 1 } else { config.workers };
        let (mut seats, mut feeds) = (Vec::new(), Vec::new());
        let mut committed = place.is_first().then_some(committed);
        for index in 0..config.workers {
            let (sender, feed) = feed(FEED_BATCHES_MAX);
            feeds.push(sender);
            let is_reporter = place.is_first() && index < workers;
            seats.push(Some(Seat {
                retirement: feed.retirement(),
                feed,
                admission,
                extraction: stage.extraction(),
                reports: is_reporter.then(|| reports.clone()),
                committed: committed.take(),
                voice: (place.is_cluster() && index == 0).then(|| clock.voice().clone()),
                clock: clock.clone(),
            }));
        }
        Seating { seats, feeds, reported: Reported { workers, reports: received } }
    }
}

impl Stage<'_> {
    fn extraction(&self) -> ExtractionParts {
        let EngineConfig { tokens_max, linger_ms_max, offset_unit, record_bytes_max, .. } = *self.config;
        ExtractionParts {
            decode: self.config.decode(Arc::clone(self.wire)),
            tokenize: Arc::clone(self.tokenize),
            students: (self.students.0.clone(), self.students.1.clone()),
            tag: TagConfig {
                tokens_max,
                linger_max: Duration::from_millis(linger_ms_max),
                activation_epochs: self.config.activation_epochs(),
            },
            extract: ExtractConfig {
                offset_unit,
                record_bytes_max,
                interpret: self.interpret.clone(),
                facts: self.cohorts.is_some(),
            },
            ask: self.ask.clone(),
            panel: self.panel.clone(),
            cohorts: self.cohorts.clone(),
        }
    }
}

/// The workers end when the feeds are closed and everything has left, or when an error is raised.
fn start_workers(
    (builders, guard): cluster::Communication,
    seats: Vec<Option<Seat>>,
    place: Place,
    control: &Arc<Control>,
) -> Result<WorkerGuards<()>> {
    let (seats, control) = (Mutex::new(seats), Arc::clone(control));
    let guards = timely::execute::execute_from(builders, guard, worker_config(), move |worker| {
        let local = place.local(worker.index());
        let seat = seats.lock().unwrap_or_else(PoisonError::into_inner).get_mut(local).and_then(Option::take);
        let Some(seat) = seat else { return };
        let (students, _) = seat.extraction.students.clone();
        install(worker, seat, place, &control);
        step_until_done(worker, &students, &control);
    });
    guards.map_err(|cause| anyhow!("cannot start the workers: {cause}"))
}

/// The dataflows of one worker, in the same order on every worker.
fn install(worker: &mut timely::worker::Worker, seat: Seat, place: Place, control: &Arc<Control>) {
    let Seat { feed, retirement, admission, extraction: parts, reports, committed, voice, clock } = seat;
    let index = place.local(worker.index());
    worker.dataflow(|scope| {
        let outputs = extraction(source(scope, feed, admission), parts);
        if place.is_cluster() {
            // Among processes JSON; within one, where it goes from hand to hand, nothing is encoded.
            let outputs = outputs.map(AsJson).exchange(|_| 0).map(|AsJson(output)| output);
            outputs.sink_to(index, reports);
        } else {
            outputs.sink_to(index, reports);
        }
    });
    worker.dataflow(|scope| retire(scope, committed, retirement));
    if place.is_cluster() {
        let control = Arc::clone(control);
        let hear = move |word| match word {
            Word::Epoch(epoch) => clock.follow(epoch),
            Word::Stop => control.stop.store(true, Ordering::SeqCst),
        };
        worker.dataflow(|scope| gossip(scope, voice, place.workers, hear));
    }
}

fn step_until_done(worker: &mut timely::worker::Worker, students: &Students, control: &Control) {
    while worker.has_dataflows() {
        if let Some(failure) = students.failure() {
            control.raise(failure.into());
        }
        if control.is_raised() {
            // Open epochs can no longer complete: what they hold is dropped, and read again by the next run.
            worker.installed_dataflows().into_iter().for_each(|dataflow| worker.drop_dataflow(dataflow));
            return;
        }
        worker.step_or_park(Some(PARK_MAX));
    }
}
