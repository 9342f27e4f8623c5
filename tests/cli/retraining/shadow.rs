//! Candidates that read along before they take over.

use super::{NOTES, Ward, check_no_text};
use crate::running::Running;
use crate::support::{json_lines, stdout};
use std::fs;
use stillroom_schemas::ActivationCause;

/// Notes that come while a candidate reads along.
const COMING: usize = 30;

#[test]
fn a_candidate_reads_along_before_it_takes_over() {
    let ward = Ward::new("shadow_notes = 25\nshadow_share = 1.0\n");
    let mut extraction = Running::start(ward.command(&["run"]));
    extraction.hear("running on");
    let mut retraining = Running::start(ward.command(&["retrain"]));
    retraining.hear("reads along with weak@");
    assert!(ward.site.activations().is_empty(), "it serves only after");
    retraining.kill();
    // These come while nobody reads along, and are read all the same.
    (NOTES..NOTES + COMING).for_each(|number| {
        ward.annotate(number, "");
        ward.write(number, "");
    });

    let output = ward.run(&["retrain"]);
    check_no_text(&output);
    let report = json_lines(stdout(&output)).remove(0);
    let (shadow, candidate) = (&report["shadow"], report["candidate"].as_str().unwrap());
    let notes = shadow["notes"].as_u64().unwrap();
    assert!((25..=COMING as u64).contains(&notes), "{report}");
    let better = |figure: &serde_json::Value| figure["difference"]["low"].as_f64().unwrap() > 0.0;
    assert!(shadow["references"]["dr"].as_array().unwrap().iter().all(better), "{report}");
    assert_eq!(report["is_promoted"], true, "{report}");
    let weak = report["serving"].as_str().unwrap().to_owned();
    assert_eq!(ward.site.activations(), [(candidate.to_owned(), weak, ActivationCause::Promotion)]);
    let kept = ward.site.path("retraining").join(&report["snapshot"].as_str().unwrap()[..12]).join("shadow.json");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert_eq!(kept["figures"]["notes"], notes, "what was decided is remembered");
    stdout(&extraction.terminate());
}
