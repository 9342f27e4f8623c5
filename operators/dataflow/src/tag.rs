//! From windows to word probabilities.
//!
//! In: notes with their windows. Out: notes with a probability for every word, or with the reason why there is none. State: the
//! notes whose windows are not all answered, and the capabilities of their epochs. Emits a note when its last answer is in.

use crate::batches::{Batcher, Slot};
use crate::tagger_pool::Answers;
use crate::{Epoch, NoteRecord, Probabilities, TaggerHandle, TokenizedNote, TokenizedText, Words};
use crossbeam_channel::{Sender, bounded};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};
use stillroom_schemas::{Coverage, Task};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::scheduling::SyncActivator;

/// How windows are put into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagConfig {
    /// Word pieces of a batch at most, padding included; a longer window is a batch of its own.
    pub tokens_max: usize,
    /// How long a window waits for others at most, while the student reads what this worker gave it before. A student that is idle
    /// is given what is there.
    pub linger_max: Duration,
}

/// A note that the student has read.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedNote {
    /// The note.
    pub note: Box<NoteRecord>,
    /// Its words.
    pub words: Words,
    /// How much of it was read.
    pub coverage: Coverage,
    /// A probability for every word and task, or why the student failed on this note.
    pub answer: Result<Probabilities, String>,
}

/// Has notes read by a student.
pub trait Tag<'scope> {
    /// Tags every word of every note. The result does not depend on how windows were put into batches.
    ///
    /// The operator's state and its credits are a worker's own; see `tests/tag.rs` for a run with threads.
    fn tag(self, tagger: TaggerHandle, config: TagConfig) -> StreamVec<'scope, Epoch, TaggedNote>;
}

impl<'scope> Tag<'scope> for StreamVec<'scope, Epoch, TokenizedNote> {
    fn tag(self, tagger: TaggerHandle, config: TagConfig) -> StreamVec<'scope, Epoch, TaggedNote> {
        let scope = self.scope();
        self.unary::<CapacityContainerBuilder<Vec<TaggedNote>>, _, _, _>(Pipeline, "Tag", move |initial, info| {
            // Kept, it would hold the frontier for good.
            drop(initial);
            let wake = scope.worker().sync_activator_for(info.address.to_vec());
            let alarm = scope.activator_for(info.address);
            // Each batch with the pool gives one answer, so there is always room.
            let (answers, answered) = bounded(tagger.credits);
            let mut desk = Desk::new(tagger, config, answers, wake);
            let mut open: BTreeMap<Epoch, (Capability<Epoch>, usize)> = BTreeMap::new();
            move |input, output| {
                input.for_each(|capability, notes| {
                    let capability = capability.retain_least(output.output_index());
                    let Some(capability) = capability else { return };
                    let epoch = *capability.time();
                    open.entry(epoch).or_insert((capability, 0)).1 += notes.len();
                    notes.drain(..).for_each(|note| desk.accept(epoch, note));
                });
                answered.try_iter().for_each(|answers| desk.take_answers(answers));
                for (epoch, note) in desk.done.drain(..) {
                    let Some((capability, notes)) = open.get_mut(&epoch) else { continue };
                    output.session(capability).give(note);
                    *notes -= 1;
                }
                open.retain(|_, (_, notes)| *notes > 0);
                desk.submit(Instant::now(), |wait| alarm.activate_after(wait));
            }
        })
    }
}

/// Where notes wait for their answers.
struct Desk {
    tagger: TaggerHandle,
    answers: Sender<Answers>,
    wake: SyncActivator,
    /// Batches that may still be handed over.
    credits: usize,
    batcher: Batcher,
    waiting: HashMap<u64, Waiting>,
    next_note: u64,
    done: Vec<(Epoch, TaggedNote)>,
    /// When the linger of the pending windows will wake the operator.
    alarm_at: Option<Instant>,
}

struct Waiting {
    epoch: Epoch,
    note: Box<NoteRecord>,
    words: Words,
    coverage: Coverage,
    /// The words that each window owns.
    owned: Vec<Range<usize>>,
    windows_left: usize,
    probabilities: Probabilities,
    /// Of the first window that failed.
    failure: Option<(usize, String)>,
}

impl Desk {
    fn new(tagger: TaggerHandle, config: TagConfig, answers: Sender<Answers>, wake: SyncActivator) -> Desk {
        let credits = tagger.credits;
        let batcher = Batcher::new(config.tokens_max, config.linger_max);
        let waiting = HashMap::new();
        Desk { tagger, answers, wake, credits, batcher, waiting, next_note: 0, done: Vec::new(), alarm_at: None }
    }

    fn accept(&mut self, epoch: Epoch, tokenized: TokenizedNote) {
        let TokenizedNote { note, tokenized: TokenizedText { words, word_pieces, windows } } = tokenized;
        let (number, now) = (self.next_note, Instant::now());
        self.next_note += 1;
        let coverage = Coverage { words: words.len() as u32, word_pieces, windows: windows.len() as u32 };
        let owned: Vec<Range<usize>> = windows.iter().map(|window| window.words.clone()).collect();
        let (windows_left, probabilities) = (windows.len(), vec![[0.0; Task::ALL.len()]; words.len()]);
        let waiting = Waiting { epoch, note, words, coverage, owned, windows_left, probabilities, failure: None };
        self.waiting.insert(number, waiting);
        for (window, pieces) in windows.into_iter().enumerate() {
            self.batcher.push(Slot { note: number, window }, pieces, now);
        }
        self.finish(number);
    }

    fn take_answers(&mut self, answers: Answers) {
        self.credits += 1;
        for (slot, answer) in answers {
            if let Some(waiting) = self.waiting.get_mut(&slot.note) {
                waiting.take_answer(slot.window, answer);
                self.finish(slot.note);
            }
        }
    }

    /// Lets a note go if all its windows are answered.
    fn finish(&mut self, number: u64) {
        if self.waiting.get(&number).is_some_and(|waiting| waiting.windows_left == 0)
            && let Some(waiting) = self.waiting.remove(&number)
        {
            self.done.push((waiting.epoch, waiting.into_tagged()));
        }
    }

    /// Hands over batches while there are credits. Without a credit the next answer wakes the operator; with one, but with too
    /// few windows, the alarm does.
    fn submit(&mut self, now: Instant, set_alarm: impl FnOnce(Duration)) {
        while self.credits > 0
            && let Some(batch) = self.batcher.next(now, self.credits == self.tagger.credits)
        {
            self.credits -= 1;
            self.tagger.submit(batch, &self.answers, &self.wake);
        }
        if self.credits > 0
            && let Some(wait) = self.batcher.wait(now)
            && self.alarm_at.is_none_or(|at| at <= now || at > now + wait)
        {
            self.alarm_at = Some(now + wait);
            set_alarm(wait);
        }
    }
}

impl Waiting {
    fn take_answer(&mut self, window: usize, answer: Result<Probabilities, String>) {
        self.windows_left -= 1;
        match answer {
            Ok(probabilities) => self.probabilities[self.owned[window].clone()].copy_from_slice(&probabilities),
            // The first window's reason, whichever batch came back first.
            Err(reason) if self.failure.as_ref().is_none_or(|(first, _)| window < *first) => {
                self.failure = Some((window, reason));
            }
            Err(_) => {}
        }
    }

    fn into_tagged(self) -> TaggedNote {
        let answer = match self.failure {
            Some((_, reason)) => Err(reason),
            None => Ok(self.probabilities),
        };
        TaggedNote { note: self.note, words: self.words, coverage: self.coverage, answer }
    }
}
