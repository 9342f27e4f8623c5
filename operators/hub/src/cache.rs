//! The cache, laid out as Python's `huggingface_hub` lays it out, so that both find what either fetched:
//!
//! ```text
//! models--owner--name/refs/main                           the commit that a revision was
//!                     blobs/CHECKSUM                      a file's bytes; CHECKSUM.incomplete while they arrive
//!                     snapshots/COMMIT/config.json        a link to a blob
//!                     .no_exist/COMMIT/tokenizer_config.json   a file that the commit does not have
//! .locks/models--owner--name/CHECKSUM.lock                held by who writes that blob
//! ```

use crate::digest::{Digest, is_lower_hex};
use crate::{HubError, ModelName};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A model's part of the cache.
pub(crate) struct Cached {
    folder: PathBuf,
    locks: PathBuf,
    model: ModelName,
}

/// A commit's files.
pub(crate) struct Snapshot {
    /// The folder that has them.
    pub(crate) folder: PathBuf,
    /// The commit.
    pub(crate) commit: String,
    absent: PathBuf,
}

impl Cached {
    pub(crate) fn new(cache: &Path, model: &ModelName) -> Cached {
        let name = format!("models--{}", model.id.replace('/', "--"));
        Cached { folder: cache.join(&name), locks: cache.join(".locks").join(&name), model: model.clone() }
    }

    /// The files of the model's revision, if it was ever fetched.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let revision = &self.model.revision;
        let commit = match is_commit(revision) {
            true => revision.clone(),
            false => fs::read_to_string(self.reference()).ok()?.trim().to_owned(),
        };
        is_commit(&commit).then(|| self.of_commit(&commit))
    }

    /// The files of a commit.
    pub(crate) fn of_commit(&self, commit: &str) -> Snapshot {
        let at = |part: &str| self.folder.join(part).join(commit);
        Snapshot { folder: at("snapshots"), commit: commit.to_owned(), absent: at(".no_exist") }
    }

    /// Keeps which commit the revision is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn remember(&self, commit: &str) -> Result<(), HubError> {
        if is_commit(&self.model.revision) {
            return Ok(());
        }
        let path = self.reference();
        create_folder_of(&path)?;
        let beside = path.with_extension("partial");
        fs::write(&beside, commit).map_err(HubError::file("write", &beside))?;
        fs::rename(&beside, &path).map_err(HubError::file("replace", &path))
    }

    /// Waits until nobody else writes the blob; the lock lasts as long as the file is open.
    ///
    /// # Errors
    /// When it cannot be locked.
    pub(crate) fn lock(&self, digest: &Digest) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", digest.digits()));
        create_folder_of(&path)?;
        let file = File::create(&path).map_err(HubError::file("create", &path))?;
        file.lock().map_err(HubError::file("lock", &path))?;
        Ok(file)
    }

    /// Where a blob is, and where its bytes arrive.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<[PathBuf; 2], HubError> {
        let path = self.folder.join("blobs").join(digest.digits());
        create_folder_of(&path)?;
        Ok([path.clone(), path.with_extension("incomplete")])
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(&self.model.revision)
    }
}

impl Snapshot {
    /// Whether the commit has this file, as far as the cache knows.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }

    /// Whether the commit is known not to have this file.
    pub(crate) fn lacks(&self, file: &str) -> bool {
        self.absent.join(file).is_file()
    }

    /// Keeps that the commit does not have this file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn note_absent(&self, file: &str) -> Result<(), HubError> {
        let path = self.absent.join(file);
        create_folder_of(&path)?;
        fs::write(&path, "").map_err(HubError::file("write", &path))
    }

    /// The checksum that names a file's blob, and the blob; nothing for a file that is no link to one.
    pub(crate) fn blob_of(&self, file: &str) -> Option<(Digest, PathBuf)> {
        let blob = self.folder.join(file).canonicalize().ok()?;
        let digest = Digest::parse(blob.file_name()?.to_str()?)?;
        Some((digest, blob))
    }

    /// Gives a blob the name of a file.
    ///
    /// # Errors
    /// When it cannot be linked.
    pub(crate) fn link(&self, file: &str, blob: &Path) -> Result<(), HubError> {
        let path = self.folder.join(file);
        create_folder_of(&path)?;
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(HubError::File { action: "replace", path, source });
            }
            _ => {}
        }
        let target = Path::new("../../blobs").join(blob.file_name().unwrap_or_default());
        link(&target, &path).map_err(HubError::file("link", &path))
    }
}

/// Links are relative, so that the cache can be moved.
#[cfg(unix)]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Elsewhere links are a privilege, and the bytes are there twice.
#[cfg(not(unix))]
fn link(target: &Path, path: &Path) -> io::Result<()> {
    fs::copy(path.parent().unwrap_or(path).join(target), path).map(|_| ())
}

/// Whether `text` is a commit's id.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_lower_hex(text)
}

fn create_folder_of(path: &Path) -> Result<(), HubError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(HubError::file("create", folder))
}
