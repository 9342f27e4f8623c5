//! A student on the processor, on the demo's notes: word pieces a second, also by the length of windows; how long one window and one
//! note take; memory.
//!
//!     cargo run --release --example figures -- student [NOTES]
//!
//! Padding is never counted, and there is none. It is the student that comes with stillroom, or the one in the folder that
//! `STILLROOM_STUDENT` names. With `STILLROOM_WORKLOAD=FILE` the windows are also written there. `peers.py` runs it by turns with
//! what others make of the same word pieces on the same machine.

use crate::support;
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use stillroom_dataflow::{Tagger, Tokenizer, Window, spans_of};
use stillroom_schemas::Note;
use stillroom_student::{Device, Precision, Student};

const ROUNDS: usize = 5;

/// Lengths of windows in word pieces.
const LENGTHS: [usize; 6] = [16, 32, 64, 128, 256, 512];

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let folder = std::env::var_os("STILLROOM_STUDENT").map_or_else(support::student, PathBuf::from);
    let student = Student::load(&folder)?;
    let (tokenizer, count) = (student.tokenizer(), numbers.first().copied().unwrap_or(60));
    let notes = support::notes(count as usize);
    let mut windows = Vec::new();
    for note in &notes {
        windows.extend(tokenizer.tokenize(&note.text)?.windows);
    }
    let by_length: BTreeMap<usize, Vec<Window>> = LENGTHS.map(|length| (length, of_length(&windows, length))).into();
    if let Some(path) = std::env::var_os("STILLROOM_WORKLOAD") {
        let ids = |windows: &[Window]| windows.iter().map(|window| window.ids.clone()).collect::<Vec<_>>();
        let by_length: BTreeMap<_, _> = by_length.iter().map(|(length, windows)| (length, ids(windows))).collect();
        std::fs::write(path, serde_json::json!({ "windows": ids(&windows), "by_length": by_length }).to_string())?;
    }
    let cores = support::cores();
    let tokens = tokens(&windows);
    println!("{} windows, {tokens} word pieces, mean {}", windows.len(), tokens / windows.len());
    for precision in [Precision::Int8, Precision::F32] {
        support::forget_peak()?;
        let before = support::memory()?;
        for threads in [1, cores] {
            let mut taggers = Student::taggers(std::slice::from_ref(&student), Device::Cpu(precision), threads)?;
            for tokens_max in [512, 8192] {
                let what = format!("{precision:?}, {threads} threads, batches of up to {tokens_max} word pieces");
                measure(&what, &mut taggers, (&windows, tokens_max));
            }
            for (length, windows) in by_length.iter().filter(|_| threads == cores) {
                let what = format!("{precision:?}, {threads} threads, windows of {length}");
                measure(&what, &mut taggers, (windows, *length));
            }
            if threads == 1 {
                latency(precision, tokenizer, (taggers[0].as_mut(), &notes))?;
                window_latency(precision, taggers[0].as_mut(), &windows)?;
            } else {
                let mib = (support::memory()?.saturating_sub(before)) >> 20;
                println!("{precision:?}, {threads} threads: {mib} MiB more than before they were loaded");
            }
        }
        println!("{precision:?}: peak of the process {} MiB", support::peak()? >> 20);
    }
    Ok(())
}

fn tokens(windows: &[Window]) -> usize {
    windows.iter().map(|window| window.ids.len()).sum()
}

/// The same word pieces in windows of one length, none of which owns a word; what is left over at the end is left out.
fn of_length(windows: &[Window], length: usize) -> Vec<Window> {
    let (first, last) = (windows[0].ids[0], windows[0].ids[windows[0].ids.len() - 1]);
    let inner: Vec<u32> = windows.iter().flat_map(|window| &window.ids[1..window.ids.len() - 1]).copied().collect();
    let window = |pieces: &[u32]| Window { ids: [&[first], pieces, &[last]].concat(), words: 0..0, pieces: vec![1] };
    inner.chunks_exact(length - 2).map(window).collect()
}

/// Prints how many word pieces a second the taggers read, in batches of up to so many.
fn measure(what: &str, taggers: &mut [Box<dyn Tagger>], (windows, tokens_max): (&[Window], usize)) {
    let (tokens, batches) = (tokens(windows), batches(windows, tokens_max));
    let mut seconds: Vec<f64> = (0..=ROUNDS).map(|_| tag(taggers, &batches)).collect();
    // The first round warms up.
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let [median, least, most] = [ROUNDS / 2, ROUNDS - 1, 0].map(|at| tokens as f64 / seconds[at]);
    println!("{what}: {median:.0} word pieces/s ({least:.0} to {most:.0})");
}

/// Prints how long a note takes from its text to its spans, one after the other on one thread.
fn latency(precision: Precision, tokenizer: &Tokenizer, (tagger, notes): (&mut dyn Tagger, &[Note])) -> Result<()> {
    let mut milliseconds = Vec::new();
    for note in notes.iter().cycle().take(ROUNDS * notes.len()) {
        let began = Instant::now();
        let text = tokenizer.tokenize(&note.text)?;
        let probabilities = tagger.tag(&text.windows.iter().collect::<Vec<_>>())?.concat();
        std::hint::black_box(spans_of(&text.words, &probabilities, &tagger.thresholds()));
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    print_latency(&format!("{precision:?}: one note from text to entities, one thread"), milliseconds);
    Ok(())
}

/// Prints how long a window takes, one after the other on one thread; words are not cut.
fn window_latency(precision: Precision, tagger: &mut dyn Tagger, windows: &[Window]) -> Result<()> {
    let mut milliseconds = Vec::new();
    for window in windows.iter().cycle().take(ROUNDS * windows.len()) {
        let began = Instant::now();
        std::hint::black_box(tagger.tag(&[window])?);
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    print_latency(&format!("{precision:?}: one window, one thread"), milliseconds);
    Ok(())
}

fn print_latency(what: &str, mut milliseconds: Vec<f64>) {
    milliseconds.sort_by(f64::total_cmp);
    let [p50, p99] = [50, 99].map(|percent| milliseconds[milliseconds.len() * percent / 100]);
    println!("{what}: p50 {p50:.1} ms, p99 {p99:.1} ms");
}

/// Windows in falling length, so that those of a batch are alike.
pub(crate) fn batches(windows: &[Window], tokens_max: usize) -> Vec<Vec<&Window>> {
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
pub(crate) fn tag(taggers: &mut [Box<dyn Tagger>], batches: &[Vec<&Window>]) -> f64 {
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
