//! Leaves a teacher alone that is unwell, and finds out with one request at a time whether it is well again.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Closed while requests may go; open until a time; then one of them may try.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    open: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Attempts that failed one after the other.
    failures: u32,
    /// None: closed.
    until: Option<Instant>,
    /// Whether a request is out to see whether it may be closed.
    probing: bool,
}

/// That a request may go. Dropped without a word, it says nothing of the teacher.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    /// Opens for `open` after `failures_max` failures in a row.
    pub(super) fn new(failures_max: u32, open: Duration) -> Breaker {
        Breaker { failures_max, open, state: Mutex::default() }
    }

    /// Whether a request may go; else for how long none may.
    pub(super) fn enter(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        let Some(until) = state.until else { return Ok(Pass { breaker: self, probe: false }) };
        let left = until.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Err(left);
        }
        if state.probing {
            // How long the probe takes is not known; as long as it was left alone is a bound that the user has seen before.
            return Err(self.open);
        }
        state.probing = true;
        Ok(Pass { breaker: self, probe: true })
    }

    /// Whether it is of use to wait for a turn; else for how long it is not.
    pub(super) fn check(&self) -> Result<(), Duration> {
        match self.lock().until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(left) if !left.is_zero() => Err(left),
            _ => Ok(()),
        }
    }

    /// Opens for `long` at least.
    pub(super) fn open_for(&self, long: Duration) {
        let mut state = self.lock();
        let until = Instant::now() + long;
        state.until = Some(state.until.map_or(until, |known| known.max(until)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the state of a breaker")
    }
}

impl Pass<'_> {
    /// The teacher answered, be it that it refuses: it is well.
    pub(super) fn well(self) {
        let mut state = self.breaker.lock();
        state.failures = 0;
        // A late answer to a request from before says nothing about a teacher that asked to be left alone since.
        if self.probe {
            state.until = None;
        }
    }

    /// The teacher did not answer, or says that it is unwell.
    pub(super) fn unwell(self) {
        let mut state = self.breaker.lock();
        state.failures = state.failures.saturating_add(1);
        if self.probe || state.failures >= self.breaker.failures_max {
            let until = Instant::now() + self.breaker.open;
            state.until = Some(state.until.map_or(until, |known| known.max(until)));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_lets_one_probe() {
        let breaker = Breaker::new(3, OPEN);
        breaker.enter().unwrap().unwell();
        breaker.enter().unwrap().unwell();
        breaker.enter().unwrap().well();
        breaker.enter().unwrap().unwell();
        breaker.enter().unwrap().unwell();
        breaker.enter().unwrap().unwell();
        assert_eq!(breaker.enter().unwrap_err(), OPEN);
        tokio::time::advance(OPEN).await;
        let probe = breaker.enter().unwrap();
        assert_eq!(breaker.enter().unwrap_err(), OPEN, "one probe at a time");
        drop(probe);
        breaker.enter().expect("a probe that was given up makes way for the next").unwell();
        assert_eq!(breaker.enter().unwrap_err(), OPEN, "a probe that fails opens again");
        tokio::time::advance(OPEN).await;
        breaker.enter().unwrap().well();
        drop((breaker.enter().unwrap(), breaker.enter().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_was_asked_for_is_kept() {
        let breaker = Breaker::new(3, OPEN);
        let before = breaker.enter().unwrap();
        breaker.open_for(Duration::from_secs(86_400));
        breaker.open_for(OPEN);
        before.well();
        tokio::time::advance(Duration::from_secs(86_399)).await;
        assert_eq!(breaker.enter().unwrap_err(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        breaker.enter().unwrap().well();
    }
}
