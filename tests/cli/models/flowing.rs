//! Students that take over while notes flow.

use super::{Site, documents};
use crate::running::{DEADLINE, Running};
use crate::support::{json_lines, stdout, stillroom};
use crate::turns::{check_together, turns};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stillroom::engine::Topics;
use stillroom_connectors::{Appended, Log};
use stillroom_schemas::{Extraction, Note};

/// Partitions of the notes.
const PARTITIONS: u32 = 3;

/// From one note to the next: the rate at which they are signed.
const EVERY: Duration = Duration::from_millis(4);

/// Notes that are appended one after the other until a test has seen enough.
struct Flow<'a> {
    site: &'a Site,
    topics: Topics,
    appended: AtomicUsize,
    /// Where the extractions of each partition ended, whenever something was committed.
    ends: Mutex<Vec<BTreeMap<u32, u64>>>,
}

impl Flow<'_> {
    fn note(number: usize) -> Note {
        let document: Value = serde_json::from_str(&documents(number..number + 1)).unwrap();
        serde_json::from_value(json!({ "note_id": format!("n{number}"), "text": document["text"] })).unwrap()
    }

    fn append(&self) {
        let number = self.appended.load(Ordering::SeqCst);
        let note = Flow::note(number);
        let record = Appended {
            key: Some(note.note_id.clone().into_bytes()),
            value: Some(serde_json::to_vec(&note).unwrap()),
            partition: Some(number as u32 % PARTITIONS),
            ..Appended::default()
        };
        self.site.log.append(&self.topics.notes, &[record]).unwrap();
        self.appended.store(number + 1, Ordering::SeqCst);
    }

    /// Takes note of what is committed: extractions behind it are of later commits.
    fn look(&self) {
        let mut outputs = self.site.log.progress().unwrap().outputs;
        let (now, mut ends) = (outputs.remove(&self.topics.extractions).unwrap_or_default(), self.ends.lock().unwrap());
        if ends.last() != Some(&now) {
            ends.push(now);
        }
    }

    /// Checks that all partitions change students together, by what was committed whenever it was looked at.
    fn check_commits(&self, extractions: &[Vec<Extraction>]) {
        let (ends, mut records) = (self.ends.lock().unwrap(), Vec::new());
        for (partition, of_partition) in (0..).zip(extractions) {
            let turns = turns(of_partition.iter().map(|extraction| extraction.model.0.as_str()));
            for (offset, turn) in (0..).zip(turns) {
                let end = |ends: &BTreeMap<u32, u64>| ends.get(&partition).copied().unwrap_or(0);
                records.push((ends.partition_point(|ends| end(ends) <= offset), turn));
            }
        }
        check_together(records);
    }

    /// What is committed, partition by partition in the order of commits.
    fn extractions(&self) -> Vec<Vec<Extraction>> {
        let (mut source, mut found) = (Log::bounded(&self.site.log).unwrap(), vec![Vec::new(); PARTITIONS as usize]);
        (0..PARTITIONS).for_each(|partition| source.assign(&self.topics.extractions, partition, 0).unwrap());
        while !source.is_finished() {
            for record in source.poll(1 << 20, Duration::ZERO).unwrap() {
                let extraction = serde_json::from_slice(&record.value.unwrap()).unwrap();
                found[record.position.partition as usize].push(extraction);
            }
        }
        found
    }

    /// Waits until every partition has an extraction by this student after so many others.
    fn wait_for(&self, model: &str, before: &[usize]) {
        let began = Instant::now();
        let is_there = |(partition, before): (&Vec<Extraction>, &usize)| {
            partition.iter().skip(*before).any(|extraction| extraction.model.0 == model)
        };
        while !self.extractions().iter().zip(before).all(is_there) {
            assert!(began.elapsed() < DEADLINE, "{model} tags nothing");
            // Nothing tells that a commit has come.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many extractions each partition has.
    fn counts(&self) -> Vec<usize> {
        self.extractions().iter().map(Vec::len).collect()
    }
}

fn start(site: &Site, workers: usize) -> Running {
    start_with(site, workers, &[])
}

fn start_with(site: &Site, workers: usize, more: &[&str]) -> Running {
    let mut command = stillroom();
    command.current_dir(site.folder.path()).args(["run", "-c", "stillroom.toml", "--workers", &workers.to_string()]);
    command.args(more);
    Running::start(command)
}

/// What a student says of the notes by itself, by note.
fn said_by(site: &Site, folder: &str, notes: usize) -> BTreeMap<String, Value> {
    let lines: Vec<String> = (0..notes).map(|number| serde_json::to_string(&Flow::note(number)).unwrap()).collect();
    fs::write(site.path("notes.jsonl"), lines.join("\n") + "\n").unwrap();
    let mut command = stillroom();
    command.current_dir(site.folder.path()).args(["extract", "notes.jsonl", "--precision", "f32", "--model", folder]);
    let said = json_lines(stdout(&command.output().unwrap()));
    said.into_iter().map(|line| (line["note_id"].as_str().unwrap().to_owned(), line)).collect()
}

/// Every note is extracted once, by one student, in the order of the activations, whenever the run is killed.
#[test]
fn students_take_over_while_notes_flow() {
    let site = Site::new("weak");
    let topics = Topics::default();
    site.log.create_topic(&topics.notes, PARTITIONS).unwrap();
    let mut config = fs::read_to_string(site.path("stillroom.toml")).unwrap();
    config.push_str("[engine]\ntick_ms = 20\nactivation_ms = 200\n");
    fs::write(site.path("stillroom.toml"), config).unwrap();
    let strong = site.add("strong", &[]);
    let weak = site.add("weak", &[]);
    let flow = Flow { site: &site, topics, appended: AtomicUsize::new(0), ends: Mutex::default() };
    let mut random = SmallRng::seed_from_u64(6);
    let is_enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut running = start(&site, 1);
        running.hear("running on");
        scope.spawn(|| {
            while !is_enough.load(Ordering::SeqCst) {
                flow.append();
                flow.look();
                std::thread::sleep(EVERY);
            }
        });
        flow.wait_for(&weak, &[0; PARTITIONS as usize]);
        for (workers, (model, change)) in (1..).zip([
            (&strong, &["promote", "strong", "--gold", "gold.jsonl"][..]),
            (&weak, &["rollback"]),
            (&strong, &["promote", "strong", "--force"]),
        ]) {
            stdout(&site.run(change));
            let counts = flow.counts();
            // A kill at any moment: before the activation is read, while its student is loaded, or when it tags.
            std::thread::sleep(Duration::from_millis(random.random_range(0..600)));
            running.kill();
            running = start(&site, workers % 3 + 1);
            flow.wait_for(model, &counts);
        }
        is_enough.store(true, Ordering::SeqCst);
        running.terminate();
    });
    let notes = flow.appended.load(Ordering::SeqCst);
    let mut running = start(&site, 2);
    running.hear("running on");
    let began = Instant::now();
    while flow.counts().iter().sum::<usize>() < notes {
        assert!(began.elapsed() < DEADLINE, "{:?} of {notes} notes", flow.counts());
        // Nothing tells that a commit has come.
        std::thread::sleep(Duration::from_millis(50));
    }
    stdout(&running.terminate());

    let said = BTreeMap::from([(&weak, said_by(&site, "weak", notes)), (&strong, said_by(&site, "strong", notes))]);
    let (extractions, mut seen) = (flow.extractions(), 0);
    for partition in &extractions {
        let mut models: Vec<&str> = partition.iter().map(|extraction| extraction.model.0.as_str()).collect();
        models.dedup();
        assert_eq!(models, [&weak, &strong, &weak, &strong], "students out of order");
        for extraction in partition {
            let alone = &said[&extraction.model.0][&extraction.note_id];
            assert_eq!(*alone, serde_json::to_value(extraction).unwrap(), "tagged by a mixture, or another student");
            seen += 1;
        }
    }
    let mut ids: Vec<&str> = extractions.iter().flatten().map(|extraction| extraction.note_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), seen), (notes, notes), "a note is lost or extracted twice");
    flow.check_commits(&extractions);
}

/// Waits until `is_reached`, or fails.
fn wait_until(what: &str, is_reached: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_reached() {
        assert!(began.elapsed() < DEADLINE, "{what}");
        // Nothing tells that a commit has come.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every note that was there before a change of students is tagged again, once, by the one that serves then, whenever the run is killed.
#[test]
fn notes_that_were_there_are_tagged_again() {
    // More than can be tagged again, one a second, while a test waits for anything.
    const NOTES: u64 = 220;
    const { assert!(NOTES > DEADLINE.as_secs(), "they might be done before the kill: let there be more notes") };
    let site = Site::new("weak");
    let topics = Topics::default();
    site.log.create_topic(&topics.notes, PARTITIONS).unwrap();
    let mut config = fs::read_to_string(site.path("stillroom.toml")).unwrap();
    config.push_str("[engine]\ntick_ms = 20\nactivation_ms = 100\n");
    fs::write(site.path("stillroom.toml"), config).unwrap();
    let strong = site.add("strong", &[]);
    let flow = Flow { site: &site, topics, appended: AtomicUsize::new(0), ends: Mutex::default() };
    (0..NOTES).for_each(|_| flow.append());
    let totals = || site.log.progress().unwrap().totals;
    let mut running = start(&site, 1);
    wait_until("the notes are not extracted", || totals().extracted == NOTES);
    stdout(&site.run(&["promote", "strong", "--force"]));
    running.kill();

    running = start_with(&site, 2, &["--retag", "1"]);
    wait_until("no note is tagged again", || totals().retagged > 0);
    running.kill();
    assert!(totals().retagged < NOTES, "the kill came too late: let there be more notes");
    running = start_with(&site, 3, &["--retag", "1000"]);
    wait_until("not all notes are tagged again", || totals().retagged >= NOTES);
    stdout(&running.terminate());
    let totals = totals();
    assert_eq!((totals.notes, totals.extracted, totals.retagged), (NOTES, NOTES, NOTES));

    let said = said_by(&site, "strong", NOTES as usize);
    let extractions = site.log.last_values(&flow.topics.extractions).unwrap();
    assert_eq!(extractions.len() as u64, NOTES);
    for value in extractions.values() {
        let extraction: Value = serde_json::from_slice(value).unwrap();
        assert_eq!(extraction["model"], json!(strong));
        assert_eq!(extraction, said[extraction["note_id"].as_str().unwrap()]);
    }
}
