//! The notes once more, in step with their extractions: nothing keeps a text while the student reads it.

use anyhow::{Result, bail};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stillroom_connectors::{FILES_TOPIC, NoteFiles, NoteFormats, Source};
use stillroom_dataflow::Record;
use stillroom_schemas::{Extraction, Note, TextHash};

const FILES_CHANGED: &str = "the files have changed while they were read; start again";

/// The notes that were read, by offset.
pub(super) struct Texts {
    notes: NoteFiles,
    records: std::vec::IntoIter<Record>,
}

impl Texts {
    pub(super) fn open(paths: &[PathBuf], formats: Arc<dyn NoteFormats>) -> Result<Texts> {
        let mut notes = NoteFiles::open_as(paths, formats)?;
        notes.assign(FILES_TOPIC, 0, 0)?;
        Ok(Texts { notes, records: Vec::new().into_iter() })
    }

    /// The note at `offset`, of which `extraction` is; offsets may be skipped, and never fall.
    pub(super) fn at(&mut self, offset: u64, extraction: &Extraction) -> Result<Note> {
        loop {
            match self.records.find(|record| record.position.offset == offset) {
                Some(record) => {
                    // What the parser says may quote the text.
                    return match serde_json::from_slice::<Note>(&record.value.unwrap_or_default()) {
                        Ok(note) if TextHash::of(&note.text) == extraction.text_hash => Ok(note),
                        _ => bail!(FILES_CHANGED),
                    };
                }
                None if self.notes.is_finished() => bail!(FILES_CHANGED),
                None => self.records = self.notes.poll(1 << 20, Duration::ZERO)?.into_iter(),
            }
        }
    }
}
