//! The documents of a snapshot: texts are read once more from the topic of notes, and written for `train` to read.
//!
//! Kept: texts, of so many bytes together, until they are written. Notes have an order in which they stay, and of all
//! that are there the first that fit are kept, in whatever order they are read.

use crate::reading::{assign_or_first, read_batches};
use crate::retraining::origin::Origin;
use crate::retraining::run_folder::RunFolder;
use crate::retraining::snapshot::{Choice, ChosenNote, LeftOut, Rank, Snapshot};
use crate::wire::Wire;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::{GoldDocument, Log, replace_file};
use stillroom_dataflow::Record;
use stillroom_schemas::{Note, TextHash};

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

/// What is to be read, by partition and offset, with what is known of it.
pub(crate) type Wanted<T> = BTreeMap<u32, BTreeMap<u64, T>>;

/// Texts of so many bytes together at most.
struct Texts {
    bytes_max: u64,
    bytes: u64,
    kept: BTreeMap<Rank, String>,
    /// The first note that does not fit with all before it.
    beyond: Option<Rank>,
}

impl Texts {
    fn new(bytes_max: u64) -> Texts {
        Texts { bytes_max, bytes: 0, kept: BTreeMap::new(), beyond: None }
    }

    /// Whether a note does not fit.
    fn is_beyond(&self, rank: &Rank) -> bool {
        self.beyond.as_ref().is_some_and(|beyond| rank >= beyond)
    }

    /// Keeps the text of a note, unless those before it leave no room; those after it go as it takes theirs.
    fn insert(&mut self, rank: Rank, text: String) {
        if self.is_beyond(&rank) {
            return;
        }
        self.bytes += text.len() as u64;
        self.kept.insert(rank, text);
        while self.bytes > self.bytes_max
            && let Some((rank, text)) = self.kept.pop_last()
        {
            self.bytes -= text.len() as u64;
            self.beyond = Some(rank);
        }
    }
}

impl NotesTopic<'_> {
    /// Gives `take` these notes, as far as the topic still has them. Whether it came to the last: not when `stop` is set
    /// meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn read<T>(
        &self,
        mut wanted: Wanted<T>,
        stop: &AtomicBool,
        mut take: impl FnMut(T, Note),
    ) -> Result<bool> {
        let mut source = self.wire.source(self.log.bounded()?);
        source.partitions(self.name)?;
        for (partition, notes) in &wanted {
            let first = notes.keys().next().copied().unwrap_or_default();
            assign_or_first(source.as_mut(), (self.name, *partition), first)?;
        }
        read_batches(source.as_mut(), |records| {
            for record in records {
                let (partition, offset) = (record.position.partition, record.position.offset);
                let Some(notes) = wanted.get_mut(&partition) else { continue };
                // Offsets rise: what stands before this one is not there any more, and is not looked for further on.
                while notes.first_key_value().is_some_and(|(first, _)| *first < offset) {
                    notes.pop_first();
                }
                if let Some(known) = notes.remove(&offset)
                    && let Some(note) = self.note(&record)
                {
                    take(known, note);
                }
            }
            let is_left = wanted.values().any(|notes| !notes.is_empty());
            Ok(is_left && !stop.load(Ordering::SeqCst))
        })?;
        Ok(!stop.load(Ordering::SeqCst))
    }

    /// The note of a record, if it is one.
    fn note(&self, record: &Record) -> Option<Note> {
        let format = self.wire.format();
        let json = format.to_json(&record.topic, record.value.as_deref()?).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// Writes the documents of a choice, and what it is in all; nothing when `stop` is set meanwhile. Texts that are gone,
/// or are others than those that were annotated, are left out, and those that do not fit into `text_bytes_max`.
///
/// # Errors
/// When the log cannot be read or the folder not be written, or so much is gone that nothing is left to learn from.
pub(crate) fn write(
    mut choice: Choice,
    origin: &Origin,
    (topic, text_bytes_max): (NotesTopic<'_>, u64),
    (folder, stop): (&RunFolder, &AtomicBool),
) -> Result<Option<Snapshot>> {
    let mut wanted: Wanted<&ChosenNote> = Wanted::new();
    for note in choice.train.iter().chain(&choice.dev).chain(&choice.held_out) {
        wanted.entry(note.partition).or_default().insert(note.offset, note);
    }
    let mut texts = Texts::new(text_bytes_max);
    let is_whole = topic.read(wanted, stop, |known, note| {
        if TextHash::of(&note.text) == known.text_hash {
            texts.insert(known.rank(), note.text);
        }
    })?;
    if !is_whole {
        return Ok(None);
    }
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
        "{} notes have expired or changed, {} have mentions outside of their texts, and {} are beyond notes_max or \
         text_bytes_max: nothing is left to learn from; keep notes for longer, correct the references, or raise these",
        choice.left_out.gone,
        choice.left_out.outside,
        choice.left_out.too_many
    );
    let learned = choice.train.iter().chain(&choice.dev);
    let labels_usd = origin.labels_usd(learned, (topic.log, topic.wire), stop)?;
    if stop.load(Ordering::SeqCst) {
        return Ok(None);
    }
    let mut snapshot = choice.snapshot(origin);
    snapshot.training.labels_usd = labels_usd;
    folder.write_snapshot(&snapshot)?;
    Ok(Some(snapshot))
}

/// A note as a document, if its text is there and its mentions lie in it.
fn line_of(note: &ChosenNote, texts: &mut Texts, left_out: &mut LeftOut) -> Option<String> {
    let rank = note.rank();
    let Some(text) = texts.kept.remove(&rank) else {
        *(if texts.is_beyond(&rank) { &mut left_out.too_many } else { &mut left_out.gone }) += 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retraining::RetrainingConfig;
    use crate::retraining::book::Book;
    use crate::retraining::book::tests::{change, example};
    use std::fs;
    use std::path::Path;
    use stillroom_connectors::{Appended, EmbeddedLog};
    use stillroom_dataflow::ExampleSource;

    const NOTES: u64 = 50;

    /// As examples have them.
    fn text(note: u64) -> String {
        format!("text {note}")
    }

    /// Every third by people, every fifth held out.
    fn choice() -> Choice {
        let source = |note: u64| match note.is_multiple_of(3) {
            true => ExampleSource::Human("dr".to_owned()),
            false => ExampleSource::Teachers,
        };
        let of = |note: u64| change(1, example(note, 0, source(note), note.is_multiple_of(5)), 1);
        let mut book = Book::default();
        book.apply((0..NOTES).map(of).collect());
        Choice::of(&book, &RetrainingConfig { dev: 0.5, ..RetrainingConfig::default() }).unwrap()
    }

    fn log(folder: &Path) -> EmbeddedLog {
        let log = EmbeddedLog::open(folder.join("log")).unwrap();
        log.create_topic("notes", 1).unwrap();
        let record = |note: u64| {
            let value = serde_json::json!({ "note_id": format!("n{note}"), "text": text(note) }).to_string();
            Appended { key: Some(format!("n{note}").into()), value: Some(value.into()), ..Appended::default() }
        };
        log.append("notes", &(0..NOTES).map(record).collect::<Vec<_>>()).unwrap();
        log
    }

    /// What is written where texts may have so many bytes: the snapshot, and the notes of its documents.
    fn written(text_bytes_max: u64) -> Result<(Snapshot, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let run = RunFolder(folder.path().join("run"));
        fs::create_dir(run.path()).unwrap();
        let topic = (NotesTopic { log: &log, wire: &Wire::Plain, name: "notes" }, text_bytes_max);
        let snapshot = write(choice(), &Origin::default(), topic, (&run, &AtomicBool::new(false)))?.unwrap();
        let lines = [run.train(), run.dev(), run.held_out()].map(|path| fs::read_to_string(path).unwrap()).concat();
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = lines.lines().map(id).collect();
        ids.sort();
        Ok((snapshot, ids))
    }

    #[test]
    fn the_first_texts_that_fit_stay_and_the_others_are_counted() {
        let choice = choice();
        let mut notes: Vec<ChosenNote> = [choice.train, choice.dev, choice.held_out].concat();
        notes.sort_by_cached_key(ChosenNote::rank);
        let bytes = |notes: &[ChosenNote]| notes.iter().map(|note| text(note.offset).len() as u64).sum::<u64>();
        for (count, more) in [(notes.len(), 0), (notes.len() - 1, 1), (30, 0), (30, 1), (12, 0)] {
            let (snapshot, ids) = written(bytes(&notes[..count]) + more).unwrap();
            let mut expected: Vec<String> = notes[..count].iter().map(|note| note.note_id.clone()).collect();
            expected.sort();
            assert_eq!(ids, expected, "{count}");
            let LeftOut { too_many, gone, .. } = snapshot.left_out;
            assert_eq!((too_many, gone), ((notes.len() - count) as u64, 0), "{count}");
            let counted = snapshot.notes.train + snapshot.notes.dev + snapshot.notes.held_out;
            assert_eq!(counted, count as u64);
        }
    }

    #[test]
    fn what_leaves_nothing_to_learn_from_is_said() {
        let refused = written(1).unwrap_err().to_string();
        assert!(refused.contains("are beyond notes_max or text_bytes_max: nothing is left"), "{refused}");
    }
}
