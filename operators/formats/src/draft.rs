//! One file that is written piece by piece and takes its place when it is complete; a piece may take the place of an earlier one.

use crate::FormatError;
use crate::files::{Unfinished, copy};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
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

    /// The same without some of its pieces: of each, from the beginning on, its length and whether it is kept.
    fn finish_with(mut self, pieces: impl Iterator<Item = (u64, bool)>) -> Result<(), FormatError> {
        let beside = self.unfinished.beside();
        self.file.flush().map_err(FormatError::file("write", beside))?;
        // What is kept takes the place of the unfinished file.
        let kept = Unfinished::new(beside.to_owned());
        let mut from = BufReader::new(File::open(beside).map_err(FormatError::file("read", beside))?);
        let to = File::create(kept.beside()).map_err(FormatError::file("create", kept.beside()))?;
        let mut to = BufWriter::new(to);
        for (length, is_kept) in pieces {
            let copied =
                if is_kept { copy(&mut from, &mut to, length) } else { copy(&mut from, &mut io::sink(), length) };
            copied.map_err(FormatError::file("write", kept.beside()))?;
        }
        to.flush().map_err(FormatError::file("write", kept.beside()))?;
        kept.complete()?;
        self.unfinished.complete()
    }
}

/// A file of pieces that are about something each, such as a note: of what comes again the last piece is there in the end.
///
/// State: 60 to 100 bytes a piece.
pub(crate) struct LastPieces {
    draft: Draft,
    lengths: Vec<u64>,
    /// The last piece about each, by a hash of its name.
    last: HashMap<[u8; 16], usize>,
    /// Pieces that another has replaced.
    replaced: HashSet<usize>,
}

impl LastPieces {
    /// Begins the file `path`, as [`Draft::create`] does.
    ///
    /// # Errors
    /// When no file can be created there, or `path` is something else than a file.
    pub(crate) fn create(path: &Path) -> Result<LastPieces, FormatError> {
        let draft = Draft::create(path)?;
        Ok(LastPieces { draft, lengths: Vec::new(), last: HashMap::new(), replaced: HashSet::new() })
    }

    /// Goes on with `bytes`, which are about what is called `name`.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        self.draft.write(bytes)?;
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        self.replaced.extend(self.last.insert(key, self.lengths.len()));
        self.lengths.push(bytes.len() as u64);
        Ok(())
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let LastPieces { draft, lengths, replaced, .. } = self;
        if replaced.is_empty() {
            return draft.finish();
        }
        draft.finish_with(lengths.into_iter().enumerate().map(|(at, length)| (length, !replaced.contains(&at))))
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
    fn of_what_comes_again_the_last_piece_is_there() {
        let pieces = [("a", "a1\n"), ("b", "b1\n"), ("a", ""), ("c", "c1\n"), ("b", "b2 longer\n"), ("d", "d1\n")];
        for (count, expected) in [(0, ""), (2, "a1\nb1\n"), (3, "b1\n"), (6, "c1\nb2 longer\nd1\n")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("bundles.ndjson");
            let mut last = LastPieces::create(&path).unwrap();
            for (name, bytes) in &pieces[..count] {
                last.write(name, bytes.as_bytes()).unwrap();
            }
            last.finish().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{count} pieces");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| matches!(Draft::create(path), Err(FormatError::File { .. }));
        assert!(refused(folder.path()));
        assert!(refused(&folder.path().join("missing/page.html")));
    }
}
