//! A student that was promoted and does worse on live notes, held against the one before on the notes that are held out.

use super::{Ward, check_no_text};
use crate::models::watched::{BEFORE, NOW, publish};
use crate::support::{json_lines, stdout};
use stillroom_connectors::{Appended, Log};
use stillroom_schemas::{Activation, ActivationCause, ModelId};

/// Lets a student serve that no gate would let: as one does that was measured on documents which are not those of the stream.
fn promote(ward: &Ward, model: &str, previous: &str) {
    let shown = json_lines(stdout(&ward.site.run(&["show", model, "--json"]))).remove(0);
    let activation = Activation {
        model: ModelId(model.to_owned()),
        weights_hash: shown["entry"]["weights_hash"].as_str().unwrap().to_owned(),
        previous: ModelId(previous.to_owned()),
        cause: ActivationCause::Promotion,
        activated_at: shown["entry"]["added_at"].as_str().unwrap().to_owned(),
    };
    let (key, value) = (Some(model.as_bytes().to_vec()), Some(serde_json::to_vec(&activation).unwrap()));
    let record = Appended { key, value, partition: Some(0), ..Appended::default() };
    ward.site.log.append(&ward.topics.models, &[record]).unwrap();
}

#[test]
fn who_does_worse_on_live_notes_stays_or_goes_by_those_that_are_held_out() {
    // Nothing else changes who serves.
    let ward = Ward::new("labels_min = 0\nf1_drop = 0.0\ndrift_psi = 0.0\ninterval_min_minutes = 0\n");
    ward.site.log.create_topic(&ward.topics.quality, 1).unwrap();
    let strong = ward.site.add("strong", &[]);
    stdout(&ward.site.run(&["promote", "strong", "--gold", "gold.jsonl"]));
    let mut expected = ward.site.activations();
    let weak = expected[0].1.clone();
    publish(&ward.site, &weak, BEFORE);
    publish(&ward.site, &strong, NOW);
    let mut following = ward.follow(&[]);
    following.hear(&format!("{weak} does worse on "));
    assert!(following.heard.contains(&format!(" of the same held-out notes, so {strong} stays\n")));
    assert_eq!(ward.site.activations(), expected);

    // Of the same notes, which are enough to decide, the strong one reads more, so that it comes back.
    promote(&ward, &weak, &strong);
    publish(&ward.site, &strong, BEFORE);
    publish(&ward.site, &weak, NOW);
    following.hear(&format!("{strong} serves again in the place of {weak}"));
    let followed = following.terminate();
    check_no_text(&followed);
    expected.push((weak.clone(), strong.clone(), ActivationCause::Promotion));
    expected.push((strong.clone(), weak.clone(), ActivationCause::Rollback));
    assert_eq!(ward.site.activations(), expected);
    let told = json_lines(stdout(&followed));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!([&told[0]["rolled_back"], &told[0]["serving"]], [weak.as_str(), strong.as_str()]);
}
