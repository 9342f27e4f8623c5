//! Random histories of notes, references and labels, and what must come of them.

use super::memory::MemoryLog;
use crate::engine::Topics;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use stillroom_dataflow::{TokenizedText, TokenizerError, Window, Words, label_key, reference_key};
use stillroom_schemas::{Note, Reference, Span, Task, TextHash, Totals};

/// Words that a window of [`tokenize`] owns at most.
const WINDOW_WORDS: usize = 4;

/// Whose labels there are.
pub(crate) const TEACHERS: [&str; 2] = ["ann", "cy"];

/// A word of so many letters makes the student fail.
pub(crate) const UNLUCKY: usize = 13;

/// A text that begins so cannot be cut.
const UNCUTTABLE: &str = "#";

/// A random history and what is to come of it.
pub(crate) struct History {
    pub(crate) log: MemoryLog,
    /// Of every notes record, by partition and offset.
    outcomes: BTreeMap<(u32, u64), Outcome>,
    /// Partition and offset of every reference that cannot be decoded.
    pub(crate) lost_references: Vec<(u32, u64)>,
    notes: BTreeMap<usize, Written>,
    /// By note, annotator and, of labels, text.
    references: BTreeMap<(String, String, Option<TextHash>), Option<Reference>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Extracted,
    Superseded,
    Withdrawn,
    DeadLettered,
}

/// The latest of a note, as the plain rule has it.
#[derive(Clone, Default)]
struct Written {
    last: Option<Note>,
    revision: Option<u64>,
    text: Option<String>,
    extracted: Option<Note>,
}

impl History {
    /// `steps` records over `partitions` partitions of each topic.
    pub(crate) fn random(seed: u64, steps: usize, partitions: u32, topics: &Topics) -> History {
        let names = [
            &topics.notes,
            &topics.references,
            &topics.labels,
            &topics.models,
            &topics.extractions,
            &topics.quality,
            &topics.state,
            &topics.dead_letters,
        ];
        let mut history = History {
            log: MemoryLog::new(names, partitions as usize),
            outcomes: BTreeMap::new(),
            lost_references: Vec::new(),
            notes: BTreeMap::new(),
            references: BTreeMap::new(),
        };
        let mut random = SmallRng::seed_from_u64(seed);
        for _ in 0..steps {
            let note = random.random_range(0..10);
            match random.random_range(0..20) {
                0..10 => history.revise(note, partitions, &topics.notes, &mut random),
                10 => history.repeat(note, partitions, &topics.notes),
                11 => history.withdraw(note, partitions, &topics.notes),
                12 => history.corrupt(note, partitions, &topics.notes, &mut random),
                13..16 => history.annotate(note, partitions, &topics.labels, &mut random),
                _ => history.annotate(note, partitions, &topics.references, &mut random),
            }
        }
        history
    }

    fn revise(&mut self, id: usize, partitions: u32, topic: &str, random: &mut SmallRng) {
        let note = Note {
            note_id: format!("n{id}"),
            patient_id: None,
            revision: random.random_range(0..5),
            note_type: ["letter", "summary"].choose(random).filter(|_| id > 2).map(|name| name.to_string()),
            site: ["north", "south"].choose(random).map(|name| name.to_string()),
            signed_at: None,
            text: text(random),
        };
        self.write(id, note, partitions, topic);
    }

    fn repeat(&mut self, id: usize, partitions: u32, topic: &str) {
        if let Some(note) = self.notes.get(&id).and_then(|written| written.last.clone()) {
            self.write(id, note, partitions, topic);
        }
    }

    fn write(&mut self, id: usize, note: Note, partitions: u32, topic: &str) {
        let partition = id as u32 % partitions;
        let value = serde_json::to_vec(&note).expect("a note is JSON");
        let offset = self.log.append(topic, partition, note.note_id.as_bytes(), Some(value));
        let written = self.notes.entry(id).or_default();
        let overtakes = match written.revision {
            Some(revision) if note.revision == revision => written.text.as_deref() != Some(note.text.as_str()),
            revision => revision.is_none_or(|revision| note.revision > revision),
        };
        let outcome = if !overtakes {
            Outcome::Superseded
        } else if is_readable(&note.text) {
            Outcome::Extracted
        } else {
            Outcome::DeadLettered
        };
        if overtakes {
            (written.revision, written.text) = (Some(note.revision), Some(note.text.clone()));
            written.extracted = (outcome == Outcome::Extracted).then(|| note.clone());
        }
        written.last = Some(note);
        self.outcomes.insert((partition, offset), outcome);
    }

    fn withdraw(&mut self, id: usize, partitions: u32, topic: &str) {
        let partition = id as u32 % partitions;
        let offset = self.log.append(topic, partition, format!("n{id}").as_bytes(), None);
        let written = self.notes.entry(id).or_default();
        (written.revision, written.text, written.extracted) = (written.revision.or(Some(0)), None, None);
        self.outcomes.insert((partition, offset), Outcome::Withdrawn);
    }

    fn corrupt(&mut self, id: usize, partitions: u32, topic: &str, random: &mut SmallRng) {
        let values: [&[u8]; 4] = [b"{\"note_id\":", b"\xff\xfe", b"{}", b"[1]"];
        let partition = id as u32 % partitions;
        let value = values.choose(random).map(|value| value.to_vec());
        let offset = self.log.append(topic, partition, format!("n{id}").as_bytes(), value);
        self.outcomes.insert((partition, offset), Outcome::DeadLettered);
    }

    /// A reference or label for the text that the note has now, or for one that it never has. A teacher has the name of an annotator.
    fn annotate(&mut self, id: usize, partitions: u32, topic: &str, random: &mut SmallRng) {
        let is_label = *topic == *Topics::default().labels;
        let names = if is_label { TEACHERS } else { ["ann", "bob"] };
        let (note_id, annotator) = (format!("n{id}"), names.choose(random).expect("two").to_string());
        let partition = id as u32 % partitions;
        let text = self.notes.get(&id).and_then(|written| written.text.clone()).filter(|_| random.random_bool(0.8));
        let spans: Vec<Span> = (0..random.random_range(0..4)).map(|_| span(random)).collect();
        let tasks: BTreeSet<Task> = spans.iter().map(|span| span.task).chain([Task::Symptom]).collect();
        let text_hash = TextHash::of(text.as_deref().unwrap_or("never written"));
        let of_text = is_label.then(|| text_hash.clone());
        let key = match &of_text {
            Some(text_hash) => label_key(&note_id, &annotator, text_hash),
            None => reference_key(&note_id, &annotator),
        };
        let reference = Reference { note_id: note_id.clone(), annotator: annotator.clone(), text_hash, tasks, spans };
        match random.random_range(0..10) {
            0 => {
                self.log.append(topic, partition, &key, None);
                self.references.insert((note_id, annotator, of_text), None);
            }
            1 => {
                let offset = self.log.append(topic, partition, &key, Some(b"{".to_vec()));
                if !is_label {
                    self.lost_references.push((partition, offset));
                }
            }
            _ => {
                let value = serde_json::to_vec(&reference).expect("a reference is JSON");
                self.log.append(topic, partition, &key, Some(value));
                self.references.insert((note_id, annotator, of_text), Some(reference));
            }
        }
    }

    /// What must have become of all records.
    pub(crate) fn totals(&self) -> Totals {
        let count = |outcome| self.outcomes.values().filter(|is| **is == outcome).count() as u64;
        Totals {
            notes: self.outcomes.len() as u64,
            extracted: count(Outcome::Extracted),
            dead_lettered: count(Outcome::DeadLettered),
            superseded: count(Outcome::Superseded),
            withdrawn: count(Outcome::Withdrawn),
            retagged: 0,
        }
    }

    /// Partition and offset of every note that must become a dead letter.
    pub(crate) fn lost_notes(&self) -> Vec<(u32, u64)> {
        let lost = self.outcomes.iter().filter(|(_, outcome)| **outcome == Outcome::DeadLettered);
        lost.map(|(position, _)| *position).collect()
    }

    /// The notes that are live in the end, each with the references to its text and, marked, the labels.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&Note, Vec<(bool, &Reference)>)> {
        self.notes.values().filter_map(|written| written.extracted.as_ref()).map(|note| {
            let hash = TextHash::of(&note.text);
            let references = self.references.iter().filter_map(|(key, said)| Some((key.2.is_some(), said.as_ref()?)));
            let fitting = references.filter(|(_, said)| said.note_id == note.note_id && said.text_hash == hash);
            (note, fitting.collect())
        })
    }
}

fn is_readable(text: &str) -> bool {
    !text.starts_with(UNCUTTABLE) && text.split(' ').all(|word| word.len() != UNLUCKY)
}

fn text(random: &mut SmallRng) -> String {
    let word = |random: &mut SmallRng| {
        let length = if random.random_bool(0.01) { UNLUCKY } else { random.random_range(1..UNLUCKY) };
        "x".repeat(length)
    };
    let words: Vec<String> = (0..random.random_range(0..12)).map(|_| word(random)).collect();
    let head = if random.random_bool(0.05) { UNCUTTABLE } else { "" };
    head.to_owned() + &words.join(" ")
}

fn span(random: &mut SmallRng) -> Span {
    let start = random.random_range(0..30);
    Span { task: *Task::ALL.choose(random).expect("a task"), start, end: start + random.random_range(1..20) }
}

/// Words at spaces, a window of its own for every [`WINDOW_WORDS`] of them; a word piece is the length of a word.
pub(crate) fn tokenize(text: &str) -> Result<TokenizedText, TokenizerError> {
    if text.starts_with(UNCUTTABLE) {
        return Err(TokenizerError::Encode { bytes: text.len() });
    }
    let (mut words, mut at) = (Vec::new(), 0);
    for word in text.split(' ') {
        let end = at + word.len() as u32;
        words.extend((end > at).then_some(at..end));
        at = end + 1;
    }
    let ids: Vec<u32> = words.iter().map(|word| word.end - word.start).collect();
    let windows = ids.chunks(WINDOW_WORDS).enumerate().map(|(index, ids)| {
        let first = index * WINDOW_WORDS;
        Window { ids: ids.to_vec(), words: first..first + ids.len(), pieces: (0..=ids.len() as u16).collect() }
    });
    Ok(TokenizedText { word_pieces: ids.len() as u32, windows: windows.collect(), words: Words(words) })
}
