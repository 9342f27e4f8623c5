//! Where a retrained student comes from: the registry tells what the run reported.

use super::soft::{BEFORE, append, choose_both, disease, label};
use super::{ADDED, HELD_OUT, NOTES, Ward, annotated, check_no_text, is_held_out, notes_of};
use crate::support::{json_lines, stderr, stdout, tiny};
use serde_json::{Value, json};
use std::fs;
use stillroom_student::sha256;

/// What each of two teachers takes for a label, in US dollars.
const COSTS: [(&str, f64); 2] = [("a", 0.1), ("b", 0.02)];

/// What is said of both is the same. Numbers with many decimals may be read as their neighbours.
fn check_same(one: &Value, other: &Value) {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let [one, other] = [one, other].map(|number| number.as_f64().unwrap());
            assert!((one - other).abs() < 1e-12, "{one} {other}");
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).for_each(|(one, other)| check_same(one, other));
        }
        (Value::Object(one), Value::Object(other)) => {
            assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
            one.iter().for_each(|(name, value)| check_same(value, &other[name]));
        }
        _ => assert_eq!(one, other),
    }
}

/// What the registry has of the candidate of a run; all of it is in the run's report, as it stands there.
fn shown(ward: &Ward, report: &Value) -> Value {
    let candidate = report["candidate"].as_str().unwrap();
    let shown = json_lines(stdout(&ward.site.run(&["show", candidate, "--json"]))).remove(0);
    for (name, value) in shown["entry"]["training"].as_object().unwrap() {
        check_same(value, &report[name]);
    }
    shown
}

/// The rows of a table of figures.
fn rows(text: &str) -> Vec<&str> {
    let is_row = |line: &&str| ["disease", "medication", "symptom"].iter().any(|task| line.starts_with(task));
    text.lines().filter(is_row).collect()
}

#[test]
fn the_registry_tells_what_the_run_reported() {
    let ward = Ward::new("");
    choose_both(&ward);
    let labelled: Vec<usize> = (NOTES..).filter(|number| !is_held_out(*number)).take(6).collect();
    let held_out = (NOTES..).find(|number| is_held_out(*number)).unwrap();
    let priced = |number: usize, teacher: &str, usd: f64| {
        let mut label = label(number, teacher, &[disease(number)]);
        label["usd"] = json!(usd);
        label
    };
    for &number in labelled.iter().chain([&held_out]) {
        ward.write(number, BEFORE);
        COSTS.iter().for_each(|(teacher, usd)| append(&ward, &priced(number, teacher, *usd)));
    }
    // Of no ensemble, and without a price.
    append(&ward, &priced(labelled[0], "c", 8.0));
    append(&ward, &label(labelled[0], "a", &[disease(labelled[0])]));
    let ensemble = ["--set", "teachers.ensemble=ensemble.toml"];
    let unmeasured = [&ensemble[..], &["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"]];
    let report = ward.retrain(&unmeasured.concat());
    let first = shown(&ward, &report);
    let training = &first["entry"]["training"];
    for absent in ["labels_usd", "machine_usd", "figures"] {
        assert_eq!((training.get(absent), report.get(absent)), (None, None), "{training}");
    }
    assert_eq!(training["snapshot"], report["snapshot"]);

    // Asked again, it says what it took.
    append(&ward, &priced(labelled[0], "a", COSTS[0].1));
    let report = ward.retrain(&[&ensemble[..], &["--set", "retraining.usd_an_hour=3.6"]].concat());
    assert_eq!(report["is_promoted"], true, "{report}");
    let shown = shown(&ward, &report);
    let training = &shown["entry"]["training"];
    let known = ["snapshot", "data", "tasks", "labels_usd", "seconds", "tokens_per_second", "serving", "figures"];
    assert!(known.iter().all(|name| training.get(*name).is_some()), "{training}");
    assert_eq!(training.get("memory_bytes").is_some(), cfg!(target_os = "linux"), "{training}");
    let usd = labelled.len() as f64 * COSTS.iter().map(|(_, usd)| usd).sum::<f64>();
    assert!((training["labels_usd"].as_f64().unwrap() - usd).abs() < 1e-9, "{usd} {training}");
    let [machine_usd, seconds] = ["machine_usd", "seconds"].map(|name| training[name].as_f64().unwrap());
    assert!((machine_usd - seconds / 1000.0).abs() < 1e-9, "{training}");
    let [held_out, learned] = [true, false].map(|side| annotated().filter(|n| is_held_out(*n) == side).count());
    for (task, by_teachers) in [("disease", labelled.len()), ("symptom", 0)] {
        let examples = &training["tasks"][task];
        assert_eq!((&examples["human"], &examples["held_out"]), (&json!(learned), &json!(held_out)), "{training}");
        let ensemble = (by_teachers > 0).then(|| json!("a + b (intersection)"));
        assert_eq!((&examples["teachers"], examples.get("ensemble")), (&json!(by_teachers), ensemble.as_ref()));
    }
    check_data(&ward, &shown);
    check_figures(&ward, &report, training);
    check_share(&ward);
}

/// Who was trained with a share of the patients held out is not measured with a greater one.
fn check_share(ward: &Ward) {
    for arguments in [&["retrain"][..], &["retrain", "--dry-run"], &["run", "--topology", "retraining"]] {
        let refused = ward.run(&[arguments, &["--set", "retraining.held_out=0.4"]].concat());
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{arguments:?}");
        let expected = format!("was trained with {HELD_OUT}: it learned from patients who would be held out now");
        assert!(stderr(&refused).contains(&expected), "{arguments:?}: {}", stderr(&refused));
    }
    let smaller = ward.retrain(&["--dry-run", "--set", "retraining.held_out=0.2"]);
    assert_eq!(smaller["chosen_by"]["held_out"], 0.2, "{smaller}");
}

/// What was learned from is the file that the run wrote, and the manifest says the same of it and of what it took.
fn check_data(ward: &Ward, shown: &Value) {
    let (training, manifest) = (&shown["entry"]["training"], &shown["manifest"]);
    let folder = ward.site.path("retraining").join(&training["snapshot"].as_str().unwrap()[..12]);
    let train = fs::read(folder.join("train.jsonl")).unwrap();
    assert_eq!(training["data"].as_array().unwrap().len(), 1, "{training}");
    assert_eq!(training["data"][0]["hash"], sha256(&train));
    assert_eq!(training["data"][0]["documents"], train.iter().filter(|byte| **byte == b'\n').count());
    assert_eq!(training["data"], manifest["train"]);
    let took = &manifest["took"];
    assert!(took["seconds"].as_f64().unwrap() > 0.0, "{manifest}");
    for name in ["seconds", "tokens_per_second", "memory_bytes"] {
        assert_eq!(training.get(name), took.get(name));
    }
}

/// The figures are those that `compare` finds on the documents that were held out, and `show` prints them as it does.
fn check_figures(ward: &Ward, report: &Value, training: &Value) {
    let [serving, candidate] = ["serving", "candidate"].map(|who| report[who].as_str().unwrap());
    let held_out = format!("retraining/{}/heldout.jsonl", &report["snapshot"].as_str().unwrap()[..12]);
    let compared = ward.site.run(&["compare", serving, candidate, "--gold", &held_out]);
    let (shown, compared) = (ward.site.run(&["show", candidate]), rows(stdout(&compared)).join("\n"));
    assert_eq!(rows(stdout(&shown)).join("\n"), compared);
    assert_eq!(compared.lines().count(), 3, "{compared}");
    for (figure, row) in training["figures"].as_array().unwrap().iter().zip(compared.lines()) {
        let [value, low, high] = ["value", "low", "high"].map(|end| figure["difference"][end].as_f64().unwrap());
        let documents = &figure["documents"];
        assert!(low > 0.0 && documents.as_u64().unwrap() >= 20, "{figure}");
        let interval = format!("{value:+.4}  {low:+.4} to {high:+.4}  better");
        assert!(row.starts_with(figure["task"].as_str().unwrap()) && row.ends_with(&interval), "{row}: {interval}");
        assert_eq!(row.split_whitespace().nth(1), Some(documents.to_string().as_str()), "{row}");
    }
    // A list has it too.
    let listed = json_lines(stdout(&ward.site.run(&["list", "--json"]))).remove(0);
    let students = listed["students"].as_array().unwrap();
    let listed = students.iter().find(|student| student["model"] == candidate).unwrap();
    check_same(&listed["training"], training);
}

#[test]
fn more_to_measure_by_makes_no_other_student() {
    let ward = Ward::new("");
    let few = ["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"];
    let first = ward.retrain(&few);
    let another = (NOTES..).find(|number| is_held_out(*number)).unwrap();
    ward.write(another, ADDED);
    ward.annotate(another, ADDED);
    let output = ward.run(&[&["retrain"][..], &few].concat());
    check_no_text(&output);
    let second = json_lines(stdout(&output)).remove(0);
    assert_ne!(second["snapshot"], first["snapshot"]);
    assert_eq!(notes_of(&second)[2], notes_of(&first)[2] + 1);
    assert_eq!((&second["candidate"], &second["is_promoted"]), (&first["candidate"], &json!(false)));
    assert!(second["reason"].as_str().unwrap().contains("1000 are needed to measure it"), "{second}");

    // What is found of the same weights later does not go into the entry, and that is said.
    let candidate = first["candidate"].as_str().unwrap();
    let kept = json_lines(stdout(&ward.site.run(&["show", candidate, "--json"]))).remove(0);
    assert_eq!(kept["entry"]["training"]["snapshot"], first["snapshot"]);
    let expected =
        format!("{candidate} has been in the registry since {}", kept["entry"]["added_at"].as_str().unwrap());
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
}

#[test]
fn a_run_starts_from_the_base_that_is_named_or_else_from_the_student_that_serves() {
    let ward = Ward::new("");
    let few = ["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"];
    let base = format!("retraining.base={}", tiny().display());
    for (more, base) in [(vec![], ward.site.path("weak")), (vec!["--set", base.as_str()], tiny())] {
        let report = ward.retrain(&[&few[..], &more].concat());
        let weights = fs::read(base.join("model.safetensors")).unwrap();
        assert_eq!(shown(&ward, &report)["manifest"]["base_weights_hash"], sha256(&weights), "{}", base.display());
        assert!(report["serving"].as_str().unwrap().starts_with("weak@"), "{report}");
    }
}
