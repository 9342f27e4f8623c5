//! A run that somebody asks for while another process has the folder of retraining.
//!
//! The request is a file in that folder. The process takes it up at its next look, and removes it when the run begins;
//! one that ended before leaves it to the next process.

use crate::retraining::run_folder::{removed, write};
use anyhow::Result;
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the folder of retraining that asks for a run.
#[derive(Clone, Debug)]
pub(crate) struct Request(PathBuf);

impl Request {
    /// The one that may stand in this folder.
    pub(crate) fn of(folder: &Path) -> Request {
        Request(folder.join("request.json"))
    }

    /// Asks for a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn leave(&self) -> Result<()> {
        write(&self.0, &crate::clock::utc_now())
    }

    /// Whether a run is asked for.
    pub(crate) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// The run has begun, or could not.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        removed(&self.0, fs::remove_file(&self.0))
    }
}

/// Another process has the folder of retraining.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Whether that process follows the log, and takes up requests.
    pub(crate) is_following: bool,
}

impl Display for Taken {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        write!(formatter, "another process retrains in {folder}; stop it, or name another folder in [retraining] dir")
    }
}

impl Error for Taken {}
