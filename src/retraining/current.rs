//! What is to be learned at the moment, and the notes that it is of: for whoever looks at it without retraining.

use crate::config::Config;
use crate::retraining::book::Book;
use crate::retraining::documents::{NotesTopic, Wanted};
use crate::retraining::follower::Follower;
use crate::wire::Wire;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use stillroom_connectors::Log;
use stillroom_dataflow::{Example, ExampleKey};
use stillroom_schemas::{Note, TopicOffsets};

/// Notes by partition and offset.
pub(crate) type Notes = BTreeMap<(u32, u64), Note>;

/// The examples of a log at one moment.
pub(crate) struct Current {
    book: Book,
    /// Where each partition ended.
    ends: TopicOffsets,
}

impl Current {
    /// Reads the topics of notes, references and labels from their beginnings to where they end now.
    ///
    /// # Errors
    /// When the log, the configured student or the ensembles cannot be read.
    pub(crate) fn read(config: &Config, (log, wire): (&dyn Log, &Wire)) -> Result<Current> {
        let (mut follower, mut book) = (Follower::new(config, wire)?, Book::default());
        follower.look((log, wire), &mut book, &AtomicBool::new(false))?;
        Ok(Current { book, ends: follower.offsets().clone() })
    }

    /// The current examples, sorted by key.
    pub(crate) fn examples(&self) -> impl Iterator<Item = (&ExampleKey, &Example)> {
        self.book.examples()
    }

    /// How many records came after the note in its partition of the topic `notes`: of two notes the newer has fewer.
    pub(crate) fn records_since(&self, notes: &str, key: &ExampleKey, example: &Example) -> u64 {
        let end = self.ends.get(notes).and_then(|ends| ends.get(&key.partition)).copied().unwrap_or_default();
        end.saturating_sub(example.offset)
    }
}

/// The notes at these offsets of each partition, as far as the topic still has them.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn notes_at(
    config: &Config,
    (log, wire): (&dyn Log, &Wire),
    wanted: BTreeMap<u32, BTreeSet<u64>>,
) -> Result<Notes> {
    if wanted.is_empty() {
        // There may be no topic of notes yet.
        return Ok(Notes::new());
    }
    let with_place = |(partition, offsets): (u32, BTreeSet<u64>)| {
        (partition, offsets.into_iter().map(|offset| (offset, (partition, offset))).collect())
    };
    let wanted: Wanted<(u32, u64)> = wanted.into_iter().map(with_place).collect();
    let (topic, mut notes) = (NotesTopic { log, wire, name: &config.engine.topics.notes }, Notes::new());
    let is_whole = topic.read(wanted, &AtomicBool::new(false), |place, note| {
        notes.insert(place, note);
    })?;
    ensure!(is_whole, "reading notes ended before its time");
    Ok(notes)
}
