//! The documents of a snapshot: texts are read once more from the topic of notes, and written for `train` to read.

use crate::retraining::reading::{BATCH_BYTES, POLL_WAIT, assign_or_first};
use crate::retraining::run_folder::RunFolder;
use crate::retraining::snapshot::{Choice, ChosenNote, LeftOut, Snapshot};
use crate::wire::Wire;
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::{GoldDocument, Log, replace_file};
use stillroom_dataflow::Record;
use stillroom_schemas::{Note, TextHash, TopicOffsets};

/// Where notes stand.
#[derive(Clone, Copy)]
pub(crate) struct NotesTopic<'a> {
    /// The log.
    pub(crate) log: &'a dyn Log,
    /// How values stand on it.
    pub(crate) wire: &'a Wire,
    /// The topic.
    pub(crate) name: &'a str,
}

/// Notes by partition and offset.
pub(crate) type Notes = BTreeMap<(u32, u64), Note>;

/// Texts by partition and offset.
type Texts = BTreeMap<(u32, u64), String>;

impl NotesTopic<'_> {
    /// The texts of these notes, as far as the topic still has them; nothing when `stop` is set meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn texts(&self, wanted: BTreeMap<u32, BTreeSet<u64>>, stop: &AtomicBool) -> Result<Option<Texts>> {
        let notes = self.notes(wanted, stop)?;
        Ok(notes.map(|notes| notes.into_iter().map(|(place, note)| (place, note.text)).collect()))
    }

    /// These notes, as far as the topic still has them; nothing when `stop` is set meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn notes(&self, mut wanted: BTreeMap<u32, BTreeSet<u64>>, stop: &AtomicBool) -> Result<Option<Notes>> {
        let mut source = self.wire.source(self.log.bounded()?);
        source.partitions(self.name)?;
        for (partition, offsets) in &wanted {
            let first = offsets.first().copied().unwrap_or_default();
            assign_or_first(source.as_mut(), (self.name, *partition), first)?;
        }
        let mut notes = Notes::new();
        while !source.is_finished() && wanted.values().any(|offsets| !offsets.is_empty()) {
            if stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            for record in source.poll(BATCH_BYTES, POLL_WAIT)? {
                let (partition, offset) = (record.position.partition, record.position.offset);
                let is_wanted = wanted.get_mut(&partition).is_some_and(|offsets| offsets.remove(&offset));
                if is_wanted && let Some(note) = self.note(&record) {
                    notes.insert((partition, offset), note);
                }
            }
        }
        Ok(Some(notes))
    }

    /// The note of a record, if it is one.
    fn note(&self, record: &Record) -> Option<Note> {
        let format = self.wire.format();
        let json = format.to_json(&record.topic, record.value.as_deref()?).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// Writes the documents of a choice, and what it is in all; nothing when `stop` is set meanwhile. Texts that are gone,
/// or are others than those that were annotated, are left out.
///
/// # Errors
/// When the log cannot be read or the folder not be written, or so much is gone that nothing is left to learn from.
pub(crate) fn write(
    mut choice: Choice,
    offsets: TopicOffsets,
    topic: NotesTopic<'_>,
    (folder, stop): (&RunFolder, &AtomicBool),
) -> Result<Option<Snapshot>> {
    let mut wanted: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for note in choice.train.iter().chain(&choice.dev).chain(&choice.held_out) {
        wanted.entry(note.partition).or_default().insert(note.offset);
    }
    let Some(mut texts) = topic.texts(wanted, stop)? else { return Ok(None) };
    let parts = [
        (&mut choice.train, folder.train()),
        (&mut choice.dev, folder.dev()),
        (&mut choice.held_out, folder.held_out()),
    ];
    for (notes, path) in parts {
        let mut lines = String::new();
        notes.retain(|note| match line_of(note, &mut texts, &mut choice.left_out) {
            Some(line) => {
                lines.push_str(&line);
                lines.push('\n');
                true
            }
            None => false,
        });
        replace_file(&path, lines.as_bytes())?;
    }
    ensure!(
        !choice.train.is_empty() && !choice.dev.is_empty(),
        "{} notes have expired or changed, and {} have mentions outside of their texts: nothing is left to learn from; \
         keep notes for longer, or correct the references",
        choice.left_out.gone,
        choice.left_out.outside
    );
    let snapshot = choice.snapshot(offsets);
    folder.write_snapshot(&snapshot)?;
    Ok(Some(snapshot))
}

/// A note as a document, if its text is there and its mentions lie in it.
fn line_of(note: &ChosenNote, texts: &mut Texts, left_out: &mut LeftOut) -> Option<String> {
    let text = texts.remove(&(note.partition, note.offset)).filter(|text| TextHash::of(text) == note.text_hash);
    let Some(text) = text else {
        left_out.gone += 1;
        return None;
    };
    let length = text.chars().count();
    if note.spans.iter().any(|span| span.start >= span.end || span.end as usize > length) {
        left_out.outside += 1;
        return None;
    }
    let (tasks, spans, soft) = (note.tasks.clone(), note.spans.clone(), note.soft.clone());
    let document = GoldDocument { id: note.note_id.clone(), text, tasks, spans, soft };
    Some(document.to_line())
}
