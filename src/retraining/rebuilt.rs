//! What a student was made of, chosen again from the log up to the offsets that its entry names, and written again.

use crate::config::Config;
use crate::retraining::book::Book;
use crate::retraining::documents::{self, NotesTopic};
use crate::retraining::follower::Follower;
use crate::retraining::origin::Origin;
use crate::retraining::run_folder::{RunFolder, TRAIN, make_folder};
use crate::retraining::snapshot::Choice;
use crate::wire::Wire;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use stillroom_connectors::Log;
use stillroom_dataflow::Record;
use stillroom_models::{ChosenBy, Entry, Registry, TaskExamples};
use stillroom_schemas::{ModelId, Task};
use stillroom_student::sha256;

/// What is chosen again for a student.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rebuilt {
    /// The student.
    model: ModelId,
    /// What it was made of, by its hash.
    snapshot: String,
    /// What is chosen now; absent where nothing can be.
    rebuilt: Option<String>,
    /// SHA-256 of the documents to learn from, if they were written: not where something else is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    train: Option<String>,
    /// Whether the same is chosen and, if they were written, the documents are those that the student learned from.
    is_same: bool,
    /// Offsets before the ends of what was read where no record stands any more, by topic: those that have expired or
    /// were compacted away, and on Kafka those that never held one.
    missing: BTreeMap<String, u64>,
    /// What there was of each task and what there is, where that differs, or what the documents are.
    pub(crate) differences: Vec<String>,
}

impl Rebuilt {
    /// Why it is not the same; nothing where it is.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match (self.is_same, &self.train) {
            (true, _) => None,
            (false, Some(_)) => Some(
                "the same is chosen, but the documents that were written are not those that the student learned from: a \
                 version of stillroom wrote them that does it otherwise, or notes were gone when they were written",
            ),
            (false, None) => Some(
                "something else is chosen now than that student was made of: records have expired or were compacted away, \
                 or teachers are merged by other ensembles",
            ),
        }
    }
}

/// Chooses again what a student was made of; nothing when `stop` is set meanwhile. Where the same is chosen and a folder
/// is named, the documents are written there; else no text is read, and nothing is written.
///
/// # Errors
/// When the registry does not have the student or not what it was chosen by, the log cannot be read, or the folder is
/// there already or cannot be written.
pub(crate) fn rebuild(
    config: &Config,
    log: &dyn Log,
    (student, out): (&str, Option<&Path>),
    stop: &AtomicBool,
) -> Result<Option<Rebuilt>> {
    if let Some(out) = out {
        ensure!(!out.exists(), "{} is there already; name a folder that is not", out.display());
    }
    let Entry { model, training, .. } = Registry::open(&config.models)?.find(student)?;
    let training = training.unwrap_or_default();
    let (Some(snapshot), Some(chosen_by)) = (training.snapshot, training.chosen_by) else {
        bail!("the registry does not say by what was chosen what {} learned from; name a retrained student", model.0)
    };
    let config = as_chosen(config, &chosen_by)?;
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
    let missing = missing.into_inner().into_iter().filter(|(_, missing)| *missing > 0).collect();
    let (choice, origin) = (Choice::of(&book, &config.retraining), follower.origin());
    let rebuilt = choice.as_ref().ok().map(|choice| choice.hash.clone());
    let not_same = |differences| Rebuilt {
        model: model.clone(),
        snapshot: snapshot.clone(),
        rebuilt: rebuilt.clone(),
        train: None,
        is_same: false,
        missing,
        differences,
    };
    let choice = match choice {
        Ok(choice) if choice.hash == snapshot => choice,
        Ok(choice) => {
            return Ok(Some(not_same(differences(&training.tasks, &choice.snapshot(&origin).training.tasks))));
        }
        Err(error) => return Ok(Some(not_same(vec![error.to_string()]))),
    };
    let Some(out) = out else { return Ok(Some(Rebuilt { is_same: true, ..not_same(Vec::new()) })) };
    let topic = NotesTopic { log, wire: &wire, name: &config.engine.topics.notes };
    let written = write(choice, &origin, (topic, config.retraining.text_bytes_max), (out, stop))?;
    Ok(written.map(|train| {
        let is_same = training.data.iter().any(|data| data.hash == train);
        let told = || format!("{TRAIN} has the SHA-256 {train} now");
        let differences = if is_same { Vec::new() } else { vec![told()] };
        Rebuilt { is_same, train: Some(train), ..not_same(differences) }
    }))
}

/// The configuration with the settings of a choice.
///
/// # Errors
/// When this machine cannot count so many notes.
fn as_chosen(config: &Config, chosen_by: &ChosenBy) -> Result<Config> {
    let mut config = config.clone();
    let settings = &mut config.retraining;
    (settings.held_out, settings.dev, settings.recipe.soft) = (chosen_by.held_out, chosen_by.dev, chosen_by.soft);
    settings.notes_max = usize::try_from(chosen_by.notes_max)?;
    settings.text_bytes_max = chosen_by.text_bytes_max.unwrap_or(settings.text_bytes_max);
    Ok(config)
}

/// Writes the documents of a choice to a new folder, for the owner's eyes alone; SHA-256 of those to learn from. Nothing
/// when `stop` is set meanwhile.
///
/// # Errors
/// When the log cannot be read, or the folder not be written.
fn write(
    choice: Choice,
    origin: &Origin,
    topic: (NotesTopic<'_>, u64),
    (out, stop): (&Path, &AtomicBool),
) -> Result<Option<String>> {
    make_folder(out)?;
    let folder = RunFolder(out.to_owned());
    if documents::write(choice, origin, topic, (&folder, stop))?.is_none() {
        return Ok(None);
    }
    let path = folder.train();
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(sha256(&bytes)))
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
