//! Which notes the files themselves withdraw, known before the first is read.

use super::formats::{FileSaid, NoteFormats, open_found};
use super::lines::{Line, Lines};
use super::said_by_line;
use super::walk::{Input, Walk};
use crate::LogError;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The last withdrawal of each note that is withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawals(HashMap<Vec<u8>, u64>);

impl Withdrawals {
    /// Whether the note that the record at `offset` holds is withdrawn by a later record.
    pub fn withdraws(&self, note_id: &str, offset: u64) -> bool {
        self.0.get(note_id.as_bytes()).is_some_and(|last| *last > offset)
    }

    /// Those of the files under `paths`, by the offsets that their records will have; `None` where something can be read only once.
    pub(super) fn read(paths: &[PathBuf], formats: &Arc<dyn NoteFormats>) -> Result<Option<Withdrawals>, LogError> {
        let (mut last, mut offset) = (HashMap::new(), 0);
        for input in Walk::new(paths, Arc::clone(formats))? {
            match input? {
                Input::Text { .. } => offset += 1,
                Input::Lines { path } if is_file(&path) => {
                    let mut lines = Lines::of_file(path)?;
                    while let Line::Read { value, .. } = lines.next(Duration::ZERO)? {
                        if let (Some(note_id), true) = said_by_line(&value) {
                            last.insert(note_id, offset);
                        }
                        offset += 1;
                    }
                }
                Input::Other { path } if is_file(&path) => {
                    for part in open_found(formats.as_ref(), &path)? {
                        if let FileSaid::Withdrawn(note_id) = part?.said {
                            last.insert(note_id.into_bytes(), offset);
                        }
                        offset += 1;
                    }
                }
                Input::Stdin | Input::Lines { .. } | Input::Other { .. } => return Ok(None),
            }
        }
        Ok(Some(Withdrawals(last)))
    }
}

/// Whether it is no pipe.
fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}
