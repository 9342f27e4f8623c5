//! Where entities go: to lines of JSON, to the terminal, or to the files of a format.

use super::texts::Texts;
use crate::highlight;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use stillroom_formats::Writer;
use stillroom_schemas::Extraction;

/// Shared by who writes, on the committer's thread, and by who completes what was written when all is done.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Mutex<To>>);

enum To {
    /// Lines; with the texts, the notes in colour.
    Lines(BufWriter<Box<dyn Write + Send>>, Option<Texts>),
    /// The files of a format.
    Format(Box<dyn Writer>, Texts),
    /// They are complete.
    Finished,
}

impl Outlet {
    /// Lines of JSON to the file `output`, or to stdout where it is `-`; with `texts`, notes for a terminal.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(super) fn lines(output: &Path, texts: Option<Texts>) -> Result<Outlet> {
        let writer: Box<dyn Write + Send> = if output == Path::new("-") {
            Box::new(std::io::stdout())
        } else {
            let created = File::create(output);
            Box::new(created.with_context(|| format!("cannot write {}", output.display()))?)
        };
        Ok(Outlet::to(To::Lines(BufWriter::new(writer), texts)))
    }

    /// The files of a format, of the notes in `texts`.
    pub(super) fn format(writer: Box<dyn Writer>, texts: Texts) -> Outlet {
        Outlet::to(To::Format(writer, texts))
    }

    fn to(to: To) -> Outlet {
        Outlet(Arc::new(Mutex::new(to)))
    }

    /// Writes what was found in the note at `offset`.
    ///
    /// # Errors
    /// When it cannot be written, or the files of notes have changed.
    pub(super) fn write(&self, offset: u64, extraction: &Extraction) -> Result<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            To::Lines(writer, Some(texts)) => {
                let note = texts.at(offset, extraction)?;
                let shown = highlight::text(&note.text, &extraction.entities);
                writeln!(writer, "\x1b[1m{}\x1b[0m\n{shown}\n", highlight::plain(&extraction.note_id))?;
            }
            To::Lines(writer, None) => {
                let mut line = serde_json::to_vec(extraction)?;
                line.push(b'\n');
                writer.write_all(&line)?;
            }
            To::Format(writer, texts) => writer.write(&texts.at(offset, extraction)?, extraction)?,
            To::Finished => {}
        }
        Ok(())
    }

    /// Shows lines to who waits for them. The files of a format are shown when they are complete.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn flush(&self) -> Result<()> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            To::Lines(writer, _) => Ok(writer.flush()?),
            To::Format(..) | To::Finished => Ok(()),
        }
    }

    /// Completes the files of a format. What is not finished is not complete.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(&self) -> Result<()> {
        match std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), To::Finished) {
            To::Format(writer, _) => Ok(writer.finish()?),
            To::Lines(..) | To::Finished => Ok(()),
        }
    }
}
