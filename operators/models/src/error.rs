//! What can go wrong between a student and its registry.

use std::path::{Path, PathBuf};

/// What object_store says went wrong. Its text has all its causes in it, so it is shown without them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub Box<object_store::Error>);

/// Why the registry did not do what was asked. No message carries a key.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A setting cannot be used.
    #[error("{field} {reason}")]
    Setting {
        /// The field of the configuration.
        field: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file of this machine cannot be read or written.
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
    /// What runs the requests cannot be made.
    #[error("cannot set up a client for the registry {place}")]
    Client {
        /// The registry.
        place: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry does not answer, or not as it should.
    #[error("cannot {action} {object} in the registry {place}; {remedy}, and try again")]
    Store {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// The registry.
        place: String,
        /// What to do.
        remedy: &'static str,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The folder does not exist.
    #[error(
        "there is no registry in {place}; add a student with stillroom models add, which makes it, or correct models.registry, which \
         is relative to the working directory unless it begins with a /"
    )]
    NoFolder {
        /// The registry.
        place: String,
    },
    /// The bucket does not exist.
    #[error("there is no bucket for the registry {place}; create it, or correct models.registry")]
    NoBucket {
        /// The registry.
        place: String,
    },
    /// The keys are refused, or do not suffice.
    #[error(
        "the registry {place} does not let {action} {object} ({code}); correct models.access_key_id_file and \
         models.secret_access_key_file, or have the bucket's owner allow it"
    )]
    Denied {
        /// The registry.
        place: String,
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// The code of S3, such as `InvalidAccessKeyId`.
        code: String,
    },
    /// An id that is none.
    #[error(
        "{model:?} cannot be a student of a registry; give it a name of letters, digits and . _ - + in its manifest.json, then @ and 4 \
         digits or more of its weights' hash"
    )]
    Id {
        /// As it was written.
        model: String,
    },
    /// Files that cannot become an entry.
    #[error("{model} cannot be added from {folder}: its entry {reason}; correct it and add it again")]
    NotAddable {
        /// The student.
        model: String,
        /// Where its files are.
        folder: PathBuf,
        /// What is wrong, in words that go on after "entry".
        reason: String,
    },
    /// A file that was written while it was read.
    #[error("{path} changed while it was added; wait until nothing writes it, and add it again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// There is another student of this id.
    #[error(
        "the registry {place} has {model} already, with another {what}; an entry stays what it is: keep it, or train anew for another \
         version"
    )]
    Taken {
        /// The registry.
        place: String,
        /// The student.
        model: String,
        /// What differs.
        what: String,
    },
    /// There is a file of a write that was cut off or is under way.
    #[error(
        "the registry {place} has another {file} of {model}, but no entry: a write was cut off, or is under way; if none is, remove \
         {place}/{model} and add it again"
    )]
    Leftover {
        /// The registry.
        place: String,
        /// The student.
        model: String,
        /// The file.
        file: String,
    },
    /// No student is called so.
    #[error("the registry {place} has no student {name:?}; {remedy}")]
    Unknown {
        /// The registry.
        place: String,
        /// As it was written.
        name: String,
        /// Which there are, or how to add one.
        remedy: String,
    },
    /// Several students are called so.
    #[error("{name:?} may be {candidates} of the registry {place}; write more of the version")]
    Ambiguous {
        /// The registry.
        place: String,
        /// As it was written.
        name: String,
        /// Their ids.
        candidates: String,
    },
    /// An `entry.json` is not one.
    #[error(
        "{place}/{model}/entry.json {reason}; restore it from a copy, or remove {place}/{model} and add the student again"
    )]
    Entry {
        /// The registry.
        place: String,
        /// The student whose folder it is in.
        model: String,
        /// What is wrong, in words that go on after the name of the file.
        reason: String,
    },
    /// A file is not what its entry says.
    #[error(
        "{place}/{model}/{file} {reason}; restore it from a copy, or remove {place}/{model} and add the student again"
    )]
    Damaged {
        /// The registry.
        place: String,
        /// The student.
        model: String,
        /// The file.
        file: String,
        /// What is wrong, in words that go on after the name of the file.
        reason: String,
    },
}

impl ModelsError {
    /// What makes an error of an `io::Error` on `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ModelsError {
        let path = path.to_owned();
        move |source| ModelsError::File { action, path, source }
    }
}
