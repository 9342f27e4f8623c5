//! From the student that serves to another: what may take over, how both do, and the activation.

use crate::clock::utc_now;
use crate::config::Config;
use crate::gate::Gate;
use crate::serving::{ModelsTopic, Serving};
use crate::students::{self, Staged, Verified};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use stillroom_connectors::GoldDocument;
use stillroom_models::Registry;
use stillroom_schemas::{Activation, ActivationCause, ModelId};
use stillroom_student::Student;

/// What a switch from one student to another needs.
pub(crate) struct Switch {
    config: Config,
    /// Where students are kept.
    pub(crate) registry: Registry,
    topic: ModelsTopic,
    /// Every activation until now, in their order.
    pub(crate) activations: Vec<Activation>,
    /// Who serves.
    pub(crate) serving: Serving,
}

impl Switch {
    /// # Errors
    /// When the log, its topic of models or the registry cannot be had.
    pub(crate) fn open(config: Config) -> Result<Switch> {
        let registry = Registry::open(&config.models)?;
        let topic = ModelsTopic::open(&config)?;
        let activations = topic.activations()?;
        let serving = Serving::of(&config, &activations)?;
        Ok(Switch { config, registry, topic, activations, serving })
    }

    /// The folder of the student that serves.
    ///
    /// # Errors
    /// When it cannot be had, or several serve together.
    pub(crate) fn serving_folder(&self) -> Result<PathBuf> {
        self.serving.folder(&self.registry)
    }

    /// The student that serves.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub(crate) fn load_serving(&self) -> Result<Student> {
        let context = || format!("the student that serves, {}, cannot be loaded", self.serving.model.0);
        Student::load(&self.serving_folder()?).with_context(context)
    }

    /// A student that does not serve, and may as far as its files and golden notes tell.
    ///
    /// # Errors
    /// When it serves already, or must not.
    pub(crate) fn verify(&self, model: &ModelId) -> Result<Verified> {
        ensure!(*model != self.serving.model, "{} serves already; name another student", model.0);
        students::verify(&self.registry, model, &self.config).with_context(|| format!("{} must not serve", model.0))
    }

    /// Holds a student that is not in the registry yet to golden notes of its own, where it would serve.
    ///
    /// # Errors
    /// When it must not serve.
    pub(crate) fn check(&self, staged: &Staged) -> Result<()> {
        staged.check(&self.config).with_context(|| format!("{} must not serve", staged.student.model().0))
    }

    /// Whether no student was activated since this was opened.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn is_current(&self) -> Result<bool> {
        Ok(self.topic.activations()?.len() == self.activations.len())
    }

    /// How a candidate, in this folder, does beside the student that serves.
    ///
    /// # Errors
    /// When a student cannot be loaded, or a document not be read.
    pub(crate) fn measure(&self, candidate: &Path, documents: &[GoldDocument]) -> Result<Gate> {
        Gate::measure(&self.config.student, (&self.serving_folder()?, candidate), documents)
    }

    /// Lets a student serve.
    ///
    /// # Errors
    /// When the one that serves cannot be kept for a rollback, another took its place since this was opened, or the log cannot be
    /// written.
    pub(crate) fn to(&self, student: Verified, cause: ActivationCause) -> Result<Activation> {
        self.serving.keep(&self.registry)?;
        let activation = Activation {
            model: student.entry.model,
            weights_hash: student.entry.weights_hash,
            previous: self.serving.model.clone(),
            cause,
            activated_at: utc_now(),
        };
        self.topic.activate(&activation, self.activations.last())?;
        Ok(activation)
    }

    /// Lets a student serve again, as the one that serves did not do well.
    ///
    /// # Errors
    /// When it must not serve or cuts notes differently, and as those of [`Switch::to`].
    pub(crate) fn roll_back(&self, target: &ModelId) -> Result<Activation> {
        let verified = self.verify(target)?;
        match self.load_serving() {
            Ok(serving) => check_tokenizer(&serving, &verified.student)?,
            // What cannot be read is what one wants to be rid of.
            Err(error) => eprintln!("{error:#}; whether both cut notes alike is not known"),
        }
        self.to(verified, ActivationCause::Rollback)
    }
}

/// Refuses a student that cannot take over while notes flow: notes are cut once, for whoever reads them.
///
/// # Errors
/// When the two cut notes differently.
fn check_tokenizer(serving: &Student, next: &Student) -> Result<()> {
    ensure!(
        serving.tokenizer_hash() == next.tokenizer_hash(),
        "{} has another tokenizer than {}, which serves, and notes would have to be cut anew; stop `run`, \
         name the folder of its files in [student] folders and start with a new log or another topic of models",
        next.model().0,
        serving.model().0
    );
    Ok(())
}

/// Refuses a student that would not find what the serving one does.
///
/// # Errors
/// When it cuts notes differently, or lacks a head.
pub(crate) fn check_followed(serving: &Student, next: &Student) -> Result<()> {
    check_tokenizer(serving, next)?;
    let lacks = serving.tasks().iter().find(|task| !next.tasks().contains(task));
    match lacks {
        Some(task) => bail!(
            "{} has no head for {}, which {} has; train it for all of its tasks",
            next.model().0,
            task.name(),
            serving.model().0
        ),
        None => Ok(()),
    }
}
