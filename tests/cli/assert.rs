//! `stillroom assert`: sentences of the program and of users.

use crate::support::{json_lines, stderr, stdout, stillroom};
use serde_json::{Value, json};
use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    stillroom().arg("assert").args(arguments).output().unwrap()
}

/// The JSON object of an evaluation that went well.
fn evaluated(arguments: &[&str]) -> Value {
    let output = run(&[&["eval", "--json"], arguments].concat());
    json_lines(stdout(&output)).remove(0)
}

/// How many there are of a tally.
fn count(tally: &Value, of: &str) -> u64 {
    tally[of].as_u64().unwrap()
}

#[test]
fn the_sentences_of_the_program_are_counted() {
    let of = evaluated(&["--errors"]);
    let (all, errors) = (&of["all"], of["errors"].as_array().unwrap());
    assert!(count(all, "examples") >= 400);
    assert_eq!(count(all, "examples"), count(all, "right") + errors.len() as u64);
    for group in ["categories", "splits"] {
        let tallies = of[group].as_object().unwrap().values();
        assert_eq!(tallies.map(|tally| count(tally, "right")).sum::<u64>(), count(all, "right"), "{group}");
    }
    assert!(of["axes"].as_object().unwrap().values().all(|axis| count(axis, "examples") == count(all, "examples")));
    assert!(errors.iter().all(|error| error["expected"] != error["decided"]));
    assert_eq!(evaluated(&[])["errors"], json!([]));

    let output = run(&["eval"]);
    let table = stdout(&output);
    let last: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
    let expected = [count(all, "examples"), count(all, "right")].map(|count| count.to_string());
    assert_eq!(last[..3], ["all", expected[0].as_str(), expected[1].as_str()], "{table}");
    let output = run(&["eval", "--errors"]);
    assert_eq!(stdout(&output).matches("\n  ").count(), errors.len());
}

#[test]
fn a_file_and_a_lexicon_of_ones_own_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let examples = write(
        "examples.jsonl",
        concat!(
            r#"{"sentence": "Bar any fever.", "entity": "fever", "task": "symptom", "certainty": "negated"}"#,
            "\n",
            r#"{"sentence": "No cough.", "entity": "cough", "certainty": "negated", "temporality": "recent"}"#,
        ),
    );
    let lexicon = write("ward.toml", "[[triggers]]\ntexts = ['bar any']\nsays = 'negated'\ndirection = 'forward'\n");
    let without = evaluated(&[&examples, "--errors"]);
    assert_eq!(without["all"], json!({ "examples": 2, "right": 1, "accuracy": 0.5 }));
    assert_eq!(without["axes"]["temporality"], json!({ "examples": 1, "right": 1, "accuracy": 1.0 }));
    assert_eq!(without["axes"]["experiencer"], json!({ "examples": 0, "right": 0, "accuracy": null }));
    assert_eq!(without["errors"][0]["sentence"], "Bar any fever.");
    let with = evaluated(&[&examples, "--lexicon", &lexicon]);
    assert_eq!(with["all"]["right"], 2);

    let wrong = write("wrong.toml", "[[triggers]]\ntexts = ['no']\ndirection = 'forward'\n");
    let output = run(&["eval", "--lexicon", &wrong]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("error: the lexicon {wrong}: [[triggers]] 1 (\"no\") says nothing; write what it says");
    assert!(stderr(&output).starts_with(&expected), "{}", stderr(&output));
    let output = run(&["eval", &lexicon]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is no example"), "{}", stderr(&output));
}

#[test]
fn a_text_is_shown() {
    let output = run(&["show", "Plan: denies [symptom:fever], takes [m:aspirin]"]);
    assert_eq!(
        stdout(&output),
        "fever: negated, recent, patient, in plan: negated by \"denies\" at 6 to 12\naspirin: affirmed, recent, patient, in plan\n"
    );
    assert_eq!(run(&["show", "no fever"]).status.code(), Some(1));
}
