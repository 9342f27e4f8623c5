//! `stillroom eval`: precision, recall and F1 against gold annotations.

use crate::commands::{print_line, some_dead_lettered};
use crate::corpora::{Drawn, Problems, ReadingArgs, gold_documents};
use crate::evaluation::extract_gold;
use crate::runtime::StudentConfig;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use stillroom_connectors::GoldDocument;
use stillroom_dataflow::{TokenizeText, score_spans};
use stillroom_schemas::{Counts, Entity, Level, OffsetUnit, Span, Task};
use stillroom_student::Precision;

/// Arguments of `eval`.
#[derive(Args)]
pub(crate) struct Eval {
    /// Annotated documents: a file or folder in a format of `corpus convert`, or a part of it, such as n2c2:dev.
    #[arg(long = "gold", required = true, value_name = "PATH[:PART]")]
    gold: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Score these lines, as `extract` writes them, instead of running the student; `note_id` is the document's id.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Folder of a student; may be given again for students with tasks of their own.
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// cpu, or in a build with the feature cuda: cuda for all devices, cuda:0, or cuda:0,cuda:1.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// In what is multiplied: auto is int8 on a processor (f32 without AVX2) and bf16 on a GPU; f32 is as in training; a GPU takes f16, too.
    #[arg(long, default_value_t)]
    precision: Precision,
}

/// Spans by document; a document that is absent has not been predicted.
type Predictions = HashMap<String, Vec<Span>>;

impl Eval {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (mut documents, mut problems) = (Vec::new(), Problems::default());
        for path in &self.gold {
            documents.extend(gold_documents(path, &self.reading.config(), &Drawn::default(), &mut problems)?);
        }
        let (folders, device, precision) = (self.models, self.device, self.precision);
        let student = StudentConfig { folders, device, precision, ..StudentConfig::default() };
        let (tokenize, spans) = match &self.predictions {
            Some(path) => (student.tokenize()?, read_predictions(path, &documents)?),
            None => {
                let extracted = extract_gold(&student, &documents)?;
                let span = |&Entity { task, start, end, .. }: &Entity| Span { task, start, end };
                let spans = extracted.entities.iter().map(|entities| entities.iter().map(span).collect()).collect();
                (extracted.tokenize, spans)
            }
        };
        let totals = totals(&tokenize, &documents, &spans)?;
        print_line(if self.json { as_json(&totals).to_string() } else { table(&totals) })?;
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

/// Counts by level and task, over the tasks that each document was annotated for.
type Totals = BTreeMap<Level, BTreeMap<Task, Counts>>;

fn totals(tokenize: &TokenizeText, documents: &[GoldDocument], predicted: &[Vec<Span>]) -> Result<Totals> {
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
