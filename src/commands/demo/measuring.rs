//! What a demo comes to: what became of its notes, and F1.

use super::board::is_headline;
use crate::config::Config;
use crate::engine::Topics;
use crate::gate::word_counts;
use crate::generator::{DemoEvent, GENERATOR};
use crate::runtime::StudentConfig;
use crate::serving::activations;
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillroom_connectors::{EmbeddedLog, GoldDocument};
use stillroom_dataflow::SoftSpans;
use stillroom_models::Registry;
use stillroom_schemas::{Comparison, Counts, Note, Quality, Span, Task, TaskSet};
use stillroom_student::Student;

/// What the log says of the whole demo.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn summary(log: &EmbeddedLog, topics: &Topics) -> Result<Value> {
    let totals = log.progress()?.totals;
    let mut f1: BTreeMap<&str, f64> = Task::ALL.map(|task| (task.name(), 0.0)).into();
    for value in log.last_values(&topics.quality)?.values() {
        let quality: Quality = serde_json::from_slice(value)?;
        if is_headline(&quality.key, Comparison::StudentReference, GENERATOR) {
            f1.insert(quality.key.task.name(), rounded(quality.f1));
        }
    }
    let mut summary = serde_json::to_value(totals)?;
    summary["f1"] = serde_json::to_value(f1)?;
    Ok(summary)
}

/// What the log says of the whole demo, and F1 of the student before and of the one that took over, if one did: of both
/// on the same documents, so that it does not matter which of them was tagged by whom while notes flowed.
///
/// # Errors
/// When the log or a student cannot be read.
pub(super) fn summary_of_students(config: &Config, log: &EmbeddedLog, documents: &[GoldDocument]) -> Result<Value> {
    let mut summary = serde_json::to_value(log.progress()?.totals)?;
    let mut students = vec![("before", super::weak::folder(config))];
    if let Some(activation) = activations(config)?.first() {
        students.push(("after", Registry::open(&config.models)?.folder(&activation.model)?));
    }
    for (when, folder) in students {
        summary["students"][when] = Student::load(&folder)?.model().0.clone().into();
        summary["f1"][when] = serde_json::to_value(f1_of(&config.student, &folder, documents)?)?;
    }
    summary["f1"]["notes"] = documents.len().into();
    Ok(summary)
}

/// F1 in words of a student by task.
fn f1_of(student: &StudentConfig, folder: &Path, documents: &[GoldDocument]) -> Result<BTreeMap<&'static str, f64>> {
    let mut totals: BTreeMap<Task, Counts> = Task::ALL.map(|task| (task, Counts::default())).into();
    for (task, counts) in word_counts(student, folder, documents)?.into_iter().flatten() {
        *totals.entry(task).or_default() += counts;
    }
    Ok(totals.into_iter().map(|(task, counts)| (task.name(), rounded(counts.f1()))).collect())
}

/// To four decimals.
fn rounded(f1: f64) -> f64 {
    (f1 * 1e4).round() / 1e4
}

/// Those of some annotated notes that these events say nothing of.
pub(super) fn documents_after(
    events: impl Iterator<Item = DemoEvent>,
    notes: impl Iterator<Item = (Note, Vec<Span>)>,
) -> Vec<GoldDocument> {
    let of_notes = events.filter(DemoEvent::is_note).map(|event| event.record().0.to_vec());
    let known: BTreeSet<Vec<u8>> = of_notes.collect();
    let later = notes.filter(|(note, _)| !known.contains(note.note_id.as_bytes()));
    later
        .map(|(Note { note_id: id, text, .. }, spans)| GoldDocument {
            id,
            text,
            tasks: TaskSet::from(Task::ALL),
            spans,
            soft: SoftSpans::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::demo::script::first_part;
    use crate::gate::DOCUMENTS_MIN;
    use crate::generator::{DemoStream, annotated_notes};
    use stillroom_dataflow::HeldOut;
    use stillroom_schemas::{Reference, TextHash};

    /// A demo whose candidates nobody could measure would promote none.
    #[test]
    fn enough_is_held_out_of_the_first_part_and_comes_after_it() {
        let share = super::super::setting::HELD_OUT;
        for (seed, notes) in [(1, 300), (1, 400), (11, 300), (2, 400)] {
            let stream = DemoStream::new(seed, notes);
            let first = first_part(&stream);
            let (mut current, mut measured) = (BTreeMap::new(), BTreeSet::new());
            for event in stream.clone().take(first) {
                let (key, value) = event.record();
                let note = value.filter(|_| event.is_note()).map(serde_json::from_slice::<Note>);
                if let Some(Ok(note)) = note {
                    current.insert(key.to_vec(), note);
                }
            }
            for event in stream.clone().take(first).filter(|event| !event.is_note()) {
                let Some(Ok(reference)) = event.record().1.map(serde_json::from_slice::<Reference>) else { continue };
                let Some(note) = current.get(reference.note_id.as_bytes()) else { continue };
                let is_held_out = HeldOut { share }.is_held_out(note.patient_id.as_deref(), &note.note_id);
                if is_held_out && TextHash::of(&note.text) == reference.text_hash {
                    measured.extend(reference.tasks.iter().map(|task| (*task, reference.note_id.clone())));
                }
            }
            for task in Task::ALL {
                let count = measured.iter().filter(|(of, _)| *of == task).count();
                // Some are withdrawn again.
                assert!(count >= DOCUMENTS_MIN + 3, "{count} for {} of {notes} notes of seed {seed}", task.name());
            }
            let after = documents_after(stream.take(first), annotated_notes(seed, notes));
            assert!(after.len() as u64 > notes / 4, "{} of {notes} notes come after", after.len());
        }
    }
}
