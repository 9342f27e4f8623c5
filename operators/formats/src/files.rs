//! Files that appear when they are complete, in a folder that holds nothing else.

use crate::FormatError;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Makes the folder `path` where it is missing, and refuses one that holds something: its readers would take files of an earlier run
/// for those of this one.
pub(crate) fn claim_folder(path: &Path) -> Result<(), FormatError> {
    fs::create_dir_all(path).map_err(FormatError::file("create", path))?;
    match fs::read_dir(path).map_err(FormatError::file("list", path))?.next() {
        None => Ok(()),
        Some(_) => Err(FormatError::NotEmpty { path: path.to_owned() }),
    }
}

/// A file that is written beside its place, under a name that readers of folders pass over, until it is complete. One that is not
/// completed is removed.
pub(crate) struct Unfinished {
    path: PathBuf,
    beside: PathBuf,
}

impl Unfinished {
    /// For the file `path`. Nothing is created yet.
    pub(crate) fn new(path: PathBuf) -> Unfinished {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.tmp"));
        Unfinished { path, beside }
    }

    /// Where to write it.
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }

    /// Puts it in its place. Whoever wrote it has flushed it.
    pub(crate) fn complete(self) -> Result<(), FormatError> {
        fs::rename(&self.beside, &self.path).map_err(FormatError::file("complete", &self.path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What was completed, or never begun, is not there; and where it cannot be removed, the error that left it unfinished says more.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Copies `length` bytes, all of which are there.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write, length: u64) -> io::Result<()> {
    let copied = io::copy(&mut from.take(length), to)?;
    if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_seen_when_it_is_complete_and_else_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let unfinished = Unfinished::new(path.clone());
        fs::write(unfinished.beside(), "half").unwrap();
        assert!(!path.exists());
        drop(unfinished);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let unfinished = Unfinished::new(path.clone());
        fs::write(unfinished.beside(), "whole").unwrap();
        unfinished.complete().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_made_and_one_that_holds_something_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("a/b");
        claim_folder(&made).unwrap();
        claim_folder(&made).unwrap();
        fs::write(made.join("earlier.parquet"), "").unwrap();
        assert!(matches!(claim_folder(&made), Err(FormatError::NotEmpty { path }) if path == made));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(claim_folder(&file), Err(FormatError::File { .. })));
    }
}
