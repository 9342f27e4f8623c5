//! `stillroom models promote` and `rollback`: another student serves.

use crate::commands::models::comparing::print_gate;
use crate::commands::models::documents;
use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::corpora::{Problems, ReadingArgs};
use crate::promotion::{Switch, check_followed};
use crate::serving::serving_before;
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_schemas::ActivationCause;

/// Arguments of `models promote`.
#[derive(Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    config: ConfigArgs,
    /// The student: its id, its name if no other has it, or the beginning of its version.
    #[arg(value_name = "ID")]
    student: String,
    /// Annotated documents that neither student learned from, as for `eval`: 20 at least for every task that the serving one has a head
    /// for.
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
        let switch = Switch::open(self.config.load()?.config)?;
        let candidate = switch.registry.find(&self.student)?.model;
        let verified = switch.verify(&candidate)?;
        check_followed(&switch.load_serving()?, &verified.student)?;
        let mut problems = Problems::default();
        if !self.gold.is_empty() {
            let documents = documents(&self.gold, &self.reading, &mut problems)?;
            let gate = switch.measure(&verified.folder, &documents)?;
            print_gate((&switch.serving.model, &candidate), &gate)?;
            if let Some(reason) = gate.too_few().filter(|_| !self.force) {
                bail!("{} does not serve: {reason}; name more documents by --gold, or say --force", candidate.0);
            }
            if let Some(reason) = gate.refusal().filter(|_| !self.force) {
                bail!("{} does not serve: {reason}; train it further, or say --force", candidate.0);
            }
        }
        let cause = if self.force { ActivationCause::Forced } else { ActivationCause::Promotion };
        print_line(serde_json::to_string(&switch.to(verified, cause)?)?)?;
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
        let switch = Switch::open(self.config.load()?.config)?;
        let target = match &self.to {
            Some(name) => switch.registry.find(name)?.model,
            None => serving_before(&switch.activations)?.clone(),
        };
        print_line(serde_json::to_string(&switch.roll_back(&target)?)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
