//! `stillroom models list` and `show`: what the registry has.

use crate::commands::models::{open, origin};
use crate::commands::{ConfigArgs, print_line};
use crate::highlight::plain;
use crate::serving::{Serving, activations};
use crate::students::manifest_of;
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use stillroom_models::{Entry, Registry};
use stillroom_schemas::{Activation, ActivationCause, ModelId};
use stillroom_student::Manifest;

/// Arguments of `models list`.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

/// A student and how well it does on dev.
struct Row {
    entry: Entry,
    /// Absent when its manifest cannot be read.
    dev_f1: Option<f64>,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (config, registry) = open(&self.config)?;
        let rows: Vec<Row> = registry.list()?.into_iter().map(|entry| row(&registry, entry)).collect();
        let activations = activations(&config)?;
        let serving = told(Serving::of(&config, &activations)).map(|serving| serving.model);
        if self.json {
            print_line(as_json(&rows, &activations, serving.as_ref()))?;
        } else {
            table(&rows, &activations, serving.as_ref()).iter().try_for_each(print_line)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(registry: &Registry, entry: Entry) -> Row {
    let dev_f1 = told(manifest_of(registry, &entry)).map(|manifest| mean_dev_f1(&manifest));
    Row { entry, dev_f1 }
}

/// A list is worth having without one of its figures: what is wrong is said, and the rest is printed.
fn told<T>(result: Result<T>) -> Option<T> {
    result.inspect_err(|error| eprintln!("{error:#}")).ok()
}

/// The mean of the F1 figures in words, of each task on each dev file; 0 without one.
fn mean_dev_f1(manifest: &Manifest) -> f64 {
    let figures: Vec<f64> = manifest.dev_counts.values().flat_map(|tasks| tasks.values()).map(|it| it.f1()).collect();
    figures.iter().sum::<f64>() / figures.len().max(1) as f64
}

fn as_json(rows: &[Row], activations: &[Activation], serving: Option<&ModelId>) -> serde_json::Value {
    let student = |Row { entry, dev_f1 }: &Row| {
        json!({
            "model": entry.model, "added_at": entry.added_at, "parent": entry.parent, "dev_f1": dev_f1,
            "is_serving": serving == Some(&entry.model), "training": entry.training,
        })
    };
    let students: Vec<serde_json::Value> = rows.iter().map(student).collect();
    json!({ "serving": serving, "students": students, "activations": activations })
}

/// Names come from a registry and a topic that others write too, and go to a terminal.
fn table(rows: &[Row], activations: &[Activation], serving: Option<&ModelId>) -> Vec<String> {
    let mut lines = vec![line("student", "added", ["dev F1", "parent"])];
    for Row { entry, dev_f1 } in rows {
        let mark = if serving == Some(&entry.model) { "  serving" } else { "" };
        let dev_f1 = dev_f1.map_or("?".to_owned(), |f1| format!("{f1:.4}"));
        let parent = entry.parent.as_ref().map_or("none".to_owned(), |parent| plain(&parent.0));
        lines.push(line(&plain(&entry.model.0), &plain(&entry.added_at), [&dev_f1, &parent]) + mark);
    }
    if let Some(serving) = serving.filter(|serving| rows.iter().all(|row| row.entry.model != **serving)) {
        lines.push(format!("{} serves and is not in the registry", plain(&serving.0)));
    }
    lines.extend(activations.iter().map(|activation| {
        let Activation { model, previous, activated_at, .. } = activation;
        let (model, previous, at) = (plain(&model.0), plain(&previous.0), plain(activated_at));
        format!("{at}  {model} in the place of {previous}: {}", cause(activation.cause))
    }));
    lines
}

fn line(student: &str, added: &str, [dev_f1, parent]: [&str; 2]) -> String {
    format!("{student:<40} {added:<24}  {dev_f1:>6}  {parent}")
}

fn cause(cause: ActivationCause) -> &'static str {
    match cause {
        ActivationCause::Promotion => "promotion",
        ActivationCause::Forced => "forced",
        ActivationCause::Rollback => "rollback",
    }
}

/// Arguments of `models show`.
#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    config: ConfigArgs,
    /// The student: its id, its name if no other has it, or the beginning of its version.
    #[arg(value_name = "ID")]
    student: String,
    /// Print one JSON object: the registry's entry and the manifest.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (_, registry) = open(&self.config)?;
        let entry = registry.find(&self.student)?;
        let manifest = manifest_of(&registry, &entry)?;
        if self.json {
            print_line(json!({ "entry": entry, "manifest": manifest }))?;
        } else {
            about(&entry, &manifest).iter().try_for_each(print_line)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What people ask of a student first.
fn about(entry: &Entry, manifest: &Manifest) -> Vec<String> {
    let parent = entry.parent.as_ref().map_or("none", |parent| parent.0.as_str());
    let mut lines = vec![
        format!("student    {}", plain(&entry.model.0)),
        format!("weights    {}", plain(&entry.weights_hash)),
        format!("added      {} by stillroom {}", plain(&entry.added_at), plain(&entry.stillroom)),
        format!("parent     {}", plain(parent)),
        format!("made by    {}", plain(&manifest.command)),
    ];
    match &entry.training {
        Some(training) => lines.extend(origin::lines(training)),
        None => lines.extend(manifest.train.iter().map(|file| origin::learned(&file.name, file.documents as u64))),
    }
    for (file, tasks) in &manifest.dev_counts {
        let figures = tasks.iter().map(|(task, counts)| format!("{} {:.4}", task.name(), counts.f1()));
        lines.push(format!("dev F1     {}: {}", plain(file), figures.collect::<Vec<_>>().join(", ")));
    }
    let thresholds = manifest.thresholds.iter().map(|(task, threshold)| format!("{} {threshold:.2}", task.name()));
    lines.push(format!("thresholds {}", thresholds.collect::<Vec<_>>().join(", ")));
    lines.extend(entry.files.iter().map(|(name, file)| format!("file       {}: {} bytes", plain(name), file.bytes)));
    lines
}
