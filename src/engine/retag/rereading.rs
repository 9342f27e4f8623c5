//! Which notes are to be read again, and their records.

use super::OpenSource;
use crate::engine::config::RETAG_READ_BYTES;
use crate::engine::reader::size_of_record;
use anyhow::Result;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use stillroom_connectors::{LogError, Source};
use stillroom_dataflow::{Position, Record};
use stillroom_schemas::{ModelId, NoteState};

/// Offsets in the topic of notes, by partition, rising.
pub(super) type Offsets = BTreeMap<u32, VecDeque<u64>>;

/// Live notes whose last state names another student, with the offsets of their records.
#[derive(Default)]
pub(super) struct Stale {
    partitions: BTreeMap<u32, HashMap<String, u64>>,
}

impl Stale {
    /// Takes note of a state; those of one note come in the order in which they were committed.
    pub(super) fn see(&mut self, partition: u32, state: NoteState, model: &ModelId) {
        let notes = self.partitions.entry(partition).or_default();
        match state.prediction {
            Some(said) if said.model != *model => {
                notes.insert(state.note_id, state.offset);
            }
            // Withdrawn, dead-lettered, or tagged by the student that serves.
            _ => {
                notes.remove(&state.note_id);
            }
        }
    }

    /// Where they are, and how many.
    pub(super) fn into_offsets(self) -> (Offsets, usize) {
        let sorted = |notes: HashMap<String, u64>| {
            let mut offsets: Vec<u64> = notes.into_values().collect();
            offsets.sort_unstable();
            VecDeque::from(offsets)
        };
        let offsets: Offsets =
            self.partitions.into_iter().map(|(partition, notes)| (partition, sorted(notes))).collect();
        let notes = offsets.values().map(VecDeque::len).sum();
        (offsets, notes)
    }
}

/// Reads the records at some offsets.
pub(super) struct Rereading {
    topic: String,
    /// Who tags them.
    model: ModelId,
    /// Those that were not read.
    left: Offsets,
    /// Absent before the first record is read, and after a failure.
    source: Option<Box<dyn Source>>,
    /// Records that were read and not taken.
    ready: VecDeque<Record>,
    /// Records that the topic has no more.
    gone: usize,
}

impl Rereading {
    pub(super) fn new(topic: &str, model: ModelId, left: Offsets) -> Rereading {
        Rereading { topic: topic.to_owned(), model, left, source: None, ready: VecDeque::new(), gone: 0 }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.ready.is_empty() && self.is_read()
    }

    fn is_read(&self) -> bool {
        self.left.values().all(VecDeque::is_empty)
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
                for record in records {
                    if self.wants(record.position) {
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
        for (&partition, offsets) in &mut self.left {
            while let Some(&next) = offsets.front() {
                match source.assign(&self.topic, partition, next) {
                    Ok(()) => break,
                    Err(LogError::OffsetOutOfRange { low, .. }) if low > next => {
                        let before = offsets.len();
                        offsets.retain(|offset| *offset >= low);
                        self.gone += before - offsets.len();
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(source)
    }

    /// Whether a record that was read is one of them. Those before it that did not come are gone.
    fn wants(&mut self, position: Position) -> bool {
        let Some(left) = self.left.get_mut(&position.partition) else { return false };
        while left.pop_front_if(|offset| *offset < position.offset).is_some() {
            self.gone += 1;
        }
        left.pop_front_if(|offset| *offset == position.offset).is_some()
    }

    /// Lets the source go, and says what was not found.
    fn end(&mut self) {
        self.source = None;
        if self.gone > 0 {
            tracing::warn!(
                model = self.model.0,
                notes = self.gone,
                "live notes are not in the topic of notes any more: their extractions stay those of an earlier student"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use stillroom_schemas::{Prediction, TextHash};

    /// Partition 0 from offset `low` on, without some of its records.
    struct Expired {
        low: u64,
        end: u64,
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
            let (topic, low, high) = (topic.to_owned(), self.low, self.end);
            if next > 0 && next < low {
                return Err(LogError::OffsetOutOfRange { topic, partition, next, low, high });
            }
            self.next = next.max(low);
            Ok(())
        }
        fn poll(&mut self, _bytes_max: usize, _wait: Duration) -> Result<Vec<Record>, LogError> {
            let (from, to) = (self.next, self.end.min(self.next + 3));
            let one_less = |fails: usize| fails.checked_sub(1);
            if from > self.low && self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                return Err(LogError::NoTopic { topic: "notes".to_owned() });
            }
            self.next = to;
            let there = (from..to).filter(|offset| !self.compacted.contains(offset));
            let at = |offset| Record { position: Position { partition: 0, offset }, ..Record::default() };
            Ok(there.map(at).collect())
        }
        fn pause(&mut self) {}
        fn resume(&mut self) {}
    }

    /// The offsets that are read of `wanted`, and how many are gone.
    fn read(wanted: &[u64], low: u64, fails: usize) -> (Vec<u64>, usize) {
        let fails = Arc::new(AtomicUsize::new(fails));
        let open: OpenSource = Box::new(move || {
            let source = Expired { low, end: 12, compacted: &[8], next: 0, fails: Arc::clone(&fails) };
            Ok(Box::new(source) as Box<dyn Source>)
        });
        let left = Offsets::from([(0, wanted.iter().copied().collect())]);
        let (mut rereading, mut read) = (Rereading::new("notes", ModelId("b".to_owned()), left), Vec::new());
        for _ in 0..20 {
            rereading.read(&open, Duration::ZERO).unwrap();
            read.extend(rereading.take(1, usize::MAX).into_iter().map(|record| record.position.offset));
        }
        assert!(rereading.is_done());
        (read, rereading.gone)
    }

    #[test]
    fn records_that_are_gone_are_counted() {
        assert_eq!(read(&[0, 1, 5, 11], 0, 0), (vec![0, 1, 5, 11], 0));
        assert_eq!(read(&[0, 3, 5, 8, 9], 0, 0), (vec![0, 3, 5, 9], 1), "one was compacted away");
        assert_eq!(read(&[1, 3, 5, 10], 4, 0), (vec![5, 10], 2), "two expired");
        assert_eq!(read(&[0, 1], 4, 0), (vec![], 2), "all expired");
        assert_eq!(read(&[0, 1, 6, 11], 0, 1), (vec![0, 1, 6, 11], 0), "a failure is passed over");
        assert_eq!(read(&[], 0, 0), (vec![], 0));
    }

    #[test]
    fn what_is_taken_has_bounds() {
        let mut rereading = Rereading::new("notes", ModelId("b".to_owned()), Offsets::new());
        let record = |bytes| Record { value: Some(vec![0; bytes]), ..Record::default() };
        rereading.ready.extend([record(10), record(10), record(5000), record(10)]);
        let two = 2 * size_of_record(&record(10));
        let mut taken = |notes_max| rereading.take(notes_max, two).len();
        assert_eq!([taken(0), taken(1), taken(9), taken(9), taken(9), taken(9)], [0, 1, 1, 1, 1, 0]);
    }

    /// States as `note offset student`, without a student of notes that are not live.
    #[test]
    fn the_last_state_of_a_note_counts() {
        let stale_of = |states: &str| {
            let mut stale = Stale::default();
            for state in states.split(';') {
                let mut words = state.split_whitespace();
                let (note_id, offset) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
                let prediction = words.next().map(|model| Prediction {
                    model: ModelId(model.to_owned()),
                    text_hash: TextHash::of(""),
                    note_type: None,
                    site: None,
                    words: Vec::new(),
                    spans: Vec::new(),
                });
                let state = NoteState { note_id, revision: 0, offset, prediction, dead_lettered: None };
                stale.see(0, state, &ModelId("b".to_owned()));
            }
            let (offsets, notes) = stale.into_offsets();
            let offsets: Vec<u64> = offsets.into_values().flatten().collect();
            assert_eq!(offsets.len(), notes);
            offsets
        };
        assert_eq!(stale_of("x 4 a; y 2 a; z 3 b"), [2, 4]);
        assert_eq!(stale_of("x 0 a; x 5 a; y 1 a; y 6 b"), [5], "amended");
        assert_eq!(stale_of("x 0 a; x 7; y 1 a"), [1], "withdrawn");
        assert_eq!(stale_of("x 0 a; x 0 b; y 1 b; y 1 a"), [1], "tagged again, and back");
    }
}
