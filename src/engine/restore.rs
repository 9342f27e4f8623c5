//! Reading back what earlier runs committed.
//!
//! In: the topics of states, references, labels, cohorts, memberships and quality, up to the offsets in the progress, and the topic of
//! models to its end. Out: states, references, labels, the last activation, definitions of cohorts and memberships on the feeds, in
//! chunks at small epochs, and the quality that was published last.

use crate::engine::config::{EngineConfig, Topics};
use crate::engine::control::Control;
use crate::engine::reader::{Place, size_of_record};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stillroom_connectors::{LogError, Source};
use stillroom_dataflow::{
    Batch, Epoch, FeedError, FeedSender, Input, Record, WireFormat, Words, activation_of, membership_of,
};
use stillroom_schemas::{NoteState, Progress, Quality, QualityKey, TopicOffsets};

/// Bytes of records that are restored at one epoch: one large epoch would be held in memory whole.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// The partition in which activations are in one order.
const ACTIVATIONS: u32 = 0;

/// A log that gives nothing for so long, though records are recorded as committed, is taken to have lost them.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The last figure published under every key.
pub(crate) fn published_quality(
    history: &mut dyn Source,
    topics: &Topics,
    wire: &dyn WireFormat,
    start: &Progress,
) -> Result<BTreeMap<QualityKey, Quality>> {
    let mut published = BTreeMap::new();
    let mut replay = Replay::new(history, [(&topics.quality, &start.outputs)], |_| true)?;
    while let Some(record) = replay.next()? {
        let key = record.key.as_deref().unwrap_or_default();
        let key: QualityKey = serde_json::from_slice(key).with_context(|| unreadable(&record))?;
        match record.value.as_deref() {
            Some(value) => {
                let json = wire.to_json(&record.topic, value).with_context(|| unreadable(&record))?;
                published.insert(key, serde_json::from_slice(&json).with_context(|| unreadable(&record))?);
            }
            None => {
                published.remove(&key);
            }
        }
    }
    Ok(published)
}

/// What a process restores from: the partitions that it will read on.
pub(crate) struct Restoring<'a> {
    pub(crate) history: &'a mut dyn Source,
    pub(crate) config: &'a EngineConfig,
    pub(crate) start: &'a Progress,
    pub(crate) place: Place,
}

impl Restoring<'_> {
    /// Sends what earlier runs knew to the workers that will read on from there.
    pub(crate) fn run(self, feeds: &[FeedSender], control: &Control) -> Result<()> {
        let Restoring { history, config, start, place } = self;
        let (topics, none) = (&config.topics, TopicOffsets::new());
        let of_cohorts = if config.cohorts { (&start.inputs, &start.outputs) } else { (&none, &none) };
        let topics_restored = [
            (&topics.state, &start.outputs),
            (&topics.references, &start.inputs),
            (&topics.labels, &start.inputs),
            (&topics.cohorts, of_cohorts.0),
            (&topics.memberships, of_cohorts.1),
        ];
        let is_here = |partition| place.reader_of(partition).is_some();
        let activation = last_activation(history, topics, place)?;
        let mut replay = Replay::new(history, topics_restored, is_here)?;
        let (mut epoch, mut bytes) = (1, 0);
        let mut chunks: Vec<Chunk> = feeds.iter().map(|_| Chunk::default()).collect();
        while let Some(record) = replay.next()? {
            bytes += size_of_record(&record);
            let partition = record.position.partition;
            let Some(worker) = place.reader_of(partition) else { continue };
            if *record.topic == *topics.state {
                chunks[worker].push_state(partition, state_of(&record)?);
            } else {
                let is_membership = *record.topic == *topics.memberships;
                ensure!(!is_membership || membership_of(&record).is_some(), unreadable(&record));
                chunks[worker].inputs.push(Input::Record(record));
            }
            if bytes >= CHUNK_BYTES_MAX {
                send(feeds, epoch, &mut chunks, bytes, control)?;
                (epoch, bytes) = (epoch + 1, 0);
            }
            if control.is_ending() {
                // Others of a cluster cannot know that what they wait for does not come.
                ensure!(!control.is_cluster, "stopped while it restored; nothing was committed");
                return Ok(());
            }
        }
        if let Some((worker, activation)) = activation {
            chunks[worker].inputs.push(activation);
        }
        send(feeds, epoch, &mut chunks, bytes, control)?;
        control.is_restored.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// The last activation there is, with the worker that reads it: its student tags from the first live epoch on, whether an earlier run
/// has read it or not. So a note that a student has tagged and no run has committed is tagged by none that was activated before that
/// one, and students that others have followed are not loaded again. What is no activation is a dead letter when it is read.
fn last_activation(history: &mut dyn Source, topics: &Topics, place: Place) -> Result<Option<(usize, Input)>> {
    let Some(worker) = place.reader_of(ACTIVATIONS) else { return Ok(None) };
    match history.partitions(&topics.models) {
        // That a topic is missing the readers say.
        Ok(0) | Err(LogError::NoTopic { .. }) => return Ok(None),
        partitions => partitions?,
    };
    let to_the_end = TopicOffsets::from([(topics.models.clone(), BTreeMap::from([(ACTIVATIONS, u64::MAX)]))]);
    let mut replay = Replay::new(history, [(&topics.models, &to_the_end)], |_| true)?;
    let mut last = None;
    while let Some(record) = replay.next()? {
        if activation_of(&record).is_some() {
            last = Some((worker, Input::Record(record)));
        }
    }
    Ok(last)
}

/// What a worker is sent at one epoch.
#[derive(Default)]
struct Chunk {
    inputs: Vec<Input>,
    /// Where each note's state is among the inputs, by partition and note.
    states: HashMap<(u32, String), usize>,
}

impl Chunk {
    /// Of several states of a note the last counts. A note that was tagged again has two for one record, and in one epoch `Score` could
    /// not tell which came later.
    fn push_state(&mut self, partition: u32, state: NoteState) {
        let at = *self.states.entry((partition, state.note_id.clone())).or_insert(self.inputs.len());
        let input = Input::Restored { partition, state: Box::new(state) };
        match self.inputs.get_mut(at) {
            Some(earlier) => *earlier = input,
            None => self.inputs.push(input),
        }
    }
}

/// What a record of the topic of states says.
///
/// # Errors
/// When this version cannot read it; names the record.
pub(crate) fn state_of(record: &Record) -> Result<NoteState> {
    let value = record.value.as_deref().unwrap_or_default();
    let state: NoteState = serde_json::from_slice(value).with_context(|| unreadable(record))?;
    let is_whole = |words: &Vec<u8>| Words::from_bytes(words).is_some();
    ensure!(state.prediction.as_ref().is_none_or(|said| is_whole(&said.words)), unreadable(record));
    Ok(state)
}

/// Every worker gets its part of the chunk, be it empty: an epoch completes when all have it behind them.
fn send(feeds: &[FeedSender], epoch: Epoch, chunks: &mut [Chunk], bytes: usize, control: &Control) -> Result<()> {
    for (feed, chunk) in feeds.iter().zip(chunks) {
        let Chunk { inputs, .. } = std::mem::take(chunk);
        let mut batch = Batch { epoch, inputs, bytes: bytes / feeds.len(), entry: None };
        loop {
            batch = match feed.send(batch, Duration::from_millis(50)) {
                Ok(()) | Err(FeedError::Closed) => break,
                Err(FeedError::Full(_)) if control.is_ending() => break,
                Err(FeedError::Full(batch)) => batch,
            };
        }
    }
    Ok(())
}

fn unreadable(record: &Record) -> String {
    let (topic, position) = (&record.topic, record.position);
    format!(
        "{topic}/{} holds at offset {} what this version cannot read; restore the topic, or start with a new progress",
        position.partition, position.offset
    )
}

/// The committed records of some topics, partition by partition in offset order.
struct Replay<'a> {
    source: &'a mut dyn Source,
    /// One past the last record of each partition that is not read to its end.
    ends: BTreeMap<(String, u32), u64>,
    records: VecDeque<Record>,
}

impl<'a> Replay<'a> {
    fn new<const N: usize>(
        source: &'a mut dyn Source,
        topics: [(&String, &TopicOffsets); N],
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<Replay<'a>> {
        let mut ends = BTreeMap::new();
        for (topic, offsets) in topics {
            let wanted = offsets.get(topic).into_iter().flatten().filter(|(partition, _)| is_wanted(**partition));
            for (&partition, &end) in wanted.filter(|(_, end)| **end > 0) {
                source.assign(topic, partition, 0)?;
                ends.insert((topic.clone(), partition), end);
            }
        }
        Ok(Replay { source, ends, records: VecDeque::new() })
    }

    fn next(&mut self) -> Result<Option<Record>> {
        let mut silent_since = Instant::now();
        loop {
            while let Some(record) = self.records.pop_front() {
                let partition = (record.topic.to_string(), record.position.partition);
                // What lies beyond the end was written for others, or is read again as live input.
                let Some(&end) = self.ends.get(&partition) else { continue };
                if record.position.offset + 1 >= end {
                    self.ends.remove(&partition);
                }
                if record.position.offset < end {
                    return Ok(Some(record));
                }
            }
            if self.ends.is_empty() {
                return Ok(None);
            }
            self.records = self.source.poll(CHUNK_BYTES_MAX, Duration::from_millis(100))?.into();
            if !self.records.is_empty() {
                silent_since = Instant::now();
            } else if self.source.is_finished() {
                // The last offsets of a partition may hold nothing: compacted records, or marks of transactions.
                return Ok(None);
            } else if silent_since.elapsed() > SILENCE_MAX
                && let Some(((topic, partition), end)) = self.ends.first_key_value()
            {
                bail!(
                    "{topic}/{partition} does not give its records up to offset {end}, which are recorded as committed"
                );
            }
        }
    }
}
