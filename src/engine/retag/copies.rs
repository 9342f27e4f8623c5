//! Looks for copies of records that are gone.
//!
//! A topic that is compacted keeps the last record of each note. Where that is a copy of the one that was read, of the same revision and
//! with the same text, it was superseded when it came, and the state names the offset of a record that is there no more. In: the topic
//! from the first of these offsets to where it ends. Out: where the last copy of each note stands.

use crate::engine::config::RETAG_READ_BYTES;
use crate::engine::retag::stale::Known;
use crate::reading::assign_or_first;
use anyhow::Result;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use stillroom_connectors::Source;
use stillroom_dataflow::{Record, WireFormat};
use stillroom_schemas::{Note, TextHash};

/// Notes whose records are gone, by partition and id.
pub(super) type Missing = BTreeMap<u32, HashMap<String, Known>>;

/// A search that is under way.
pub(super) struct Search {
    source: Box<dyn Source>,
    /// Offsets by partition and note.
    found: BTreeMap<u32, HashMap<String, u64>>,
}

impl Search {
    /// Begins to look for copies in a topic, by a source that ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn open(mut source: Box<dyn Source>, topic: &str, missing: &Missing) -> Result<Search> {
        source.partitions(topic)?;
        for (&partition, notes) in missing {
            // Copies come after what they are copies of.
            let first = notes.values().map(|known| known.offset).min().unwrap_or_default();
            assign_or_first(source.as_mut(), (topic, partition), first)?;
        }
        Ok(Search { source, found: BTreeMap::new() })
    }

    /// Looks on; waits so long for the log. Whether it came to the end.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn read_on(&mut self, missing: &Missing, wire: &dyn WireFormat, wait: Duration) -> Result<bool> {
        for record in self.source.poll(RETAG_READ_BYTES, wait)? {
            let (partition, offset) = (record.position.partition, record.position.offset);
            let note_id = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            let sought = note_id.and_then(|note_id| missing.get(&partition)?.get_key_value(note_id));
            if let Some((note_id, known)) = sought
                && is_copy(&record, (note_id, known), wire)
            {
                self.found.entry(partition).or_default().insert(note_id.clone(), offset);
            }
        }
        Ok(self.source.is_finished())
    }

    /// Where the last copy of a note's record stands, if there is one.
    pub(super) fn found(&self, partition: u32, note_id: &str) -> Option<u64> {
        self.found.get(&partition)?.get(note_id).copied()
    }
}

/// Whether a record says of a note what the one that is gone said.
fn is_copy(record: &Record, (note_id, known): (&str, &Known), wire: &dyn WireFormat) -> bool {
    let json = record.value.as_deref().and_then(|value| wire.to_json(&record.topic, value).ok());
    let note = json.and_then(|json| serde_json::from_slice::<Note>(&json).ok());
    note.is_some_and(|note| {
        note.note_id == note_id && note.revision == known.revision && TextHash::of(&note.text) == known.text_hash
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_connectors::LogError;
    use stillroom_dataflow::{PlainJson, Position};

    /// What is left of a partition.
    struct Left(Vec<Record>);

    impl Source for Left {
        fn partitions(&mut self, _topic: &str) -> Result<u32, LogError> {
            Ok(1)
        }
        fn assign(&mut self, _topic: &str, _partition: u32, next: u64) -> Result<(), LogError> {
            self.0.retain(|record| record.position.offset >= next);
            Ok(())
        }
        fn poll(&mut self, _bytes_max: usize, _wait: Duration) -> Result<Vec<Record>, LogError> {
            Ok(self.0.drain(..self.0.len().min(2)).collect())
        }
        fn pause(&mut self) {}
        fn resume(&mut self) {}
        fn is_finished(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// Where the last copy is of note `a`, revision 1, text `x`, whose record stood at an offset. Records are `offset id revision text`,
    /// or `offset id` of tombstones.
    fn check(offset: u64, records: &str, expected: Option<u64>) {
        let record = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let value = |revision: &str, text: &str| {
                let revision: u64 = revision.parse().unwrap();
                serde_json::json!({ "note_id": words[1], "revision": revision, "text": text }).to_string().into_bytes()
            };
            Record {
                position: Position { partition: 0, offset: words[0].parse().unwrap() },
                key: Some(words[1].as_bytes().to_vec()),
                value: (words.len() > 2).then(|| value(words[2], words[3])),
                ..Record::default()
            }
        };
        let left = Left(records.split(';').map(record).collect());
        let known = Known { revision: 1, offset, text_hash: TextHash::of("x") };
        let missing = Missing::from([(0, HashMap::from([("a".to_owned(), known)]))]);
        let mut search = Search::open(Box::new(left), "notes", &missing).unwrap();
        while !search.read_on(&missing, &PlainJson, Duration::ZERO).unwrap() {}
        assert_eq!(search.found(0, "a"), expected, "{records}");
    }

    #[test]
    fn the_last_record_of_the_same_revision_and_text_is_a_copy() {
        check(0, "1 b 1 x; 3 a 1 x", Some(3));
        check(0, "3 a 1 x; 4 a 1 x; 7 b 1 x; 8 b 1 y", Some(4));
        check(0, "3 a 1 x; 4 a 0 x; 5 a 2 x; 6 a 1 y; 7 a", Some(3));
        check(0, "1 b 1 x; 2 a 0 x; 3 a 1 y; 4 a", None);
        check(5, "3 a 1 x; 6 b 1 x", None);
    }
}
