//! Notes in the formats of hospitals, as users give them to `extract`, `label` and `send`.

mod written;

use crate::site::Site;
use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use crate::vendor::vocabulary_teacher;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use stillroom_connectors::{EmbeddedLog, Log};
use stillroom_schemas::Note;
use written::{message, notes};

/// Extracts from `paths` with the tiny student.
fn extract(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = stillroom();
    command.current_dir(folder).arg("extract").args(arguments).arg("--model").arg(tiny()).output().unwrap()
}

/// What extraction says of the notes that are written here, without knowing their format.
fn entities(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let found = json_lines(stdout(&extract(folder, arguments)));
    let count: usize = found.iter().map(|note| note["entities"].as_array().unwrap().len()).sum();
    assert!(count > 3, "{count} entities of {arguments:?} prove little");
    found
}

#[test]
fn every_format_says_what_lines_of_json_say() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("notes.jsonl"), written::jsonl(&notes())).unwrap();
    fs::write(at.join("notes.csv"), written::csv(&notes())).unwrap();
    fs::write(at.join("notes.parquet"), written::parquet(&notes())).unwrap();
    fs::write(at.join("notes.ndjson"), written::ndjson(&notes())).unwrap();
    fs::write(at.join("notes.json"), written::bundle(&notes())).unwrap();
    fs::write(at.join("notes.hl7"), notes().iter().map(|note| message("T02", note)).collect::<String>()).unwrap();
    let expected = entities(at, &["notes.jsonl"]);
    assert_eq!(expected.len(), notes().len());
    let columns =
        "note_id=NOTE_KEY,patient_id=PAT,revision=VERSION,signed_at=SIGNED,note_type=KIND,site=WARD,text=BODY";
    assert_eq!(entities(at, &["notes.csv", "--columns", columns]), expected);
    for file in ["notes.parquet", "notes.ndjson", "notes.json", "notes.hl7"] {
        assert_eq!(entities(at, &[file]), expected, "{file}");
    }
    // By other names, with the format said.
    fs::rename(at.join("notes.hl7"), at.join("export.dat")).unwrap();
    assert_eq!(entities(at, &["export.dat", "--input-format", "hl7"]), expected);
}

/// Two documents and the cancellation of the first, in files of their own.
fn with_cancellation(folder: &Path) -> [Note; 2] {
    let [first, second, ..] = <[Note; 3]>::try_from(notes()).unwrap();
    fs::create_dir(folder.join("feed")).unwrap();
    let both = message("T02", &first) + &message("T02", &second);
    fs::write(folder.join("feed/1.hl7"), both).unwrap();
    fs::write(folder.join("feed/2.hl7"), message("T11", &first)).unwrap();
    [first, second]
}

#[test]
fn a_withdrawn_note_is_in_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let [_first, second] = with_cancellation(folder.path());
    let output = extract(folder.path(), &["feed"]);
    let ids: Vec<Value> = json_lines(stdout(&output)).into_iter().map(|line| line["note_id"].clone()).collect();
    assert_eq!(ids, [json!(second.note_id)]);
    let told = stderr(&output);
    assert!(told.ends_with("3 notes: 2 extracted, 0 dead-lettered, 0 superseded, 1 withdrawals\n"), "{told}");

    stdout(&extract(folder.path(), &["feed", "--format", "omop", "-o", "omop"]));
    let table = fs::read_to_string(folder.path().join("omop/note_stillroom.csv")).unwrap();
    assert!(table.contains(&second.note_id) && !table.contains("doc-1"), "{table}");

    // Teachers are not asked about it, either.
    vocabulary_teacher(folder.path(), "words", "fever\nasthma\nangina\n");
    let mut label = stillroom();
    label.current_dir(folder.path()).args(["label", "feed", "--teachers", "words", "--task", "symptom"]);
    let labelled = label.output().unwrap();
    let ids: Vec<Value> = json_lines(stdout(&labelled)).into_iter().map(|line| line["note_id"].clone()).collect();
    assert_eq!(ids, [json!(second.note_id)]);
}

#[test]
fn what_is_sent_is_extracted_and_withdrawn_on_the_stream() {
    let site = Site::new(2);
    let [first, second] = with_cancellation(site.folder.path());
    let send = || {
        let mut command = stillroom();
        command.current_dir(site.folder.path()).args(["send", "feed", "-c"]).arg(site.config(1)).output().unwrap()
    };
    let sent = send();
    assert_eq!(json_lines(stdout(&sent)), [json!({"notes": 2, "withdrawals": 1, "left_out": 0})]);
    let totals = site.finish(1).totals;
    assert_eq!((totals.notes, totals.extracted, totals.withdrawn), (3, 2, 1));
    let live = || -> BTreeMap<Vec<u8>, Vec<u8>> { site.log.last_values(&site.topics.extractions).unwrap() };
    let of_second = live();
    assert_eq!(of_second.keys().collect::<Vec<_>>(), [second.note_id.as_bytes()]);
    let tombstones = site.records(&site.topics.extractions).filter(|record| record.value.is_none());
    assert_eq!(tombstones.map(|record| record.key).collect::<Vec<_>>(), [Some(first.note_id.into_bytes())]);

    // Sending everything again changes nothing in the end.
    stdout(&send());
    site.finish(2);
    assert_eq!(live(), of_second);
}

#[test]
fn a_dry_run_prints_what_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let [_first, second] = with_cancellation(folder.path());
    let mut send = stillroom();
    let printed = send.current_dir(folder.path()).args(["send", "feed", "--dry-run"]).output().unwrap();
    let lines = json_lines(stdout(&printed));
    assert_eq!(lines[1], serde_json::to_value(&second).unwrap());
    assert_eq!(lines[2], json!({"note_id": "doc-1", "withdrawn": true}));
    assert!(
        stderr(&printed).ends_with("2 notes and 1 withdrawals would be sent, 0 left out\n"),
        "{}",
        stderr(&printed)
    );
    assert!(!folder.path().join("stillroom-log").exists());
    fs::write(folder.path().join("notes.jsonl"), &printed.stdout).unwrap();
    assert_eq!(stdout(&extract(folder.path(), &["notes.jsonl"])), stdout(&extract(folder.path(), &["feed"])));

    // What is read once is written before it is known to be withdrawn, and that is told.
    let mut piped = stillroom();
    piped.current_dir(folder.path()).args(["extract", "-", "--model"]).arg(tiny());
    let lines = fs::File::open(folder.path().join("notes.jsonl")).unwrap();
    let piped = piped.stdin(Stdio::from(lines)).output().unwrap();
    assert_eq!(json_lines(stdout(&piped)).len(), 2);
    assert!(
        stderr(&piped).contains("stdin, line 3: withdraws a note, whose entities may have been written"),
        "{}",
        stderr(&piped)
    );
}

#[test]
fn the_topic_is_made_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.csv"), "note_id,text\nn1,fever\n,x\n").unwrap();
    let mut send = stillroom();
    let sent = send.current_dir(folder.path()).args(["send", "notes.csv", "--set", "log.dir=log"]).output().unwrap();
    assert_eq!(sent.status.code(), Some(3), "{}", stderr(&sent));
    assert!(
        stderr(&sent).starts_with("notes.csv, row 2: left out, note_id is empty; give each note an id\n"),
        "{}",
        stderr(&sent)
    );
    let (log, topic) = (EmbeddedLog::open(folder.path().join("log")).unwrap(), "clinical.notes.v1");
    let mut source = Log::bounded(&log).unwrap();
    for partition in 0..source.partitions(topic).unwrap() {
        source.assign(topic, partition, 0).unwrap();
    }
    let mut records = Vec::new();
    while !source.is_finished() {
        records.extend(source.poll(1 << 20, Duration::ZERO).unwrap());
    }
    assert_eq!(records.len(), 1);
    let note: Note = serde_json::from_slice(records[0].value.as_deref().unwrap()).unwrap();
    assert_eq!((records[0].key.as_deref(), note.text.as_str()), (Some(&b"n1"[..]), "fever"));
}

#[test]
fn what_cannot_be_read_is_told_without_its_text_and_the_rest_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let [first, second, ..] = <[Note; 3]>::try_from(notes()).unwrap();
    let broken = message("T02", &first).replace("|TX|", "|ED|");
    fs::write(at.join("a.hl7"), broken + &message("T02", &second)).unwrap();
    fs::write(
        at.join("b.ndjson"),
        "{\"resourceType\":\"DocumentReference\",\"id\":\"d\",\"content\":\"severe angina\"}\n",
    )
    .unwrap();
    fs::write(at.join("c.csv"), "note_id,text\nn1,\"severe angina\",more\nn2,\"nausea").unwrap();
    let output = extract(at, &["a.hl7", "b.ndjson", "c.csv"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(json_lines(std::str::from_utf8(&output.stdout).unwrap()).len(), 1);
    let told = stderr(&output);
    let expected = [
        "a.hl7, message 1: has no text: of its OBX none is of the type TX, FT or ST and stands; there is ED",
        "b.ndjson, line 1: content is no list; correct it",
        "c.csv, row 1: has 3 columns and the header 2;",
        "c.csv, row 2: begins at line 3 and ends within quotes: the file was cut off",
        "5 notes: 1 extracted, 4 dead-lettered, 0 superseded",
    ];
    expected.iter().for_each(|expected| assert!(told.contains(expected), "{expected}: {told}"));
    assert!(!told.contains("angina") && !told.contains("nausea"), "{told}");
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("a.txt"), "severe angina").unwrap();
    fs::write(at.join("table.csv"), "KEY,BODY\n1,x\n").unwrap();
    fs::write(at.join("half.parquet"), "PAR1").unwrap();
    fs::write(at.join("mapping.toml"), "[columns]\nid = \"KEY\"\n").unwrap();
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = extract(at, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    };
    check(
        &["a.txt", "table.csv"],
        1,
        "table.csv has no column called note_id for note_id; it has KEY, BODY; say which by",
    );
    check(&["half.parquet"], 1, "half.parquet is no Parquet that can be read");
    check(&["table.csv", "--columns", "key=KEY"], 2, "there is no field key; write one of note_id, text");
    check(&["table.csv", "--mapping", "mapping.toml"], 1, "mapping.toml is no mapping of notes");
    check(&["-", "--input-format", "hl7"], 1, "stdin is read as JSON Lines");
    check(
        &["mapping.toml"],
        1,
        "is neither a folder nor a .txt, .jsonl, .ndjson, .json, .csv, .tsv, .parquet or .hl7 file",
    );
    // A folder's tables are not taken for notes, unless that is said.
    let output = extract(at, &["."]);
    assert!(stderr(&output).ends_with("1 notes: 1 extracted, 0 dead-lettered, 0 superseded\n"), "{}", stderr(&output));
    let told = stderr(&extract(at, &[".", "--input-format", "csv"]));
    assert!(told.contains("table.csv: has no column called note_id"), "{told}");
    assert!(told.ends_with("1 notes: 0 extracted, 1 dead-lettered, 0 superseded\n"), "{told}");
}
