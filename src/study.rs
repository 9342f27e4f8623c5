//! The published experiment, from one configuration: Vedula et al., arXiv 2501.00031.
//!
//! In: annotated corpora, teachers, bases. Out, in the folder of the study: `report.md`, `report.html`, `report.json`, students, and
//! a sheet of false positives. State: what is finished, by the hash of what it was made from, so that a killed run goes on and a changed
//! configuration does anew what depends on the change.
//!
//! ```text
//! datasets ─► panel (teachers say) ─► selection ─► lessons ─► students ─► read ─┐
//!    │             └──────────────────────┴────────────────────────────────────┼─► figures ─► report ─► tables, plots ─► pages
//!    └──────────────────────────────────────────────────────────────────────────┘       └─► review
//! ```

pub(crate) mod config;
mod data;
mod dataset;
mod figures;
mod pages;
mod panel;
mod plan;
mod plots;
mod report;
pub(crate) mod review;
mod seeds;
mod steps;
mod students;
mod tables;
mod training;

pub(crate) use plan::plan;

use crate::study::config::{HUMAN, StudyConfig, TEACHERS};
use crate::study::data::Data;
use crate::study::figures::{Evaluation, System};
use crate::study::panel::{Answers, Panel, measured, select};
use crate::study::report::{Kind, Machine, Report, Review, Selection, StudentRow};
use crate::study::steps::{Steps, hash};
use crate::study::students::{Read, bases, plans, read};
use crate::study::training::Lessons;
use crate::teaching::selecting::Said;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use stillroom_dataflow::{TokenizeText, Tokenizer};

/// The name of the chosen ensemble among the systems of a task.
const ENSEMBLE: &str = "ensemble";

/// What came of a study.
pub(crate) struct Done {
    /// The page.
    pub(crate) page: PathBuf,
    /// Annotations, documents and notes that were left out.
    pub(crate) problems: u64,
}

/// Runs a study to its end, from where it was left.
///
/// # Errors
/// When the configuration, a dataset, a teacher or a base cannot be used, or a teacher does not answer.
pub(crate) fn run(config: &StudyConfig) -> Result<Done> {
    Steps::check(&config.out, &config.name)?;
    let data = Data::load(config)?;
    let (notes, unreadable) = training::notes(config, &data)?;
    let plans = plans(config, &data, &notes)?;
    // Before teachers are paid.
    let bases = bases(config)?;
    let steps = Steps::open(&config.out, &config.name)?;
    let panel = Panel::open(config, true)?;
    let tokenizer = Tokenizer::words_only();
    let tokenize: TokenizeText = Arc::new(move |text: &str| tokenizer.tokenize(text));

    let (mut of_tasks, mut selections) = (BTreeMap::new(), Vec::new());
    for &task in &data.tasks {
        let evaluation = Evaluation::new(task, measured(&data, task), &tokenize)?;
        let teachers = config.teachers.of(task);
        let mut answers = Answers::default();
        if !teachers.is_empty() {
            let texts: Vec<&str> = evaluation.items.iter().map(|item| item.document.text.as_str()).collect();
            answers = panel.ask((&steps, &format!("teachers {}", task.name())), task, teachers, &texts)?;
            selections.push(select(task, (&evaluation.items, &answers), &tokenize, config.report.bootstrap())?);
        }
        of_tasks.insert(task, (evaluation, answers));
    }

    let lessons = Lessons::prepare(config, (&data, &notes), (&panel, &selections, &steps), &tokenize)?;
    let mut students: Vec<(StudentRow, Read)> = Vec::new();
    for plan in &plans {
        let student = plan.train(config, (&data, &bases, &lessons), &steps)?;
        let read = read(config, &data, &student, &steps)?;
        students.push((student, read));
    }

    let mut evaluations = Vec::new();
    for (task, (mut evaluation, answers)) in of_tasks {
        let chosen = selections.iter().find(|selection| selection.task == task);
        evaluation.systems = teacher_systems(config, &panel, (&evaluation, &answers), chosen)?;
        let of_task = students.iter().filter(|(student, _)| student.tasks.contains(&task));
        let systems: Vec<System> = of_task.map(|student| student_system(config, &evaluation, student)).collect();
        evaluation.systems.extend(systems);
        evaluations.push(evaluation);
    }
    let students = students.into_iter().map(|(student, _)| student).collect();
    let report = report(config, &data, (selections, students), &evaluations, &steps)?;
    write(&report, &steps)?;
    Ok(Done { page: steps.path("report.html"), problems: data.problems + unreadable })
}

/// The teachers of a task and their ensemble.
fn teacher_systems(
    config: &StudyConfig,
    panel: &Panel,
    (evaluation, answers): (&Evaluation<'_>, &Answers),
    selection: Option<&Selection>,
) -> Result<Vec<System>> {
    let (mut systems, hour) = (Vec::new(), usd_an_hour(config));
    for (at, name) in answers.teachers.iter().enumerate() {
        let is_local = panel.teacher(name)?.is_local();
        let answered = || answers.said.iter().map(|said| &said[at]);
        let count = answered().count().max(1) as f64;
        let seconds = answered().map(|said| said.seconds).sum::<f64>() / count;
        let usd = match is_local {
            true => hour.map(|hour| hour * seconds / 3600.0),
            false => answered().map(|said| said.usd).sum::<Option<f64>>().map(|usd| usd / count),
        };
        let certain = |said: &Said| said.spans.as_ref().map(|spans| spans.iter().map(|span| (*span, 1.0)).collect());
        let spans = answered().map(certain).collect();
        systems.push(System { name: name.clone(), kind: Kind::Teacher, teacher: None, spans, cost: (seconds, usd) });
    }
    let Some(chosen) = selection.and_then(|selection| selection.candidates.first()) else { return Ok(systems) };
    let members: Vec<usize> =
        (0..systems.len()).filter(|at| chosen.ensemble.teachers.contains(&systems[*at].name)).collect();
    let slowest = |said: &Vec<Said>| members.iter().map(|at| said[*at].seconds).fold(0.0, f64::max);
    let seconds = answers.said.iter().map(slowest).sum::<f64>() / answers.said.len().max(1) as f64;
    let usd = members.iter().map(|at| systems[*at].cost.1).sum();
    let merged = |row: usize| {
        let spans = answers.merged(row, &chosen.ensemble, (&evaluation.words[row], evaluation.task))?;
        Some(spans.into_iter().map(|span| (span, 1.0)).collect())
    };
    let spans = (0..evaluation.items.len()).map(merged).collect();
    systems.push(System {
        name: ENSEMBLE.to_owned(),
        kind: Kind::Ensemble,
        teacher: None,
        spans,
        cost: (seconds, usd),
    });
    Ok(systems)
}

fn student_system(config: &StudyConfig, evaluation: &Evaluation<'_>, (student, read): &(StudentRow, Read)) -> System {
    let teacher = match student.source.as_str() {
        HUMAN => None,
        TEACHERS => Some(ENSEMBLE.to_owned()),
        name => Some(name.to_owned()),
    };
    let spans = evaluation.items.iter().map(|item| read.spans.get(&item.index).cloned()).collect();
    let usd = usd_an_hour(config).map(|hour| hour * read.seconds / 3600.0);
    System { name: student.name.clone(), kind: Kind::Student, teacher, spans, cost: (read.seconds, usd) }
}

/// What the machine costs, if that is stated.
fn usd_an_hour(config: &StudyConfig) -> Option<f64> {
    Some(config.prices.usd_an_hour).filter(|usd| *usd > 0.0)
}

fn report(
    config: &StudyConfig,
    data: &Data,
    (selections, students): (Vec<Selection>, Vec<StudentRow>),
    evaluations: &[Evaluation<'_>],
    steps: &Steps,
) -> Result<Report> {
    let settings = &config.students;
    let machine = Machine {
        threads: settings.threads(),
        device: settings.device.clone(),
        precision: settings.precision.resolved(settings.reader(Vec::new()).is_on_gpu())?.to_string(),
        usd_an_hour: usd_an_hour(config),
    };
    let mut report = Report {
        name: config.name.clone(),
        stillroom: crate::VERSION.to_owned(),
        machine,
        samples: config.report.samples,
        problems: data.problems,
        datasets: data.rows()?,
        selections,
        students,
        main_groups: evaluations.iter().map(|evaluation| (evaluation.task, evaluation.main_group().0)).collect(),
        figures: Vec::new(),
        seed_means: Vec::new(),
        differences: Vec::new(),
        costs: Vec::new(),
        ratios: Vec::new(),
        reviews: reviews(config, evaluations, steps)?,
    };
    for evaluation in evaluations {
        let (figures, differences) = evaluation.figures(config.report.bootstrap());
        let (costs, ratios) = evaluation.costs();
        report.figures.extend(figures);
        report.differences.extend(differences);
        report.costs.extend(costs);
        report.ratios.extend(ratios);
    }
    report.seed_means = seeds::means(&report.students, &report.figures);
    Ok(report)
}

/// Writes the sheet. Its name is that of what is in it, so that a sheet that people have filled is never written over.
fn reviews(config: &StudyConfig, evaluations: &[Evaluation<'_>], steps: &Steps) -> Result<Vec<Review>> {
    let (rows_max, seed) = (config.report.review_rows, config.report.seed);
    let drawn = evaluations.iter().filter(|_| rows_max > 0);
    let (mut reviews, of_tasks): (Vec<Review>, Vec<Vec<review::Row>>) =
        drawn.filter_map(|evaluation| review::draw(evaluation, rows_max, seed)).unzip();
    let rows = of_tasks.concat();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let file = format!("review-{}.csv", &hash(&rows)?[..12]);
    if !steps.path(&file).exists() {
        steps.write(&file, &review::sheet(&rows)?)?;
    }
    reviews.iter_mut().for_each(|review| review.file.clone_from(&file));
    Ok(reviews)
}

fn write(report: &Report, steps: &Steps) -> Result<()> {
    let blocks = tables::blocks(report)?;
    for (number, svg) in (1..).zip(pages::plots(&blocks)) {
        steps.write(&pages::plot_file(number), svg.as_bytes())?;
    }
    let json = serde_json::to_string_pretty(report).context("the report cannot be written as JSON")? + "\n";
    steps.write("report.json", json.as_bytes())?;
    steps.write("report.md", pages::markdown(&report.name, &blocks).as_bytes())?;
    steps.write("report.html", pages::page(&report.name, &blocks).as_bytes())
}
