//! Where the notes of one student wait for their answers.

use crate::batches::{Batcher, Slot};
use crate::tag::TaggedNote;
use crate::tagger_pool::Answers;
use crate::{Epoch, NoteRecord, Probabilities, TaggedBy, TaggerHandle, TokenizedNote, TokenizedText, Words};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillroom_schemas::{Coverage, Task};
use timely::scheduling::SyncActivator;

/// A worker's notes that are with one student.
pub(crate) struct Desk {
    tagger: TaggerHandle,
    answers: Sender<Answers>,
    answered: Receiver<Answers>,
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
    /// Nothing waits. Batches have `tokens_max` word pieces at most, and a window waits for `linger_max` at most.
    pub(crate) fn new(tagger: TaggerHandle, (tokens_max, linger_max): (usize, Duration), wake: SyncActivator) -> Desk {
        // Each batch with the pool gives one answer, so there is always room.
        let (answers, answered) = bounded(tagger.credits);
        Desk {
            credits: tagger.credits,
            tagger,
            answers,
            answered,
            wake,
            batcher: Batcher::new(tokens_max, linger_max),
            waiting: HashMap::new(),
            next_note: 0,
            done: Vec::new(),
            alarm_at: None,
        }
    }

    /// Whether no note is here.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.done.is_empty()
    }

    pub(crate) fn accept(&mut self, epoch: Epoch, tokenized: TokenizedNote) {
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

    /// Puts the notes whose last answer has come into `done`.
    pub(crate) fn take_answers(&mut self, done: &mut Vec<(Epoch, TaggedNote)>) {
        while let Ok(answers) = self.answered.try_recv() {
            self.credits += 1;
            for (slot, answer) in answers {
                if let Some(waiting) = self.waiting.get_mut(&slot.note) {
                    waiting.take_answer(slot.window, answer);
                    self.finish(slot.note);
                }
            }
        }
        done.append(&mut self.done);
    }

    /// Lets a note go if all its windows are answered.
    fn finish(&mut self, number: u64) {
        if self.waiting.get(&number).is_some_and(|waiting| waiting.windows_left == 0)
            && let Some(waiting) = self.waiting.remove(&number)
        {
            self.done.push((waiting.epoch, waiting.into_tagged(&self.tagger.student)));
        }
    }

    /// Hands over batches while there are credits. Without a credit the next answer wakes the operator; with one, but with too
    /// few windows, the alarm does.
    pub(crate) fn submit(&mut self, now: Instant, set_alarm: &mut impl FnMut(Duration)) {
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

    fn into_tagged(self, student: &Arc<TaggedBy>) -> TaggedNote {
        let answer = match self.failure {
            Some((_, reason)) => Err(reason),
            None => Ok(self.probabilities),
        };
        let student = Arc::clone(student);
        TaggedNote { note: self.note, words: self.words, coverage: self.coverage, student, answer }
    }
}
