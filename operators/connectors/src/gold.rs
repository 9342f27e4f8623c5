//! Annotated documents from JSON Lines: a document a line, checked as it is read.

use crate::LogError;
use crate::disk::failed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use stillroom_dataflow::{Share, SoftSpan, SoftSpans};
use stillroom_schemas::{Span, Task, TaskSet};

/// A document and what its annotators found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldDocument {
    /// The document.
    pub id: String,
    /// Its text.
    pub text: String,
    /// What it was annotated for. A task that is not listed is unannotated, not empty.
    pub tasks: TaskSet,
    /// The mentions, in code points, in the order of the file.
    pub spans: Vec<Span>,
    /// What teachers say in shares of them, of the tasks that they and not people annotated; most documents have none.
    pub soft: SoftSpans,
}

impl GoldDocument {
    /// The document as a line that [`GoldDocuments`] reads, without its end.
    ///
    /// # Panics
    /// When a span does not lie in the text.
    pub fn to_line(&self) -> String {
        let points = CodePoints::new(&self.text);
        let entity = |&Span { task, start, end }: &Span| {
            let text = points.slice(start, end).expect("a span lies in its text").to_owned();
            Entity { task: task.name().to_owned(), start, end, text }
        };
        let row = Row {
            id: self.id.clone(),
            text: self.text.clone(),
            tasks: self.tasks.iter().map(|task| task.name().to_owned()).collect(),
            entities: self.spans.iter().map(entity).collect(),
            soft: self
                .soft
                .iter()
                .map(|(task, spans)| (task.name().to_owned(), spans.iter().map(row_of).collect()))
                .collect(),
        };
        serde_json::to_string(&row).expect("strings and numbers are JSON")
    }
}

/// A text by code points.
pub(crate) struct CodePoints<'a> {
    text: &'a str,
    /// The byte at which each code point starts, and the text's length.
    starts: Vec<usize>,
}

impl<'a> CodePoints<'a> {
    pub(crate) fn new(text: &'a str) -> CodePoints<'a> {
        let starts = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
        CodePoints { text, starts }
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// What stands at `start..end`; nothing when that is empty or goes beyond the text.
    pub(crate) fn slice(&self, start: u32, end: u32) -> Option<&'a str> {
        let bytes = *self.starts.get(start as usize)?..*self.starts.get(end as usize)?;
        self.text.get(bytes).filter(|_| start < end)
    }
}

/// Reads documents from a file of lines
/// `{"id", "text", "tasks": ["disease", …], "entities": [{"task", "start", "end", "text"}, …]}`; `start` and `end` are code
/// points, and `text[start..end]` must be the entity's text. Where teachers disagreed,
/// `"soft": {"disease": [[start, end, share], …]}` says which share of them takes the words there for a mention of the task; words
/// without such a span have a share of 0, and a task that is not in it has none. Other fields are ignored and blank lines skipped.
///
/// ```no_run
/// for document in stillroom_connectors::GoldDocuments::open("dev.jsonl".as_ref())? {
///     println!("{}", document?.id);
/// }
/// # Ok::<(), stillroom_connectors::LogError>(())
/// ```
#[derive(Debug)]
pub struct GoldDocuments {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
}

#[derive(Deserialize, Serialize)]
struct Row {
    id: String,
    text: String,
    tasks: Vec<String>,
    entities: Vec<Entity>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    soft: BTreeMap<String, Vec<SoftRow>>,
}

/// Start, end and share.
type SoftRow = (u32, u32, f32);

fn row_of(&SoftSpan { start, end, share }: &SoftSpan) -> SoftRow {
    (start, end, share.get())
}

#[derive(Deserialize, Serialize)]
struct Entity {
    task: String,
    start: u32,
    end: u32,
    text: String,
}

impl GoldDocuments {
    /// The documents of the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<GoldDocuments, LogError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Ok(GoldDocuments { path: path.to_owned(), reader: BufReader::new(file), line: 0 })
    }

    fn read(&mut self) -> Result<Option<GoldDocument>, LogError> {
        let mut line = Vec::new();
        while self.reader.read_until(b'\n', &mut line).map_err(failed("read", &self.path))? > 0 {
            self.line += 1;
            if !line.trim_ascii().is_empty() {
                let failed = |cause| LogError::Line { path: self.path.clone(), line: self.line, cause };
                return document(&line).map(Some).map_err(failed);
            }
            line.clear();
        }
        Ok(None)
    }
}

impl Iterator for GoldDocuments {
    type Item = Result<GoldDocument, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn document(line: &[u8]) -> Result<GoldDocument, String> {
    let row: Row = serde_json::from_slice(line).map_err(|error| what_is_wrong(&error))?;
    let tasks: TaskSet = row.tasks.iter().map(|name| task(name)).collect::<Result<_, _>>()?;
    let points = CodePoints::new(&row.text);
    let span = |(index, entity): (usize, &Entity)| {
        let Entity { start, end, .. } = *entity;
        let task = task(&entity.task).map_err(|cause| format!("entity {index}: {cause}"))?;
        if !tasks.contains(&task) {
            return Err(format!("entity {index} is a {}, but `tasks` does not list that", task.name()));
        }
        let Some(found) = points.slice(start, end) else {
            let length = points.len();
            return Err(format!("entity {index} is at {start}..{end}, but the text has {length} code points"));
        };
        if found != entity.text {
            return Err(format!(
                "entity {index}: its `text` is not what stands at {start}..{end}, counted in code points"
            ));
        }
        Ok(Span { task, start, end })
    };
    let spans = row.entities.iter().enumerate().map(span).collect::<Result<_, _>>()?;
    let soft = row.soft.iter().map(|(name, rows)| soft_spans((name.as_str(), rows.as_slice()), &tasks, &points));
    let soft = soft.collect::<Result<_, _>>()?;
    Ok(GoldDocument { id: row.id, tasks, spans, soft, text: row.text })
}

/// The soft labels of a task, each at a place of the text and with a share that can be one.
fn soft_spans(
    (name, rows): (&str, &[SoftRow]),
    tasks: &TaskSet,
    points: &CodePoints<'_>,
) -> Result<(Task, Vec<SoftSpan>), String> {
    let task = task(name).map_err(|cause| format!("`soft`: {cause}"))?;
    if !tasks.contains(&task) {
        return Err(format!("`soft` has {name}, but `tasks` does not list that"));
    }
    let span = |(index, &(start, end, share)): (usize, &SoftRow)| {
        if points.slice(start, end).is_none() {
            let length = points.len();
            return Err(format!("soft {name} {index} is at {start}..{end}, but the text has {length} code points"));
        }
        let refused = || format!("soft {name} {index} has the share {share}; write a number above 0 and at most 1");
        Ok(SoftSpan { start, end, share: Share::new(share).ok_or_else(refused)? })
    };
    Ok((task, rows.iter().enumerate().map(span).collect::<Result<_, _>>()?))
}

fn task(name: &str) -> Result<Task, String> {
    let found = Task::ALL.into_iter().find(|task| task.name() == name);
    found.ok_or_else(|| format!("unknown task {name:?}, expected disease, medication or symptom"))
}

/// What the parser says, unless that may quote the text.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.starts_with("missing field") {
        true => message.split(" at line").next().unwrap_or_default().to_owned(),
        false => format!("not a document from column {} on", error.column()),
    }
}
