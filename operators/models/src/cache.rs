//! The students of a bucket on this machine: `<cache>/<model id>/…`, laid out as in the registry. The entry is written last here too,
//! so that a student that is complete is used without any request.

use crate::contents::Contents;
use crate::entry::ENTRY;
use crate::store::{FileOf, Store};
use crate::{Entry, ModelsError, StoredFile};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use stillroom_schemas::ModelId;
use tempfile::NamedTempFile;

/// The folder of a student in the cache, if it is complete and every file is what the entry says.
pub(crate) fn complete(cache: &Path, model: &ModelId) -> Option<PathBuf> {
    let folder = cache.join(&model.0);
    let entry = Entry::parse(&fs::read(folder.join(ENTRY)).ok()?, model).ok()?;
    entry.files.iter().all(|(name, expected)| is_whole(&folder.join(name), expected)).then_some(folder)
}

/// Brings a student of the registry into the cache: each file that is not there, or is another, is fetched, verified and renamed into
/// place. What an interrupted call fetched is kept.
///
/// # Errors
/// When the registry does not answer, a file is not what the entry says, or the cache cannot be written.
pub(crate) fn fetch(store: &Store, cache: &Path, entry: &Entry) -> Result<PathBuf, ModelsError> {
    let folder = cache.join(&entry.model.0);
    fs::create_dir_all(&folder).map_err(ModelsError::file("create", &folder))?;
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
    let written = serde_json::to_writer_pretty(&mut beside, entry).map_err(io::Error::from);
    written.map_err(ModelsError::file("write", beside.path()))?;
    put(beside, &path)?;
    Ok(folder)
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
