//! `stillroom study`: the published experiment in small, with vocabularies as teachers and a tiny base.

mod refusals;
mod review;
mod runs;

use crate::support::{stderr, stillroom, tiny};
use crate::vendor::vocabulary_teacher;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder with corpora, teachers and a configuration.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// A corpus of symptoms in three parts, another of other documents, and two teachers who have a name too many each.
    fn new() -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        for (part, documents) in [("train", 36), ("dev", 8), ("test", 6)] {
            site.write(&format!("corpus/{part}.jsonl"), &(0..documents).map(|n| document(part, n)).collect::<String>());
        }
        site.write("elsewhere.jsonl", &(0..5).map(|n| document("elsewhere", n)).collect::<String>());
        vocabulary_teacher(site.folder.path(), "wide", "fever\nchills\nnote\n");
        vocabulary_teacher(site.folder.path(), "other", "chills\nfever\nand\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stillroom();
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Runs a study; what it said on the way.
    fn study(&self, config: &str) -> String {
        self.write("study.toml", config);
        let output = self.command(&["study", "study.toml"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.read("study/report.json")).unwrap()
    }

    /// The report without what is measured anew by every run.
    fn report_but_for_seconds(&self) -> Value {
        let mut report = self.report();
        for measured in ["costs", "ratios"] {
            assert!(!report.as_object_mut().unwrap().remove(measured).unwrap().as_array().unwrap().is_empty());
        }
        report
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

/// A document of symptoms, of which people missed one in three.
fn document(part: &str, number: usize) -> String {
    let (first, second) = [("fever", "chills"), ("chills", "cough"), ("cough", "fever")][number % 3];
    let text = format!("{part} note {number}: {first} and {second} since Monday.");
    let marked: &[&str] = if number.is_multiple_of(3) { &[first] } else { &[first, second] };
    let entity = |symptom: &&str| {
        let start = text.find(*symptom).unwrap();
        json!({ "task": "symptom", "start": start, "end": start + symptom.len(), "text": symptom })
    };
    let entities: Vec<Value> = marked.iter().map(entity).collect();
    json!({ "id": format!("{part}-{number}"), "text": text, "tasks": ["symptom"], "entities": entities }).to_string()
        + "\n"
}

/// The configuration.
fn config() -> String {
    format!(
        r#"
name = "Symptoms <in small>"

[[datasets]]
name = "made-up"
train = ["corpus:train"]
dev = ["corpus:dev"]
test = ["corpus:test"]

[[datasets]]
name = "elsewhere"
role = "external"
test = ["elsewhere.jsonl"]

[teachers]
symptom = ["wide", "other"]

[students]
bases = [{:?}]
threads = 1

[students.recipe]
epochs = 8
rate = 3e-3

[prices]
usd_an_hour = 0.1

[report]
samples = 100
"#,
        tiny()
    )
}
