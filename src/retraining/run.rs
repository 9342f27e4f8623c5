//! A run: documents, a candidate, its figures beside those of the student that serves, and whether it takes over.
//!
//! Each step leaves what it made in the run's folder, so a run that was killed goes on with the step that it was at. An
//! entry of the registry is never changed, so a candidate is measured before it is put there, with all that is known of
//! where it comes from.

use crate::config::Config;
use crate::gate::{Gate, table};
use crate::log::open_written_log;
use crate::promotion::{Switch, check_followed};
use crate::retraining::child;
use crate::retraining::place::UnderWay;
use crate::retraining::run_folder::RunFolder;
use crate::retraining::shadowing;
use crate::retraining::share;
use crate::retraining::snapshot::Snapshot;
use crate::retraining::triggers::Cause;
use crate::shadow::{Figures, prepare_topic};
use crate::students::{Staged, Verified};
use crate::training::base_folder;
use anyhow::{Context, Result};
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use stillroom_connectors::{GoldDocument, GoldDocuments};
use stillroom_models::{Entry, Training};
use stillroom_schemas::{ActivationCause, ModelId, Task};

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// What was learned from, what that took, who served when the candidate was measured, and how both do on the notes
    /// that are held out: as the registry has it of the candidate, unless it had that candidate before.
    #[serde(flatten)]
    pub(crate) snapshot: Snapshot,
    /// Why.
    pub(crate) cause: Cause,
    /// Who was trained.
    pub(crate) candidate: ModelId,
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
        let Training { figures, serving, .. } = &self.snapshot.training;
        let mut lines = figures.as_deref().map(table).unwrap_or_default();
        if let Some(shadow) = &self.shadow {
            lines.extend(shadow.lines());
            lines.extend(shadow.undecided().map(|why| format!("{why}, so the verdict of what is held out stands")));
        }
        lines.push(match (&self.reason, serving) {
            (Some(reason), _) => format!("{} does not serve: {reason}", self.candidate.0),
            (None, Some(serving)) => format!("{} serves in the place of {}", self.candidate.0, serving.0),
            (None, None) => format!("{} serves", self.candidate.0),
        });
        lines
    }
}

/// What a candidate's files, earlier activations and the notes that are held out say of it.
enum Verdict {
    /// It serves already, as the run was killed after its last step.
    Serves,
    /// It may serve.
    Passes,
    /// It may not.
    Refused(String),
}

/// What a run starts from: who serves, and the base.
///
/// # Errors
/// When the student that serves or the base cannot be had, several students serve together, or that one learned from patients
/// who are held out now.
pub(crate) fn begin(config: &Config, snapshot: String, cause: Cause) -> Result<UnderWay> {
    let switch = Switch::open(config.clone())?;
    let (serving, student) = (switch.serving_folder()?, switch.load_serving()?);
    share::check(config, &switch.registry, student.model())?;
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
    let staged = Staged::copied(&folder.student(), folder.stage()?)?;
    let (gate, verdict) = judge(under_way, (&switch, &staged), folder, config.retraining.held_out_min)?;
    // Another student than at the beginning, where that one was rolled back meanwhile.
    let serves = Some(&switch.serving.model).filter(|serving| **serving != *staged.student.model());
    let serves = serves.unwrap_or(&under_way.serving);
    let trained = staged.training();
    let training = Training {
        snapshot: snapshot.training.snapshot,
        chosen_by: snapshot.training.chosen_by,
        tasks: snapshot.training.tasks,
        labels_usd: snapshot.training.labels_usd,
        machine_usd: machine_usd(config.retraining.usd_an_hour, trained.seconds),
        serving: Some(serves.clone()),
        figures: gate.map(Gate::into_figures),
        ..trained
    };
    let added = staged.add(&switch.registry, Some(under_way.serving.clone()), training.clone())?.entry;
    let (candidate, kept) = (added.model.clone(), added.training.clone());
    // Where this very run put it there before it was killed, it is not measured again once it serves or did.
    let kept = kept.filter(|kept| training.figures.is_none() && kept.snapshot == training.snapshot);
    let snapshot = Snapshot { training: kept.unwrap_or(training), ..snapshot };
    if let Some(told) = not_kept(&added, &snapshot.training) {
        eprintln!("{told}");
    }
    let report = |shadow: Option<Figures>, reason: Option<String>| Report {
        snapshot: snapshot.clone(),
        cause: under_way.cause.clone(),
        candidate: candidate.clone(),
        shadow,
        is_promoted: reason.is_none(),
        reason,
    };
    match verdict {
        Verdict::Serves => return Ok(Some(report(None, None))),
        Verdict::Refused(reason) => return Ok(Some(report(None, Some(reason)))),
        Verdict::Passes => {}
    }
    let verified = match switch.verify(&candidate) {
        Ok(verified) => verified,
        Err(error) => return Ok(Some(report(None, Some(format!("{error:#}"))))),
    };
    let Some(shadow) = shadowed(config, (&switch, &verified), (folder, stop))? else { return Ok(None) };
    let refusal = shadow.as_ref().and_then(Figures::refusal);
    if refusal.is_none() {
        switch.to(verified, ActivationCause::Promotion)?;
    }
    Ok(Some(report(shadow, refusal)))
}

/// What so many seconds of a machine with this price an hour cost, in US dollars, to billionths as what labels do; nothing
/// where either is not known.
fn machine_usd(usd_an_hour: f64, seconds: Option<f64>) -> Option<f64> {
    let usd = usd_an_hour * seconds? / 3600.0;
    (usd_an_hour > 0.0).then_some((usd * 1e9).round() / 1e9)
}

/// For people, where the registry has had the candidate before and an entry, which is never changed, says something else
/// of it than this run found.
fn not_kept(entry: &Entry, found: &Training) -> Option<String> {
    let says = |training: &Training| {
        let Training { snapshot, serving, figures, .. } = training;
        (snapshot.clone(), serving.clone(), figures.is_some())
    };
    if entry.training.as_ref().map(says) == Some(says(found)) {
        return None;
    }
    let Entry { model, added_at, .. } = entry;
    Some(format!(
        "{} has been in the registry since {added_at}, which keeps what was found then; what this run learned from and \
         found is in its report alone",
        model.0
    ))
}

/// Whether a candidate may serve, with its figures if it could be measured.
///
/// # Errors
/// When the student that serves or the documents cannot be read.
fn judge(
    under_way: &UnderWay,
    (switch, staged): (&Switch, &Staged),
    folder: &RunFolder,
    held_out_min: u64,
) -> Result<(Option<Gate>, Verdict)> {
    let (candidate, refused) = (staged.student.model(), |reason: String| Ok((None, Verdict::Refused(reason))));
    if *candidate == switch.serving.model {
        // The run was killed after its last step, or nothing was learned that would change the weights.
        return match *candidate == under_way.serving {
            true => refused("it is the student that serves already".to_owned()),
            false => Ok((None, Verdict::Serves)),
        };
    }
    if switch.activations.iter().any(|activation| activation.model == *candidate) {
        // The run was killed after its last step and somebody took it back, or the same was learned again.
        return refused("it served already, and another student took its place; promote it by hand".to_owned());
    }
    if let Err(error) = switch.check(staged) {
        return refused(format!("{error:#}"));
    }
    let documents = GoldDocuments::open(&folder.held_out())?.collect::<Result<Vec<GoldDocument>, _>>()?;
    let serving = switch.load_serving()?;
    let unfit = check_followed(&serving, &staged.student).err().map(|error| format!("{error:#}"));
    if let Some(reason) = unfit.or_else(|| too_few(serving.tasks(), &documents, held_out_min)) {
        return refused(reason);
    }
    let gate = switch.measure(staged.folder(), &documents)?;
    let verdict = gate.too_few().or_else(|| gate.refusal()).map_or(Verdict::Passes, Verdict::Refused);
    Ok((Some(gate), verdict))
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

    #[test]
    fn what_an_entry_does_not_say_is_told() {
        let (snapshot, serving) = (Some("5a".repeat(32)), Some(ModelId("s@1".to_owned())));
        let found = Training { snapshot, serving, figures: Some(Vec::new()), ..Training::default() };
        let check = |kept: Option<Training>, is_told: bool| {
            let entry = Entry {
                model: ModelId("c@1".to_owned()),
                weights_hash: String::new(),
                parent: None,
                added_at: "noon".to_owned(),
                stillroom: String::new(),
                files: std::collections::BTreeMap::new(),
                training: kept,
            };
            let told = not_kept(&entry, &found);
            assert_eq!(told.is_some(), is_told, "{told:?}");
        };
        check(Some(found.clone()), false);
        check(Some(Training { seconds: Some(1.0), ..found.clone() }), false);
        check(None, true);
        check(Some(Training { snapshot: Some("5b".repeat(32)), ..found.clone() }), true);
        check(Some(Training { serving: Some(ModelId("another@1".to_owned())), ..found.clone() }), true);
        check(Some(Training { figures: None, ..found.clone() }), true);
    }
}
