//! What a site calls things: columns of tables, formats of times, systems of identifiers.

use crate::FormatError;
use serde::Deserialize;

/// Columns that a message names at most.
const COLUMNS_SHOWN_MAX: usize = 60;

/// How files of notes are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputConfig {
    /// Which columns of CSV and Parquet hold what.
    pub columns: ColumnsConfig,
    /// How CSV is written.
    pub csv: CsvConfig,
    /// How times are written.
    pub dates: DatesConfig,
    /// How FHIR is read.
    pub fhir: DocumentsConfig,
}

/// Which columns hold what; where nothing is said, those with the usual names. Case does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnsConfig {
    /// The column of the note's id, a text or a whole number. Default: `note_id`.
    pub note_id: Option<String>,
    /// The column of the text. Default: `text`, or else `note_text`.
    pub text: Option<String>,
    /// The column of the patient, a text or a whole number; "" where there is none. Default: `patient_id`, or else `person_id` or
    /// `subject_id`, if there is one.
    pub patient_id: Option<String>,
    /// The column of when the note was signed; "" where there is none. Default: `signed_at`, or else `note_datetime` or `note_date`, if
    /// there is one.
    pub signed_at: Option<String>,
    /// The column of the note's type; "" where there is none. Default: `note_type`, or else `note_title`, if there is one.
    pub note_type: Option<String>,
    /// The column of the hospital or clinic; "" where there is none. Default: `site`, if there is one.
    pub site: Option<String>,
    /// The column of a whole number that rises with every amendment; "" where there is none. Default: `revision`, if there is one.
    pub revision: Option<String>,
}

/// How CSV is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvConfig {
    /// What stands between columns, one character of ASCII. Default: a comma, and in files called `.tsv` a tab.
    pub delimiter: Option<String>,
}

/// How times are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatesConfig {
    /// Formats of times in CSV and in texts of Parquet, as strftime has them, such as `%d.%m.%Y %H:%M`; the first that fits is taken.
    /// RFC 3339 is read besides, also without the zone or the time. Default: none.
    pub formats: Vec<String>,
    /// The distance from UTC of times that do not tell theirs, such as `+01:00`. Default: such times stay without a zone.
    pub utc_offset: Option<String>,
}

/// How FHIR is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentsConfig {
    /// The system of the identifier that is the note's id, such as `urn:oid:1.2.36.146.595.217.0.1`. Default: the resource's id is.
    pub note_id_system: Option<String>,
}

/// A field of a note that a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteField {
    /// The note's id.
    NoteId,
    /// The text.
    Text,
    /// The patient.
    PatientId,
    /// When it was signed.
    SignedAt,
    /// Its type.
    NoteType,
    /// The hospital or clinic.
    Site,
    /// What rises with every amendment.
    Revision,
}

impl NoteField {
    /// Every field, in the order in which `Found` has their columns.
    pub const ALL: [NoteField; 7] = [
        NoteField::NoteId,
        NoteField::Text,
        NoteField::PatientId,
        NoteField::SignedAt,
        NoteField::NoteType,
        NoteField::Site,
        NoteField::Revision,
    ];

    /// The name in records and configurations.
    pub fn name(self) -> &'static str {
        self.usual()[0]
    }

    /// What its column is usually called, its own name first; the others are those of OMOP and MIMIC.
    fn usual(self) -> &'static [&'static str] {
        match self {
            NoteField::NoteId => &["note_id"],
            NoteField::Text => &["text", "note_text"],
            NoteField::PatientId => &["patient_id", "person_id", "subject_id"],
            NoteField::SignedAt => &["signed_at", "note_datetime", "note_date"],
            NoteField::NoteType => &["note_type", "note_title"],
            NoteField::Site => &["site"],
            NoteField::Revision => &["revision"],
        }
    }

    fn is_needed(self) -> bool {
        matches!(self, NoteField::NoteId | NoteField::Text)
    }
}

impl ColumnsConfig {
    /// Says that `column` holds `field`.
    pub fn set(&mut self, field: NoteField, column: String) {
        *match field {
            NoteField::NoteId => &mut self.note_id,
            NoteField::Text => &mut self.text,
            NoteField::PatientId => &mut self.patient_id,
            NoteField::SignedAt => &mut self.signed_at,
            NoteField::NoteType => &mut self.note_type,
            NoteField::Site => &mut self.site,
            NoteField::Revision => &mut self.revision,
        } = Some(column);
    }

    fn of(&self, field: NoteField) -> Option<&str> {
        let column = match field {
            NoteField::NoteId => &self.note_id,
            NoteField::Text => &self.text,
            NoteField::PatientId => &self.patient_id,
            NoteField::SignedAt => &self.signed_at,
            NoteField::NoteType => &self.note_type,
            NoteField::Site => &self.site,
            NoteField::Revision => &self.revision,
        };
        column.as_deref()
    }

    /// Where the columns are among those called `header`.
    ///
    /// # Errors
    /// Names a column that is missing, or there twice, and those that are there, in words that go on after the file's name.
    pub(super) fn find(&self, header: &[&str]) -> Result<Found, String> {
        let mut found = Found { columns: [None; NoteField::ALL.len()], all: header.len() };
        for (at, field) in found.columns.iter_mut().zip(NoteField::ALL) {
            *at = match self.of(field) {
                Some("") if !field.is_needed() => None,
                Some(column) => match position(header, column)? {
                    Some(at) => Some(at),
                    None => return Err(missing(field, &format!("called {column}"), header)),
                },
                None => {
                    let mut usual = field.usual().iter().map(|column| position(header, column));
                    let first = usual.find(|at| !matches!(at, Ok(None)));
                    first.transpose()?.flatten()
                }
            };
            if at.is_none() && field.is_needed() {
                return Err(missing(field, &format!("called {}", field.usual().join(" or ")), header));
            }
        }
        Ok(found)
    }
}

/// Where a table has what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// By [`NoteField::ALL`].
    columns: [Option<usize>; NoteField::ALL.len()],
    /// How many columns there are.
    pub(super) all: usize,
}

impl Found {
    /// The column of a field.
    pub(super) fn of(&self, field: NoteField) -> Option<usize> {
        self.columns[field as usize]
    }
}

/// The only column that is called so.
fn position(header: &[&str], name: &str) -> Result<Option<usize>, String> {
    // Where names differ in case alone, the one that is written so is meant.
    let exactly = header.iter().filter(|column| **column == name).count();
    let is_it = |column: &str| if exactly > 0 { column == name } else { column.eq_ignore_ascii_case(name) };
    let mut positions = header.iter().enumerate().filter(|(_, column)| is_it(column)).map(|(at, _)| at);
    let first = positions.next();
    match positions.next() {
        None => Ok(first),
        Some(_) => Err(format!("has several columns called {name}; give them names of their own")),
    }
}

fn missing(field: NoteField, called: &str, header: &[&str]) -> String {
    let mut shown: Vec<String> =
        header.iter().take(COLUMNS_SHOWN_MAX).zip(1..).map(|(name, at)| show(name, at)).collect();
    if header.len() > COLUMNS_SHOWN_MAX {
        shown.push(format!("and {} more", header.len() - COLUMNS_SHOWN_MAX));
    }
    let there = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
    format!(
        "has no column {called} for {name}; it has {there}; say which by --columns {name}=COLUMN, or in the file of --mapping, \
         where the delimiter of CSV can be said, too",
        name = field.name()
    )
}

/// The name of a column, if it looks like one: a table without a header has a note in its place.
fn show(name: &str, at: usize) -> String {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '#' | '$');
    let is_name = name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_name && name.chars().all(is_of_names) { name.to_owned() } else { format!("column {at}") }
}

impl CsvConfig {
    /// # Errors
    /// When it is no character of ASCII, or one that CSV needs.
    pub(super) fn delimiter(&self) -> Result<Option<u8>, FormatError> {
        match self.delimiter.as_deref().map(str::as_bytes) {
            None => Ok(None),
            Some(&[delimiter]) if !matches!(delimiter, b'"' | b'\r' | b'\n') => Ok(Some(delimiter)),
            Some(_) => Err(FormatError::Setting {
                field: "csv.delimiter",
                reason: "is not one character of ASCII other than a quote or a line end; write such as \";\""
                    .to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(of: &[(NoteField, &str)]) -> ColumnsConfig {
        let mut columns = ColumnsConfig::default();
        of.iter().for_each(|(field, column)| columns.set(*field, (*column).to_owned()));
        columns
    }

    #[test]
    fn the_usual_names_are_found_and_others_are_said() {
        let check = |of: &[(NoteField, &str)], header: &[&str], expected: [Option<usize>; 7]| {
            let found = columns(of).find(header).unwrap();
            assert_eq!(NoteField::ALL.map(|field| found.of(field)), expected, "{of:?} in {header:?}");
        };
        check(&[], &["text", "x", "NOTE_ID"], [Some(2), Some(0), None, None, None, None, None]);
        check(
            &[],
            &["note_id", "person_id", "note_date", "note_datetime", "note_title", "note_text", "revision", "site"],
            [Some(0), Some(5), Some(1), Some(3), Some(4), Some(7), Some(6)],
        );
        check(
            &[(NoteField::NoteId, "NOTE_KEY"), (NoteField::Text, "body"), (NoteField::SignedAt, "")],
            &["note_key", "text", "signed_at", "body"],
            [Some(0), Some(3), None, None, None, None, None],
        );
        check(
            &[(NoteField::Text, "Text")],
            &["text", "Text", "note_id"],
            [Some(2), Some(1), None, None, None, None, None],
        );
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_are_there() {
        let check = |of: &[(NoteField, &str)], header: &[&str], expected: &str| {
            let error = columns(of).find(header).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check(
            &[],
            &["NOTE_KEY", "text"],
            "has no column called note_id for note_id; it has NOTE_KEY, text; say which by",
        );
        check(&[], &["note_id", "n"], "has no column called text or note_text for text; it has note_id, n; say which");
        check(
            &[(NoteField::Site, "WARD")],
            &["note_id", "text"],
            "has no column called WARD for site; it has note_id, text",
        );
        check(&[(NoteField::Text, "")], &["note_id", "text"], "has no column called  for text");
        check(&[], &["note_id", "text", "text"], "has several columns called text");
        check(&[], &["note_id", "TEXT", "Text"], "has several columns called text");
        // A table without a header.
        check(
            &[],
            &["4711", "Severe angina, on aspirin"],
            "has no column called note_id for note_id; it has column 1, column 2;",
        );
        let many: Vec<String> = (0..70).map(|at| format!("c{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(columns(&[]).find(&many).unwrap_err().contains("c58, c59, and 10 more; say"));
    }

    #[test]
    fn a_delimiter_is_one_character() {
        let check = |text: &str, expected: Option<u8>| {
            let delimiter = CsvConfig { delimiter: Some(text.to_owned()) }.delimiter();
            assert_eq!(delimiter.ok().flatten(), expected, "{text:?}");
        };
        check(";", Some(b';'));
        check("\t", Some(b'\t'));
        for wrong in ["", ";;", "\"", "\n", "\u{a7}"] {
            check(wrong, None);
        }
    }
}
