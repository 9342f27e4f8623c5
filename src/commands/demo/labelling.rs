//! Labels of notes that have none: a kill leaves questions unanswered that nobody asks again, and a demo that goes on is
//! to learn what one learns that was not killed.

use crate::config::Config;
use crate::reading::read_topic;
use crate::teaching::Wanted;
use crate::teaching::labels::{label_of, runtime};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use stillroom_connectors::{Appended, EmbeddedLog, Log};
use stillroom_dataflow::label_key;
use stillroom_schemas::{Extraction, Note, Task, TextHash};

/// Appends what the teacher says of those of `notes` that stand as they were extracted last and have no label yet.
///
/// # Errors
/// When the log cannot be read or written.
pub(super) fn complete(config: &Config, log: &EmbeddedLog, notes: impl Iterator<Item = Note>) -> Result<()> {
    let topics = &config.engine.topics;
    let (current, mut labelled) = (current_texts(log, &topics.extractions)?, keys(log, &topics.labels)?);
    let (ask, keeps) = (&config.teachers.ask, false);
    let wanted = Wanted { teachers: ask, budget: None, keeps, is_public: true, retries_failed: false };
    let (labeler, _budget) = config.teachers.open(&wanted)?;
    let (runtime, mut records) = (runtime()?, Vec::new());
    for note in notes {
        let text_hash = TextHash::of(&note.text);
        if current.get(&note.note_id) != Some(&text_hash) {
            continue;
        }
        for teacher in labeler.teachers() {
            let key = label_key(&note.note_id, teacher.name(), &text_hash);
            if !labelled.insert(key.clone()) {
                continue;
            }
            let labeled = runtime.block_on(labeler.label(teacher, &note.text, &Task::ALL.into()))?;
            let label = labeled.and_then(|labeled| label_of(&note.note_id, &text_hash, teacher, &labeled));
            if let Some(label) = label {
                records.push(Appended {
                    key: Some(key),
                    value: Some(serde_json::to_vec(&label)?),
                    ..Appended::default()
                });
            }
        }
    }
    if !records.is_empty() {
        Log::append(log, &topics.labels, &records)?;
    }
    Ok(())
}

/// The text of every note that was extracted and not withdrawn since, by its hash.
fn current_texts(log: &EmbeddedLog, topic: &str) -> Result<BTreeMap<String, TextHash>> {
    let mut texts = BTreeMap::new();
    for value in log.last_values(topic)?.values() {
        let Extraction { note_id, text_hash, .. } = serde_json::from_slice(value)?;
        texts.insert(note_id, text_hash);
    }
    Ok(texts)
}

/// The keys of a topic, whether they are read yet or not.
fn keys(log: &EmbeddedLog, topic: &str) -> Result<BTreeSet<Vec<u8>>> {
    let mut keys = BTreeSet::new();
    read_topic(Log::bounded(log)?, topic, |record| {
        keys.extend(record.key);
        Ok(())
    })?;
    Ok(keys)
}
