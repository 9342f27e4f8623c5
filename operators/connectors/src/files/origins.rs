//! Where the records of a [`NoteFiles`](super::NoteFiles) came from.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// So many stretches of consecutive lines are remembered: a text file is one, a file of lines without blank lines is one, and so is a
/// part of a file that cannot be read. What is in flight through an engine is far less.
const RUNS_MAX: usize = 1 << 17;

/// Tells which file and line a record came from.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<Mutex<VecDeque<Run>>>);

/// Records in a row from lines in a row, or from other parts of a file.
#[derive(Debug)]
struct Run {
    /// The first record.
    offset: u64,
    path: PathBuf,
    /// What part of the file it is, such as a line, and which, from 1; none for a file that is one note.
    part: Option<(&'static str, u64)>,
    /// Why the part cannot be read; such a record is alone in its run.
    refusal: Option<String>,
}

/// Where one record stands.
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) part: Option<(&'static str, u64)>,
    pub(super) refusal: Option<String>,
}

impl Origins {
    /// The place of the record at `offset`, such as `notes/a.jsonl, line 7`. The 131072 latest stretches of lines are known;
    /// of anything before, only the offset is told.
    pub fn of(&self, offset: u64) -> String {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match run_of(&runs, offset) {
            Some(Run { offset: first, path, part: Some((what, number)), .. }) => {
                format!("{}, {what} {}", path.display(), number + (offset - first))
            }
            Some(Run { path, part: None, .. }) => path.display().to_string(),
            None => format!("input record {offset}"),
        }
    }

    /// Why the part of a file at `offset` cannot be read, where whoever reads its format said so. Its record has an empty value.
    pub fn refusal(&self, offset: u64) -> Option<String> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        run_of(&runs, offset)?.refusal.clone()
    }

    /// Remembers the place of the record at `offset`; offsets come in order, without a gap.
    pub(super) fn note(&self, offset: u64, place: Place) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let continues = place.refusal.is_none() && runs.back().is_some_and(|run| run.goes_on_with(offset, &place));
        if !continues {
            let Place { path, part, refusal } = place;
            runs.push_back(Run { offset, path: path.to_owned(), part, refusal });
        }
        if runs.len() > RUNS_MAX {
            runs.pop_front();
        }
    }
}

impl Run {
    fn goes_on_with(&self, offset: u64, place: &Place) -> bool {
        let next = self.part.map(|(what, number)| (what, number + (offset - self.offset)));
        self.refusal.is_none() && self.path == place.path && next.is_some() && next == place.part
    }
}

fn run_of(runs: &VecDeque<Run>, offset: u64) -> Option<&Run> {
    let index = runs.partition_point(|run| run.offset <= offset);
    index.checked_sub(1).map(|index| &runs[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_bounded_number_of_places() {
        let origins = Origins::default();
        for offset in 0..RUNS_MAX as u64 + 10 {
            let part = Some(("line", 2 * offset + 1));
            origins.note(offset, Place { path: Path::new("a.jsonl"), part, refusal: None });
        }
        assert_eq!(origins.of(9), "input record 9");
        assert_eq!(origins.of(10), "a.jsonl, line 21");
        assert_eq!(origins.0.lock().expect("nobody panicked").len(), RUNS_MAX);
    }
    #[test]
    fn what_cannot_be_read_says_why_and_its_neighbours_do_not() {
        let origins = Origins::default();
        for (offset, refusal) in [None, Some("has no text".to_owned()), None].into_iter().enumerate() {
            let part = Some(("row", offset as u64 + 5));
            origins.note(offset as u64, Place { path: Path::new("a.csv"), part, refusal });
        }
        assert_eq!([0, 1, 2].map(|offset| origins.of(offset)), ["a.csv, row 5", "a.csv, row 6", "a.csv, row 7"]);
        assert_eq!([0, 1, 2].map(|offset| origins.refusal(offset)), [None, Some("has no text".to_owned()), None]);
    }
}
