//! Why vocabularies cannot be used. No message carries text of a note.

use std::path::PathBuf;

/// Why vocabularies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConceptError {
    /// A setting cannot be used, or not with these files.
    #[error("{object} {reason}")]
    Config {
        /// Which.
        object: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is not of its format.
    #[error("{what} {path} {reason} (line {line}); {remedy}")]
    Format {
        /// What the file is: `the vocabulary`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// Where reading ended, from 1 on.
        line: u64,
        /// What to do.
        remedy: String,
    },
    /// The vocabularies have more names than are allowed.
    #[error("the vocabularies have more than {names_max} names; choose kinds or tags, or raise names_max")]
    Names {
        /// How many are.
        names_max: usize,
    },
    /// A vocabulary is larger than its index can be.
    #[error("the vocabulary {name} has more {what} than its index can hold; choose kinds or tags")]
    Size {
        /// The vocabulary.
        name: String,
        /// Of what: `text` or `relations`.
        what: &'static str,
    },
}
