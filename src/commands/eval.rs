//! `stillroom eval`: precision, recall and F1 against gold annotations.

use crate::commands::print_line;
use crate::commands::train::gold_documents;
use crate::engine::{Committed, EngineConfig, Observer, Topics};
use crate::offline;
use crate::runtime::{Runtime, StudentConfig};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stillroom_connectors::{GoldDocument, LogError, Source};
use stillroom_dataflow::{Output, Position, Record, TokenizeText, score_spans};
use stillroom_schemas::{Counts, Level, Note, OffsetUnit, Span, Task};
use stillroom_student::Precision;

/// The topic on which gold documents enter the topology.
const GOLD_TOPIC: &str = "gold";

/// Arguments of `eval`.
#[derive(Args)]
pub(crate) struct Eval {
    /// Annotated documents, JSON Lines: {"id", "text", "tasks", "entities": [{"task", "start", "end", "text"}, …]}.
    #[arg(long = "gold", required = true, value_name = "FILE")]
    gold: Vec<PathBuf>,
    /// Score these lines, as `extract` writes them, instead of running the student; `note_id` is the document's id.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Folder of a student; may be given again for students with tasks of their own.
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// cpu, or cuda:0 in a build with the feature cuda.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How a processor multiplies: int8, or f32 as in training.
    #[arg(long, default_value_t)]
    precision: Precision,
}

/// Spans by document; a document that is absent has not been predicted.
type Predictions = HashMap<String, Vec<Span>>;

impl Eval {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut documents = Vec::new();
        for path in &self.gold {
            documents.extend(gold_documents(path)?);
        }
        let (folders, device, precision) = (self.models, self.device, self.precision);
        let student = StudentConfig { folders, device, precision, ..StudentConfig::default() };
        // Ids need not be unique over several files, so the student's documents go by their number.
        let (tokenize, spans) = match &self.predictions {
            Some(path) => (student.tokenize()?, read_predictions(path, &documents)?),
            None => {
                let config = engine_config();
                let runtime = student.start(&config)?;
                (Arc::clone(&runtime.tokenize), predict(runtime, &config, &documents)?)
            }
        };
        let totals = score(&tokenize, &documents, &spans)?;
        print_line(if self.json { as_json(&totals).to_string() } else { table(&totals) })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Counts by level and task, over the tasks that each document was annotated for.
type Totals = BTreeMap<Level, BTreeMap<Task, Counts>>;

fn score(tokenize: &TokenizeText, documents: &[GoldDocument], predicted: &[Vec<Span>]) -> Result<Totals> {
    let mut totals = Totals::new();
    for (document, predicted) in documents.iter().zip(predicted) {
        let words = tokenize(&document.text)?.words;
        for &task in &document.tasks {
            let scores = score_spans(&words, task, predicted, &document.spans);
            for (level, counts) in Level::ALL.into_iter().zip(scores) {
                *totals.entry(level).or_default().entry(task).or_default() += counts;
            }
        }
    }
    Ok(totals)
}

/// Of a run over gold documents. They are not notes that came from anywhere, so none is too large.
fn engine_config() -> EngineConfig {
    let topics = Topics { notes: GOLD_TOPIC.to_owned(), ..Topics::default() };
    EngineConfig { topics, note_bytes_max: 1 << 30, ..EngineConfig::default() }
}

/// The spans of every document by the student, through the extraction topology.
fn predict(runtime: Runtime, config: &EngineConfig, documents: &[GoldDocument]) -> Result<Vec<Vec<Span>>> {
    let found = Arc::new(Mutex::new(vec![None; documents.len()]));
    let source = Box::new(Gold::new(documents)?);
    let totals = offline::extract(runtime, config, offline::Input::whole(source), Box::new(Found(Arc::clone(&found))))?;
    let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    let missing = || format!("{} of {} documents were not extracted", totals.notes - totals.extracted, documents.len());
    found.into_iter().collect::<Option<_>>().with_context(missing)
}

struct Found(Arc<Mutex<Vec<Option<Vec<Span>>>>>);

impl Observer for Found {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for output in committed.outputs {
            match output {
                Output::Extracted { position, extraction, .. } => {
                    let span = |entity: &stillroom_schemas::Entity| Span {
                        task: entity.task,
                        start: entity.start,
                        end: entity.end,
                    };
                    found[position.offset as usize] = Some(extraction.entities.iter().map(span).collect());
                }
                Output::DeadLettered { letter, .. } => {
                    bail!("document {} cannot be read: {}", letter.offset + 1, letter.error)
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Gold documents as notes, each under its number.
struct Gold {
    records: VecDeque<Record>,
    is_paused: bool,
}

impl Gold {
    fn new(documents: &[GoldDocument]) -> Result<Gold> {
        let record = |(offset, document): (usize, &GoldDocument)| -> Result<Record> {
            let note_id = offset.to_string();
            let note = Note {
                note_id: note_id.clone(),
                patient_id: None,
                revision: 0,
                note_type: None,
                site: None,
                signed_at: None,
                text: document.text.clone(),
            };
            let position = Position { partition: 0, offset: offset as u64 };
            let value = Some(serde_json::to_vec(&note)?);
            Ok(Record {
                topic: GOLD_TOPIC.into(),
                position,
                key: Some(note_id.into_bytes()),
                value,
                headers: Vec::new(),
            })
        };
        let records = documents.iter().enumerate().map(record).collect::<Result<_>>()?;
        Ok(Gold { records, is_paused: false })
    }
}

impl Source for Gold {
    fn partitions(&mut self, _topic: &str) -> Result<u32, LogError> {
        Ok(1)
    }
    fn assign(&mut self, _topic: &str, _partition: u32, _next: u64) -> Result<(), LogError> {
        Ok(())
    }
    fn poll(&mut self, bytes_max: usize, _wait: Duration) -> Result<Vec<Record>, LogError> {
        let (mut bytes, mut batch) = (0, Vec::new());
        while let Some(record) = self.records.front().filter(|_| !self.is_paused) {
            bytes += record.value.as_ref().map_or(0, Vec::len);
            if bytes > bytes_max && !batch.is_empty() {
                break;
            }
            batch.extend(self.records.pop_front());
        }
        Ok(batch)
    }
    fn pause(&mut self) {
        self.is_paused = true;
    }
    fn resume(&mut self) {
        self.is_paused = false;
    }
    fn is_finished(&self) -> bool {
        self.records.is_empty()
    }
}

/// What of an extraction is scored.
#[derive(Deserialize)]
struct Prediction {
    note_id: String,
    #[serde(default)]
    offset_unit: OffsetUnit,
    entities: Vec<PredictedEntity>,
}

#[derive(Deserialize)]
struct PredictedEntity {
    #[serde(flatten)]
    span: Span,
    text: Option<String>,
}

impl PredictedEntity {
    /// Whether it stands in `text` where it says.
    fn is_in(&self, text: &str) -> bool {
        let Span { start, end, .. } = self.span;
        let (skipped, length) = (start as usize, end.saturating_sub(start) as usize);
        let found: String = text.chars().skip(skipped).take(length).collect();
        start < end && found.chars().count() == length && self.text.as_ref().is_none_or(|said| *said == found)
    }
}

fn read_predictions(path: &Path, documents: &[GoldDocument]) -> Result<Vec<Vec<Span>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut by_id = Predictions::new();
    let texts: HashMap<&str, &str> = documents.iter().map(|gold| (gold.id.as_str(), gold.text.as_str())).collect();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {} after line {number}", path.display()))?;
        if line.trim().is_empty() {
            continue;
        }
        // What the parser says may quote the line, which holds text of a note.
        let Ok(prediction) = serde_json::from_str::<Prediction>(&line) else {
            bail!(
                "{}:{}: not a line of `stillroom extract`: note_id or entities are missing or wrong",
                path.display(),
                number + 1
            );
        };
        ensure!(
            prediction.offset_unit == OffsetUnit::CodePoint,
            "{}:{}: gold is counted in code points; extract again with --offset-unit code_point",
            path.display(),
            number + 1
        );
        let text = texts.get(prediction.note_id.as_str()).copied();
        if let Some(index) = text.and_then(|text| prediction.entities.iter().position(|entity| !entity.is_in(text))) {
            bail!(
                "{}:{}: entity {index} is not in the gold document where it says, in code points; extract from these texts again",
                path.display(),
                number + 1
            );
        }
        by_id.insert(prediction.note_id, prediction.entities.into_iter().map(|entity| entity.span).collect());
    }
    let ids: std::collections::HashSet<&str> = documents.iter().map(|document| document.id.as_str()).collect();
    let known = by_id.keys().filter(|id| ids.contains(id.as_str())).count();
    ensure!(known > 0, "{} predicts none of the gold documents; its note_id must be their id", path.display());
    if known < ids.len() {
        eprintln!("{} of {} documents have no prediction: they count as predicted empty", ids.len() - known, ids.len());
    }
    Ok(documents.iter().map(|document| by_id.get(&document.id).cloned().unwrap_or_default()).collect())
}

fn as_json(totals: &Totals) -> serde_json::Value {
    let figures = |counts: &Counts| {
        serde_json::json!({
            "precision": counts.precision(), "recall": counts.recall(), "f1": counts.f1(),
            "tp": counts.tp, "fp": counts.fp, "fn": counts.fn_,
        })
    };
    let of_level = |level: &Level| -> BTreeMap<&str, serde_json::Value> {
        totals.get(level).into_iter().flatten().map(|(task, counts)| (task.name(), figures(counts))).collect()
    };
    serde_json::json!({
        "word": of_level(&Level::Word),
        "span_exact": of_level(&Level::SpanExact),
        "span_overlap": of_level(&Level::SpanOverlap),
    })
}

fn table(totals: &Totals) -> String {
    let head = ["level", "task", "precision", "recall", "F1", "tp", "fp", "fn"];
    let [level, task, precision, recall, f1, tp, fp, fn_] = head;
    let mut lines = vec![format!("{level:<12} {task:<10} {precision:>9} {recall:>9} {f1:>9} {tp:>7} {fp:>7} {fn_:>7}")];
    for (level, tasks) in totals {
        let level = match level {
            Level::Word => "word",
            Level::SpanExact => "span exact",
            Level::SpanOverlap => "span overlap",
        };
        for (task, counts) in tasks {
            let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
            let (task, Counts { tp, fp, fn_, .. }) = (task.name(), counts);
            lines.push(format!(
                "{level:<12} {task:<10} {precision:>9.4} {recall:>9.4} {f1:>9.4} {tp:>7} {fp:>7} {fn_:>7}"
            ));
        }
    }
    lines.join("\n")
}
