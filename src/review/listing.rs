//! Rows for people to judge.

use crate::config::Config;
use crate::retraining::{Current, Notes, notes_at};
use crate::review::ensembles;
use crate::review::ranking::{Disagreement, disagreements};
use crate::review::reader::{ReadText, Reader};
use crate::review::said::{Said, TextId};
use crate::wire::Wire;
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use stillroom_connectors::Log;
use stillroom_dataflow::{Example, ExampleKey, ExampleSource};
use stillroom_schemas::{ModelId, Note, Reference, Span, Task, TaskSet, TextHash};

/// So many code points of context stand before and after a row's words.
const CONTEXT_CODE_POINTS: usize = 80;

/// Which rows are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Of these tasks.
    pub(crate) tasks: TaskSet,
    /// Of notes and tasks with a row where the student is so sure at least, 0 to 1.
    pub(crate) confidence_min: f64,
    /// All of the notes and tasks of the first so many such rows, those first where the student is surest.
    pub(crate) rows_max: usize,
    /// Of so many notes at most, the newest.
    pub(crate) notes_max: usize,
}

/// Words on which student and ensemble disagree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    note_id: String,
    text_hash: TextHash,
    revision: u64,
    task: Task,
    /// First code point.
    start: u32,
    /// One past the last code point.
    end: u32,
    text: String,
    before: String,
    after: String,
    /// Whether the student tags the words.
    student: bool,
    /// Whether the ensemble does.
    ensemble: bool,
    /// The teachers that mark any of the words.
    teachers: Vec<String>,
    /// The student.
    model: ModelId,
    /// The mean probability of what the student says of the words.
    confidence: f64,
    /// Whether students are measured by what people say of this note.
    is_held_out: bool,
    /// For a person to fill: whether the words are a mention.
    verdict: Option<bool>,
}

/// What there is to judge.
pub(crate) struct Listed {
    /// In the order of their ranks.
    pub(crate) rows: Vec<Row>,
    /// Those that there were in all.
    pub(crate) found: usize,
    /// Notes that were read.
    pub(crate) notes: usize,
    /// Notes that were not, as there were too many.
    pub(crate) older: usize,
    /// Notes whose record has expired, or holds another text.
    pub(crate) gone: usize,
}

/// Ranks the words on which the student that serves and the ensembles disagree, in notes that no person has annotated for the task.
///
/// # Errors
/// When no ensemble is chosen, or log, student or ensembles cannot be read.
pub(crate) fn list(config: &Config, log: &dyn Log, wanted: &Wanted) -> Result<Listed> {
    ensembles(config)?;
    let wire = Wire::open(config)?;
    let mut reader = Reader::open(config)?;
    let tasks: TaskSet = wanted.tasks.intersection(&reader.tasks).copied().collect();
    let mut unreviewed = unreviewed(&Current::read(config, (log, &wire))?, &config.engine.topics.notes, &tasks);
    let older = unreviewed.len().saturating_sub(wanted.notes_max);
    unreviewed.truncate(wanted.notes_max);
    let mut places: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for note in &unreviewed {
        places.entry(note.partition).or_default().insert(note.offset);
    }
    let (chosen, notes) = (unreviewed.len(), notes_at(config, (log, &wire), places)?);
    let with_notes = with_notes(unreviewed, notes);
    let ids = with_notes.iter().map(|(unreviewed, _)| unreviewed.id.clone()).collect();
    let said = Said::read(config, (log, &wire), &ids)?;
    let texts: Vec<&str> = with_notes.iter().map(|(_, note)| note.text.as_str()).collect();
    let read = reader.read(&texts)?;
    let mut rows = Vec::new();
    for ((unreviewed, note), read) in with_notes.iter().zip(&read) {
        rows.extend(rows_of((unreviewed, note), read, &said.of(&unreviewed.id), &reader));
    }
    let found = rows.len();
    choose(&mut rows, wanted);
    Ok(Listed { rows, found, notes: with_notes.len(), older, gone: chosen - with_notes.len() })
}

/// A note that teachers have labelled and nobody has annotated.
struct Unreviewed {
    id: TextId,
    partition: u32,
    offset: u64,
    is_held_out: bool,
    /// What the ensemble says, by task.
    ensemble: BTreeMap<Task, Vec<Span>>,
}

/// The notes of which an ensemble, and no person, speaks for one of these tasks, the newest first.
fn unreviewed(current: &Current, topic: &str, tasks: &TaskSet) -> Vec<Unreviewed> {
    let mut notes: BTreeMap<(u64, u32, u64), Unreviewed> = BTreeMap::new();
    for (key, example) in current.examples() {
        let ExampleKey { note_id, partition, task } = key;
        if example.source != ExampleSource::Teachers || !tasks.contains(task) {
            continue;
        }
        let Example { offset, text_hash, is_held_out, spans, .. } = example;
        let place = (current.records_since(topic, key, example), *partition, *offset);
        let note = notes.entry(place).or_insert_with(|| Unreviewed {
            id: (note_id.clone(), text_hash.clone()),
            partition: *partition,
            offset: *offset,
            is_held_out: *is_held_out,
            ensemble: BTreeMap::new(),
        });
        note.ensemble.insert(*task, spans.clone());
    }
    notes.into_values().collect()
}

/// The notes whose texts are there, with them.
fn with_notes(unreviewed: Vec<Unreviewed>, mut notes: Notes) -> Vec<(Unreviewed, Note)> {
    let with_note = |of: Unreviewed| {
        let note = notes.remove(&(of.partition, of.offset))?;
        (TextHash::of(&note.text) == of.id.1).then_some((of, note))
    };
    unreviewed.into_iter().filter_map(with_note).collect()
}

/// All disagreements on a note.
fn rows_of(
    (unreviewed, note): (&Unreviewed, &Note),
    read: &ReadText,
    teachers: &BTreeMap<&str, &Reference>,
    reader: &Reader,
) -> Vec<Row> {
    let text: Vec<char> = note.text.chars().collect();
    let mut rows = Vec::new();
    for (&task, spans) in &unreviewed.ensemble {
        let probabilities: Vec<f32> = read.probabilities.iter().map(|word| word[task.index()]).collect();
        let is_of_ensemble = read.words.inside(spans);
        for disagreement in disagreements(&probabilities, reader.thresholds[task.index()], &is_of_ensemble) {
            let Disagreement { words, is_of_student, confidence } = disagreement;
            let (start, end) = (read.words.0[words.start].start, read.words.0[words.end - 1].end);
            let (first, last) = (start as usize, end as usize);
            let marks = |said: &Reference| {
                said.spans.iter().any(|span| span.task == task && span.start < end && start < span.end)
            };
            let marking = teachers.iter().filter(|(_, said)| marks(said));
            rows.push(Row {
                note_id: note.note_id.clone(),
                text_hash: unreviewed.id.1.clone(),
                revision: note.revision,
                task,
                start,
                end,
                text: text[first..last].iter().collect(),
                before: text[first.saturating_sub(CONTEXT_CODE_POINTS)..first].iter().collect(),
                after: text[last..(last + CONTEXT_CODE_POINTS).min(text.len())].iter().collect(),
                student: is_of_student,
                ensemble: !is_of_student,
                teachers: marking.map(|(teacher, _)| (*teacher).to_owned()).collect(),
                model: reader.model.clone(),
                confidence,
                is_held_out: unreviewed.is_held_out,
                verdict: None,
            });
        }
    }
    rows
}

/// Leaves the rows that are wanted, those first where the student is surest; of equal ones by note and place. A note has all of its
/// rows of a task or none: whoever judges it speaks for the whole.
fn choose(rows: &mut Vec<Row>, wanted: &Wanted) {
    rows.sort_by(|one, other| {
        let place = |row: &Row| (row.note_id.clone(), row.task, row.start);
        other.confidence.total_cmp(&one.confidence).then_with(|| place(one).cmp(&place(other)))
    });
    let of = |row: &Row| (row.note_id.clone(), row.text_hash.clone(), row.task);
    let surest = rows.iter().take_while(|row| row.confidence >= wanted.confidence_min).take(wanted.rows_max);
    let chosen: BTreeSet<(String, TextHash, Task)> = surest.map(of).collect();
    rows.retain(|row| chosen.contains(&of(row)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(note_id: &str, start: u32, confidence: f64) -> Row {
        Row {
            note_id: note_id.to_owned(),
            text_hash: TextHash::of(""),
            revision: 0,
            task: Task::Disease,
            start,
            end: start + 1,
            text: String::new(),
            before: String::new(),
            after: String::new(),
            student: true,
            ensemble: false,
            teachers: Vec::new(),
            model: ModelId("s@1".to_owned()),
            confidence,
            is_held_out: false,
            verdict: None,
        }
    }

    #[test]
    fn the_surest_come_first_with_all_of_their_notes() {
        let all = || vec![row("b", 3, 0.9), row("a", 7, 0.95), row("b", 1, 0.9), row("a", 9, 0.6), row("c", 0, 0.5)];
        let check = |confidence_min: f64, rows_max: usize, expected: &[(&str, u32)]| {
            let mut rows = all();
            choose(&mut rows, &Wanted { tasks: Task::ALL.into(), confidence_min, rows_max, notes_max: 9 });
            let order: Vec<(&str, u32)> = rows.iter().map(|row| (row.note_id.as_str(), row.start)).collect();
            assert_eq!(order, expected, "{confidence_min} {rows_max}");
        };
        check(0.0, 9, &[("a", 7), ("b", 1), ("b", 3), ("a", 9), ("c", 0)]);
        check(0.9, 9, &[("a", 7), ("b", 1), ("b", 3), ("a", 9)]);
        check(0.95, 9, &[("a", 7), ("a", 9)]);
        check(0.0, 2, &[("a", 7), ("b", 1), ("b", 3), ("a", 9)]);
        check(0.0, 0, &[]);
        check(1.0, 9, &[]);
    }

    #[test]
    fn a_row_is_a_line_with_an_empty_verdict() {
        let line = serde_json::to_string(&row("a", 1, 0.5)).unwrap();
        assert!(!line.contains('\n') && line.ends_with("\"verdict\":null}"), "{line}");
    }
}
