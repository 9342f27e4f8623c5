//! The notes that two students are told apart by where live figures are of different ones: those that are held out now.

use crate::retraining::RetrainingConfig;
use crate::retraining::book::Book;
use crate::retraining::documents::{NotesTopic, Wanted};
use crate::retraining::snapshot::{Choice, ChosenNote};
use anyhow::Result;
use std::sync::atomic::AtomicBool;
use stillroom_connectors::GoldDocument;
use stillroom_schemas::{Note, TextHash};
use stillroom_student::sha256;

/// The notes that a run which starts now would measure by; none where no run could start.
pub(crate) fn held_out(book: &Book, config: &RetrainingConfig) -> Vec<ChosenNote> {
    Choice::of(book, config).map(|choice| choice.held_out).unwrap_or_default()
}

/// Tells such notes, and what is said of them, from others.
///
/// # Errors
/// Never: names and numbers are JSON.
pub(crate) fn hash(held_out: &[ChosenNote]) -> Result<String> {
    Ok(sha256(&serde_json::to_vec(held_out)?))
}

/// These notes, as far as their texts are there and fit into so many bytes. Nothing when `stop` is set meanwhile.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn documents(
    held_out: &[ChosenNote],
    text_bytes_max: u64,
    topic: NotesTopic<'_>,
    stop: &AtomicBool,
) -> Result<Option<Vec<GoldDocument>>> {
    let mut wanted: Wanted<&ChosenNote> = Wanted::new();
    for note in held_out {
        wanted.entry(note.partition).or_default().insert(note.offset, note);
    }
    let (mut documents, mut bytes) = (Vec::new(), 0);
    let take = |known: &ChosenNote, note: Note| {
        bytes += note.text.len() as u64;
        if bytes <= text_bytes_max {
            documents.extend(document(known, note.text));
        }
    };
    let is_whole = wanted.is_empty() || topic.read(wanted, stop, take)?;
    Ok(is_whole.then_some(documents))
}

/// A note as a document, if the text is that which was annotated and the mentions lie in it.
fn document(note: &ChosenNote, text: String) -> Option<GoldDocument> {
    let length = text.chars().count();
    let is_inside = note.spans.iter().all(|span| span.start < span.end && span.end as usize <= length);
    if !is_inside || TextHash::of(&text) != note.text_hash {
        return None;
    }
    let (tasks, spans, soft) = (note.tasks.clone(), note.spans.clone(), note.soft.clone());
    Some(GoldDocument { id: note.note_id.clone(), text, tasks, spans, soft })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retraining::book::tests::{change, example};
    use crate::wire::Wire;
    use stillroom_connectors::{Appended, EmbeddedLog, Log};
    use stillroom_dataflow::ExampleSource;

    const NOTES: u64 = 50;

    #[test]
    fn the_notes_that_are_held_out_are_read_where_their_texts_are_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        log.create_topic("notes", 1).unwrap();
        // The text of the first one is another than that which was annotated.
        let text = |note: u64| if note == 0 { "changed".to_owned() } else { format!("text {note}") };
        let record = |note: u64| {
            let value = serde_json::json!({ "note_id": format!("n{note}"), "text": text(note) }).to_string();
            Appended { key: Some(format!("n{note}").into()), value: Some(value.into()), ..Appended::default() }
        };
        log.append("notes", &(0..NOTES).map(record).collect::<Vec<_>>()).unwrap();
        let of =
            |note: u64| change(1, example(note, 0, ExampleSource::Human("dr".to_owned()), note.is_multiple_of(5)), 1);
        let mut book = Book::default();
        let topic = NotesTopic { log: &log, wire: &Wire::Plain, name: "notes" };
        let ids = |book: &Book, config: &RetrainingConfig, is_stopped: bool| {
            let (held_out, stop) = (held_out(book, config), AtomicBool::new(is_stopped));
            let documents = documents(&held_out, config.text_bytes_max, topic, &stop).unwrap();
            documents.map(|documents| documents.into_iter().map(|document| document.id).collect::<Vec<String>>())
        };
        let config = RetrainingConfig { dev: 0.5, ..RetrainingConfig::default() };
        assert_eq!(ids(&book, &config, false), Some(Vec::new()), "nothing is held out");

        book.apply((0..NOTES).map(of).collect());
        let expected: Vec<String> = (1..NOTES / 5).map(|fifth| format!("n{}", 5 * fifth)).collect();
        assert_eq!(ids(&book, &config, false), Some(expected.clone()));
        let little = RetrainingConfig { text_bytes_max: 7 + 6 + 7, ..config.clone() };
        assert_eq!(ids(&book, &little, false), Some(expected[..2].to_vec()));
        assert_eq!(ids(&book, &config, true), None);
    }
}
