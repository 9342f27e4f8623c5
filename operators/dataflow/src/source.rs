//! Where inputs enter the dataflow.
//!
//! In: batches that a reader thread stamped with epochs, over a bounded channel. Out: their records and, as data in the same
//! epoch, the offsets to read next. State: which admitted epochs are not yet committed. Emits as soon as admission allows;
//! an epoch is complete when a batch of a later one arrives, empty batches included, or when the reader is gone.

use crate::wake::Wake;
use crate::{Entry, Epoch, Record};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TryRecvError, bounded};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use stillroom_schemas::NoteState;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source as timely_source;
use timely::dataflow::{Scope, StreamVec};

/// Batches that one activation admits at most, so that one worker's backlog cannot starve its other operators.
const BATCHES_PER_ACTIVATION_MAX: usize = 16;

/// What enters the dataflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A record of an input topic. Records of one partition come in offset order.
    Record(Record),
    /// A record of the notes topic that an epoch before this one committed, on the same worker, to be tagged anew. It moves no offset.
    Again(Record),
    /// Everything before offset `next` of a partition has entered, at this epoch or before.
    Next {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The next offset to read.
        next: u64,
    },
    /// What an earlier run knew of a note. It comes before the first record of the note's partition, on the same worker.
    Restored {
        /// The note's partition.
        partition: u32,
        /// What was known.
        state: Box<NoteState>,
    },
}

/// Inputs of one epoch, or of a part of it. An empty batch only says that earlier epochs are complete.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The epoch; it never falls from batch to batch.
    pub epoch: Epoch,
    /// What enters.
    pub inputs: Vec<Input>,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Told when it enters, if anybody wants to know.
    pub entry: Option<Entry>,
}

/// How far a source may run ahead of what is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Epochs with inputs that are admitted and not yet committed, at most.
    pub epochs_open_max: usize,
    /// Bytes that are admitted and not yet committed, at most. A batch that is larger is admitted when nothing else is open.
    pub bytes_open_max: usize,
}

/// The reader's end of a feed.
#[derive(Debug)]
pub struct FeedSender {
    batches: Option<Sender<Batch>>,
    shared: Arc<Shared>,
}

/// The source's end of a feed.
#[derive(Debug)]
pub struct Feed {
    batches: Receiver<Batch>,
    shared: Arc<Shared>,
}

/// A handle on what one source knows to be committed.
#[derive(Clone, Debug)]
pub struct Retirement(Arc<Shared>);

/// What reader, source and committer share besides the channel.
#[derive(Debug, Default)]
struct Shared {
    /// Every epoch before this one is committed.
    retired_before: AtomicU64,
    /// Set while the source holds a batch back and waits for a commit.
    is_awaited: AtomicBool,
    /// Set from a wake-up by the reader until the source runs: timely's queue of activations is unbounded.
    is_woken: AtomicBool,
    wake: Wake,
}

impl Shared {
    fn retired_before(&self) -> Epoch {
        self.retired_before.load(Ordering::SeqCst)
    }
}

impl Retirement {
    /// Every epoch before this one is committed. What enters at this source from now on gets this epoch or a later one.
    pub fn before(&self) -> Epoch {
        self.0.retired_before()
    }

    /// Says that every epoch before `epoch` is committed, and wakes the source if it waits for that.
    pub fn advance(&self, epoch: Epoch) {
        self.0.retired_before.fetch_max(epoch, Ordering::SeqCst);
        if self.0.is_awaited.swap(false, Ordering::SeqCst) {
            self.0.wake.wake();
        }
    }
}

/// A bounded channel from a reader thread to a source.
pub fn feed(batches_max: usize) -> (FeedSender, Feed) {
    let (sender, receiver) = bounded(batches_max);
    let shared = Arc::new(Shared::default());
    (FeedSender { batches: Some(sender), shared: Arc::clone(&shared) }, Feed { batches: receiver, shared })
}

impl FeedSender {
    /// Hands over a batch; waits up to `wait` for room.
    ///
    /// # Errors
    /// [`FeedError::Full`] gives the batch back; [`FeedError::Closed`] says that the source is gone.
    pub fn send(&self, batch: Batch, wait: Duration) -> Result<(), FeedError> {
        let Some(batches) = &self.batches else { return Err(FeedError::Closed) };
        batches.send_timeout(batch, wait).map_err(|error| match error {
            SendTimeoutError::Timeout(batch) => FeedError::Full(batch),
            SendTimeoutError::Disconnected(_) => FeedError::Closed,
        })?;
        self.wake();
        Ok(())
    }

    /// The handle that knows what is committed.
    pub fn retirement(&self) -> Retirement {
        Retirement(Arc::clone(&self.shared))
    }

    fn wake(&self) {
        if !self.shared.is_woken.swap(true, Ordering::SeqCst) {
            self.shared.wake.wake();
        }
    }
}

impl Drop for FeedSender {
    /// Closes the channel before the wake-up, so that the source notices the end.
    fn drop(&mut self) {
        self.batches = None;
        self.shared.is_woken.store(true, Ordering::SeqCst);
        self.shared.wake.wake();
    }
}

impl Feed {
    /// The handle by which a committer says what is committed.
    pub fn retirement(&self) -> Retirement {
        Retirement(Arc::clone(&self.shared))
    }
}

/// Why a batch was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The source is busy; try again with the same batch.
    #[error("the source has no room for the batch yet; send it again")]
    Full(Batch),
    /// The dataflow has ended.
    #[error("the dataflow has ended and takes no more input")]
    Closed,
}

/// Brings the batches of `feed` into the dataflow, in the order in which they were sent.
///
/// ```
/// use stillroom_dataflow::{Admission, Batch, Input, feed, source};
/// use std::time::Duration;
/// use timely::dataflow::operators::{Capture, capture::Extract, vec::Map};
///
/// let (sender, feed) = feed(4);
/// let next = |next| Input::Next { topic: "notes".into(), partition: 0, next };
/// for epoch in [7, 8] {
///     let batch = Batch { epoch, inputs: vec![next(epoch)], bytes: 10, entry: None };
///     sender.send(batch, Duration::ZERO).unwrap();
/// }
/// feed.retirement().advance(9); // as if all were committed
/// drop(sender); // the end of the input
/// let epochs = timely::execute_directly(move |worker| {
///     worker.dataflow(|scope| {
///         let admission = Admission { epochs_open_max: 1, bytes_open_max: 100 };
///         source(scope, feed, admission).map(|_| ()).capture()
///     })
/// });
/// assert_eq!(epochs.extract(), [(7, vec![()]), (8, vec![()])]);
/// ```
pub fn source<'scope>(
    scope: Scope<'scope, Epoch>,
    feed: Feed,
    admission: Admission,
) -> StreamVec<'scope, Epoch, Input> {
    timely_source::<_, CapacityContainerBuilder<Vec<Input>>, _, _>(scope, "Source", move |capability, info| {
        // Made here because it remembers the thread to unpark. Nobody else sets it, and a wake-up that came too early is
        // not missed: timely schedules every new operator once.
        feed.shared.wake.set(scope.worker().sync_activator_for(info.address.to_vec()));
        let again = scope.activator_for(Rc::clone(&info.address));
        let mut gate = Gate::new(admission);
        let mut capability = Some(capability);
        move |output| {
            let Some(held) = capability.as_mut() else { return };
            // Cleared before the channel is read: a batch that comes later brings its own wake-up.
            feed.shared.is_woken.store(false, Ordering::SeqCst);
            for _ in 0..BATCHES_PER_ACTIVATION_MAX {
                match next_step(&mut gate, &feed, *held.time()) {
                    Step::Admit(epoch, inputs) => {
                        held.downgrade(&epoch);
                        output.session(&*held).give_iterator(inputs.into_iter());
                    }
                    // What is open can only be committed when this source has left its epochs.
                    Step::HoldBack(epoch) => return held.downgrade(&epoch),
                    Step::Idle => return,
                    Step::Finish => {
                        capability = None;
                        return;
                    }
                }
            }
            again.activate();
        }
    })
}

enum Step {
    Admit(Epoch, Vec<Input>),
    HoldBack(Epoch),
    Idle,
    Finish,
}

fn next_step(gate: &mut Gate, feed: &Feed, now: Epoch) -> Step {
    if gate.held.is_none() {
        match feed.batches.try_recv() {
            Ok(batch) => gate.held = Some(batch),
            Err(TryRecvError::Empty) => return Step::Idle,
            Err(TryRecvError::Disconnected) => return Step::Finish,
        }
    }
    if let Some((epoch, inputs)) = gate.admit(now, feed.shared.retired_before()) {
        return Step::Admit(epoch, inputs);
    }
    // Announced before the second look, as the committer advances before it looks whether somebody waits.
    feed.shared.is_awaited.store(true, Ordering::SeqCst);
    match gate.admit(now, feed.shared.retired_before()) {
        Some((epoch, inputs)) => Step::Admit(epoch, inputs),
        None => Step::HoldBack(gate.hold_back(now)),
    }
}

/// Decides which batch may enter: the pure part of the source.
struct Gate {
    admission: Admission,
    /// Admitted and not yet committed, oldest first.
    open: VecDeque<(Epoch, usize)>,
    bytes_open: usize,
    held: Option<Batch>,
}

impl Gate {
    fn new(admission: Admission) -> Gate {
        Gate { admission, open: VecDeque::new(), bytes_open: 0, held: None }
    }

    /// Takes the held batch, stamped with an epoch that is not before `now`, if the bounds allow it.
    fn admit(&mut self, now: Epoch, retired_before: Epoch) -> Option<(Epoch, Vec<Input>)> {
        while let Some((_, bytes)) = self.open.pop_front_if(|(epoch, _)| *epoch < retired_before) {
            self.bytes_open -= bytes;
        }
        let batch = self.held.as_ref()?;
        let epoch = batch.epoch.max(now);
        let opens_epoch = self.open.back().is_none_or(|(last, _)| *last < epoch);
        let fits = self.open.is_empty()
            || self.bytes_open + batch.bytes <= self.admission.bytes_open_max
                && (!opens_epoch || self.open.len() < self.admission.epochs_open_max);
        if !fits && !batch.inputs.is_empty() {
            return None;
        }
        let batch = self.held.take()?;
        if let Some(entry) = &batch.entry {
            // Before the source leaves the epoch, so before that can be committed.
            entry.tell(epoch);
        }
        match self.open.back_mut() {
            _ if batch.inputs.is_empty() => {}
            Some((last, bytes)) if *last == epoch => *bytes += batch.bytes,
            _ => self.open.push_back((epoch, batch.bytes)),
        }
        self.bytes_open += batch.bytes;
        Some((epoch, batch.inputs))
    }

    /// The epoch to move to while a batch is held back: after every open one.
    fn hold_back(&self, now: Epoch) -> Epoch {
        let after_open = self.open.back().map_or(0, |(last, _)| last + 1);
        now.max(after_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: Epoch, bytes: usize) -> Batch {
        let next = Input::Next { topic: Arc::from("t"), partition: 0, next: 0 };
        Batch { epoch, inputs: if bytes == 0 { vec![] } else { vec![next] }, bytes, entry: None }
    }

    /// Runs a script of batches `epoch:bytes` and commits `<epoch` through a gate of 2 epochs and 10 bytes.
    fn check(script: &str, expected: &str) {
        let mut gate = Gate::new(Admission { epochs_open_max: 2, bytes_open_max: 10 });
        let (mut now, mut retired, mut log) = (0, 0, Vec::new());
        for step in script.split_whitespace() {
            match step.split_once(':') {
                Some((epoch, bytes)) => gate.held = Some(batch(epoch.parse().unwrap(), bytes.parse().unwrap())),
                None => retired = step.trim_start_matches('<').parse().unwrap(),
            }
            match gate.admit(now, retired) {
                Some((epoch, inputs)) => {
                    now = epoch;
                    log.push(format!("{epoch}{}", if inputs.is_empty() { "-" } else { "+" }));
                }
                None if gate.held.is_some() => {
                    now = gate.hold_back(now);
                    log.push(format!("held@{now}"));
                }
                None => {}
            }
            assert!(gate.bytes_open <= 10 || gate.open.len() == 1);
        }
        assert_eq!(log.join(" "), expected, "{script}");
    }

    #[test]
    fn admits_up_to_the_bounds() {
        check("1:4 2:4", "1+ 2+");
        check("1:4 2:4 3:1 <2", "1+ 2+ held@3 3+");
        check("1:4 2:7 <2", "1+ held@2 2+");
    }

    #[test]
    fn empty_batches_pass_without_limit() {
        check("1:4 2:4 3:0 4:0", "1+ 2+ 3- 4-");
    }

    #[test]
    fn a_batch_beyond_the_bound_enters_alone() {
        check("1:1 2:50 <2 3:1 <3", "1+ held@2 2+ held@3 3+");
    }

    #[test]
    fn a_batch_that_is_held_back_tells_when_it_enters_and_not_what_it_was_stamped_with() {
        let mut gate = Gate::new(Admission { epochs_open_max: 2, bytes_open_max: 10 });
        let entry = Entry::default();
        gate.held = Some(batch(5, 6));
        assert!(gate.admit(0, 0).is_some());
        gate.held = Some(Batch { entry: Some(entry.clone()), ..batch(5, 6) });
        assert!(gate.admit(5, 0).is_none());
        let now = gate.hold_back(5);
        assert_eq!((now, entry.epoch()), (6, None), "it has not entered");
        // What it was stamped with is committed.
        assert!(gate.admit(now, 6).is_some());
        assert_eq!(entry.epoch(), Some(6));
    }

    #[test]
    fn an_epoch_that_is_full_is_left_so_that_it_can_be_committed() {
        check("5:6 5:6 <6", "5+ held@6 6+");
    }
}
