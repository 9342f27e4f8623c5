//! Who serves: the activations on the topic of the models, and the student that they come to.

use crate::config::Config;
use crate::log::{open_log, open_written_log};
use crate::reading::read_partition;
use crate::runtime::StudentConfig;
use crate::students;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::sync::Arc;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::activation_of;
use stillroom_models::Registry;
use stillroom_schemas::{Activation, ActivationCause, ModelId};

/// The one partition of the topic, so that activations are in one order.
const PARTITION: u32 = 0;

/// The topic of the models, of a log that is there.
pub(crate) struct ModelsTopic {
    log: Arc<dyn Log>,
    name: String,
}

impl ModelsTopic {
    /// # Errors
    /// When there is no log, or it has no such topic.
    pub(crate) fn open(config: &Config) -> Result<ModelsTopic> {
        let (log, name) = (open_written_log(config)?, config.engine.topics.models.clone());
        ensure!(
            log.partitions(&name)?.is_some(),
            "{} has no topic {name}; make it by `stillroom check --connect --create`, or start `stillroom run` once",
            log.place()
        );
        Ok(ModelsTopic { log, name })
    }

    /// Every activation, in their order.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn activations(&self) -> Result<Vec<Activation>> {
        let mut activations = Vec::new();
        read_partition(self.log.bounded()?, (&self.name, PARTITION), |record| {
            match activation_of(&record) {
                Some(activation) => activations.push(activation),
                None => tracing::warn!("{}/{PARTITION} offset {} is no activation", self.name, record.position.offset),
            }
            Ok(())
        })?;
        Ok(activations)
    }

    /// Lets a student serve, soon after this returns, if `last` is still the last activation: that which this one was decided by. Two
    /// that are decided at the same time may both pass in the moment between reading and writing; then the later one serves.
    ///
    /// # Errors
    /// When another student was activated since, or the log cannot be read or written.
    pub(crate) fn activate(&self, activation: &Activation, last: Option<&Activation>) -> Result<()> {
        let activations = self.activations()?;
        if let Some(since) = activations.last().filter(|since| Some(*since) != last) {
            bail!(
                "{} was activated at {}, while this was decided, so {} does not serve; see `stillroom models list`, and decide anew",
                since.model.0,
                since.activated_at,
                activation.model.0
            );
        }
        let record = Appended {
            key: Some(activation.model.0.clone().into_bytes()),
            value: Some(serde_json::to_vec(activation)?),
            headers: Vec::new(),
            partition: Some(PARTITION),
        };
        Ok(self.log.append(&self.name, &[record])?)
    }
}

/// Every activation of a log that may not be there yet, or have no topic of models.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn activations(config: &Config) -> Result<Vec<Activation>> {
    let is_there = config.kafka.uses_broker() || config.log.dir.exists();
    if !is_there || open_log(config)?.partitions(&config.engine.topics.models)?.is_none() {
        return Ok(Vec::new());
    }
    ModelsTopic::open(config)?.activations()
}

/// The student that serves.
pub(crate) struct Serving {
    /// Its name and version.
    pub(crate) model: ModelId,
    /// The folders of the configuration that it is loaded from; none when it was activated, and the registry has it.
    configured: Vec<PathBuf>,
}

impl Serving {
    /// The student that was activated last, or else the configured one.
    ///
    /// # Errors
    /// When the configured student cannot be loaded.
    pub(crate) fn of(config: &Config, activations: &[Activation]) -> Result<Serving> {
        if let Some(last) = activations.last() {
            return Ok(Serving { model: last.model.clone(), configured: Vec::new() });
        }
        let names: Vec<String> = config.student.load()?.into_iter().map(|student| student.model().0.clone()).collect();
        Ok(Serving { model: ModelId(names.join("+")), configured: config.student.student_folders()? })
    }

    /// The folder of its files.
    ///
    /// # Errors
    /// When the registry has them no more, or several students serve together.
    pub(crate) fn folder(&self, registry: &Registry) -> Result<PathBuf> {
        match self.configured.as_slice() {
            [] => {
                let context = || format!("the student that serves, {}, cannot be read from the registry", self.model.0);
                registry.folder(&self.model).with_context(context)
            }
            [folder] => Ok(folder.clone()),
            folders => bail!(
                "{} students serve together, and one takes over from one; name a student with heads for all tasks in \
                 [student] folders",
                folders.len()
            ),
        }
    }

    /// Sees to it that the registry has it, so that a rollback finds it.
    ///
    /// # Errors
    /// When it cannot be put there.
    pub(crate) fn keep(&self, registry: &Registry) -> Result<()> {
        if !self.configured.is_empty() {
            students::add(registry, &self.folder(registry)?, None)
                .context("the student that serves cannot be kept for a rollback")?;
        }
        Ok(())
    }
}

/// What reads notes as a run will: the configuration of the student that was activated last, or of the configured one.
///
/// # Errors
/// When the log cannot be read, or the registry has the student no more.
pub(crate) fn student_config(config: &Config) -> Result<StudentConfig> {
    let mut student = config.student.clone();
    if let Some(Activation { model, .. }) = activations(config)?.last() {
        let serving = Serving { model: model.clone(), configured: Vec::new() };
        student.folders = vec![serving.folder(&Registry::open(&config.models)?)?];
    }
    Ok(student)
}

/// The student that served before the one that serves now. A rollback undoes the promotions since the student that it goes back to,
/// so that rollbacks one after the other go back in time, and not back and forth between two students.
///
/// # Errors
/// When all promotions are undone, or none was ever made.
pub(crate) fn serving_before(activations: &[Activation]) -> Result<&ModelId> {
    let first = activations.first().context("no student was ever promoted, so there is none to go back to")?;
    let mut served = vec![&first.previous];
    for Activation { model, cause, .. } in activations {
        let earlier = served[..served.len() - 1].iter().rposition(|earlier| *earlier == model);
        match earlier {
            Some(at) if *cause == ActivationCause::Rollback => served.truncate(at + 1),
            _ => served.push(model),
        }
    }
    match served.as_slice() {
        [.., before, _] => Ok(*before),
        _ => bail!("all promotions are undone; name the student that is to serve by --to"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_connectors::EmbeddedLog;

    /// `a>b` promotes b in the place of a, `a>!b` forces it and `a<b` rolls from b back to a; the last line is who comes next.
    fn check(history: &str, expected: &str) {
        let activation = |step: &str| {
            let (before, model, cause) = match (step.split_once(">!"), step.split_once('>'), step.split_once('<')) {
                (Some((before, model)), ..) => (before, model, ActivationCause::Forced),
                (_, Some((before, model)), _) => (before, model, ActivationCause::Promotion),
                (_, _, Some((model, before))) => (before, model, ActivationCause::Rollback),
                _ => panic!("{step} is no step"),
            };
            Activation {
                model: ModelId(model.to_owned()),
                weights_hash: String::new(),
                previous: ModelId(before.to_owned()),
                cause,
                activated_at: String::new(),
            }
        };
        let activations: Vec<Activation> = history.split_whitespace().map(activation).collect();
        match serving_before(&activations) {
            Ok(model) => assert_eq!(model.0, expected, "{history}"),
            Err(error) => assert!(error.to_string().contains(expected), "{history}: {error}"),
        }
    }

    #[test]
    fn what_was_decided_before_another_activation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (log, name) = (EmbeddedLog::open(folder.path()).unwrap(), "models".to_owned());
        log.create_topic(&name, 1).unwrap();
        let topic = ModelsTopic { log: Arc::new(log), name };
        let activation = |model: &str, previous: &str, activated_at: &str| Activation {
            model: ModelId(model.to_owned()),
            weights_hash: String::new(),
            previous: ModelId(previous.to_owned()),
            cause: ActivationCause::Promotion,
            activated_at: activated_at.to_owned(),
        };
        let (first, second) = (activation("b", "a", "one o'clock"), activation("c", "b", "two o'clock"));
        topic.activate(&first, None).unwrap();
        // Decided while a served.
        let refused = topic.activate(&activation("d", "a", "three o'clock"), None).unwrap_err().to_string();
        assert!(
            refused.starts_with("b was activated at one o'clock") && refused.contains("d does not serve"),
            "{refused}"
        );
        topic.activate(&second, Some(&first)).unwrap();
        assert!(topic.activate(&activation("d", "b", "three o'clock"), Some(&first)).is_err());
        // The same student again is another activation.
        topic.activate(&activation("b", "c", "four o'clock"), Some(&second)).unwrap();
        assert!(topic.activate(&activation("d", "b", "five o'clock"), Some(&first)).is_err());
        let models: Vec<String> =
            topic.activations().unwrap().into_iter().map(|activation| activation.model.0).collect();
        assert_eq!(models, ["b", "c", "b"]);
    }

    #[test]
    fn rollbacks_undo_one_promotion_after_the_other() {
        check("a>b", "a");
        check("a>b b>c", "b");
        check("a>b b>!c b<c", "a");
        check("a>b a<b a>c", "a");
        check("a>b b>a", "b");
        check("a>b b>a b<a", "a");
        check("a>b b>c a<c a>d", "a");
        check("a>b x<b", "b");
    }

    #[test]
    fn where_no_promotion_is_left_a_name_is_asked_for() {
        check("", "no student was ever promoted");
        check("a>b a<b", "all promotions are undone; name the student that is to serve by --to");
        check("a>b b>c a<c", "all promotions are undone");
        check("a>b b>a b<a a<b", "all promotions are undone");
    }
}
