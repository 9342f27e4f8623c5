//! What the benches share.

use anyhow::{Context, Result};
use std::path::Path;
use stillroom::generator::DemoStream;
use stillroom_dataflow::Tokenizer;
use stillroom_schemas::Note;

/// The folder of the student that comes with stillroom: in the working folder, as where a program was taken along, or where it was
/// built.
pub(crate) fn student() -> std::path::PathBuf {
    let here = Path::new("models/stillroom-minilm-l6");
    if here.exists() { here.to_owned() } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(here) }
}

/// The tokenizer of that student.
pub(crate) fn tokenizer() -> Result<Tokenizer> {
    Ok(Tokenizer::load(&student())?)
}

/// The demo's notes, first revisions and later ones, as many as asked for.
pub(crate) fn notes(count: usize) -> Vec<Note> {
    let events = DemoStream::new(1, count as u64).filter(|event| event.is_note());
    let notes = events.filter_map(|event| serde_json::from_slice(event.record().1?).ok());
    notes.take(count).collect()
}

/// Resident memory of this process in bytes.
pub(crate) fn memory() -> Result<u64> {
    of_status("VmRSS:")
}

/// The most that [`memory`] was since the start, or since [`forget_peak`].
pub(crate) fn peak() -> Result<u64> {
    of_status("VmHWM:")
}

/// Lets [`peak`] begin anew, so that it is that of what comes next, and of what is still held.
pub(crate) fn forget_peak() -> Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("cannot begin to measure memory anew")
}

/// What the operating system says of this process, in bytes.
fn of_status(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib = kib.with_context(|| format!("/proc/self/status has no {name}"))?;
    Ok(kib.trim().parse::<u64>()? << 10)
}

/// How many threads work at once.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processor, as the operating system names it, and the number of cores.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split(':').nth(1));
    format!("{}, {} cores", name.unwrap_or("unknown processor").trim(), cores())
}
