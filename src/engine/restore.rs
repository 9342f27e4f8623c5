//! Reading back what earlier runs committed.
//!
//! In: the state, references and quality topics, up to the offsets in the progress. Out: states and references on the feeds, in
//! chunks at small epochs, and the quality that was published last.

use crate::engine::Control;
use crate::engine::config::Topics;
use crate::engine::reader::size_of_record;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stillroom_connectors::Source;
use stillroom_dataflow::{Batch, Epoch, FeedError, FeedSender, Input, Record, Words};
use stillroom_schemas::{NoteState, Progress, Quality, QualityKey, TopicOffsets};

/// Bytes of records that are restored at one epoch: one large epoch would be held in memory whole.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// A log that gives nothing for so long, though records are recorded as committed, is taken to have lost them.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The last figure published under every key.
pub(crate) fn published_quality(
    history: &mut dyn Source,
    topics: &Topics,
    start: &Progress,
) -> Result<BTreeMap<QualityKey, Quality>> {
    let mut published = BTreeMap::new();
    let mut replay = Replay::new(history, [(&topics.quality, &start.outputs)])?;
    while let Some(record) = replay.next()? {
        let key = record.key.as_deref().unwrap_or_default();
        let key: QualityKey = serde_json::from_slice(key).with_context(|| unreadable(&record))?;
        match record.value.as_deref() {
            Some(value) => {
                published.insert(key, serde_json::from_slice(value).with_context(|| unreadable(&record))?);
            }
            None => {
                published.remove(&key);
            }
        }
    }
    Ok(published)
}

/// Sends what earlier runs knew to the workers that will read on from there.
pub(crate) fn restore(
    history: &mut dyn Source,
    feeds: &[FeedSender],
    topics: &Topics,
    start: &Progress,
    control: &Control,
) -> Result<()> {
    let mut replay = Replay::new(history, [(&topics.state, &start.outputs), (&topics.references, &start.inputs)])?;
    let (mut epoch, mut bytes) = (1, 0);
    let mut chunks: Vec<Vec<Input>> = feeds.iter().map(|_| Vec::new()).collect();
    while let Some(record) = replay.next()? {
        bytes += size_of_record(&record);
        let worker = record.position.partition as usize % feeds.len();
        if *record.topic == *topics.state {
            let value = record.value.as_deref().unwrap_or_default();
            let state: NoteState = serde_json::from_slice(value).with_context(|| unreadable(&record))?;
            let is_whole = |words: &Vec<u8>| Words::from_bytes(words).is_some();
            ensure!(state.prediction.as_ref().is_none_or(|said| is_whole(&said.words)), unreadable(&record));
            chunks[worker].push(Input::Restored(state));
        } else {
            chunks[worker].push(Input::Record(record));
        }
        if bytes >= CHUNK_BYTES_MAX {
            send(feeds, epoch, &mut chunks, bytes, control)?;
            (epoch, bytes) = (epoch + 1, 0);
        }
        if control.is_ending() {
            return Ok(());
        }
    }
    send(feeds, epoch, &mut chunks, bytes, control)?;
    control.is_restored.store(true, Ordering::SeqCst);
    Ok(())
}

/// Every worker gets its part of the chunk, be it empty: an epoch completes when all have it behind them.
fn send(feeds: &[FeedSender], epoch: Epoch, chunks: &mut [Vec<Input>], bytes: usize, control: &Control) -> Result<()> {
    for (feed, inputs) in feeds.iter().zip(chunks) {
        let mut batch = Batch { epoch, inputs: std::mem::take(inputs), bytes: bytes / feeds.len() };
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
    fn new<const N: usize>(source: &'a mut dyn Source, topics: [(&String, &TopicOffsets); N]) -> Result<Replay<'a>> {
        let mut ends = BTreeMap::new();
        for (topic, offsets) in topics {
            for (&partition, &end) in offsets.get(topic).into_iter().flatten().filter(|(_, end)| **end > 0) {
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
