//! When the next request may leave, so that a minute holds no more requests and tokens than its limits.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// What one request may delay the next by at most: a profile of absurd limits is slow, and no panic.
const FLOW_SECONDS_MAX: f64 = 3600.0;

/// Requests leave at an even pace, without bursts: the limits of vendors are often enforced by the second.
#[derive(Debug)]
pub(super) struct Pace {
    requests: Bucket,
    tokens: Bucket,
    /// Before this no request leaves, as the teacher said that nothing is left.
    held: Mutex<Instant>,
}

/// A bucket that may be overdrawn once it is full: a request larger than the limit of a minute would else never leave.
#[derive(Debug)]
struct Bucket {
    /// 0: no limit.
    a_minute_max: u64,
    /// When what was taken so far has flowed in again.
    full: Mutex<Instant>,
}

impl Pace {
    /// Limits a minute; 0 is none.
    pub(super) fn new(requests_a_minute_max: u64, tokens_a_minute_max: u64) -> Pace {
        let now = Instant::now();
        let bucket = |a_minute_max| Bucket { a_minute_max, full: Mutex::new(now) };
        Pace { requests: bucket(requests_a_minute_max), tokens: bucket(tokens_a_minute_max), held: Mutex::new(now) }
    }

    /// Waits for the turn of a request of so many tokens at most.
    pub(super) async fn take(&self, tokens: u64) {
        let mut turn = self.requests.take(1).max(self.tokens.take(tokens)).max(self.held());
        while turn > Instant::now() {
            tokio::time::sleep_until(turn).await;
            turn = self.held();
        }
    }

    /// Gives back tokens that were taken and not used.
    pub(super) fn give_back(&self, tokens: u64) {
        let mut full = lock(&self.tokens.full);
        *full = full.checked_sub(self.tokens.flow(tokens)).unwrap_or(*full);
    }

    /// Lets no request leave for so long.
    pub(super) fn hold(&self, long: Duration) {
        let mut held = lock(&self.held);
        *held = (*held).max(Instant::now() + long);
    }

    fn held(&self) -> Instant {
        *lock(&self.held)
    }
}

impl Bucket {
    /// When it is the turn of whoever takes so many now.
    fn take(&self, many: u64) -> Instant {
        let mut full = lock(&self.full);
        let turn = (*full).max(Instant::now());
        *full = turn + self.flow(many);
        turn
    }

    /// How long so many take to flow in.
    fn flow(&self, many: u64) -> Duration {
        match self.a_minute_max {
            0 => Duration::ZERO,
            max => Duration::from_secs_f64((60.0 * many as f64 / max as f64).min(FLOW_SECONDS_MAX)),
        }
    }
}

fn lock(instant: &Mutex<Instant>) -> std::sync::MutexGuard<'_, Instant> {
    instant.lock().expect("nothing panics while it holds an instant")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds(pace: &Pace, tokens: u64) -> f64 {
        let before = Instant::now();
        pace.take(tokens).await;
        before.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_the_minute() {
        let pace = Pace::new(60, 0);
        let before = Instant::now();
        take_each(&pace, 5).await;
        assert_eq!(before.elapsed().as_secs(), 4);
        let none = Pace::new(0, 0);
        let before = Instant::now();
        take_each(&none, 100).await;
        assert!(before.elapsed().is_zero());
    }

    async fn take_each(pace: &Pace, many: usize) {
        for _ in 0..many {
            pace.take(1_000_000).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_paid_before_the_next_leaves() {
        let pace = Pace::new(0, 6000);
        assert_eq!(seconds(&pace, 12_000).await, 0.0, "more than a minute holds leaves when nothing is owed");
        pace.give_back(11_000);
        assert!((seconds(&pace, 100).await - 10.0).abs() < 0.01);
        assert!((seconds(&pace, 100).await - 1.0).abs() < 0.01);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_stops_those_that_wait_already() {
        let pace = std::sync::Arc::new(Pace::new(60, 0));
        pace.take(0).await;
        let waits = tokio::spawn({
            let pace = pace.clone();
            async move { seconds(&pace, 0).await }
        });
        tokio::task::yield_now().await;
        pace.hold(Duration::from_secs(20));
        pace.hold(Duration::from_secs(2));
        assert!((waits.await.unwrap() - 20.0).abs() < 0.01);
    }
}
