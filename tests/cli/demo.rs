//! The student in `models/`, and the demo that runs it.

use crate::checkpoint::wait_for_checkpoint;
use crate::support::{json_lines, stderr, stdout, stillroom};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use stillroom_connectors::EmbeddedLog;
use stillroom_schemas::Counts;
use stillroom_student::Manifest;

fn demo(dir: &Path) -> std::process::Command {
    let mut command = stillroom();
    command.args(["demo", "--notes", "25", "--seed", "11", "--dir"]).arg(dir);
    command
}

/// What a demo comes to, and the seconds that this command took, unless it was finished before.
fn ended(output: &str) -> (Value, Option<f64>) {
    let mut summary: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    let seconds = summary.as_object_mut().unwrap().remove("seconds");
    (summary, seconds.map(|seconds| seconds.as_f64().unwrap()))
}

fn summary(output: &str) -> Value {
    ended(output).0
}

#[test]
fn a_demo_ends_with_a_summary_that_a_kill_does_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let output = demo(&whole).output().unwrap();
    let shown = stdout(&output);
    let (end, seconds) = ended(shown);
    assert!(seconds.unwrap() > 0.0, "{seconds:?}");
    let count = |field: &str| end[field].as_u64().unwrap();
    assert_eq!(
        count("notes"),
        ["extracted", "dead_lettered", "superseded", "withdrawn"].into_iter().map(count).sum::<u64>()
    );
    assert!(count("notes") > 25 && count("dead_lettered") == 1, "{end}");
    for task in ["disease", "medication", "symptom"] {
        let f1 = end["f1"][task].as_f64().unwrap();
        assert!((0.5..1.0).contains(&f1), "{task}: {f1}");
    }
    let changes = shown.lines().filter(|line| line.contains("F1 against the generator: ")).count();
    assert!(changes >= 4, "F1 is shown as it changes, not {changes} times");
    for expected in ["dead letter: ", "disease:", "medication:", "symptom:", "amended"] {
        assert!(shown.contains(expected), "{expected:?} is not shown:\n{shown}");
    }

    let again = demo(&whole).output().unwrap();
    assert_eq!(stdout(&again).lines().count(), 1, "a finished demo is summed up again");
    assert_eq!(ended(stdout(&again)), (end.clone(), None));
    assert!(stderr(&again).contains("holds a finished demo; remove it to see it again"));

    let mut child = demo(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (log, began) = (EmbeddedLog::open(&killed).unwrap(), Instant::now());
    while log.progress().unwrap().totals.extracted < 5 {
        assert!(began.elapsed() < Duration::from_secs(120), "the demo commits nothing");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let at_kill = log.progress().unwrap().totals.notes;
    assert!(at_kill < count("notes"), "the kill came too late");
    let resumed = demo(&killed).output().unwrap();
    assert_eq!(summary(stdout(&resumed)), end);
    let extractions = |dir: &Path| {
        let log = EmbeddedLog::open(dir).unwrap();
        let records = log.read_topic("clinical.extractions.v1").unwrap();
        records.map(|record| record.unwrap().value).collect::<Vec<_>>()
    };
    assert_eq!(extractions(&killed), extractions(&whole));

    let foreign = folder.path().join("foreign");
    EmbeddedLog::open(&foreign).unwrap().create_topic("clinical.notes.v1", 1).unwrap();
    let refused = demo(&foreign).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("holds a log that is no demo's; choose another --dir"));

    let other = stillroom().args(["demo", "--notes", "26", "--seed", "11", "--dir"]).arg(&whole).output().unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert!(stderr(&other).contains("holds a demo of 25 notes with seed 11; remove it, or choose another --dir"));
}

/// A demo in which a student is retrained, with as few notes as there can be, and the shipped student: one of random weights learns
/// nothing worth promoting.
fn retraining_demo(dir: &Path) -> std::process::Command {
    let mut command = stillroom();
    command.args(["demo", "--notes", "300", "--dir"]).arg(dir);
    command
}

#[test]
fn a_weak_student_is_retrained_and_a_kill_in_the_middle_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let output = retraining_demo(&whole).output().unwrap();
    let end = check_retrained(&output, &whole);

    let mut child = retraining_demo(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = EmbeddedLog::open(&killed).unwrap();
    wait_for_checkpoint(&killed.join("retraining"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(log.progress().unwrap().totals.notes < end["notes"].as_u64().unwrap(), "the kill came too late");
    let resumed = retraining_demo(&killed).output().unwrap();
    assert_eq!(summary(stdout(&resumed)), end);
    assert!(stderr(&resumed).contains("the run that was under way goes on"), "{}", stderr(&resumed));
    assert_eq!(summary(stdout(&retraining_demo(&killed).output().unwrap())), end, "a finished demo is summed up again");
}

/// What a demo with a retrained student says, shows and leaves; its summary.
fn check_retrained(output: &Output, dir: &Path) -> Value {
    let (shown, said) = (stdout(output), stderr(output));
    let end = summary(shown);
    let count = |field: &str| end[field].as_u64().unwrap();
    let settled = ["extracted", "dead_lettered", "superseded", "withdrawn"].into_iter().map(count).sum::<u64>();
    assert_eq!(count("notes"), settled);
    let student = |when: &str| end["students"][when].as_str().unwrap_or_else(|| panic!("{end}\n{said}"));
    let (weak, retrained) = (student("before"), student("after"));
    assert!(weak.starts_with("weak@") && retrained.starts_with("retrained@"), "{end}");
    let f1 = |when: &str| -> f64 {
        ["disease", "medication", "symptom"].into_iter().map(|task| end["f1"][when][task].as_f64().unwrap()).sum()
    };
    assert!(f1("after") > f1("before"), "{end}");
    for expected in ["a weak student is made on purpose", "examples are new", "serves in the place of weak@"] {
        assert!(said.contains(expected), "{expected:?} is not said:\n{said}");
    }
    assert_eq!(shown.matches("tags from here on").count(), 1, "one takes over from one: {shown}");
    let swap = format!("{retrained} tags from here on");
    for expected in [swap.as_str(), "weak: F1 against the generator: ", "retrained: F1 against the generator: "] {
        assert!(shown.contains(expected), "{expected:?} is not shown:\n{shown}");
    }
    check_tagged_in_turn(dir, [weak, retrained]);
    // What others see of it.
    for command in [&["quality"][..], &["models", "list"][..]] {
        let output = stillroom().args(command).arg("-c").arg(dir.join("stillroom.toml")).output().unwrap();
        let listed = stdout(&output);
        assert!(listed.contains(weak) && listed.contains(retrained), "{command:?}: {listed}");
    }
    end
}

/// In every partition one student tags after the other.
fn check_tagged_in_turn(dir: &Path, students: [&str; 2]) {
    let mut by_partition: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for record in EmbeddedLog::open(dir).unwrap().read_topic("clinical.extractions.v1").unwrap() {
        let record = record.unwrap();
        let Some(value) = record.value else { continue };
        let extraction: Value = serde_json::from_slice(&value).unwrap();
        let models = by_partition.entry(record.position.partition).or_default();
        models.push(extraction["model"].as_str().unwrap().to_owned());
    }
    assert!(!by_partition.is_empty());
    for (partition, mut models) in by_partition {
        models.dedup();
        assert_eq!(models, students, "partition {partition}");
    }
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/stillroom-minilm-l6")
}

/// The gold file of a manifest's name, if the corpora are on this machine.
fn gold(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/corpora").join(name);
    path.exists().then_some(path)
}

#[test]
fn the_manifest_of_the_student_tells_what_eval_measures() {
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(models().join("manifest.json")).unwrap()).unwrap();
    // The largest file takes minutes in a debug build; it is in `benches/README.md`.
    for (name, tasks) in manifest.dev_counts.iter().filter(|(name, _)| !name.starts_with("bc5cdr")) {
        let Some(gold) = gold(name) else {
            eprintln!("skipped: ../shared/data/corpora/{name} is not on this machine");
            continue;
        };
        let eval = |precision: &str| {
            let arguments = ["eval", "--json", "--precision", precision, "--gold"];
            let output = stillroom().args(arguments).arg(&gold).output().unwrap();
            json_lines(stdout(&output)).pop().unwrap()["word"].take()
        };
        // A student is measured as it is to serve.
        let [exact, bytes] = ["f32", "int8"].map(eval);
        for (task, counts) in tasks {
            let count = |field: &str| bytes[task.name()][field].as_i64().unwrap();
            let Counts { tp, fp, fn_, .. } = *counts;
            assert_eq!([count("tp"), count("fp"), count("fn")], [tp, fp, fn_], "{name} {}", task.name());
            let moved = counts.f1() - exact[task.name()]["f1"].as_f64().unwrap();
            assert!(moved.abs() < 0.002, "{name} {}: {moved} in 8 bits", task.name());
        }
    }
}

#[test]
fn the_student_is_as_good_as_promised_and_light() {
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(models().join("manifest.json")).unwrap()).unwrap();
    let f1 = |name: &str, task: &str| {
        let tasks = &manifest.dev_counts[name];
        tasks.iter().find(|(of, _)| of.name() == task).unwrap().1.f1()
    };
    assert!(f1("ncbi_disease/dev.jsonl", "disease") >= 0.89);
    assert!(f1("bc5cdr/dev.jsonl", "medication") >= 0.87);
    assert!(f1("maccrobat/dev.jsonl", "symptom") >= 0.55);
    for file in &manifest.train {
        // Notes that nobody annotated are of no corpus.
        assert!(file.name.ends_with("/train.jsonl") || file.name == "notes.jsonl", "{}", file.name);
        assert!(manifest.dev.iter().all(|dev| dev.hash != file.hash), "learned from {}, a dev file", file.name);
    }
    let card = std::fs::read_to_string(models().join("README.md")).unwrap();
    for (name, tasks) in &manifest.dev_counts {
        for (task, counts) in tasks {
            let corpus = name.trim_end_matches("/dev.jsonl");
            let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
            let row = format!("| {corpus} | {} | {precision:.3} | {recall:.3} | {f1:.3} |", task.name());
            assert!(card.contains(&row), "the card lacks {row}");
        }
    }
    let bytes: u64 = std::fs::read_dir(models()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 32 << 20, "{bytes} bytes");
}
