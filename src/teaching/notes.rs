//! The notes of files, parsed.

use anyhow::Result;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stillroom_connectors::{FILES_TOPIC, NoteFiles, NoteFormats, Source, Withdrawals};
use stillroom_dataflow::Record;
use stillroom_schemas::Note;
use tokio::sync::mpsc;

/// The notes of files, each parsed; one that is none is said and left out, and one that a later record withdraws is left out.
pub(crate) struct Notes {
    files: NoteFiles,
    /// Not known where something is read only once.
    withdrawals: Option<Withdrawals>,
    records: std::vec::IntoIter<Record>,
    /// The offset of the record that was read last.
    offset: u64,
    unreadable: u64,
}

impl Notes {
    /// The notes under `paths`.
    ///
    /// # Errors
    /// When a path does not exist or cannot hold notes.
    pub(crate) fn open(paths: &[PathBuf], formats: Arc<dyn NoteFormats>) -> Result<Notes> {
        let mut files = NoteFiles::open_as(paths, formats)?;
        files.assign(FILES_TOPIC, 0, 0)?;
        let withdrawals = files.withdrawals()?;
        Ok(Notes { files, withdrawals, records: Vec::new().into_iter(), offset: 0, unreadable: 0 })
    }

    /// How many were left out so far.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Where the note that was read last stands, such as `notes/a.jsonl, line 7`.
    pub(crate) fn origin(&self) -> String {
        self.files.origins().of(self.offset)
    }

    /// The next note; nothing at the end.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn read(&mut self) -> Result<Option<Note>> {
        loop {
            for record in self.records.by_ref() {
                self.offset = record.position.offset;
                let Some(value) = record.value else { continue };
                match serde_json::from_slice::<Note>(&value) {
                    Ok(note) => {
                        let withdrawals = self.withdrawals.as_ref();
                        if !withdrawals.is_some_and(|all| all.withdraws(&note.note_id, self.offset)) {
                            return Ok(Some(note));
                        }
                    }
                    Err(error) => {
                        self.unreadable += 1;
                        let origins = self.files.origins();
                        // What the parser says may quote the text.
                        let what = match origins.refusal(self.offset) {
                            Some(refusal) => refusal,
                            None => format!("not a note from column {} on", error.column()),
                        };
                        eprintln!("{}: left out, {what}", origins.of(self.offset));
                    }
                }
            }
            if self.files.is_finished() {
                return Ok(None);
            }
            self.records = self.files.poll(1 << 20, Duration::from_millis(100))?.into_iter();
        }
    }

    /// Sends all notes, or the error that ends them; how many could not be read.
    pub(crate) fn send(mut self, notes: &mpsc::Sender<Result<Note>>) -> u64 {
        while let Some(note) = self.read().transpose() {
            // Nobody takes them any more once something went wrong.
            if notes.blocking_send(note).is_err() {
                break;
            }
        }
        self.unreadable
    }
}
