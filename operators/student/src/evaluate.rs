//! How well a tagger does on annotated documents, and from which probability on a word is best tagged.

use crate::{Document, StudentError};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use stillroom_dataflow::{Probabilities, Tagger, Tokenizer, Words, score_spans, spans_of};
use stillroom_schemas::{Counts, Span, Task};

/// Thresholds that are tried, in steps of a twentieth.
const THRESHOLDS: std::ops::RangeInclusive<u8> = 4..=16;

/// A document with what a tagger says of each of its words.
pub(crate) struct Tagged<'a> {
    document: &'a Document,
    words: Words,
    probabilities: Probabilities,
}

/// Tags every document, one thread a tagger.
pub(crate) fn tag_documents<'a>(
    taggers: &mut [Box<dyn Tagger>],
    tokenizer: &Tokenizer,
    documents: &'a [Document],
) -> Result<Vec<Tagged<'a>>, StudentError> {
    let next = AtomicUsize::new(0);
    let tagged = Mutex::new(Vec::with_capacity(documents.len()));
    std::thread::scope(|scope| {
        let workers: Vec<_> = taggers
            .iter_mut()
            .map(|tagger| {
                scope.spawn(|| -> Result<(), StudentError> {
                    while let Some(document) = documents.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let done = tag_document(tagger.as_mut(), tokenizer, document)?;
                        tagged.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(done);
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(tagged.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

fn tag_document<'a>(
    tagger: &mut dyn Tagger,
    tokenizer: &Tokenizer,
    document: &'a Document,
) -> Result<Tagged<'a>, StudentError> {
    let text = tokenizer.tokenize(&document.text)?;
    let mut probabilities = Vec::with_capacity(text.words.len());
    for window in &text.windows {
        let answer = tagger.tag(&[window]).map_err(|error| StudentError::Data(error.to_string()))?;
        probabilities.extend(answer.into_iter().flatten());
    }
    Ok(Tagged { document, words: text.words, probabilities })
}

/// Word-level counts for every task that the documents were annotated for.
pub(crate) fn word_counts(tagged: &[Tagged<'_>], thresholds: &[f32; Task::ALL.len()]) -> BTreeMap<Task, Counts> {
    let mut totals: BTreeMap<Task, Counts> = BTreeMap::new();
    for one in tagged {
        let spans: Vec<Span> =
            spans_of(&one.words, &one.probabilities, thresholds).into_iter().map(|(span, _)| span).collect();
        for &task in &one.document.tasks {
            let [words, ..] = score_spans(&one.words, task, &spans, &one.document.spans);
            *totals.entry(task).or_default() += words;
        }
    }
    totals
}

/// For each of `tasks` the threshold with the best word-level F1, averaged over the files that were annotated for it.
pub(crate) fn best_thresholds(files: &[Vec<Tagged<'_>>], tasks: &[Task]) -> BTreeMap<Task, f32> {
    let mean_f1 = |task: Task, threshold: f32| {
        let counts = files.iter().filter_map(|file| word_counts(file, &[threshold; Task::ALL.len()]).remove(&task));
        let f1: Vec<f64> = counts.map(|counts| counts.f1()).collect();
        f1.iter().sum::<f64>() / f1.len().max(1) as f64
    };
    let candidates: Vec<f32> = THRESHOLDS.map(|twentieths| f32::from(twentieths) / 20.0).collect();
    let best = |task: Task| {
        let scored = candidates.iter().map(|&threshold| (mean_f1(task, threshold), threshold));
        // Of equals the one nearest to one half: it is the least fitted.
        scored.max_by(|a, b| a.0.total_cmp(&b.0).then((b.1 - 0.5).abs().total_cmp(&(a.1 - 0.5).abs())))
    };
    tasks.iter().filter_map(|&task| Some((task, best(task)?.1))).collect()
}
