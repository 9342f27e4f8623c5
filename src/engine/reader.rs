//! The thread that reads a worker's partitions.
//!
//! In: a log's source. Out: batches on the worker's feed, stamped with the running epoch, and an empty one at every tick, so that
//! a worker without input holds up nobody. An epoch ends with its tick, or before when it holds enough: a backlog is read far
//! faster than it is tagged, and would otherwise be committed in one piece. When the feed is full the source is paused and polled
//! on. Notes that are to be tagged again come from a [`Turn`], behind live ones.

use crate::engine::cluster::Cluster;
use crate::engine::config::EngineConfig;
use crate::engine::control::Control;
use crate::engine::turn::{Again, Turn};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stillroom_connectors::Source;
use stillroom_dataflow::{Batch, Epoch, FeedError, FeedSender, Input, Record, Voice};
use stillroom_schemas::{Progress, TopicOffsets};

/// How often a reader looks for new partitions.
const DISCOVER_EVERY: Duration = Duration::from_secs(5);

/// Epochs below this one are for what is restored.
const RESTORED_EPOCHS_MAX: Epoch = 1 << 20;

/// Another process's epoch is followed no later than this.
const FOLLOW_WITHIN: Duration = Duration::from_millis(5);

/// Tells the running epoch to all readers of a run. It follows the monotonic clock from the start of the run, so neither a clock
/// that is set back nor another tick can make it stand still; epochs that end before their time, and other processes' that have
/// begun, put it ahead for good, and every tick still begins an epoch.
#[derive(Clone, Debug)]
pub(crate) struct EpochClock {
    created: Instant,
    tick: Duration,
    /// The epoch at `created` by the clock; 0 until the clock is started.
    first: Arc<AtomicU64>,
    /// How far ahead of the clock.
    lead: Arc<AtomicU64>,
    voice: Voice,
}

impl EpochClock {
    /// A clock that is not started.
    pub(crate) fn new(tick: Duration) -> EpochClock {
        EpochClock {
            created: Instant::now(),
            tick,
            first: Arc::default(),
            lead: Arc::default(),
            voice: Voice::default(),
        }
    }

    /// The least epoch that a run after this commit gives to live records, in any process.
    pub(crate) fn first_live(committed: Epoch) -> Epoch {
        RESTORED_EPOCHS_MAX.max(committed + 1)
    }

    /// Starts with the wall clock's epoch, or after the first live one if that is later: at that one it is announced what became of
    /// cohorts since they were published.
    pub(crate) fn start(&self, committed: Epoch) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = now.saturating_sub(self.created.elapsed());
        let first = (EpochClock::first_live(committed) + 1).max((now.as_millis() / self.tick.as_millis()) as Epoch);
        self.first.store(first, Ordering::SeqCst);
    }

    /// By which other processes hear of epochs.
    pub(crate) fn voice(&self) -> &Voice {
        &self.voice
    }

    fn by_clock(&self) -> Epoch {
        let ticks = (self.created.elapsed().as_nanos() / self.tick.as_nanos()) as Epoch;
        self.first.load(Ordering::SeqCst) + ticks
    }

    fn now(&self) -> Epoch {
        self.by_clock() + self.lead.load(Ordering::SeqCst)
    }

    /// Ends `epoch`, for all readers, before its tick is over.
    fn end(&self, epoch: Epoch) {
        self.follow(epoch + 1);
    }

    /// An epoch that has begun somewhere begins here too.
    pub(crate) fn follow(&self, epoch: Epoch) {
        // What was heard before the clock is started is heard again with the next epoch.
        if self.first.load(Ordering::SeqCst) > 0 {
            self.lead.fetch_max(epoch.saturating_sub(self.by_clock()), Ordering::SeqCst);
        }
    }

    /// No epoch begins here any more.
    pub(crate) fn leave(&self, is_stopping: bool) {
        if is_stopping {
            self.voice.say_stop();
        }
        self.voice.close();
    }

    /// Until the running epoch ends.
    fn rest(&self) -> Duration {
        let into = self.created.elapsed().as_nanos() % self.tick.as_nanos();
        self.tick.saturating_sub(Duration::from_nanos(into as u64))
    }
}

/// Which workers are here, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of this process.
    pub(crate) process: usize,
    /// Of each process.
    pub(crate) workers: usize,
    /// Of all processes.
    pub(crate) peers: usize,
}

impl Place {
    pub(crate) fn of(cluster: Option<&Cluster>, workers: usize) -> Place {
        let (process, processes) = cluster.map_or((0, 1), |cluster| (cluster.process, cluster.addresses.len()));
        Place { process, workers, peers: workers * processes }
    }

    pub(crate) fn is_cluster(self) -> bool {
        self.peers > self.workers
    }

    /// Whether this is the process that commits.
    pub(crate) fn is_first(self) -> bool {
        self.process == 0
    }

    /// The worker's index among those here.
    pub(crate) fn local(self, worker: usize) -> usize {
        worker % self.workers
    }

    /// The partitions of the worker that has this index here.
    pub(crate) fn worker(self, local: usize) -> Share {
        Share {
            worker: (self.process * self.workers + local) as u32,
            peers: self.peers as u32,
            is_cluster: self.is_cluster(),
        }
    }

    /// The index of the worker here that reads a partition, if one does.
    pub(crate) fn reader_of(self, partition: u32) -> Option<usize> {
        let worker = partition as usize % self.peers;
        (worker / self.workers == self.process).then(|| self.local(worker))
    }
}

/// The partitions that one worker reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    worker: u32,
    peers: u32,
    is_cluster: bool,
}

/// Reads the partitions of one worker.
pub(crate) struct Reader {
    source: Box<dyn Source>,
    feed: FeedSender,
    share: Share,
    /// Of a poll, and so of a batch.
    bytes_max: usize,
    epoch_bytes_max: usize,
    clock: EpochClock,
    /// Where to start in each partition; 0 where nothing is recorded.
    start: TopicOffsets,
    /// Partitions of each topic that are known, assigned to this worker or not.
    known: BTreeMap<String, u32>,
    discovered_at: Instant,
    /// Gives what is to be tagged again, if anything is.
    turn: Option<Turn>,
    /// Whether the feed had no room for the last batch: live notes wait, and nothing is tagged again.
    is_pressed: bool,
}

impl Reader {
    pub(crate) fn new(
        source: Box<dyn Source>,
        feed: FeedSender,
        share: Share,
        (config, start): (&EngineConfig, &Progress),
        clock: EpochClock,
    ) -> Reader {
        let known = config.inputs().map(|topic| (topic.clone(), 0)).collect();
        Reader {
            source,
            feed,
            share,
            bytes_max: config.batch_bytes_max(),
            epoch_bytes_max: config.epoch_bytes_max,
            clock,
            start: start.inputs.clone(),
            known,
            discovered_at: Instant::now(),
            turn: None,
            is_pressed: false,
        }
    }

    /// Has the notes of `turn` tagged again behind those that come.
    pub(crate) fn with_turn(self, turn: Option<Turn>) -> Reader {
        Reader { turn, ..self }
    }

    /// Reads until the source is finished, the run is to end or the dataflow is gone.
    pub(crate) fn run(mut self, control: &Control) -> Result<()> {
        self.discover()?;
        let (mut last, mut bytes) = (0, 0);
        while !control.is_ending() {
            if self.discovered_at.elapsed() >= DISCOVER_EVERY {
                self.discover()?;
            }
            let records = self.source.poll(self.bytes_max, self.rest())?;
            if records.is_empty() && self.source.is_finished() {
                break;
            }
            let epoch = self.clock.now();
            let is_pressed = self.is_pressed;
            let again = self.turn.as_mut().and_then(|turn| turn.take(is_pressed));
            if records.is_empty() && again.is_none() && epoch == last {
                continue;
            }
            if self.share.is_cluster && !(records.is_empty() && again.is_none()) {
                self.clock.voice.say_epoch(epoch);
            }
            let live = batch_of(epoch, records);
            let again = again.map(|again| batch_of_again(epoch, again));
            bytes = if epoch == last { bytes } else { 0 };
            last = epoch;
            for batch in std::iter::once(live).chain(again) {
                bytes += batch.bytes;
                if !self.deliver(batch, control)? {
                    return Ok(());
                }
            }
            if bytes >= self.epoch_bytes_max {
                self.clock.end(epoch);
            }
        }
        Ok(())
    }

    /// How long to wait for records.
    fn rest(&self) -> Duration {
        let rest = self.clock.rest();
        if self.share.is_cluster { rest.min(FOLLOW_WITHIN) } else { rest }
    }

    /// Assigns partitions that are new. One that appears during the run starts at 0, since nothing of it was read.
    fn discover(&mut self) -> Result<()> {
        self.discovered_at = Instant::now();
        for (topic, known) in &mut self.known {
            let partitions = self.source.partitions(topic)?;
            ensure!(
                partitions >= *known,
                "{topic} had {known} partitions and now has {partitions}: it was created anew; restore it, or start with a \
                 new progress"
            );
            for partition in (*known..partitions).filter(|partition| partition % self.share.peers == self.share.worker)
            {
                let next = self.start.get(topic).and_then(|offsets| offsets.get(&partition)).copied().unwrap_or(0);
                self.source.assign(topic, partition, next)?;
            }
            *known = partitions;
        }
        Ok(())
    }

    /// Whether the batch was delivered; otherwise the run is ending, and the batch is read again by the next one.
    fn deliver(&mut self, batch: Batch, control: &Control) -> Result<bool> {
        let sent = self.feed.send(batch, Duration::ZERO);
        self.is_pressed = matches!(sent, Err(FeedError::Full(_)));
        let mut batch = match sent {
            Ok(()) => return Ok(true),
            Err(FeedError::Closed) => return Ok(false),
            Err(FeedError::Full(batch)) => batch,
        };
        self.source.pause();
        while !control.is_ending() {
            batch = match self.feed.send(batch, self.clock.tick) {
                Ok(()) => {
                    self.source.resume();
                    return Ok(true);
                }
                Err(FeedError::Closed) => return Ok(false),
                Err(FeedError::Full(batch)) => batch,
            };
            let records = self.source.poll(self.bytes_max, Duration::ZERO)?;
            ensure!(records.is_empty(), "a paused source delivered {} records, which would be lost", records.len());
        }
        Ok(false)
    }
}

/// The records with, after them, the offsets to read next.
fn batch_of(epoch: Epoch, records: Vec<Record>) -> Batch {
    let mut next: BTreeMap<(Arc<str>, u32), u64> = BTreeMap::new();
    let (mut inputs, mut bytes) = (Vec::with_capacity(records.len() + 1), 0);
    for record in records {
        next.insert((Arc::clone(&record.topic), record.position.partition), record.position.offset + 1);
        bytes += size_of_record(&record);
        inputs.push(Input::Record(record));
    }
    inputs.extend(next.into_iter().map(|((topic, partition), next)| Input::Next { topic, partition, next }));
    Batch { epoch, inputs, bytes, entry: None }
}

/// Records that entered before, and move no offset.
fn batch_of_again(epoch: Epoch, Again { records, entry }: Again) -> Batch {
    let bytes = records.iter().map(size_of_record).sum();
    Batch { epoch, inputs: records.into_iter().map(Input::Again).collect(), bytes, entry: Some(entry) }
}

/// Bytes of a record, counting the memory around its key and value.
pub(crate) fn size_of_record(record: &Record) -> usize {
    size_of::<Record>() + record.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks so long that none passes in a test, and so short that many do.
    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn epochs_follow_commits_ends_and_other_processes() {
        let clock = EpochClock::new(LONG);
        clock.follow(1 << 40);
        clock.start(1 << 40);
        let first = clock.now();
        assert_eq!(first, (1 << 40) + 2, "after the first that may be committed, and not before the clock is started");
        clock.end(first);
        assert_eq!(clock.now(), first + 1);
        clock.end(first);
        assert_eq!(clock.now(), first + 1, "an epoch ends once");
        clock.follow(first + 500);
        assert_eq!(clock.now(), first + 500);
    }

    #[test]
    fn a_clock_that_is_ahead_still_ticks() {
        let clock = EpochClock::new(SHORT);
        clock.start(0);
        let ahead = clock.now() + 1_000_000;
        clock.follow(ahead);
        let began = Instant::now();
        while clock.now() < ahead + 5 {
            assert!(began.elapsed() < Duration::from_secs(10), "it stands still at {}", clock.now() - ahead);
        }
    }

    #[test]
    fn partitions_are_dealt_out_to_all_workers_of_all_processes() {
        let places = [0, 1].map(|process| Place { process, workers: 2, peers: 4 });
        for partition in 0..9 {
            let readers: Vec<_> = places.iter().filter_map(|place| place.reader_of(partition)).collect();
            assert_eq!(readers, [partition as usize % 2], "one reads partition {partition}");
        }
    }
}
