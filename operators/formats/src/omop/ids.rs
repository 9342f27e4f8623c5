//! The numbers by which OMOP names persons, notes and mentions.
//!
//! Where a file gives the number of a patient or a note, it is that one. Else it is a hash, the same in every run: the first 63 bits of
//! the SHA-256 of what is named, so that a note has its number before any database has seen it. Two names with one hash are noticed and
//! refused. Mentions of a note have numbers side by side: the first 55 bits are a hash of the note, and with every 256 mentions a new one.
//! In place of hashes numbers can be counted from one on, which fit the 32 bits of the specification's `integer`, and are others in
//! every run.
//!
//! State: 16 to 60 bytes for each patient and each note.

use super::table::numbers_of_names;
use crate::FormatError;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

/// Mentions whose numbers differ in their last bits alone.
const BLOCK: usize = 256;

/// Numbers for persons, notes and mentions.
pub(super) struct Ids {
    persons: Numbers,
    notes: Numbers,
    mentions: Mentions,
}

/// Where numbers come from when no file has them.
#[derive(Clone, Copy)]
pub(super) enum Fresh {
    /// By what they name.
    Hashed,
    /// From this one on.
    Counted(i64),
}

/// The numbers of one kind of thing.
struct Numbers {
    kind: &'static str,
    given: Option<(PathBuf, HashMap<String, i64>)>,
    fresh: Fresh,
    /// Hashed: for each number, the other half of the hash. Counted: the number of each hash.
    hashed: HashMap<u64, u64>,
    counted: HashMap<u128, i64>,
}

/// The numbers of mentions.
struct Mentions {
    fresh: Fresh,
    /// For each hash of a block, the note that has it.
    blocks: HashMap<u64, i64>,
}

impl Ids {
    /// Numbers for patients and notes from the files, where there are any, and fresh ones else.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong.
    pub(super) fn load(persons: Option<&Path>, notes: Option<&Path>, fresh: Fresh) -> Result<Ids, FormatError> {
        let read = |path: Option<&Path>, columns, is_one_to_one| {
            let numbers = |path| numbers_of_names(path, columns, is_one_to_one);
            path.map(|path| Ok::<_, FormatError>((path.to_owned(), numbers(path)?))).transpose()
        };
        // Two ids of a patient may have become one person; two notes are never one.
        let persons = read(persons, ["patient_id", "person_id"], false)?;
        let notes = read(notes, ["note_id", "omop_note_id"], true)?;
        let numbers = |kind, given| Numbers { kind, given, fresh, hashed: HashMap::new(), counted: HashMap::new() };
        Ok(Ids {
            persons: numbers("patient", persons),
            notes: numbers("note", notes),
            mentions: Mentions { fresh, blocks: HashMap::new() },
        })
    }

    /// The person of a note; 0, of whom no table of persons has one, where the note names no patient.
    pub(super) fn person(&mut self, patient_id: Option<&str>, note_id: &str) -> Result<i64, FormatError> {
        patient_id.map_or(Ok(0), |patient_id| self.persons.of(patient_id, note_id))
    }

    /// The number of a note.
    pub(super) fn note(&mut self, note_id: &str) -> Result<i64, FormatError> {
        self.notes.of(note_id, note_id)
    }

    /// The numbers of the mentions of a note, of which there are `count`.
    pub(super) fn mentions(&mut self, note_id: &str, note: i64, count: usize) -> Result<Vec<i64>, FormatError> {
        let mut ids = Vec::with_capacity(count);
        if let Fresh::Counted(next) = &mut self.mentions.fresh {
            for _ in 0..count {
                ids.push(counted(next, note_id)?);
            }
            return Ok(ids);
        }
        for first in (0..count).step_by(BLOCK) {
            let (hash, _) = halves("mention", &format!("{first} {note_id}"));
            let block = hash >> 8;
            if *self.mentions.blocks.entry(block).or_insert(note) != note {
                return Err(refused(note_id, "has the same hash for its mentions as another; count the ids instead"));
            }
            ids.extend((0..BLOCK.min(count - first)).map(|at| ((block << 8) | at as u64) as i64));
        }
        Ok(ids)
    }
}

impl Numbers {
    /// The number of `name`, which stands in the note `note_id`.
    fn of(&mut self, name: &str, note_id: &str) -> Result<i64, FormatError> {
        if let Some((path, given)) = &self.given {
            return given.get(name).copied().ok_or_else(|| {
                let what = if self.kind == "note" { "is not" } else { "is of a patient who is not" };
                refused(note_id, &format!("{what} in {}; add a row for it", path.display()))
            });
        }
        let (hash, rest) = halves(self.kind, name);
        match &mut self.fresh {
            Fresh::Counted(next) => match self.counted.entry((u128::from(hash) << 64) | u128::from(rest)) {
                Entry::Occupied(known) => Ok(*known.get()),
                Entry::Vacant(new) => Ok(*new.insert(counted(next, note_id)?)),
            },
            Fresh::Hashed => {
                if *self.hashed.entry(hash).or_insert(rest) == rest {
                    return Ok(hash as i64);
                }
                let what = if self.kind == "note" { "has" } else { "is of a patient who has" };
                Err(refused(
                    note_id,
                    &format!("{what} the same hash as another; give the ids in a file, or count them"),
                ))
            }
        }
    }
}

/// The next number.
fn counted(next: &mut i64, note_id: &str) -> Result<i64, FormatError> {
    if *next > i64::from(i32::MAX) {
        return Err(refused(
            note_id,
            "would need an id above 2147483647, which no integer of 32 bits holds; use hashes",
        ));
    }
    *next += 1;
    Ok(*next - 1)
}

/// The first 63 bits of a hash, as a number above 0, and 64 others of it.
fn halves(kind: &str, name: &str) -> (u64, u64) {
    let digest: [u8; 32] = Sha256::digest(format!("{kind}\0{name}").as_bytes()).into();
    let word = |at: usize| digest[at..at + 8].iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    ((word(0) >> 1).max(1), word(8))
}

fn refused(note_id: &str, reason: &str) -> FormatError {
    FormatError::Note { note_id: note_id.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fs;

    #[test]
    fn hashes_are_the_same_in_every_run_and_positive() {
        let mut one = Ids::load(None, None, Fresh::Hashed).unwrap();
        let mut other = Ids::load(None, None, Fresh::Hashed).unwrap();
        other.note("another note before").unwrap();
        let mut seen = HashSet::new();
        for index in 0..500 {
            let note_id = format!("n/{index}\n");
            let note = one.note(&note_id).unwrap();
            assert_eq!(note, other.note(&note_id).unwrap());
            let person = one.person(Some(&note_id), &note_id).unwrap();
            let mentions = one.mentions(&note_id, note, 300).unwrap();
            assert_eq!(mentions, other.mentions(&note_id, note, 300).unwrap());
            assert_eq!(mentions, one.mentions(&note_id, note, 300).unwrap(), "a later revision has the same");
            assert_eq!(mentions.len(), 300);
            for id in mentions.into_iter().chain([note, person]) {
                assert!(id > 0 && seen.insert(id), "{id}");
            }
        }
        assert_eq!(one.person(None, "n").unwrap(), 0);
    }

    #[test]
    fn two_names_of_one_hash_are_refused() {
        let mut ids = Ids::load(None, None, Fresh::Hashed).unwrap();
        let number = ids.note("one").unwrap();
        // As if another name had the hash of "one".
        ids.notes.hashed.insert(number as u64, 7);
        let said = ids.note("one").unwrap_err().to_string();
        assert!(said.contains("the same hash as another"), "{said}");
        let mentions = ids.mentions("one", 5, 1).unwrap();
        assert_eq!(ids.mentions("one", 5, 1).unwrap(), mentions);
        assert!(ids.mentions("one", 6, 1).is_err());
    }

    #[test]
    fn counted_numbers_fit_the_specification() {
        let mut ids = Ids::load(None, None, Fresh::Counted(10)).unwrap();
        let notes = ["a", "b", "a"].map(|note_id| ids.note(note_id).unwrap());
        assert_eq!(notes, [10, 11, 10]);
        assert_eq!(ids.person(Some("a"), "a").unwrap(), 10);
        assert_eq!(ids.mentions("a", 10, 2).unwrap(), [10, 11]);
        assert_eq!(ids.mentions("a", 10, 1).unwrap(), [12]);
        let mut last = Ids::load(None, None, Fresh::Counted(i64::from(i32::MAX))).unwrap();
        assert_eq!(last.note("a").unwrap(), i64::from(i32::MAX));
        assert!(last.note("b").is_err());
    }

    #[test]
    fn what_files_say_comes_first_and_what_they_lack_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [persons, notes] = ["persons.csv", "notes.csv"].map(|name| folder.path().join(name));
        fs::write(&persons, "patient_id,person_id\nsecret,7\n").unwrap();
        fs::write(&notes, "note_id,omop_note_id\nn1,70\n").unwrap();
        let mut ids = Ids::load(Some(&persons), Some(&notes), Fresh::Hashed).unwrap();
        assert_eq!((ids.person(Some("secret"), "n1").unwrap(), ids.note("n1").unwrap()), (7, 70));
        let said = ids.person(Some("another"), "n1").unwrap_err().to_string();
        assert!(said.contains("note \"n1\" is of a patient who is not in") && !said.contains("another"), "{said}");
        let said = ids.note("n2").unwrap_err().to_string();
        assert!(said.contains("note \"n2\" is not in") && said.contains("notes.csv"), "{said}");
    }
}
