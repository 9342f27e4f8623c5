//! What can go wrong before a text is read. Nothing can while it is. No message carries text of a note.

use std::path::PathBuf;

/// Why a lexicon or a file of examples cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    /// A file cannot be read.
    #[error("cannot read {path}; name a file that is there and in UTF-8")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A lexicon is not one.
    #[error("the lexicon {file}: {entry} {reason}")]
    Lexicon {
        /// Its file, or `of the program`.
        file: String,
        /// Where in it: an entry and its text, or a line.
        entry: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The triggers are too many.
    #[error("the triggers of all lexicons do not fit into one automaton; write fewer or shorter ones")]
    Automaton {
        /// Which bound was met.
        #[source]
        source: aho_corasick::BuildError,
    },
    /// An example is not one. What the parser says is left out, as it may quote the sentence.
    #[error("{file}:{line}: {reason}")]
    Example {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and what to do.
        reason: String,
    },
}
