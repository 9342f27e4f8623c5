//! The teachers of a study: what they say, and which of them label best together.

use crate::estimate::Estimate;
use crate::study::config::StudyConfig;
use crate::study::data::{Data, Item};
use crate::study::report::{CandidateRow, Selection};
use crate::study::steps::{Steps, hash};
use crate::teaching::labels::runtime;
use crate::teaching::selecting::{OfTask, Said, ask_all};
use crate::teaching::tallies::Tallies;
use crate::teaching::{Wanted, nano_usd};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::sync::Arc;
use stillroom_connectors::Part;
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_dataflow::{Bootstrap, SoftSpan, TokenizeText, Words};
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_teachers::ensemble::Candidate;
use stillroom_teachers::{Budget, Labeler, Teacher};

/// The teachers.
pub(crate) struct Panel {
    labeler: Arc<Labeler>,
    budget: Arc<Budget>,
}

/// What teachers said of some texts, for one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Their names.
    pub(crate) teachers: Vec<String>,
    /// A row a text, in the order of the teachers.
    pub(crate) said: Vec<Vec<Said>>,
}

impl Panel {
    /// All teachers of the study. Without `keeps` nothing is written, and nobody may be asked.
    ///
    /// # Errors
    /// When one is unknown, cannot be used, may not see the texts, or cannot find what it is named for.
    pub(crate) fn open(config: &StudyConfig, keeps: bool) -> Result<Panel> {
        let names: BTreeSet<&String> = Task::ALL.iter().flat_map(|task| config.teachers.of(*task)).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let usd_max = config.teachers.usd_max;
        let (labeler, budget) = config.teachers_config().open(&Wanted {
            teachers: &names,
            budget: (usd_max > 0.0).then(|| nano_usd(usd_max)),
            keeps,
            is_public: config.teachers.public,
            retries_failed: false,
        })?;
        let panel = Panel { labeler: Arc::new(labeler), budget };
        for task in Task::ALL {
            for name in config.teachers.of(task) {
                ensure!(
                    panel.teacher(name)?.tasks().contains(&task),
                    "the teacher {name} cannot find a {0}; take it out of [teachers] {0}, or give it names or a prompt for that",
                    task.name()
                );
            }
        }
        Ok(panel)
    }

    /// A teacher by its name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn teacher(&self, name: &str) -> Result<&Teacher> {
        Ok(&self.labeler.teachers()[self.position(name)?])
    }

    fn position(&self, name: &str) -> Result<usize> {
        let found = self.labeler.teachers().iter().position(|teacher| teacher.name() == name);
        found.with_context(|| format!("there is no teacher {name}"))
    }

    /// What some teachers say of texts, for one task; asked as the step `name`.
    ///
    /// # Errors
    /// When a teacher gave no answer that another run may get.
    pub(crate) fn ask(
        &self,
        (steps, name): (&Steps, &str),
        task: Task,
        teachers: &[String],
        texts: &[&str],
    ) -> Result<Answers> {
        let tasks = TaskSet::from([task]);
        let positions = teachers.iter().map(|name| self.position(name)).collect::<Result<Vec<_>>>()?;
        let versions: Vec<String> =
            positions.iter().map(|&position| self.labeler.teachers()[position].version(&tasks)).collect();
        let said = steps.run(name, &(task, teachers, versions, hash(&texts)?), || {
            let mut tallies = Tallies::default();
            let questions = texts.iter().map(|text| (*text, tasks.clone())).collect();
            let said = runtime()?.block_on(ask_all(&self.labeler, &positions, questions, &mut tallies))?;
            eprintln!("{}", tallies.table(&self.labeler, &self.budget)?);
            let unanswered: Vec<&String> = said.iter().flatten().filter_map(|said| said.unanswered.as_ref()).collect();
            if let Some(reason) = unanswered.first() {
                bail!(
                    "{} questions about {} got no answer ({reason}); run the study again, and it asks these alone",
                    unanswered.len(),
                    task.name()
                );
            }
            Ok(said)
        })?;
        Ok(Answers { teachers: teachers.to_vec(), said })
    }
}

impl Answers {
    /// What a teacher said of a text.
    pub(crate) fn of(&self, text: usize, teacher: &str) -> Option<&Said> {
        let position = self.teachers.iter().position(|name| name == teacher)?;
        self.said.get(text)?.get(position)
    }

    /// The spans that an ensemble makes of a text; nothing where one of its teachers has no useful answer.
    pub(crate) fn merged(&self, text: usize, ensemble: &Ensemble, (words, task): (&Words, Task)) -> Option<Vec<Span>> {
        Some(ensemble.merge(words, task, &self.of_all(text, ensemble)?))
    }

    /// The shares of the teachers behind them.
    pub(crate) fn shares(
        &self,
        text: usize,
        ensemble: &Ensemble,
        (words, task): (&Words, Task),
    ) -> Option<Vec<SoftSpan>> {
        Some(ensemble.shares(words, task, &self.of_all(text, ensemble)?))
    }

    /// What each teacher of an ensemble says of a text.
    fn of_all(&self, text: usize, ensemble: &Ensemble) -> Option<Vec<&[Span]>> {
        ensemble.teachers.iter().map(|teacher| self.of(text, teacher)?.spans.as_deref()).collect()
    }
}

/// Every subset under every rule, on the dev documents among `items`, of which `answers` are.
///
/// # Errors
/// When no document has a useful answer of every teacher.
pub(crate) fn select(
    task: Task,
    (items, answers): (&[Item<'_>], &Answers),
    tokenize: &TokenizeText,
    bootstrap: Bootstrap,
) -> Result<Selection> {
    let teachers = answers.teachers.iter().cloned().enumerate().collect();
    let documents = items.iter().zip(&answers.said).filter(|(item, _)| item.part == Part::Dev);
    let of_task = OfTask::new(task, teachers, documents.map(|(item, said)| (item.document, said.as_slice())));
    ensure!(
        !of_task.is_empty(),
        "no dev document has a useful answer of every teacher for {}, so there is nothing to choose from",
        task.name()
    );
    let votes = of_task.votes(tokenize)?;
    let mut seen = BTreeSet::new();
    let row = |candidate: &Candidate| {
        let scored = of_task.scored(&votes, candidate, bootstrap);
        let (counts, (low, high)) = (scored.candidate.counts, scored.interval);
        CandidateRow {
            is_best_rule: seen.insert(candidate.subset),
            precision: counts.precision(),
            recall: counts.recall(),
            f1: Estimate { value: counts.f1(), low, high },
            counts,
            ensemble: scored.candidate.ensemble,
        }
    };
    let candidates = votes.candidates().iter().map(row).collect();
    Ok(Selection { task, documents: votes.notes(), left_out: of_task.left_out, candidates })
}

/// The documents of a task that everybody is measured on: all but those for training.
pub(crate) fn measured(data: &Data, task: Task) -> Vec<Item<'_>> {
    data.items(task).filter(|item| item.part != Part::Train).collect()
}
