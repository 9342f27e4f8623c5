//! `stillroom teachers`: which there are, and which of them label best together.

use crate::commands::label::TeacherArgs;
use crate::commands::{print_line, some_dead_lettered};
use crate::corpora::{Drawn, Problems, ReadingArgs, gold_documents};
use crate::runtime::StudentConfig;
use crate::teaching::labels::{TEXTS_OPEN_MAX, label_all, runtime, usd};
use crate::teaching::tallies::Tallies;
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use stillroom_connectors::GoldDocument;
use stillroom_dataflow::ensemble::NoteVotes;
use stillroom_schemas::{Span, Task};
use stillroom_teachers::ensemble::{Candidate, Choice, Chosen, TEACHERS_MAX, Votes};
use stillroom_teachers::{Found, Labeled, Labeler, Profile};

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

/// What the teachers said of one document.
struct Said {
    /// In the order of the teachers; nothing where there is no useful answer.
    spans: Vec<Option<Vec<Span>>>,
    /// Dollars and seconds.
    cost: Vec<(f64, f64)>,
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
        let said = runtime()?.block_on(ask_all(&labeler, &documents, &mut tallies))?;
        eprintln!("{}", tallies.table(&labeler, &budget)?);
        let mut choice = Choice::default();
        for task in Task::ALL {
            let of_task = OfTask::new(task, &labeler, &documents, &said);
            if of_task.teachers.is_empty() || of_task.documents.is_empty() {
                continue;
            }
            let votes = of_task.votes(&tokenize)?;
            let candidates = votes.candidates();
            let scored = |candidate: &Candidate| {
                let interval = votes.interval(candidate, self.seed);
                let (usd, seconds) = of_task.cost(candidate);
                Row { task, interval, usd, seconds, candidate: candidate.clone() }
            };
            match self.json {
                true => candidates.iter().try_for_each(|candidate| print_line(scored(candidate).to_json()))?,
                false => {
                    print_line(head(task, votes.notes(), of_task.left_out))?;
                    let mut seen = BTreeSet::new();
                    let best = candidates.iter().filter(|candidate| seen.insert(candidate.subset));
                    best.take(self.rows).try_for_each(|candidate| print_line(scored(candidate).to_line()))?;
                }
            }
            if let Some(best) = candidates.first() {
                choice.0.insert(task, scored(best).into_chosen());
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

async fn ask_all(labeler: &Arc<Labeler>, documents: &[GoldDocument], tallies: &mut Tallies) -> Result<Vec<Said>> {
    let ask = |document: &GoldDocument| label_all(Arc::clone(labeler), document.text.clone(), document.tasks.clone());
    let mut labelled = stream::iter(documents).map(ask).buffered(TEXTS_OPEN_MAX);
    let mut said = Vec::with_capacity(documents.len());
    while let Some(labels) = labelled.try_next().await? {
        let mut of_document = Said { spans: Vec::new(), cost: Vec::new() };
        for (teacher, label) in labeler.teachers().iter().zip(labels) {
            if let Some(label) = &label {
                tallies.add(teacher, label);
            }
            let answer = match label {
                Some(Labeled::Answered { answer, .. }) => Some(answer),
                _ => None,
            };
            let cost =
                answer.as_ref().map_or((0.0, 0.0), |answer| (usd(answer.cost_nano_usd.unwrap_or(0)), answer.seconds));
            of_document.cost.push(cost);
            of_document.spans.push(answer.and_then(|answer| match answer.found {
                Found::Spans { spans, .. } => Some(spans),
                Found::Failed { .. } => None,
            }));
        }
        said.push(of_document);
    }
    Ok(said)
}

/// What belongs to one task.
struct OfTask<'a> {
    task: Task,
    /// Positions and names of the teachers that have the task.
    teachers: Vec<(usize, &'a str)>,
    /// The documents that were annotated for the task, and have a useful answer of every such teacher.
    documents: Vec<(&'a GoldDocument, &'a Said)>,
    /// Those that lack an answer.
    left_out: usize,
}

impl<'a> OfTask<'a> {
    fn new(task: Task, labeler: &'a Labeler, documents: &'a [GoldDocument], said: &'a [Said]) -> OfTask<'a> {
        let teachers = labeler.teachers().iter().enumerate();
        let teachers: Vec<(usize, &str)> = teachers
            .filter(|(_, teacher)| teacher.tasks().contains(&task))
            .map(|(at, teacher)| (at, teacher.name()))
            .collect();
        let annotated = documents.iter().zip(said).filter(|(document, _)| document.tasks.contains(&task));
        let (whole, partial): (Vec<_>, Vec<_>) =
            annotated.partition(|(_, said)| teachers.iter().all(|(at, _)| said.spans[*at].is_some()));
        OfTask { task, teachers, documents: whole, left_out: partial.len() }
    }

    fn votes(&self, tokenize: &stillroom_dataflow::TokenizeText) -> Result<Votes> {
        let count = |(document, said): &(&GoldDocument, &Said)| {
            let words = tokenize(&document.text)?.words;
            let of_teacher = |(at, _): &(usize, &str)| said.spans[*at].as_deref().unwrap_or_default();
            let labels: Vec<&[Span]> = self.teachers.iter().map(of_teacher).collect();
            Ok(NoteVotes::count(&words, self.task, &labels, &document.spans))
        };
        let notes = self.documents.iter().map(count).collect::<Result<_>>()?;
        Ok(Votes::new(self.teachers.iter().map(|(_, name)| (*name).to_owned()).collect(), notes))
    }

    /// Dollars a note, over all teachers of a candidate, and seconds a note, of the slowest, as they are asked at once.
    fn cost(&self, candidate: &Candidate) -> (f64, f64) {
        let members: Vec<usize> = (0..self.teachers.len())
            .filter(|bit| candidate.subset & (1 << bit) != 0)
            .map(|bit| self.teachers[bit].0)
            .collect();
        let (mut dollars, mut seconds) = (0.0, 0.0);
        for (_, said) in &self.documents {
            dollars += members.iter().map(|member| said.cost[*member].0).sum::<f64>();
            seconds += members.iter().map(|member| said.cost[*member].1).fold(0.0, f64::max);
        }
        let notes = self.documents.len() as f64;
        (dollars / notes, seconds / notes)
    }
}

/// A line of the table.
struct Row {
    task: Task,
    interval: (f64, f64),
    usd: f64,
    seconds: f64,
    candidate: Candidate,
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

impl Row {
    fn to_line(&self) -> String {
        let (counts, ensemble) = (&self.candidate.counts, &self.candidate.ensemble);
        format!(
            "{:>9.4} {:>9.4} {:>9.4}   {:.4} to {:.4} {:>10.6} {:>9.4}  {:<14} {}",
            counts.precision(),
            counts.recall(),
            counts.f1(),
            self.interval.0,
            self.interval.1,
            self.usd,
            self.seconds,
            ensemble.rule.name(),
            ensemble.teachers.join(" + ")
        )
    }

    fn to_json(&self) -> Value {
        let (counts, ensemble) = (&self.candidate.counts, &self.candidate.ensemble);
        let figures = BTreeMap::from([
            ("precision", counts.precision()),
            ("recall", counts.recall()),
            ("f1", counts.f1()),
            ("usd_a_note", self.usd),
            ("seconds_a_note", self.seconds),
        ]);
        json!({ "task": self.task, "ensemble": ensemble, "counts": counts, "figures": figures, "interval": self.interval })
    }

    fn into_chosen(self) -> Chosen {
        let Candidate { ensemble, counts, .. } = self.candidate;
        Chosen { f1: counts.f1(), interval: self.interval, documents: counts.notes, ensemble }
    }
}
