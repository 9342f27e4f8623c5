//! The folder of an export.
//!
//! ```text
//! .lock                       held by the one process that exports here
//! .part/                      the part under way; one that a kill has left is removed
//! part-000000/
//!   extractions.jsonl         or what else the format writes, such as the folder omop/
//!   withdrawn.jsonl           notes that have no entities any more
//!   left_out.jsonl            notes that the format cannot hold, and why
//!   export.json               the format, and from where to where the part goes
//! ```
//!
//! A part gets its name when all of it is on the disk, so it is there as a whole or not at all, and says by itself where
//! the next one begins.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

/// What a part says of itself.
const MANIFEST: &str = "export.json";

/// What names of parts begin with.
const PREFIX: &str = "part-";

/// The part under way.
const DRAFT: &str = ".part";

/// The next offset to read, by partition.
pub(super) type Offsets = BTreeMap<u32, u64>;

/// `export.json`: what a part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The format, as `--format` has it.
    pub(super) format: String,
    /// The topic of extractions.
    pub(super) topic: String,
    /// The id that the log gave the topic.
    pub(super) topic_id: String,
    /// The first offset of each partition of the topic that the part may speak of; 0 of one that is not named.
    pub(super) from: Offsets,
    /// Where each partition is read on from.
    pub(super) to: Offsets,
    /// From where on the topic of states is searched next, by partition.
    pub(super) states: Offsets,
    /// How much is in it.
    pub(super) counts: Counts,
}

/// How much is in a part, or in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    /// Notes with what was extracted from them.
    pub(crate) notes: u64,
    /// Entities of these notes.
    pub(crate) entities: u64,
    /// Notes that have no entities any more.
    pub(crate) withdrawn: u64,
    /// Extractions that a later one has already replaced: it comes with a part to come.
    pub(crate) superseded: u64,
    /// Notes that are in `left_out.jsonl`.
    pub(crate) left_out: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.notes += other.notes;
        self.entities += other.entities;
        self.withdrawn += other.withdrawn;
        self.superseded += other.superseded;
        self.left_out += other.left_out;
    }
}

/// The folder, which no other process has at the same time.
pub(super) struct Folder {
    path: PathBuf,
    /// The number of the part to come.
    next: u64,
    /// What the last part says.
    last: Option<Manifest>,
    /// Locked until it is closed.
    _lock: File,
}

impl Folder {
    /// Opens or makes the folder, and removes what a kill has left half written.
    ///
    /// # Errors
    /// When another process exports to it, it cannot be read or written, or the last part does not say where it ends.
    pub(super) fn open(path: &Path) -> Result<Folder> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let lock = path.join(".lock");
        // It is never removed, as the lock belongs to the file and not to its name.
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let file = file.with_context(|| format!("cannot write {}", lock.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another process exports to {}; stop it, or name another folder", path.display());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock.display()));
            }
        }
        remove(&path.join(DRAFT))?;
        let last = last_part(path)?;
        let manifest = last.map(|number| manifest_of(&path.join(name_of(number)))).transpose()?;
        let next = last.map_or(0, |number| number + 1);
        Ok(Folder { path: path.to_owned(), next, last: manifest, _lock: file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the last part says of itself, if there is one.
    pub(super) fn last(&self) -> Option<&Manifest> {
        self.last.as_ref()
    }

    /// Begins a part: an empty folder that readers of parts pass over, and that goes unless it is committed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn begin(&self) -> Result<Draft> {
        let path = self.path.join(DRAFT);
        remove(&path)?;
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Draft { path })
    }

    /// Shows a part to readers, by the name that this gives; before that all of it is on the disk.
    ///
    /// # Errors
    /// When the operating system refuses: then there is no such part.
    pub(super) fn commit(&mut self, draft: Draft, manifest: Manifest) -> Result<String> {
        let written = draft.path.join(MANIFEST);
        let bytes = serde_json::to_vec_pretty(&manifest)?;
        fs::write(&written, bytes).with_context(|| format!("cannot write {}", written.display()))?;
        sync_tree(&draft.path)?;
        let name = name_of(self.next);
        let path = self.path.join(&name);
        fs::rename(&draft.path, &path).with_context(|| format!("cannot complete {}", path.display()))?;
        sync(&self.path)?;
        (self.next, self.last) = (self.next + 1, Some(manifest));
        Ok(name)
    }
}

/// A part under way.
pub(super) struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What was committed is not there any more; and where it cannot be removed, the next start says why.
        let _removed = fs::remove_dir_all(&self.path);
    }
}

fn name_of(number: u64) -> String {
    format!("{PREFIX}{number:06}")
}

/// The greatest number of a part.
fn last_part(folder: &Path) -> Result<Option<u64>> {
    let cannot = || format!("cannot list {}", folder.display());
    let mut last: Option<u64> = None;
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        last = last.max(digits.and_then(|digits| digits.parse().ok()));
    }
    Ok(last)
}

fn manifest_of(part: &Path) -> Result<Manifest> {
    let path = part.join(MANIFEST);
    let remedy = "restore the part, or export to another folder";
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}; {remedy}", path.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} does not say where the next part begins; {remedy}", path.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Makes a folder durable with all that is below it.
fn sync_tree(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        if entry.file_type().with_context(cannot)?.is_dir() { sync_tree(&entry.path()) } else { sync(&entry.path()) }?;
    }
    sync(folder)
}

fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot sync {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(to: u64) -> Manifest {
        Manifest {
            format: "jsonl".to_owned(),
            topic: "extractions".to_owned(),
            topic_id: "1".to_owned(),
            from: Offsets::new(),
            to: Offsets::from([(0, to), (12, u64::MAX)]),
            states: Offsets::new(),
            counts: Counts { notes: 1, ..Counts::default() },
        }
    }

    #[test]
    fn parts_follow_each_other_and_one_that_is_not_committed_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let mut folder = Folder::open(&path).unwrap();
        assert_eq!(folder.last(), None);
        let draft = folder.begin().unwrap();
        fs::create_dir(draft.path().join("omop")).unwrap();
        fs::write(draft.path().join("omop/note.csv"), "text").unwrap();
        assert_eq!(folder.commit(draft, manifest(3)).unwrap(), "part-000000");
        drop(folder.begin().unwrap());
        assert!(!path.join(DRAFT).exists());
        assert_eq!(folder.commit(folder.begin().unwrap(), manifest(7)).unwrap(), "part-000001");
        drop(folder);
        assert_eq!(fs::read_to_string(path.join("part-000000/omop/note.csv")).unwrap(), "text");

        // As a kill leaves it.
        fs::create_dir_all(path.join(DRAFT).join("omop")).unwrap();
        // A reader has taken the first part away.
        fs::remove_dir_all(path.join("part-000000")).unwrap();
        let mut folder = Folder::open(&path).unwrap();
        assert!(!path.join(DRAFT).exists());
        assert_eq!(folder.last(), Some(&manifest(7)));
        assert_eq!(folder.commit(folder.begin().unwrap(), manifest(8)).unwrap(), "part-000002");
    }

    #[test]
    fn a_folder_is_refused_that_another_has_or_that_does_not_say_where_it_ends() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let refused = || format!("{:#}", Folder::open(root.path()).err().unwrap());
        assert!(refused().contains("another process exports to"), "{}", refused());
        drop(folder);
        fs::create_dir(root.path().join("part-000004")).unwrap();
        assert!(refused().contains("part-000004/export.json; restore the part"), "{}", refused());
        fs::write(root.path().join("part-000004").join(MANIFEST), "{}").unwrap();
        assert!(refused().contains("does not say where the next part begins"), "{}", refused());
    }
}
