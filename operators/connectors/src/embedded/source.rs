//! Reads partitions of input topics, while they grow or up to where they ended.

use super::EmbeddedLog;
use super::reader::PartitionReader;
use super::segments::{End, find_end};
use crate::{LogError, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillroom_dataflow::Record;

/// How long a source with nothing to read waits before it looks again: another process that appends tells nobody. It adds this much to the latency of a record at most.
const TAIL_INTERVAL: Duration = Duration::from_millis(2);

/// Reads topics of an [`EmbeddedLog`], also while this or another process appends to them.
///
/// A record is delivered once its whole line is there, which may be before it is durable; the committer
/// makes the input durable that a commit stands for.
#[derive(Debug)]
pub struct EmbeddedSource {
    log: EmbeddedLog,
    readers: Vec<PartitionReader>,
    /// The reader that the next poll begins with: each partition has its turn.
    turn: usize,
    is_bounded: bool,
    is_paused: bool,
}

impl EmbeddedSource {
    /// A source that never ends.
    pub fn tail(log: &EmbeddedLog) -> EmbeddedSource {
        EmbeddedSource { log: log.clone(), readers: Vec::new(), turn: 0, is_bounded: false, is_paused: false }
    }

    /// A source that ends each partition where it ended when it was assigned; of an output topic, where what is committed ends.
    pub fn bounded(log: &EmbeddedLog) -> EmbeddedSource {
        EmbeddedSource { is_bounded: true, ..EmbeddedSource::tail(log) }
    }

    fn end(&self, topic: &str, partition: u32) -> Result<u64, LogError> {
        let committed = self.log.progress()?.outputs.get(topic).and_then(|ends| ends.get(&partition)).copied();
        match committed {
            Some(end) => Ok(end),
            None => Ok(find_end(&self.log.partition_dir(topic, partition)?, End::default())?.next),
        }
    }

    /// What is there now, an even share of the bytes for each partition. A record that is larger than its partition's share
    /// waits until that partition has the first turn.
    fn read(&mut self, bytes_max: usize) -> Result<Vec<Record>, LogError> {
        let count = self.readers.len();
        let (mut records, mut left) = (Vec::new(), bytes_max);
        for index in 0..count {
            let share = left / (count - index);
            let read = self.readers[(self.turn + index) % count].read(share, &mut records)?;
            left = left.saturating_sub(read);
        }
        self.turn = if count == 0 { 0 } else { (self.turn + 1) % count };
        Ok(records)
    }
}

impl Source for EmbeddedSource {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        let dir = self.log.partition_dir(topic, partition)?;
        let end = if self.is_bounded { Some(self.end(topic, partition)?) } else { None };
        let reader = PartitionReader::open(Arc::from(topic), partition, dir, next)?;
        self.readers.retain(|reader| (&**reader.topic(), reader.partition()) != (topic, partition));
        self.readers.push(match end {
            Some(end) => reader.until(end),
            None => reader,
        });
        Ok(())
    }

    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            let records = if self.is_paused { Vec::new() } else { self.read(bytes_max)? };
            let left = deadline.saturating_duration_since(Instant::now());
            if !records.is_empty() || left.is_zero() || self.is_finished() {
                return Ok(records);
            }
            // The appending process may be another one, and a file cannot wake its readers portably.
            std::thread::sleep(left.min(TAIL_INTERVAL));
        }
    }

    fn pause(&mut self) {
        self.is_paused = true;
    }

    fn resume(&mut self) {
        self.is_paused = false;
    }

    fn is_finished(&self) -> bool {
        self.is_bounded && self.readers.iter().all(PartitionReader::is_finished)
    }
}
