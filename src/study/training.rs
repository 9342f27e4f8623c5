//! What the students of a study learn from: documents as people annotated them, or as teachers did.

use crate::study::config::{HUMAN, StudyConfig, TEACHERS};
use crate::study::data::{Data, Item};
use crate::study::panel::{Answers, Panel};
use crate::study::report::Selection;
use crate::study::steps::Steps;
use crate::study::students::{Plan, corpora_of};
use anyhow::Result;
use std::collections::BTreeMap;
use stillroom_connectors::Part;
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_dataflow::{SoftSpan, SoftSpans, TokenizeText};
use stillroom_schemas::{Note, Span, Task, TaskSet};
use stillroom_student::{Corpus, Document};

/// What teachers said of the training documents, for each task.
pub(crate) struct Lessons<'a> {
    tokenize: &'a TokenizeText,
    ensembles: BTreeMap<Task, Ensemble>,
    /// By the task: the documents and what was said of them, the notes and what was said of those.
    of_tasks: BTreeMap<Task, OfTask<'a>>,
    notes: &'a [Note],
    /// Whether the shares of the teachers are learned.
    is_soft: bool,
}

/// What is learned of a text for a task: the mentions, and the shares of the teachers behind them.
type Lesson = (Vec<Span>, Option<Vec<SoftSpan>>);

struct OfTask<'a> {
    items: Vec<Item<'a>>,
    of_items: Answers,
    of_notes: Answers,
}

/// The notes without annotations that teachers label, and how many lines are none.
///
/// # Errors
/// When they cannot be read, or have texts of documents that students are chosen by or measured on.
pub(crate) fn notes(config: &StudyConfig, data: &Data) -> Result<(Vec<Note>, u64)> {
    let (mut notes, mut unreadable) = (Vec::new(), 0);
    if !config.students.notes.is_empty() {
        unreadable = data.held_out().learn(&config.students.notes, |note| {
            notes.push(note);
            Ok(())
        })?;
    }
    Ok((notes, unreadable))
}

/// The teachers who label the training documents of a task: those of the ensemble, and those from whom alone a student learns.
pub(crate) fn labelling(config: &StudyConfig, task: Task, ensemble: Option<&Ensemble>) -> Vec<String> {
    let sources = &config.students.sources;
    let wanted = |name: &&String| {
        let is_member = ensemble.is_none_or(|ensemble| ensemble.teachers.contains(name));
        sources.iter().any(|source| (source == TEACHERS && is_member) || source == *name)
    };
    match config.students.bases.is_empty() {
        true => Vec::new(),
        false => config.teachers.of(task).iter().filter(wanted).cloned().collect(),
    }
}

impl<'a> Lessons<'a> {
    /// Has the training documents labelled.
    ///
    /// # Errors
    /// When a teacher does not answer.
    pub(crate) fn prepare(
        config: &StudyConfig,
        (data, notes): (&'a Data, &'a [Note]),
        (panel, selections, steps): (&Panel, &[Selection], &Steps),
        tokenize: &'a TokenizeText,
    ) -> Result<Lessons<'a>> {
        let chosen = |selection: &Selection| Some((selection.task, selection.candidates.first()?.ensemble.clone()));
        let ensembles: BTreeMap<Task, Ensemble> = selections.iter().filter_map(chosen).collect();
        let mut of_tasks = BTreeMap::new();
        for &task in &data.tasks {
            let teachers = labelling(config, task, ensembles.get(&task));
            let items: Vec<Item<'_>> = data.items(task).filter(|item| item.part == Part::Train).collect();
            let (mut of_items, mut of_notes) = (Answers::default(), Answers::default());
            if !teachers.is_empty() {
                let texts: Vec<&str> = items.iter().map(|item| item.document.text.as_str()).collect();
                of_items = panel.ask((steps, &format!("training {}", task.name())), task, &teachers, &texts)?;
                let texts: Vec<&str> = notes.iter().map(|note| note.text.as_str()).collect();
                if !texts.is_empty() {
                    of_notes = panel.ask((steps, &format!("notes {}", task.name())), task, &teachers, &texts)?;
                }
            }
            of_tasks.insert(task, OfTask { items, of_items, of_notes });
        }
        Ok(Lessons { tokenize, ensembles, of_tasks, notes, is_soft: config.students.recipe.soft })
    }

    /// What a student learns from, a corpus a dataset, and one of the notes.
    ///
    /// # Errors
    /// When a text cannot be cut into words.
    pub(crate) fn corpora(&self, plan: &Plan, data: &Data) -> Result<Vec<Corpus>> {
        match plan.source.as_str() {
            HUMAN => {
                let items = data.all().filter(|item| item.part == Part::Train);
                corpora_of(items.filter_map(|item| plan.of_people(&item)), "train")
            }
            _ => self.taught(plan),
        }
    }

    fn taught(&self, plan: &Plan) -> Result<Vec<Corpus>> {
        let mut documents: BTreeMap<usize, (String, Document)> = BTreeMap::new();
        let mut of_notes: BTreeMap<usize, (String, Document)> = BTreeMap::new();
        for &task in &plan.tasks {
            let Some(OfTask { items, of_items, of_notes: said_of_notes }) = self.of_tasks.get(&task) else { continue };
            for (row, item) in items.iter().enumerate() {
                let text = &item.document.text;
                if let Some(lesson) = self.lesson(plan, task, (of_items, row), text)? {
                    let untaught = || (item.dataset.to_owned(), untaught(&item.document.id, text));
                    teach(&mut documents.entry(item.index).or_insert_with(untaught).1, task, lesson);
                }
            }
            for (row, note) in self.notes.iter().enumerate() {
                if let Some(lesson) = self.lesson(plan, task, (said_of_notes, row), &note.text)? {
                    let untaught = || ("notes".to_owned(), untaught(&note.note_id, &note.text));
                    teach(&mut of_notes.entry(row).or_insert_with(untaught).1, task, lesson);
                }
            }
        }
        let documents = documents.into_values().chain(of_notes.into_values());
        corpora_of(documents, &format!("train by {}", plan.source))
    }

    /// What a student's source says of a text; nothing where it has no useful answer.
    fn lesson(&self, plan: &Plan, task: Task, (answers, row): (&Answers, usize), text: &str) -> Result<Option<Lesson>> {
        if plan.source != TEACHERS {
            let spans = answers.of(row, &plan.source).and_then(|said| said.spans.clone());
            return Ok(spans.map(|spans| (spans, None)));
        }
        let Some(ensemble) = self.ensembles.get(&task) else { return Ok(None) };
        let words = (self.tokenize)(text)?.words;
        let soft = if self.is_soft { answers.shares(row, ensemble, (&words, task)) } else { None };
        Ok(answers.merged(row, ensemble, (&words, task)).map(|spans| (spans, soft)))
    }
}

fn untaught(id: &str, text: &str) -> Document {
    let (tasks, spans, soft) = (TaskSet::new(), Vec::new(), SoftSpans::new());
    Document { id: id.to_owned(), text: text.to_owned(), tasks, spans, soft }
}

fn teach(document: &mut Document, task: Task, (spans, soft): Lesson) {
    document.tasks.insert(task);
    document.spans.extend(spans.into_iter().filter(|span| span.task == task));
    document.soft.extend(soft.map(|soft| (task, soft)));
}
