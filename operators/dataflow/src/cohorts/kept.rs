//! What is kept of a note: codes, hashes and positions.

use crate::Epoch;
use differential_dataflow::{Hashable, VecCollection};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use stillroom_schemas::{Axes, Certainty, Code, Day, Experiencer, Mention, NoteFacts, Task, Temporality, TextHash};

/// A note and its partition, with its revision, the offset of its record, and what it says; nothing when it was withdrawn or could not be
/// read.
pub type NoteFactsUpsert = ((String, u32), (u64, u64, Option<NoteFacts>));

/// What a mention may be looked for by: a code, words, or a task. 64 bits of a hash; of tasks small numbers, which no hash is
/// likely to be.
pub(crate) type Term = u64;

/// Parts that are made of what would else be one key, so that no worker has all patients of a task, or all notes of a day.
pub(crate) const SHARDS: u64 = 8;

/// Which of [`SHARDS`] parts a patient is in, the same in every process.
pub(crate) fn shard_of(patient: &Arc<str>) -> u8 {
    (patient.hashed() % SHARDS) as u8
}

/// The term of a concept.
pub(crate) fn term_of_code(code: &Code) -> Term {
    // No vocabulary has a name with this character.
    TextHash::of(&format!("{}\0{}", code.vocabulary, code.code)).first_bits()
}

/// The term of all mentions of a task, of a part of the patients.
pub(crate) fn term_of_task(task: Task, shard: u8) -> Term {
    task.index() as u64 * SHARDS + u64::from(shard)
}

/// What a note says, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct KeptNote {
    pub(crate) note_id: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) revision: u64,
    pub(crate) offset: u64,
    pub(crate) patient: Option<Arc<str>>,
    pub(crate) note_type: Option<Arc<str>>,
    pub(crate) day: Option<Day>,
    /// By position; none where the patient is not known.
    pub(crate) mentions: Box<[KeptMention]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct KeptMention {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) task: Task,
    meant: Option<(Certainty, Temporality, Experiencer)>,
    words: Term,
    code: Option<KeptCode>,
    pub(crate) section: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct KeptCode {
    term: Term,
    code: Arc<Code>,
}

impl KeptNote {
    /// All terms of the note, each once.
    pub(crate) fn terms(&self) -> Vec<Term> {
        let Some(patient) = &self.patient else { return Vec::new() };
        let shard = shard_of(patient);
        let of_mention = |mention: &KeptMention| {
            let code = mention.code.as_ref().map(|code| code.term);
            [Some(mention.words), code, Some(term_of_task(mention.task, shard))].into_iter().flatten()
        };
        let mut terms: Vec<Term> = self.mentions.iter().flat_map(of_mention).collect();
        terms.sort_unstable();
        terms.dedup();
        terms
    }
}

impl KeptMention {
    /// How it is meant, if that is told.
    pub(crate) fn meant(&self) -> Option<Axes> {
        self.meant.map(|(certainty, temporality, experiencer)| Axes { certainty, temporality, experiencer })
    }

    /// Whether the term is that of its code or its words.
    pub(crate) fn has(&self, term: Term) -> bool {
        self.words == term || self.code.as_ref().is_some_and(|code| code.term == term)
    }

    /// Whether its code or its words are among the terms, which are sorted.
    pub(crate) fn is_among(&self, terms: &[Term]) -> bool {
        let is_there = |term: &Term| terms.binary_search(term).is_ok();
        is_there(&self.words) || self.code.as_ref().is_some_and(|code| is_there(&code.term))
    }

    /// The concept that it names.
    pub(crate) fn code(&self) -> Option<&Code> {
        self.code.as_ref().map(|code| &*code.code)
    }
}

/// Reduces notes to what is kept. Codes, sections and types are few, and are kept once.
#[derive(Default)]
pub(crate) struct Keeper {
    names: HashSet<Arc<str>>,
    codes: HashMap<Arc<Code>, Term>,
}

type KeptUpsert = ((Arc<str>, u32), (u64, u64, Option<Arc<KeptNote>>));

impl Keeper {
    pub(crate) fn keep(&mut self, ((note_id, partition), (revision, offset, facts)): NoteFactsUpsert) -> KeptUpsert {
        let note_id: Arc<str> = note_id.into();
        let note = facts.map(|NoteFacts { patient_id, note_type, signed_on, mentions }| {
            let mentions = if patient_id.is_some() { mentions } else { Vec::new() };
            let mut mentions: Vec<KeptMention> = mentions.into_iter().map(|mention| self.mention(mention)).collect();
            mentions.sort_unstable();
            Arc::new(KeptNote {
                note_id: note_id.clone(),
                partition,
                revision,
                offset,
                patient: patient_id.map(Arc::from),
                note_type: note_type.map(|note_type| self.name(note_type)),
                day: signed_on,
                mentions: mentions.into(),
            })
        });
        ((note_id, partition), (revision, offset, note))
    }

    fn mention(&mut self, mention: Mention) -> KeptMention {
        let Mention { task, start, end, words, code, assertion, section } = mention;
        let meant = assertion.map(|Axes { certainty, temporality, experiencer }| (certainty, temporality, experiencer));
        let code = code.map(|code| self.code(code));
        let section = section.map(|section| self.name(section));
        KeptMention { start, end, task, meant, words: words.0, code, section }
    }

    fn name(&mut self, name: String) -> Arc<str> {
        if let Some(known) = self.names.get(name.as_str()) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }

    fn code(&mut self, code: Code) -> KeptCode {
        if let Some((known, term)) = self.codes.get_key_value(&code) {
            return KeptCode { term: *term, code: known.clone() };
        }
        let (term, code) = (term_of_code(&code), Arc::new(code));
        self.codes.insert(code.clone(), term);
        KeptCode { term, code }
    }
}

/// Live notes that cohorts cannot count, or not wholly; over all workers that share it.
#[derive(Debug, Default)]
pub struct CohortTally {
    without_patient: AtomicI64,
    without_day: AtomicI64,
}

impl CohortTally {
    /// Live notes without a patient: they count in no cohort.
    pub fn without_patient(&self) -> i64 {
        self.without_patient.load(Ordering::Relaxed)
    }

    /// Live notes of a patient without a day: they count for no criterion that looks back some days.
    pub fn without_day(&self) -> i64 {
        self.without_day.load(Ordering::Relaxed)
    }

    /// Takes note of the notes that pass.
    pub(crate) fn count<'scope>(
        self: Arc<CohortTally>,
        notes: VecCollection<'scope, Epoch, Arc<KeptNote>>,
    ) -> VecCollection<'scope, Epoch, Arc<KeptNote>> {
        notes.inspect(move |(note, _, diff)| {
            if note.patient.is_none() {
                self.without_patient.fetch_add(*diff as i64, Ordering::Relaxed);
            } else if note.day.is_none() {
                self.without_day.fetch_add(*diff as i64, Ordering::Relaxed);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::WordsHash;

    #[test]
    fn a_note_has_each_term_once_and_no_term_without_a_patient() {
        let code = Code { vocabulary: "v".to_owned(), code: "1".to_owned() };
        let mention = |start, task, code: Option<&Code>| Mention {
            task,
            start,
            end: start + 5,
            words: WordsHash::of("fever"),
            code: code.cloned(),
            assertion: None,
            section: Some("plan".to_owned()),
        };
        let mentions = vec![
            mention(9, Task::Symptom, Some(&code)),
            mention(0, Task::Symptom, Some(&code)),
            mention(20, Task::Disease, None),
        ];
        let facts = NoteFacts { patient_id: Some("p".to_owned()), mentions, ..NoteFacts::default() };
        let mut keeper = Keeper::default();
        let ((note_id, _), (_, _, note)) = keeper.keep((("n".to_owned(), 1), (2, 3, Some(facts.clone()))));
        let note = note.unwrap();
        let shard = shard_of(&Arc::from("p"));
        let mut expected = vec![
            WordsHash::of("fever").0,
            term_of_code(&code),
            term_of_task(Task::Symptom, shard),
            term_of_task(Task::Disease, shard),
        ];
        expected.sort_unstable();
        assert_eq!((note.terms(), &*note_id, note.mentions[0].start), (expected, "n", 0));
        assert_eq!((keeper.names.len(), keeper.codes.len()), (1, 1), "kept once");

        let nobody = NoteFacts { patient_id: None, ..facts };
        let (_, (_, _, note)) = keeper.keep((("n".to_owned(), 1), (2, 3, Some(nobody))));
        assert!(note.unwrap().terms().is_empty());
    }

    #[test]
    fn terms_of_codes_and_tasks_differ() {
        let code =
            |vocabulary: &str, code: &str| term_of_code(&Code { vocabulary: vocabulary.into(), code: code.into() });
        assert_ne!(code("ab", "c"), code("a", "bc"));
        let tasks: HashSet<Term> =
            Task::ALL.iter().flat_map(|task| (0..SHARDS as u8).map(|shard| term_of_task(*task, shard))).collect();
        assert_eq!(tasks.len(), 3 * SHARDS as usize);
    }
}
