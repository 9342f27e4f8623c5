//! From verdicts to references.

use crate::config::Config;
use crate::retraining::{Current, notes_at};
use crate::review::correcting::{Judged, correct, read};
use crate::review::ensembles;
use crate::review::said::{Said, TextId, references_by};
use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::{NAME_BYTES_MAX, TokenizeText, reference_key};
use stillroom_schemas::{Note, Reference, Task, TaskSet, TextHash};
use stillroom_teachers::ensemble::Choice;

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Applied {
    /// References that were written: of each note that the verdicts change.
    pub(crate) references: usize,
    /// Those of patients who are held out: students are measured by them.
    pub(crate) held_out: usize,
    /// Rows whose verdicts are in the annotator's references now.
    pub(crate) rows: usize,
    /// Rows without a verdict.
    pub(crate) unjudged: usize,
    /// Rows of a text that is not current any more, or of which the ensemble does not speak any more.
    pub(crate) left_out: usize,
}

/// Appends a reference of each note and text that was judged: what the annotator said of it before, or else the ensemble, task by task,
/// with the verdicts applied.
///
/// # Errors
/// When the file or the log cannot be read, a row is none of the text's, or references cannot be written. All of them are
/// appended together; where that fails half-way, the same call does the rest.
pub(crate) fn apply(config: &Config, log: &dyn Log, path: &Path, annotator: &str) -> Result<Applied> {
    check(config, annotator)?;
    let rows = read(path)?;
    let mut applied =
        Applied { unjudged: rows.iter().filter(|row| row.verdict.is_none()).count(), ..Applied::default() };
    let mut judged: BTreeMap<TextId, BTreeMap<Task, Vec<Judged>>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.verdict.is_some()) {
        let of_text = judged.entry((row.note_id.clone(), row.text_hash.clone())).or_default();
        of_text.entry(row.task).or_default().push(row);
    }
    let judging = Judging::read(config, log, annotator, judged.keys().cloned().collect())?;
    let mut records = Vec::new();
    for (text, rows) in judged {
        let Some((reference, used)) = judging.reference(&text, &rows, annotator)? else {
            applied.left_out += rows.values().map(Vec::len).sum::<usize>();
            continue;
        };
        applied.rows += used;
        applied.left_out += rows.values().map(Vec::len).sum::<usize>() - used;
        if judging.before(&text) == Some(&reference) || used == 0 {
            continue;
        }
        applied.references += 1;
        applied.held_out += usize::from(judging.held_out.contains(&text));
        let key = Some(reference_key(&reference.note_id, annotator));
        records.push(Appended { key, value: Some(serde_json::to_vec(&reference)?), ..Appended::default() });
    }
    if !records.is_empty() {
        log.append(&config.engine.topics.references, &records)?;
    }
    Ok(applied)
}

/// Refuses a name that is none, and a topic that takes no plain JSON.
fn check(config: &Config, annotator: &str) -> Result<()> {
    let bytes = annotator.len();
    ensure!(
        (1..=NAME_BYTES_MAX).contains(&bytes),
        "the annotator's name has {bytes} bytes; give one of 1 to {NAME_BYTES_MAX}"
    );
    ensure!(
        config.registry.url.is_empty() || config.registry.accept_plain,
        "references are written as plain JSON, which would be dead letters; set [registry] accept_plain = true"
    );
    Ok(())
}

/// What verdicts are applied to.
struct Judging {
    choice: Choice,
    tokenize: TokenizeText,
    /// The current notes among those that were judged.
    notes: BTreeMap<TextId, Note>,
    /// Those of patients who are held out.
    held_out: BTreeSet<TextId>,
    /// What teachers said of them.
    said: Said,
    /// What the annotator says of notes now.
    references: BTreeMap<String, Reference>,
}

impl Judging {
    fn read(config: &Config, log: &dyn Log, annotator: &str, judged: BTreeSet<TextId>) -> Result<Judging> {
        let (choice, wire) = (ensembles(config)?, Wire::open(config)?);
        let (mut places, mut held_out) = (BTreeMap::new(), BTreeSet::new());
        let mut offsets: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (key, example) in Current::read(config, (log, &wire))?.examples() {
            let text = (key.note_id.clone(), example.text_hash.clone());
            if judged.contains(&text) {
                offsets.entry(key.partition).or_default().insert(example.offset);
                if example.is_held_out {
                    held_out.insert(text.clone());
                }
                places.insert((key.partition, example.offset), text);
            }
        }
        let mut notes = BTreeMap::new();
        for (place, note) in notes_at(config, (log, &wire), offsets)? {
            if let Some(text) = places.remove(&place)
                && TextHash::of(&note.text) == text.1
            {
                notes.insert(text, note);
            }
        }
        let said = Said::read(config, (log, &wire), &judged)?;
        let references = references_by(annotator, config, (log, &wire))?;
        Ok(Judging { choice, tokenize: config.student.tokenize()?, notes, held_out, said, references })
    }

    /// What the annotator says of a text now.
    fn before(&self, (note_id, text_hash): &TextId) -> Option<&Reference> {
        self.references.get(note_id).filter(|before| before.text_hash == *text_hash)
    }

    /// What the annotator is to say of a text, and how many of the rows are in it; nothing where the text is not current.
    fn reference(
        &self,
        text: &TextId,
        rows: &BTreeMap<Task, Vec<Judged>>,
        annotator: &str,
    ) -> Result<Option<(Reference, usize)>> {
        let Some(note) = self.notes.get(text) else { return Ok(None) };
        let words = (self.tokenize)(&note.text)?.words;
        let teachers = self.said.of(text);
        let (tasks, merged) = self.choice.merge(&words, |teacher, task| {
            let said = teachers.get(teacher).filter(|said| said.tasks.contains(&task));
            said.map(|said| &said.spans[..])
        });
        let before = self.before(text);
        let new = || Reference {
            note_id: text.0.clone(),
            annotator: annotator.to_owned(),
            text_hash: text.1.clone(),
            tasks: TaskSet::new(),
            spans: Vec::new(),
        };
        let (mut reference, mut used) = (before.cloned().unwrap_or_else(new), 0);
        for (&task, rows) in rows {
            let said = match before.filter(|before| before.tasks.contains(&task)) {
                Some(before) => &before.spans,
                None if tasks.contains(&task) => &merged,
                None => continue,
            };
            let corrected = correct(&words, task, said, rows);
            let corrected = corrected.with_context(|| format!("cannot correct {} in {}", task.name(), text.0))?;
            reference.tasks.insert(task);
            reference.spans.retain(|span| span.task != task);
            reference.spans.extend(corrected);
            used += rows.len();
        }
        reference.spans.sort_unstable();
        Ok(Some((reference, used)))
    }
}
