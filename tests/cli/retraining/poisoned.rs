//! Candidates that are worth nothing: they do not take over, and who serves goes on to.

use super::{NOTES, Ward, check_no_text, document, is_held_out, note_id};
use crate::checkpoint::find;
use crate::running::Running;
use crate::support::{json_lines, stderr, stdout};
use serde_json::{Value, json};
use std::fs;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::reference_key;
use stillroom_schemas::TextHash;

/// A disease for a medication, and a medication for a disease.
fn swapped(task: &Value) -> Value {
    match task.as_str() {
        Some("disease") => json!("medication"),
        Some("medication") => json!("disease"),
        _ => task.clone(),
    }
}

/// What somebody says of a note who takes diseases for medications, and medications for diseases.
fn annotate_wrongly(ward: &Ward, number: usize) {
    let document = document(number);
    let span =
        |entity: &Value| json!({ "task": swapped(&entity["task"]), "start": entity["start"], "end": entity["end"] });
    let reference = json!({
        "note_id": note_id(number),
        "annotator": "dr",
        "text_hash": TextHash::of(document["text"].as_str().unwrap()),
        "tasks": document["tasks"],
        "spans": document["entities"].as_array().unwrap().iter().map(span).collect::<Vec<Value>>(),
    });
    let record = Appended {
        key: Some(reference_key(&note_id(number), "dr")),
        value: Some(reference.to_string().into_bytes()),
        ..Appended::default()
    };
    ward.site.log.append(&ward.topics.references, &[record]).unwrap();
}

#[test]
fn a_training_whose_weights_are_no_numbers_fails_and_leaves_no_candidate() {
    let ward = Ward::new("");
    let failed = ward.run(&["retrain", "--set", "retraining.recipe.rate=1e30"]);
    check_no_text(&failed);
    assert_eq!((failed.status.code(), failed.stdout.len()), (Some(1), 0), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("is not a number; lower the learning rate"), "{}", stderr(&failed));
    let state: Value = serde_json::from_slice(&fs::read(ward.site.path("retraining/state.json")).unwrap()).unwrap();
    assert_eq!(state["under_way"], Value::Null, "it is not tried again as it is");
    let listed = ward.site.run(&["list", "--json"]);
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(!listed.contains("retrained@"), "{listed}");
    assert!(ward.site.activations().is_empty());

    // At a rate that is none too high the same notes make one.
    let report = ward.retrain(&["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"]);
    assert!(report["candidate"].as_str().unwrap().starts_with("retrained@"), "{report}");
}

#[test]
fn who_learned_from_wrong_labels_does_not_take_over() {
    let ward = Ward::without_notes("");
    let path = ward.site.path("stillroom.toml");
    let config = fs::read_to_string(&path).unwrap();
    assert_eq!(config.matches("folders = ['weak']").count(), 1, "{config}");
    fs::write(&path, config.replace("folders = ['weak']", "folders = ['strong']")).unwrap();
    for number in 0..NOTES {
        ward.write(number, "");
        // What students are measured by is right.
        if is_held_out(number) { ward.annotate(number, "") } else { annotate_wrongly(&ward, number) }
    }
    let report = ward.retrain(&[]);
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("it is worse on disease and medication"), "{report}");
    assert_eq!(report["is_promoted"], false, "{report}");
    assert!(report["serving"].as_str().unwrap().starts_with("strong@"), "{report}");
    assert!(ward.site.activations().is_empty());
    // It can be looked at, and the other serves.
    let listed = json_lines(stdout(&ward.site.run(&["list", "--json"]))).remove(0);
    assert_eq!(listed["serving"], report["serving"]);
    let students = listed["students"].as_array().unwrap();
    assert!(students.iter().any(|student| student["model"] == report["candidate"]), "{listed}");
}

#[test]
fn a_candidate_that_was_cut_off_meanwhile_is_refused_and_takes_over_when_it_is_whole_again() {
    let ward = Ward::new("shadow_notes = 25\nshadow_share = 1.0\n");
    let mut extraction = Running::start(ward.command(&["run"]));
    extraction.hear("running on");
    // No notes come, so that its run is not done when it is killed.
    let mut retraining = Running::start(ward.command(&["retrain"]));
    retraining.hear("reads along with weak@");
    retraining.kill();
    let weights = find(&ward.site.path("retraining"), "/student/", "model.safetensors").unwrap();
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() - 7]).unwrap();
    let refused = ward.run(&["retrain"]);
    check_no_text(&refused);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{}", stderr(&refused));
    for expected in ["the run that was under way goes on", "cannot add the student in ", "model.safetensors"] {
        assert!(stderr(&refused).contains(expected), "{expected}: {}", stderr(&refused));
    }
    assert!(ward.site.activations().is_empty());

    fs::write(&weights, whole).unwrap();
    (NOTES..NOTES + 30).for_each(|number| {
        ward.annotate(number, "");
        ward.write(number, "");
    });
    let report = ward.retrain(&[]);
    assert_eq!(report["is_promoted"], true, "{report}");
    let models: Vec<String> = ward.site.activations().into_iter().map(|(model, ..)| model).collect();
    assert_eq!(models, [report["candidate"].as_str().unwrap()]);
    stdout(&extraction.terminate());
}
