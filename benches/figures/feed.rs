//! Documents on a log in a folder, for `benches/end_to_end.py`: each becomes a note, and those that retraining holds out have their
//! annotations as references.
//!
//!     STILLROOM_GOLD=FILE STILLROOM_FOLDER=LOG cargo run --release --example figures -- feed [PERCENT_HELD_OUT]
//!
//! Whatever a student then learns from is what teachers say, and people only measure it. Prints a line of JSON: how many notes are held
//! out, how many are not, and how many references there are for each task.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stillroom::engine::Topics;
use stillroom_connectors::{EmbeddedLog, EmbeddedProducer, GoldDocument, GoldDocuments};
use stillroom_dataflow::{HeldOut, reference_key};
use stillroom_schemas::{Note, Reference, TextHash};

const PARTITIONS: u32 = 4;

/// Who made the annotations.
const ANNOTATOR: &str = "people";

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let share = numbers.first().copied().unwrap_or(25) as f64 / 100.0;
    let gold = std::env::var_os("STILLROOM_GOLD").context("name the annotated documents in STILLROOM_GOLD")?;
    let documents = GoldDocuments::open(Path::new(&gold))?.collect::<Result<Vec<GoldDocument>, _>>()?;
    let (log, topics, held_out) = (EmbeddedLog::open(folder()?)?, Topics::default(), HeldOut { share });
    for topic in [&topics.notes, &topics.references] {
        log.create_topic(topic, PARTITIONS)?;
    }
    let is_held_out = |document: &&GoldDocument| held_out.is_held_out(None, &document.id);
    let (measured, learned): (Vec<&GoldDocument>, Vec<&GoldDocument>) = documents.iter().partition(is_held_out);
    append(
        &log,
        &topics.references,
        &measured.iter().map(|document| reference(document)).collect::<Result<Vec<_>>>()?,
    )?;
    append(&log, &topics.notes, &documents.iter().map(note).collect::<Result<Vec<_>>>()?)?;
    let mut references: BTreeMap<&str, usize> = BTreeMap::new();
    for task in measured.iter().flat_map(|document| &document.tasks) {
        *references.entry(task.name()).or_default() += 1;
    }
    let fed = serde_json::json!({
        "notes": documents.len(), "held_out": measured.len(), "learned": learned.len(), "references": references,
    });
    println!("{fed}");
    Ok(())
}

/// The folder of the log.
pub(crate) fn folder() -> Result<PathBuf> {
    std::env::var_os("STILLROOM_FOLDER").map(PathBuf::from).context("name the folder of the log in STILLROOM_FOLDER")
}

/// A key and a value.
pub(crate) type KeyValue = (Vec<u8>, Vec<u8>);

/// Appends records to a topic.
pub(crate) fn append(log: &EmbeddedLog, topic: &str, records: &[KeyValue]) -> Result<()> {
    let records = records.iter().map(|(key, value)| (Some(key.as_slice()), Some(value.as_slice())));
    EmbeddedProducer::open(log, topic)?.append(records)?;
    Ok(())
}

fn note(document: &GoldDocument) -> Result<KeyValue> {
    let note = Note {
        note_id: document.id.clone(),
        patient_id: None,
        revision: 0,
        note_type: None,
        site: None,
        signed_at: None,
        text: document.text.clone(),
    };
    Ok((document.id.clone().into_bytes(), serde_json::to_vec(&note)?))
}

fn reference(document: &GoldDocument) -> Result<KeyValue> {
    let reference = Reference {
        note_id: document.id.clone(),
        annotator: ANNOTATOR.to_owned(),
        text_hash: TextHash::of(&document.text),
        tasks: document.tasks.clone(),
        spans: document.spans.clone(),
    };
    Ok((reference_key(&document.id, ANNOTATOR), serde_json::to_vec(&reference)?))
}
