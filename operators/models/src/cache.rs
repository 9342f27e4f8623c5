//! The students of a bucket on this machine: `<cache>/<model id>/…`, laid out as in the registry. The entry is written last here too,
//! so that a student that is complete is used without any request.
//!
//! The cache has a bound in bytes. A use sets the time of the entry's file, and before a fetch those students go whose newest file is
//! the oldest. What another process was about to load is then gone under it: it fetches that anew with its next try.

use crate::contents::Contents;
use crate::entry::{ENTRY, version_of};
use crate::store::{FileOf, Store};
use crate::{Entry, ModelsError, StoredFile};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use stillroom_schemas::ModelId;
use tempfile::NamedTempFile;

/// The students of a bucket in a folder.
pub(crate) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    /// Students whose folders were given to this process, which must not go while it reads them.
    given: Mutex<BTreeSet<ModelId>>,
}

/// A student in the cache, whole or not.
struct Cached {
    used: SystemTime,
    model: ModelId,
    bytes: u64,
}

impl Cache {
    /// The cache in a folder, which need not be there, with this many bytes at most.
    pub(crate) fn new(folder: &Path, bytes_max: u64) -> Cache {
        Cache { folder: folder.to_owned(), bytes_max, given: Mutex::default() }
    }

    /// The folder of a student, if it is complete and every file is what the entry says. This is a use.
    pub(crate) fn complete(&self, model: &ModelId) -> Option<PathBuf> {
        let folder = self.folder.join(&model.0);
        let path = folder.join(ENTRY);
        let entry = Entry::parse(&fs::read(&path).ok()?, model).ok()?;
        if !entry.files.iter().all(|(name, expected)| is_whole(&folder.join(name), expected)) {
            return None;
        }
        if let Err(error) = File::open(&path).and_then(|file| file.set_modified(SystemTime::now())) {
            // In a cache that this user may only read it is not this process that students go by.
            tracing::debug!(%error, "the use of a student is not noted in {}", path.display());
        }
        Some(self.give(model, folder))
    }

    /// Forgets a student that is in the cache as another entry than this, so that its next use fetches what differs.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn forget_other(&self, entry: &Entry) -> Result<(), ModelsError> {
        let path = self.folder.join(&entry.model.0).join(ENTRY);
        let cached = there(fs::read(&path)).map_err(ModelsError::file("read", &path))?;
        // Their texts are compared, as a number with many digits may be read as its neighbour.
        if cached.is_some_and(|bytes| bytes != entry.text()) {
            there(fs::remove_file(&path)).map_err(ModelsError::file("remove", &path))?;
        }
        Ok(())
    }

    /// Brings a student of the registry into the cache: each file that is not there, or is another, is fetched, verified and renamed
    /// into place. What an interrupted call fetched is kept. Others go first, if there is no room.
    ///
    /// # Errors
    /// When the registry does not answer, a file is not what the entry says, or the cache cannot be read or written.
    pub(crate) fn fetch(&self, store: &Store, entry: &Entry) -> Result<PathBuf, ModelsError> {
        let folder = self.folder.join(&entry.model.0);
        fs::create_dir_all(&folder).map_err(ModelsError::file("create", &folder))?;
        let text = entry.text();
        self.make_room(entry, text.len())?;
        for (name, expected) in &entry.files {
            let path = folder.join(name);
            if is_whole(&path, expected) {
                continue;
            }
            let mut contents = Contents::default();
            let file = FileOf(&entry.model, name);
            let mut beside = beside(&folder)?;
            let found = store.blocks(file, &mut |block| {
                contents.update(block);
                beside.write_all(block).map_err(ModelsError::file("write", beside.path()))
            })?;
            store.compare(file, found.then(|| contents.finish()), expected)?;
            put(beside, &path)?;
        }
        let (mut beside, path) = (beside(&folder)?, folder.join(ENTRY));
        beside.write_all(&text).map_err(ModelsError::file("write", beside.path()))?;
        put(beside, &path)?;
        Ok(self.give(&entry.model, folder))
    }

    fn give(&self, model: &ModelId, folder: PathBuf) -> PathBuf {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(model.clone());
        folder
    }

    /// Removes the students that were used least lately until there is room for this one and `beside` more bytes.
    fn make_room(&self, entry: &Entry, beside: usize) -> Result<(), ModelsError> {
        let mut others = self.students()?;
        others.retain(|student| student.model != entry.model);
        others.sort_by(|one, other| (one.used, &one.model).cmp(&(other.used, &other.model)));
        let sizes = entry.files.values().map(|file| file.bytes).chain(others.iter().map(|student| student.bytes));
        let mut bytes = sizes.fold(beside as u64, u64::saturating_add);
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        for student in others.iter().filter(|student| !given.contains(&student.model)) {
            if bytes <= self.bytes_max {
                break;
            }
            self.remove(&student.model)?;
            tracing::info!(model = student.model.0, bytes = student.bytes, "a student is out of the cache");
            bytes -= student.bytes;
        }
        if bytes > self.bytes_max {
            tracing::warn!(bytes, "students that are in use together do not fit; raise models.cache_bytes_max");
        }
        Ok(())
    }

    /// Every student of the cache. Folders with other names are somebody else's.
    fn students(&self) -> Result<Vec<Cached>, ModelsError> {
        let mut students = Vec::new();
        for folder in fs::read_dir(&self.folder).map_err(ModelsError::file("list", &self.folder))? {
            let folder = folder.map_err(ModelsError::file("list", &self.folder))?;
            let model = ModelId(folder.file_name().to_string_lossy().into_owned());
            if version_of(&model).is_some() && folder.path().is_dir() {
                students.extend(cached(model, &folder.path()).map_err(ModelsError::file("list", &folder.path()))?);
            }
        }
        Ok(students)
    }

    fn remove(&self, model: &ModelId) -> Result<(), ModelsError> {
        let folder = self.folder.join(&model.0);
        // The entry goes first: what is cut off here leaves nothing that looks complete.
        for removed in [fs::remove_file(folder.join(ENTRY)), fs::remove_dir_all(&folder)] {
            there(removed).map_err(ModelsError::file("remove", &folder))?;
        }
        Ok(())
    }
}

/// What is in the folder of a student; nothing if there is no file, as another process has just made it or removed it.
fn cached(model: ModelId, folder: &Path) -> io::Result<Option<Cached>> {
    let Some(files) = there(fs::read_dir(folder))? else { return Ok(None) };
    let mut cached = Cached { used: SystemTime::UNIX_EPOCH, model, bytes: 0 };
    for file in files {
        if let Some(metadata) = there(file.and_then(|file| file.metadata()))? {
            cached.used = cached.used.max(metadata.modified()?);
            cached.bytes += metadata.len();
        }
    }
    Ok(Some(cached).filter(|cached| cached.bytes > 0))
}

/// What was found or done, or nothing if it is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn is_whole(path: &Path, expected: &StoredFile) -> bool {
    // The length tells most of what was cut off, without reading it.
    let has_length = fs::metadata(path).is_ok_and(|metadata| metadata.len() == expected.bytes);
    has_length && Contents::of_file(path).is_ok_and(|found| found == *expected)
}

/// A file that gets its name when it is whole, and is gone if it never is.
fn beside(folder: &Path) -> Result<NamedTempFile, ModelsError> {
    NamedTempFile::new_in(folder).map_err(ModelsError::file("create a file in", folder))
}

fn put(beside: NamedTempFile, path: &Path) -> Result<(), ModelsError> {
    // What is renamed must be on the disk, or a loss of power would leave a file of zeros under a good name.
    beside.as_file().sync_all().map_err(ModelsError::file("sync", path))?;
    beside.persist(path).map_err(|error| ModelsError::file("replace", path)(error.error))?;
    Ok(())
}
