//! Where the records of notes stand whose extractions are known: the topic of states says so.
//!
//! A state is written with each extraction, in the same commit and to the partition of the same number, so states are
//! in the order of extractions, and the search goes on from the last state that was needed. That may be too far: where a
//! compacted topic has lost the state that was meant, a later one was taken for it. Then all states are read once.
//! Whatever state is taken, it names a record with the text that the extraction is of: the hash says so.
//!
//! Kafka shows what a commit wrote partition by partition, so an extraction may be seen before its state is: one whose note
//! has no state, or an earlier one, is looked for again for a while.

use crate::cohorts::NoteKey;
use crate::engine::state_of;
use crate::export::folder::Offsets;
use crate::reading::{assign_or_first, read_batches};
use crate::retraining::Wanted;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stillroom_connectors::Log;
use stillroom_dataflow::Record;
use stillroom_schemas::{Extraction, NoteState};

/// Between two looks for states that are not to be seen yet: nothing tells that they are.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Extractions, by what is known of where their texts stand.
#[derive(Default)]
pub(super) struct Located {
    /// With a record of the text, by partition and offset.
    pub(super) wanted: Wanted<Extraction>,
    /// How many a later state has replaced: so has an extraction that is still to be read.
    pub(super) superseded: u64,
    /// Ids of notes of which no state is there.
    pub(super) unknown: Vec<String>,
    /// From where on states are searched next.
    pub(super) states: Offsets,
}

/// Finds where the texts of extractions stand, from these offsets of the topic of states on, and waits so long at most for
/// states that are not to be seen yet; nothing when `stop` is set meanwhile.
///
/// # Errors
/// When the log cannot be read, or a state is none.
pub(super) fn locate(
    (log, topic): (&dyn Log, &str),
    extracted: BTreeMap<NoteKey, Extraction>,
    states: &Offsets,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<Option<Located>> {
    let until = Instant::now() + patience;
    let mut search = Search {
        log,
        topic,
        left: extracted.len(),
        extracted,
        found: BTreeMap::new(),
        located: Located { states: states.clone(), ..Located::default() },
    };
    let mut is_whole = search.read(states, stop)?
        && (search.found.len() == search.extracted.len() || states.is_empty() || search.read(&Offsets::new(), stop)?);
    while is_whole && search.is_ahead() && Instant::now() < until {
        std::thread::park_timeout(LOOK_AGAIN);
        is_whole = search.read(states, stop)?;
    }
    Ok(is_whole.then(|| search.located()))
}

/// What the last state of a note says.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    /// The note's record at this offset has the text.
    Text(u64),
    /// A later revision replaced it.
    Replaced,
    /// Another text, of no later revision: what the extraction was committed with may not be to be seen yet.
    Other,
}

struct Search<'a> {
    log: &'a dyn Log,
    topic: &'a str,
    extracted: BTreeMap<NoteKey, Extraction>,
    found: BTreeMap<NoteKey, Seen>,
    /// Of how many the text was not found.
    left: usize,
    located: Located,
}

impl Search<'_> {
    /// Reads states until all are found. Whether it came so far, or to the end: not when `stop` is set meanwhile.
    fn read(&mut self, from: &Offsets, stop: &AtomicBool) -> Result<bool> {
        if self.extracted.is_empty() {
            return Ok(true);
        }
        // States are stillroom's own, and plain.
        let mut source = self.log.bounded()?;
        source.partitions(self.topic)?;
        let partitions: BTreeSet<u32> = self.extracted.keys().map(|(partition, _)| *partition).collect();
        for partition in partitions {
            let next = from.get(&partition).copied().unwrap_or(0);
            assign_or_first(source.as_mut(), (self.topic, partition), next)?;
        }
        read_batches(source.as_mut(), |records| {
            records.iter().try_for_each(|record| self.see(record))?;
            Ok(self.left > 0 && !stop.load(Ordering::SeqCst))
        })?;
        Ok(!stop.load(Ordering::SeqCst))
    }

    fn see(&mut self, record: &Record) -> Result<()> {
        let partition = record.position.partition;
        let NoteState { note_id, revision, offset, prediction, .. } = state_of(record)?;
        let key = (partition, note_id);
        let Some(extraction) = self.extracted.get(&key) else { return Ok(()) };
        if matches!(self.found.get(&key), Some(Seen::Text(_))) {
            return Ok(());
        }
        let is_of_text = prediction.is_some_and(|said| said.text_hash == extraction.text_hash);
        let is_later = revision > extraction.revision;
        if is_of_text {
            self.left -= 1;
            let next = self.located.states.entry(partition).or_default();
            *next = (record.position.offset + 1).max(*next);
        }
        let seen = match (is_of_text, is_later) {
            (true, _) => Seen::Text(offset),
            (false, true) => Seen::Replaced,
            (false, false) => Seen::Other,
        };
        self.found.insert(key, seen);
        Ok(())
    }

    /// Whether an extraction may be to be seen before its state is.
    fn is_ahead(&self) -> bool {
        let is_open = |key: &NoteKey| matches!(self.found.get(key), None | Some(Seen::Other));
        self.left > 0 && self.extracted.keys().any(is_open)
    }

    fn located(self) -> Located {
        let Search { extracted, mut found, mut located, .. } = self;
        for (key, extraction) in extracted {
            match found.remove(&key) {
                Some(Seen::Text(offset)) => drop(located.wanted.entry(key.0).or_default().insert(offset, extraction)),
                Some(Seen::Replaced | Seen::Other) => located.superseded += 1,
                None => located.unknown.push(key.1),
            }
        }
        located
    }
}
