//! Where the records of a [`NoteFiles`](super::NoteFiles) came from.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// So many stretches of consecutive lines are remembered: a text file is one, a file of lines without blank lines is one. What
/// is in flight through an engine is far less.
const RUNS_MAX: usize = 1 << 17;

/// Tells which file and line a record came from.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<Mutex<VecDeque<Run>>>);

/// Records in a row from lines in a row.
#[derive(Debug)]
struct Run {
    /// The first record.
    offset: u64,
    path: PathBuf,
    /// Its line, from 1; none for a file that is one note.
    line: Option<u64>,
}

/// Where one record stands.
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) line: Option<u64>,
}

impl Origins {
    /// The place of the record at `offset`, such as `notes/a.jsonl, line 7`. The 131072 latest stretches of lines are known;
    /// of anything before, only the offset is told.
    pub fn of(&self, offset: u64) -> String {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = runs.partition_point(|run| run.offset <= offset);
        match index.checked_sub(1).map(|index| &runs[index]) {
            Some(Run { offset: first, path, line: Some(line) }) => {
                format!("{}, line {}", path.display(), line + (offset - first))
            }
            Some(Run { path, line: None, .. }) => path.display().to_string(),
            None => format!("input record {offset}"),
        }
    }

    /// Remembers the place of the record at `offset`; offsets come in order, without a gap.
    pub(super) fn note(&self, offset: u64, place: Place) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let continues = runs.back().is_some_and(|run| {
            run.path == place.path
                && run.line.is_some()
                && run.line.map(|line| line + (offset - run.offset)) == place.line
        });
        if !continues {
            runs.push_back(Run { offset, path: place.path.to_owned(), line: place.line });
        }
        if runs.len() > RUNS_MAX {
            runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_bounded_number_of_places() {
        let origins = Origins::default();
        for offset in 0..RUNS_MAX as u64 + 10 {
            origins.note(offset, Place { path: Path::new("a.jsonl"), line: Some(2 * offset + 1) });
        }
        assert_eq!(origins.of(9), "input record 9");
        assert_eq!(origins.of(10), "a.jsonl, line 21");
        assert_eq!(origins.0.lock().expect("nobody panicked").len(), RUNS_MAX);
    }
}
