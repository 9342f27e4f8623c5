//! The thread that reads a worker's partitions.
//!
//! In: a log's source. Out: batches on the worker's feed, stamped with the running epoch, and an empty one at every tick, so that
//! a worker without input holds up nobody. An epoch ends with its tick, or before when it holds enough: a backlog is read far
//! faster than it is tagged, and would otherwise be committed in one piece. When the feed is full the source is paused and polled
//! on.

use crate::engine::Control;
use crate::engine::config::EngineConfig;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stillroom_connectors::Source;
use stillroom_dataflow::{Batch, Epoch, FeedError, FeedSender, Input, Record};
use stillroom_schemas::{Progress, TopicOffsets};

/// How often a reader looks for new partitions.
const DISCOVER_EVERY: Duration = Duration::from_secs(5);

/// Tells the running epoch to all readers of a run. It follows the monotonic clock from the start of the run, so neither a clock
/// that is set back nor another tick can make it stand still, and runs ahead of it while there is a backlog.
#[derive(Clone, Debug)]
pub(crate) struct EpochClock {
    first: Epoch,
    started: Instant,
    tick: Duration,
    /// The greatest epoch told, or the one to tell next.
    latest: Arc<AtomicU64>,
}

impl EpochClock {
    /// A clock whose first epoch is the wall clock's, or follows the last committed one if that is later.
    pub(crate) fn start(committed: Epoch, tick: Duration) -> EpochClock {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = (committed + 1).max((now.as_millis() / tick.as_millis()) as Epoch);
        EpochClock { first, started: Instant::now(), tick, latest: Arc::new(AtomicU64::new(first)) }
    }

    /// The first live epoch.
    pub(crate) fn first(&self) -> Epoch {
        self.first
    }

    fn now(&self) -> Epoch {
        let ticks = (self.started.elapsed().as_nanos() / self.tick.as_nanos()) as Epoch;
        self.latest.fetch_max(self.first + ticks, Ordering::SeqCst).max(self.first + ticks)
    }

    /// Ends `epoch`, for all readers, before its tick is over.
    fn end(&self, epoch: Epoch) {
        self.latest.fetch_max(epoch + 1, Ordering::SeqCst);
    }

    /// Until the running epoch ends.
    fn rest(&self) -> Duration {
        let into = self.started.elapsed().as_nanos() % self.tick.as_nanos();
        self.tick.saturating_sub(Duration::from_nanos(into as u64))
    }
}

/// Reads the partitions of one worker.
pub(crate) struct Reader {
    source: Box<dyn Source>,
    feed: FeedSender,
    worker: u32,
    workers: u32,
    /// Of a poll, and so of a batch.
    bytes_max: usize,
    epoch_bytes_max: usize,
    clock: EpochClock,
    /// Where to start in each partition; 0 where nothing is recorded.
    start: TopicOffsets,
    /// Partitions of each topic that are known, assigned to this worker or not.
    known: BTreeMap<String, u32>,
    discovered_at: Instant,
}

impl Reader {
    pub(crate) fn new(
        source: Box<dyn Source>,
        feed: FeedSender,
        worker: usize,
        config: &EngineConfig,
        start: &Progress,
        clock: EpochClock,
    ) -> Reader {
        let known = [&config.topics.notes, &config.topics.references].map(|topic| (topic.clone(), 0)).into();
        Reader {
            source,
            feed,
            worker: worker as u32,
            workers: config.workers as u32,
            bytes_max: config.batch_bytes_max(),
            epoch_bytes_max: config.epoch_bytes_max,
            clock,
            start: start.inputs.clone(),
            known,
            discovered_at: Instant::now(),
        }
    }

    /// Reads until the source is finished, the run is to end or the dataflow is gone.
    pub(crate) fn run(mut self, control: &Control) -> Result<()> {
        self.discover()?;
        let (mut last, mut bytes) = (0, 0);
        while !control.is_ending() {
            if self.discovered_at.elapsed() >= DISCOVER_EVERY {
                self.discover()?;
            }
            let records = self.source.poll(self.bytes_max, self.clock.rest())?;
            if records.is_empty() && self.source.is_finished() {
                break;
            }
            let epoch = self.clock.now();
            if records.is_empty() && epoch == last {
                continue;
            }
            let batch = batch_of(epoch, records);
            bytes = batch.bytes + if epoch == last { bytes } else { 0 };
            last = epoch;
            if !self.deliver(batch, control)? {
                break;
            }
            if bytes >= self.epoch_bytes_max {
                self.clock.end(epoch);
            }
        }
        Ok(())
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
            for partition in (*known..partitions).filter(|partition| partition % self.workers == self.worker) {
                let next = self.start.get(topic).and_then(|offsets| offsets.get(&partition)).copied().unwrap_or(0);
                self.source.assign(topic, partition, next)?;
            }
            *known = partitions;
        }
        Ok(())
    }

    /// Whether the batch was delivered; otherwise the run is ending, and the batch is read again by the next one.
    fn deliver(&mut self, batch: Batch, control: &Control) -> Result<bool> {
        let mut batch = match self.feed.send(batch, Duration::ZERO) {
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
    Batch { epoch, inputs, bytes }
}

/// Bytes of a record, counting the memory around its key and value.
pub(crate) fn size_of_record(record: &Record) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    size_of::<Record>() + length(&record.key) + length(&record.value)
}
