//! Tables of notes in CSV: `NOTEEVENTS.csv` of MIMIC-III (<https://mimic.mit.edu/docs/iii/tables/noteevents/>) and `note.csv` of
//! OMOP's common data model, in which MedAlign comes beside its XML (<https://ohdsi.github.io/CommonDataModel/cdm54.html#note>).
//!
//! A row is read at a time, so that memory does not grow with the file.

use super::list::CorpusFile;
use super::{CorpusItem, CorpusProblem};
use crate::LogError;
use crate::disk::failed;
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;
use stillroom_schemas::Note;

/// Bytes that a row may have, at least. A quote that nobody closes would make one row of the rest of the file.
const ROW_BYTES_MAX: usize = 64 << 20;

/// Which columns hold what.
struct Shape {
    note_id: &'static str,
    patient_id: &'static str,
    note_type: &'static str,
    text: &'static str,
    /// Rows that have `1` there are no notes.
    is_error: Option<&'static str>,
}

const NOTEEVENTS: Shape = Shape {
    note_id: "row_id",
    patient_id: "subject_id",
    note_type: "category",
    text: "text",
    is_error: Some("iserror"),
};

const OMOP_NOTE: Shape =
    Shape { note_id: "note_id", patient_id: "person_id", note_type: "note_title", text: "note_text", is_error: None };

/// Where the columns are.
#[derive(Clone, Copy)]
struct Columns {
    note_id: usize,
    patient_id: usize,
    note_type: usize,
    text: usize,
    is_error: Option<usize>,
    /// How many there are.
    all: usize,
}

/// The notes of a table.
pub(super) struct NoteTable {
    file: CorpusFile,
    rows: Reader<Bounded<File>>,
    columns: Columns,
    left: Rc<Cell<usize>>,
    is_at_end: bool,
}

/// A reader that gives up when so many bytes were read since somebody last said how many.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.left.get().checked_sub(read) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a row of over 64 MiB: is a quote open?")),
        }
        Ok(read)
    }
}

impl NoteTable {
    /// # Errors
    /// When the file cannot be read, or its first line is the header of no such table.
    pub(super) fn open(file: &CorpusFile) -> Result<NoteTable, LogError> {
        let path = &file.path;
        let inner = File::open(path).map_err(failed("open", path))?;
        let left = Rc::new(Cell::new(ROW_BYTES_MAX));
        // A row of other than the header's columns is reported by itself.
        let mut rows = ReaderBuilder::new().flexible(true).from_reader(Bounded { inner, left: Rc::clone(&left) });
        let header = rows.byte_headers().map_err(|error| failed("read", path)(error.into()))?;
        let columns = [NOTEEVENTS, OMOP_NOTE].iter().find_map(|shape| columns(header, shape));
        let Some(columns) = columns else {
            let cause = "has the header neither of NOTEEVENTS.csv nor of OMOP's note.csv; give such a file".to_owned();
            return Err(LogError::NotCorpus { path: path.clone(), cause });
        };
        Ok(NoteTable { file: file.clone(), rows, columns, left, is_at_end: false })
    }

    /// The note of a row; nothing when it is marked as an error.
    fn note(&self, row: &ByteRecord) -> Result<Option<Note>, &'static str> {
        let columns = self.columns;
        if row.len() != columns.all {
            return Err("has other than the header's columns; left out");
        }
        if columns.is_error.is_some_and(|column| row[column].trim_ascii() == b"1") {
            return Ok(None);
        }
        let value = |column: usize| std::str::from_utf8(&row[column]).map_err(|_| "is not UTF-8; left out");
        let name =
            |column: usize| value(column).map(|name| Some(name.trim().to_owned()).filter(|name| !name.is_empty()));
        let Some(note_id) = name(columns.note_id)? else { return Err("has no id; left out") };
        Ok(Some(Note {
            note_id,
            patient_id: name(columns.patient_id)?,
            revision: 0,
            note_type: name(columns.note_type)?,
            site: None,
            // The times are local ones without their offset from UTC, or shifted on purpose.
            signed_at: None,
            text: value(columns.text)?.to_owned(),
        }))
    }
}

impl Iterator for NoteTable {
    type Item = Result<CorpusItem, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = ByteRecord::new();
        while !self.is_at_end {
            self.left.set(ROW_BYTES_MAX);
            match self.rows.read_byte_record(&mut row) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.is_at_end = true;
                    let error = match error.into_kind() {
                        ErrorKind::Io(error) => error,
                        other => io::Error::other(format!("{other:?}")),
                    };
                    return Some(Err(failed("read", &self.file.path)(error)));
                }
            }
            let line = row.position().map(csv::Position::line);
            match self.note(&row) {
                Ok(Some(note)) => return Some(Ok(CorpusItem::Note(note))),
                Ok(None) => {}
                Err(what) => {
                    let (path, what) = (self.file.path.clone(), what.to_owned());
                    return Some(Ok(CorpusItem::Problem(CorpusProblem { path, line, what })));
                }
            }
        }
        None
    }
}

fn columns(header: &ByteRecord, shape: &Shape) -> Option<Columns> {
    let column = |name: &str| {
        header.iter().position(|column| {
            let column = column.strip_prefix("\u{feff}".as_bytes()).unwrap_or(column);
            column.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
        })
    };
    Some(Columns {
        note_id: column(shape.note_id)?,
        patient_id: column(shape.patient_id)?,
        note_type: column(shape.note_type)?,
        text: column(shape.text)?,
        is_error: match shape.is_error {
            Some(name) => Some(column(name)?),
            None => None,
        },
        all: header.len(),
    })
}
