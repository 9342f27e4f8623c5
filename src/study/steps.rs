//! What is finished, in the folder of the study.
//!
//! A step is a file that holds a value and the hash of all that it was made from. As long as that is the same, the value is read and
//! nothing is done. The file replaces the one before it as a whole, so a kill leaves the old step or the new one.

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use stillroom_connectors::replace_file;
use stillroom_student::sha256;

/// Whose folder it is.
const MARK: &str = "study.json";

/// The folder of a study. No other run has it at the same time.
pub(crate) struct Steps {
    folder: PathBuf,
    /// Locked until it is closed.
    _mark: File,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Step<T> {
    key: String,
    value: T,
}

impl Steps {
    /// Opens or begins the folder of the study `name`.
    ///
    /// # Errors
    /// When it holds another study, or something else, or another run has it.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Steps> {
        Steps::check(folder, name)?;
        let (shown, path) = (folder.display(), folder.join(MARK));
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {shown}"))?;
        // It is never replaced, as the lock belongs to the file and not to its name.
        let mut mark = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        match mark.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run of the study has the folder {shown}; wait for its end, or stop it")
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        // Another run may have begun it since.
        Steps::check(folder, name)?;
        let about = || format!("cannot write {}", path.display());
        if mark.metadata().with_context(about)?.len() == 0 {
            mark.write_all(serde_json::to_string(&Mark { name: name.to_owned() })?.as_bytes()).with_context(about)?;
            mark.sync_all().with_context(about)?;
        }
        Ok(Steps { folder: folder.to_owned(), _mark: mark })
    }

    /// Refuses a folder that holds another study, or something else.
    ///
    /// # Errors
    /// Names it and what to do.
    pub(crate) fn check(folder: &Path, name: &str) -> Result<()> {
        let shown = folder.display();
        match std::fs::read(folder.join(MARK)) {
            Ok(bytes) if !bytes.is_empty() => {
                let mark: Mark =
                    serde_json::from_slice(&bytes).with_context(|| format!("{shown}/{MARK} is damaged"))?;
                ensure!(
                    mark.name == name,
                    "the folder {shown} is of the study {:?} and not of {name:?}; choose another out, or the name of that study",
                    mark.name
                );
                Ok(())
            }
            _ if holds_something_else(folder) => {
                bail!("the folder {shown} holds something else than a study; choose another out")
            }
            _ => Ok(()),
        }
    }

    /// The value of a step: the one that is there if it was made from the same, else what `make` gives.
    ///
    /// # Errors
    /// Those of `make`; when the step cannot be written.
    pub(crate) fn run<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        made_from: &impl Serialize,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (key, file) = (hash(made_from)?, format!("steps/{}.json", name.replace(' ', "-")));
        let kept = std::fs::read(self.folder.join(&file)).ok();
        // What cannot be read was made by another version, and is made anew.
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Step<T>>(&bytes).ok());
        if let Some(step) = kept.filter(|step| step.key == key) {
            eprintln!("{name}: done before");
            return Ok(step.value);
        }
        eprintln!("{name}");
        let bytes = serde_json::to_vec(&Step { key, value: make()? })?;
        self.write(&file, &bytes)?;
        // As the next run reads it, to the last digit.
        Ok(serde_json::from_slice::<Step<T>>(&bytes)?.value)
    }

    /// Replaces a file of the folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(replace_file(&path, bytes)?)
    }

    /// A file of the folder.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }
}

/// Whether there is more in a folder than the empty mark of a run that was killed as it began.
fn holds_something_else(folder: &Path) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| entry.file_name() != MARK)
}

/// SHA-256 of the JSON of a value.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn hash(value: &impl Serialize) -> Result<String> {
    Ok(sha256(&serde_json::to_vec(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_made_again_when_what_it_is_made_from_changes() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let steps = Steps::open(&out, "one").unwrap();
        let run = |from: &[u32], makes: u32| steps.run("step", &from, || Ok(makes)).unwrap();
        assert_eq!([run(&[1], 10), run(&[1], 11), run(&[2], 12), run(&[2], 13), run(&[1], 14)], [10, 10, 12, 12, 14]);
        assert!(steps.run::<u32>("step", &[3], || bail!("cannot")).is_err());
        assert_eq!(run(&[1], 15), 14, "a step that fails leaves what was there");
        // A file that was cut off, as no kill of ours leaves it.
        std::fs::write(out.join("steps/step.json"), "{\"key\":").unwrap();
        assert_eq!(run(&[1], 16), 16);
    }

    #[test]
    fn a_folder_is_of_one_study() {
        let folder = tempfile::tempdir().unwrap();
        Steps::open(&folder.path().join("out"), "one").unwrap();
        Steps::open(&folder.path().join("out"), "one").unwrap();
        let said = Steps::open(&folder.path().join("out"), "two").err().unwrap().to_string();
        assert!(said.contains("is of the study \"one\" and not of \"two\""), "{said}");
        let said = Steps::open(folder.path(), "one").err().unwrap().to_string();
        assert!(said.contains("holds something else than a study"), "{said}");
        let begun = folder.path().join("begun");
        std::fs::create_dir_all(&begun).unwrap();
        std::fs::write(begun.join(MARK), "").unwrap();
        Steps::open(&begun, "one").unwrap();
        assert!(Steps::open(&begun, "two").is_err());
    }

    #[test]
    fn a_folder_has_one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Steps::open(folder.path(), "one").unwrap();
        let said = Steps::open(folder.path(), "one").err().unwrap().to_string();
        assert!(said.contains("another run of the study has the folder"), "{said}");
        drop(first);
        Steps::open(folder.path(), "one").unwrap();
    }
}
