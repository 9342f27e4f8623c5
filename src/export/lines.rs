//! Extractions as JSON Lines, as they stand on their topic.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use stillroom_formats::{FormatError, Writer};
use stillroom_schemas::{Extraction, Note};

/// Writes an extraction a line.
pub(crate) struct LinesWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LinesWriter {
    /// To the file `path`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn create(path: &Path) -> Result<LinesWriter, FormatError> {
        let file = File::create(path).map_err(|source| failed(("create", path), source))?;
        Ok(LinesWriter { path: path.to_owned(), file: BufWriter::new(file) })
    }
}

impl Writer for LinesWriter {
    fn write(&mut self, _note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        let mut line = serde_json::to_vec(extraction).expect("strings and numbers are JSON");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| failed(("write", &self.path), source))
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        self.file.flush().map_err(|source| failed(("write", &self.path), source))
    }
}

fn failed((action, path): (&'static str, &Path), source: io::Error) -> FormatError {
    FormatError::File { action, path: path.to_owned(), source }
}
