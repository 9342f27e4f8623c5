//! `stillroom models promote` and `rollback`: another student serves.

use crate::clock::utc_now;
use crate::commands::models::comparing::print_gate;
use crate::commands::models::{documents, open};
use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::config::Config;
use crate::corpora::{Problems, ReadingArgs};
use crate::gate::Gate;
use crate::serving::{ModelsTopic, Serving, serving_before};
use crate::students::{self, Verified};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use stillroom_connectors::GoldDocument;
use stillroom_models::Registry;
use stillroom_schemas::{Activation, ActivationCause, ModelId};
use stillroom_student::Student;

/// Arguments of `models promote`.
#[derive(Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    config: ConfigArgs,
    /// The student: its id, its name if no other has it, or the beginning of its version.
    #[arg(value_name = "ID")]
    student: String,
    /// Annotated documents that neither student learned from, as for `eval`.
    #[arg(long, required_unless_present = "force", num_args = 1.., value_name = "PATH[:PART]")]
    gold: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Let it serve whatever the documents tell. Files and golden notes are verified all the same.
    #[arg(long)]
    force: bool,
}

impl Promote {
    pub(super) fn run(self) -> Result<ExitCode> {
        let switch = Switch::open(&self.config)?;
        let candidate = switch.registry.find(&self.student)?.model;
        let verified = switch.verify(&candidate)?;
        let serving = switch.serving.folder(&switch.registry)?;
        check_followed(&load_serving(&serving, &switch.serving.model)?, &verified.student)?;
        let mut problems = Problems::default();
        let documents = documents(&self.gold, &self.reading, &mut problems)?;
        if !documents.is_empty() {
            let refusal = switch.measure((&serving, &verified), &documents)?;
            if let Some(reason) = refusal.filter(|_| !self.force) {
                bail!("{} does not serve: {reason}; train it further, or say --force", candidate.0);
            }
        }
        let cause = if self.force { ActivationCause::Forced } else { ActivationCause::Promotion };
        switch.to(verified, cause)?;
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

/// Arguments of `models rollback`.
#[derive(Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    config: ConfigArgs,
    /// The student that is to serve; the one that served before when absent.
    #[arg(long, value_name = "ID")]
    to: Option<String>,
}

impl Rollback {
    pub(super) fn run(self) -> Result<ExitCode> {
        let switch = Switch::open(&self.config)?;
        let target = match &self.to {
            Some(name) => switch.registry.find(name)?.model,
            None => serving_before(&switch.activations)?.clone(),
        };
        let verified = switch.verify(&target)?;
        let serving = switch.serving.folder(&switch.registry);
        match serving.and_then(|folder| load_serving(&folder, &switch.serving.model)) {
            Ok(serving) => check_tokenizer(&serving, &verified.student)?,
            // What cannot be read is what one wants to be rid of.
            Err(error) => eprintln!("{error:#}; whether both cut notes alike is not known"),
        }
        switch.to(verified, ActivationCause::Rollback)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a switch from one student to another needs.
struct Switch {
    config: Config,
    registry: Registry,
    topic: ModelsTopic,
    activations: Vec<Activation>,
    serving: Serving,
}

impl Switch {
    /// # Errors
    /// When the log, its topic of models or the registry cannot be had.
    fn open(config: &ConfigArgs) -> Result<Switch> {
        let (config, registry) = open(config)?;
        let topic = ModelsTopic::open(&config)?;
        let activations = topic.activations()?;
        let serving = Serving::of(&config, &activations)?;
        Ok(Switch { config, registry, topic, activations, serving })
    }

    /// A student that does not serve, and may as far as its files and golden notes tell.
    fn verify(&self, model: &ModelId) -> Result<Verified> {
        ensure!(*model != self.serving.model, "{} serves already; name another student", model.0);
        students::verify(&self.registry, model, &self.config).with_context(|| format!("{} must not serve", model.0))
    }

    /// Prints how both do, and says why the candidate is not to serve, if it is not.
    fn measure(&self, (serving, candidate): (&Path, &Verified), documents: &[GoldDocument]) -> Result<Option<String>> {
        let gate = Gate::measure(&self.config.student, (serving, &candidate.folder), documents)?;
        print_gate((&self.serving.model, &candidate.entry.model), &gate)?;
        Ok(gate.refusal())
    }

    /// Lets a student serve, and prints the activation.
    fn to(&self, student: Verified, cause: ActivationCause) -> Result<()> {
        self.serving.keep(&self.registry)?;
        let activation = Activation {
            model: student.entry.model,
            weights_hash: student.entry.weights_hash,
            previous: self.serving.model.clone(),
            cause,
            activated_at: utc_now(),
        };
        self.topic.activate(&activation)?;
        print_line(serde_json::to_string(&activation)?)
    }
}

fn load_serving(folder: &Path, model: &ModelId) -> Result<Student> {
    Student::load(folder).with_context(|| format!("the student that serves, {}, cannot be loaded", model.0))
}

/// Refuses a student that cannot take over while notes flow: notes are cut once, for whoever reads them.
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
fn check_followed(serving: &Student, next: &Student) -> Result<()> {
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
