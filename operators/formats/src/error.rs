//! What can go wrong between records and the formats of others. No message carries text of a note.

use std::path::{Path, PathBuf};

/// Why a format was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A file or a folder cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A folder to write to holds something already.
    #[error(
        "{path} is not empty, and its readers would mix what is there with what is new; name another folder, or empty it"
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A setting cannot be used.
    #[error("{field} {reason}")]
    Setting {
        /// Its full name, such as `dates.utc_offset`.
        field: &'static str,
        /// What is wrong and what to do, in words that go on after the name.
        reason: String,
    },
    /// A row of a table that was given is wrong.
    #[error("{path}, line {line}: {reason}")]
    Row {
        /// The table.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file does not hold notes as it should.
    #[error("{path} {reason}")]
    NotNotes {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do, in words that go on after the file's name.
        reason: String,
    },
    /// A note cannot be written in the format.
    #[error("note {note_id:?} {reason}")]
    Note {
        /// The note.
        note_id: String,
        /// What is wrong and what to do, in words that go on after the note's name.
        reason: String,
    },
}

impl FormatError {
    /// What makes an error of an `io::Error` on `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FormatError {
        let path = path.to_owned();
        move |source| FormatError::File { action, path, source }
    }
}
