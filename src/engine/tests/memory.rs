//! A log in memory whose sources cut their records at random.

use crate::engine::Topics;
use anyhow::{Result, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use stillroom_connectors::{Commit, Committer, LogError, OutputRecord, Source};
use stillroom_dataflow::{Position, Record};
use stillroom_schemas::{Progress, TopicOffsets};

/// Topics with their partitions, and what is committed.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    topics: BTreeMap<String, Vec<Vec<Record>>>,
    /// Records that are there no more, by topic, partition and offset.
    compacted: BTreeSet<(String, u32, u64)>,
    progress: Progress,
    /// Bytes of values that sources gave to readers, and the most that this was ahead of what is committed.
    polled: usize,
    ahead_max: usize,
}

impl Shared {
    fn committed(&self) -> usize {
        let bytes = |topic: &str, partition: u32, next: u64| -> usize {
            self.topics[topic][partition as usize][..next as usize].iter().map(size).sum()
        };
        let partitions = |topic: &String, offsets: &BTreeMap<u32, u64>| -> usize {
            offsets.iter().map(|(partition, next)| bytes(topic, *partition, *next)).sum()
        };
        self.progress.inputs.iter().map(|(topic, offsets)| partitions(topic, offsets)).sum()
    }
}

fn size(record: &Record) -> usize {
    record.value.as_ref().map_or(0, Vec::len)
}

impl MemoryLog {
    pub(crate) fn new<'a>(topics: impl IntoIterator<Item = &'a String>, partitions: usize) -> MemoryLog {
        let log = MemoryLog::default();
        log.lock().topics = topics.into_iter().map(|topic| (topic.clone(), vec![Vec::new(); partitions])).collect();
        log
    }

    /// A log that begins as this one is now.
    pub(crate) fn copy(&self) -> MemoryLog {
        let shared = self.lock();
        let (topics, progress, compacted) = (shared.topics.clone(), shared.progress.clone(), shared.compacted.clone());
        MemoryLog(Arc::new(Mutex::new(Shared { topics, compacted, progress, polled: 0, ahead_max: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("no test panics with the log in its hands")
    }

    pub(crate) fn append(&self, topic: &str, partition: u32, key: &[u8], value: Option<Vec<u8>>) -> u64 {
        self.push(topic, partition, Record { key: Some(key.to_vec()), value, ..Record::default() })
    }

    fn push(&self, topic: &str, partition: u32, record: Record) -> u64 {
        let mut shared = self.lock();
        let records = &mut shared.topics.get_mut(topic).expect("the topic")[partition as usize];
        let position = Position { partition, offset: records.len() as u64 };
        records.push(Record { topic: topic.into(), position, ..record });
        position.offset
    }

    /// Changes the last record of partition 0 that still counts: no later one has its key, and it is no tombstone.
    pub(crate) fn tamper(&self, topic: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut shared = self.lock();
        let records = &mut shared.topics.get_mut(topic).expect("the topic")[0];
        let counts = |at: &usize| records[at + 1..].iter().all(|later| later.key != records[*at].key);
        let at = (0..records.len()).rev().filter(counts).find(|at| records[*at].value.is_some());
        change(records[at.expect("a record to change")].value.as_mut().expect("a value"));
    }

    /// Removes records that a later one of the same key follows, as the compaction of a topic does.
    pub(crate) fn compact(&self, topic: &str) {
        let mut shared = self.lock();
        let mut gone = Vec::new();
        for (partition, records) in (0..).zip(&shared.topics[topic]) {
            let is_behind = |at: &usize| records[at + 1..].iter().any(|later| later.key == records[*at].key);
            let behind = (0..records.len()).filter(is_behind);
            gone.extend(behind.map(|at| (topic.to_owned(), partition, at as u64)));
        }
        shared.compacted.extend(gone);
    }

    pub(crate) fn records(&self, topic: &str) -> Vec<Vec<Record>> {
        self.lock().topics[topic].clone()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.lock().progress.clone()
    }

    pub(crate) fn ahead_max(&self) -> usize {
        self.lock().ahead_max
    }

    /// A source that ends where the log now ends, or never, and gives at most `ahead_max` records of a partition above what is
    /// committed of it.
    pub(crate) fn source(&self, seed: u64, is_bounded: bool, ahead_max: usize) -> Box<dyn Source> {
        let (random, next) = (SmallRng::seed_from_u64(seed), BTreeMap::new());
        Box::new(MemorySource { log: self.clone(), random, next, is_bounded, ahead_max, is_paused: false })
    }

    pub(crate) fn committer(&self, fault: Fault) -> Box<dyn Committer> {
        Box::new(MemoryCommitter { log: self.clone(), progress: self.progress(), fault, commits: 0 })
    }
}

struct MemorySource {
    log: MemoryLog,
    random: SmallRng,
    next: BTreeMap<(String, u32), usize>,
    is_bounded: bool,
    ahead_max: usize,
    is_paused: bool,
}

impl Source for MemorySource {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        let shared = self.log.lock();
        let partitions = shared.topics.get(topic).ok_or_else(|| LogError::NoTopic { topic: topic.to_owned() })?;
        Ok(partitions.len() as u32)
    }

    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        self.next.insert((topic.to_owned(), partition), next as usize);
        Ok(())
    }

    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let mut polled = Vec::new();
        if self.is_paused {
            return Ok(polled);
        }
        let (mut shared, mut bytes) = (self.log.lock(), 0);
        let records_max = self.random.random_range(1..8);
        for ((topic, partition), next) in &mut self.next {
            // Partitions progress at different speeds, so that workers cross each other's epochs.
            let records = &shared.topics[topic][*partition as usize];
            let committed = shared.progress.inputs.get(topic).and_then(|offsets| offsets.get(partition));
            let end = self.ahead_max.saturating_add(committed.copied().unwrap_or(0) as usize).min(records.len());
            let records = &records[*next..end.max(*next)];
            for record in records.iter().take(self.random.random_range(0..=records_max)) {
                if !polled.is_empty() && bytes + size(record) > bytes_max {
                    break;
                }
                *next += 1;
                if shared.compacted.contains(&(topic.clone(), *partition, record.position.offset)) {
                    continue;
                }
                bytes += size(record);
                polled.push(record.clone());
            }
        }
        shared.polled += bytes;
        shared.ahead_max = shared.ahead_max.max(shared.polled.saturating_sub(shared.committed()));
        drop(shared);
        if polled.is_empty() && !self.is_finished() {
            std::thread::park_timeout(wait.min(Duration::from_millis(1)));
        }
        Ok(polled)
    }

    fn pause(&mut self) {
        self.is_paused = true;
    }

    fn resume(&mut self) {
        self.is_paused = false;
    }

    fn is_finished(&self) -> bool {
        let shared = self.log.lock();
        let is_at_end = |((topic, partition), next): (&(String, u32), &usize)| {
            *next == shared.topics[topic][*partition as usize].len()
        };
        self.is_bounded && self.next.iter().all(is_at_end)
    }
}

/// How a committer goes wrong, or gets in the way.
pub(crate) enum Fault {
    None,
    /// Refuses all from this commit on, as if the process had been killed before it.
    FailsAt(u64),
    /// Sets the flag at this commit.
    StopsAt(u64, Arc<AtomicBool>),
    /// Takes its time.
    Slow(Duration),
}

struct MemoryCommitter {
    log: MemoryLog,
    progress: Progress,
    fault: Fault,
    commits: u64,
}

impl Committer for MemoryCommitter {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        self.commits += 1;
        match &self.fault {
            Fault::FailsAt(commit) if self.commits >= *commit => return Err(killed()),
            Fault::StopsAt(commit, stop) if self.commits >= *commit => stop.store(true, Ordering::SeqCst),
            // A slow log is what is tried here; nothing waits for this to have passed.
            Fault::Slow(delay) => std::thread::sleep(*delay),
            _ => {}
        }
        assert!(commit.epoch > self.progress.epoch, "epochs are committed in order");
        let totals = commit.totals;
        let settled = totals.extracted + totals.superseded + totals.withdrawn + totals.dead_lettered;
        assert_eq!(totals.notes, settled, "every note has one outcome");
        for output in commit.outputs {
            let OutputRecord { topic, partition, key, value, headers } = output;
            self.log.push(&topic, partition, Record { key, value, headers, ..Record::default() });
            advance(&mut self.progress.outputs, &topic, partition, None);
        }
        for (topic, offsets) in &commit.inputs {
            for (partition, next) in offsets {
                advance(&mut self.progress.inputs, topic, *partition, Some(*next));
            }
        }
        self.progress.epoch = commit.epoch;
        self.progress.totals += totals;
        self.log.lock().progress = self.progress.clone();
        Ok(())
    }
}

/// Moves an offset to `next`, which must not be behind it, or by one.
fn advance(offsets: &mut TopicOffsets, topic: &str, partition: u32, next: Option<u64>) {
    let offset = offsets.entry(topic.to_owned()).or_default().entry(partition).or_default();
    let next = next.unwrap_or(*offset + 1);
    assert!(next > *offset, "{topic}/{partition}: {next} after {offset}");
    *offset = next;
}

/// What a commit answers when the process is killed in it.
pub(crate) fn killed() -> LogError {
    LogError::Io { action: "commit to", path: "memory".into(), source: std::io::Error::other("killed") }
}

/// What a failed run says.
pub(crate) fn is_killed(result: &Result<Progress>) -> Result<bool> {
    match result {
        Ok(_) => Ok(false),
        Err(error) if format!("{error:#}").contains("killed") => Ok(true),
        Err(error) => bail!("{error:#}"),
    }
}

pub(crate) fn append_note(log: &MemoryLog, id: &str, text: &str) {
    let value = serde_json::json!({"note_id": id, "text": text}).to_string();
    log.append(&Topics::default().notes, 0, id.as_bytes(), Some(value.into_bytes()));
}

pub(crate) fn empty_log() -> MemoryLog {
    let topics = Topics::default();
    let Topics { notes, references, labels, models, extractions, quality, state, .. } = &topics;
    let names = [notes, references, labels, models, extractions, quality, state];
    MemoryLog::new(names.into_iter().chain([&topics.dead_letters]), 1)
}
