//! Notes on the command line: text, JSON Lines, and what hospitals have.
//!
//! `stillroom-connectors` reads files one by one and does not know formats of others; `stillroom-formats` reads these, and knows no
//! folders. Here they meet.

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_connectors::{FileKind, FilePart, FileParts, FileSaid, LogError, NoteFormats, PlainNotes};
use stillroom_formats::{FormatError, InputConfig, InputFormat, InputPart, InputSaid, Inputs, NoteField};

/// What `--input-format` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A note a file
    Text,
    /// A line of JSON a note
    Jsonl,
    /// A row a note, below a header
    Csv,
    /// A row a note
    Parquet,
    /// DocumentReference of FHIR R4: NDJSON, bundles, single resources
    Fhir,
    /// Messages of HL7 v2: MDM and ORU^R01
    Hl7,
}

/// How notes are read, where their files do not tell.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "How notes are read")]
pub(crate) struct InputArgs {
    /// The format of all files; of folders, files with its extensions are taken. By each file's extension when absent: then of folders
    /// .txt, .jsonl, .ndjson and .hl7 files are taken, and tables and .json files where they are named.
    #[arg(long, value_name = "FORMAT", value_enum)]
    input_format: Option<Format>,
    /// The columns of CSV and Parquet, such as note_id=NOTE_KEY,text=NOTE_TEXT; nothing after = where there is none. Fields are note_id,
    /// text, patient_id, signed_at, note_type, site and revision.
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',', value_parser = column)]
    columns: Vec<(NoteField, String)>,
    /// What a site calls things and how it writes times, as TOML, in the tables columns, csv, dates and fhir.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
}

impl InputArgs {
    /// # Errors
    /// When the mapping cannot be read, or one of its settings not be used.
    pub(crate) fn formats(&self) -> Result<Arc<dyn NoteFormats>> {
        let mut config = match &self.mapping {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("{} is no mapping of notes", path.display()))?
            }
            None => InputConfig::default(),
        };
        for (field, column) in &self.columns {
            config.columns.set(*field, column.clone());
        }
        let of_mapping = || match &self.mapping {
            Some(path) => format!("cannot use {}", path.display()),
            None => "cannot read notes".to_owned(),
        };
        let inputs = Inputs::new(&config).with_context(of_mapping)?;
        Ok(Arc::new(Formats { format: self.input_format, inputs }))
    }

    /// Refuses lines on stdin in another format than they have.
    pub(crate) fn check(&self, paths: &[PathBuf]) -> Result<()> {
        ensure!(
            matches!(self.input_format, None | Some(Format::Jsonl)) || paths.iter().all(|path| path != Path::new("-")),
            "stdin is read as JSON Lines; save what is of another format to a file"
        );
        Ok(())
    }
}

/// What is read where nothing is said: each file by its extension, with the usual names.
///
/// # Errors
/// None that a user can cause.
pub(crate) fn usual() -> Result<Arc<dyn NoteFormats>> {
    InputArgs::default().formats()
}

/// Which files hold notes, and how.
struct Formats {
    /// The format of all of them, if it was said.
    format: Option<Format>,
    inputs: Inputs,
}

impl Formats {
    /// The format of others in which a file is read.
    fn of_others(&self, path: &Path) -> Option<InputFormat> {
        match self.format {
            Some(Format::Csv) => Some(InputFormat::Csv),
            Some(Format::Parquet) => Some(InputFormat::Parquet),
            Some(Format::Fhir) => Some(InputFormat::Fhir),
            Some(Format::Hl7) => Some(InputFormat::Hl7),
            Some(Format::Text | Format::Jsonl) => None,
            None => InputFormat::of(path),
        }
    }
}

impl NoteFormats for Formats {
    fn kind_of(&self, path: &Path, is_named: bool) -> Option<FileKind> {
        let plain = PlainNotes.kind_of(path, is_named);
        match self.format {
            Some(Format::Text) => Some(FileKind::Text).filter(|kind| is_named || plain == Some(*kind)),
            Some(Format::Jsonl) => Some(FileKind::Lines).filter(|kind| is_named || plain == Some(*kind)),
            Some(_) => {
                let is_its = InputFormat::of(path).is_some_and(|format| self.of_others(path) == Some(format));
                Some(FileKind::Other).filter(|_| is_named || is_its)
            }
            None => {
                // Beside notes, folders have tables and settings that are none.
                let is_unmistakable = path.extension().is_some_and(|extension| {
                    ["ndjson", "hl7"].iter().any(|known| extension.eq_ignore_ascii_case(known))
                });
                let other = InputFormat::of(path).filter(|_| is_named || is_unmistakable);
                plain.or(other.map(|_| FileKind::Other))
            }
        }
    }

    fn open(&self, path: &Path) -> Result<FileParts, LogError> {
        let Some(format) = self.of_others(path) else {
            return Err(LogError::NotNotes { path: path.to_owned(), known: self.known() });
        };
        let parts = self.inputs.open(format, path).map_err(|error| of_format(path, error))?;
        let path = path.to_owned();
        Ok(Box::new(parts.map(move |part| part.map(file_part).map_err(|error| of_format(&path, error)))))
    }

    fn known(&self) -> &'static str {
        ".txt, .jsonl, .ndjson, .json, .csv, .tsv, .parquet or .hl7"
    }
}

fn file_part(InputPart { place, said }: InputPart) -> FilePart {
    let said = match said {
        InputSaid::Note(note) => FileSaid::Note(note),
        InputSaid::Withdrawn(note_id) => FileSaid::Withdrawn(note_id),
        InputSaid::Refused(reason) => FileSaid::Refused(reason),
    };
    FilePart { place, said }
}

/// The error of a source of what went wrong with a file.
fn of_format(path: &Path, error: FormatError) -> LogError {
    match error {
        FormatError::File { action, path, source } => LogError::Io { action, path, source },
        FormatError::NotNotes { path, reason } => LogError::NotItsFormat { path, cause: reason },
        other => LogError::NotItsFormat { path: path.to_owned(), cause: format!("cannot be read: {other}") },
    }
}

/// # Errors
/// When it is no field with a column.
fn column(text: &str) -> Result<(NoteField, String)> {
    let known = || NoteField::ALL.map(NoteField::name).join(", ");
    let (name, column) = text.split_once('=').context("write FIELD=COLUMN, such as note_id=NOTE_KEY")?;
    let field = NoteField::ALL.into_iter().find(|field| field.name() == name.trim());
    let field = field.with_context(|| format!("there is no field {name}; write one of {}", known()))?;
    Ok((field, column.trim().to_owned()))
}

#[cfg(test)]
mod tests;
