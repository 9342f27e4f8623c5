//! What can go wrong between a base's name and its folder.

use std::path::{Path, PathBuf};

/// Why a base is not at hand. No message carries a token.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is none.
    #[error(
        "{name:?} is neither a folder nor the name of a base; write biobert, bioclinbert, bert-base-cased, bert-base-uncased, \
         an id of the hub like owner/name or owner/name@revision, or a folder that is there"
    )]
    Name {
        /// As it was written.
        name: String,
    },
    /// A setting cannot be used.
    #[error("{field} {reason}")]
    Setting {
        /// The field of the configuration.
        field: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file of the cache, or that of the token, cannot be read or written.
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
    /// The HTTP client cannot be made.
    #[error("cannot set up a client for the hub")]
    Client(#[source] reqwest::Error),
    /// The cache is not complete, and no request may be made.
    #[error(
        "the cache {cache} has not all of {model}, and hub.offline is set; fetch it once without, or name another hub.cache"
    )]
    Offline {
        /// The model.
        model: String,
        /// The cache's folder.
        cache: PathBuf,
    },
    /// No connection, or an answer that broke off.
    #[error("cannot reach {url}; check the network and hub.endpoint, and try again: what has arrived is kept")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A body that ended too soon, each time that it was asked for.
    #[error("{url} ends after {bytes} of {size} bytes; try again: what has arrived is kept")]
    Truncated {
        /// What was asked for.
        url: String,
        /// What has arrived.
        bytes: u64,
        /// What was announced.
        size: u64,
    },
    /// An answer that says to try later.
    #[error("{url} answers {status}; it is not well, or has too much to do: try again later")]
    Unwell {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The wait that it asks for, in seconds.
        retry_after_s: Option<u64>,
    },
    /// The hub shows it to nobody, or not to this token.
    #[error("{url} answers {status}; {remedy}")]
    Denied {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What to do.
        remedy: &'static str,
    },
    /// There is no such model, or no such revision of it.
    #[error("{endpoint} has no model {model}, nor is there a folder of this name; correct the name or the revision")]
    NoModel {
        /// The hub.
        endpoint: String,
        /// The model.
        model: String,
    },
    /// The model lacks files.
    #[error("{model} has no {files}; choose a model that has, or name a folder with these files")]
    NoFile {
        /// The model.
        model: String,
        /// Those of which one is needed.
        files: String,
    },
    /// An answer that is not the hub's.
    #[error(
        "what answers {status} at {url} is no hub: {reason}; correct hub.endpoint, or download the files and name their folder"
    )]
    NotAHub {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it lacks.
        reason: &'static str,
    },
    /// A file that was downloaded does not have its checksum.
    #[error(
        "{file} of {model} has the checksum {found}, not {expected}; it was removed: try again, or use another hub.endpoint"
    )]
    Damaged {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// What it has.
        found: String,
        /// What it must have.
        expected: String,
    },
    /// A file of the cache does not have the checksum that it is named by.
    #[error(
        "{path}, which is {file} of {model}, has the checksum {found} and not that of its name; fetch it once without hub.offline, \
         or name another hub.cache"
    )]
    DamagedBlob {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Where the cache has it.
        path: PathBuf,
        /// What it has.
        found: String,
    },
}

impl HubError {
    /// What makes an error of an `io::Error` on `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> HubError {
        let path = path.to_owned();
        move |source| HubError::File { action, path, source }
    }

    /// Whether the same request may be answered later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, HubError::Unreachable { .. } | HubError::Unwell { .. } | HubError::Truncated { .. })
    }
}
