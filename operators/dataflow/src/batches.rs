//! Which windows are tagged together.

use crate::Window;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Whose window it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The note, by the number that `Tag` gave it.
    pub(crate) note: u64,
    /// The index of the window in the note.
    pub(crate) window: usize,
}

/// Windows that are tagged together.
pub(crate) type WindowBatch = Vec<(Slot, Window)>;

/// Gathers windows into batches of at most `tokens_max` word pieces, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Batcher {
    tokens_max: usize,
    linger: Duration,
    pending: VecDeque<(Slot, Window)>,
    pending_tokens: usize,
    /// When the oldest pending window came, or the last batch was taken.
    pending_since: Option<Instant>,
}

impl Batcher {
    pub(crate) fn new(tokens_max: usize, linger: Duration) -> Batcher {
        Batcher { tokens_max, linger, pending: VecDeque::new(), pending_tokens: 0, pending_since: None }
    }

    pub(crate) fn push(&mut self, slot: Slot, window: Window, now: Instant) {
        self.pending_tokens += window.ids.len();
        self.pending_since.get_or_insert(now);
        self.pending.push_back((slot, window));
    }

    /// The next batch: when a full one is there, when the student is idle, or when a window has waited for long enough. A window that is
    /// longer than a batch is one of its own.
    pub(crate) fn next(&mut self, now: Instant, is_idle: bool) -> Option<WindowBatch> {
        if self.pending_tokens < self.tokens_max && !is_idle && !self.wait(now)?.is_zero() {
            return None;
        }
        let (mut batch, mut tokens) = (WindowBatch::new(), 0);
        while let Some(next) = self.pending.pop_front_if(|(_, window)| {
            tokens += window.ids.len();
            batch.is_empty() || tokens <= self.tokens_max
        }) {
            batch.push(next);
        }
        self.pending_tokens -= batch.iter().map(|(_, window)| window.ids.len()).sum::<usize>();
        self.pending_since = if self.pending.is_empty() { None } else { Some(now) };
        (!batch.is_empty()).then_some(batch)
    }

    /// How long the oldest pending window may still wait.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        self.pending_since.map(|since| (since + self.linger).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batcher: &mut Batcher, lengths: &[usize], now: Instant) {
        for (note, &length) in lengths.iter().enumerate() {
            let window = Window { ids: vec![0; length], words: 0..0, pieces: vec![] };
            batcher.push(Slot { note: note as u64, window: 0 }, window, now);
        }
    }

    /// Pushes windows of the given lengths and tells the lengths in each batch at once, and after the linger, while the student is
    /// busy.
    fn check(tokens_max: usize, lengths: &[usize], at_once: &str, after_linger: &str) {
        let (start, linger) = (Instant::now(), Duration::from_millis(5));
        let mut batcher = Batcher::new(tokens_max, linger);
        push(&mut batcher, lengths, start);
        for (now, expected) in [(start, at_once), (start + linger, after_linger)] {
            let batches = std::iter::from_fn(|| batcher.next(now, false)).map(|batch| {
                let lengths: Vec<String> = batch.iter().map(|(_, window)| window.ids.len().to_string()).collect();
                lengths.join("+")
            });
            assert_eq!(batches.collect::<Vec<_>>().join(" "), expected, "{lengths:?}");
        }
        assert_eq!(batcher.wait(start), None);
    }

    #[test]
    fn batches_fill_up_or_linger() {
        check(10, &[], "", "");
        check(10, &[3, 4], "", "3+4");
        check(10, &[3, 4, 3], "3+4+3", "");
        check(10, &[5, 1, 5, 1, 5], "5+1 5+1", "5");
    }

    #[test]
    fn nothing_waits_for_a_student_that_is_idle() {
        let (now, mut batcher) = (Instant::now(), Batcher::new(1000, Duration::from_secs(1)));
        assert!(batcher.next(now, true).is_none());
        push(&mut batcher, &[3, 4], now);
        assert!(batcher.next(now, false).is_none());
        assert_eq!(batcher.next(now, true).map(|batch| batch.len()), Some(2));
        assert!(batcher.next(now, true).is_none());
    }

    #[test]
    fn a_window_beyond_the_budget_goes_alone() {
        check(10, &[12, 2, 30], "12 2 30", "");
    }
}
