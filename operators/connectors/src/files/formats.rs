//! Which files hold notes, and who reads those that are neither text nor lines of JSON.

use crate::LogError;
use std::path::Path;
use stillroom_schemas::Note;

/// How a file holds notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// It is one note.
    Text,
    /// A line of JSON is a note, or withdraws one.
    Lines,
    /// In a format of others, by [`NoteFormats::open`].
    Other,
}

/// What a part of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSaid {
    /// A note, or a revision of one.
    Note(Note),
    /// The note of this id is withdrawn.
    Withdrawn(String),
    /// It cannot be read: what is wrong and what to do, without any text of a note.
    Refused(String),
}

/// A part of a file, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// What it is and which, from 1, such as row 7; absent where it is the whole file.
    pub place: Option<(&'static str, u64)>,
    /// What it says.
    pub said: FileSaid,
}

/// The parts of a file, front to back. An error ends them.
pub type FileParts = Box<dyn Iterator<Item = Result<FilePart, LogError>> + Send>;

/// Which files hold notes, and how they are read.
pub trait NoteFormats: Send + Sync {
    /// How the file at `path` holds notes; nothing where it holds none. `is_named` says whether somebody named the file, rather than a
    /// folder above it.
    fn kind_of(&self, path: &Path, is_named: bool) -> Option<FileKind>;

    /// Opens a file that is [`FileKind::Other`].
    ///
    /// # Errors
    /// When it cannot be read, or is not of its format.
    fn open(&self, path: &Path) -> Result<FileParts, LogError>;

    /// The extensions of files that hold notes, for people, such as `.txt or .jsonl`.
    fn known(&self) -> &'static str;
}

/// The parts of a file that a folder has; one that is not of its format is a part that says so, and ends nothing. Files that somebody
/// named were opened before, as a mistake in a name is to be known at once.
pub(super) fn open_found(formats: &dyn NoteFormats, path: &Path) -> Result<FileParts, LogError> {
    match formats.open(path) {
        Err(LogError::NotItsFormat { cause, .. }) => {
            let part = FilePart { place: None, said: FileSaid::Refused(cause) };
            Ok(Box::new(std::iter::once(Ok(part))))
        }
        opened => opened,
    }
}

/// Text and lines of JSON alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainNotes;

impl NoteFormats for PlainNotes {
    fn kind_of(&self, path: &Path, _is_named: bool) -> Option<FileKind> {
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("txt") {
            Some(FileKind::Text)
        } else if extension.eq_ignore_ascii_case("jsonl") {
            Some(FileKind::Lines)
        } else {
            None
        }
    }

    fn open(&self, path: &Path) -> Result<FileParts, LogError> {
        Err(LogError::NotNotes { path: path.to_owned(), known: self.known() })
    }

    fn known(&self) -> &'static str {
        ".txt or .jsonl"
    }
}
