//! The way of notes that are tagged again, from the thread that finds them to a worker's reader.
//!
//! One batch waits and one is under way. The next is taken when that is committed, and not while live notes wait for room: a live note
//! is behind one such batch at most, however many notes are to be tagged again. A batch may be held back at the source, and is
//! committed when the epoch is in which it entered, whatever epoch it was given here.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stillroom_dataflow::{Entry, Record, Retirement};

/// A reader's end.
pub(crate) struct Turn {
    batches: Receiver<Vec<Record>>,
    retired: Retirement,
    settled: Arc<AtomicU64>,
    /// The batch that is not known to be committed.
    under_way: Option<Entry>,
}

/// Records to tag again together.
pub(crate) struct Again {
    /// Each where its note was read first.
    pub(crate) records: Vec<Record>,
    /// To be told when they enter.
    pub(crate) entry: Entry,
}

impl Turn {
    /// What to tag again now: nothing while what was taken before is under way, or live notes wait.
    pub(crate) fn take(&mut self, is_pressed: bool) -> Option<Again> {
        let before = self.retired.before();
        let entered = self.under_way.as_ref().and_then(Entry::epoch);
        if entered.is_some_and(|epoch| epoch < before) {
            self.under_way = None;
            self.settled.fetch_add(1, Ordering::SeqCst);
        }
        if is_pressed || self.under_way.is_some() {
            return None;
        }
        let (records, entry) = (self.batches.try_recv().ok()?, Entry::default());
        self.under_way = Some(entry.clone());
        Some(Again { records, entry })
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
    use std::time::{Duration, Instant};
    use stillroom_dataflow::{Admission, Batch, Epoch, Feed, FeedSender, Input, Position, feed, source, worker_config};
    use timely::communication::Allocator;
    use timely::communication::allocator::Thread;
    use timely::worker::Worker;

    fn record(offset: u64) -> (usize, Record) {
        (0, Record { position: Position { partition: 0, offset }, ..Record::default() })
    }

    /// A source that has one epoch open at a time, and what it is fed by.
    struct Bench {
        worker: Worker,
        feed: FeedSender,
    }

    impl Bench {
        fn new(feed: FeedSender, of_source: Feed) -> Bench {
            let allocator = Allocator::Thread(Thread::default());
            let mut worker = Worker::new(worker_config(), allocator, Some(Instant::now()));
            let admission = Admission { epochs_open_max: 1, bytes_open_max: 100 };
            worker.dataflow::<Epoch, _, _>(|scope| drop(source(scope, of_source, admission)));
            Bench { worker, feed }
        }

        /// Sends a batch, stamped with an epoch.
        fn send(&mut self, epoch: Epoch, entry: Option<Entry>) {
            let batch = Batch { epoch, inputs: vec![Input::Again(record(0).1)], bytes: 60, entry };
            self.feed.send(batch, Duration::ZERO).unwrap();
            self.step();
        }

        /// Long enough for a source that was woken to run.
        fn step(&mut self) {
            for _ in 0..10 {
                self.worker.step();
            }
        }
    }

    #[test]
    fn a_batch_waits_for_the_one_before_and_for_live_notes() {
        let (sender, of_source) = feed(4);
        let committed = of_source.retirement();
        let (mut turns, mut readers) = Turns::new([of_source.retirement()]);
        let (turn, mut bench) = (&mut readers[0], Bench::new(sender, of_source));
        assert!(turns.are_free() && turns.are_settled() && turn.take(false).is_none());
        turns.hand_over([record(0), record(1)]);
        assert!(!turns.are_free() && !turns.are_settled());
        assert!(turn.take(true).is_none(), "live notes wait");
        let again = turn.take(false).unwrap();
        assert_eq!(again.records.len(), 2);
        bench.send(6, Some(again.entry));
        turns.hand_over([record(2)]);
        committed.advance(6);
        assert!(turn.take(false).is_none(), "epoch 6 is not committed");
        committed.advance(7);
        let again = turn.take(false).unwrap();
        assert_eq!(again.records.len(), 1);
        assert!(turns.are_free() && !turns.are_settled());
        bench.send(7, Some(again.entry));
        committed.advance(8);
        assert!(turn.take(false).is_none() && turns.are_settled());
    }

    #[test]
    fn a_batch_that_is_held_back_is_not_committed_with_the_epoch_that_it_was_given() {
        let (sender, of_source) = feed(4);
        let committed = of_source.retirement();
        let (mut turns, mut readers) = Turns::new([of_source.retirement()]);
        let (turn, mut bench) = (&mut readers[0], Bench::new(sender, of_source));
        // A live batch fills epoch 5, so that what is tagged again, stamped with 5 too, has to wait until that is committed.
        bench.send(5, None);
        turns.hand_over([record(0)]);
        let entry = turn.take(false).unwrap().entry;
        bench.send(5, Some(entry.clone()));
        assert_eq!(entry.epoch(), None, "it is held back");
        committed.advance(6);
        assert!(turn.take(false).is_none() && !turns.are_settled(), "epoch 5 is committed, without it");
        bench.step();
        assert_eq!(entry.epoch(), Some(6));
        assert!(turn.take(false).is_none() && !turns.are_settled(), "it has entered, and is not committed");
        committed.advance(7);
        assert!(turn.take(false).is_none() && turns.are_settled());
    }
}
