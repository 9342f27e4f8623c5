//! What a training took: time, memory, and how fast it went.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What the training of a student took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// Seconds of wall time from when the documents were read to when the student was measured, of all processes that
    /// it took; what a kill undid is not among them.
    pub seconds: f64,
    /// Word pieces a second while steps were taken; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The most that a process which trained it had in memory, in bytes, whatever else it did; absent where the system
    /// does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What a run took until its last checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoFar {
    seconds: f64,
    /// Of these, for steps.
    step_seconds: f64,
    /// Word pieces in these steps.
    tokens: u64,
    memory_bytes: Option<u64>,
}

impl SoFar {
    /// Counts a step.
    pub(crate) fn step(&mut self, tokens: usize, elapsed: Duration) {
        self.tokens += tokens as u64;
        self.step_seconds += elapsed.as_secs_f64();
    }

    /// Counts the time since `since`, which is now from then on, and sees how much memory it took.
    pub(crate) fn look(&mut self, since: &mut Instant) {
        let now = Instant::now();
        self.add(now - std::mem::replace(since, now), peak_memory());
    }

    fn add(&mut self, elapsed: Duration, memory_bytes: Option<u64>) {
        self.seconds += elapsed.as_secs_f64();
        self.memory_bytes = self.memory_bytes.max(memory_bytes);
    }

    /// What it is in all.
    pub(crate) fn took(&self) -> Took {
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        let SoFar { seconds, step_seconds, tokens, memory_bytes } = *self;
        let tokens_per_second = (step_seconds > 0.0).then(|| rounded(tokens as f64 / step_seconds));
        Took { seconds: rounded(seconds), tokens_per_second, memory_bytes }
    }
}

/// The most bytes that this process had in memory until now, where the system tells: Linux does.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_processes_took_is_added_up() {
        let mut so_far = SoFar::default();
        assert_eq!(so_far.took(), Took { seconds: 0.0, tokens_per_second: None, memory_bytes: None });
        so_far.step(300, Duration::from_secs(2));
        so_far.add(Duration::from_secs(5), Some(700));
        // Another process goes on from the checkpoint.
        let mut so_far: SoFar = serde_json::from_str(&serde_json::to_string(&so_far).unwrap()).unwrap();
        so_far.step(100, Duration::from_secs(2));
        so_far.add(Duration::from_millis(2500), Some(600));
        so_far.add(Duration::ZERO, None);
        assert_eq!(so_far.took(), Took { seconds: 7.5, tokens_per_second: Some(100.0), memory_bytes: Some(700) });
    }

    #[test]
    fn each_moment_is_counted_once() {
        let began = Instant::now();
        let (mut so_far, mut since) = (SoFar::default(), began);
        so_far.look(&mut since);
        so_far.look(&mut since);
        let difference = so_far.seconds - (since - began).as_secs_f64();
        assert!(difference.abs() < 1e-9, "{difference}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_knows_how_much_memory_it_took() {
        let mut so_far = SoFar::default();
        so_far.look(&mut Instant::now());
        let held = std::hint::black_box(vec![1u8; 64 << 20]);
        so_far.look(&mut Instant::now());
        assert!(so_far.took().memory_bytes.unwrap() > held.len() as u64, "{so_far:?}");
    }
}
