//! `stillroom extract` and `stillroom eval`, as users call them.

use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

/// JSON Lines through `extract -` with the tiny student.
fn extract(lines: &[String], more: &[&str]) -> Output {
    let model = tiny();
    let arguments = [&["extract", "-", "--model", model.to_str().unwrap()], more].concat();
    run_with(&arguments, (lines.join("\n") + "\n").as_bytes())
}

/// Runs the binary with `input` on stdin.
fn run_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = stillroom();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // From a thread of its own, as the child may write before it has read everything. It may also end before.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}

fn note(id: &str, text: &str) -> String {
    json!({"note_id": id, "patient_id": "p", "text": text}).to_string()
}

/// The part of `text` between the positions `start` and `end` of `at`, counted in `unit`.
pub(crate) fn slice(text: &str, at: &serde_json::Value, unit: &str) -> String {
    let [start, end] = ["start", "end"].map(|field| at[field].as_u64().unwrap() as usize);
    match unit {
        "code_point" => text.chars().skip(start).take(end - start).collect(),
        "byte" => text[start..end].to_owned(),
        "utf16" => String::from_utf16(&text.encode_utf16().collect::<Vec<_>>()[start..end]).unwrap(),
        other => unreachable!("{other} is no unit"),
    }
}

#[test]
fn a_line_a_note_in_input_order_and_every_entity_where_it_says() {
    let long = "Fièvre 38,5 °C \u{1f912}; pt. on µg-doses of aspirin – denies rash (itch). ".repeat(60);
    let texts = ["the patient has asthma , on aspirin", "", &long, "\u{1f912}\u{1f912} nausea\r\n\tsevere angina"];
    let lines: Vec<String> = texts.iter().enumerate().map(|(index, text)| note(&format!("n{index}"), text)).collect();
    let mut scores = Vec::new();
    for unit in ["code_point", "byte", "utf16"] {
        let output = extract(&lines, &["--offset-unit", unit]);
        let found = json_lines(stdout(&output));
        assert_eq!(found.len(), texts.len());
        let mut entities = 0;
        for (index, (extraction, text)) in found.iter().zip(texts).enumerate() {
            assert_eq!(extraction["note_id"], format!("n{index}"));
            assert_eq!((&extraction["patient_id"], &extraction["revision"]), (&json!("p"), &json!(0)));
            assert_eq!(extraction["offset_unit"], unit);
            assert!(extraction["model"].as_str().unwrap().starts_with("tiny@"));
            for entity in extraction["entities"].as_array().unwrap() {
                assert_eq!(entity["text"], slice(text, entity, unit));
                assert!(["disease", "medication", "symptom"].contains(&entity["task"].as_str().unwrap()));
                assert!((0.5..=1.0).contains(&entity["score"].as_f64().unwrap()));
                entities += 1;
            }
        }
        assert!(entities > 20, "{entities} entities prove little");
        assert!(found[2]["coverage"]["windows"].as_u64().unwrap() > 1);
        assert_eq!(found[1]["coverage"], json!({"words": 0, "word_pieces": 0, "windows": 0}));
        scores.push(found.iter().map(|note| note["entities"].as_array().unwrap().len()).collect::<Vec<_>>());
    }
    assert!(scores.iter().all(|counts| *counts == scores[0]), "the unit changes positions alone");
}

#[test]
fn a_folder_is_read_with_its_texts_and_lines() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("ward")).unwrap();
    fs::write(folder.path().join("ward/b.txt"), "severe angina").unwrap();
    fs::write(folder.path().join("a.jsonl"), note("from-lines", "no rash")).unwrap();
    let (model, results) = (tiny(), tempfile::tempdir().unwrap());
    let out = results.path().join("out.jsonl");
    let to = |out: &Path| {
        let mut command = stillroom();
        command.arg("extract").arg(folder.path()).arg("-o").arg(out).arg("--model").arg(&model);
        command.output().unwrap()
    };
    fs::write(&out, "an earlier result").unwrap();
    let failed =
        stillroom().arg("extract").arg(folder.path()).arg("-o").arg(&out).args(["--model", "none"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&out).unwrap(), "an earlier result", "a wrong model costs no result");
    let refused = to(&folder.path().join("ward/out.jsonl"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("would be read with the notes in"), "{}", stderr(&refused));
    let output = to(&out);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).ends_with("2 notes: 2 extracted, 0 dead-lettered, 0 superseded\n"));
    let ids: Vec<_> =
        json_lines(&fs::read_to_string(&out).unwrap()).iter().map(|note| note["note_id"].to_string()).collect();
    assert_eq!(ids, ["\"from-lines\"", "\"ward/b\""]);

    let shown =
        stillroom().arg("extract").arg(folder.path()).arg("--show").arg("--model").arg(&model).output().unwrap();
    let plain = stdout(&shown);
    assert!(plain.contains("\x1b[1mward/b\x1b[0m") && plain.contains("\u{203a}"), "{plain}");
}

#[test]
fn what_is_wrong_with_a_note_is_told_and_the_rest_is_done() {
    let secret = "zebrafever";
    let large = note("large", &format!("{secret} ").repeat((50 << 20) / 11));
    assert!(large.len() > 49 << 20);
    let lines: Vec<Vec<u8>> = vec![
        note("good", secret).into_bytes(),
        format!("{{\"note_id\":\"cut\",\"text\":\"{secret}").into_bytes(),
        [b"{\"note_id\":\"bytes\",\"text\":\"", secret.as_bytes(), b"\xff\"}"].concat(),
        large.into_bytes(),
        note("empty", "").into_bytes(),
        json!({"note_id": "extra", "text": secret, "colour": secret}).to_string().into_bytes(),
        json!({"note_id": "textless", "revision": 3}).to_string().into_bytes(),
        json!({"text": secret}).to_string().into_bytes(),
        note("good", secret).into_bytes(),
        json!({"note_id": "amended", "revision": 2, "text": secret}).to_string().into_bytes(),
        json!({"note_id": "amended", "revision": 1, "text": "stale"}).to_string().into_bytes(),
    ];
    let model = tiny();
    let input = lines.join(&b'\n');
    let output = run_with(&["extract", "-", "--model", model.to_str().unwrap()], &input);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let told = stderr(&output);
    let expected = [
        "stdin, line 2: the value is not JSON: corrupt at line 1, column ",
        "stdin, line 3: the value is not valid UTF-8 from byte",
        "stdin, line 4: the record has 5",
        "stdin, line 7: the field text is missing; add it",
        "stdin, line 8: the field note_id is missing; add it",
        "stdin, line 9: left out, the same note came before in this or a later revision",
        "stdin, line 11: left out, the same note came before in this or a later revision",
        "11 notes: 4 extracted, 5 dead-lettered, 2 superseded",
    ];
    let told_lines: Vec<&str> = told.lines().collect();
    assert_eq!(told_lines.len(), expected.len(), "{told}");
    for (line, expected) in told_lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line:?} does not start with {expected:?}");
    }
    assert!(!told.contains(secret), "a message carries text of a note");
    let ids: Vec<_> = json_lines(std::str::from_utf8(&output.stdout).unwrap())
        .iter()
        .map(|extraction| extraction["note_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["good", "empty", "extra", "amended"]);
}

#[test]
fn a_note_from_a_pipe_is_answered_before_the_next_is_written() {
    let mut command = stillroom();
    command.args(["extract", "-", "--model"]).arg(tiny()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, mut answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    for id in ["first", "second"] {
        writeln!(input, "{}", note(id, "severe angina")).unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["note_id"], id);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(answers.next().is_none());
}

#[test]
fn who_has_seen_enough_may_close_the_pipe() {
    let lines: Vec<String> = (0..3000).map(|index| note(&format!("n{index}"), "severe angina , rash")).collect();
    let mut command = stillroom();
    command.args(["extract", "-", "--model"]).arg(tiny()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let output = std::thread::scope(|scope| {
        // Until nobody reads it any more.
        scope.spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")).ok());
        assert!(answers.next().unwrap().unwrap().contains("\"n0\""));
        drop(answers);
        child.wait_with_output().unwrap()
    });
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

/// `arguments` must fail with `code` and say `expected`.
fn check_refused(arguments: &[&str], code: i32, expected: &str) {
    let output = stillroom().args(arguments).output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(expected), "{arguments:?}: {told}");
}

#[test]
fn what_cannot_be_done_is_said_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("a.pdf"), "x").unwrap();
    fs::write(at("gold.jsonl"), "{\"id\":\"d\",\"text\":\"zebrafever\",\"tasks\":[\"flu\"],\"entities\":[]}").unwrap();
    fs::write(at("bad.toml"), "[engine]\nworker = 2").unwrap();
    fs::write(at("range.toml"), "[engine]\nworkers = 0").unwrap();
    let tiny = tiny();
    let tiny = tiny.to_str().unwrap();
    check_refused(&["extract"], 2, "required arguments");
    check_refused(&["extract", &at("none.txt"), "--model", tiny], 1, "none.txt");
    check_refused(
        &["extract", &at("a.pdf"), "--model", tiny],
        1,
        "neither a folder nor a .txt, .jsonl, .ndjson, .json, .csv, .tsv, .parquet or .hl7 file",
    );
    check_refused(&["extract", &at("gold.jsonl"), "--model", &at("no-model")], 1, "no-model");
    check_refused(&["extract", &at("gold.jsonl"), "--model", tiny, "--device", "cuda:0"], 1, "--features cuda");
    check_refused(&["extract", &at("gold.jsonl"), "--offset-unit", "bit"], 2, "code_point, byte, utf16");
    check_refused(&["eval", "--gold", &at("gold.jsonl"), "--model", tiny], 1, "line 1: unknown task \"flu\"");
    check_refused(&["run", "-c", &at("bad.toml")], 1, "engine.worker is not a setting; did you mean engine.workers?");
    check_refused(&["run", "-c", &at("range.toml")], 1, "engine.workers is 0; choose a value from 1 to 256");
    check_refused(&["config", "show", "-c", &at("none.toml")], 1, "cannot read");
}

fn eval(gold: &Path, more: &[&str]) -> Value {
    let model = tiny();
    let mut command = stillroom();
    command.arg("eval").arg("--gold").arg(gold).arg("--json").arg("--model").arg(&model).args(more);
    json_lines(stdout(&command.output().unwrap())).pop().unwrap()
}

#[test]
fn eval_scores_the_student_as_it_scores_its_extractions() {
    let folder = tempfile::tempdir().unwrap();
    let (gold, notes, found) =
        (folder.path().join("gold.jsonl"), folder.path().join("notes.jsonl"), folder.path().join("found.jsonl"));
    // Enough of them that the engine has to hold the source back.
    let text = |index: usize| format!("case {index}: chronic asthma with nausea, on aspirin 100 mg. ").repeat(40);
    let document = |index: usize| {
        let (text, start) = (text(index), format!("case {index}: chronic ").len());
        let tasks = if index.is_multiple_of(2) { json!(["disease", "symptom"]) } else { json!(["disease"]) };
        let entity = json!({"task": "disease", "start": start, "end": start + 6, "text": "asthma"});
        json!({"id": format!("d{index}"), "text": text, "tasks": tasks, "entities": [entity]}).to_string()
    };
    let lines = |line: &dyn Fn(usize) -> String| (0..60).map(line).collect::<Vec<_>>().join("\n");
    fs::write(&gold, lines(&document)).unwrap();
    fs::write(&notes, lines(&|index| note(&format!("d{index}"), &text(index)))).unwrap();
    let by_student = eval(&gold, &[]);
    let (model, output) = (tiny(), found.to_str().unwrap());
    stdout(&stillroom().arg("extract").arg(&notes).args(["-o", output]).arg("--model").arg(model).output().unwrap());
    assert_eq!(eval(&gold, &["--predictions", output]), by_student);
    let levels: Vec<&String> = by_student.as_object().unwrap().keys().collect();
    assert_eq!(levels, ["span_exact", "span_overlap", "word"]);
    let words = &by_student["word"];
    assert!(words.get("medication").is_none(), "no document was annotated for medications");
    let [found, missed] = ["tp", "fn"].map(|count| words["disease"][count].as_u64().unwrap());
    assert_eq!(found + missed, 60, "a word in each document");
    assert_eq!(words["symptom"]["fn"], 0);
}

#[test]
fn eval_of_given_predictions_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let (gold, predictions) = (folder.path().join("gold.jsonl"), folder.path().join("predictions.jsonl"));
    let text = "acute gout and asthma today";
    let entity =
        |start: u32, end: u32, text: &str| json!({"task": "disease", "start": start, "end": end, "text": text});
    let document = json!({"id": "d", "text": text, "tasks": ["disease", "symptom"],
        "entities": [entity(0, 10, "acute gout"), entity(15, 21, "asthma")]});
    fs::write(&gold, document.to_string()).unwrap();
    // One of two words of the first span, the second span, and a word too many.
    let said = json!({"note_id": "d", "entities": [entity(6, 10, "gout"), entity(15, 27, "asthma today")]});
    fs::write(&predictions, said.to_string()).unwrap();
    let totals = eval(&gold, &["--predictions", predictions.to_str().unwrap()]);
    let two_thirds = 2.0 / 3.0;
    assert_eq!(
        totals["word"]["disease"],
        json!({"precision": two_thirds, "recall": two_thirds, "f1": two_thirds, "tp": 2, "fp": 1, "fn": 1})
    );
    let none = json!({"precision": 0.0, "recall": 0.0, "f1": 0.0, "tp": 0, "fp": 2, "fn": 2});
    assert_eq!(totals["span_exact"]["disease"], none);
    let all = json!({"precision": 1.0, "recall": 1.0, "f1": 1.0, "tp": 2, "fp": 0, "fn": 0});
    assert_eq!(totals["span_overlap"]["disease"], all);

    let wrong = json!({"note_id": "d", "entities": [entity(6, 10, "gout"), entity(15, 27, "asthma")]});
    fs::write(&predictions, wrong.to_string()).unwrap();
    let model = tiny();
    let arguments = ["eval", "--gold", gold.to_str().unwrap(), "--predictions", predictions.to_str().unwrap()];
    let arguments = [&arguments[..], &["--model", model.to_str().unwrap()]].concat();
    check_refused(&arguments, 1, "entity 1 is not in the gold document where it says");
    fs::write(&predictions, json!({"note_id": "d", "offset_unit": "byte", "entities": []}).to_string()).unwrap();
    check_refused(&arguments, 1, "--offset-unit code_point");
}

/// Trains a student for `tasks` from the tiny one, on "started on <drug> for <disease> daily".
fn train(gold: &Path, out: &Path, tasks: &[&str]) -> Output {
    let row = |index: usize| {
        let drug = ["aspirin", "heparin", "digoxin"][index % 3];
        let disease = ["gout", "asthma", "sepsis", "malaria"][index % 4];
        let text = format!("started on {drug} for {disease} daily");
        let entity = |task: &str, word: &str| {
            let start = text.find(word).unwrap();
            json!({"task": task, "start": start, "end": start + word.len(), "text": word})
        };
        let entities = [entity("medication", drug), entity("disease", disease)];
        json!({"id": index.to_string(), "text": text, "tasks": ["medication", "disease"], "entities": entities})
            .to_string()
    };
    fs::write(gold, (0..60).map(row).collect::<Vec<_>>().join("\n")).unwrap();
    let mut train = stillroom();
    train.arg("train").arg("--base").arg(tiny()).arg("--train").arg(gold).arg("--dev").arg(gold);
    train.arg("--out").arg(out).args(["--epochs", "10", "--rate", "3e-3", "--threads", "1"]);
    tasks.iter().for_each(|task| {
        train.args(["--task", task]);
    });
    train.output().unwrap()
}

/// What the students of `models` find in a text: `task:mention` in order.
fn found(models: &[&Path], text: &str) -> Vec<String> {
    let models = models.iter().flat_map(|model| ["--model", model.to_str().unwrap()]);
    let arguments: Vec<&str> = ["extract", "-"].into_iter().chain(models).collect();
    let output = run_with(&arguments, note("n", text).as_bytes());
    let line = json_lines(stdout(&output)).pop().unwrap();
    let entity = |entity: &Value| format!("{}:{}", entity["task"].as_str().unwrap(), entity["text"].as_str().unwrap());
    line["entities"].as_array().unwrap().iter().map(entity).collect()
}

#[test]
fn students_are_trained_and_serve_alone_or_together() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (gold, drugs, diseases) = (at("gold.jsonl"), at("drugs"), at("diseases"));
    let report = train(&gold, &drugs, &["medication"]);
    assert!(stdout(&report).contains("medication: word-level F1 1.0000"), "{}", stdout(&report));
    assert!(stdout(&train(&gold, &diseases, &["disease"])).contains("disease: word-level F1 1.0000"));
    let text = "started on heparin for malaria daily";
    assert_eq!(found(&[&drugs], text), ["medication:heparin"]);
    assert_eq!(found(&[&diseases], text), ["disease:malaria"]);
    assert_eq!(found(&[&drugs, &diseases], text), ["disease:malaria", "medication:heparin"]);

    let again = train(&gold, &drugs, &["medication"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("it holds a finished student; remove it, or choose another --out"));
    let unknown = train(&gold, &at("flu"), &["flu"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("write disease, medication or symptom"));
}
