//! Reading and writing a student's files.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Why a student could not be loaded, trained or saved.
#[derive(Debug, thiserror::Error)]
pub enum StudentError {
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file is not what it should be.
    #[error("{path} is not a valid file of its kind; correct it, or fetch it anew")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The files describe something that a student cannot be.
    #[error("{path} cannot be used: {cause}")]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A tensor is not what it must be.
    #[error("{path} cannot be used: its tensor {tensor} {cause}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// The tensor, under its name in `BertForTokenClassification`.
        tensor: String,
        /// What is wrong with it, and what to do.
        cause: String,
    },
    /// The device is not there, fails, or cannot do what is asked of it.
    #[error("device {device} cannot be used: {cause}")]
    Device {
        /// The device.
        device: String,
        /// Why, and what to do.
        cause: String,
    },
    /// The tokenizer could not be loaded or refused a text.
    #[error(transparent)]
    Tokenizer(#[from] stillroom_dataflow::TokenizerError),
    /// There is nothing to learn from.
    #[error("cannot train: {0}")]
    Data(String),
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, StudentError> {
    fs::read(path).map_err(|source| StudentError::Io { action: "read", path: path.to_owned(), source })
}

/// Writes beside `path` and renames, so that a reader sees the old or the new file and never a part, also after a loss of power.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StudentError> {
    let failed = |action| move |source| StudentError::Io { action, path: path.to_owned(), source };
    let beside = path.with_extension("partial");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(failed("write"))?;
    fs::rename(&beside, path).map_err(failed("replace"))
}

pub(crate) fn create_folder(path: &Path) -> Result<(), StudentError> {
    fs::create_dir_all(path).map_err(|source| StudentError::Io { action: "create", path: path.to_owned(), source })
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StudentError> {
    serde_json::from_slice(&read(path)?).map_err(|source| StudentError::Json { path: path.to_owned(), source })
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StudentError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|source| StudentError::Json { path: path.to_owned(), source })?;
    text.push('\n');
    write(path, text.as_bytes())
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
