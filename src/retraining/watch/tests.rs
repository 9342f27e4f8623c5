//! What live figures say of two students.

mod looking;

use super::*;
use stillroom_schemas::{Comparison, Level};

fn model(name: &str) -> ModelId {
    ModelId(name.to_owned())
}

fn activation(previous: &str, name: &str, cause: ActivationCause) -> Activation {
    let (model, previous) = (model(name), model(previous));
    Activation { model, weights_hash: String::new(), previous, cause, activated_at: String::new() }
}

fn key(name: &str, task: Task, reference: &str) -> QualityKey {
    QualityKey {
        task,
        level: Level::Word,
        comparison: Comparison::StudentReference,
        model: model(name),
        reference: reference.to_owned(),
        note_type: None,
        site: None,
        rollup: true,
    }
}

/// So many of 1000 words that either side marked, both marked.
fn counts(notes: i64, tp: i64) -> Counts {
    Counts { notes, tp, fp: 1000 - tp, fn_: 0 }
}

fn config() -> RetrainingConfig {
    RetrainingConfig { rollback_notes_min: 50, rollback_drop: 0.05, ..RetrainingConfig::default() }
}

/// `old` was replaced by `new`; each figure is a student, an annotator, notes and words.
fn watching(figures: &[(&str, &str, i64, i64)]) -> Watch {
    let promoted = [activation("old", "new", ActivationCause::Promotion)];
    let mut watch = Watch::new(Pair::of(&promoted).unwrap());
    for (name, reference, notes, tp) in figures {
        watch.take_in(&key(name, Task::Disease, reference), &counts(*notes, *tp));
    }
    watch
}

fn check(figures: &[(&str, &str, i64, i64)], expected: Option<(i64, i64)>) {
    let worse = watching(figures).worse(&config());
    assert_eq!(worse.map(|worse| (worse.before_notes, worse.now_notes)), expected, "{figures:?}");
}

#[test]
fn a_student_that_does_worse_over_enough_notes_is_told() {
    check(&[("old", "dr", 50, 900), ("new", "dr", 50, 700)], Some((50, 50)));
    check(&[("old", "dr", 49, 900), ("new", "dr", 50, 700)], None);
    check(&[("old", "dr", 50, 900), ("new", "dr", 49, 700)], None);
    check(&[("old", "dr", 50, 700), ("new", "dr", 50, 900)], None);
    // Apart beyond chance by less than the drop: F1 of 0.947 and 0.919.
    check(&[("old", "dr", 50, 900), ("new", "dr", 50, 850)], None);
    // Of others nothing follows.
    check(&[("old", "dr", 50, 900), ("new", "another", 50, 700)], None);
    check(&[("older", "dr", 50, 900), ("new", "dr", 50, 700)], None);
    check(&[("old", "dr", 50, 900)], None);
    let mut other_task = watching(&[("old", "dr", 50, 900)]);
    other_task.take_in(&key("new", Task::Symptom, "dr"), &counts(50, 700));
    assert_eq!(other_task.worse(&config()), None);
}

#[test]
fn a_large_fall_that_may_be_chance_is_not_told() {
    let few = |tp: i64| Counts { notes: 50, tp, fp: 10 - tp, fn_: 0 };
    let mut watch = watching(&[]);
    watch.take_in(&key("old", Task::Disease, "dr"), &few(8));
    watch.take_in(&key("new", Task::Disease, "dr"), &few(5));
    assert_eq!(watch.worse(&config()), None);
}

#[test]
fn a_drop_of_0_never_rolls_back() {
    let watch = watching(&[("old", "dr", 50, 900), ("new", "dr", 50, 100)]);
    assert!(watch.worse(&config()).is_some());
    assert_eq!(watch.worse(&RetrainingConfig { rollback_drop: 0.0, ..config() }), None);
}

#[test]
fn the_figure_of_the_one_before_is_that_over_the_most_notes() {
    // Read once more by the new one, its notes become fewer.
    check(&[("old", "dr", 80, 900), ("old", "dr", 10, 100), ("new", "dr", 60, 700)], Some((80, 60)));
    // References that come late add to it, and corrected ones replace what they said.
    check(&[("old", "dr", 50, 900), ("new", "dr", 60, 700), ("old", "dr", 80, 705)], None);
    check(&[("old", "dr", 50, 900), ("old", "dr", 50, 705), ("new", "dr", 60, 700)], None);
    // The new one's is what it is now.
    check(&[("old", "dr", 50, 900), ("new", "dr", 80, 700), ("new", "dr", 70, 900)], None);
    let mut gone = watching(&[("old", "dr", 50, 900), ("new", "dr", 50, 700)]);
    gone.forget(&key("old", Task::Disease, "dr"));
    assert!(gone.worse(&config()).is_some(), "what it was is kept");
    gone.forget(&key("new", Task::Disease, "dr"));
    assert_eq!(gone.worse(&config()), None, "what is no more says nothing");
}

#[test]
fn what_was_is_there_after_a_restart() {
    let watch = watching(&[("old", "dr", 80, 900), ("new", "dr", 60, 700)]);
    let mut again: Watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
    assert_eq!(again.worse(&config()), None, "of the one that serves the log is read again");
    // Compaction left the last figures alone.
    again.take_in(&key("old", Task::Disease, "dr"), &counts(10, 100));
    again.take_in(&key("new", Task::Disease, "dr"), &counts(60, 700));
    assert_eq!(again.worse(&config()), watch.worse(&config()));
}

#[test]
fn promotions_alone_are_watched_and_each_student_once() {
    use ActivationCause::{Forced, Promotion, Rollback};
    let pair = |history: &[(&str, &str, ActivationCause)]| {
        let history: Vec<Activation> =
            history.iter().map(|(previous, name, cause)| activation(previous, name, *cause)).collect();
        Pair::of(&history).map(|pair| (pair.before.0, pair.promoted.0))
    };
    let expected = |before: &str, promoted: &str| Some((before.to_owned(), promoted.to_owned()));
    assert_eq!(pair(&[]), None);
    assert_eq!(pair(&[("a", "b", Promotion)]), expected("a", "b"));
    assert_eq!(pair(&[("a", "b", Promotion), ("b", "c", Promotion)]), expected("b", "c"));
    assert_eq!(pair(&[("a", "b", Forced)]), None);
    assert_eq!(pair(&[("a", "b", Promotion), ("b", "a", Rollback)]), None);
    assert_eq!(pair(&[("a", "b", Promotion), ("b", "a", Rollback), ("a", "b", Promotion)]), None);
    let another = [("a", "b", Promotion), ("b", "a", Rollback), ("a", "c", Promotion)];
    assert_eq!(pair(&another), expected("a", "c"));
}
