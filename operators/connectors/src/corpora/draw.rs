//! Drawing documents and notes by a seed.
//!
//! What is drawn are the ids with the smallest SHA-256 of the seed, a line feed and the id. That depends on nothing else: neither on the
//! order of the files nor on a generator of random numbers and its version.

use crate::LogError;
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use stillroom_schemas::Note;

/// A part of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To learn from.
    Train,
    /// To choose by.
    Dev,
    /// To measure on.
    Test,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 3] = [Part::Train, Part::Dev, Part::Test];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Dev => "dev",
            Part::Test => "test",
        }
    }

    /// What the name of a file or folder tells, such as `training_20180910`, `NCBIdevelopset_corpus.txt` or `gold-standard-test-data`.
    pub(super) fn told_by(name: &str) -> Option<Part> {
        let name = name.to_ascii_lowercase();
        name.split(|c: char| !c.is_ascii_alphabetic()).find_map(|word| {
            let is = |parts: &[&str]| {
                let of_set = |part: &&str| word.strip_suffix("set").is_some_and(|word| word.ends_with(part));
                parts.iter().any(|part| word == *part || of_set(part))
            };
            match () {
                () if is(&["train", "training"]) => Some(Part::Train),
                () if is(&["dev", "devel", "develop", "development", "valid", "validation"]) => Some(Part::Dev),
                () if is(&["test", "testing"]) => Some(Part::Test),
                () => None,
            }
        })
    }
}

/// How many documents are drawn for which part, where the files do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// For development, out of the documents that are neither for development nor for tests.
    pub dev: usize,
    /// For tests, out of those that then remain.
    pub test: usize,
    /// The seed.
    pub seed: u64,
}

impl Split {
    /// The part of every document, given its id and the part that its file tells. What a file tells stays, but that some of what is
    /// for training are drawn for development or tests; what is not drawn and not told is for training.
    ///
    /// # Errors
    /// When there are too few documents to draw from.
    pub fn parts(&self, documents: &[(String, Option<Part>)]) -> Result<Vec<Part>, LogError> {
        let pool = documents.iter().filter(|(_, part)| part.unwrap_or(Part::Train) == Part::Train);
        let mut pool: Vec<_> = pool.map(|(id, _)| (rank(self.seed, id), id.as_str())).collect();
        if pool.len() < self.dev + self.test {
            return Err(LogError::TooFew { what: "documents", wanted: self.dev + self.test, has: pool.len() });
        }
        pool.sort_unstable();
        let drawn = pool.iter().zip(0..self.dev + self.test);
        let drawn: HashMap<&str, Part> =
            drawn.map(|(&(_, id), place)| (id, if place < self.dev { Part::Dev } else { Part::Test })).collect();
        let part = |(id, told): &(String, Option<Part>)| match told {
            Some(part @ (Part::Dev | Part::Test)) => *part,
            Some(Part::Train) | None => drawn.get(id.as_str()).copied().unwrap_or(Part::Train),
        };
        Ok(documents.iter().map(part).collect())
    }
}

/// Which notes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// So many notes, of each type in proportion to its share, by largest remainders.
    ByType {
        /// How many.
        notes: usize,
        /// The seed.
        seed: u64,
    },
    /// One note of each patient.
    OnePerPatient {
        /// The seed.
        seed: u64,
    },
}

impl Sample {
    /// The ids of the notes that are drawn. Of each type the candidates are remembered, of each patient one; no text.
    ///
    /// # Errors
    /// The first error of `notes`; when there are fewer notes than were asked for.
    pub fn draw(self, notes: impl Iterator<Item = Result<Note, LogError>>) -> Result<HashSet<String>, LogError> {
        match self {
            Sample::ByType { notes: wanted, seed } => by_type(notes, wanted, seed),
            Sample::OnePerPatient { seed } => {
                let mut drawn: HashMap<String, Candidate> = HashMap::new();
                for note in notes {
                    let Note { note_id, patient_id, .. } = note?;
                    let candidate = (rank(seed, &note_id), note_id);
                    let patient = patient_id.unwrap_or_else(|| candidate.1.clone());
                    let best = drawn.entry(patient).or_insert_with(|| candidate.clone());
                    if candidate < *best {
                        *best = candidate;
                    }
                }
                Ok(drawn.into_values().map(|(_, id)| id).collect())
            }
        }
    }
}

/// What is drawn first comes first: the rank of an id, and the id.
type Candidate = ([u8; 32], String);

fn by_type(
    notes: impl Iterator<Item = Result<Note, LogError>>,
    wanted: usize,
    seed: u64,
) -> Result<HashSet<String>, LogError> {
    // Of each type how many there are, and the first `wanted` by rank, the last of them on top.
    let mut types: BTreeMap<String, (usize, BinaryHeap<Candidate>)> = BTreeMap::new();
    for note in notes {
        let Note { note_id, note_type, .. } = note?;
        let (count, candidates) = types.entry(note_type.unwrap_or_default()).or_default();
        *count += 1;
        candidates.push((rank(seed, &note_id), note_id));
        if candidates.len() > wanted {
            candidates.pop();
        }
    }
    let counts: Vec<usize> = types.values().map(|(count, _)| *count).collect();
    let has = counts.iter().sum();
    if has < wanted {
        return Err(LogError::TooFew { what: "notes", wanted, has });
    }
    let shares = shares(&counts, wanted);
    let drawn = types
        .into_values()
        .zip(shares)
        .flat_map(|((_, candidates), share)| candidates.into_sorted_vec().into_iter().take(share).map(|(_, id)| id));
    Ok(drawn.collect())
}

/// `wanted` in proportion to `counts`, by largest remainders; of equal ones the first. No share is greater than its count.
fn shares(counts: &[usize], wanted: usize) -> Vec<usize> {
    let all: usize = counts.iter().sum::<usize>().max(1);
    let exact = |count: &usize| (*count as u128 * wanted as u128, all as u128);
    let mut shares: Vec<usize> = counts.iter().map(|count| (exact(count).0 / exact(count).1) as usize).collect();
    let rest = wanted - shares.iter().sum::<usize>();
    let remainders: BTreeSet<(Reverse<u128>, usize)> =
        counts.iter().enumerate().map(|(index, count)| (Reverse(exact(count).0 % exact(count).1), index)).collect();
    remainders.into_iter().take(rest).for_each(|(_, index)| shares[index] += 1);
    shares
}

fn rank(seed: u64, id: &str) -> [u8; 32] {
    Sha256::digest(format!("{seed}\n{id}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_parts_where_they_are_words() {
        let check = |name: &str, expected: Option<Part>| assert_eq!(Part::told_by(name), expected, "{name}");
        check("training_20180910", Some(Part::Train));
        check("track2-training_data_3", Some(Part::Train));
        check("gold-standard-test-data", Some(Part::Test));
        check("NCBItrainset_corpus.txt", Some(Part::Train));
        check("NCBIdevelopset_corpus.txt", Some(Part::Dev));
        check("NCBItestset_corpus.txt", Some(Part::Test));
        check("CDR_DevelopmentSet.PubTator.txt", Some(Part::Dev));
        check("CDR_TestSet.PubTator.txt", Some(Part::Test));
        check("latest", None);
        check("intestine", None);
        check("devices", None);
        check("trains", None);
        check("", None);
    }

    #[test]
    fn shares_are_proportional_and_add_up() {
        let check = |counts: &[usize], wanted: usize, expected: &[usize]| {
            assert_eq!(shares(counts, wanted), expected, "{wanted} of {counts:?}");
        };
        check(&[50, 30, 20], 10, &[5, 3, 2]);
        check(&[1, 1, 1], 2, &[1, 1, 0]);
        check(&[997, 2, 1], 10, &[10, 0, 0]);
        check(&[6, 3, 1], 5, &[3, 2, 0]);
        check(&[3, 0, 4], 7, &[3, 0, 4]);
        check(&[5, 5], 0, &[0, 0]);
        check(&[], 0, &[]);
    }
}
