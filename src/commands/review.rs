//! `stillroom review`: words on which the student and the ensemble disagree, judged by people.

use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::log::open_written_log;
use crate::review::{self, Applied, Listed, Wanted};
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_schemas::Task;

/// What to do with words on which student and ensemble disagree.
#[derive(Subcommand)]
pub(crate) enum Review {
    /// Print lines of JSON: words on which the student that serves and the ensemble disagree, in notes that no person has annotated
    /// for the task, those first where the student is surest. They hold text of notes.
    List(List),
    /// Write references from lines whose verdict was filled with true (a mention) or false (none).
    Apply(Apply),
}

/// Arguments of `review list`.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    config: ConfigArgs,
    /// So many of the surest lines, and the others of their notes and tasks.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Words of this task alone, disease, medication or symptom; may be given again; all three by default.
    #[arg(long = "task", value_name = "TASK", value_parser = crate::corpora::task)]
    tasks: Vec<Task>,
    /// Lines where the student gives what it says this probability at least, and the others of their notes and tasks.
    #[arg(long, value_name = "P", default_value_t = 0.8, value_parser = probability)]
    confidence: f64,
    /// Notes that the student reads at most, the newest first.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    notes_max: usize,
}

/// Arguments of `review apply`.
#[derive(Args)]
pub(crate) struct Apply {
    /// Lines of `review list`; those whose verdict is null are passed over.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who judged: the annotator of the references.
    #[arg(long, value_name = "NAME")]
    annotator: String,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Review {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Review::List(command) => command.run(),
            Review::Apply(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        let config = self.config.load()?.config;
        let log = open_written_log(&config)?;
        let tasks = if self.tasks.is_empty() { Task::ALL.to_vec() } else { self.tasks };
        let wanted = Wanted {
            tasks: tasks.into_iter().collect(),
            confidence_min: self.confidence,
            rows_max: self.limit,
            notes_max: self.notes_max,
        };
        let Listed { rows, found, notes, older, gone } = review::list(&config, log.as_ref(), &wanted)?;
        rows.iter().try_for_each(|row| print_line(serde_json::to_string(row)?))?;
        eprintln!(
            "{} of {found} lines, from {notes} notes that teachers labelled and nobody annotated; {older} older ones were \
             not read (--notes-max), {gone} are gone or have changed",
            rows.len()
        );
        Ok(ExitCode::SUCCESS)
    }
}

impl Apply {
    fn run(self) -> Result<ExitCode> {
        let config = self.config.load()?.config;
        let log = open_written_log(&config)?;
        let applied = review::apply(&config, log.as_ref(), &self.file, &self.annotator)?;
        let Applied { references, held_out, rows, unjudged, left_out } = applied;
        eprintln!(
            "{references} references written; {rows} verdicts are in the references of {}, and words that nobody judged are \
             taken from the ensemble; {unjudged} lines have no verdict",
            self.annotator
        );
        if held_out > 0 {
            eprintln!("{held_out} of the references are of patients who are held out: students are measured by them");
        }
        print_line(serde_json::to_string(&applied)?)?;
        if left_out > 0 {
            eprintln!(
                "{left_out} lines were left out: their texts are not current any more, or not labelled; list them anew"
            );
            return Ok(some_dead_lettered());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A probability on the command line.
fn probability(text: &str) -> Result<f64> {
    let probability: f64 = text.parse().context("write a number")?;
    ensure!((0.0..=1.0).contains(&probability), "choose a probability from 0 to 1");
    Ok(probability)
}
