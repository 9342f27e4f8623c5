//! The way of notes that are tagged again, from the thread that finds them to a worker's reader.
//!
//! One batch waits and one is under way. The next is taken when that is committed, and not while live notes wait for room: a live note
//! is behind one such batch at most, however many notes are to be tagged again.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stillroom_dataflow::{Epoch, Record, Retirement};

/// A reader's end.
pub(crate) struct Turn {
    batches: Receiver<Vec<Record>>,
    retired: Retirement,
    settled: Arc<AtomicU64>,
    /// The epoch of the batch that is not known to be committed.
    under_way: Option<Epoch>,
}

impl Turn {
    /// The records to tag again in this epoch: none while those before are under way, or live notes wait.
    pub(crate) fn take(&mut self, epoch: Epoch, is_pressed: bool) -> Vec<Record> {
        if self.under_way.is_some_and(|under_way| under_way < self.retired.before()) {
            self.under_way = None;
            self.settled.fetch_add(1, Ordering::SeqCst);
        }
        if is_pressed || self.under_way.is_some() {
            return Vec::new();
        }
        let records = self.batches.try_recv().unwrap_or_default();
        if !records.is_empty() {
            self.under_way = Some(epoch);
        }
        records
    }
}

/// The other end, to the readers of a process.
pub(crate) struct Turns {
    batches: Vec<Sender<Vec<Record>>>,
    handed: u64,
    settled: Arc<AtomicU64>,
}

impl Turns {
    /// A turn for each reader, by what its source knows to be committed.
    pub(crate) fn new(retired: impl IntoIterator<Item = Retirement>) -> (Turns, Vec<Turn>) {
        let settled = Arc::new(AtomicU64::new(0));
        let (mut batches, mut turns) = (Vec::new(), Vec::new());
        for retired in retired {
            let (sender, receiver) = bounded(1);
            batches.push(sender);
            turns.push(Turn { batches: receiver, retired, settled: Arc::clone(&settled), under_way: None });
        }
        (Turns { batches, handed: 0, settled }, turns)
    }

    /// Whether every reader has room for a batch.
    pub(crate) fn are_free(&self) -> bool {
        self.batches.iter().all(Sender::is_empty)
    }

    /// Hands over records, each with its reader; the readers must have room.
    pub(crate) fn hand_over(&mut self, records: impl IntoIterator<Item = (usize, Record)>) {
        let mut of_readers: Vec<Vec<Record>> = self.batches.iter().map(|_| Vec::new()).collect();
        records.into_iter().for_each(|(reader, record)| of_readers[reader].push(record));
        for (batches, records) in self.batches.iter().zip(of_readers).filter(|(_, records)| !records.is_empty()) {
            // A reader that is gone reads nothing any more, and the run is about to end.
            if batches.try_send(records).is_ok() {
                self.handed += 1;
            }
        }
    }

    /// Whether all that was handed over is committed.
    pub(crate) fn are_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst) == self.handed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_dataflow::{Position, feed};

    fn record(offset: u64) -> (usize, Record) {
        (0, Record { position: Position { partition: 0, offset }, ..Record::default() })
    }

    #[test]
    fn a_batch_waits_for_the_one_before_and_for_live_notes() {
        let (_sender, feed) = feed(1);
        let committed = feed.retirement();
        let (mut turns, mut readers) = Turns::new([feed.retirement()]);
        let turn = &mut readers[0];
        assert!(turns.are_free() && turns.are_settled() && turn.take(5, false).is_empty());
        turns.hand_over([record(0), record(1)]);
        assert!(!turns.are_free() && !turns.are_settled());
        assert!(turn.take(5, true).is_empty(), "live notes wait");
        assert_eq!(turn.take(6, false).len(), 2);
        turns.hand_over([record(2)]);
        committed.advance(6);
        assert!(turn.take(7, false).is_empty(), "epoch 6 is not committed");
        committed.advance(7);
        assert_eq!(turn.take(7, false).len(), 1);
        assert!(turns.are_free() && !turns.are_settled());
        committed.advance(8);
        assert!(turn.take(8, false).is_empty() && turns.are_settled());
    }
}
