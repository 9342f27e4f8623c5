//! Labels of teachers, made training documents by the chosen ensembles.
//!
//! In: labels, all of them first, then notes one by one. Out: a document for every note that an ensemble has all labels of. A label
//! is joined to a note by id and text; of a teacher's labels of one text the last counts. Whatever is not used is counted by its
//! reason.

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use stillroom_connectors::LogError;
use stillroom_dataflow::{SoftSpans, TokenizeText};
use stillroom_schemas::{Note, Reference, Span, Task, TextHash};
use stillroom_student::Document;
use stillroom_teachers::ensemble::Choice;

/// What teachers said, by note.
#[derive(Default)]
pub(crate) struct Labels {
    of_notes: HashMap<String, OfNote>,
    teachers: BTreeSet<String>,
}

#[derive(Default)]
struct OfNote {
    is_given: bool,
    texts: HashMap<TextHash, OfText>,
}

#[derive(Default)]
struct OfText {
    is_given: bool,
    /// By teacher.
    labels: BTreeMap<String, Reference>,
}

impl Labels {
    /// Reads the labels of a file, a line each; blank lines are skipped.
    ///
    /// # Errors
    /// When the file cannot be read; names the line that is not a label.
    pub(crate) fn read(&mut self, path: &Path) -> Result<()> {
        let about = || format!("cannot read the labels in {}", path.display());
        let file = BufReader::new(File::open(path).with_context(about)?);
        for (number, line) in (1..).zip(file.split(b'\n')) {
            let line = line.with_context(about)?;
            if !line.trim_ascii().is_empty() {
                let failed = |cause| LogError::Line { path: path.to_owned(), line: number, cause };
                self.add(label(&line).map_err(failed)?);
            }
        }
        Ok(())
    }

    fn add(&mut self, label: Reference) {
        self.teachers.insert(label.annotator.clone());
        let of_note = self.of_notes.entry(label.note_id.clone()).or_default();
        let of_text = of_note.texts.entry(label.text_hash.clone()).or_default();
        of_text.labels.insert(label.annotator.clone(), label);
    }
}

fn label(line: &[u8]) -> Result<Reference, String> {
    // What the parser says may quote the line.
    let label: Reference =
        serde_json::from_slice(line).map_err(|error| format!("not a label from column {} on", error.column()))?;
    let is_wrong = |span: &Span| span.start >= span.end || !label.tasks.contains(&span.task);
    match label.spans.iter().position(is_wrong) {
        Some(index) => Err(format!("span {index} is empty, or of a task that `tasks` does not list")),
        None => Ok(label),
    }
}

/// Makes documents of labelled notes.
pub(crate) struct Merging {
    choice: Choice,
    tokenize: TokenizeText,
    labels: Labels,
    /// Whether documents have the shares of the teachers, too.
    is_soft: bool,
    outcome: Outcome,
}

impl Merging {
    /// `tokenize` cuts the words that ensembles vote on.
    ///
    /// # Errors
    /// When an ensemble has a teacher of which there is no label.
    pub(crate) fn new(choice: Choice, tokenize: TokenizeText, labels: Labels) -> Result<Merging> {
        for (task, chosen) in &choice.0 {
            let is_absent = |teacher: &&String| !labels.teachers.contains(*teacher);
            if let Some(teacher) = chosen.ensemble.teachers.iter().find(is_absent) {
                let task = task.name();
                bail!(
                    "the ensemble for {task} has the teacher {teacher}, of which there is no label; label the notes with it too, choose \
                     among the teachers that there are, or name other tasks by --task"
                );
            }
        }
        let of_tasks = choice.0.keys().map(|task| (*task, 0)).collect();
        let outcome = Outcome { of_tasks, ..Outcome::default() };
        Ok(Merging { choice, tokenize, labels, is_soft: false, outcome })
    }

    /// The same, and documents have the shares of the teachers beside the mentions if `is_soft`.
    pub(crate) fn softly(self, is_soft: bool) -> Merging {
        Merging { is_soft, ..self }
    }

    /// What the ensembles say of a note; nothing when none has all of its labels. A task of which a label is missing is unannotated,
    /// not empty.
    ///
    /// # Errors
    /// When the text cannot be cut into words.
    pub(crate) fn merge(&mut self, note: Note) -> Result<Option<Document>> {
        let Some(of_note) = self.labels.of_notes.get_mut(&note.note_id) else {
            self.outcome.unlabelled += 1;
            return Ok(None);
        };
        of_note.is_given = true;
        let Some(of_text) = of_note.texts.get_mut(&TextHash::of(&note.text)) else {
            self.outcome.labelled_otherwise += 1;
            return Ok(None);
        };
        of_text.is_given = true;
        let words = (self.tokenize)(&note.text).with_context(|| format!("note {}", note.note_id))?.words;
        let label_of = |teacher: &str, task: Task| {
            of_text.labels.get(teacher).filter(|label| label.tasks.contains(&task)).map(|label| &label.spans[..])
        };
        let (tasks, spans) = self.choice.merge(&words, label_of);
        if tasks.is_empty() {
            self.outcome.incomplete += 1;
            return Ok(None);
        }
        self.outcome.documents += 1;
        tasks.iter().for_each(|task| *self.outcome.of_tasks.entry(*task).or_default() += 1);
        let soft = if self.is_soft { self.choice.shares(&words, label_of) } else { SoftSpans::new() };
        Ok(Some(Document { id: note.note_id, text: note.text, tasks, spans, soft }))
    }

    /// What became of notes and labels; `unreadable` notes came to nothing before.
    ///
    /// # Errors
    /// When no note became a document.
    pub(crate) fn finish(mut self, unreadable: u64) -> Result<Outcome> {
        self.outcome.unreadable = unreadable;
        let members = self.choice.teachers();
        for of_note in self.labels.of_notes.values() {
            for of_text in of_note.texts.values() {
                for teacher in of_text.labels.keys() {
                    match (members.contains(teacher), of_note.is_given, of_text.is_given) {
                        (false, ..) => self.outcome.of_no_ensemble += 1,
                        (true, false, _) => self.outcome.of_other_notes += 1,
                        (true, true, false) => self.outcome.of_other_texts += 1,
                        (true, true, true) => {}
                    }
                }
            }
        }
        ensure!(
            self.outcome.documents > 0,
            "there is no note to learn from: {}\nlabel these very notes, each by the teachers {}",
            self.outcome,
            members.join(", ")
        );
        Ok(self.outcome)
    }
}

/// What became of notes and labels.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    documents: u64,
    of_tasks: BTreeMap<Task, u64>,
    /// Notes without any label.
    unlabelled: u64,
    /// Notes of which another text was labelled.
    labelled_otherwise: u64,
    /// Notes of which no ensemble has all labels.
    incomplete: u64,
    unreadable: u64,
    /// Labels of texts that the notes do not have.
    of_other_texts: u64,
    /// Labels of notes that are not there.
    of_other_notes: u64,
    /// Labels by teachers that are in none of the ensembles.
    of_no_ensemble: u64,
}

/// For people: a line, and one more each for notes and labels that were left out.
impl Display for Outcome {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let left_out = [
            (self.unlabelled, "without a label"),
            (self.labelled_otherwise, "of which another text was labelled"),
            (self.incomplete, "without all labels of an ensemble"),
            (self.unreadable, "that could not be read"),
        ];
        let unused = [
            (self.of_other_texts, "of another text"),
            (self.of_other_notes, "of a note that is not there"),
            (self.of_no_ensemble, "by a teacher in no ensemble"),
        ];
        let notes = self.documents + left_out.iter().map(|(count, _)| count).sum::<u64>();
        let of_tasks: Vec<String> = self.of_tasks.iter().map(|(task, n)| format!("{} {n}", task.name())).collect();
        write!(formatter, "{} of {notes} notes became training documents: {}", self.documents, of_tasks.join(", "))?;
        for (what, reasons) in [("notes left out", &left_out[..]), ("labels not used", &unused[..])] {
            let counted = reasons.iter().filter(|(count, _)| *count > 0);
            let reasons: Vec<String> = counted.map(|(count, reason)| format!("{count} {reason}")).collect();
            if !reasons.is_empty() {
                write!(formatter, "\n{what}: {}", reasons.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
