//! Notes in CSV: a row below a header is one, its columns by name.
//!
//! Quotes and line ends within them are those of RFC 4180, and a row in which something stands behind a closing quote is refused, as its
//! texts may be those of several. Text is UTF-8. A row that is wrong is left out; after one that never ends the rest of the file is, too,
//! as nothing tells where the next begins.

use super::guard::Guard;
use super::mapping::Found;
use super::times::written;
use super::{InputPart, InputSaid, Inputs, NoteField, PART_BYTES_MAX, Times};
use crate::FormatError;
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use stillroom_schemas::Note;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// The rows of a file.
pub(super) struct CsvNotes<R> {
    path: PathBuf,
    row_bytes_max: usize,
    rows: Reader<Guard<R>>,
    found: Found,
    times: Times,
    number: u64,
    is_at_end: bool,
}

impl CsvNotes<File> {
    /// # Errors
    /// When the file cannot be read, or its first line is no header of notes.
    pub(super) fn open(path: &Path, inputs: &Inputs) -> Result<CsvNotes<File>, FormatError> {
        let file = File::open(path).map_err(FormatError::file("open", path))?;
        CsvNotes::over(file, path, inputs, PART_BYTES_MAX)
    }
}

impl<R: Read> CsvNotes<R> {
    /// The rows of the file `path`, which `reader` reads.
    fn over(reader: R, path: &Path, inputs: &Inputs, row_bytes_max: usize) -> Result<CsvNotes<R>, FormatError> {
        let is_tsv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
        let delimiter = inputs.delimiter.unwrap_or(if is_tsv { b'\t' } else { b',' });
        let guard = Guard::new(reader, delimiter, row_bytes_max);
        // A row of other than the header's columns is reported by itself.
        let mut builder = ReaderBuilder::new();
        builder.flexible(true).delimiter(delimiter).buffer_capacity(BUFFER_BYTES);
        let mut rows = builder.from_reader(guard);
        let not_notes = |reason: String| FormatError::NotNotes { path: path.to_owned(), reason };
        let header = match rows.byte_headers() {
            Ok(header) => header.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>(),
            Err(error) => match io_error(error) {
                error if error.kind() == io::ErrorKind::FileTooLarge => {
                    return Err(not_notes(format!("has a header of over {row_bytes_max} bytes; is a quote open?")));
                }
                error => return Err(FormatError::file("read", path)(error)),
            },
        };
        let Ok(header) = header else {
            return Err(not_notes("has a header that is not UTF-8; convert it, such as by iconv -t UTF-8".to_owned()));
        };
        let header: Vec<&str> = header.into_iter().map(str::trim).collect();
        let found = inputs.columns.find(&header).map_err(not_notes)?;
        let times = inputs.times.clone();
        Ok(CsvNotes { path: path.to_owned(), row_bytes_max, rows, found, times, number: 0, is_at_end: false })
    }

    /// What a row says, or what is wrong with it.
    fn note(&self, row: &ByteRecord) -> Result<Note, String> {
        if row.len() != self.found.all {
            let (has, all) = (row.len(), self.found.all);
            return Err(format!(
                "has {has} columns and the header {all}; put texts with delimiters or line ends in quotes"
            ));
        }
        let text_of = |field: NoteField| {
            let Some(column) = self.found.of(field) else { return Ok("") };
            std::str::from_utf8(&row[column]).map_err(|error| {
                let (name, byte) = (field.name(), error.valid_up_to());
                format!("{name} is not UTF-8 from its byte {byte} on; convert the file, such as by iconv -t UTF-8")
            })
        };
        let name_of = |field: NoteField| {
            let text: Result<&str, String> = text_of(field);
            text.map(|text| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned))
        };
        let signed_at = name_of(NoteField::SignedAt)?.map(|text| match self.times.read(&text) {
            Some(signed) => Ok(written(signed)),
            None => Err(NO_TIME.to_owned()),
        });
        let revision =
            name_of(NoteField::Revision)?.map(|text| text.parse::<u64>().map_err(|_| NO_REVISION.to_owned()));
        Ok(Note {
            note_id: name_of(NoteField::NoteId)?.ok_or(NO_NOTE_ID)?,
            patient_id: name_of(NoteField::PatientId)?,
            revision: revision.transpose()?.unwrap_or(0),
            note_type: name_of(NoteField::NoteType)?,
            site: name_of(NoteField::Site)?,
            signed_at: signed_at.transpose()?,
            text: text_of(NoteField::Text)?.to_owned(),
        })
    }

    /// The next row, if there is one.
    fn read(&mut self) -> Result<Option<InputPart>, FormatError> {
        let mut row = ByteRecord::new();
        self.rows.get_mut().begin_row(self.row_bytes_max);
        let is_row = self.rows.read_byte_record(&mut row);
        self.number += 1;
        let place = Some(("row", self.number));
        let bytes = row.position().map_or(0, csv::Position::byte)..self.rows.position().byte();
        let goes_on_behind_quotes = self.rows.get_mut().goes_on_behind_quotes(bytes);
        match is_row.map_err(io_error) {
            Ok(false) => Ok(None),
            Ok(true) if self.rows.get_ref().cut_off(self.rows.position().byte()) => {
                self.is_at_end = true;
                let line = row.position().map_or(0, csv::Position::line);
                Ok(Some(InputPart::refused(place, format!("begins at line {line} and ends within quotes: {CUT_OFF}"))))
            }
            Ok(true) if goes_on_behind_quotes => Ok(Some(InputPart::refused(place, BEHIND_QUOTES))),
            Ok(true) => Ok(Some(match self.note(&row) {
                Ok(note) => InputPart { place, said: InputSaid::Note(note) },
                Err(reason) => InputPart::refused(place, reason),
            })),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                self.is_at_end = true;
                let max = self.row_bytes_max;
                let reason = format!("has over {max} bytes: close its quotes; the rest of the file is left out");
                Ok(Some(InputPart::refused(place, reason)))
            }
            Err(error) => Err(FormatError::file("read", &self.path)(error)),
        }
    }
}

const CUT_OFF: &str = "the file was cut off, or a quote is open; get it again";
const BEHIND_QUOTES: &str =
    "goes on behind a closing quote; is a quote open? Put texts in quotes, and write those within them twice";
/// Also of other tables.
pub(super) const NO_NOTE_ID: &str = "note_id is empty; give each note an id";
pub(super) const NO_REVISION: &str = "revision is no whole number from 0 on; correct it";
pub(super) const NO_TIME: &str =
    "signed_at is no time; write it as RFC 3339, or say how it is written in [dates] formats of --mapping";

impl<R: Read> Iterator for CsvNotes<R> {
    type Item = Result<InputPart, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_at_end {
            return None;
        }
        let part = self.read();
        self.is_at_end |= !matches!(part, Ok(Some(_)));
        part.transpose()
    }
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        // Rows of bytes, of any number of columns, have no other errors. What they say has no text.
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
