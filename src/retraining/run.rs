//! A run: documents, a candidate, its figures beside those of the student that serves, and whether it takes over.
//!
//! Each step leaves what it made in the run's folder, so a run that was killed goes on with the step that it was at.

use crate::config::Config;
use crate::gate::Gate;
use crate::log::open_written_log;
use crate::promotion::{Switch, check_followed};
use crate::retraining::child;
use crate::retraining::place::UnderWay;
use crate::retraining::run_folder::RunFolder;
use crate::retraining::shadowing;
use crate::retraining::snapshot::Snapshot;
use crate::retraining::triggers::Cause;
use crate::shadow::{Figures, prepare_topic};
use crate::students::{self, Verified};
use crate::training::base_folder;
use anyhow::{Context, Result};
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use stillroom_connectors::{GoldDocument, GoldDocuments};
use stillroom_schemas::{ActivationCause, ModelId, Task};

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// What was learned from.
    #[serde(flatten)]
    pub(crate) snapshot: Snapshot,
    /// Why.
    pub(crate) cause: Cause,
    /// Who served when the candidate was measured.
    pub(crate) serving: ModelId,
    /// Who was trained.
    pub(crate) candidate: ModelId,
    /// How both do on the notes that are held out; absent where these are too few.
    pub(crate) figures: Option<Gate>,
    /// How both do on notes that came while the candidate read along; absent where it did not.
    pub(crate) shadow: Option<Figures>,
    /// Whether the candidate takes over.
    pub(crate) is_promoted: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
}

impl Report {
    /// For people: how both do, and what comes of it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.figures.as_ref().map(Gate::table).unwrap_or_default();
        if let Some(shadow) = &self.shadow {
            lines.extend(shadow.lines());
            lines.extend(shadow.undecided().map(|why| format!("{why}, so the verdict of what is held out stands")));
        }
        lines.push(match &self.reason {
            Some(reason) => format!("{} does not serve: {reason}", self.candidate.0),
            None => format!("{} serves in the place of {}", self.candidate.0, self.serving.0),
        });
        lines
    }
}

/// What a run starts from: who serves, and the base.
///
/// # Errors
/// When the student that serves or the base cannot be had, or several students serve together.
pub(crate) fn begin(config: &Config, snapshot: String, cause: Cause) -> Result<UnderWay> {
    let switch = Switch::open(config.clone())?;
    let (serving, student) = (switch.serving_folder()?, switch.load_serving()?);
    let base = match config.retraining.base.as_str() {
        "" => serving,
        name => base_folder(name, &config.hub)?,
    };
    // The name of a model of the hub has a slash, as many a path of a folder.
    let base = base.canonicalize().with_context(|| format!("cannot find the base {}", base.display()))?;
    let (serving, tasks) = (student.model().clone(), student.tasks().to_vec());
    Ok(UnderWay { snapshot, cause, serving, base, tasks, attempts: 1, has_failed: false })
}

/// Trains, measures and promotes, from wherever the run is; nothing when `stop` is set meanwhile, or the training is
/// told to end or is killed.
///
/// # Errors
/// When the training fails, a student cannot be read, or registry or log cannot be written.
pub(crate) fn complete(
    under_way: &UnderWay,
    snapshot: Snapshot,
    config: &Config,
    (folder, stop): (&RunFolder, &AtomicBool),
) -> Result<Option<Report>> {
    if !folder.is_trained() && !train(under_way, config, (folder, stop))? {
        return Ok(None);
    }
    // What measures has no more of the processor than what trains.
    let mut measuring = config.clone();
    measuring.student.threads = config.retraining.threads();
    let switch = Switch::open(measuring)?;
    let added = students::add(&switch.registry, &folder.student(), Some(under_way.serving.clone()))?;
    let candidate = added.entry.model;
    // Another student than at the beginning, where that one was rolled back meanwhile.
    let serves = Some(&switch.serving.model).filter(|serving| **serving != candidate).unwrap_or(&under_way.serving);
    let report = |figures: Option<Gate>, reason: Option<String>| Report {
        snapshot: snapshot.clone(),
        cause: under_way.cause.clone(),
        serving: serves.clone(),
        candidate: candidate.clone(),
        is_promoted: reason.is_none(),
        figures,
        shadow: None,
        reason,
    };
    if candidate == switch.serving.model {
        // The run was killed after its last step, or nothing was learned that would change the weights.
        let reason = (candidate == under_way.serving).then(|| "it is the student that serves already".to_owned());
        return Ok(Some(report(None, reason)));
    }
    if switch.activations.iter().any(|activation| activation.model == candidate) {
        // The run was killed after its last step and somebody took it back, or the same was learned again.
        let reason = "it served already, and another student took its place; promote it by hand".to_owned();
        return Ok(Some(report(None, Some(reason))));
    }
    let verified = match switch.verify(&candidate) {
        Ok(verified) => verified,
        Err(error) => return Ok(Some(report(None, Some(format!("{error:#}"))))),
    };
    let documents = GoldDocuments::open(&folder.held_out())?.collect::<Result<Vec<GoldDocument>, _>>()?;
    let serving = switch.load_serving()?;
    let refused = check_followed(&serving, &verified.student).err().map(|error| format!("{error:#}"));
    let refused = refused.or_else(|| too_few(serving.tasks(), &documents, config.retraining.held_out_min));
    if let Some(reason) = refused {
        return Ok(Some(report(None, Some(reason))));
    }
    let gate = switch.measure(&verified, &documents)?;
    if let Some(refusal) = gate.too_few().or_else(|| gate.refusal()) {
        return Ok(Some(report(Some(gate), Some(refusal))));
    }
    let Some(shadow) = shadowed(config, (&switch, &verified), (folder, stop))? else { return Ok(None) };
    let refusal = shadow.as_ref().and_then(Figures::refusal);
    if refusal.is_none() {
        switch.to(verified, ActivationCause::Promotion)?;
    }
    Ok(Some(Report { shadow, ..report(Some(gate), refusal) }))
}

/// Trains; not before there is the topic that the candidate needs when it reads along, which may be hours later. Whether
/// it came so far.
fn train(under_way: &UnderWay, config: &Config, place: (&RunFolder, &AtomicBool)) -> Result<bool> {
    if config.retraining.shadow_notes > 0 {
        prepare_topic(open_written_log(config)?.as_ref(), &config.engine.topics.shadow)?;
    }
    child::train(under_way, &config.retraining, place)
}

/// What comes of reading along, if the candidate is to; nothing when it was stopped.
fn shadowed(
    config: &Config,
    students: (&Switch, &Verified),
    place: (&RunFolder, &AtomicBool),
) -> Result<Option<Option<Figures>>> {
    match config.retraining.shadow_notes {
        0 => Ok(Some(None)),
        _ => Ok(shadowing::read_along(config, students, place)?.map(Some)),
    }
}

/// Why a candidate cannot be measured: a task without enough notes that are held out. What is not measured might have
/// become worse.
fn too_few(tasks: &[Task], documents: &[GoldDocument], held_out_min: u64) -> Option<String> {
    let count = |task: &Task| documents.iter().filter(|document| document.tasks.contains(task)).count() as u64;
    let (task, has) = tasks.iter().map(|task| (task, count(task))).find(|(_, has)| *has < held_out_min)?;
    Some(format!(
        "{has} notes with references for {} are held out, and {held_out_min} are needed to measure it, as [retraining] \
         held_out_min says; bring more references",
        task.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_dataflow::SoftSpans;

    #[test]
    fn every_task_needs_notes_that_are_held_out() {
        let of = |id: usize, tasks: &[Task]| GoldDocument {
            id: id.to_string(),
            text: String::new(),
            tasks: tasks.iter().copied().collect(),
            spans: Vec::new(),
            soft: SoftSpans::new(),
        };
        let mut documents: Vec<GoldDocument> = (0..20).map(|id| of(id, &[Task::Disease, Task::Symptom])).collect();
        assert_eq!(too_few(&[Task::Symptom, Task::Disease], &documents, 20), None);
        let refused = too_few(&Task::ALL, &documents, 20).unwrap();
        assert!(refused.starts_with("0 notes with references for medication are held out, and 20"), "{refused}");
        documents.extend((0..19).map(|id| of(id, &[Task::Medication])));
        assert!(too_few(&Task::ALL, &documents, 20).unwrap().starts_with("19 notes"));
        assert_eq!(too_few(&Task::ALL, &documents, 19), None);
    }
}
