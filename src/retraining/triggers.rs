//! When a run starts: by new examples, by F1 that falls, by notes that drift, by time, or because somebody says so.
//! Pure: what is seen goes in, and why a run is to start comes out.

use crate::retraining::RetrainingConfig;
use crate::retraining::drift::Drifted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use stillroom_schemas::{Counts, Task};

/// Unpromoted runs in a row after which no more new examples or hours are asked for than before: a thousand times as
/// many.
const DOUBLINGS_MAX: u32 = 10;

/// Why a run starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(crate) enum Cause {
    /// There is enough to learn that was not there before.
    Labels {
        /// Examples that are new since the last run.
        new: u64,
    },
    /// The serving student does worse than it did.
    F1(Fall),
    /// Notes are no more those that the serving student took over with.
    Drift(Drifted),
    /// Enough time has passed.
    Hours {
        /// So much, since the last run.
        hours: u64,
    },
    /// Somebody said so.
    Command,
}

/// F1 in words that has fallen below its best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fall {
    /// Of which task.
    pub(crate) task: Task,
    /// Against whose references.
    pub(crate) reference: String,
    /// What it was at its best.
    pub(crate) best: f64,
    /// What it is.
    pub(crate) now: f64,
}

/// A cause without its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Enough new examples.
    Labels,
    /// F1 that fell.
    F1,
    /// Notes that drifted.
    Drift,
    /// Enough time.
    Hours,
    /// A command.
    Command,
}

impl Cause {
    /// Which of the causes it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Cause::Labels { .. } => Kind::Labels,
            Cause::F1(_) => Kind::F1,
            Cause::Drift(_) => Kind::Drift,
            Cause::Hours { .. } => Kind::Hours,
            Cause::Command => Kind::Command,
        }
    }
}

impl Display for Cause {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Labels { new } => write!(formatter, "{new} examples are new"),
            // The name of an annotator comes from a topic that others write.
            Cause::F1(Fall { task, reference, best, now }) => {
                let (task, reference) = (task.name(), crate::highlight::plain(reference));
                write!(formatter, "F1 of {task} against {reference} was {best:.3} and is {now:.3}")
            }
            Cause::Drift(drifted) => Display::fmt(drifted, formatter),
            Cause::Hours { hours } => write!(formatter, "the last run was {hours} hours ago"),
            Cause::Command => write!(formatter, "it was asked for"),
        }
    }
}

/// What the triggers look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// Examples that are new since the last run.
    pub(crate) new: u64,
    /// A figure that has fallen.
    pub(crate) fallen: Option<&'a Fall>,
    /// A measure that has drifted.
    pub(crate) drifted: Option<&'a Drifted>,
}

/// What is remembered of runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    /// When the last run ended, or this was first looked at: in seconds since 1970.
    pub(crate) ended_at: Option<u64>,
    /// Whether there was a run.
    has_run: bool,
    /// Runs by a cause since the last one by it that was promoted.
    unpromoted: BTreeMap<Kind, u32>,
}

impl History {
    /// Why a run is to start now; the first of several reasons, and nothing within the interval after the last run.
    /// Nothing does without a new example. After runs that were not promoted the same cause needs `labels_min` new
    /// examples, or as many hours as before, doubled each time: what was tried would be tried again.
    pub(crate) fn due(&mut self, config: &RetrainingConfig, seen: Seen<'_>) -> Option<Cause> {
        if self.is_within(config, seen.now) || seen.new == 0 {
            return None;
        }
        let since = self.since(seen.now);
        let doublings = |kind: Kind| self.unpromoted.get(&kind).copied().unwrap_or(0);
        let needed = |kind: Kind| config.labels_min.max(1) << doublings(kind).min(DOUBLINGS_MAX);
        let by_labels =
            (config.labels_min > 0 && seen.new >= needed(Kind::Labels)).then_some(Cause::Labels { new: seen.new });
        let may = |kind: Kind| doublings(kind) == 0 || seen.new >= needed(kind);
        let by_f1 = seen.fallen.filter(|_| config.f1_drop > 0.0 && may(Kind::F1)).cloned().map(Cause::F1);
        let is_drift = config.drift_psi > 0.0 && may(Kind::Drift);
        let by_drift = seen.drifted.filter(|_| is_drift).cloned().map(Cause::Drift);
        let every_hours = config.every_hours << doublings(Kind::Hours).min(DOUBLINGS_MAX);
        let hours = since.map(|since| since / 3600).filter(|hours| every_hours > 0 && *hours >= every_hours);
        by_labels.or(by_f1).or(by_drift).or(hours.map(|hours| Cause::Hours { hours }))
    }

    /// Whether so little time has passed since the last run that none is to start.
    pub(crate) fn is_within(&mut self, config: &RetrainingConfig, now: u64) -> bool {
        let since = self.since(now);
        self.has_run && since.is_some_and(|since| since < 60 * config.interval_min_minutes)
    }

    /// Seconds since the last run ended. What is to come by a clock that was set back counts as now, or all would wait
    /// until the clock is there again.
    fn since(&mut self, now: u64) -> Option<u64> {
        self.ended_at = self.ended_at.map(|ended_at| ended_at.min(now));
        self.ended_at.map(|ended_at| now - ended_at)
    }

    /// A run came to no verdict: the interval passes before the next one, and that is all.
    pub(crate) fn failed(&mut self, now: u64) {
        (self.ended_at, self.has_run) = (Some(now), true);
    }

    /// A run came to a verdict.
    pub(crate) fn ended(&mut self, cause: &Cause, is_promoted: bool, now: u64) {
        (self.ended_at, self.has_run) = (Some(now), true);
        if is_promoted {
            self.unpromoted.clear();
        } else {
            *self.unpromoted.entry(cause.kind()).or_default() += 1;
        }
    }
}

/// F1 in words with the interval that holds it with some confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interval {
    /// The figure.
    pub(crate) value: f64,
    /// The lower end.
    pub(crate) low: f64,
    /// The upper end.
    pub(crate) high: f64,
}

/// F1 of counts, within `z` standard deviations; nothing where nothing was counted.
///
/// Of the `n = tp + fp + fn` words that either side marked, both marked the share `J = tp / n`, Jaccard's index, which
/// is a binomial proportion, and `F1 = 2 J / (1 + J)` grows with it. So the ends of J's interval become those of F1's;
/// J's is the score interval of Wilson (1927), Journal of the American Statistical Association 22, 209 to 212. Words of
/// one note are not independent, and the interval is somewhat too narrow: it tells when to train, and the gate with its
/// bootstrap over documents who serves.
pub(crate) fn f1_interval(counts: &Counts, z: f64) -> Option<Interval> {
    let n = (counts.tp + counts.fp + counts.fn_) as f64;
    if n <= 0.0 {
        return None;
    }
    let share = counts.tp as f64 / n;
    let f1 = |share: f64| 2.0 * share / (1.0 + share);
    let scale = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let [low, high] = [centre - half, centre + half].map(|end| f1(end.clamp(0.0, 1.0)));
    Some(Interval { value: f1(share), low, high })
}

/// Standard deviations of a normal distribution on either side of its mean that hold this share of it, from 0 to below
/// 1, to within 0.0005: formula 26.2.23 of Abramowitz and Stegun, Handbook of Mathematical Functions.
pub(crate) fn deviations(confidence: f64) -> f64 {
    let tail = (1.0 - confidence) / 2.0;
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// The best figures of the serving student, by task and annotator: of each the one with the greatest lower end, as a
/// figure of few notes may be high by chance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best(BTreeMap<Task, BTreeMap<String, Interval>>);

impl Best {
    /// Takes in a figure; says so when it has fallen below the best one by `drop` at least, and their intervals lie
    /// apart.
    pub(crate) fn take_in(&mut self, (task, reference): (Task, &str), now: Interval, drop: f64) -> Option<Fall> {
        let best = self.0.entry(task).or_default().entry(reference.to_owned()).or_insert(now);
        if now.low > best.low {
            *best = now;
        }
        let has_fallen = best.value - now.value >= drop && now.high < best.low;
        let fall = || Fall { task, reference: reference.to_owned(), best: best.value, now: now.value };
        has_fallen.then(fall)
    }
}

#[cfg(test)]
mod tests {
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
}
