//! `stillroom train` on notes that teachers labelled.

use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use crate::vendor::vocabulary_teacher;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;

/// Both teachers have a name too many, which the other lacks.
const TEACHERS: [(&str, &str); 2] = [("wide", "fever\nchills\nnote\n"), ("other", "chills\nfever\nand\n")];

/// A folder with notes, what was said of them, and the ensemble that merges it.
struct Site {
    folder: tempfile::TempDir,
}

fn line(note_id: &str, text: &str) -> String {
    json!({ "note_id": note_id, "text": text }).to_string() + "\n"
}

/// A document of the one task, with the first of each mention.
fn document(id: &str, text: &str, symptoms: &[&str]) -> String {
    let entity = |symptom: &&str| {
        let start = text.find(*symptom).unwrap();
        json!({ "task": "symptom", "start": start, "end": start + symptom.len(), "text": symptom })
    };
    let entities: Vec<Value> = symptoms.iter().map(entity).collect();
    json!({ "id": id, "text": text, "tasks": ["symptom"], "entities": entities }).to_string() + "\n"
}

impl Site {
    /// The teachers label the notes, and are chosen by a document.
    fn new() -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        TEACHERS.iter().for_each(|(name, names)| vocabulary_teacher(site.folder.path(), name, names));
        site.write("notes/a.jsonl", &(line("n0", "note 0: fever and chills.") + &line("n1", "note 1: no chills.")));
        site.write("notes/b.txt", "fever and cough");
        site.write("dev.jsonl", &document("d", "note: chills and fever", &["chills", "fever"]));
        let label = ["label", "notes", "--teachers", "wide,other", "--task", "symptom", "-o", "labels.jsonl"];
        stdout(&site.run(&label));
        let model = tiny();
        let select = ["teachers", "select", "--dev", "dev.jsonl", "--teachers", "wide,other", "-o", "ensemble.toml"];
        stdout(&site.run(&[&select[..], &["--model", model.to_str().unwrap()]].concat()));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        stillroom().current_dir(self.folder.path()).args(arguments).output().unwrap()
    }

    /// A short training to `out`.
    fn train(&self, out: &str, more: &[&str]) -> Output {
        let base = tiny();
        let arguments = ["train", "--base", base.to_str().unwrap(), "--dev", "dev.jsonl", "--out", out];
        self.run(&[&arguments[..], &["--epochs", "2", "--rate", "3e-3", "--threads", "1"], more].concat())
    }

    fn train_labelled(&self, out: &str, more: &[&str]) -> Output {
        let labelled = ["--notes", "notes", "--labels", "labels.jsonl", "--ensemble", "ensemble.toml"];
        self.train(out, &[&labelled[..], more].concat())
    }

    fn manifest(&self, out: &str) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path(out).join("manifest.json")).unwrap()).unwrap()
    }
}

#[test]
fn labelled_notes_train_the_student_that_the_merged_documents_train() {
    let site = Site::new();
    // A later run of other teachers, of texts that have changed since, of notes that are gone.
    let labels = json_lines(&std::fs::read_to_string(site.path("labels.jsonl")).unwrap());
    let but = |field: &str, value: &str| {
        let mut label = labels[0].clone();
        label[field] = value.into();
        label.to_string() + "\n"
    };
    site.write("more.jsonl", &(but("annotator", "third") + &but("text_hash", "0") + &but("note_id", "n9")));
    site.write("notes/c.txt", "cough that nobody labelled");
    site.write("notes/d.jsonl", "{\"note_id\":\"n7\",\"cough\n");
    let trained = site.train_labelled("labelled", &["--labels", "more.jsonl"]);
    let expected = "notes/d.jsonl, line 1: left out, not a note from column 22 on\n\
                    3 of 5 notes became training documents: symptom 3\n\
                    notes left out: 1 without a label, 1 that could not be read\n\
                    labels not used: 1 of another text, 1 of a note that is not there, 1 by a teacher in no ensemble\n";
    assert!(trained.status.success() && stderr(&trained).starts_with(expected), "{}", stderr(&trained));

    let documents = |of_n1: &[&str]| {
        document("n0", "note 0: fever and chills.", &["fever", "chills"])
            + &document("n1", "note 1: no chills.", of_n1)
            + &document("b", "fever and cough", &["fever"])
    };
    site.write("gold.jsonl", &documents(&["chills"]));
    stdout(&site.train("gold", &["--train", "gold.jsonl"]));
    let (labelled, gold) = (site.manifest("labelled"), site.manifest("gold"));
    assert_eq!(labelled["weights_hash"], gold["weights_hash"], "the same documents, to the last position");
    let source = &labelled["train"][0];
    assert_eq!((&source["name"], &source["documents"]), (&json!("notes by ensemble.toml"), &json!(3)));

    // One of the two takes back what it said of a note.
    let mut taken_back = labels.iter().find(|label| label["note_id"] == "n1").unwrap().clone();
    taken_back["spans"] = json!([]);
    site.write("later.jsonl", &taken_back.to_string());
    stdout(&site.train_labelled("later", &["--labels", "later.jsonl"]));
    site.write("less.jsonl", &documents(&[]));
    stdout(&site.train("less", &["--train", "less.jsonl"]));
    let (later, less) = (site.manifest("later"), site.manifest("less"));
    assert_eq!(later["weights_hash"], less["weights_hash"]);
    assert_ne!(later["weights_hash"], labelled["weights_hash"]);
    assert_ne!(later["train"][0]["hash"], source["hash"]);

    // Gold documents and labelled notes together.
    stdout(&site.train_labelled("both", &["--train", "gold.jsonl"]));
    stdout(&site.train("twice", &["--train", "gold.jsonl", "--train", "gold.jsonl"]));
    assert_eq!(site.manifest("both")["weights_hash"], site.manifest("twice")["weights_hash"]);
}

/// A document with the share of the teachers that marks each of some words.
fn softly(document: &str, shares: &[(&str, f64)]) -> String {
    let mut document: Value = serde_json::from_str(document).unwrap();
    let text = document["text"].as_str().unwrap();
    let span = |(word, share): &(&str, f64)| {
        let start = text.find(word).unwrap();
        json!([start, start + word.len(), share])
    };
    let spans: Vec<Value> = shares.iter().map(span).collect();
    document["soft"] = json!({ "symptom": spans });
    document.to_string() + "\n"
}

#[test]
fn what_teachers_disagree_about_is_learned_in_shares() {
    let site = Site::new();
    let gold = [
        document("n0", "note 0: fever and chills.", &["fever", "chills"]),
        document("n1", "note 1: no chills.", &["chills"]),
        document("b", "fever and cough", &["fever"]),
    ];
    let soft = |half: f64| {
        softly(&gold[0], &[("note", half), ("fever", 1.0), ("and", half), ("chills", 1.0)])
            + &softly(&gold[1], &[("note", half), ("chills", 1.0)])
            + &softly(&gold[2], &[("fever", 1.0), ("and", half)])
    };
    let weights_of = |out: &str, trained: Output| {
        assert!(trained.status.success(), "{}", stderr(&trained));
        (site.manifest(out)["weights_hash"].clone(), stderr(&trained))
    };
    let labelled = |out: &str, more: &[&str]| weights_of(out, site.train_labelled(out, more));
    let (hard, _) = labelled("hard", &[]);
    let (by_labels, said) = labelled("labels", &["--soft"]);
    assert!(said.contains("3 of 3 documents have soft labels"), "{said}");
    assert_eq!(site.manifest("labels")["recipe"]["soft_temperature"], 1.0);
    assert_eq!(site.manifest("hard")["recipe"].get("soft_temperature"), None);
    assert_ne!(by_labels, hard);

    site.write("half.jsonl", &soft(0.5));
    site.write("quarter.jsonl", &soft(0.25));
    let given = |out: &str, file: &str, more: &[&str]| {
        weights_of(out, site.train(out, &[&["--train", file][..], more].concat())).0
    };
    assert_eq!(given("half", "half.jsonl", &["--soft"]), by_labels, "the same shares, to the last position");
    assert_eq!(given("unasked", "half.jsonl", &[]), hard, "nobody asked for them");
    let tempered = ["--soft", "--soft-temperature", "2"];
    assert_eq!(given("half2", "half.jsonl", &tempered), by_labels, "a half is one at any temperature");
    let [quarter, softer] =
        [("quarter", &tempered[..1]), ("quarter2", &tempered[..])].map(|(out, more)| given(out, "quarter.jsonl", more));
    assert!(quarter != softer && quarter != by_labels, "{quarter} {softer}");

    // Teachers of one mind are people.
    let ones = softly(&gold[0], &[("fever", 1.0), ("chills", 1.0)]) + &softly(&gold[1], &[("chills", 1.0)]);
    site.write("ones.jsonl", &(ones + &softly(&gold[2], &[("fever", 1.0)])));
    assert_eq!(given("ones", "ones.jsonl", &["--soft", "--soft-temperature", "0.5"]), hard);
}

#[test]
fn what_cannot_be_merged_is_refused_before_training() {
    let site = Site::new();
    let check = |more: &[&str], code: i32, expected: &str| {
        let refused = site.train("out", more);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && !said.contains("cough"), "{said}");
        assert!(!site.path("out").exists(), "{said}");
    };
    let notes = ["--notes", "notes", "--labels", "labels.jsonl", "--ensemble", "ensemble.toml"];
    check(&[], 2, "--train <PATH[:PART]>");
    check(&notes[..4], 2, "--ensemble <FILE>");
    check(&["--notes", "notes", "--ensemble", "ensemble.toml"], 2, "--labels <FILE>");
    check(&["--train", "dev.jsonl", "--labels", "labels.jsonl"], 2, "--notes <PATH>");
    check(&[&notes[..], &["--soft-temperature", "2"]].concat(), 2, "not provided:\n  --soft\n");
    let cold = [&notes[..], &["--soft", "--soft-temperature", "0"]].concat();
    check(&cold, 1, "cannot train: soft_temperature is 0; choose a number above 0");
    let of_disease = [&notes[..], &["--task", "disease"]].concat();
    check(&of_disease, 1, "ensemble.toml has no ensemble for the tasks that are to be learned");

    site.write("broken.jsonl", "\n{\"note_id\": cough\n");
    let broken = [&notes[..], &["--labels", "broken.jsonl"]].concat();
    check(&broken, 1, "broken.jsonl, line 2: not a label from column 13 on; correct or remove the line");
    let labels = std::fs::read_to_string(site.path("labels.jsonl")).unwrap();
    let of_wide: Vec<&str> = labels.lines().filter(|line| line.contains("\"annotator\":\"wide\"")).collect();
    site.write("wide.jsonl", &of_wide.join("\n"));
    let of_one = ["--notes", "notes", "--labels", "wide.jsonl", "--ensemble", "ensemble.toml"];
    check(
        &of_one,
        1,
        "the ensemble for symptom has the teacher other, of which there is no label; label the notes with it",
    );

    site.write("amended/a.jsonl", &(line("n0", "note 0: cough, amended.") + &line("n5", "cough")));
    let amended = ["--notes", "amended", "--labels", "labels.jsonl", "--ensemble", "ensemble.toml"];
    let expected = "there is no note to learn from: 0 of 2 notes became training documents: symptom 0\n\
                    notes left out: 1 without a label, 1 of which another text was labelled\n\
                    labels not used: 2 of another text, 4 of a note that is not there\n\
                    label these very notes, each by the teachers wide, other";
    check(&amended, 1, expected);
}

#[test]
fn notes_that_the_student_is_chosen_by_are_refused() {
    let site = Site::new();
    // Formats differ in the blanks that they leave around a text.
    let leaked = line("n0", "note 0: fever and chills.") + &line("n8", " note: chills and fever\n");
    site.write("leaked/a.jsonl", &leaked);
    let base = tiny();
    for more in [
        &["--notes", "leaked", "--labels", "labels.jsonl", "--ensemble", "ensemble.toml"][..],
        &["--distil", base.to_str().unwrap(), "--unlabelled", "leaked"],
    ] {
        let refused = site.train("out", more);
        let said = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("take these notes out:\nleaked/a.jsonl, line 2: note n8 is in dev.jsonl\n"), "{said}");
        assert!(!said.contains("fever") && !site.path("out").exists(), "{said}");
    }
}

#[test]
fn students_teach_by_notes_that_nobody_annotated() {
    let site = Site::new();
    let taught = site.train("teacher", &["--train", "dev.jsonl"]);
    stdout(&taught);
    let flattered = "1 of 1 documents of dev.jsonl are among the --dev documents";
    assert!(stderr(&taught).starts_with(flattered) && !stderr(&taught).contains("fever"), "{}", stderr(&taught));
    let distil = ["--distil", "teacher", "--unlabelled", "notes", "--distil-share", "1", "--temperature", "2"];
    let others = ["--freeze", "1", "--layer-decay", "0.9", "--average", "0.5", "--dropout", "0"];
    stdout(&site.train("student", &[&distil[..], &others].concat()));
    let (teacher, student) = (site.manifest("teacher"), site.manifest("student"));
    let version = teacher["weights_hash"].as_str().unwrap();
    assert_eq!(student["teachers"], json!([format!("teacher@{}", &version[..12])]));
    assert_ne!(student["weights_hash"], teacher["weights_hash"]);
    let recipe = &student["recipe"];
    assert_eq!(recipe["distillation"], json!({ "share": 1.0, "temperature": 2.0 }));
    let given = ["freeze", "layer_decay", "average", "dropout"].map(|option| recipe[option].clone());
    assert_eq!(given, [json!(1), json!(0.9), json!(0.5), json!(0.0)]);
    assert_eq!((&student["train"][0]["name"], &student["train"][0]["documents"]), (&json!("notes"), &json!(3)));

    let alone = site.train("out", &["--unlabelled", "notes"]);
    assert_eq!(alone.status.code(), Some(2), "{}", stderr(&alone));
    assert!(stderr(&alone).contains("--distil <DIR>"), "{}", stderr(&alone));
}
