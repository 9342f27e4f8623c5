//! A student that was promoted, and does worse on live notes than the one before.

use super::{Site, find};
use crate::running::Running;
use crate::support::{json_lines, stdout, stillroom};
use std::fs;
use stillroom::engine::Topics;
use stillroom_connectors::{Appended, Log};
use stillroom_schemas::{ActivationCause, Comparison, Counts, Level, ModelId, Quality, QualityKey, Task};

/// Of the student that was replaced: it did well.
pub(crate) const BEFORE: Counts = Counts { notes: 80, tp: 900, fp: 60, fn_: 40 };

/// Of the student that was promoted: it does worse.
pub(crate) const NOW: Counts = Counts { notes: 60, tp: 500, fp: 300, fn_: 200 };

/// Publishes how a student does on diseases, as an extraction does.
pub(crate) fn publish(site: &Site, model: &str, counts: Counts) {
    let key = QualityKey {
        task: Task::Disease,
        level: Level::Word,
        comparison: Comparison::StudentReference,
        model: ModelId(model.to_owned()),
        reference: "dr".to_owned(),
        note_type: None,
        site: None,
        rollup: true,
    };
    let record_key = serde_json::to_vec(&key).unwrap();
    let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
    let value = serde_json::to_vec(&Quality { key, counts, precision, recall, f1 }).unwrap();
    let record = Appended { key: Some(record_key), value: Some(value), partition: Some(0), ..Appended::default() };
    site.log.append(&Topics::default().quality, &[record]).unwrap();
}

#[test]
fn a_student_that_does_worse_than_the_one_before_is_rolled_back() {
    let site = Site::new("weak");
    site.log.create_topic(&Topics::default().quality, 1).unwrap();
    let path = site.path("stillroom.toml");
    let retraining = "[retraining]\ndir = 'retraining'\nlook_every_seconds = 1\ninterval_min_minutes = 0\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + retraining).unwrap();
    let strong = site.add("strong", &[]);
    stdout(&site.run(&["promote", "strong", "--gold", "gold.jsonl"]));
    let promoted = site.activations();
    let weak = promoted[0].1.clone();
    publish(&site, &weak, BEFORE);
    publish(&site, &strong, NOW);

    // What is damaged never serves, also where the one that serves does worse.
    let (_, version) = weak.split_once('@').unwrap();
    let stored = find(&site.path("registry"), version, "model.safetensors").unwrap();
    let bytes = fs::read(&stored).unwrap();
    fs::write(&stored, &bytes[..bytes.len() - 7]).unwrap();
    let mut command = stillroom();
    command.current_dir(site.folder.path()).args(["run", "--topology", "retraining", "-c", "stillroom.toml"]);
    let mut following = Running::start(command);
    following.hear("F1 of disease against dr is");
    following.hear("the rollback fails, and is tried again");
    assert_eq!(site.activations(), promoted);

    fs::write(&stored, bytes).unwrap();
    following.hear(&format!("{weak} serves again in the place of {strong}"));
    let told = json_lines(stdout(&following.terminate()));
    let expected = [promoted[0].clone(), (weak.clone(), strong.clone(), ActivationCause::Rollback)];
    assert_eq!(site.activations(), expected);
    assert_eq!(told.len(), 1, "{told:?}");
    let of = |key: &str| told[0][key].as_str().unwrap();
    assert_eq!(
        [of("rolled_back"), of("serving"), of("task"), of("reference")],
        [strong.as_str(), weak.as_str(), "disease", "dr"]
    );
    for (key, counts) in [("before", BEFORE), ("now", NOW)] {
        assert!((told[0][key].as_f64().unwrap() - counts.f1()).abs() < 1e-9, "{told:?}");
        assert_eq!(told[0][format!("{key}_notes")], counts.notes, "{told:?}");
    }
}
