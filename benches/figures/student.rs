//! The student on the processor: word pieces a second, on the demo's notes.
//!
//!     cargo run --release --example figures -- student [NOTES]
//!
//! Padding is never counted, and there is none. With `STILLROOM_WORKLOAD=FILE` the windows are also written there, for
//! `peers.py`, which tells what others make of the same word pieces on the same machine.

use crate::support;
use anyhow::Result;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use stillroom_dataflow::{Tagger, Window};
use stillroom_student::{Device, Precision, Student};

const ROUNDS: usize = 5;

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let (tokenizer, count) = (support::tokenizer()?, numbers.first().copied().unwrap_or(60));
    let mut windows = Vec::new();
    for note in support::notes(count as usize) {
        windows.extend(tokenizer.tokenize(&note.text)?.windows);
    }
    let tokens: usize = windows.iter().map(|window| window.ids.len()).sum();
    if let Some(path) = std::env::var_os("STILLROOM_WORKLOAD") {
        let ids: Vec<&[u32]> = windows.iter().map(|window| window.ids.as_slice()).collect();
        std::fs::write(path, serde_json::to_vec(&ids)?)?;
    }
    let student = Student::load(&support::student())?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{} windows, {tokens} word pieces, mean {}", windows.len(), tokens / windows.len());
    for (precision, threads) in [Precision::F32, Precision::Int8].into_iter().flat_map(|p| [(p, 1), (p, cores)]) {
        let mut taggers = Student::taggers(std::slice::from_ref(&student), Device::Cpu(precision), threads)?;
        for tokens_max in [512, 8192] {
            let batches = batches(&windows, tokens_max);
            let mut seconds: Vec<f64> = (0..=ROUNDS).map(|_| tag(&mut taggers, &batches)).collect();
            // The first round warms up.
            seconds.remove(0);
            seconds.sort_by(f64::total_cmp);
            let rate = |seconds: f64| tokens as f64 / seconds;
            println!(
                "{precision:?}, {threads} threads, batches of up to {tokens_max} word pieces: {:.0} word pieces/s ({:.0} to {:.0})",
                rate(seconds[ROUNDS / 2]),
                rate(seconds[ROUNDS - 1]),
                rate(seconds[0])
            );
        }
    }
    Ok(())
}

/// Windows in falling length, which is how `Tag` would sort them.
fn batches(windows: &[Window], tokens_max: usize) -> Vec<Vec<&Window>> {
    let mut sorted: Vec<&Window> = windows.iter().collect();
    sorted.sort_by_key(|window| std::cmp::Reverse(window.ids.len()));
    let (mut batches, mut tokens) = (Vec::<Vec<&Window>>::new(), 0);
    for window in sorted {
        tokens += window.ids.len();
        match batches.last_mut().filter(|_| tokens <= tokens_max) {
            Some(batch) => batch.push(window),
            None => {
                batches.push(vec![window]);
                tokens = window.ids.len();
            }
        }
    }
    batches
}

/// Seconds for all batches, dealt out to the taggers as they become free.
fn tag(taggers: &mut [Box<dyn Tagger>], batches: &[Vec<&Window>]) -> f64 {
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for tagger in taggers {
            let next = &next;
            scope.spawn(move || {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    tagger.tag(batch).expect("the windows are the tokenizer's own");
                }
            });
        }
    });
    began.elapsed().as_secs_f64()
}
