//! The folder of a run: its documents, and the candidate that is made of them.

use crate::retraining::snapshot::Snapshot;
use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use stillroom_connectors::replace_file;
use tempfile::TempDir;

/// In the folder of a run, what is learned from.
pub(crate) const TRAIN: &str = "train.jsonl";

/// In the folder of a run, what passes and thresholds are chosen by.
pub(crate) const DEV: &str = "dev.jsonl";

/// In the folder of a run, the candidate.
pub(crate) const STUDENT: &str = "student";

/// In the folder of a run, what a training locks, so that no two write the candidate.
pub(crate) const TRAIN_LOCK: &str = "train.lock";

/// In the folder of a run, the copy of the candidate that is measured.
const STAGE: &str = "stage";

/// In the folder of a run, what the documents are in all.
pub(crate) const SNAPSHOT: &str = "snapshot.json";

/// The folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder(pub(crate) PathBuf);

impl RunFolder {
    /// Begins anew: of an earlier run on the same examples nothing is left.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn begin(&self, learned: &BTreeSet<u64>) -> Result<()> {
        self.remove()?;
        make_folder(&self.0)?;
        write(&self.0.join("learned.json"), learned)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What is learned from.
    pub(crate) fn train(&self) -> PathBuf {
        self.0.join(TRAIN)
    }

    /// What passes and thresholds are chosen by.
    pub(crate) fn dev(&self) -> PathBuf {
        self.0.join(DEV)
    }

    /// What is measured by.
    pub(crate) fn held_out(&self) -> PathBuf {
        self.0.join("heldout.jsonl")
    }

    /// Where the candidate began to read along, and what came of it.
    pub(crate) fn shadow(&self) -> PathBuf {
        self.0.join("shadow.json")
    }

    /// The candidate.
    pub(crate) fn student(&self) -> PathBuf {
        self.0.join(STUDENT)
    }

    /// An empty folder for a copy of the candidate; what a kill left of an earlier one goes. It is here, and not among the
    /// system's temporary files, so that it goes with the run.
    ///
    /// # Errors
    /// When it cannot be removed or made.
    pub(crate) fn stage(&self) -> Result<TempDir> {
        let path = self.0.join(STAGE);
        removed(&path, fs::remove_dir_all(&path))?;
        let stage = tempfile::Builder::new().prefix(STAGE).rand_bytes(0).tempdir_in(&self.0);
        stage.with_context(|| format!("cannot create {}", path.display()))
    }

    /// Whether the candidate is finished: its manifest is written last, and then its checkpoint goes.
    pub(crate) fn is_trained(&self) -> bool {
        let student = self.student();
        student.join("manifest.json").exists() && !student.join("checkpoint").exists()
    }

    /// Writes what the documents are in all, which makes them whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        write(&self.0.join(SNAPSHOT), snapshot)
    }

    /// What the documents are in all; nothing when they are not whole.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn snapshot(&self) -> Result<Option<Snapshot>> {
        read(&self.0.join(SNAPSHOT))
    }

    /// What the run learns from, by its fingerprints.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn learned(&self) -> Result<BTreeSet<u64>> {
        Ok(read(&self.0.join("learned.json"))?.unwrap_or_default())
    }

    /// Removes all but a candidate that is finished, also what a kill has left half written.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn remove_but_student(&self) -> Result<()> {
        if !self.is_trained() {
            return self.remove();
        }
        for path in entries(&self.0)?.into_iter().filter(|path| *path != self.student()) {
            removed(&path, if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) })?;
        }
        Ok(())
    }

    /// Removes all.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        removed(&self.0, fs::remove_dir_all(&self.0))
    }
}

/// The paths of what a folder holds.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = |entry: io::Result<DirEntry>| entry.map(|entry| entry.path());
    let entries = || fs::read_dir(folder)?.map(path).collect::<io::Result<Vec<PathBuf>>>();
    entries().with_context(|| format!("cannot read {}", folder.display()))
}

/// What came of a removal: what is not there needs none.
///
/// # Errors
/// When it is there and could not be removed.
pub(crate) fn removed(path: &Path, result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes a folder that its owner alone can look into.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path).with_context(|| format!("cannot create {}", path.display()))
}

/// What a file holds; nothing when it is not there.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            let damaged = || format!("{} is damaged, or of another version; remove it to begin anew", path.display());
            Ok(Some(serde_json::from_slice(&bytes).with_context(damaged)?))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Replaces a file as a whole.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    Ok(replace_file(path, &serde_json::to_vec(value)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_kills_left_do_not_pile_up_and_go_with_the_run() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder(root.path().join("run"));
        run.begin(&BTreeSet::new()).unwrap();
        fs::create_dir(run.student()).unwrap();
        fs::write(run.student().join("manifest.json"), "{}").unwrap();
        let before = entries(run.path()).unwrap().len();
        for _ in 0..3 {
            let stage = run.stage().unwrap();
            assert_eq!((stage.path().parent(), entries(stage.path()).unwrap().len()), (Some(run.path()), 0));
            fs::write(stage.path().join("weights"), "weights").unwrap();
            // As a kill does.
            let _ = stage.keep();
            assert_eq!(entries(run.path()).unwrap().len(), before + 1);
        }
        run.remove_but_student().unwrap();
        assert_eq!(entries(run.path()).unwrap(), [run.student()]);
        drop(run.stage().unwrap());
        assert_eq!(entries(run.path()).unwrap(), [run.student()], "it goes when it is needed no more");
    }
}
