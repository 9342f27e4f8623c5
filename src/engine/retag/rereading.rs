//! The records of notes that are to be read again.
//!
//! A record may be gone behind a copy of itself. The copy is then read in its place, and stands where the record stood, so that nobody
//! after this can tell the two apart.

use super::OpenSource;
use super::copies::{Missing, Search};
use super::stale::{Places, Wanted};
use crate::engine::config::RETAG_READ_BYTES;
use crate::engine::reader::size_of_record;
use anyhow::Result;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stillroom_connectors::{LogError, Source};
use stillroom_dataflow::{Position, Record, WireFormat};
use stillroom_schemas::ModelId;

/// Reads the records at some places, and copies of those that are gone.
pub(super) struct Rereading {
    topic: String,
    /// Who tags them.
    model: ModelId,
    /// Those that were not read.
    left: Places,
    /// Absent before the first record is read, and after a failure.
    source: Option<Box<dyn Source>>,
    /// Records that were read and not taken.
    ready: VecDeque<Record>,
    /// Notes whose records are gone, of which copies are to be looked for.
    missing: Missing,
    /// While they are looked for.
    search: Option<Search>,
    /// Notes of which the topic has no record any more.
    gone: usize,
}

impl Rereading {
    pub(super) fn new(topic: &str, model: ModelId, left: Places) -> Rereading {
        let (topic, ready, missing) = (topic.to_owned(), VecDeque::new(), Missing::new());
        Rereading { topic, model, left, source: None, ready, missing, search: None, gone: 0 }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.ready.is_empty() && self.is_read() && self.missing.is_empty()
    }

    fn is_read(&self) -> bool {
        self.left.values().all(BTreeMap::is_empty)
    }

    /// Whether copies are to be looked for before more is read.
    pub(super) fn is_searching(&self) -> bool {
        self.is_read() && !self.missing.is_empty()
    }

    /// Looks on for copies of what is missing; waits so long for the log. `open` opens a source that ends.
    ///
    /// # Errors
    /// When the log cannot be read: the next call begins anew.
    pub(super) fn search(&mut self, open: &OpenSource, wire: &dyn WireFormat, wait: Duration) -> Result<()> {
        let mut search = match self.search.take() {
            Some(search) => search,
            None => Search::open(open()?, &self.topic, &self.missing)?,
        };
        if !search.read_on(&self.missing, wire, wait)? {
            self.search = Some(search);
            return Ok(());
        }
        for (partition, notes) in std::mem::take(&mut self.missing) {
            let left = self.left.entry(partition).or_default();
            for (note_id, known) in notes {
                match search.found(partition, &note_id) {
                    Some(copy) => drop(left.insert(copy, Wanted { note_id, known })),
                    None => self.gone += 1,
                }
            }
        }
        if self.is_read() {
            self.end();
        }
        Ok(())
    }

    /// Reads on if no record is ready; waits so long for the log.
    ///
    /// # Errors
    /// When the log cannot be opened, or a source that was just opened cannot be read.
    pub(super) fn read(&mut self, open: &OpenSource, wait: Duration) -> Result<()> {
        if !self.ready.is_empty() || self.is_read() {
            return Ok(());
        }
        let (mut source, is_new) = match self.source.take() {
            Some(source) => (source, false),
            None => (self.assign(open()?)?, true),
        };
        match source.poll(RETAG_READ_BYTES, wait) {
            Ok(records) => {
                for mut record in records {
                    if let Some(offset) = self.wants(record.position) {
                        // A copy stands where the record stood.
                        record.position.offset = offset;
                        self.ready.push_back(record);
                    }
                }
                self.source = Some(source);
            }
            // Records may have expired before they were read: a source that is opened anew tells which are there.
            Err(error) if !is_new => {
                tracing::warn!("notes to be tagged again could not be read, and are looked for anew: {error}")
            }
            Err(error) => return Err(error.into()),
        }
        if self.is_read() {
            self.end();
        }
        Ok(())
    }

    /// The next records, and no more bytes of them unless the first has more.
    pub(super) fn take(&mut self, notes_max: usize, bytes_max: usize) -> Vec<Record> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < notes_max {
            let is_first = taken.is_empty();
            let next = self.ready.pop_front_if(|record| is_first || bytes + size_of_record(record) <= bytes_max);
            let Some(record) = next else { break };
            bytes += size_of_record(&record);
            taken.push(record);
        }
        taken
    }

    /// Starts each partition at the first record that is wanted and still there.
    fn assign(&mut self, mut source: Box<dyn Source>) -> Result<Box<dyn Source>> {
        source.partitions(&self.topic)?;
        for (&partition, wanted) in &mut self.left {
            while let Some((&next, _)) = wanted.first_key_value() {
                match source.assign(&self.topic, partition, next) {
                    Ok(()) => break,
                    Err(LogError::OffsetOutOfRange { low, .. }) if low > next => {
                        let there = wanted.split_off(&low);
                        let gone = std::mem::replace(wanted, there).into_values();
                        gone.for_each(|wanted| miss(&mut self.missing, partition, wanted));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(source)
    }

    /// Whether a record that was read is one of them: then where the note's record stood. Those before it that did not come are gone.
    fn wants(&mut self, Position { partition, offset }: Position) -> Option<u64> {
        let left = self.left.get_mut(&partition)?;
        while let Some(first) = left.first_entry()
            && *first.key() < offset
        {
            miss(&mut self.missing, partition, first.remove());
        }
        left.remove(&offset).map(|wanted| wanted.known.offset)
    }

    /// Lets the source go, and says of which notes there is no record, once all are looked for.
    fn end(&mut self) {
        self.source = None;
        if self.gone > 0 && self.missing.is_empty() {
            tracing::warn!(
                model = self.model.0,
                notes = self.gone,
                "live notes are not in the topic of notes any more: their extractions stay as they are"
            );
        }
    }
}

/// Takes note that the record of a note is gone.
fn miss(missing: &mut Missing, partition: u32, Wanted { note_id, known }: Wanted) {
    missing.entry(partition).or_default().insert(note_id, known);
}

#[cfg(test)]
mod tests {
    use super::super::stale::Known;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use stillroom_dataflow::PlainJson;
    use stillroom_schemas::TextHash;

    /// Where partition 0 ends.
    const END: u64 = 12;

    /// Partition 0 from offset `low` on, without some of its records. The last one is a copy of that at offset 8.
    struct Expired {
        low: u64,
        compacted: &'static [u64],
        next: u64,
        /// Polls that are to fail, of all sources.
        fails: Arc<AtomicUsize>,
    }

    impl Source for Expired {
        fn partitions(&mut self, _topic: &str) -> Result<u32, LogError> {
            Ok(1)
        }
        fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
            let (topic, low, high) = (topic.to_owned(), self.low, END);
            if next > 0 && next < low {
                return Err(LogError::OffsetOutOfRange { topic, partition, next, low, high });
            }
            self.next = next.max(low);
            Ok(())
        }
        fn poll(&mut self, _bytes_max: usize, _wait: Duration) -> Result<Vec<Record>, LogError> {
            let (from, to) = (self.next, END.min(self.next + 3));
            let one_less = |fails: usize| fails.checked_sub(1);
            if from > self.low && self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                return Err(LogError::NoTopic { topic: "notes".to_owned() });
            }
            self.next = to;
            let there = (from..to).filter(|offset| !self.compacted.contains(offset));
            Ok(there.map(record_at).collect())
        }
        fn pause(&mut self) {}
        fn resume(&mut self) {}
        fn is_finished(&self) -> bool {
            self.next >= END
        }
    }

    /// The note that a record of this offset is of.
    fn note_at(offset: u64) -> u64 {
        if offset == END - 1 { 8 } else { offset }
    }

    /// Its text too names the note.
    fn record_at(offset: u64) -> Record {
        let note_id = note_at(offset).to_string();
        let value = serde_json::json!({ "note_id": note_id, "text": note_id }).to_string();
        let position = Position { partition: 0, offset };
        Record { position, key: Some(note_id.into()), value: Some(value.into()), ..Record::default() }
    }

    /// The notes that are read of `wanted`, each by the offset that it stood at, and how many are gone.
    fn read(wanted: &[u64], (low, compacted): (u64, &'static [u64]), fails: usize) -> (Vec<u64>, usize) {
        let fails = Arc::new(AtomicUsize::new(fails));
        let open: OpenSource = Box::new(move || {
            let source = Expired { low, compacted, next: 0, fails: Arc::clone(&fails) };
            Ok(Box::new(source) as Box<dyn Source>)
        });
        let wanted = wanted.iter().map(|&offset| {
            let note_id = offset.to_string();
            let known = Known { revision: 0, offset, text_hash: TextHash::of(&note_id) };
            (offset, Wanted { note_id, known })
        });
        let left = Places::from([(0, wanted.collect())]);
        let (mut rereading, mut read) = (Rereading::new("notes", ModelId("b".to_owned()), left), Vec::new());
        for _ in 0..30 {
            match rereading.is_searching() {
                true => rereading.search(&open, &PlainJson, Duration::ZERO).unwrap(),
                false => rereading.read(&open, Duration::ZERO).unwrap(),
            }
            for record in rereading.take(1, usize::MAX) {
                assert_eq!(record.key, Some(record.position.offset.to_string().into_bytes()), "another note's record");
                read.push(record.position.offset);
            }
        }
        assert!(rereading.is_done());
        (read, rereading.gone)
    }

    #[test]
    fn records_that_are_gone_are_counted() {
        assert_eq!(read(&[0, 1, 5, 10], (0, &[]), 0), (vec![0, 1, 5, 10], 0));
        assert_eq!(read(&[0, 3, 5, 7, 9], (0, &[7]), 0), (vec![0, 3, 5, 9], 1), "one was compacted away");
        assert_eq!(read(&[1, 3, 5, 10], (4, &[]), 0), (vec![5, 10], 2), "two expired");
        assert_eq!(read(&[0, 1], (4, &[]), 0), (vec![], 2), "all expired");
        assert_eq!(read(&[0, 1, 6, 10], (0, &[]), 1), (vec![0, 1, 6, 10], 0), "a failure is passed over");
        assert_eq!(read(&[], (0, &[]), 0), (vec![], 0));
    }

    #[test]
    fn a_copy_is_read_in_the_place_of_what_is_gone() {
        assert_eq!(read(&[3, 8, 9], (0, &[]), 0), (vec![3, 8, 9], 0), "nothing is gone");
        assert_eq!(read(&[3, 8, 9], (0, &[8]), 0), (vec![3, 9, 8], 0), "it was compacted away");
        assert_eq!(read(&[3, 8, 10], (9, &[]), 0), (vec![10, 8], 1), "it expired, as another without a copy");
    }

    #[test]
    fn what_is_taken_has_bounds() {
        let mut rereading = Rereading::new("notes", ModelId("b".to_owned()), Places::new());
        let record = |bytes| Record { value: Some(vec![0; bytes]), ..Record::default() };
        rereading.ready.extend([record(10), record(10), record(5000), record(10)]);
        let two = 2 * size_of_record(&record(10));
        let mut taken = |notes_max| rereading.take(notes_max, two).len();
        assert_eq!([taken(0), taken(1), taken(9), taken(9), taken(9), taken(9)], [0, 1, 1, 1, 1, 0]);
    }
}
