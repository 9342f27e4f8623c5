//! The student that was promoted last beside the one that it replaced: what live figures say of both, and the way back.
//!
//! In: activations, and figures in words of both students against references. Out: by what the one that serves does
//! worse, if it does. Kept: of the one that serves its figures as they stand, and of the one before, of each figure
//! that over the most notes. References that come late add to it; notes that are withdrawn, amended, or read once more
//! by the new student take nothing from it.

use crate::config::Config;
use crate::gate::DOCUMENTS_MIN;
use crate::log::is_outage;
use crate::promotion::Switch;
use crate::retraining::RetrainingConfig;
use crate::retraining::book::Book;
use crate::retraining::documents::NotesTopic;
use crate::retraining::live::LiveF1;
use crate::retraining::same_notes;
use crate::retraining::snapshot::ChosenNote;
use crate::retraining::triggers::{deviations, f1_interval};
use crate::wire::Wire;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use stillroom_connectors::{GoldDocument, Log};
use stillroom_schemas::{Activation, ActivationCause, Counts, ModelId, QualityKey, Task};

/// Counts in words by task and annotator.
type Figures = BTreeMap<Task, BTreeMap<String, Counts>>;

/// A student that was promoted and serves, and the one that it replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    promoted: ModelId,
    before: ModelId,
}

impl Pair {
    /// Of the last activation, if it is a promotion. One that was rolled back and serves again is left to whoever let
    /// it serve: figures of its first time are still published, and would undo that at once.
    pub(crate) fn of(activations: &[Activation]) -> Option<Pair> {
        let Activation { model, previous, cause, .. } = activations.last()?;
        let is_of_it = |other: &Activation| other.cause == ActivationCause::Rollback && other.previous == *model;
        let is_watched = *cause == ActivationCause::Promotion && !activations.iter().any(is_of_it);
        is_watched.then(|| Pair { promoted: model.clone(), before: previous.clone() })
    }
}

/// What is known of a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watch {
    pair: Pair,
    /// Of the one before, each over the most notes.
    before: Figures,
    /// Of the one that was promoted: read from the log again by each process.
    #[serde(skip)]
    now: Figures,
    /// When a rollback was tried last, and came to nothing.
    #[serde(skip)]
    tried_at: Option<Instant>,
    /// The notes that are held out, by their hash, on which the one before does worse, so that live figures decide
    /// nothing: found out once, and kept until others are held out or others said of them, or another student is
    /// activated.
    #[serde(default)]
    pub(super) stays_by: Option<String>,
}

impl Watch {
    /// Knows no figure yet.
    pub(crate) fn new(pair: Pair) -> Watch {
        Watch { pair, before: Figures::new(), now: Figures::new(), tried_at: None, stays_by: None }
    }

    /// Takes in a figure in words against a reference, of whichever student.
    pub(crate) fn take_in(&mut self, key: &QualityKey, counts: &Counts) {
        let figure = |figures: &mut Figures| {
            *figures.entry(key.task).or_default().entry(key.reference.clone()).or_default() = *counts;
        };
        if key.model == self.pair.promoted {
            figure(&mut self.now);
        } else if key.model == self.pair.before {
            let known = self.before.get(&key.task).and_then(|of_task| of_task.get(&key.reference));
            if known.is_none_or(|known| known.notes <= counts.notes) {
                figure(&mut self.before);
            }
        }
    }

    /// Such notes of a student are no more.
    pub(crate) fn forget(&mut self, key: &QualityKey) {
        if key.model == self.pair.promoted
            && let Some(of_task) = self.now.get_mut(&key.task)
        {
            of_task.remove(&key.reference);
        }
    }

    /// The first figure by which the student that serves does worse than the one before, beyond chance.
    pub(crate) fn worse(&self, config: &RetrainingConfig) -> Option<Worse> {
        let (z, notes_min) = (deviations(config.confidence), config.rollback_notes_min);
        let interval = |counts: &Counts| {
            f1_interval(counts, z).filter(|_| u64::try_from(counts.notes).is_ok_and(|notes| notes >= notes_min))
        };
        let figures = |(task, of_task): (&Task, &BTreeMap<String, Counts>)| {
            let task = *task;
            of_task.iter().map(move |(reference, counts)| (task, reference.clone(), *counts)).collect::<Vec<_>>()
        };
        let told = |(task, reference, now_counts): (Task, String, Counts)| {
            let before_counts = self.before.get(&task)?.get(&reference)?;
            let (before, now) = (interval(before_counts)?, interval(&now_counts)?);
            let is_worse = before.value - now.value >= config.rollback_drop && now.high < before.low;
            (config.rollback_drop > 0.0 && is_worse).then(|| Worse {
                pair: self.pair.clone(),
                task,
                reference,
                before: before.value,
                before_notes: before_counts.notes,
                now: now.value,
                now_notes: now_counts.notes,
            })
        };
        self.now.iter().flat_map(figures).find_map(told)
    }

    /// Whether a rollback came to nothing so lately that none is to be tried.
    fn is_within(&self, config: &RetrainingConfig) -> bool {
        let interval = Duration::from_secs(60 * config.interval_min_minutes);
        self.tried_at.is_some_and(|tried_at| tried_at.elapsed() < interval)
    }

    /// A rollback came to nothing.
    fn tried(&mut self) {
        self.tried_at = Some(Instant::now());
    }
}

/// By what a student does worse than the one that it replaced.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Worse {
    #[serde(skip)]
    pair: Pair,
    /// Of which task.
    task: Task,
    /// Against whose references.
    reference: String,
    /// F1 in words of the one before.
    before: f64,
    /// Over so many notes.
    before_notes: i64,
    /// F1 in words of the one that was promoted.
    now: f64,
    /// Over so many notes.
    now_notes: i64,
}

impl Display for Worse {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Worse { pair, task, reference, before, before_notes, now, now_notes } = self;
        // The name of an annotator comes from a topic that others write.
        let (task, reference) = (task.name(), crate::highlight::plain(reference));
        let (promoted, replaced) = (&pair.promoted.0, &pair.before.0);
        write!(
            formatter,
            "F1 of {task} against {reference} is {now:.3} by {promoted}, over {now_notes} notes, and was {before:.3} \
             by {replaced}, over {before_notes}"
        )
    }
}

/// A student that serves no more, and why.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RolledBack {
    /// Who served.
    pub(crate) rolled_back: ModelId,
    /// Who serves again.
    pub(crate) serving: ModelId,
    /// When this was decided, UTC, as in RFC 3339.
    activated_at: String,
    /// Why.
    #[serde(flatten)]
    worse: Worse,
}

/// Reads on what is published of the student that serves, and goes back to the one before if it does worse. A rollback
/// that fails is said, and tried again after the interval between runs, unless it does as the log is away: what serves is
/// worse, and the next look may have the log again.
///
/// # Errors
/// When the log or what is remembered cannot be read, or what is remembered not be written.
pub(crate) fn look(
    config: &Config,
    (log, wire): (&dyn Log, &Wire),
    live: &mut LiveF1,
    held_out: (&Book, &AtomicBool),
) -> Result<Option<RolledBack>> {
    let retraining = &config.retraining;
    if retraining.f1_drop <= 0.0 && retraining.rollback_drop <= 0.0 {
        return Ok(None);
    }
    live.look(config, (log, wire))?;
    let Some(watch) = live.watch().filter(|watch| !watch.is_within(retraining)) else { return Ok(None) };
    let Some(worse) = watch.worse(retraining) else { return Ok(None) };
    let (book, stop) = held_out;
    let held_out = same_notes::held_out(book, retraining);
    let hash = same_notes::hash(&held_out)?;
    if watch.stays_by.as_ref() == Some(&hash) {
        // What is held out is chosen once in an interval, not at each look.
        watch.tried();
        return Ok(None);
    }
    eprintln!("{worse}");
    let topic = NotesTopic { log, wire, name: &config.engine.topics.notes };
    match roll_back(config, topic, (&held_out, stop), worse) {
        Ok(Decided::RolledBack(rolled_back)) => {
            // What has fallen is of a student that serves no more.
            *live = LiveF1::default();
            Ok(Some(rolled_back))
        }
        Ok(Decided::Stays) => {
            watch.stays_by = Some(hash);
            watch.tried();
            live.keep(config)?;
            Ok(None)
        }
        Ok(Decided::Stopped) => Ok(None),
        Err(error) if is_outage(&error) => Err(error),
        Err(error) => {
            eprintln!("the rollback fails, and is tried again after [retraining] interval_min_minutes: {error:#}");
            watch.tried();
            Ok(None)
        }
    }
}

/// What comes of a student that does worse on live notes.
enum Decided {
    /// The one before serves again.
    RolledBack(RolledBack),
    /// The one before does worse on the notes that are held out.
    Stays,
    /// It was stopped first.
    Stopped,
}

/// Lets the student serve again that served before, if its files and golden notes are right. Live figures of both are of
/// different notes, so it does not where it is worse on those that are held out now; where these are too few to tell,
/// live figures decide.
///
/// # Errors
/// When it must not serve, another student was activated since, or the log cannot be read or written.
fn roll_back(
    config: &Config,
    topic: NotesTopic<'_>,
    (held_out, stop): (&[ChosenNote], &AtomicBool),
    worse: Worse,
) -> Result<Decided> {
    // What reads notes has no more of the processor than what trains.
    let mut verifying = config.clone();
    verifying.student.threads = config.retraining.threads();
    let switch = Switch::open(verifying)?;
    ensure!(
        Pair::of(&switch.activations).as_ref() == Some(&worse.pair),
        "another student was activated since; its own figures decide"
    );
    let text_bytes_max = config.retraining.text_bytes_max;
    let documents = same_notes::documents(held_out, text_bytes_max, topic, stop)?;
    let Some(documents) = documents else { return Ok(Decided::Stopped) };
    let on_same = worse_on(&switch, &worse.pair.before, &documents)?;
    if !on_same.is_empty() {
        let tasks = on_same.iter().map(|task| task.name()).collect::<Vec<&str>>().join(" and ");
        let Pair { promoted, before } = &worse.pair;
        eprintln!("{} does worse on {tasks} of the same held-out notes, so {} stays", before.0, promoted.0);
        return Ok(Decided::Stays);
    }
    eprintln!("rolling back to {}", worse.pair.before.0);
    let Activation { model, previous, activated_at, .. } = switch.roll_back(&worse.pair.before)?;
    Ok(Decided::RolledBack(RolledBack { rolled_back: previous, serving: model, activated_at, worse }))
}

/// The tasks on which a student is worse than the one that serves, of those that there are enough documents of.
///
/// # Errors
/// When it must not serve, or a document cannot be read.
fn worse_on(switch: &Switch, before: &ModelId, documents: &[GoldDocument]) -> Result<Vec<Task>> {
    let count = |task: Task| documents.iter().filter(|document| document.tasks.contains(&task)).count();
    // What cannot be loaded is what one wants to be rid of.
    if Task::ALL.into_iter().all(|task| count(task) < DOCUMENTS_MIN) || switch.load_serving().is_err() {
        return Ok(Vec::new());
    }
    Ok(switch.measure(&switch.verify(before)?.folder, documents)?.worse())
}

#[cfg(test)]
mod tests;
