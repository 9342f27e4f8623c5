//! What a student was made of is chosen again from the log.

use super::{ADDED, NOTES, Ward, check_no_text, is_held_out};
use crate::checkpoint::find;
use crate::support::{json_lines, stderr, stdout};
use serde_json::{Value, json};
use std::fs;

#[test]
fn what_a_student_was_made_of_is_chosen_again_whatever_came_since() {
    let ward = Ward::new("");
    let few = ["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"];
    let report = ward.retrain(&few);
    let (candidate, snapshot) = (report["candidate"].as_str().unwrap(), &report["snapshot"]);
    let ends = &report["chosen_by"]["offsets"];
    assert_eq!(ends["clinical.notes.v1"].as_array().map(Vec::len), Some(3), "{report}");

    // More to learn from and to measure by, and an amendment of what was learned from.
    for side in [true, false] {
        let another = (NOTES..).find(|number| is_held_out(*number) == side).unwrap();
        ward.write(another, ADDED);
        ward.annotate(another, ADDED);
    }
    let annotated = (2..).find(|number| !is_held_out(*number)).unwrap();
    ward.write(annotated, ADDED);
    ward.annotate(annotated, ADDED);
    assert_ne!(ward.retrain(&["--dry-run"])["snapshot"], *snapshot);
    // The settings are those of that run, too.
    let others = ["--dry-run", "--set", "retraining.dev=0.5", "--set", "retraining.held_out=0.6", "--at", candidate];
    let rebuilt = ward.retrain(&others);
    assert_eq!((&rebuilt["rebuilt"], &rebuilt["is_same"]), (snapshot, &json!(true)), "{rebuilt}");
    assert_eq!((&rebuilt["missing"], &rebuilt["differences"]), (&json!({}), &json!([])), "{rebuilt}");

    // As where the log has lost what came after the first records of each partition.
    let (_, version) = candidate.split_once('@').unwrap();
    let path = find(&ward.site.path("registry"), version, "entry.json").unwrap();
    let mut entry: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    entry["training"]["chosen_by"]["offsets"]["clinical.references.v1"] = json!([5, 5, 5]);
    fs::write(&path, entry.to_string()).unwrap();
    let other = ward.run(&["retrain", "--dry-run", "--at", candidate]);
    check_no_text(&other);
    assert_eq!(other.status.code(), Some(1));
    assert_eq!(json_lines(std::str::from_utf8(&other.stdout).unwrap())[0]["is_same"], false);
    assert!(stderr(&other).contains("disease: ") && stderr(&other).contains("something else is chosen now"));

    // Who was trained by hand was not chosen for.
    ward.site.add("strong", &[]);
    let refused = ward.run(&["retrain", "--dry-run", "--at", "strong"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(stderr(&refused).contains("does not say by what was chosen"), "{}", stderr(&refused));
    assert!(stdout(&ward.site.run(&["verify", candidate])).contains("is as it was put into the registry"));
}
