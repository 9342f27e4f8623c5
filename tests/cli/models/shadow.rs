//! `stillroom models shadow`: a student reads along before it serves.

use super::{Site, documents};
use crate::running::{DEADLINE, Running};
use crate::support::{json_lines, stderr, stdout, stillroom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use stillroom::engine::Topics;
use stillroom_connectors::{Appended, EmbeddedLog, Log};
use stillroom_dataflow::{Sampling, reference_key};
use stillroom_schemas::{Comparison, Level, Progress, Quality, TextHash};

/// Partitions of the notes.
const PARTITIONS: u32 = 3;

/// Notes that people annotated: enough to compare by.
const ANNOTATED: usize = 30;

/// A weak student that has read notes, and a strong one in the registry.
struct Ward {
    site: Site,
    topics: Topics,
    strong: String,
}

impl Ward {
    fn new() -> Ward {
        let (site, topics) = (Site::new("weak"), Topics::default());
        for topic in [&topics.notes, &topics.references] {
            site.log.create_topic(topic, PARTITIONS).unwrap();
        }
        let strong = site.add("strong", &[]);
        Ward { site, topics, strong }
    }

    fn write(&self, number: usize) {
        let note = json!({ "note_id": note_id(number), "text": document(number)["text"] });
        let (key, partition) = (Some(note_id(number).into_bytes()), Some(number as u32 % PARTITIONS));
        let record = Appended { key, value: Some(note.to_string().into_bytes()), partition, ..Appended::default() };
        self.site.log.append(&self.topics.notes, &[record]).unwrap();
    }

    fn annotate(&self, number: usize) {
        let document = document(number);
        let span = |entity: &Value| json!({ "task": entity["task"], "start": entity["start"], "end": entity["end"] });
        let spans: Vec<Value> = document["entities"].as_array().unwrap().iter().map(span).collect();
        let reference = json!({
            "note_id": note_id(number),
            "annotator": "dr",
            "text_hash": TextHash::of(document["text"].as_str().unwrap()),
            "tasks": document["tasks"],
            "spans": spans,
        });
        let key = Some(reference_key(&note_id(number), "dr"));
        let record = Appended { key, value: Some(reference.to_string().into_bytes()), ..Appended::default() };
        self.site.log.append(&self.topics.references, &[record]).unwrap();
    }

    fn extraction(&self) -> Running {
        let mut command = stillroom();
        command.current_dir(self.site.folder.path()).args(["run", "-c", "stillroom.toml"]);
        let mut running = Running::start(command);
        running.hear("running on");
        running
    }

    /// Waits until so many notes are committed.
    fn wait_for(&self, notes: u64) {
        self.wait(|progress| progress.totals.notes >= notes);
    }

    /// Waits until this is committed.
    fn wait(&self, is_reached: impl Fn(&Progress) -> bool) {
        let began = Instant::now();
        while !is_reached(&EmbeddedLog::progress(&self.site.log).unwrap()) {
            assert!(began.elapsed() < DEADLINE, "what is waited for is not committed");
            // Nothing tells that a commit has come.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What `models shadow` prints.
    fn shadow(&self, more: &[&str]) -> Value {
        let output = self.site.run(&[&["shadow", "strong"][..], more].concat());
        assert!(!(stderr(&output) + stdout(&output)).contains("the patient has"), "{}", stderr(&output));
        json_lines(stdout(&output)).remove(0)
    }

    /// The figures in words, over all notes and against references, that are published.
    fn published(&self) -> Vec<Quality> {
        let (mut source, mut values) = (Log::bounded(&self.site.log).unwrap(), BTreeMap::new());
        source.assign(&self.topics.shadow, 0, 0).unwrap();
        while !source.is_finished() {
            for record in source.poll(1 << 20, Duration::ZERO).unwrap() {
                values.insert(record.key, record.value);
            }
        }
        let figures = values.into_values().flatten().map(|value| serde_json::from_slice::<Quality>(&value).unwrap());
        let is_shown = |figure: &Quality| {
            let key = &figure.key;
            key.rollup && key.level == Level::Word && key.comparison == Comparison::StudentReference
        };
        figures.filter(is_shown).collect()
    }
}

fn note_id(number: usize) -> String {
    format!("n{number}")
}

fn document(number: usize) -> Value {
    serde_json::from_str(&documents(number..number + 1)).unwrap()
}

#[test]
fn a_student_is_measured_beside_the_serving_one_on_the_same_notes() {
    let ward = Ward::new();
    (0..ANNOTATED + 5).for_each(|number| ward.write(number));
    let running = ward.extraction();
    ward.wait_for(ANNOTATED as u64 + 5);
    stdout(&running.terminate());

    // Nobody has annotated anything.
    let alone = ward.shadow(&["--share", "1", "--from-beginning"]);
    assert_eq!((&alone["notes"], &alone["references"]), (&json!(ANNOTATED + 5), &json!({})), "{alone}");
    assert_eq!(alone["undecided"], "there are no references to compare by", "{alone}");
    assert!(alone["agreement"]["disease"]["notes"] == ANNOTATED + 5, "{alone}");

    (0..ANNOTATED).for_each(|number| ward.annotate(number));
    let report = ward.shadow(&["--share", "1", "--from-beginning"]);
    assert_eq!(report["notes"], ANNOTATED + 5, "{report}");
    assert_eq!((&report["candidate"], &report["refusal"]), (&json!(ward.strong), &Value::Null), "{report}");
    assert_eq!(report["undecided"], Value::Null, "{report}");
    let (figures, published) = (report["references"]["dr"].as_array().unwrap(), ward.published());
    assert_eq!((figures.len(), published.len()), (3, 6), "{figures:?} {published:?}");
    for figure in figures {
        assert_eq!(figure["documents"], ANNOTATED, "{figure}");
        assert!(figure["difference"]["low"].as_f64().unwrap() > 0.0, "{figure}");
        for (side, model) in [("candidate", &report["candidate"]), ("serving", &report["serving"])] {
            let is_it = |row: &&Quality| json!(row.key.model) == *model && json!(row.key.task) == figure["task"];
            let rows: Vec<Value> = published.iter().filter(is_it).map(|row| json!(row.counts)).collect();
            assert_eq!(rows, [figure[side].clone()], "{side}");
        }
    }
    assert!(ward.site.activations().is_empty(), "who reads along does not serve");

    let half = ward.shadow(&["--share", "0.5", "--from-beginning"]);
    let sampling = Sampling { rate: 0.5, ..Sampling::default() };
    let drawn: BTreeSet<usize> =
        (0..ANNOTATED + 5).filter(|number| sampling.draws(&note_id(*number), None, 0.0)).collect();
    assert!((5..30).contains(&drawn.len()), "{drawn:?}");
    assert_eq!(half["notes"], drawn.len(), "{half}");
    let annotated = drawn.iter().filter(|number| **number < ANNOTATED).count();
    let counted: BTreeSet<i64> = ward.published().iter().map(|figure| figure.counts.notes).collect();
    assert_eq!(counted, [annotated as i64].into(), "what an earlier shadow left is gone");
}

#[test]
fn who_is_worse_is_refused_and_who_serves_cannot_read_along() {
    let ward = Ward::new();
    let weak = ward.site.add("weak", &[]);
    stdout(&ward.site.run(&["promote", "strong", "--force"]));
    let running = ward.extraction();
    ward.wait(|progress| progress.inputs.contains_key(&ward.topics.models));
    stdout(&running.terminate());
    (0..ANNOTATED).for_each(|number| ward.write(number));
    (0..ANNOTATED).for_each(|number| ward.annotate(number));
    // The activation is what it starts with.
    let running = ward.extraction();
    ward.wait_for(ANNOTATED as u64);
    stdout(&running.terminate());
    let output = ward.site.run(&["shadow", "weak", "--share", "1", "--from-beginning"]);
    let report = json_lines(stdout(&output)).remove(0);
    let refusal = report["refusal"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(refusal.contains("it was worse on disease and medication and symptom by the references of dr"), "{report}");
    assert!(stderr(&output).contains(&format!("{weak} should not serve: ")), "{}", stderr(&output));
    ward.site.check_refused(&["shadow", "strong"], "serves already");
    ward.site.check_refused(&["shadow", "weak", "--share", "0"], "--share is 0; choose a share above 0");
}

#[test]
fn a_student_reads_along_while_notes_flow() {
    let ward = Ward::new();
    (0..10).for_each(|number| ward.write(number));
    let running = ward.extraction();
    ward.wait_for(10);
    let reading = |more: &[&str]| {
        let mut command = stillroom();
        command.current_dir(ward.site.folder.path()).args(["models", "shadow", "strong", "--share", "1"]);
        let mut reading = Running::start({
            command.args(more).args(["-c", "stillroom.toml"]);
            command
        });
        reading.hear("reads along with");
        reading
    };
    let along = reading(&["--notes", "8"]);
    (10..20).for_each(|number| ward.write(number));
    let report = json_lines(stdout(&along.wait())).remove(0);
    let notes = report["notes"].as_u64().unwrap();
    assert!((8..=10).contains(&notes), "notes from before it began count nowhere: {report}");

    // What was read until a stop is compared.
    let stopped = reading(&[]).terminate();
    assert_eq!(json_lines(stdout(&stopped)).remove(0)["notes"], 0, "{}", stderr(&stopped));
    stdout(&running.terminate());
}
