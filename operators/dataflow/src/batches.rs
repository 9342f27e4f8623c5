//! Which windows are tagged together.

use crate::Window;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Batches that are planned at once: windows within so many are sorted by length, so that equal ones meet, and none waits longer
/// than for them. An epoch is committed when its last window is answered, so many would make commits rare.
const BATCHES_PLANNED_MAX: usize = 2;

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

/// Gathers windows into batches of at most `tokens_max` word pieces, as if they were padded to the longest.
#[derive(Debug)]
pub(crate) struct Batcher {
    tokens_max: usize,
    linger: Duration,
    pending: VecDeque<(Slot, Window)>,
    pending_tokens: usize,
    /// When the oldest pending window came.
    pending_since: Option<Instant>,
    planned: VecDeque<WindowBatch>,
}

impl Batcher {
    pub(crate) fn new(tokens_max: usize, linger: Duration) -> Batcher {
        let (pending, planned) = (VecDeque::new(), VecDeque::new());
        Batcher { tokens_max, linger, pending, pending_tokens: 0, pending_since: None, planned }
    }

    pub(crate) fn push(&mut self, slot: Slot, window: Window, now: Instant) {
        self.pending_tokens += window.ids.len();
        self.pending_since.get_or_insert(now);
        self.pending.push_back((slot, window));
    }

    /// The next batch: when a full one is there, when the student is idle, or when a window has waited for long enough.
    pub(crate) fn next(&mut self, now: Instant, is_idle: bool) -> Option<WindowBatch> {
        if self.planned.is_empty() && (self.pending_tokens >= self.tokens_max || is_idle || self.wait(now)?.is_zero()) {
            self.plan(now);
        }
        self.planned.pop_front()
    }

    /// How long the oldest pending window may still wait.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        self.pending_since.map(|since| (since + self.linger).saturating_duration_since(now))
    }

    fn plan(&mut self, now: Instant) {
        let (mut tokens, mut windows) = (0, Vec::new());
        while let Some((slot, window)) = self.pending.pop_front() {
            tokens += window.ids.len();
            windows.push((slot, window));
            if tokens >= BATCHES_PLANNED_MAX * self.tokens_max {
                break;
            }
        }
        self.pending_tokens -= tokens;
        self.pending_since = if self.pending.is_empty() { None } else { Some(now) };
        windows.sort_by_key(|(_, window)| window.ids.len());
        let mut batch = WindowBatch::new();
        for (slot, window) in windows {
            // Sorted, so this window's length is the one that the others are padded to.
            if !batch.is_empty() && (batch.len() + 1) * window.ids.len() > self.tokens_max {
                self.planned.push_back(std::mem::take(&mut batch));
            }
            batch.push((slot, window));
        }
        self.planned.extend((!batch.is_empty()).then_some(batch));
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
        check(10, &[3, 4, 3], "3+3 4", "");
        check(10, &[5, 1, 5, 1, 5], "1+1 5+5 5", "");
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
        check(10, &[12, 2, 30], "2 12 30", "");
    }

    #[test]
    fn what_came_first_is_planned_first() {
        check(10, &[10, 10, 1, 1], "10 10", "1+1");
    }
}
