//! Asks teachers about texts, and makes records of what they say.

use anyhow::{Context, Result};
use std::sync::Arc;
use stillroom_schemas::{Label, Reference, TaskSet, TextHash};
use stillroom_teachers::{Answer, Found, Labeled, Labeler, NanoUsd, Teacher};

/// Texts that are labelled at once; each teacher has a bound of its own on its requests.
pub(crate) const TEXTS_OPEN_MAX: usize = 64;

/// The threads that wait for teachers.
///
/// # Errors
/// When they cannot be started.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

/// What each teacher says of a text, in their order; nothing from one that has none of the tasks.
///
/// # Errors
/// When what was answered before cannot be read, or the answer not kept.
pub(crate) async fn label_all(labeler: Arc<Labeler>, text: String, tasks: TaskSet) -> Result<Vec<Option<Labeled>>> {
    let teachers = (0..labeler.teachers().len()).collect();
    label_by(labeler, teachers, text, tasks).await
}

/// What some teachers, by their positions, say of a text, in this order. The questions are asked by tasks of their own, so that they go on
/// while the next text is read.
///
/// # Errors
/// When what was answered before cannot be read, or the answer not kept.
pub(crate) async fn label_by(
    labeler: Arc<Labeler>,
    teachers: Vec<usize>,
    text: String,
    tasks: TaskSet,
) -> Result<Vec<Option<Labeled>>> {
    let (text, tasks) = (Arc::new(text), Arc::new(tasks));
    let ask = |teacher: usize| {
        let (labeler, text, tasks) = (Arc::clone(&labeler), Arc::clone(&text), Arc::clone(&tasks));
        tokio::spawn(async move { labeler.label(&labeler.teachers()[teacher], &text, &tasks).await })
    };
    let asked: Vec<_> = teachers.into_iter().map(ask).collect();
    let mut labels = Vec::with_capacity(asked.len());
    for label in asked {
        labels.push(label.await.context("a question ended before its time")??);
    }
    Ok(labels)
}

/// The record of what a teacher said of a note; nothing if that is of no use.
pub(crate) fn label_of(note_id: &str, text_hash: &TextHash, teacher: &Teacher, labeled: &Labeled) -> Option<Label> {
    let Labeled::Answered { answer, tasks, .. } = labeled else { return None };
    let Answer { found: Found::Spans { spans, ungrounded, parameters }, usage, .. } = answer else { return None };
    Some(Label {
        reference: Reference {
            note_id: note_id.to_owned(),
            annotator: teacher.name().to_owned(),
            text_hash: text_hash.clone(),
            tasks: tasks.clone(),
            spans: spans.clone(),
        },
        ungrounded: *ungrounded,
        prompt: teacher.prompt(tasks).map(|prompt| format!("{} {}", prompt.name, prompt.hash())),
        parameters: parameters.clone(),
        requests: usage.requests,
        tokens_in: usage.tokens_in,
        tokens_cached: usage.tokens_cached,
        tokens_out: usage.tokens_out,
        usd: answer.cost_nano_usd.map(usd),
        prices: answer.prices.clone(),
        seconds: answer.seconds,
        day: answer.day.clone(),
    })
}

/// Dollars.
pub(crate) fn usd(nano: NanoUsd) -> f64 {
    nano as f64 / 1e9
}
