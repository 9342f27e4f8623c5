//! Whether teachers are asked where it helps: the student's uncertainty of a document beside its F1 there.
//!
//!     STILLROOM_CORPORA=FOLDER cargo run --release --example figures -- sampling
//!
//! Of each `FOLDER/*/dev.jsonl` the documents are put in four parts of equal number by uncertainty, and the F1 in words of each part
//! is that of its sum, over the tasks that are annotated.

use crate::support;
use anyhow::{Context, Result};
use std::path::Path;
use stillroom_connectors::{GoldDocument, GoldDocuments};
use stillroom_dataflow::{Probabilities, Tagger, Tokenizer, score_spans, spans_of, uncertainty};
use stillroom_schemas::Counts;
use stillroom_student::{Device, Student};

const PARTS: usize = 4;

pub(crate) fn run_all() -> Result<()> {
    let folder = std::env::var("STILLROOM_CORPORA").context("name the folder of corpora in STILLROOM_CORPORA")?;
    let tokenizer = support::tokenizer()?;
    let student = Student::load(&support::student())?;
    let mut tagger = Student::taggers(&[student], Device::default(), 1)?.remove(0);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path().join("dev.jsonl"))).collect::<Result<_>>()?;
    files.retain(|path| path.exists());
    files.sort();
    for path in files {
        measure(&path, &tokenizer, tagger.as_mut())?;
    }
    Ok(())
}

fn measure(path: &Path, tokenizer: &Tokenizer, tagger: &mut dyn Tagger) -> Result<()> {
    let documents = GoldDocuments::open(path)?.map(|document| tag(&document?, tokenizer, tagger));
    let mut tagged = documents.collect::<Result<Vec<(f64, Counts)>>>()?;
    tagged.sort_by(|one, other| one.0.total_cmp(&other.0));
    let parts = tagged.chunks(tagged.len().div_ceil(PARTS).max(1)).map(|part| {
        let mut counts = Counts::default();
        part.iter().for_each(|(_, of_document)| counts += *of_document);
        let (first, last) = (part.first().map_or(0.0, |first| first.0), part.last().map_or(0.0, |last| last.0));
        format!("{first:.3} to {last:.3}: {:.3}", counts.f1())
    });
    println!("{}: F1 by uncertainty {}", path.display(), parts.collect::<Vec<_>>().join(", "));
    Ok(())
}

/// A document's uncertainty, and its counts in words.
fn tag(document: &GoldDocument, tokenizer: &Tokenizer, tagger: &mut dyn Tagger) -> Result<(f64, Counts)> {
    let text = tokenizer.tokenize(&document.text)?;
    let mut probabilities: Probabilities = Vec::with_capacity(text.words.len());
    for window in &text.windows {
        probabilities.extend(tagger.tag(&[window])?.into_iter().flatten());
    }
    let thresholds = tagger.thresholds();
    let spans: Vec<_> = spans_of(&text.words, &probabilities, &thresholds).into_iter().map(|(span, _)| span).collect();
    let mut counts = Counts::default();
    for task in &document.tasks {
        counts += score_spans(&text.words, *task, &spans, &document.spans)[0];
    }
    Ok((uncertainty(&probabilities, &thresholds), counts))
}
