//! `stillroom extract --format`, as users call it: FHIR, brat, PubTator and the page.

use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Output;

struct Site {
    folder: tempfile::TempDir,
    /// What `extract` writes without a format.
    lines: Vec<Value>,
}

impl Site {
    /// Notes, and what the student that comes with stillroom finds in them.
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let text = "\u{1f912} the patient has severe angina , on aspirin , no rash nor nausea & <b> ".repeat(20);
        let note = |id: &str, text: &str| json!({"note_id": id, "patient_id": "p1", "text": text}).to_string();
        let notes = [note("ward/1", &text), note("empty", "-"), note("2", &text[..text.len() / 2])].join("\n");
        fs::write(folder.path().join("notes.jsonl"), notes).unwrap();
        let site = Site { folder, lines: Vec::new() };
        let found = site.extract(&["-o", site.path("lines.jsonl").to_str().unwrap()]);
        assert_eq!(stdout(&found), "");
        let lines = json_lines(&fs::read_to_string(site.path("lines.jsonl")).unwrap());
        for task in ["disease", "medication", "symptom"] {
            let is_found = lines.iter().any(|line| entities(line).iter().any(|entity| entity["task"] == task));
            assert!(is_found, "without a {task} this proves little");
        }
        Site { lines, ..site }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn extract(&self, more: &[&str]) -> Output {
        stillroom().arg("extract").arg(self.path("notes.jsonl")).args(more).output().unwrap()
    }

    /// Writes `format` to `name`, with positions in a unit that is not the format's.
    fn write(&self, format: &str, name: &str, more: &[&str]) -> PathBuf {
        let path = self.path(name);
        let arguments = ["--format", format, "--offset-unit", "byte", "-o", path.to_str().unwrap()];
        assert_eq!(stdout(&self.extract(&[&arguments[..], more].concat())), "");
        path
    }

    fn found(&self) -> usize {
        self.lines.iter().map(|line| entities(line).len()).sum()
    }
}

fn entities(line: &Value) -> &[Value] {
    line["entities"].as_array().unwrap()
}

#[test]
fn what_annotators_get_is_read_as_what_was_found() {
    let site = Site::new();
    let formats: [(&str, &str, &[&str]); 2] =
        [("brat", "annotated", &[]), ("pubtator", "notes.pubtator", &["--map", "Symptom=symptom"])];
    for (format, name, more) in formats {
        let (gold, predictions, model) = (site.write(format, name, &[]), site.path("lines.jsonl"), tiny());
        let mut command = stillroom();
        command.arg("eval").arg("--gold").arg(gold).arg("--predictions").arg(predictions).arg("--model").arg(model);
        let output = command.arg("--json").args(more).output().unwrap();
        let figures = json_lines(stdout(&output)).pop().unwrap();
        let tasks = figures["span_exact"].as_object().unwrap();
        let sum = |count: &str| tasks.values().map(|figures| figures[count].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("tp"), sum("fp"), sum("fn")), (site.found() as u64, 0, 0), "{format}: {figures}");
    }
}

#[test]
fn bundles_are_of_the_notes_and_as_configured() {
    let site = Site::new();
    let config = site.path("fhir.toml");
    fs::write(&config, "patient_system = \"urn:oid:1.2.3\"\nrecorded = \"2026-11-27T12:00:00Z\"\n").unwrap();
    let path = site.write("fhir", "bundles.ndjson", &["--fhir-config", config.to_str().unwrap()]);
    let bundles = json_lines(&fs::read_to_string(path).unwrap());
    assert_eq!(bundles.len(), site.lines.len());
    for (bundle, line) in bundles.iter().zip(&site.lines) {
        let document = &bundle["entry"][0]["resource"];
        assert_eq!(document["identifier"][0]["value"], line["note_id"]);
        assert_eq!(document["subject"]["identifier"], json!({"system": "urn:oid:1.2.3", "value": "p1"}));
        // Each entity is a fact, as those of this student are of the patient and of now or not told, and has a provenance.
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 1 + 2 * entities(line).len());
    }

    fs::write(&config, "patient = \"mrn\"\n").unwrap();
    let refused = |more: &[&str], expected: &str| {
        let output = site.extract(&[more, &["-o", site.path("none").to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected) && !site.path("none").exists(), "{}", stderr(&output));
    };
    let config = config.to_str().unwrap();
    refused(&["--format", "fhir", "--fhir-config", config], "is no configuration of FHIR");
    refused(&["--format", "brat", "--fhir-config", config], "--fhir-config is for --format fhir");
}

#[test]
fn a_page_has_every_note_and_every_entity() {
    let site = Site::new();
    let page = fs::read_to_string(site.write("html", "page.html", &[])).unwrap();
    assert_eq!(page.matches("<article").count(), site.lines.len());
    assert_eq!(page.matches("tabindex=").count(), site.found());
    assert!(page.contains("&amp; &lt;b&gt;") && !page.contains("& <b>"), "a text is no markup");
}

#[test]
fn a_result_stays_until_a_new_one_is_complete() {
    let site = Site::new();
    let page = site.write("html", "page.html", &[]);
    let before = fs::read(&page).unwrap();
    fs::write(site.path("notes.jsonl"), "{\"note_id\":\"n\",\"text\":\"severe angina\"}").unwrap();
    let failed = site.extract(&["--format", "html", "-o", page.to_str().unwrap(), "--model", "none"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read(&page).unwrap(), before);
    assert!(fs::read(site.write("html", "page.html", &[])).unwrap() != before);
}
