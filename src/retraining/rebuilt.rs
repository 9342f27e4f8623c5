//! What a student was made of, chosen again from the log up to the offsets that its entry names.

use crate::config::Config;
use crate::retraining::book::Book;
use crate::retraining::follower::Follower;
use crate::retraining::snapshot::Choice;
use crate::wire::Wire;
use anyhow::{Result, bail};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use stillroom_connectors::Log;
use stillroom_dataflow::Record;
use stillroom_models::{Entry, Registry, TaskExamples};
use stillroom_schemas::{ModelId, Task};

/// What is chosen again for a student.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rebuilt {
    /// The student.
    model: ModelId,
    /// What it was made of, by its hash.
    snapshot: String,
    /// What is chosen now; absent where nothing can be.
    rebuilt: Option<String>,
    /// Whether both are the same.
    pub(crate) is_same: bool,
    /// Offsets before the ends of what was read where no record stands any more, by topic: those that have expired or
    /// were compacted away, and on Kafka those that never held one.
    missing: BTreeMap<String, u64>,
    /// What there was of each task and what there is, where that differs.
    pub(crate) differences: Vec<String>,
}

/// Chooses again what a student was made of; nothing when `stop` is set meanwhile. No text is read, and nothing is
/// written.
///
/// # Errors
/// When the registry does not have the student or not what it was chosen by, or the log cannot be read.
pub(crate) fn rebuild(config: &Config, log: &dyn Log, stop: &AtomicBool, student: &str) -> Result<Option<Rebuilt>> {
    let Entry { model, training, .. } = Registry::open(&config.models)?.find(student)?;
    let training = training.unwrap_or_default();
    let (Some(snapshot), Some(chosen_by)) = (training.snapshot, training.chosen_by) else {
        bail!("the registry does not say by what was chosen what {} learned from; name a retrained student", model.0)
    };
    let mut config = config.clone();
    let settings = &mut config.retraining;
    (settings.held_out, settings.dev, settings.recipe.soft) = (chosen_by.held_out, chosen_by.dev, chosen_by.soft);
    settings.notes_max = usize::try_from(chosen_by.notes_max)?;
    let wire = Wire::open(&config)?;
    let (mut follower, mut book) = (Follower::new(&config, &wire)?, Book::default());
    let all: BTreeMap<String, u64> =
        chosen_by.offsets.iter().map(|(topic, ends)| (topic.clone(), ends.iter().sum::<u64>())).collect();
    let missing = RefCell::new(all);
    let is_taken = |record: &Record| {
        let ends = chosen_by.offsets.get(&*record.topic);
        let end = ends.and_then(|ends| ends.get(record.position.partition as usize));
        let is_before = end.is_some_and(|end| record.position.offset < *end);
        if is_before && let Some(missing) = missing.borrow_mut().get_mut(&*record.topic) {
            *missing = missing.saturating_sub(1);
        }
        is_before
    };
    if !follower.look_until((log, &wire), &mut book, (stop, &is_taken))? {
        return Ok(None);
    }
    let (rebuilt, differences) = match Choice::of(&book, &config.retraining) {
        Ok(choice) => {
            let now = choice.snapshot(&follower.origin()).training.tasks;
            let differences = differences(&training.tasks, &now);
            (Some(choice.hash), differences)
        }
        Err(error) => (None, vec![error.to_string()]),
    };
    let is_same = rebuilt.as_ref() == Some(&snapshot);
    let missing = missing.into_inner().into_iter().filter(|(_, missing)| *missing > 0).collect();
    let differences = if is_same { Vec::new() } else { differences };
    Ok(Some(Rebuilt { model, snapshot, rebuilt, is_same, missing, differences }))
}

/// For people: the tasks that other examples are chosen of than were.
fn differences(before: &BTreeMap<Task, TaskExamples>, now: &BTreeMap<Task, TaskExamples>) -> Vec<String> {
    let of = |examples: Option<&TaskExamples>| {
        let TaskExamples { human, teachers, ensemble, mentions, held_out } = examples.cloned().unwrap_or_default();
        let by = ensemble.map_or("teachers".to_owned(), |ensemble| crate::highlight::plain(&ensemble));
        format!("{human} by people, {teachers} by {by}, {mentions} mentions in them, {held_out} held out")
    };
    let differs = |task: &Task| before.get(task) != now.get(task);
    let tasks = Task::ALL.into_iter().filter(differs);
    tasks
        .map(|task| format!("{}: {} were chosen; now {}", task.name(), of(before.get(&task)), of(now.get(&task))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tasks_that_differ_are_told() {
        let of = |human: u64| TaskExamples { human, ..TaskExamples::default() };
        let before = [(Task::Disease, of(7)), (Task::Symptom, of(2))].into();
        assert_eq!(differences(&before, &before), Vec::<String>::new());
        let told = differences(&before, &[(Task::Disease, of(5)), (Task::Symptom, of(2))].into());
        assert!(
            told.len() == 1 && told[0].starts_with("disease: 7 by people") && told[0].contains("now 5 by"),
            "{told:?}"
        );
    }
}
