//! Notes in the formats of hospitals: CSV, Parquet, FHIR R4 and HL7 v2.
//!
//! A file in; out, one by one and in the file's order, its [`InputPart`]s: a row, a line, an entry or a message, and what it says. What
//! cannot be read is a part, too, which says why, so that the rest is read. At most one part of the file is in memory, and a part has
//! [`PART_BYTES_MAX`] bytes at most; of a JSON file that is no NDJSON the same holds for the whole file.

mod bounded;
mod csv;
mod fhir;
mod guard;
mod hl7;
mod mapping;
mod parquet;
#[cfg(test)]
mod testing;
mod times;

pub use mapping::{ColumnsConfig, CsvConfig, DatesConfig, DocumentsConfig, InputConfig, NoteField};

use crate::FormatError;
use std::path::Path;
use stillroom_schemas::Note;
use times::Times;

/// Bytes that a part of a file may have: a row, a line, a message, or a JSON file as a whole.
pub const PART_BYTES_MAX: usize = 100 << 20;

/// A format that notes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// A note a row, below a header.
    Csv,
    /// A note a row.
    Parquet,
    /// `DocumentReference` of FHIR R4: a resource or a bundle a line, or one of them as a whole file.
    Fhir,
    /// Messages of HL7 v2: MDM and ORU^R01.
    Hl7,
}

impl InputFormat {
    /// Every format.
    pub const ALL: [InputFormat; 4] = [InputFormat::Csv, InputFormat::Parquet, InputFormat::Fhir, InputFormat::Hl7];

    /// The extensions of its files, without the dot.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            InputFormat::Csv => &["csv", "tsv"],
            InputFormat::Parquet => &["parquet"],
            InputFormat::Fhir => &["ndjson", "json"],
            InputFormat::Hl7 => &["hl7"],
        }
    }

    /// The format of a file that is called so.
    pub fn of(path: &Path) -> Option<InputFormat> {
        let extension = path.extension()?;
        let is_its =
            |format: &InputFormat| format.extensions().iter().any(|known| extension.eq_ignore_ascii_case(known));
        InputFormat::ALL.into_iter().find(is_its)
    }
}

/// What a part of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSaid {
    /// A note, or a revision of one.
    Note(Note),
    /// The note of this id is withdrawn.
    Withdrawn(String),
    /// It cannot be read: the field, what is wrong with it and what to do, without any text of a note.
    Refused(String),
}

/// A part of a file, and what it says. A message or a document may say several things, in parts with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPart {
    /// What it is and which, from 1, such as row 7; absent where it is the whole file.
    pub place: Option<(&'static str, u64)>,
    /// What it says.
    pub said: InputSaid,
}

impl InputPart {
    fn refused(place: Option<(&'static str, u64)>, reason: impl Into<String>) -> InputPart {
        InputPart { place, said: InputSaid::Refused(reason.into()) }
    }
}

/// The parts of a file, front to back. After an error there is none.
pub type InputParts = Box<dyn Iterator<Item = Result<InputPart, FormatError>> + Send>;

/// Reads files of notes as a configuration says.
#[derive(Clone, Debug)]
pub struct Inputs {
    columns: ColumnsConfig,
    delimiter: Option<u8>,
    times: Times,
    note_id_system: Option<String>,
}

impl Inputs {
    /// # Errors
    /// Names a setting that cannot be used.
    pub fn new(config: &InputConfig) -> Result<Inputs, FormatError> {
        Ok(Inputs {
            columns: config.columns.clone(),
            delimiter: config.csv.delimiter()?,
            times: Times::new(&config.dates)?,
            note_id_system: config.fhir.note_id_system.clone().filter(|system| !system.is_empty()),
        })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read, or is none of the format; names the columns that are missing and those that are there.
    pub fn open(&self, format: InputFormat, path: &Path) -> Result<InputParts, FormatError> {
        let parts: InputParts = match format {
            InputFormat::Csv => Box::new(self::csv::CsvNotes::open(path, self)?),
            InputFormat::Parquet => Box::new(self::parquet::ParquetNotes::open(path, self)?),
            InputFormat::Fhir => Box::new(fhir::FhirNotes::open(path, self)?),
            InputFormat::Hl7 => Box::new(hl7::Hl7Notes::open(path, self)?),
        };
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format() {
        let check = |name: &str, expected: Option<InputFormat>| {
            assert_eq!(InputFormat::of(Path::new(name)), expected, "{name}");
        };
        check("a/notes.csv", Some(InputFormat::Csv));
        check("NOTES.TSV", Some(InputFormat::Csv));
        check("part-0.snappy.parquet", Some(InputFormat::Parquet));
        check("DocumentReference.000.ndjson", Some(InputFormat::Fhir));
        check("bundle.json", Some(InputFormat::Fhir));
        check("mdm.HL7", Some(InputFormat::Hl7));
        check("notes.jsonl", None);
        check("csv", None);
    }
}
