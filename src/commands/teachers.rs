//! `stillroom teachers`: which there are, and which of them label best together.

use crate::commands::label::TeacherArgs;
use crate::commands::{print_line, some_dead_lettered};
use crate::corpora::{Drawn, Problems, ReadingArgs, gold_documents};
use crate::runtime::StudentConfig;
use crate::teaching::labels::runtime;
use crate::teaching::selecting::{OfTask, Scored, ask_all};
use crate::teaching::tallies::Tallies;
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use stillroom_dataflow::Bootstrap;
use stillroom_schemas::Task;
use stillroom_teachers::Profile;
use stillroom_teachers::ensemble::{Candidate, Choice, TEACHERS_MAX};

/// What to do about teachers.
#[derive(Subcommand)]
pub(crate) enum Teachers {
    /// Print the profiles that come with the program, as files to start from.
    List,
    /// Choose the subset of teachers and the rule that agree best with annotated documents.
    Select(Box<Select>),
}

impl Teachers {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Teachers::List => list(),
            Teachers::Select(select) => select.run(),
        }
    }
}

fn list() -> Result<ExitCode> {
    for name in Profile::built_in_names() {
        let profile = Profile::built_in(name).context("a profile is missing")?;
        print_line(format!("# {name}.toml\n{}", toml::to_string(&profile)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Arguments of `teachers select`.
#[derive(Args)]
pub(crate) struct Select {
    /// Annotated documents: a file or folder in a format of `corpus convert`, or a part of it, such as n2c2:dev.
    #[arg(long = "dev", required = true, value_name = "PATH[:PART]")]
    dev: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    #[command(flatten)]
    teachers: TeacherArgs,
    /// Where to write the choice, for `train --ensemble` and, in the configuration of `run`, `[teachers] ensemble`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print every subset under every rule as JSON, a line each, instead of each subset under its best rule as a table.
    #[arg(long)]
    json: bool,
    /// Rows of a task's table at most.
    #[arg(long, value_name = "N", default_value_t = 31)]
    rows: usize,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder of the student whose words are counted.
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
}

impl Select {
    fn run(self) -> Result<ExitCode> {
        let (mut documents, mut problems) = (Vec::new(), Problems::default());
        for path in &self.dev {
            documents.extend(gold_documents(path, &self.reading.config(), &Drawn::default(), &mut problems)?);
        }
        let tokenize = StudentConfig { folders: self.models.clone(), ..StudentConfig::default() }.tokenize()?;
        let (labeler, budget) = self.teachers.open()?;
        ensure!(
            labeler.teachers().len() <= TEACHERS_MAX,
            "{} teachers have too many subsets; name {TEACHERS_MAX} at most",
            labeler.teachers().len()
        );
        let (labeler, mut tallies) = (Arc::new(labeler), Tallies::default());
        let texts = documents.iter().map(|document| (document.text.as_str(), document.tasks.clone())).collect();
        let all: Vec<usize> = (0..labeler.teachers().len()).collect();
        let said = runtime()?.block_on(ask_all(&labeler, &all, texts, &mut tallies))?;
        eprintln!("{}", tallies.table(&labeler, &budget)?);
        let bootstrap = Bootstrap { seed: self.seed, ..Bootstrap::default() };
        let mut choice = Choice::default();
        for task in Task::ALL {
            let has_task = |teacher: &usize| labeler.teachers()[*teacher].tasks().contains(&task);
            let named = |teacher: &usize| (*teacher, labeler.teachers()[*teacher].name().to_owned());
            let teachers = all.iter().filter(|teacher| has_task(teacher)).map(named).collect();
            let of_task = OfTask::new(task, teachers, documents.iter().zip(said.iter().map(Vec::as_slice)));
            if of_task.is_empty() {
                continue;
            }
            let votes = of_task.votes(&tokenize)?;
            let candidates = votes.candidates();
            let scored = |candidate: &Candidate| of_task.scored(&votes, candidate, bootstrap);
            match self.json {
                true => candidates.iter().try_for_each(|candidate| print_line(as_json(&scored(candidate))))?,
                false => {
                    print_line(head(task, votes.notes(), of_task.left_out))?;
                    let mut seen = BTreeSet::new();
                    let best = candidates.iter().filter(|candidate| seen.insert(candidate.subset));
                    best.take(self.rows).try_for_each(|candidate| print_line(line(&scored(candidate))))?;
                }
            }
            if let Some(best) = candidates.first() {
                choice.0.insert(task, scored(best).chosen());
            }
        }
        ensure!(
            !choice.0.is_empty(),
            "no document has a useful answer of every teacher, so there is nothing to choose from"
        );
        if let Some(path) = &self.output {
            std::fs::write(path, choice.to_text()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

fn head(task: Task, documents: usize, left_out: usize) -> String {
    let left_out = if left_out == 0 { String::new() } else { format!(", {left_out} left out that lack an answer") };
    format!(
        "\n{}: {documents} documents{left_out}\n{:>9} {:>9} {:>9} {:>17} {:>10} {:>9}  {:<14} teachers",
        task.name(),
        "precision",
        "recall",
        "F1",
        "95 % interval",
        "USD/note",
        "s/note",
        "rule"
    )
}

/// A line of the table.
fn line(scored: &Scored) -> String {
    let (counts, ensemble) = (&scored.candidate.counts, &scored.candidate.ensemble);
    format!(
        "{:>9.4} {:>9.4} {:>9.4}   {:.4} to {:.4} {:>10.6} {:>9.4}  {:<14} {}",
        counts.precision(),
        counts.recall(),
        counts.f1(),
        scored.interval.0,
        scored.interval.1,
        scored.usd,
        scored.seconds,
        ensemble.rule.name(),
        ensemble.teachers.join(" + ")
    )
}

fn as_json(scored: &Scored) -> Value {
    let (counts, ensemble) = (&scored.candidate.counts, &scored.candidate.ensemble);
    let figures = BTreeMap::from([
        ("precision", counts.precision()),
        ("recall", counts.recall()),
        ("f1", counts.f1()),
        ("usd_a_note", scored.usd),
        ("seconds_a_note", scored.seconds),
    ]);
    json!({ "task": scored.task, "ensemble": ensemble, "counts": counts, "figures": figures, "interval": scored.interval })
}
