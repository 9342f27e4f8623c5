//! Retraining on the shares of teachers who disagree.

use super::{NOTES, Ward, document, is_held_out, note_id};
use crate::support::{json_lines, stdout};
use serde_json::{Value, json};
use std::fs;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::label_key;
use stillroom_schemas::TextHash;

/// What the texts of notes begin with that teachers alone annotate: no other note has their text.
pub(super) const BEFORE: &str = "note : ";

/// What a teacher says of the diseases of a note.
pub(super) fn label(number: usize, teacher: &str, spans: &[[u64; 2]]) -> Value {
    let text_hash = TextHash::of(&(BEFORE.to_owned() + document(number)["text"].as_str().unwrap()));
    let span = |[start, end]: &[u64; 2]| json!({ "task": "disease", "start": start, "end": end });
    json!({
        "note_id": note_id(number),
        "annotator": teacher,
        "text_hash": text_hash,
        "tasks": ["disease"],
        "spans": spans.iter().map(span).collect::<Vec<Value>>(),
    })
}

pub(super) fn append(ward: &Ward, label: &Value) {
    let field = |name: &str| label[name].as_str().unwrap();
    let record = Appended {
        key: Some(label_key(field("note_id"), field("annotator"), &TextHash(field("text_hash").to_owned()))),
        value: Some(label.to_string().into_bytes()),
        ..Appended::default()
    };
    ward.site.log.append(&ward.topics.labels, &[record]).unwrap();
}

/// Where the disease of a note is.
pub(super) fn disease(number: usize) -> [u64; 2] {
    let entity = &document(number)["entities"][0];
    assert_eq!(entity["task"], "disease");
    ["start", "end"].map(|end| entity[end].as_u64().unwrap() + BEFORE.len() as u64)
}

/// By the ensemble of two teachers a disease is what both say.
pub(super) fn choose_both(ward: &Ward) {
    let chosen =
        "[disease]\nf1 = 0.9\ninterval = [0.8, 1.0]\ndocuments = 9\nteachers = ['a', 'b']\nrule = 'intersection'\n";
    fs::write(ward.site.path("ensemble.toml"), chosen).unwrap();
}

#[test]
fn what_teachers_disagree_about_is_learned_in_shares() {
    let ward = Ward::new("");
    let labelled: Vec<usize> = (NOTES..).filter(|number| !is_held_out(*number)).take(6).collect();
    // One of the two takes the patient for a disease.
    let patient = [BEFORE.len() as u64, (BEFORE.len() + "the patient".len()) as u64];
    for &number in &labelled {
        ward.write(number, BEFORE);
        append(&ward, &label(number, "a", &[patient, disease(number)]));
        append(&ward, &label(number, "b", &[disease(number)]));
    }
    choose_both(&ward);

    let hard = ["--set", "teachers.ensemble=ensemble.toml", "--set", "retraining.held_out_min=1000"];
    let hard = [&hard[..], &["--set", "retraining.recipe.epochs=1"]].concat();
    let soft = ["--set", "retraining.recipe.soft=true", "--set", "retraining.recipe.soft_temperature=0.5"];
    let soft = [&hard[..], &soft].concat();
    for (settings, temperature) in [(hard, Value::Null), (soft, json!(0.5))] {
        let report = ward.retrain(&settings);
        assert_eq!(report["tasks"]["disease"]["teachers"], labelled.len(), "{report}");
        let folder = ward.site.path("retraining").join(&report["snapshot"].as_str().unwrap()[..12]);
        let lines = ["train.jsonl", "dev.jsonl"].map(|name| fs::read_to_string(folder.join(name)).unwrap()).concat();
        let mut by_teachers = 0;
        for line in json_lines(&lines) {
            let number = labelled.iter().find(|number| line["id"] == note_id(**number));
            let expected = number.filter(|_| !temperature.is_null()).map(|number| {
                let ([from, to], [start, end]) = (patient, disease(*number));
                json!({ "disease": [[from, to, 0.5], [start, end, 1.0]] })
            });
            assert_eq!(line.get("soft"), expected.as_ref(), "{line}");
            by_teachers += usize::from(number.is_some());
        }
        assert_eq!(by_teachers, labelled.len());
        let candidate = report["candidate"].as_str().unwrap();
        let shown = json_lines(stdout(&ward.site.run(&["show", candidate, "--json"]))).remove(0);
        assert_eq!(shown["manifest"]["recipe"]["soft_temperature"], temperature);
    }
}
