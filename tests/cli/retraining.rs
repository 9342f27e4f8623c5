//! `stillroom retrain` and `run --topology retraining`: people annotate notes while they flow, and a better student
//! takes over.

mod asked;
mod origin;
mod poisoned;
mod rebuilt;
mod shadow;
mod soft;
mod watched;

use crate::checkpoint::wait_for_checkpoint;
use crate::documents::documents;
use crate::models::Site;
use crate::running::{DEADLINE, Running};
use crate::support::{json_lines, stderr, stdout, stillroom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use stillroom::engine::Topics;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::{HeldOut, reference_key};
use stillroom_schemas::{ActivationCause, Extraction, Retraining, Task, TextHash};

/// Partitions of the notes.
const PARTITIONS: u32 = 3;

/// Notes with texts of their own, three of each patient.
const NOTES: usize = 75;

/// The share of the patients who are held out: more than the 20 notes that a promotion takes.
const HELD_OUT: f64 = 0.3;

/// Withdrawn after they were annotated: the first is of a patient who is held out.
const WITHDRAWN: [usize; 2] = [1, 40];

/// Amended after it was annotated, and not annotated again.
const AMENDED: usize = 43;

/// Amended and annotated again.
const ANNOTATED_AGAIN: usize = 46;

/// What an amendment begins with.
const ADDED: &str = "today : ";

/// Where a weak student serves, and people annotate.
struct Ward {
    site: Site,
    topics: Topics,
}

impl Ward {
    /// With this in `[retraining]`, beside a recipe by which a tiny student learns all that there is.
    fn new(retraining: &str) -> Ward {
        let ward = Ward::without_notes(retraining);
        ward.fill();
        ward
    }

    fn without_notes(retraining: &str) -> Ward {
        let (site, topics) = (Site::new("weak"), Topics::default());
        for topic in [&topics.notes, &topics.references, &topics.labels] {
            site.log.create_topic(topic, PARTITIONS).unwrap();
        }
        let mut config = fs::read_to_string(site.path("stillroom.toml")).unwrap();
        config.push_str(&format!(
            "[engine]\ntick_ms = 20\nactivation_ms = 200\n\
             [retraining]\ndir = 'retraining'\nheld_out = {HELD_OUT}\n\
             threads = 1\nkeep_snapshots = true\npatience = 40\nlook_every_seconds = 1\n{retraining}\
             [retraining.recipe]\nrate = 3e-3\nepochs = 40\nlinear_decay = true\n"
        ));
        fs::write(site.path("stillroom.toml"), config).unwrap();
        Ward { site, topics }
    }

    /// All notes, references, amendments and withdrawals.
    fn fill(&self) {
        (0..NOTES).for_each(|number| self.write(number, ""));
        (0..NOTES).for_each(|number| self.annotate(number, ""));
        [AMENDED, ANNOTATED_AGAIN].into_iter().for_each(|number| self.write(number, ADDED));
        self.annotate(ANNOTATED_AGAIN, ADDED);
        WITHDRAWN.into_iter().for_each(|number| self.append_note(number, None));
    }

    /// The note's first revision, or the one that begins with `added`.
    fn write(&self, number: usize, added: &str) {
        let note = json!({
            "note_id": note_id(number),
            "patient_id": patient(number),
            "revision": added.len(),
            "text": added.to_owned() + document(number)["text"].as_str().unwrap(),
        });
        self.append_note(number, Some(note.to_string().into_bytes()));
    }

    fn append_note(&self, number: usize, value: Option<Vec<u8>>) {
        let partition = Some(number as u32 % PARTITIONS);
        let record = Appended { key: Some(note_id(number).into_bytes()), value, partition, ..Appended::default() };
        self.site.log.append(&self.topics.notes, &[record]).unwrap();
    }

    fn annotate(&self, number: usize, added: &str) {
        let document = document(number);
        let text = added.to_owned() + document["text"].as_str().unwrap();
        let place = |entity: &Value, end: &str| entity[end].as_u64().unwrap() + added.len() as u64;
        let span = |entity: &Value| json!({ "task": entity["task"], "start": place(entity, "start"), "end": place(entity, "end") });
        let spans: Vec<Value> = document["entities"].as_array().unwrap().iter().map(span).collect();
        let (note_id, annotator) = (note_id(number), "dr");
        let reference = json!({
            "note_id": note_id,
            "annotator": annotator,
            "text_hash": TextHash::of(&text),
            "tasks": document["tasks"],
            "spans": spans,
        });
        let record = Appended {
            key: Some(reference_key(&note_id, annotator)),
            value: Some(reference.to_string().into_bytes()),
            ..Appended::default()
        };
        self.site.log.append(&self.topics.references, &[record]).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stillroom();
        command.current_dir(self.site.folder.path()).args(arguments).args(["-c", "stillroom.toml"]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `retrain` prints.
    fn retrain(&self, more: &[&str]) -> Value {
        let output = self.run(&[&["retrain"][..], more].concat());
        check_no_text(&output);
        json_lines(stdout(&output)).remove(0)
    }

    fn follow(&self, more: &[&str]) -> Running {
        Running::start(self.command(&[&["run", "--topology", "retraining"][..], more].concat()))
    }

    /// Appends notes until one is extracted by this student.
    fn wait_for(&self, model: &str) {
        let began = Instant::now();
        for number in NOTES.. {
            let (mut source, mut models) = (Log::bounded(&self.site.log).unwrap(), BTreeSet::new());
            (0..PARTITIONS).for_each(|partition| source.assign(&self.topics.extractions, partition, 0).unwrap());
            while !source.is_finished() {
                let values =
                    source.poll(1 << 20, Duration::ZERO).unwrap().into_iter().filter_map(|record| record.value);
                models.extend(values.map(|value| serde_json::from_slice::<Extraction>(&value).unwrap().model.0));
            }
            if models.contains(model) {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{model} tags nothing; there are {models:?}");
            self.write(number, "");
            // Nothing tells that a commit has come.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What stands on the topic of retraining, record after record.
    fn said(&self) -> Vec<Retraining> {
        let (mut source, mut said) = (Log::bounded(&self.site.log).unwrap(), Vec::new());
        source.assign(&self.topics.retraining, 0, 0).unwrap();
        while !source.is_finished() {
            let records = source.poll(1 << 20, Duration::ZERO).unwrap();
            said.extend(records.into_iter().map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap()));
        }
        said
    }

    /// The documents of a part of the snapshot: their texts by note.
    fn part(&self, snapshot: &str, name: &str) -> BTreeMap<String, String> {
        let path = self.site.path("retraining").join(&snapshot[..12]).join(name);
        let text = |field: &Value| field.as_str().unwrap().to_owned();
        let lines = json_lines(&fs::read_to_string(path).unwrap());
        lines.iter().map(|line| (text(&line["id"]), text(&line["text"]))).collect()
    }
}

fn note_id(number: usize) -> String {
    format!("n{number}")
}

fn patient(number: usize) -> String {
    format!("p{}", number / 3)
}

fn document(number: usize) -> Value {
    serde_json::from_str(&documents(number..number + 1)).unwrap()
}

fn is_held_out(number: usize) -> bool {
    HeldOut { share: HELD_OUT }.is_held_out(Some(&patient(number)), &note_id(number))
}

/// Notes that people annotated as they stand.
fn annotated() -> impl Iterator<Item = usize> {
    (0..NOTES).filter(|number| !WITHDRAWN.contains(number) && *number != AMENDED)
}

fn check_no_text(output: &Output) {
    let said = stderr(output) + &String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("the patient has"), "{said}");
}

/// The part of a reported object that says so many notes of each part.
fn notes_of(report: &Value) -> [u64; 3] {
    ["train", "dev", "held_out"].map(|part| report["notes"][part].as_u64().unwrap())
}

#[test]
fn what_people_annotate_becomes_a_student_that_takes_over() {
    let ward = Ward::new("labels_min = 1\n");
    let mut extraction = Running::start(ward.command(&["run"]));
    extraction.hear("running on");

    let previewed = ward.retrain(&["--dry-run"]);
    let weak = previewed["serving"].as_str().unwrap().to_owned();
    assert!(weak.starts_with("weak@"), "{previewed}");
    let expected: [Vec<usize>; 2] = [true, false].map(|side| annotated().filter(|n| is_held_out(*n) == side).collect());
    let [train, dev, held_out] = notes_of(&previewed);
    assert_eq!([held_out as usize, (train + dev) as usize], expected.each_ref().map(Vec::len), "{previewed}");
    assert!(!ward.site.path("retraining").exists(), "a dry run writes nothing");

    // Nobody takes over unmeasured.
    let few = ["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"];
    // A kill would leave a copy of the weights among the system's temporary files, so that none is made there.
    let mut retrain = ward.command(&[&["retrain"][..], &few].concat());
    let output = retrain.env("TMPDIR", ward.site.path("nowhere")).output().unwrap();
    check_no_text(&output);
    let unmeasured = json_lines(stdout(&output)).remove(0);
    let run = ward.site.path("retraining").join(&unmeasured["snapshot"].as_str().unwrap()[..12]);
    assert!(run.join("student").exists() && !run.join("stage").exists(), "{unmeasured}");
    let reason = unmeasured["reason"].as_str().unwrap();
    assert!(reason.contains("1000 are needed to measure it") && unmeasured["is_promoted"] == false, "{unmeasured}");
    assert!(ward.site.activations().is_empty());

    let report = ward.retrain(&[]);
    let candidate = report["candidate"].as_str().unwrap().to_owned();
    assert!(report["is_promoted"] == true && candidate.starts_with("retrained@"), "{report}");
    assert_eq!(report["snapshot"], previewed["snapshot"]);
    assert_eq!(ward.site.activations(), [(candidate.clone(), weak, ActivationCause::Promotion)]);
    check_parts(&ward, report["snapshot"].as_str().unwrap(), expected);
    ward.wait_for(&candidate);

    // Who was taken back serves no more by itself; the base is in the registry now, and the student is the same.
    stdout(&ward.site.run(&["rollback"]));
    let again = ward.retrain(&[]);
    assert_eq!((&again["candidate"], &again["is_promoted"]), (&report["candidate"], &json!(false)), "{again}");
    assert!(again["reason"].as_str().unwrap().contains("it served already"), "{again}");

    // What is new within the interval waits, until a run is asked for; one process retrains at a time.
    ward.annotate(AMENDED, ADDED);
    let mut following = ward.follow(&[]);
    following.hear("3 of them new");
    let refused = ward.run(&["run", "--topology", "retraining"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("another process retrains in retraining"), "{}", stderr(&refused));
    let asked = ward.run(&["retrain"]);
    assert_eq!(stdout(&asked), "", "what comes of it is said by the other");
    assert!(stderr(&asked).contains("it is asked for a run, which begins there within 1 s"), "{}", stderr(&asked));
    assert!(stderr(&asked).ends_with("the run has begun\n"), "{}", stderr(&asked));
    following.hear("retraining: it was asked for");
    // Its documents are written, so it has begun.
    following.hear("snapshot ");
    assert!(!ward.site.path("retraining/request.json").exists());
    let followed = following.terminate();
    assert_eq!(stdout(&followed), "");
    assert_eq!(stderr(&followed).matches("retraining: ").count(), 1, "{}", stderr(&followed));
    assert_eq!(ward.site.activations().len(), 2);
    check_balance(&ward.said());
    stdout(&extraction.terminate());
}

/// What was said first: of every task each note is an example, and one that is new is there to be learned.
fn check_balance(said: &[Retraining]) {
    let of_part = |side: bool| annotated().filter(|number| is_held_out(*number) == side).count() as u64;
    let tasks: Vec<Option<Task>> = said[..3].iter().map(|said| said.key.task).collect();
    assert_eq!(tasks, Task::ALL.map(Some));
    for said in &said[..3] {
        let balance = said.balance.unwrap();
        let counts = [balance.human, balance.teachers, balance.held_out, balance.new];
        assert_eq!(counts, [of_part(false) + 1, 0, of_part(true), 1], "{said:?}");
    }
}

#[test]
fn a_training_that_needs_more_memory_than_it_may_have_fails_and_says_so() {
    // Enough for its documents to be read, and too little for the tiny student to learn.
    let bytes_max = 8 << 20;
    let ward = Ward::new(&format!("memory_bytes_max = {bytes_max}\n"));
    let refused = ward.run(&["retrain"]);
    check_no_text(&refused);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{}", stderr(&refused));
    let expected = format!("the training needed more than memory_bytes_max = {bytes_max}; raise it, or lower batch");
    assert!(stderr(&refused).contains(&expected), "{}", stderr(&refused));
    let state: Value = serde_json::from_slice(&fs::read(ward.site.path("retraining/state.json")).unwrap()).unwrap();
    assert_eq!(state["under_way"], Value::Null, "it is not tried again as it is");
    assert!(ward.site.activations().is_empty());
}

/// Every note is in the part of its patient as it stands now, and in no other.
fn check_parts(ward: &Ward, snapshot: &str, [held_out, learned]: [Vec<usize>; 2]) {
    let [train, dev, measured] = ["train.jsonl", "dev.jsonl", "heldout.jsonl"].map(|name| ward.part(snapshot, name));
    let text = |number: usize| {
        let added = if number == ANNOTATED_AGAIN { ADDED } else { "" };
        (note_id(number), added.to_owned() + document(number)["text"].as_str().unwrap())
    };
    assert_eq!(measured, held_out.into_iter().map(text).collect::<BTreeMap<_, _>>());
    let patients = |part: &BTreeMap<String, String>| -> BTreeSet<String> {
        part.keys().map(|id| patient(id[1..].parse().unwrap())).collect()
    };
    assert!(patients(&train).is_disjoint(&patients(&dev)), "{train:?} {dev:?}");
    assert_eq!(
        train.into_iter().chain(dev).collect::<BTreeMap<_, _>>(),
        learned.into_iter().map(text).collect::<BTreeMap<_, _>>()
    );
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was() {
    let ward = Ward::new("labels_min = 10\ninterval_min_minutes = 0\n");
    // Makes the topics that it writes.
    let mut extraction = Running::start(ward.command(&["run"]));
    extraction.hear("running on");
    stdout(&extraction.terminate());

    let mut following = ward.follow(&[]);
    following.hear("examples are new");
    let lock = wait_for_checkpoint(&ward.site.path("retraining"));
    // The training alone, as when memory is short.
    let killed = Command::new("pkill").args(["-KILL", "-P", &following.id().to_string()]).status().unwrap();
    assert!(killed.success(), "nothing trains");
    following.hear("the run that is under way goes on later");
    following.hear("the run that was under way goes on: ");
    following.kill();
    // The training does not outlive it.
    let (lock, began) = (fs::File::options().write(true).open(lock).unwrap(), Instant::now());
    while lock.try_lock().is_err() {
        assert!(began.elapsed() < DEADLINE, "the training goes on");
        // It is no child of ours, so that nothing tells when it ends.
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(lock);
    assert!(ward.site.activations().is_empty());

    let mut following = ward.follow(&[]);
    following.hear("the run that was under way goes on");
    following.hear("serves in the place of weak@");
    let followed = following.terminate();
    check_no_text(&followed);
    let reports = json_lines(stdout(&followed));
    assert_eq!(reports.len(), 1, "{reports:?}");
    let candidate = reports[0]["candidate"].as_str().unwrap();
    let activations = ward.site.activations();
    assert_eq!(activations.iter().map(|(model, ..)| model.as_str()).collect::<Vec<_>>(), [candidate]);

    // The same documents and the same recipe, in one go.
    let folder = PathBuf::from("retraining").join(&reports[0]["snapshot"].as_str().unwrap()[..12]);
    let [train, dev] = ["train.jsonl", "dev.jsonl"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let data = ["train", "--base", "weak", "--train", &train, "--dev", &dev, "--out", "whole", "--threads", "1"];
    let recipe = ["--rate", "3e-3", "--epochs", "40", "--patience", "40", "--linear-decay"];
    stdout(&ward.run(&[&data[..], &recipe].concat()));
    let whole: Value = serde_json::from_slice(&fs::read(ward.site.path("whole/manifest.json")).unwrap()).unwrap();
    let shown = json_lines(stdout(&ward.site.run(&["show", candidate, "--json"]))).remove(0);
    assert_eq!(shown["manifest"]["weights_hash"], whole["weights_hash"]);
}
