//! `stillroom extract --format`, as users call it: Parquet and OMOP.

mod documents;

use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Extracts from `notes` with the student that comes with stillroom.
fn extract(notes: &Path, more: &[&str]) -> Output {
    stillroom().arg("extract").arg(notes).args(more).output().unwrap()
}

/// A file of notes: some have a date, one comes again amended, one is broken, one is empty.
fn notes(folder: &Path) -> PathBuf {
    let note = |id: &str, revision: u64, text: &str| {
        let signed = "2026-11-27T08:00:00Z";
        json!({"note_id": id, "patient_id": "p1", "revision": revision, "signed_at": signed, "text": text}).to_string()
    };
    let lines = [
        note("ward/1", 0, "\u{1f912} severe angina , on aspirin\nand nausea"),
        "{\"note_id\":\"broken\"".to_owned(),
        note("ward/2", 0, ""),
        note("ward/1", 1, "\u{1f912} rash and severe angina , on aspirin"),
        note("../3", 0, "no fever , nausea\nor cough"),
    ];
    let path = folder.join("notes.jsonl");
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// The columns of a CSV file of OMOP, row by row.
pub(crate) fn rows<Rows: FromIterator<Vec<String>>>(path: &Path, columns: &[&str]) -> Rows {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let at: Vec<usize> = columns.iter().map(|name| header.iter().position(|it| it == *name).unwrap()).collect();
    reader.records().map(|row| at.iter().map(|at| row.as_ref().unwrap()[*at].to_owned()).collect()).collect()
}

#[test]
fn tables_of_omop_have_what_lines_have() {
    let folder = tempfile::tempdir().unwrap();
    let notes = notes(folder.path());
    let lines = extract(&notes, &[]);
    assert_eq!(lines.status.code(), Some(3));
    let lines = json_lines(std::str::from_utf8(&lines.stdout).unwrap());
    let out = folder.path().join("out");
    // Positions of OMOP are code points, whatever is asked for.
    let found = extract(&notes, &["--format", "omop", "--offset-unit", "utf16", "-o", out.to_str().unwrap()]);
    assert_eq!(found.status.code(), Some(3), "{}", stderr(&found));
    assert!(found.stdout.is_empty() && stderr(&found).contains("notes.jsonl, line 2"), "{}", stderr(&found));

    let beside = rows::<Vec<_>>(&out.join("note_stillroom.csv"), &["source_note_id", "revision"]);
    assert_eq!(beside, [["ward/2", "0"], ["ward/1", "1"], ["../3", "0"]]);
    let mut expected = Vec::new();
    for (id, revision) in [("ward/2", 0), ("ward/1", 1), ("../3", 0)] {
        let is_it = |line: &&Value| line["note_id"] == id && line["revision"] == revision;
        for entity in lines.iter().find(is_it).unwrap()["entities"].as_array().unwrap() {
            expected.push(vec![entity["text"].as_str().unwrap().to_owned(), entity["start"].to_string()]);
        }
    }
    assert!(expected.len() > 2, "{expected:?} proves little");
    assert_eq!(rows::<Vec<_>>(&out.join("note_nlp.csv"), &["lexical_variant", "offset"]), expected);

    let again = extract(&notes, &["--format", "omop", "-o", out.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("is not empty"), "{}", stderr(&again));
}

#[test]
fn tables_of_parquet_are_complete_when_they_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let notes = notes(folder.path());
    let out = folder.path().join("out");
    let found = extract(&notes, &["--format", "parquet", "-o", out.to_str().unwrap()]);
    assert_eq!(found.status.code(), Some(3), "{}", stderr(&found));
    assert!(out.join("_SUCCESS").exists());
    for table in ["notes", "entities"] {
        let part = fs::read(out.join(table).join("signed_date=2026-11-27/part-00000.parquet")).unwrap();
        assert!(part.starts_with(b"PAR1") && part.ends_with(b"PAR1"));
    }
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let notes = notes(folder.path());
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let check = |more: &[&str], code: i32, expected: &str| {
        let output = extract(&notes, more);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{more:?}: {}", stderr(&output));
        assert!(!Path::new(out).exists(), "{more:?}");
    };
    check(&["--format", "parquet"], 1, "say by -o where");
    check(&["--format", "csv", "-o", out], 2, "jsonl, parquet, omop");
    check(&["--format", "parquet", "-o", out, "--show"], 2, "cannot be used with");
    check(&["--format", "parquet", "-o", out, "--omop-first-id", "1"], 1, "are for --format omop");
    check(&["--format", "omop", "-o", out, "--omop-first-id", "0"], 2, "0 is not in 1..");
    check(&["--format", "omop", "-o", out, "--omop-undated", "soon"], 2, "write it as 1970-01-01");
    check(&["--format", "omop", "-o", out, "--omop-persons", "/none.csv"], 1, "cannot read /none.csv");
    check(&["--format", "omop", "-o", out, "--omop-relationships", "r.csv"], 2, "--omop-concepts");
    let mut stdin = stillroom();
    stdin.args(["extract", "-", "--format", "parquet", "-o", out, "--model"]).arg(tiny());
    let refused = stdin.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("reads the notes twice, which stdin does not allow"), "{}", stderr(&refused));
}

/// It would wait for somebody who writes to the pipe once more.
#[cfg(unix)]
#[test]
fn a_pipe_is_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("notes.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let out = folder.path().join("out");
    let refused = extract(&pipe, &["--format", "fhir", "-o", out.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("reads the notes twice") && !out.exists(), "{}", stderr(&refused));
}

#[test]
fn a_note_without_a_date_ends_the_run_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("a.txt");
    fs::write(&text, "severe angina").unwrap();
    let out = folder.path().join("out");
    let refused = extract(&text, &["--format", "omop", "-o", out.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("has no date in signed_at"), "{}", stderr(&refused));
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    let dated = ["--format", "omop", "-o", out.to_str().unwrap(), "--omop-undated", "2026-01-31"];
    stdout(&extract(&text, &dated));
    assert_eq!(rows::<Vec<_>>(&out.join("note.csv"), &["note_date", "person_id"]), [["2026-01-31", "0"]]);
}
