//! `progress.json`: the progress, and what is needed to find the committed ends of the topics again.

use super::segments::End;
use crate::LogError;
use crate::disk::{failed, replace_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use stillroom_schemas::Progress;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The authority on what was done.
    pub(super) progress: Progress,
    /// Where the outputs end in their files, so that nothing needs to be read to cut them there.
    pub(super) output_ends: BTreeMap<String, BTreeMap<u32, End>>,
}

impl Checkpoint {
    /// What is committed to the log in `dir`; the default when nothing ever was.
    pub(super) fn read(dir: &Path) -> Result<Checkpoint, LogError> {
        let path = path(dir);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| LogError::Damaged { path, byte: 0, cause: error.to_string() })
    }

    /// Replaces what is committed: the moment at which a commit happens.
    pub(super) fn write(&self, dir: &Path) -> Result<(), LogError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a checkpoint is JSON");
        json.push(b'\n');
        replace_file(&path(dir), &json)
    }

    /// The committed end of an output partition.
    pub(super) fn output_end(&self, topic: &str, partition: u32) -> End {
        let next = self.progress.outputs.get(topic).and_then(|ends| ends.get(&partition)).copied();
        let end = self.output_ends.get(topic).and_then(|ends| ends.get(&partition)).copied();
        End { next: next.unwrap_or(0), ..end.unwrap_or_default() }
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("progress.json")
}
