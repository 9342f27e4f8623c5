//! What a training learns from, and what it is measured by, over random histories on a log in a folder, against a recomputation by
//! hand: no held-out patient, no withdrawn note and no old revision is ever in what is written to be learned from.

use crate::config::Config;
use crate::engine::Topics;
use crate::retraining::book::Book;
use crate::retraining::documents::{self, NotesTopic};
use crate::retraining::follower::Follower;
use crate::retraining::run_folder::RunFolder;
use crate::retraining::snapshot::Choice;
use crate::wire::Wire;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use stillroom_connectors::{Appended, EmbeddedLog, GoldDocument, GoldDocuments, Log};
use stillroom_dataflow::{label_key, reference_key};
use stillroom_schemas::{Reference, Span, Task, TaskSet, TextHash};

/// Some have the texts of others.
const NOTES: usize = 14;
const TEXTS: usize = 11;
const PARTITIONS: u32 = 2;
const PATIENTS: [&str; 8] = ["p1", "p2", "p3", "p4", "p5", "p6", "p7", ""];
const HELD_OUT: f64 = 0.4;
const ANNOTATORS: [&str; 2] = ["ada", "ben"];
/// Speaks for diseases.
const TEACHER: &str = "mine";

/// The last that came of a note.
#[derive(Default)]
struct Known {
    /// The revision that was written last, of those that were not late.
    last: u64,
    /// The greatest that was read.
    greatest: u64,
    /// Patient and text, as they stand.
    current: Option<(Option<String>, String)>,
    /// What people say.
    said: BTreeMap<&'static str, Reference>,
    /// What the teacher was asked about, by text.
    labelled: BTreeMap<TextHash, TaskSet>,
}

/// A note that there is something to learn from or to measure by.
#[derive(Debug)]
struct Expected {
    text: String,
    /// The patient, or the note where none is known.
    whose: String,
    /// What people say of the tasks that they annotated.
    by_people: BTreeMap<Task, BTreeSet<Span>>,
    is_labelled: bool,
}

impl Expected {
    /// By the first 64 bits of the hash of whose it is.
    fn is_held_out(&self) -> bool {
        let digits = TextHash::of(&self.whose).0;
        (u64::from_str_radix(&digits[..16], 16).unwrap() as f64) < HELD_OUT * 2f64.powi(64)
    }

    /// Those of a document that is learned from; a teacher is not measured by.
    fn tasks(&self) -> TaskSet {
        let labelled = self.is_labelled && !self.is_held_out();
        self.by_people.keys().copied().chain(labelled.then_some(Task::Disease)).collect()
    }
}

fn text_of(number: usize, revision: u64) -> String {
    // Every third revision has the text of the one before.
    format!("{} {} fever and a cough", number % TEXTS, revision - revision / 3)
}

fn id(number: usize) -> String {
    format!("n{number}")
}

/// What happens on a log, and what is to be known after it.
struct World {
    log: EmbeddedLog,
    random: SmallRng,
    known: Vec<Known>,
}

impl World {
    fn new(folder: &Path, seed: u64) -> World {
        let (log, topics) = (EmbeddedLog::open(folder.join("log")).unwrap(), Topics::default());
        for topic in [&topics.notes, &topics.references, &topics.labels] {
            log.create_topic(topic, PARTITIONS).unwrap();
        }
        let known = (0..NOTES).map(|_| Known::default()).collect();
        World { log, random: SmallRng::seed_from_u64(seed), known }
    }

    /// Appends some records more.
    fn go_on(&mut self) {
        let (topics, mut records) = (Topics::default(), <[Vec<Appended>; 3]>::default());
        for _ in 0..self.random.random_range(5..25) {
            let number = self.random.random_range(0..NOTES);
            let (topic, record) = match self.random.random_range(0..14) {
                0..5 => (0, self.revise(number)),
                5 => (0, self.withdraw(number)),
                6 => (0, record(number, id(number).into(), Some(b"{".to_vec()))),
                7..12 => (1, self.annotate(number)),
                _ => (2, self.label(number)),
            };
            records[topic].push(record);
        }
        for (topic, records) in [&topics.notes, &topics.references, &topics.labels].into_iter().zip(&records) {
            self.log.append(topic, records).unwrap();
        }
    }

    /// The last revision, or one near it.
    fn near(&mut self, number: usize) -> u64 {
        let last = self.known[number].last;
        if self.random.random_bool(0.6) { last } else { (last + self.random.random_range(0..3)).saturating_sub(1) }
    }

    fn revise(&mut self, number: usize) -> Appended {
        self.known[number].last += self.random.random_range(0..2);
        let (near, last) = (self.near(number), self.known[number].last);
        let revision = if self.random.random_bool(0.2) { near.min(last) } else { last };
        let patient = PATIENTS[self.random.random_range(0..PATIENTS.len())].to_owned();
        let (patient, text) = (self.random.random_bool(0.8).then_some(patient), text_of(number, revision));
        let note = json!({ "note_id": id(number), "patient_id": patient, "revision": revision, "text": text });
        let known = &mut self.known[number];
        let is_again = known.current.as_ref().is_some_and(|(_, current)| *current == text);
        if revision > known.greatest || revision == known.greatest && !is_again {
            (known.greatest, known.current) = (revision, Some((patient, text)));
        }
        record(number, id(number).into(), Some(note.to_string().into()))
    }

    fn withdraw(&mut self, number: usize) -> Appended {
        self.known[number].current = None;
        record(number, id(number).into(), None)
    }

    /// What somebody says of a text of a note.
    fn any_reference(&mut self, number: usize, annotator: &str) -> Reference {
        let text = text_of(number, self.near(number));
        let tasks: TaskSet = Task::ALL.into_iter().filter(|_| self.random.random_bool(0.7)).collect();
        let mut spans = Vec::new();
        for &task in &tasks {
            for _ in 0..self.random.random_range(0..3) {
                let start = self.random.random_range(0..10);
                spans.push(Span { task, start, end: start + self.random.random_range(1..6) });
            }
        }
        let (note_id, annotator) = (id(number), annotator.to_owned());
        Reference { note_id, annotator, text_hash: TextHash::of(&text), tasks, spans }
    }

    fn annotate(&mut self, number: usize) -> Appended {
        let annotator = ANNOTATORS[self.random.random_range(0..ANNOTATORS.len())];
        let reference = self.any_reference(number, annotator);
        let value = self.random.random_bool(0.85).then(|| serde_json::to_vec(&reference).unwrap());
        match value {
            Some(_) => self.known[number].said.insert(annotator, reference),
            None => self.known[number].said.remove(annotator),
        };
        record(number, reference_key(&id(number), annotator), value)
    }

    fn label(&mut self, number: usize) -> Appended {
        let label = self.any_reference(number, TEACHER);
        let key = label_key(&id(number), TEACHER, &label.text_hash);
        let value = serde_json::to_vec(&label).unwrap();
        self.known[number].labelled.insert(label.text_hash, label.tasks);
        record(number, key, Some(value))
    }

    /// The notes that there are examples of, by what stands on the log now.
    fn expected(&self) -> BTreeMap<String, Expected> {
        let of = |(number, known): (usize, &Known)| {
            let (patient, text) = known.current.clone()?;
            let hash = TextHash::of(&text);
            let mut by_people = BTreeMap::new();
            // The first in the order of names speaks for a task.
            for said in known.said.values().filter(|said| said.text_hash == hash) {
                for &task in &said.tasks {
                    let of_task = said.spans.iter().copied().filter(|span| span.task == task);
                    by_people.entry(task).or_insert_with(|| of_task.collect());
                }
            }
            let is_labelled = known.labelled.get(&hash).is_some_and(|tasks| tasks.contains(&Task::Disease))
                && !by_people.contains_key(&Task::Disease);
            let whose = patient.filter(|patient| !patient.is_empty()).unwrap_or_else(|| id(number));
            let is_there = is_labelled || !by_people.is_empty();
            is_there.then_some((id(number), Expected { text, whose, by_people, is_labelled }))
        };
        self.known.iter().enumerate().filter_map(of).collect()
    }
}

/// All of a note in one partition.
fn record(number: usize, key: Vec<u8>, value: Option<Vec<u8>>) -> Appended {
    Appended { key: Some(key), value, partition: Some(number as u32 % PARTITIONS), ..Appended::default() }
}

/// The tiny student tells words, and one teacher speaks for diseases.
fn config(folder: &Path) -> Config {
    let ensemble = folder.join("ensemble.toml");
    let chosen = format!(
        "[disease]\nf1 = 0.9\ninterval = [0.8, 1.0]\ndocuments = 9\nteachers = ['{TEACHER}']\nrule = 'union'\n"
    );
    fs::write(&ensemble, chosen).unwrap();
    let mut config = Config::default();
    config.student.folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/tiny")];
    config.teachers.ensemble = ensemble;
    (config.retraining.held_out, config.retraining.dev) = (HELD_OUT, 0.3);
    config
}

fn read(path: &Path) -> BTreeMap<String, GoldDocument> {
    let documents = GoldDocuments::open(path).unwrap().map(Result::unwrap);
    documents.map(|document| (document.id.clone(), document)).collect()
}

/// Checks that a document says what is to be known of its note.
fn check_document(document: &GoldDocument, expected: &Expected) {
    assert_eq!(document.text, expected.text, "{} is of an old revision", document.id);
    assert_eq!(document.tasks, expected.tasks(), "{document:?}: {expected:?}");
    for (task, spans) in &expected.by_people {
        let of_task: BTreeSet<Span> = document.spans.iter().copied().filter(|span| span.task == *task).collect();
        assert_eq!(of_task, *spans, "{document:?}");
    }
}

/// Checks what was written; how many documents there are to learn from, and to measure by.
fn check(run: &RunFolder, expected: &BTreeMap<String, Expected>) -> [usize; 2] {
    let [train, dev, held_out] = [run.train(), run.dev(), run.held_out()].map(|path| read(&path));
    let mut measured: BTreeSet<&String> = BTreeSet::new();
    let mut learned: BTreeSet<&String> = BTreeSet::new();
    let never: BTreeSet<&String> = expected.values().filter(|note| note.is_held_out()).map(|note| &note.text).collect();
    for (id, note) in expected {
        match note.is_held_out() {
            true if !note.by_people.is_empty() => measured.insert(id),
            false if !never.contains(&note.text) => learned.insert(id),
            _ => false,
        };
    }
    assert_eq!(held_out.keys().collect::<BTreeSet<_>>(), measured);
    for (id, document) in train.iter().chain(&dev) {
        assert!(learned.contains(id), "{id} was withdrawn, is held out or has the text of one that is: {expected:?}");
        check_document(document, &expected[id]);
    }
    held_out.iter().for_each(|(id, document)| check_document(document, &expected[id]));
    let whose = |part: &BTreeMap<String, GoldDocument>| -> BTreeSet<String> {
        part.keys().map(|id| expected[id].whose.clone()).collect()
    };
    let (of_train, of_dev) = (whose(&train), whose(&dev));
    assert!(of_train.is_disjoint(&of_dev), "a patient is on both sides: {of_train:?} {of_dev:?}");
    let chooses: BTreeSet<&String> = dev.values().map(|document| &document.text).collect();
    for id in learned.into_iter().filter(|id| !train.contains_key(*id) && !dev.contains_key(*id)) {
        assert!(chooses.contains(&expected[id].text), "{id} is left out");
    }
    assert!(train.values().all(|document| !chooses.contains(&document.text)), "a text is on both sides");
    [train.len() + dev.len(), held_out.len()]
}

#[test]
fn snapshots_of_random_histories_have_what_may_be_learned_and_nothing_else() {
    let (mut written, stop) = ([0, 0], AtomicBool::new(false));
    for seed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let (mut world, config, wire) = (World::new(folder.path(), seed), config(folder.path()), Wire::Plain);
        let follow = || (Follower::new(&config, &wire).unwrap(), Book::default());
        let (mut follower, mut book) = follow();
        for round in 0..12 {
            world.go_on();
            assert!(follower.look((&world.log, &wire), &mut book, &stop).unwrap());
            let (expected, choice) = (world.expected(), Choice::of(&book, &config.retraining));
            // What comes before the documents are written is of the next snapshot.
            world.go_on();
            // Of a history as short as this there may be too little.
            let Ok(choice) = choice else { continue };
            let run = RunFolder(folder.path().join(format!("run-{round}")));
            fs::create_dir(run.path()).unwrap();
            let topic = NotesTopic { log: &world.log, wire: &wire, name: &config.engine.topics.notes };
            let bytes_max = config.retraining.text_bytes_max;
            let snapshot =
                documents::write(choice, &follower.origin(), (topic, bytes_max), (&run, &stop)).unwrap().unwrap();
            assert_eq!((snapshot.left_out.gone, snapshot.left_out.outside), (0, 0), "seed {seed}, round {round}");
            let [learned, measured] = check(&run, &expected);
            written = [written[0] + learned, written[1] + measured];
        }
        // From the beginning in one go the same is chosen.
        let (mut again, mut book_again) = follow();
        assert!(follower.look((&world.log, &wire), &mut book, &stop).unwrap());
        assert!(again.look((&world.log, &wire), &mut book_again, &stop).unwrap());
        let [one, other] = [&book, &book_again].map(|book| Choice::of(book, &config.retraining).ok());
        assert_eq!(one, other, "seed {seed}");
    }
    assert!(written.iter().all(|documents| *documents > 60), "the histories are too poor: {written:?}");
}
