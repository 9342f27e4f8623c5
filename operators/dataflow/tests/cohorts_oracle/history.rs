//! Random histories of notes and definitions.

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use stillroom_dataflow::{CohortUpsert, Hierarchy, NoteFactsUpsert};
use stillroom_schemas::{
    AssertionFilter, Axes, Certainty, Code, Cohort, Criterion, Day, Experiencer, Mention, NoteFacts, Task, Temporality,
    WordsHash,
};

const PATIENTS: u32 = 5;
const NOTES: u32 = 9;
const PARTITIONS: u32 = 2;
const COHORTS: u32 = 6;
const WORDS: [&str; 3] = ["Heart failure", "cough", "metformin  500"];
const SECTIONS: [&str; 2] = ["plan", "family_history"];
const NOTE_TYPES: [&str; 2] = ["letter", "report"];

/// Codes are 1 to 7, and half of a code is above it.
pub(crate) struct Halves;

impl Hierarchy for Halves {
    fn descendants(&self, code: &Code) -> Vec<Code> {
        let of: u32 = code.code.parse().unwrap();
        (1..8).filter(|below| *below != of && is_below(*below, of)).map(code_of).collect()
    }
}

/// Whether a code is another one or below it.
pub(crate) fn is_below(mut code: u32, other: u32) -> bool {
    while code > other {
        code /= 2;
    }
    code == other
}

fn code_of(code: u32) -> Code {
    Code { vocabulary: "v".to_owned(), code: code.to_string() }
}

/// A note as the history has it: a mention is at ten times its index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) patient: Option<u32>,
    pub(crate) note_type: Option<&'static str>,
    pub(crate) day: Option<u32>,
    pub(crate) mentions: Vec<SaidMention>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SaidMention {
    pub(crate) task: Task,
    pub(crate) words: &'static str,
    pub(crate) code: Option<u32>,
    pub(crate) meant: Option<Axes>,
    pub(crate) section: Option<&'static str>,
}

/// A note's id and partition.
pub(crate) type NoteKey = (String, u32);

/// Revision, offset, and what the note says, if it is not withdrawn.
pub(crate) type Version = (u64, u64, Option<Said>);

/// What arrives in one epoch. Nothing may depend on the order within it, nor on the worker that it comes in at.
#[derive(Clone, Default)]
pub(crate) struct Inputs {
    pub(crate) notes: Vec<(NoteKey, Version)>,
    pub(crate) definitions: Vec<CohortUpsert>,
}

impl Said {
    pub(crate) fn facts(&self) -> NoteFacts {
        let mention = |(index, said): (usize, &SaidMention)| Mention {
            task: said.task,
            start: 10 * index as u32,
            end: 10 * index as u32 + 5,
            words: WordsHash::of(said.words),
            code: said.code.map(code_of),
            assertion: said.meant,
            section: said.section.map(str::to_owned),
        };
        NoteFacts {
            patient_id: self.patient.map(|patient| format!("p{patient}")),
            note_type: self.note_type.map(str::to_owned),
            signed_on: self.day.map(Day::from_number),
            mentions: self.mentions.iter().enumerate().map(mention).collect(),
        }
    }
}

pub(crate) fn upsert_of((key, (revision, offset, said)): &(NoteKey, Version)) -> NoteFactsUpsert {
    (key.clone(), (*revision, *offset, said.as_ref().map(Said::facts)))
}

fn any_axes(rng: &mut SmallRng) -> Axes {
    Axes {
        certainty: if rng.random_bool(0.7) { Certainty::Affirmed } else { Certainty::Negated },
        temporality: if rng.random_bool(0.9) { Temporality::Recent } else { Temporality::Historical },
        experiencer: if rng.random_bool(0.8) { Experiencer::Patient } else { Experiencer::Family },
    }
}

fn some<T: Copy>(rng: &mut SmallRng, share: f64, of: &[T]) -> Option<T> {
    rng.random_bool(share).then(|| *of.choose(rng).unwrap())
}

fn any_said(rng: &mut SmallRng, day: Option<u32>) -> Said {
    let mention = |rng: &mut SmallRng| SaidMention {
        task: *Task::ALL.choose(rng).unwrap(),
        words: WORDS.choose(rng).unwrap(),
        code: rng.random_bool(0.7).then(|| rng.random_range(1..8)),
        meant: rng.random_bool(0.9).then(|| any_axes(rng)),
        section: some(rng, 0.5, &SECTIONS),
    };
    Said {
        patient: rng.random_bool(0.95).then(|| rng.random_range(0..PATIENTS)),
        note_type: some(rng, 0.8, &NOTE_TYPES),
        day,
        mentions: (0..rng.random_range(0..5)).map(|_| mention(rng)).collect(),
    }
}

fn any_criterion(rng: &mut SmallRng) -> Criterion {
    let mut criterion = Criterion { task: some(rng, 0.3, &Task::ALL), ..Criterion::default() };
    let codes = rng.random_range(0..3);
    criterion.concepts = (0..codes).map(|_| code_of(rng.random_range(1..8))).collect();
    criterion.words = some(rng, 0.3, &["heart FAILURE", "cough"]).map(str::to_owned).into_iter().collect();
    if criterion.concepts.is_empty() && criterion.words.is_empty() {
        criterion.task = Some(*Task::ALL.choose(rng).unwrap());
    }
    criterion.descendants = rng.random_bool(0.7);
    criterion.assertion = match rng.random_range(0..4) {
        0 => AssertionFilter { any: true, ..AssertionFilter::default() },
        1 => AssertionFilter {
            certainty: BTreeSet::from([Certainty::Affirmed, Certainty::Negated]),
            experiencer: BTreeSet::from([Experiencer::Family, Experiencer::Patient]),
            ..AssertionFilter::default()
        },
        _ => AssertionFilter::default(),
    };
    let names = |name: Option<&str>| -> BTreeSet<String> { name.map(str::to_owned).into_iter().collect() };
    criterion.sections = names(some(rng, 0.1, &SECTIONS));
    criterion.sections_not = names(some(rng, 0.1, &SECTIONS));
    criterion.note_types = names(some(rng, 0.1, &NOTE_TYPES));
    criterion.count = if rng.random_bool(0.8) { 1 } else { 2 };
    criterion.days = rng.random_bool(0.5).then(|| rng.random_range(1..12));
    criterion
}

pub(crate) fn any_cohort(rng: &mut SmallRng, name: String) -> Cohort {
    let title = rng.random_bool(0.5).then(|| "a title".to_owned());
    let mut list =
        |range: Range<usize>| -> Vec<Criterion> { (0..rng.random_range(range)).map(|_| any_criterion(rng)).collect() };
    let (all, any) = (list(0..3), list(0..3));
    let all = if all.is_empty() && any.is_empty() { list(1..2) } else { all };
    let cohort = Cohort { name, title, all, any, none: list(0..2) };
    cohort.check().unwrap();
    cohort
}

/// What the history knows of a note: its revision and offset, whether it changed in this epoch, and what it says.
type Known = (u64, u64, bool, Option<Said>);

/// A history whose records come in order, several of one note in one epoch included. In one `with_future` some notes are dated after the
/// day that it is.
pub(crate) fn any_history(seed: u64, epochs: u64, with_future: bool) -> Vec<Inputs> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut known: BTreeMap<NoteKey, Known> = BTreeMap::new();
    let mut defined: BTreeMap<String, Cohort> = BTreeMap::new();
    let (mut offset, mut history) = (0, Vec::new());
    for epoch in 0..epochs {
        let mut inputs = Inputs::default();
        known.values_mut().for_each(|known| known.2 = false);
        for _ in 0..rng.random_range(0..8) {
            offset += 1;
            let key = (format!("n{}", rng.random_range(0..NOTES)), rng.random_range(0..PARTITIONS));
            let day = rng.random_bool(0.9).then(|| {
                let ahead = if with_future && rng.random_bool(0.1) { 8 } else { 0 };
                (day_of(epoch) + ahead).saturating_sub(rng.random_range(0..6))
            });
            let (revision, at, is_new, said) = known.get(&key).cloned().unwrap_or((0, 0, true, None));
            let version = match (rng.random_range(0..10), said) {
                (0 | 1, Some(_)) => (revision, offset, None),
                // Another student reads the same record.
                (2, Some(said)) if !is_new && said.patient.is_some() => {
                    let mentions = any_said(&mut rng, day).mentions;
                    (revision, at, Some(Said { mentions, ..said }))
                }
                // A small amendment: most of the note stays.
                (3 | 4, Some(mut said)) => {
                    said.mentions.pop();
                    (revision + 1, offset, Some(said))
                }
                _ => (revision + rng.random_range(0..2), offset, Some(any_said(&mut rng, day))),
            };
            known.insert(key.clone(), (version.0, version.1, true, version.2.clone()));
            inputs.notes.push((key, version));
        }
        if epoch < 3 || rng.random_bool(0.15) {
            offset += 1;
            let name = format!("c{}", rng.random_range(0..COHORTS));
            let cohort = match (rng.random_range(0..5), defined.remove(&name)) {
                (0, Some(_)) => None,
                // The same once more, under another title.
                (1, Some(same)) => Some(Cohort { title: Some(epoch.to_string()), ..same }),
                _ => Some(any_cohort(&mut rng, name.clone())),
            };
            cohort.iter().for_each(|cohort| drop(defined.insert(name.clone(), cohort.clone())));
            inputs.definitions.push((name, (offset, cohort)));
        }
        inputs.notes.shuffle(&mut rng);
        history.push(inputs);
    }
    history
}

/// The day that it is in an epoch, by the calendar: one day in two epochs.
pub(crate) fn day_of(epoch: u64) -> u32 {
    20 + epoch as u32 / 2
}
