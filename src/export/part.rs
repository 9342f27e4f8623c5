//! One part: what is written of notes whose texts are read once more.

use crate::export::folder::{Counts, Draft};
use crate::retraining::{NotesTopic, Wanted};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use stillroom_formats::{FormatError, Writer};
use stillroom_schemas::{Extraction, Note, TextHash};

/// Begins the result of a format at a path.
type Begin = Box<dyn Fn(&Path) -> Result<Box<dyn Writer>>>;

/// What parts are written as.
pub(crate) struct ExportFormat {
    /// As `--format` has it.
    pub(crate) name: &'static str,
    /// The file or the folder, in a part, that is what `extract` writes.
    pub(crate) result: &'static str,
    /// Begins the result.
    pub(crate) begin: Begin,
}

/// A part under way.
pub(super) struct Part {
    // Closed before its folder goes.
    writer: Box<dyn Writer>,
    draft: Draft,
    counts: Counts,
    left_out: Vec<LeftOut>,
}

/// A line of `left_out.jsonl`.
#[derive(Serialize)]
struct LeftOut {
    note_id: String,
    reason: String,
}

/// A line of `withdrawn.jsonl`.
#[derive(Serialize)]
struct Withdrawn {
    note_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient_id: Option<String>,
}

impl Part {
    /// Begins a part in an empty folder.
    ///
    /// # Errors
    /// When the format cannot be written as it is asked for.
    pub(super) fn begin(draft: Draft, format: &ExportFormat) -> Result<Part> {
        let writer = (format.begin)(&draft.path().join(format.result))?;
        Ok(Part { writer, draft, counts: Counts::default(), left_out: Vec::new() })
    }

    /// Tells that a note is not in the result, and why.
    pub(super) fn leave_out(&mut self, note_id: String, reason: &str) {
        self.left_out.push(LeftOut { note_id, reason: reason.to_owned() });
    }

    /// Writes extractions, each with the text that it is of; one whose text is not there, or that the format cannot hold,
    /// is left out. Whether it came to the last: not when `stop` is set meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read, or the part not be written.
    pub(super) fn write(
        &mut self,
        topic: NotesTopic<'_>,
        wanted: Wanted<Extraction>,
        stop: &AtomicBool,
    ) -> Result<bool> {
        let all = wanted.values().flat_map(|notes| notes.values());
        let mut gone: BTreeSet<String> = all.map(|extraction| extraction.note_id.clone()).collect();
        let mut written = Ok(());
        let is_whole = topic.read(wanted, stop, |extraction, note| {
            let is_its_text = note.note_id == extraction.note_id && TextHash::of(&note.text) == extraction.text_hash;
            if written.is_ok() && is_its_text {
                gone.remove(&extraction.note_id);
                written = self.put(&extraction, note.text);
            }
        })?;
        written?;
        if is_whole {
            for note_id in gone {
                self.leave_out(note_id, "its text is not in the topic of notes any more; keep notes for longer");
            }
        }
        Ok(is_whole)
    }

    fn put(&mut self, extraction: &Extraction, text: String) -> Result<()> {
        match self.writer.write(&note_of(extraction, text), extraction) {
            Ok(()) => {
                self.counts.notes += 1;
                self.counts.entities += extraction.entities.len() as u64;
            }
            Err(FormatError::Note { note_id, reason }) => self.left_out.push(LeftOut { note_id, reason }),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Completes the result, beside what was withdrawn and left out; the folder, and how much is in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(self, withdrawn: Vec<(String, Option<String>)>) -> Result<(Draft, Counts)> {
        let Part { writer, draft, mut counts, left_out } = self;
        writer.finish()?;
        counts.withdrawn = withdrawn.len() as u64;
        counts.left_out = left_out.len() as u64;
        let line = |(note_id, patient_id)| Withdrawn { note_id, patient_id };
        write_lines(&draft.path().join("withdrawn.jsonl"), withdrawn.into_iter().map(line))?;
        write_lines(&draft.path().join("left_out.jsonl"), left_out.into_iter())?;
        Ok((draft, counts))
    }
}

/// The note that was read: an extraction has all of it but the text. Its record may have come once more, with another
/// date or patient.
fn note_of(extraction: &Extraction, text: String) -> Note {
    let Extraction { note_id, patient_id, revision, note_type, site, signed_at, .. } = extraction;
    Note {
        note_id: note_id.clone(),
        patient_id: patient_id.clone(),
        revision: *revision,
        note_type: note_type.clone(),
        site: site.clone(),
        signed_at: signed_at.clone(),
        text,
    }
}

fn write_lines(path: &Path, records: impl Iterator<Item = impl Serialize>) -> Result<()> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&serde_json::to_string(&record)?);
        lines.push('\n');
    }
    fs::write(path, lines).with_context(|| format!("cannot write {}", path.display()))
}
