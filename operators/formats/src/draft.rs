//! One file that is written piece by piece and takes its place when it is complete.

use crate::FormatError;
use crate::files::Unfinished;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// A file under way. One that is not finished is removed.
pub(crate) struct Draft {
    file: BufWriter<File>,
    unfinished: Unfinished,
}

impl Draft {
    /// Begins the file `path`; one that is there stays until this is finished.
    ///
    /// # Errors
    /// When no file can be created there, or `path` is something else than a file.
    pub(crate) fn create(path: &Path) -> Result<Draft, FormatError> {
        // A device, a pipe or a link would be replaced and not written to.
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(FormatError::file("replace", path)(io::Error::other("it is no plain file; name another")));
        }
        let unfinished = Unfinished::new(path.to_owned());
        let file = File::create(unfinished.beside()).map_err(FormatError::file("create", path))?;
        Ok(Draft { file: BufWriter::new(file), unfinished })
    }

    /// Goes on with `bytes`.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.file.write_all(bytes).map_err(FormatError::file("write", self.unfinished.beside()))
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn finish(mut self) -> Result<(), FormatError> {
        self.file.flush().map_err(FormatError::file("write", self.unfinished.beside()))?;
        self.unfinished.complete()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        fs::write(&path, "earlier").unwrap();
        let begin = || {
            let mut draft = Draft::create(&path).unwrap();
            draft.write(b"wh").unwrap();
            draft.write(b"ole").unwrap();
            draft
        };
        drop(begin());
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
        begin().finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| matches!(Draft::create(path), Err(FormatError::File { .. }));
        assert!(refused(folder.path()));
        assert!(refused(&folder.path().join("missing/page.html")));
    }
}
