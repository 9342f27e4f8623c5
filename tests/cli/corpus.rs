//! `stillroom corpus`: made-up corpora in the shapes and sizes of those of the study.

use crate::support::{json_lines, stderr, stdout, stillroom};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Output;

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        Site { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        stillroom().current_dir(self.path()).arg("corpus").args(arguments).output().unwrap()
    }

    /// The lines of a conversion that went well, which are also written to `-o`.
    fn convert(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["convert"], arguments].concat());
        json_lines(stdout(&output))
    }

    /// The ids of what a conversion gives.
    fn ids(&self, arguments: &[&str]) -> BTreeSet<String> {
        let lines = self.convert(arguments);
        let id = |line: &Value| line.get("id").or(line.get("note_id")).unwrap().as_str().unwrap().to_owned();
        let ids: BTreeSet<String> = lines.iter().map(id).collect();
        assert_eq!(ids.len(), lines.len());
        ids
    }

    /// The ids of the three parts, which have nothing in common.
    fn parts(&self, arguments: &[&str]) -> [BTreeSet<String>; 3] {
        let parts = ["train", "dev", "test"].map(|part| self.ids(&[arguments, &["--split", part]].concat()));
        let all: BTreeSet<&String> = parts.iter().flatten().collect();
        assert_eq!(all.len(), parts.iter().map(BTreeSet::len).sum::<usize>());
        parts
    }
}

/// A document of PubTator.
fn abstract_of(id: usize, label: &str) -> String {
    format!("{id}|t|Gout {id}.\n{id}|a|Iron.\n{id}\t0\t4\tGout\t{label}\tD1\n\n")
}

#[test]
fn n2c2_has_303_documents_of_which_25_are_for_dev_and_202_for_test() {
    let site = Site::new();
    for document in 0..505 {
        let folder = if document < 303 { "n2c2/training_20180910" } else { "n2c2/test" };
        site.write(&format!("{folder}/{document}.txt"), "Iron, daily.\n");
        site.write(&format!("{folder}/{document}.ann"), "T1\tDrug 0 4\tIron\nT2\tFrequency 6 11\tdaily\n");
    }
    let [train, dev, test] = site.parts(&["n2c2"]);
    assert_eq!([train.len(), dev.len(), test.len()], [278, 25, 202]);
    assert!(dev.iter().all(|id| id.starts_with("training_20180910/")));
    assert!(test.iter().all(|id| id.starts_with("test/")));
    // The seed alone tells who is drawn.
    assert_eq!(site.ids(&["n2c2", "--split", "dev"]), dev);
    let other = site.ids(&["n2c2", "--split", "dev", "--seed", "1"]);
    assert_eq!(other.len(), 25);
    assert_ne!(other, dev);
    // The test documents by themselves are all of them.
    assert_eq!(site.ids(&["n2c2/test", "--split", "test"]).len(), 202);
    let refused = site.run(&["convert", "n2c2", "--split", "dev", "--dev", "304"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("304 documents cannot be drawn from 303"), "{}", stderr(&refused));
}

#[test]
fn ncbi_disease_is_split_as_its_files_are() {
    let site = Site::new();
    let file = |ids: std::ops::Range<usize>| ids.map(|id| abstract_of(id, "DiseaseClass")).collect::<String>();
    // The published training file has one abstract twice.
    site.write("ncbi/NCBItrainset_corpus.txt", &(file(0..592) + &abstract_of(7, "DiseaseClass")));
    site.write("ncbi/NCBIdevelopset_corpus.txt", &file(1000..1100));
    site.write("ncbi/NCBItestset_corpus.txt", &file(2000..2100));
    let output = site.run(&["convert", "ncbi", "--split", "train", "-o", "train.jsonl"]);
    assert_eq!(output.status.code(), Some(3));
    let twice = "ncbi/NCBItrainset_corpus.txt: the document 7 was there before; left out\n";
    assert_eq!(stderr(&output), format!("{twice}592 documents\n"));
    let train = std::fs::read_to_string(site.path().join("train.jsonl")).unwrap();
    assert_eq!(train.lines().count(), 592);
    let entity = json!({ "task": "disease", "start": 0, "end": 4, "text": "Gout" });
    let document = json!({ "id": "0", "text": "Gout 0. Iron.", "tasks": ["disease"], "entities": [entity] });
    assert_eq!(json_lines(&train)[0], document);
    for part in ["dev", "test"] {
        let output = site.run(&["convert", "ncbi", "--split", part]);
        assert_eq!((output.status.code(), output.stdout.iter().filter(|byte| **byte == b'\n').count()), (Some(3), 100));
    }
    // What was converted is read again, and is what train and eval read.
    let again = site.run(&["convert", "train.jsonl"]);
    assert_eq!(stdout(&again), train);
}

#[test]
fn coral_has_5_documents_for_dev_and_35_for_test() {
    let site = Site::new();
    for document in 0..40 {
        let folder = if document < 20 { "coral/annotated/breastca" } else { "coral/annotated/pdac" };
        site.write(&format!("{folder}/{document}.txt"), "Pain on taxol.");
        let ann = "T1\tSymptom 0 4\tPain\nT2\tMedicationName 8 13\ttaxol\nA1\tNegationModalityVal T1 affirmed\n";
        site.write(&format!("{folder}/{document}.ann"), ann);
    }
    let [train, dev, test] = site.parts(&["coral"]);
    assert_eq!([train.len(), dev.len(), test.len()], [0, 5, 35]);
    let [train, dev, test] = site.parts(&["coral", "--dev", "4", "--test", "6"]);
    assert_eq!([train.len(), dev.len(), test.len()], [30, 4, 6]);
}

#[test]
fn mimic_gives_1000_notes_by_type_whatever_their_order() {
    let site = Site::new();
    let header = "\"ROW_ID\",\"SUBJECT_ID\",\"HADM_ID\",\"CHARTDATE\",\"CHARTTIME\",\"STORETIME\",\"CATEGORY\",\"DESCRIPTION\",\"CGID\",\"ISERROR\",\"TEXT\"\n";
    // Of 4,000 notes 60 % are nursing's, 35 % discharge summaries and 5 % radiology's; 400 more are errors.
    let row = |id: usize| {
        let category = ["Nursing/other", "Discharge summary", "Radiology"][match id % 20 {
            0..12 => 0,
            12..19 => 1,
            _ => 2,
        }];
        let is_error = if id < 4000 { "" } else { "1" };
        format!(
            "{id},{},,2151-08-04,,,{category:?},Report,,{is_error},\"Note {id}:\r\n\"\"fine\"\", no fever.\n\"\n",
            id / 4
        )
    };
    let rows: Vec<String> = (0..4400).map(row).collect();
    site.write("NOTEEVENTS.csv", &(header.to_owned() + &rows.concat()));
    site.write("reversed.csv", &(header.to_owned() + &rows.iter().rev().cloned().collect::<String>()));
    let notes = site.convert(&["NOTEEVENTS.csv", "--sample", "1000", "--seed", "7"]);
    let of_type = |name: &str| notes.iter().filter(|note| note["note_type"] == name).count();
    assert_eq!(["Nursing/other", "Discharge summary", "Radiology"].map(of_type), [600, 350, 50]);
    let id: usize = notes[0]["note_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(notes[0]["text"], format!("Note {id}:\r\n\"fine\", no fever.\n"));
    assert_eq!(notes[0]["patient_id"], (id / 4).to_string());
    let drawn = site.ids(&["NOTEEVENTS.csv", "--sample", "1000", "--seed", "7"]);
    assert_eq!(drawn, site.ids(&["reversed.csv", "--sample", "1000", "--seed", "7"]));
    assert_ne!(drawn, site.ids(&["NOTEEVENTS.csv", "--sample", "1000"]));
    assert_eq!(site.ids(&["NOTEEVENTS.csv", "--one-per-patient"]).len(), 1000);
    assert_eq!(site.ids(&["NOTEEVENTS.csv"]).len(), 4000);
    let refused = site.run(&["convert", "NOTEEVENTS.csv", "--sample", "4001"]);
    assert!(stderr(&refused).contains("4001 notes cannot be drawn from 4000"), "{}", stderr(&refused));
    let refused = site.run(&["convert", "NOTEEVENTS.csv", "--split", "dev", "--dev", "0"]);
    assert!(stderr(&refused).contains("notes without annotations have no parts"), "{}", stderr(&refused));
}

#[test]
fn medalign_gives_a_note_of_each_of_276_patients() {
    let site = Site::new();
    for patient in 0..276 {
        let mut xml = format!("<eventstream person_id=\"{patient}\"><encounter><events>");
        for note in 0..=patient % 3 {
            let event =
                format!("<event type=\"note\" note_id=\"{patient}-{note}\" name=\"progress note\">Pain.</event>");
            write!(xml, "<entry timestamp=\"2013-10-10 19:08:00\">{event}</entry>").unwrap();
        }
        site.write(&format!("ehrs/EHR_{patient}.xml"), &(xml + "</events></encounter></eventstream>"));
    }
    let notes = site.convert(&["ehrs", "--one-per-patient"]);
    let patients: BTreeSet<&str> = notes.iter().map(|note| note["patient_id"].as_str().unwrap()).collect();
    assert_eq!((notes.len(), patients.len()), (276, 276));
    assert_eq!(site.ids(&["ehrs"]).len(), 552);
    // A label or an extraction reads them as notes.
    let path = site.path().join("notes.jsonl");
    site.run(&["convert", "ehrs", "--one-per-patient", "-o", path.to_str().unwrap()]);
    let extract = ["extract", "notes.jsonl", "--model"];
    let output = stillroom().current_dir(site.path()).args(extract).arg(crate::support::tiny()).output().unwrap();
    assert_eq!(stdout(&output).lines().count(), 276);
}

#[test]
fn stats_count_what_is_there_and_tell_what_is_wrong() {
    let site = Site::new();
    site.write("made-up/a.txt", "Fièvre, pain in the left and right arm.");
    let ann = "T1\tSign_symptom 0 6\tFièvre\nT2\tSign_symptom 8 12;20 24\tpain left\n\
               T3\tSign_symptom 8 38\tpain in the left and right arm\nT4\tMedication 0 3\tTylenol\n\
               T5\tDisease_disorder 0 12\tFièvre, pain\n";
    site.write("made-up/a.ann", ann);
    site.write("made-up/b.txt", "Nothing.");
    site.write("made-up/b.ann", "");
    let wrong = "Medication: what it quotes is not what stands at 0..3, in code points; left out";
    let stats: Value = serde_json::from_str(stdout(&site.run(&["stats", "made-up", "--json"]))).unwrap();
    let expected = json!({
        "corpora": ["maccrobat"],
        "labels": { "Disease_disorder": "disease", "Medication": "medication", "Sign_symptom": "symptom" },
        "documents": 2, "notes": 0, "words": 12, "non_ascii": 1,
        "tasks": {
            "disease": { "documents": 2, "entities": 1 },
            "medication": { "documents": 2, "entities": 0 },
            "symptom": { "documents": 2, "entities": 4 },
        },
        "discontinuous": 1, "nested": 3, "overlapping": 2, "note_types": {},
        "problems": { "count": 1, "listed": [{ "path": "made-up/a.ann", "line": 4, "what": wrong }] },
    });
    assert_eq!(stats, expected);
    let output = site.run(&["stats", "made-up"]);
    assert_eq!(stderr(&output), format!("made-up/a.ann, line 4: {wrong}\n"));
    let lines: Vec<String> =
        stdout(&output).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "corpus maccrobat",
        "documents 2",
        "notes without annotations 0",
        "words 12",
        "documents that are not ASCII 1",
        "disease 1, in 2 documents (Disease_disorder)",
        "medication 0, in 2 documents (Medication)",
        "symptom 4, in 2 documents (Sign_symptom)",
        "annotations in fragments 1",
        "spans within another 3",
        "spans that cross another 2",
        "problems 1",
    ];
    assert_eq!(lines, expected);
    assert!(!stderr(&output).contains("Tylenol") && !stdout(&output).contains("pain"));
}

#[test]
fn labels_are_read_as_the_command_line_says() {
    let site = Site::new();
    site.write("cdr.txt", &(abstract_of(1, "Disease") + "2|t|Iron.\n2\t0\t4\tIron\tChemical\n"));
    let tasks = |arguments: &[&str]| -> Vec<Value> {
        let lines = site.convert(&[&["cdr.txt"], arguments].concat());
        lines.into_iter().map(|line| json!([line["tasks"], line["entities"].as_array().unwrap().len()])).collect()
    };
    let both = json!(["disease", "medication"]);
    assert_eq!(tasks(&[]), [json!([both, 1]), json!([both, 1])]);
    assert_eq!(tasks(&["--map", "Chemical=none"]), [json!([["disease"], 1]), json!([["disease"], 0])]);
    let refused = site.run(&["convert", "cdr.txt", "--map", "Chemcal=medication"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("no annotation has the label Chemcal; there are Chemical, Disease"));
    for wrong in ["Chemical", "Chemical=drug"] {
        assert_eq!(site.run(&["convert", "cdr.txt", "--map", wrong]).status.code(), Some(2));
    }
    let refused = site.run(&["convert", "cdr.txt", "--sample", "1"]);
    assert!(!refused.status.success());
}
