//! `stillroom models`: the registry of students, and which of them serves.

mod comparing;
mod listing;
mod origin;
mod shadowing;
mod switching;

use crate::commands::{ConfigArgs, print_line};
use crate::config::Config;
use crate::corpora::{Drawn, Problems, ReadingArgs, gold_documents};
use crate::students;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_connectors::GoldDocument;
use stillroom_models::Registry;
use stillroom_schemas::ModelId;

/// What to do with students of the registry.
#[derive(Subcommand)]
pub(crate) enum Models {
    /// Put a trained student into the registry, with golden notes, and print its id.
    Add(Add),
    /// Print the students, which of them serves, and who has served when and why.
    List(listing::List),
    /// Print where a student comes from and how well it does.
    Show(listing::Show),
    /// Measure two students on annotated documents, and say whether one would be promoted in the other's place.
    Compare(comparing::Compare),
    /// Let a student read a share of the notes along with the one that serves, and compare both on them.
    Shadow(shadowing::ShadowStudent),
    /// Let a student serve if it is better than the one that does: better on a task and worse on none, beyond 95 % intervals.
    Promote(switching::Promote),
    /// Let the student serve again that served before.
    Rollback(switching::Rollback),
    /// Hold students to the hashes of their files and to their golden notes, on the configured device.
    Verify(Verify),
}

impl Models {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Models::Add(command) => command.run(),
            Models::List(command) => command.run(),
            Models::Show(command) => command.run(),
            Models::Compare(command) => command.run(),
            Models::Shadow(command) => command.run(),
            Models::Promote(command) => command.run(),
            Models::Rollback(command) => command.run(),
            Models::Verify(command) => command.run(),
        }
    }
}

/// Arguments of `models add`.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder of a student that stillroom trained.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The student of the registry that it was trained from, or in whose place.
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
}

impl Add {
    fn run(self) -> Result<ExitCode> {
        let (_, registry) = open(&self.config)?;
        let parent = self.parent.map(|name| registry.find(&name)).transpose()?.map(|entry| entry.model);
        let added = students::add(&registry, &self.folder, parent)?;
        let done = if added.is_new { "was put into" } else { "is there already in" };
        eprintln!("{} {done} {}", added.entry.model.0, registry.place());
        print_line(&added.entry.model.0)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Arguments of `models verify`.
#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    config: ConfigArgs,
    /// Students; all when none is named.
    #[arg(value_name = "ID")]
    students: Vec<String>,
}

impl Verify {
    fn run(self) -> Result<ExitCode> {
        let (config, registry) = open(&self.config)?;
        let models: Vec<ModelId> = match self.students.as_slice() {
            [] => registry.list()?.into_iter().map(|entry| entry.model).collect(),
            names => names.iter().map(|name| Ok(registry.find(name)?.model)).collect::<Result<_>>()?,
        };
        let mut failed = 0;
        for model in &models {
            match students::verify(&registry, model, &config) {
                Ok(_) => print_line(format_args!("{} is as it was put into the registry", model.0))?,
                Err(error) => {
                    failed += 1;
                    eprintln!("{}: {error:#}", model.0);
                }
            }
        }
        if failed > 0 {
            bail!("{failed} of {} students must not serve; add them anew from where they were trained", models.len());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The configuration and its registry.
fn open(config: &ConfigArgs) -> Result<(Config, Registry)> {
    let config = config.load()?.config;
    let registry = Registry::open(&config.models)?;
    Ok((config, registry))
}

/// The annotated documents of all paths.
fn documents(paths: &[PathBuf], reading: &ReadingArgs, problems: &mut Problems) -> Result<Vec<GoldDocument>> {
    let mut documents = Vec::new();
    for path in paths {
        documents.extend(gold_documents(path, &reading.config(), &Drawn::default(), problems)?);
    }
    Ok(documents)
}
