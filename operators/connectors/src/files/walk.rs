//! The files under some paths, in the order of their names, found as they are asked for.

use super::formats::{FileKind, NoteFormats};
use crate::LogError;
use crate::disk::failed;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A file that is one note.
    Text { path: PathBuf, note_id: String },
    /// A file with a note a line.
    Lines { path: PathBuf },
    /// A file in a format of others.
    Other { path: PathBuf },
    /// Lines from stdin.
    Stdin,
}

/// Walks over files and folders.
pub(super) struct Walk {
    formats: Arc<dyn NoteFormats>,
    paths: VecDeque<PathBuf>,
    /// Whether several paths were given, whose notes need the path in their ids.
    are_several: bool,
    /// The folders that the walk is in, the innermost last.
    folders: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// What the ids of its notes start with.
    prefix: String,
    /// What is left of it.
    entries: std::vec::IntoIter<(OsString, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Folder,
    File(FileKind),
}

impl Walk {
    /// Looks at every path, so that a mistake in the last one is known before the first is read.
    pub(super) fn new(paths: &[PathBuf], formats: Arc<dyn NoteFormats>) -> Result<Walk, LogError> {
        for path in paths.iter().filter(|path| !is_stdin(path)) {
            let metadata = fs::metadata(path).map_err(failed("read", path))?;
            if metadata.is_dir() {
                continue;
            }
            match formats.kind_of(path, true) {
                None => return Err(LogError::NotNotes { path: path.clone(), known: formats.known() }),
                // What comes through a pipe can be read only once.
                Some(FileKind::Other) if metadata.is_file() => drop(formats.open(path)?),
                Some(_) => {}
            }
        }
        let paths: VecDeque<PathBuf> = paths.iter().cloned().collect();
        Ok(Walk { formats, are_several: paths.len() > 1, paths, folders: Vec::new() })
    }

    fn step(&mut self) -> Result<Option<Input>, LogError> {
        loop {
            let (path, prefix, kind) = match self.folders.last_mut() {
                Some(folder) => match folder.entries.next() {
                    Some((name, kind)) => (folder.path.join(name), folder.prefix.clone(), Some(kind)),
                    None => {
                        self.folders.pop();
                        continue;
                    }
                },
                None => match self.paths.pop_front() {
                    Some(path) if is_stdin(&path) => return Ok(Some(Input::Stdin)),
                    Some(path) if path.is_dir() => {
                        let prefix = if self.are_several { prefix_of(&path) } else { String::new() };
                        self.folders.push(Folder::open(path, prefix, self.formats.as_ref())?);
                        continue;
                    }
                    Some(path) => {
                        let kind = self.formats.kind_of(&path, true).map(Kind::File);
                        let folder = path.parent().filter(|_| self.are_several);
                        let prefix = folder.map(prefix_of).unwrap_or_default();
                        (path, prefix, kind)
                    }
                    None => return Ok(None),
                },
            };
            match kind {
                Some(Kind::Folder) => {
                    let prefix = format!("{prefix}{}/", name_of(path.file_name()));
                    self.folders.push(Folder::open(path, prefix, self.formats.as_ref())?);
                }
                Some(Kind::File(FileKind::Text)) => {
                    let note_id = format!("{prefix}{}", name_of(path.file_stem()));
                    return Ok(Some(Input::Text { path, note_id }));
                }
                Some(Kind::File(FileKind::Lines)) => return Ok(Some(Input::Lines { path })),
                Some(Kind::File(FileKind::Other)) => return Ok(Some(Input::Other { path })),
                None => return Err(LogError::NotNotes { path, known: self.formats.known() }),
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Input, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

impl Folder {
    fn open(path: PathBuf, prefix: String, formats: &dyn NoteFormats) -> Result<Folder, LogError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed("list", &path))? {
            let entry = entry.map_err(failed("list", &path))?;
            let file_type = entry.file_type().map_err(failed("look at", &path))?;
            let kind = if file_type.is_dir() {
                Some(Kind::Folder)
            } else {
                // A link to a folder is not followed, since it may lead back here.
                let kind = formats.kind_of(&entry.path(), false);
                kind.filter(|_| file_type.is_file() || entry.path().is_file()).map(Kind::File)
            };
            entries.extend(kind.map(|kind| (entry.file_name(), kind)));
        }
        entries.sort_unstable();
        Ok(Folder { path, prefix, entries: entries.into_iter() })
    }
}

/// What the ids of the notes in `folder` begin with.
fn prefix_of(folder: &Path) -> String {
    match folder.to_string_lossy().trim_end_matches('/') {
        "" => String::new(),
        folder => format!("{folder}/"),
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn name_of(name: Option<&std::ffi::OsStr>) -> String {
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
