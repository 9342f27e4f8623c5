//! How many requests may be open at once: one more after as many successes as are allowed, half of them after a refusal.

use std::sync::Mutex;
use tokio::sync::Notify;

/// Additive increase, multiplicative decrease, as congestion is avoided in TCP (Chiu and Jain 1989).
#[derive(Debug)]
pub(super) struct Gate {
    open_max: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    allowed: usize,
    open: usize,
    /// Successes since `allowed` last changed.
    successes: usize,
    /// How often `allowed` was halved: requests that left before are one piece of news together, not many.
    halvings: u64,
}

/// That one request may be open.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    halvings: u64,
}

impl Gate {
    pub(super) fn new(open_max: usize) -> Gate {
        let state = State { allowed: open_max, open: 0, successes: 0, halvings: 0 };
        Gate { open_max, state: Mutex::new(state), freed: Notify::new() }
    }

    /// Waits until one more request may be open.
    pub(super) async fn enter(&self) -> Permit<'_> {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.try_enter() {
                return permit;
            }
            freed.await;
        }
    }

    fn try_enter(&self) -> Option<Permit<'_>> {
        let mut state = self.lock();
        if state.open >= state.allowed {
            return None;
        }
        state.open += 1;
        if state.open < state.allowed {
            // There may be room for another one that waits: each is woken by the one before.
            self.freed.notify_one();
        }
        Some(Permit { gate: self, halvings: state.halvings })
    }

    /// How many requests may be open now.
    pub(super) fn allowed(&self) -> usize {
        self.lock().allowed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the state of a gate")
    }
}

impl Permit<'_> {
    /// The teacher kept up.
    pub(super) fn succeeded(self) {
        let mut state = self.gate.lock();
        state.successes += 1;
        if state.successes >= state.allowed && state.allowed < self.gate.open_max {
            state.allowed += 1;
            state.successes = 0;
        }
    }

    /// The teacher did not keep up.
    pub(super) fn choked(self) {
        let mut state = self.gate.lock();
        if self.halvings == state.halvings {
            state.allowed = (state.allowed / 2).max(1);
            state.successes = 0;
            state.halvings += 1;
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gate.lock().open -= 1;
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn falls_at_once_and_rises_by_one() {
        let gate = Gate::new(8);
        let mut together = Vec::new();
        for _ in 0..8 {
            together.push(gate.enter().await);
        }
        assert!(gate.try_enter().is_none());
        together.drain(..).for_each(Permit::choked);
        assert_eq!(gate.allowed(), 4, "what left together is one piece of news");
        for expected in [2, 1, 1] {
            gate.enter().await.choked();
            assert_eq!(gate.allowed(), expected);
        }
        gate.enter().await.succeeded();
        assert_eq!(gate.allowed(), 2);
        gate.enter().await.succeeded();
        assert_eq!(gate.allowed(), 2, "one more takes as many successes as are allowed");
        gate.enter().await.succeeded();
        assert_eq!(gate.allowed(), 3);
        for _ in 0..100 {
            gate.enter().await.succeeded();
        }
        assert_eq!(gate.allowed(), 8);
    }

    #[tokio::test]
    async fn everyone_who_waits_gets_in() {
        let gate = std::sync::Arc::new(Gate::new(2));
        let held = (gate.enter().await, gate.enter().await);
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move {
                    let permit = gate.enter().await;
                    tokio::task::yield_now().await;
                    assert!(gate.lock().open <= 2);
                    drop(permit);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        waiting[0].abort();
        drop(held);
        for waiting in waiting.into_iter().skip(1) {
            waiting.await.unwrap();
        }
        assert_eq!(gate.lock().open, 0);
    }
}
