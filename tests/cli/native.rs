//! `eval`, `train` and `teachers select` on corpora as their publishers write them.

use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use crate::vendor::vocabulary_teacher;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        Site { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        stillroom().current_dir(self.folder.path()).args(arguments).output().unwrap()
    }

    /// Converts a part of a corpus to `output`; what is wrong with it.
    fn convert(&self, corpus: &str, part: &str, output: &str) -> String {
        let converted = self.run(&["corpus", "convert", corpus, "--split", part, "-o", output]);
        assert!(matches!(converted.status.code(), Some(0 | 3)), "{}", stderr(&converted));
        let said = stderr(&converted);
        said.lines().filter(|line| !line.ends_with(" documents")).map(|line| line.to_owned() + "\n").collect()
    }

    /// What `eval` prints of documents, and with which exit code.
    fn eval(&self, gold: &str, more: &[&str]) -> (Option<i32>, Value) {
        let (model, arguments) = (tiny(), ["eval", "--json", "--gold", gold, "--model"]);
        let output = self.run(&[&arguments[..], &[model.to_str().unwrap()], more].concat());
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
        (output.status.code(), json_lines(std::str::from_utf8(&output.stdout).unwrap()).pop().unwrap())
    }

    /// Trains a student for a task to `out`; the hash of its weights, and its training file's name.
    fn train(&self, out: &str, (train, dev): (&str, &str), more: &[&str]) -> (Value, Value) {
        let base = tiny();
        let arguments = ["train", "--base", base.to_str().unwrap(), "--train", train, "--dev", dev, "--out", out];
        let recipe = ["--epochs", "1", "--rate", "3e-3", "--threads", "1"];
        let output = self.run(&[&arguments[..], &recipe, more].concat());
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
        let manifest = std::fs::read(self.path(out).join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        (manifest["weights_hash"].clone(), manifest["train"][0]["name"].clone())
    }
}

/// n2c2 in small: its folders and labels, with an annotation that is not where it says in a training document.
fn n2c2(site: &Site) {
    for document in 0..40 {
        let folder = if document < 30 { "n2c2/training_20180910" } else { "n2c2/test" };
        let (text, start) = (format!("Case {document}: aspirin daily.\n"), format!("Case {document}: ").len());
        let ann = format!("T1\tDrug {start} {}\taspirin\nT2\tReason 0 4\tCase\n", start + 7);
        let wrong = if document == 3 { "T3\tDrug 0 4\tzebra\n" } else { "" };
        site.write(&format!("{folder}/{document}.txt"), &text);
        site.write(&format!("{folder}/{document}.ann"), &(ann + wrong));
    }
}

#[test]
fn parts_of_a_corpus_are_what_conversion_makes_of_them() {
    let site = Site::new();
    n2c2(&site);
    let problems: Vec<String> =
        ["train", "dev", "test"].map(|part| site.convert("n2c2", part, &format!("{part}.jsonl"))).into();
    assert!(problems.iter().all(|said| said.contains("3.ann, line 3: Drug: what it quotes")), "{problems:?}");
    for part in ["train", "dev", "test"] {
        let (code, by_part) = site.eval(&format!("n2c2:{part}"), &[]);
        assert_eq!((code, by_part), (Some(3), site.eval(&format!("{part}.jsonl"), &[]).1), "{part}");
    }
    let output = site.run(&["eval", "--gold", "n2c2/:dev", "--model", tiny().to_str().unwrap()]);
    assert!(stderr(&output).starts_with(&problems[1]) && !stderr(&output).contains("zebra"), "{}", stderr(&output));
    // What is wrong with a corpus is said once, of however many of its parts.
    let both = site.run(&["eval", "--gold", "n2c2:dev", "--gold", "n2c2:test", "--model", tiny().to_str().unwrap()]);
    assert_eq!(stderr(&both).matches("line 3").count(), 1, "{}", stderr(&both));
    // Without a part, it is all documents.
    let words = |gold: &str| site.eval(gold, &[]).1["word"]["medication"]["tp"].as_u64().unwrap();
    assert_eq!(words("n2c2"), words("n2c2:train") + words("n2c2:dev") + words("n2c2:test"));

    let native = site.train("native", ("n2c2:train", "n2c2:dev"), &["--task", "medication"]);
    let converted = site.train("converted", ("train.jsonl", "dev.jsonl"), &["--task", "medication"]);
    assert_eq!(native.0, converted.0, "the same student, to the last weight");
    assert_eq!((native.1, converted.1), (json!("n2c2:train"), json!("train.jsonl")));
}

#[test]
fn coral_is_measured_by_the_documents_that_are_drawn_for_each_part() {
    let site = Site::new();
    for document in 0..40 {
        let folder = if document < 20 { "coral/annotated/breastca" } else { "coral/annotated/pdac" };
        site.write(&format!("{folder}/{document}.txt"), "Pain on taxol.");
        site.write(&format!("{folder}/{document}.ann"), "T1\tSymptom 0 4\tPain\nT2\tMedicationName 8 13\ttaxol\n");
    }
    for (part, documents) in [("dev", 5), ("test", 35)] {
        let file = format!("{part}.jsonl");
        assert_eq!(site.convert("coral", part, &file), "");
        let (code, measured) = site.eval(&format!("coral:{part}"), &[]);
        assert_eq!((code, &measured), (Some(0), &site.eval(&file, &[]).1), "{part}");
        let of_words = measured["word"].as_object().unwrap();
        assert_eq!(of_words.keys().collect::<Vec<_>>(), ["medication", "symptom"], "diseases are not annotated");
        for (task, figures) in of_words {
            // A word of each task in a document, found or not.
            let words: u64 = ["tp", "fn"].iter().map(|count| figures[*count].as_u64().unwrap()).sum();
            assert_eq!(words, documents, "{part}: {task}");
        }
    }
}

#[test]
fn teachers_are_chosen_by_a_corpus_as_by_its_conversion() {
    let site = Site::new();
    let ann = |line: &str| format!("T1\tSign_symptom {line}\n");
    for (id, text, mention) in [("a", "Note of fever.", "8 13\tfever"), ("b", "No chills and fever.", "3 9\tchills")] {
        site.write(&format!("made-up/{id}.txt"), text);
        site.write(&format!("made-up/{id}.ann"), &ann(mention));
    }
    vocabulary_teacher(&site.path(""), "wide", "fever\nchills\n");
    vocabulary_teacher(&site.path(""), "narrow", "chills\n");
    let converted = site.run(&["corpus", "convert", "made-up", "-o", "made-up.jsonl"]);
    assert!(converted.status.success(), "{}", stderr(&converted));
    let select = |dev: &str| -> Vec<Value> {
        let model = tiny();
        let arguments = ["teachers", "select", "--json", "--dev", dev, "--teachers", "wide,narrow", "--model"];
        let output = site.run(&[&arguments[..], &[model.to_str().unwrap()]].concat());
        let mut rows = json_lines(stdout(&output));
        // Measured anew each time.
        rows.iter_mut().for_each(|row| _ = row["figures"].as_object_mut().unwrap().remove("seconds_a_note"));
        rows
    };
    let rows = select("made-up");
    assert_eq!((rows.len(), &rows), (5, &select("made-up.jsonl")));
    assert_eq!(rows[0]["counts"]["notes"], 2);
}

#[test]
fn labels_and_parts_are_as_the_command_line_says() {
    let site = Site::new();
    let document =
        |id: usize| format!("{id}|t|Gout.\n{id}|a|Iron.\n{id}\t0\t4\tGout\tDisease\n{id}\t6\t10\tIron\tChemical\n\n");
    site.write("cdr.txt", &(0..6).map(document).collect::<String>());
    let tasks = |more: &[&str]| -> Vec<String> {
        site.eval("cdr.txt", more).1["word"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(tasks(&[]), ["disease", "medication"]);
    assert_eq!(tasks(&["--map", "Chemical=none"]), ["disease"]);
    assert_eq!(tasks(&["--format", "pubtator", "--corpus", "bc5cdr"]), ["disease", "medication"]);
    let check = |gold: &str, more: &[&str], expected: &str| {
        let model = tiny();
        let arguments = ["eval", "--gold", gold, "--model", model.to_str().unwrap()];
        let refused = site.run(&[&arguments[..], more].concat());
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains(expected), "{}", stderr(&refused));
    };
    check("cdr.txt", &["--map", "Chemcal=medication"], "no annotation has the label Chemcal");
    check("cdr.txt:dev", &[], "there is no annotated document in cdr.txt:dev; give another file or part");
    check("nothing:dev", &[], "nothing");
    site.write("made-up/a.txt", "Fever.");
    site.write("made-up/a.ann", "T1\tSign_symptom 0 5\tFever\n");
    check("made-up:dev", &[], "the files do not tell their parts");
    let event = "<event type=\"note\" note_id=\"1\" name=\"progress note\">Fever.</event>";
    let entry = format!("<entry timestamp=\"2013-10-10 19:08:00\">{event}</entry>");
    let record = format!("<eventstream person_id=\"1\"><encounter><events>{entry}</events></encounter></eventstream>");
    site.write("notes/EHR_1.xml", &record);
    check("notes", &[], "has notes without annotations; give annotated documents");
}

/// The published files, where they are on this machine.
#[test]
fn published_corpora_are_measured_as_their_conversions() {
    let raw = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/raw");
    if !raw.is_dir() {
        eprintln!("skipped: there are no corpora in ../shared/data/raw");
        return;
    }
    let site = Site::new();
    for (corpus, part) in [("ncbi_disease", ":dev"), ("bc5cdr", ""), ("maccrobat", "")] {
        let path = raw.join(corpus);
        let path = path.to_str().unwrap();
        let split: &[&str] = if part.is_empty() { &[] } else { &["--split", "dev"] };
        let converted = site.run(&[&["corpus", "convert", path, "-o", "gold.jsonl"], split].concat());
        let native = site.eval(&format!("{path}{part}"), &[]);
        assert_eq!(native.0, converted.status.code(), "{corpus}: {}", stderr(&converted));
        assert_eq!(native.1, site.eval("gold.jsonl", &[]).1, "{corpus}");
    }
}
