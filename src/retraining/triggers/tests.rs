//! What starts runs, and what holds them back.

use super::*;
use stillroom_schemas::Measure;

fn config() -> RetrainingConfig {
    RetrainingConfig { labels_min: 100, interval_min_minutes: 60, every_hours: 24, ..RetrainingConfig::default() }
}

const HOUR: u64 = 3600;

fn check(history: &mut History, (now, new): (u64, u64), fallen: Option<&Fall>, expected: Option<Kind>) {
    let due = history.due(&config(), Seen { now, new, fallen, drifted: None });
    assert_eq!(due.as_ref().map(Cause::kind), expected, "{due:?} at {now} with {new} new after {history:?}");
}

fn fall() -> Fall {
    Fall { task: Task::Disease, reference: "dr".to_owned(), best: 0.9, now: 0.5 }
}

#[test]
fn enough_new_examples_start_a_run_and_the_interval_holds_it_back() {
    let mut history = History { ended_at: Some(0), ..History::default() };
    check(&mut history, (0, 99), None, None);
    check(&mut history, (0, 100), None, Some(Kind::Labels));
    history.ended(&Cause::Labels { new: 100 }, true, 10 * HOUR);
    check(&mut history, (11 * HOUR - 1, 1000), Some(&fall()), None);
    check(&mut history, (11 * HOUR, 100), None, Some(Kind::Labels));
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_back_for_longer_than_the_interval() {
    let mut history = History::default();
    history.ended(&Cause::Command, true, 100 * HOUR);
    check(&mut history, (9 * HOUR, 1000), None, None);
    check(&mut history, (10 * HOUR - 1, 1000), None, None);
    check(&mut history, (10 * HOUR, 100), None, Some(Kind::Labels));
    check(&mut history, (33 * HOUR, 1), None, Some(Kind::Hours));
}

#[test]
fn what_was_not_promoted_needs_twice_as_much_until_one_is() {
    let mut history = History::default();
    history.ended(&Cause::Labels { new: 100 }, false, 0);
    check(&mut history, (HOUR, 199), None, None);
    check(&mut history, (HOUR, 200), None, Some(Kind::Labels));
    check(&mut history, (HOUR, 1), Some(&fall()), Some(Kind::F1));
    history.ended(&Cause::Labels { new: 200 }, false, HOUR);
    history.ended(&Cause::F1(fall()), false, 2 * HOUR);
    check(&mut history, (3 * HOUR, 399), None, None);
    check(&mut history, (3 * HOUR, 199), Some(&fall()), None);
    check(&mut history, (3 * HOUR, 200), Some(&fall()), Some(Kind::F1));
    history.ended(&Cause::F1(fall()), true, 3 * HOUR);
    check(&mut history, (4 * HOUR, 100), None, Some(Kind::Labels));
    check(&mut history, (4 * HOUR, 1), Some(&fall()), Some(Kind::F1));
}

#[test]
fn a_run_without_a_verdict_needs_the_interval_and_no_more() {
    let mut history = History::default();
    history.failed(HOUR);
    check(&mut history, (2 * HOUR - 1, 100), None, None);
    check(&mut history, (2 * HOUR, 100), None, Some(Kind::Labels));
    // As does what is tried again.
    (0..9).for_each(|_| history.put_off(2 * HOUR));
    check(&mut history, (3 * HOUR, 100), None, Some(Kind::Labels));
}

#[test]
fn runs_that_fail_one_after_the_other_become_ever_more_seldom() {
    let mut history = History::default();
    let mut now = HOUR;
    for hours in [1, 2, 4, 8] {
        history.failed(now);
        check(&mut history, (now + hours * HOUR - 1, 1000), Some(&fall()), None);
        now += hours * HOUR;
        check(&mut history, (now, 1000), None, Some(Kind::Labels));
    }
    // It is remembered, and a verdict ends it.
    history = serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
    history.failed(now);
    check(&mut history, (now + 16 * HOUR - 1, 1000), None, None);
    history.ended(&Cause::Command, true, now);
    history.failed(now);
    check(&mut history, (now + HOUR, 1000), None, Some(Kind::Labels));

    let config = RetrainingConfig { interval_min_minutes: 0, ..config() };
    let mut history = History::default();
    history.failed(0);
    assert!(!history.is_within(&config, 0), "one without an interval is tried again at once");
    history.failed(0);
    assert!(history.is_within(&config, 119) && !history.is_within(&config, 120), "and not for ever");
    (0..100).for_each(|_| history.failed(0));
    assert!(!history.is_within(&config, 60u64 << DOUBLINGS_MAX));
}

#[test]
fn time_starts_a_run_where_there_is_anything_new() {
    let mut history = History { ended_at: Some(HOUR), ..History::default() };
    check(&mut history, (25 * HOUR - 1, 99), None, None);
    check(&mut history, (25 * HOUR, 1), None, Some(Kind::Hours));
    check(&mut history, (25 * HOUR, 0), Some(&fall()), None);
    history.ended(&Cause::Hours { hours: 24 }, false, 25 * HOUR);
    check(&mut history, (73 * HOUR - 1, 1), None, None);
    check(&mut history, (73 * HOUR, 1), None, Some(Kind::Hours));
}

fn drift() -> Drifted {
    let site = Some("north".to_owned());
    Drifted { measure: Measure::WordPieces, task: None, note_type: None, site, psi: 0.5 }
}

#[test]
fn drift_starts_a_run_and_after_one_that_was_not_promoted_waits_for_twice_as_much() {
    let (mut history, drift) = (History { ended_at: Some(0), ..History::default() }, drift());
    let check = |history: &mut History, (now, new): (u64, u64), expected: Option<Kind>| {
        let config = RetrainingConfig { labels_min: 100, every_hours: 0, ..config() };
        let due = history.due(&config, Seen { now, new, fallen: None, drifted: Some(&drift) });
        assert_eq!(due.as_ref().map(Cause::kind), expected, "{due:?} at {now} with {new} new after {history:?}");
    };
    check(&mut history, (0, 0), None);
    check(&mut history, (0, 1), Some(Kind::Drift));
    // The same for labels, so that they do not go before it.
    history.ended(&Cause::Labels { new: 100 }, false, 0);
    history.ended(&Cause::Labels { new: 100 }, false, 0);
    history.ended(&Cause::Drift(drift.clone()), false, 0);
    check(&mut history, (HOUR, 199), None);
    check(&mut history, (HOUR - 1, 200), None);
    check(&mut history, (HOUR, 200), Some(Kind::Drift));
    history.ended(&Cause::Drift(drift.clone()), true, HOUR);
    check(&mut history, (2 * HOUR, 1), Some(Kind::Drift));
}

#[test]
fn what_is_off_never_starts_a_run() {
    let off = RetrainingConfig { labels_min: 0, f1_drop: 0.0, drift_psi: 0.0, every_hours: 0, ..config() };
    let (fall, drift) = (fall(), drift());
    let seen = Seen { now: 1000 * HOUR, new: 1_000_000, fallen: Some(&fall), drifted: Some(&drift) };
    assert_eq!(History { ended_at: Some(0), ..History::default() }.due(&off, seen), None);
}

#[test]
fn deviations_hold_their_share_of_a_normal_distribution() {
    for confidence in [0.5, 0.8, 0.95, 0.99, 0.9999] {
        let z = deviations(confidence);
        // Simpson's rule over the density.
        let steps = 2000;
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let width = 2.0 * z / f64::from(steps);
        let weight = |step: i32| if step == 0 || step == steps { 1.0 } else { 2.0 + 2.0 * f64::from(step % 2) };
        let sum: f64 = (0..=steps).map(|step| weight(step) * density(-z + width * f64::from(step))).sum();
        assert!((sum * width / 3.0 - confidence).abs() < 5e-4, "{confidence}: {z}");
    }
}

#[test]
fn a_fall_is_told_when_it_is_large_and_no_chance() {
    let interval = |tp, fp| f1_interval(&Counts { notes: 1, tp, fp, fn_: fp }, deviations(0.95)).unwrap();
    let key = (Task::Disease, "dr");
    let mut best = Best::default();
    assert_eq!(best.take_in(key, interval(3, 0), 0.05), None, "nothing was better");
    assert_eq!(best.take_in(key, interval(900, 50), 0.05), None, "three words tell little");
    assert_eq!(best.take_in(key, interval(880, 60), 0.05), None, "a small fall");
    assert_eq!(best.take_in(key, interval(4, 1), 0.05), None, "of few words");
    let told = best.take_in(key, interval(700, 300), 0.05).unwrap();
    assert_eq!((told.best, told.now), (interval(900, 50).value, interval(700, 300).value));
    assert_eq!(best.take_in((Task::Symptom, "dr"), interval(700, 300), 0.05), None, "another task");
}

#[test]
fn the_ends_of_an_interval_are_where_the_score_test_is_undecided() {
    let numbers = [0, 1, 2, 7, 40, 500];
    let all =
        numbers.into_iter().flat_map(|tp| numbers.into_iter().flat_map(move |fp| numbers.map(|fn_| (tp, fp, fn_))));
    for (tp, fp, fn_) in all.filter(|(tp, fp, fn_)| tp + fp + fn_ > 0) {
        let (counts, z) = (Counts { notes: 1, tp, fp, fn_ }, 1.96);
        let Interval { value, low, high } = f1_interval(&counts, z).unwrap();
        let is_inside = low <= value + 1e-12 && value <= high + 1e-12;
        assert!((value - counts.f1()).abs() < 1e-12 && is_inside, "{counts:?}: {low} {value} {high}");
        let n = (tp + fp + fn_) as f64;
        for end in [low, high].map(|f1| f1 / (2.0 - f1)) {
            let score = (tp as f64 / n - end).powi(2) - z * z * end * (1.0 - end) / n;
            assert!(score.abs() < 1e-9, "{counts:?}: {score} at {end}");
        }
    }
    assert_eq!(f1_interval(&Counts::default(), 1.96), None);
}

#[test]
fn after_a_rollback_every_cause_waits_for_twice_as_much() {
    let mut history = History { ended_at: Some(0), ..History::default() };
    history.ended(&Cause::Labels { new: 100 }, true, 0);
    history.rolled_back(10 * HOUR);
    check(&mut history, (11 * HOUR - 1, 1000), Some(&fall()), None);
    check(&mut history, (11 * HOUR, 199), Some(&fall()), None);
    check(&mut history, (11 * HOUR, 200), None, Some(Kind::Labels));
    let (config, drifted) = (RetrainingConfig { labels_min: 0, ..config() }, drift());
    let drifts = |history: &mut History, (now, new): (u64, u64)| {
        history.due(&config, Seen { now, new, fallen: None, drifted: Some(&drifted) }).map(|cause| cause.kind())
    };
    assert_eq!(drifts(&mut history, (11 * HOUR, 1)), None);
    assert_eq!(drifts(&mut history, (11 * HOUR, 2)), Some(Kind::Drift));
    check(&mut history, (58 * HOUR - 1, 1), None, None);
    check(&mut history, (58 * HOUR, 1), None, Some(Kind::Hours));
}

#[test]
fn promotions_and_rollbacks_in_turn_become_ever_more_seldom_also_over_restarts() {
    let mut history = History { ended_at: Some(0), ..History::default() };
    let restarted =
        |history: &History| -> History { serde_json::from_str(&serde_json::to_string(history).unwrap()).unwrap() };
    let mut now = 0;
    for needed in [200, 400, 800] {
        history.ended(&Cause::Labels { new: 100 }, true, now);
        history = restarted(&history);
        history.rolled_back(now);
        history = restarted(&history);
        now += HOUR;
        check(&mut history, (now, needed - 1), None, None);
        check(&mut history, (now, needed), None, Some(Kind::Labels));
    }
    // One that stays until the next is promoted ends it.
    history.ended(&Cause::Labels { new: 800 }, true, now);
    check(&mut history, (now + HOUR, 100), None, Some(Kind::Labels));
    history.ended(&Cause::Labels { new: 100 }, true, now + HOUR);
    history.rolled_back(now + HOUR);
    check(&mut history, (now + 2 * HOUR, 199), None, None);
    check(&mut history, (now + 2 * HOUR, 200), None, Some(Kind::Labels));

    let earlier = r#"{"ended_at":1,"has_run":true,"unpromoted":{}}"#;
    assert!(serde_json::from_str::<History>(earlier).is_ok(), "what an earlier version remembers is read");
}

#[test]
fn rollbacks_that_were_not_remembered_are_counted_once() {
    let start = || History { ended_at: Some(0), ..History::default() };
    let mut history = start();
    assert!(history.saw_rollbacks(2, 0) && !history.saw_rollbacks(2, HOUR), "those that were there do not count");
    check(&mut history, (HOUR, 100), None, Some(Kind::Labels));
    // Remembered at once, and seen on the topic afterwards.
    history.rolled_back(HOUR);
    assert!(!history.saw_rollbacks(3, 2 * HOUR));
    let mut missed = start();
    missed.saw_rollbacks(2, 0);
    assert!(missed.saw_rollbacks(3, HOUR));
    assert_eq!(missed, history);
    check(&mut missed, (2 * HOUR, 199), None, None);
    check(&mut missed, (2 * HOUR, 200), None, Some(Kind::Labels));
    // The topic was made anew.
    assert!(missed.saw_rollbacks(0, 2 * HOUR) && missed.saw_rollbacks(1, 2 * HOUR));
    check(&mut missed, (3 * HOUR, 799), None, None);
    check(&mut missed, (3 * HOUR, 800), None, Some(Kind::Labels));
}
