//! What a student was made of is chosen again from the log.

use super::{ADDED, NOTES, Ward, check_no_text, is_held_out};
use crate::checkpoint::find;
use crate::support::{json_lines, stderr, stdout};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[test]
fn what_a_student_was_made_of_is_chosen_again_whatever_came_since() {
    let ward = Ward::new("");
    let few = ["--set", "retraining.held_out_min=1000", "--set", "retraining.recipe.epochs=1"];
    // Some texts do not fit.
    let report = ward.retrain(&[&few[..], &["--set", "retraining.text_bytes_max=3000"]].concat());
    assert_ne!(report["left_out"]["too_many"], 0, "{report}");
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

    let (_, version) = candidate.split_once('@').unwrap();
    let path = find(&ward.site.path("registry"), version, "entry.json").unwrap();
    check_written(&ward, &report, &path);

    // As where the log has lost what came after the first records of each partition.
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

/// The documents of a run are written again as they were, and told from others.
fn check_written(ward: &Ward, report: &Value, entry: &Path) {
    let candidate = report["candidate"].as_str().unwrap();
    let at = |folder: &str| ward.run(&["retrain", "--at", candidate, "--out", folder]);
    let written = at("written");
    check_no_text(&written);
    let told = json_lines(stdout(&written)).remove(0);
    assert_eq!((&told["is_same"], &told["train"]), (&json!(true), &report["data"][0]["hash"]), "{told}");
    let run = ward.site.path("retraining").join(&report["snapshot"].as_str().unwrap()[..12]);
    for name in ["train.jsonl", "dev.jsonl", "heldout.jsonl"] {
        let [was, is] = [&run, &ward.site.path("written")].map(|folder| fs::read_to_string(folder.join(name)).unwrap());
        assert_eq!(is, was, "{name}");
    }
    let refused = at("written");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(stderr(&refused).contains("written is there already; name a folder"), "{}", stderr(&refused));

    // As one that learned from other documents of the same notes.
    let was = fs::read(entry).unwrap();
    let mut of_others: Value = serde_json::from_slice(&was).unwrap();
    of_others["training"]["data"][0]["hash"] = json!("0c".repeat(32));
    fs::write(entry, of_others.to_string()).unwrap();
    let other = at("others");
    check_no_text(&other);
    assert_eq!(other.status.code(), Some(1));
    assert_eq!(json_lines(std::str::from_utf8(&other.stdout).unwrap())[0]["is_same"], false);
    assert!(stderr(&other).contains("are not those that the student learned from"), "{}", stderr(&other));
    fs::write(entry, was).unwrap();
}
