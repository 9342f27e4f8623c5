//! False positives for people to judge: the sheet, and what the filled sheet says.
//!
//! The published study had its false positives read once more, and found most of them to be mentions that the annotators had missed. A row
//! of the sheet is a run of words that the student tagged and nobody had annotated. `verdict` is filled with `annotation` where the
//! annotation is at fault, with `student` where the student is, and left empty where nobody can say.

use crate::study::figures::{Evaluation, System};
use crate::study::report::{Kind, Review};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillroom_connectors::Part;
use stillroom_dataflow::Bootstrap;
use stillroom_schemas::{Counts, Task};

/// So many words of context stand before and after the run.
const CONTEXT_WORDS: usize = 12;

/// A row of the sheet. What comes from documents stands in brackets, so that no spreadsheet takes it for a formula or a number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    task: Task,
    student: String,
    dataset: String,
    part: String,
    note_id: String,
    /// First code point.
    start: u32,
    /// One past the last code point.
    end: u32,
    words: i64,
    text: String,
    /// The run in brackets among what stands around it.
    context: String,
    /// Mean probability of the entity that the run is of.
    probability: f64,
    /// How many of the words the ensemble marks: all, some, none; empty where it does not say.
    ensemble: String,
    /// Words of the task that the student tagged rightly, on all documents.
    true_positives: i64,
    /// Words of the task that the student tagged and nobody had annotated, on all documents.
    false_positives: i64,
    verdict: String,
}

/// What is read of a filled row; the rest may be as a spreadsheet has rewritten it, such as with decimal commas.
#[derive(Deserialize)]
struct Judged {
    task: Task,
    dataset: String,
    note_id: String,
    start: u32,
    end: u32,
    words: i64,
    true_positives: i64,
    false_positives: i64,
    verdict: String,
}

/// The rows of a task: the false positives of its student on the documents that stand for the task, so many at most, drawn by the seed.
/// Nothing where there is no student.
pub(crate) fn draw(evaluation: &Evaluation<'_>, rows_max: usize, seed: u64) -> Option<(Review, Vec<Row>)> {
    let (group, indices) = evaluation.main_group();
    let student = reviewed(evaluation)?;
    let mut counts = Counts::default();
    indices.iter().filter_map(|&index| evaluation.scores(student, index)).for_each(|[word, ..]| counts += word);
    let mut runs: Vec<([u8; 32], Row)> = Vec::new();
    for &index in &indices {
        for row in rows(evaluation, student, index, counts) {
            let what = format!("{seed}\n{}\n{}\n{}\n{}", row.task.name(), row.dataset, row.note_id, row.start);
            runs.push((Sha256::digest(what).into(), row));
        }
    }
    let of_runs = runs.len();
    let mut ranks: Vec<[u8; 32]> = runs.iter().map(|(rank, _)| *rank).collect();
    ranks.sort_unstable();
    let drawn: BTreeSet<[u8; 32]> = ranks.into_iter().take(rows_max).collect();
    // In the order of the documents, so that each is opened once.
    let rows: Vec<Row> = runs.into_iter().filter(|(rank, _)| drawn.contains(rank)).map(|(_, row)| row).collect();
    let review = Review {
        task: evaluation.task,
        student: student.name.clone(),
        group,
        file: String::new(),
        rows: rows.len(),
        runs: of_runs,
        false_positives: counts.fp,
        true_positives: counts.tp,
    };
    Some((review, rows))
}

/// The student with the best F1 in words on dev among those who learned from teachers, or among all if none did.
fn reviewed<'a>(evaluation: &'a Evaluation<'_>) -> Option<&'a System> {
    let is_dev = |index: &usize| evaluation.items[*index].part == Part::Dev;
    let dev: Vec<usize> = (0..evaluation.items.len()).filter(is_dev).collect();
    let f1 = |system: &System| {
        let mut sum = Counts::default();
        dev.iter().filter_map(|&index| evaluation.scores(system, index)).for_each(|[word, ..]| sum += word);
        sum.f1()
    };
    let students = evaluation.systems.iter().filter(|system| system.kind == Kind::Student);
    let rank = |system: &System| (system.teacher.is_some(), f1(system));
    // Of equal ones the first.
    students.rev().max_by(|one, other| {
        let (one, other) = (rank(one), rank(other));
        one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
    })
}

/// The runs of words of a document that the student tagged and nobody had annotated.
fn rows(evaluation: &Evaluation<'_>, student: &System, index: usize, counts: Counts) -> Vec<Row> {
    let (item, words) = (&evaluation.items[index], &evaluation.words[index]);
    let text: Vec<char> = item.document.text.chars().collect();
    let is_annotated = words.inside(item.document.spans.iter().filter(|span| span.task == evaluation.task));
    let ensemble = evaluation.systems.iter().find(|system| system.kind == Kind::Ensemble);
    let of_ensemble = ensemble.and_then(|ensemble| ensemble.spans[index].as_ref());
    let marked = of_ensemble.map(|spans| words.inside(spans.iter().map(|(span, _)| span)));
    let mut rows = Vec::new();
    let spans = student.spans[index].iter().flatten().filter(|(span, _)| span.task == evaluation.task);
    for (span, probability) in spans {
        let under: Vec<usize> = words.under(span).collect();
        for run in under.chunk_by(|one, other| is_annotated[*one] == is_annotated[*other]) {
            let (first, last) = (run[0], run[run.len() - 1]);
            if is_annotated[first] {
                continue;
            }
            let (start, end) = (words.0[first].start, words.0[last].end);
            let from = words.0[first.saturating_sub(CONTEXT_WORDS)].start;
            let to = words.0[(last + CONTEXT_WORDS).min(words.len() - 1)].end;
            let slice = |from: u32, to: u32| line(&text[from as usize..to as usize]);
            let says = marked.as_ref().map(|marked| run.iter().filter(|word| marked[**word]).count());
            rows.push(Row {
                task: evaluation.task,
                student: student.name.clone(),
                dataset: item.dataset.to_owned(),
                part: item.part.name().to_owned(),
                note_id: format!("[{}]", item.document.id),
                start,
                end,
                words: run.len() as i64,
                text: format!("[{}]", slice(start, end)),
                context: format!("… {}[{}]{} …", slice(from, start), slice(start, end), slice(end, to)),
                probability: (f64::from(*probability) * 1e4).round() / 1e4,
                ensemble: says
                    .map_or("", |marked| match marked {
                        0 => "none",
                        marked if marked == run.len() => "all",
                        _ => "some",
                    })
                    .to_owned(),
                true_positives: counts.tp,
                false_positives: counts.fp,
                verdict: String::new(),
            });
        }
    }
    rows
}

/// A text on one line.
fn line(text: &[char]) -> String {
    text.iter().map(|character| if character.is_whitespace() { ' ' } else { *character }).collect()
}

/// The sheet as CSV.
///
/// # Errors
/// Never: rows can be written as CSV.
pub(crate) fn sheet(rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    writer.into_inner().context("the sheet cannot be written")
}

/// What a filled sheet says of a task.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdicts {
    /// The task.
    pub(crate) task: Task,
    /// Rows, and those of them that were judged.
    pub(crate) rows: (usize, usize),
    /// The share of judged words at which the annotation is at fault, with its interval by bootstrap over notes; absent when none was
    /// judged.
    pub(crate) share: Option<(f64, (f64, f64))>,
    /// Precision in words as annotated.
    pub(crate) precision: f64,
    /// Precision in words if the share holds for all false positives, with its interval.
    pub(crate) corrected: Option<(f64, (f64, f64))>,
}

/// Reads a filled sheet: separated by commas, semicolons or tabs, as spreadsheets write them.
///
/// # Errors
/// Names the line that is no row, or has another verdict.
pub(crate) fn read(path: &Path, bootstrap: Bootstrap) -> Result<Vec<Verdicts>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}; save it in UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().next().unwrap_or_default();
    let separator =
        [b',', b';', b'\t'].into_iter().max_by_key(|&separator| head.bytes().filter(|byte| *byte == separator).count());
    let mut reader = csv::ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).from_reader(text.as_bytes());
    let mut of_tasks: BTreeMap<Task, Vec<Judged>> = BTreeMap::new();
    for row in reader.deserialize::<Judged>() {
        // What the parser says may quote the row.
        let row = row.map_err(|error| match error.position() {
            Some(position) => anyhow::anyhow!("{shown}, line {}: not a row of a review", position.line()),
            None => anyhow::anyhow!("{shown}: not a review"),
        })?;
        of_tasks.entry(row.task).or_default().push(row);
    }
    ensure!(!of_tasks.is_empty(), "{shown} has no row of a review");
    of_tasks.into_iter().map(|(task, rows)| verdicts(task, &rows, bootstrap)).collect()
}

fn verdicts(task: Task, rows: &[Judged], bootstrap: Bootstrap) -> Result<Verdicts> {
    // By note: words at which the annotation is at fault, and all that were judged.
    let mut of_notes: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
    let mut judged = 0;
    for row in rows {
        let is_at_fault = match row.verdict.trim().to_lowercase().as_str() {
            "" => continue,
            "annotation" => true,
            "student" => false,
            _ => bail!(
                "the verdict on {} {}..{} is neither annotation nor student; write one of them, or nothing",
                row.note_id,
                row.start,
                row.end
            ),
        };
        judged += 1;
        let (at_fault, all) = of_notes.entry((&row.dataset, &row.note_id)).or_default();
        *at_fault += if is_at_fault { row.words } else { 0 };
        *all += row.words;
    }
    let of_notes: Vec<(i64, i64)> = of_notes.into_values().collect();
    let share = |sample: &mut dyn Iterator<Item = usize>| {
        let sum = sample.fold((0, 0), |sum, note| (sum.0 + of_notes[note].0, sum.1 + of_notes[note].1));
        sum.0 as f64 / sum.1.max(1) as f64
    };
    let (tp, fp) = (rows[0].true_positives as f64, rows[0].false_positives as f64);
    let precision = |share: f64| if tp + fp > 0.0 { (tp + share * fp) / (tp + fp) } else { 0.0 };
    let measured = (judged > 0).then(|| {
        let [interval] = bootstrap.intervals(of_notes.len(), |sample| [share(&mut sample.iter().copied())]);
        (share(&mut (0..of_notes.len())), interval)
    });
    let corrected = measured.map(|(share, (low, high))| (precision(share), (precision(low), precision(high))));
    Ok(Verdicts { task, rows: (rows.len(), judged), share: measured, precision: precision(0.0), corrected })
}
