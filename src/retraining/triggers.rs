//! When a run starts: by new examples, by F1 that falls, by notes that drift, by time, or because somebody says so.
//! Pure: what is seen goes in, and why a run is to start comes out.

use crate::retraining::RetrainingConfig;
use crate::retraining::drift::Drifted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use stillroom_schemas::{Counts, Task};

/// Unpromoted or failed runs in a row after which no more new examples, hours or minutes are asked for than before: a
/// thousand times as many.
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
    /// Students that were rolled back, one after the other: ended by one that a run promotes and that serves until the
    /// next run's takes over. One that is promoted by hand ends nothing.
    #[serde(default)]
    rollbacks: u32,
    /// Whether the student that was promoted last was rolled back.
    #[serde(default)]
    is_rolled_back: bool,
    /// Rollbacks on the topic of models that are counted, or were there before this was first looked at.
    #[serde(default)]
    rollbacks_seen: Option<usize>,
    /// Runs in a row that were given up without a verdict.
    #[serde(default)]
    failures: u32,
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

    /// Whether so little time has passed since the last run that none is to start. What failed fails again where nothing
    /// is done about it, as where memory is too little: with each further failure in a row twice as much is to pass, of a
    /// minute at least.
    pub(crate) fn is_within(&mut self, config: &RetrainingConfig, now: u64) -> bool {
        let minutes = match self.failures {
            0 | 1 => config.interval_min_minutes,
            failures => config.interval_min_minutes.max(1) << (failures - 1).min(DOUBLINGS_MAX),
        };
        let since = self.since(now);
        self.has_run && since.is_some_and(|since| since < 60 * minutes)
    }

    /// Seconds since the last run ended. What is to come by a clock that was set back counts as now, or all would wait
    /// until the clock is there again.
    fn since(&mut self, now: u64) -> Option<u64> {
        self.ended_at = self.ended_at.map(|ended_at| ended_at.min(now));
        self.ended_at.map(|ended_at| now - ended_at)
    }

    /// A run came to no verdict, and is tried again after the interval.
    pub(crate) fn put_off(&mut self, now: u64) {
        (self.ended_at, self.has_run) = (Some(now), true);
    }

    /// A run came to no verdict, and is given up, or could not begin.
    pub(crate) fn failed(&mut self, now: u64) {
        self.put_off(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// A run came to a verdict.
    pub(crate) fn ended(&mut self, cause: &Cause, is_promoted: bool, now: u64) {
        (self.ended_at, self.has_run, self.failures) = (Some(now), true, 0);
        if is_promoted {
            self.unpromoted.clear();
            if !std::mem::take(&mut self.is_rolled_back) {
                self.rollbacks = 0;
            }
        } else {
            *self.unpromoted.entry(cause.kind()).or_default() += 1;
        }
    }

    /// A student that was promoted was rolled back: what made it would make it again, so every cause waits as after a
    /// run that was not promoted, and after the next one that is rolled back as after two. Where the gate and live figures
    /// disagree for good, students change ever more seldom.
    pub(crate) fn rolled_back(&mut self, now: u64) {
        (self.ended_at, self.has_run, self.is_rolled_back) = (Some(now), true, true);
        self.rollbacks = self.rollbacks.saturating_add(1);
        self.rollbacks_seen = self.rollbacks_seen.map(|seen| seen + 1);
        for kind in [Kind::Labels, Kind::F1, Kind::Drift, Kind::Hours] {
            let unpromoted = self.unpromoted.entry(kind).or_default();
            *unpromoted = unpromoted.saturating_add(self.rollbacks);
        }
    }

    /// So many rollbacks are on the topic of models: those that are not counted yet count now. A kill may have come
    /// between a rollback and what is remembered of it, or somebody may have rolled back by hand. Whether that changes
    /// anything.
    pub(crate) fn saw_rollbacks(&mut self, count: usize, now: u64) -> bool {
        let seen = self.rollbacks_seen;
        for _ in seen.unwrap_or(count)..count {
            self.rolled_back(now);
        }
        self.rollbacks_seen = Some(count);
        seen != Some(count)
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
mod tests;
