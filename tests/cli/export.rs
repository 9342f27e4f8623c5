//! `stillroom export` on a folder: parts while notes flow, through kills, and what is refused.

use crate::formats::rows;
use crate::parts::{lines, manifest, parts, read_back};
use crate::running::{DEADLINE, Running};
use crate::site::Site;
use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

/// Kills of an export, each after another part of so many.
const KILLS: usize = 6;

fn command(site: &Site, format: &str, more: &[&str]) -> Command {
    let mut command = stillroom();
    command.args(["export", "--format", format, "-o"]).arg(out(site)).args(more).arg("-c").arg(site.config(1));
    command
}

fn out(site: &Site) -> PathBuf {
    site.folder.path().join("out")
}

fn export(site: &Site, format: &str, more: &[&str]) -> Output {
    command(site, format, more).output().unwrap()
}

fn note(id: &str, revision: u64, text: &str) -> Value {
    let (patient, signed) = (format!("p-{id}"), "2026-11-27T08:00:00Z");
    json!({"note_id": id, "patient_id": patient, "revision": revision, "signed_at": signed, "text": text})
}

/// Appends notes, and withdrawals of notes.
fn append(site: &Site, notes: &[Value], withdrawn: &[&str]) {
    let values: Vec<(&str, String)> =
        notes.iter().map(|note| (note["note_id"].as_str().unwrap(), note.to_string())).collect();
    let notes = values.iter().map(|(id, value)| (id.as_bytes(), Some(value.as_bytes())));
    site.append(&site.topics.notes, notes.chain(withdrawn.iter().map(|id| (id.as_bytes(), None))));
}

/// What `extract` writes of these notes by the student of the site.
fn extracted(site: &Site, notes: &[Value], more: &[&str]) -> String {
    let path = site.folder.path().join("final.jsonl");
    fs::write(&path, notes.iter().map(|note| format!("{note}\n")).collect::<String>()).unwrap();
    let output = stillroom().arg("extract").arg(&path).arg("--model").arg(tiny()).args(more).output().unwrap();
    stdout(&output).to_owned()
}

/// The last committed extraction of each note.
fn committed(site: &Site) -> BTreeMap<String, Value> {
    let values = site.log.last_values(&site.topics.extractions).unwrap().into_iter();
    values
        .map(|(key, value)| (String::from_utf8(key).unwrap(), serde_json::from_slice::<Value>(&value).unwrap()))
        .collect()
}

#[test]
fn parts_come_to_what_extract_writes_of_the_notes_as_they_are() {
    let site = Site::new(2);
    let first = [
        note("a", 0, "severe angina , on aspirin"),
        note("b", 0, "no fever"),
        note("c", 0, "rash \u{1f912} and cough"),
    ];
    append(&site, &first, &[]);
    site.finish(1);
    let told = json_lines(stdout(&export(&site, "jsonl", &[])));
    assert_eq!((&told[0]["part"], &told[0]["notes"], told.len()), (&json!("part-000000"), &json!(3), 1));

    // One is amended twice, of which one counts; one comes and goes; one goes that was there.
    let last = [note("a", 2, "angina , now on metoprolol"), note("d", 0, "chills")];
    append(&site, &[note("a", 1, "angina"), note("e", 0, "gone")], &[]);
    site.finish(2);
    append(&site, &last, &["b", "e"]);
    site.finish(2);
    let told = json_lines(stdout(&export(&site, "jsonl", &[])));
    assert_eq!((&told[0]["part"], &told[0]["notes"], told.len()), (&json!("part-000001"), &json!(2), 1));
    let part = &parts(&out(&site))[1];
    let withdrawn: BTreeMap<String, Value> = lines(part, "withdrawn.jsonl")
        .into_iter()
        .map(|line| (line["note_id"].as_str().unwrap().to_owned(), line["patient_id"].clone()))
        .collect();
    let expected = BTreeMap::from([("b".to_owned(), Value::Null), ("e".to_owned(), json!("p-e"))]);
    assert_eq!(withdrawn, expected, "whose it was is known of a note that came since the last part");
    assert!(lines(part, "left_out.jsonl").is_empty());

    let notes = [last[0].clone(), first[2].clone(), last[1].clone()];
    let of_extract = json_lines(&extracted(&site, &notes, &[]));
    let expected: BTreeMap<String, Value> =
        of_extract.into_iter().map(|line| (line["note_id"].as_str().unwrap().to_owned(), line)).collect();
    assert!(expected.values().any(|line| !line["entities"].as_array().unwrap().is_empty()), "too poor");
    assert_eq!(read_back(&out(&site)), expected);
    assert_eq!(read_back(&out(&site)), committed(&site));

    assert_eq!(stdout(&export(&site, "jsonl", &[])), "", "nothing is new");
    assert_eq!(parts(&out(&site)).len(), 2);
}

#[test]
fn ids_of_omop_stay_over_parts_and_what_it_cannot_hold_is_told() {
    let site = Site::new(1);
    let dated = [note("a", 0, "severe angina , on aspirin"), note("b", 0, "no fever or cough"), note("c", 0, "rash")];
    append(&site, &dated, &[]);
    append(&site, &[json!({"note_id": "undated", "text": "zebra fever"})], &[]);
    site.finish(1);
    append(&site, &[note("a", 1, "angina")], &[]);
    site.finish(1);
    let counted = export(&site, "omop", &["--omop-first-id", "1"]);
    assert!(counted.status.code() == Some(1) && stderr(&counted).contains("another id in every part"));
    assert!(!out(&site).exists());

    let exported = export(&site, "omop", &["--notes-per-part", "1"]);
    let said = stderr(&exported);
    assert_eq!(exported.status.code(), Some(3), "{said}");
    assert!(said.contains("left_out.jsonl") && !said.contains("zebra"), "{said}");
    let parts = parts(&out(&site));
    assert_eq!(parts.len(), 5, "each record is a part");
    let left_out = lines(&parts[3], "left_out.jsonl");
    assert_eq!((&left_out[0]["note_id"], left_out.len()), (&json!("undated"), 1));
    assert!(left_out[0]["reason"].as_str().unwrap().contains("--omop-undated"));
    assert_eq!(manifest(&parts[3])["counts"]["notes"], 0);

    let whole = site.folder.path().join("whole");
    let notes = [note("a", 1, "angina"), dated[1].clone(), dated[2].clone()];
    extracted(&site, &notes, &["--format", "omop", "-o", whole.to_str().unwrap()]);
    for (table, columns) in [
        ("note.csv", &["note_id", "person_id", "note_date", "note_text"][..]),
        ("note_nlp.csv", &["note_nlp_id", "note_id", "lexical_variant", "offset"][..]),
    ] {
        let of_part = |part: &PathBuf| rows::<BTreeSet<_>>(&part.join("omop").join(table), columns);
        // The first part has the note as it was before.
        let of_parts: BTreeSet<Vec<String>> = parts[1..].iter().flat_map(of_part).collect();
        assert_eq!(of_parts, rows::<BTreeSet<_>>(&whole.join(table), columns), "{table}");
    }
    let id = |part: &PathBuf| rows::<BTreeSet<_>>(&part.join("omop/note.csv"), &["note_id"]);
    assert_eq!(id(&parts[0]), id(&parts[4]), "an amended note has the number that it had");
}

#[test]
fn every_format_is_a_part_and_another_one_is_refused_after_it() {
    let mut site = Site::new(1);
    append(&site, &[note("a", 0, "severe angina , on aspirin")], &[]);
    site.finish(1);
    let results = [
        ("jsonl", "extractions.jsonl"),
        ("parquet", "parquet/_SUCCESS"),
        ("omop", "omop/note_nlp.csv"),
        ("fhir", "bundles.ndjson"),
        ("brat", "brat/a.ann"),
        ("pubtator", "notes.pubtator"),
        ("html", "notes.html"),
    ];
    for (format, result) in results {
        stdout(&export(&site, format, &[]));
        assert!(out(&site).join("part-000000").join(result).exists(), "{format}");
        let another = if format == "html" { "brat" } else { "html" };
        let refused = export(&site, another, &[]);
        let expected = format!("holds an export as {format}; go on with --format {format}");
        assert!(refused.status.code() == Some(1) && stderr(&refused).contains(&expected), "{}", stderr(&refused));
        assert_eq!(parts(&out(&site)).len(), 1);
        fs::remove_dir_all(out(&site)).unwrap();
    }

    stdout(&export(&site, "jsonl", &[]));
    let mut follower = Running::start(command(&site, "jsonl", &["--follow"]));
    follower.hear("exporting to");
    let refused = export(&site, "jsonl", &[]);
    assert!(stderr(&refused).contains("another process exports to"), "{}", stderr(&refused));
    let output = follower.terminate();
    assert!(output.status.success(), "{}", stderr(&output));

    let other = Site::new(1);
    append(&other, &[note("a", 0, "rash")], &[]);
    other.finish(1);
    site.log = other.log.clone();
    let refused = export(&site, "jsonl", &[]);
    assert!(stderr(&refused).contains("was extracted on another log"), "{}", stderr(&refused));
}

/// How many extractions of the topic are before where the last part ends.
fn reached(site: &Site) -> u64 {
    let Some(last) = parts(&out(site)).pop() else { return 0 };
    let to = manifest(&last)["to"].as_object().unwrap().clone();
    to.values().map(|offset| offset.as_u64().unwrap()).sum()
}

#[test]
fn kills_lose_nothing_and_write_nothing_twice() {
    let site = Site::with_demo(300);
    site.finish(2);
    let all = site.log.ends(&site.topics.extractions).unwrap().values().sum::<u64>();
    for _ in 0..KILLS {
        let before = parts(&out(&site)).len();
        let exporting = Running::start(command(&site, "jsonl", &["--follow", "--notes-per-part", "2"]));
        let began = Instant::now();
        while parts(&out(&site)).len() == before {
            assert!(began.elapsed() < DEADLINE, "no part is written after {before}");
            std::thread::yield_now();
        }
        exporting.kill();
        assert!(reached(&site) < all, "a kill when nothing was under way proves nothing");
    }
    // As a kill in the midst of a part leaves it.
    fs::create_dir_all(out(&site).join(".part/half")).unwrap();
    stdout(&export(&site, "jsonl", &["--notes-per-part", "2"]));
    assert!(!out(&site).join(".part").exists());
    assert_eq!(reached(&site), all);
    let (notes, expected) = (read_back(&out(&site)), committed(&site));
    assert!(expected.len() > 100, "too poor: {}", expected.len());
    assert_eq!(notes, expected);
}
