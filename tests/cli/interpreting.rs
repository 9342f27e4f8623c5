//! What `extract`, `check` and `run` tell of entities beside where they stand: the student in `models/`, as users have it.

use crate::extract::slice;
use crate::running::Running;
use crate::site::Site;
use crate::support::{json_lines, stderr, stdout, stillroom};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

const TEXT: &str =
    "\u{1f912} Denies fever. Mother had asthma. Takes metformin 500 mg by mouth twice daily for diabetes.";

/// `extract` of one note in a file.
fn extract(folder: &Path, text: &str, more: &[&str]) -> Output {
    let notes = folder.join("note.jsonl");
    fs::write(&notes, json!({"note_id": "n", "text": text}).to_string()).unwrap();
    stillroom().arg("extract").arg(&notes).args(more).output().unwrap()
}

/// The record of one note.
fn extracted(folder: &Path, text: &str, more: &[&str]) -> Value {
    json_lines(stdout(&extract(folder, text, more))).pop().unwrap()
}

/// The entity with these words.
fn entity<'a>(record: &'a Value, words: &str) -> &'a Value {
    let mut entities = record["entities"].as_array().unwrap().iter();
    entities.find(|entity| entity["text"] == words).unwrap_or_else(|| panic!("no {words} in {record}"))
}

#[test]
fn entities_say_how_they_are_meant_and_by_which_words() {
    let folder = tempfile::tempdir().unwrap();
    for unit in ["code_point", "byte", "utf16"] {
        let record = extracted(folder.path(), TEXT, &["--offset-unit", unit]);
        assert!(record["interpretation"].as_str().unwrap().starts_with("assertion@"), "{record}");
        let fever = &entity(&record, "fever")["assertion"];
        assert_eq!((&fever["certainty"], &fever["experiencer"]), (&json!("negated"), &json!("patient")));
        assert_eq!(slice(TEXT, &fever["cues"][0], unit), "Denies");
        let asthma = &entity(&record, "asthma")["assertion"];
        assert_eq!((&asthma["certainty"], &asthma["experiencer"]), (&json!("affirmed"), &json!("family")));
        assert!(slice(TEXT, &asthma["cues"][0], unit).starts_with("Mother"));
        let metformin = entity(&record, "metformin");
        assert_eq!(metformin["assertion"]["certainty"], "affirmed");
        let strength = &metformin["dosage"]["strength"];
        assert_eq!((slice(TEXT, strength, unit).as_str(), &strength["text"]), ("500 mg", &json!("500 mg")));
    }
    let shown = extract(folder.path(), TEXT, &["--show"]);
    let shown = stdout(&shown);
    assert!(shown.contains("\x1b[2;9;95mfever\x1b[0m\u{2039}symptom, negated\u{203a}"), "{shown}");
    assert!(shown.contains("asthma\x1b[0m\u{2039}disease, ") && shown.contains("family\u{203a}"), "{shown}");

    let alone = extracted(folder.path(), TEXT, &["--without-assertion"]);
    assert!(alone.get("interpretation").is_none());
    let mut told = extracted(folder.path(), TEXT, &[]);
    for entity in told["entities"].as_array_mut().unwrap() {
        let fields = entity.as_object_mut().unwrap();
        ["assertion", "section", "dosage"].iter().for_each(|field| drop(fields.remove(*field)));
    }
    assert_eq!(told["entities"], alone["entities"], "the mentions are the same");
}

#[test]
fn an_own_lexicon_adds_to_the_one_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let lexicon = folder.path().join("ours.toml");
    fs::write(&lexicon, "[[triggers]]\nsays = \"negated\"\ndirection = \"forward\"\ntexts = [\"zilch of\"]\n").unwrap();
    let text = "Zilch of fever today. No cough.";
    let certainty = |record: &Value, words: &str| entity(record, words)["assertion"]["certainty"].clone();
    let without = extracted(folder.path(), text, &[]);
    assert_eq!([certainty(&without, "fever"), certainty(&without, "cough")], ["affirmed", "negated"]);
    let with = extracted(folder.path(), text, &["--lexicon", lexicon.to_str().unwrap()]);
    assert_eq!([certainty(&with, "fever"), certainty(&with, "cough")], ["negated", "negated"]);
    assert_eq!(entity(&with, "fever")["assertion"]["cues"][0]["trigger"], "zilch of");
    assert_ne!(with["interpretation"], without["interpretation"], "the record tells which lexicon");
}

#[test]
fn entities_have_the_codes_of_vocabularies() {
    let folder = tempfile::tempdir().unwrap();
    let (names, concepts) = (folder.path().join("diseases.tsv"), folder.path().join("concepts.toml"));
    fs::write(&names, "id\tsynonym\nDOID:2841\tasthma\nDOID:9351\tdiabetes\n").unwrap();
    let table =
        format!("[[concepts.vocabularies]]\nname = 'doid'\ntasks = ['disease']\npath = {names:?}\nversion = '7'\n");
    fs::write(&concepts, table).unwrap();
    let record = extracted(folder.path(), TEXT, &["--concepts", concepts.to_str().unwrap()]);
    let asthma = json!({"vocabulary": "doid", "code": "DOID:2841", "version": "7", "name": "asthma", "tier": "exact", "score": 1.0});
    assert_eq!(entity(&record, "asthma")["concept"], asthma);
    assert!(entity(&record, "fever").get("concept").is_none(), "unknown stays unknown");
    let told = record["interpretation"].as_str().unwrap();
    assert!(told.starts_with("assertion@") && told.contains(" concepts@"), "{told}");
}

#[test]
fn what_cannot_be_used_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let check = |arguments: &[&str], expected: &[&str]| {
        let output = extract(folder.path(), TEXT, arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(expected.iter().all(|expected| said.contains(expected)), "{arguments:?}: {said}");
        assert!(!said.contains("asthma"), "a message carries text of the note");
    };
    fs::write(at("bad.toml"), "[[triggers]]\nsays = \"perhaps\"\ndirection = \"forward\"\ntexts = [\"zilch of\"]\n")
        .unwrap();
    check(&["--lexicon", &at("bad.toml")], &["bad.toml", "perhaps", "[assertion]"]);
    check(&["--lexicon", &at("none.toml")], &["none.toml"]);
    fs::write(
        at("concepts.toml"),
        "[[concepts.vocabularies]]\nname = 'doid'\ntasks = ['disease']\npath = 'absent.obo'\n",
    )
    .unwrap();
    check(&["--concepts", &at("concepts.toml")], &["absent.obo", "[concepts]"]);
    let clash = extract(folder.path(), TEXT, &["--without-assertion", "--lexicon", &at("bad.toml")]);
    assert_eq!(clash.status.code(), Some(2));

    let mut site = Site::new(1);
    let checked = |site: &Site| {
        let output = stillroom().arg("check").arg("-c").arg(site.config(1)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = checked(&site);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("pass  assertion: assertion@") && said.contains("pass  concepts: no vocabulary"), "{said}");
    site.extra = format!(
        "[assertion]\nlexicons = [{:?}]\n[[concepts.vocabularies]]\nname = 'doid'\ntasks = ['disease']\npath = {:?}\n",
        at("none.toml"),
        at("absent.tsv")
    );
    let (code, said) = checked(&site);
    assert_eq!(code, Some(1), "{said}");
    for (part, file) in [("FAIL  assertion: ", "none.toml"), ("FAIL  concepts: ", "absent.tsv")] {
        assert!(said.lines().any(|line| line.starts_with(part) && line.contains(file)), "{file}: {said}");
    }
    let ran = site.command(1).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(stderr(&ran).contains("none.toml"), "{}", stderr(&ran));
}

#[test]
fn a_changed_lexicon_is_for_the_notes_that_come_and_with_retag_for_those_that_are_there() {
    let mut site = Site::new(1);
    let lexicon = site.folder.path().join("ours.toml");
    fs::write(&lexicon, "[[triggers]]\nsays = \"negated\"\ndirection = \"forward\"\ntexts = [\"zilch of\"]\n").unwrap();
    let put = |site: &Site, id: &str| {
        let value = json!({"note_id": id, "text": "zilch of severe angina today"}).to_string();
        site.append(&site.topics.notes, [(id.as_bytes(), Some(value.as_bytes()))]);
    };
    // The last interpretation of each note.
    let told = |site: &Site| -> Vec<String> {
        let values = site.log.last_values(&site.topics.extractions).unwrap().into_values();
        let told = |value: Vec<u8>| serde_json::from_slice::<Value>(&value).unwrap()["interpretation"].to_string();
        values.map(told).collect()
    };
    put(&site, "a");
    site.finish(1);
    site.extra = format!("[assertion]\nlexicons = [{lexicon:?}]\n");
    put(&site, "b");
    site.finish(1);
    let both = told(&site);
    assert_eq!(both.len(), 2);
    assert_ne!(both[0], both[1], "what was read stays as it was told");

    let mut command = site.command(1);
    command.arg("--retag");
    let running = Running::start(command);
    let progress = site.wait(|progress| progress.totals.retagged > 0);
    assert!(running.terminate().status.success());
    assert_eq!(progress.totals.retagged, 1, "one was told by another lexicon");
    assert_eq!(told(&site), [both[1].clone(), both[1].clone()]);
}
