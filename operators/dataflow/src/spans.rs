//! From word probabilities to spans, and from spans to entities.

use crate::Words;
use stillroom_schemas::{Entity, OffsetUnit, Span, Task};

/// A span and the mean probability of its words.
pub type ScoredSpan = (Span, f32);

/// The spans of a text: for every task the runs of consecutive words whose probability reaches the task's threshold.
///
/// `probabilities` holds one row a word. The spans come by task, then by position.
pub fn spans_of(
    words: &Words,
    probabilities: &[[f32; Task::ALL.len()]],
    thresholds: &[f32; Task::ALL.len()],
) -> Vec<ScoredSpan> {
    let mut spans = Vec::new();
    for task in Task::ALL {
        let column = task.index();
        let mut word = 0;
        while word < words.len() {
            let run = probabilities[word..].iter().take_while(|row| row[column] >= thresholds[column]).count();
            if run > 0 {
                let sum: f32 = probabilities[word..word + run].iter().map(|row| row[column]).sum();
                let span = Span { task, start: words.0[word].start, end: words.0[word + run - 1].end };
                spans.push((span, sum / run as f32));
            }
            word += run + 1;
        }
    }
    spans
}

/// The spans with their text, their positions counted in `unit`. Scores are rounded to four decimals, below which batches of
/// different shapes may differ.
///
/// ```
/// use stillroom_dataflow::entities_of;
/// use stillroom_schemas::{OffsetUnit, Span, Task};
///
/// let fever = [(Span { task: Task::Symptom, start: 2, end: 8 }, 0.97)];
/// let at = |unit| {
///     let entities = entities_of("\u{1f912} Fi\u{e8}vre", &fever, unit);
///     (entities[0].start, entities[0].end)
/// };
/// assert_eq!([at(OffsetUnit::CodePoint), at(OffsetUnit::Utf16), at(OffsetUnit::Byte)], [(2, 8), (3, 9), (5, 12)]);
/// ```
pub fn entities_of(text: &str, spans: &[ScoredSpan], unit: OffsetUnit) -> Vec<Entity> {
    // Byte position of every code point, so that each of many spans is sliced in constant time.
    let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let slice = |span: &Span| text[bytes[span.start as usize]..bytes[span.end as usize]].to_owned();
    let positions = positions(text, unit);
    spans
        .iter()
        .map(|(span, score)| {
            let [start, end] = [span.start, span.end].map(|at| positions[at as usize]);
            let score = (f64::from(*score) * 1e4).round() / 1e4;
            Entity::mention(Span { task: span.task, start, end }, slice(span), score)
        })
        .collect()
}

/// Where each code point starts, and the text's length, counted in `unit`.
fn positions(text: &str, unit: OffsetUnit) -> Vec<u32> {
    let length = |character: char| match unit {
        OffsetUnit::CodePoint => 1,
        OffsetUnit::Byte => character.len_utf8() as u32,
        OffsetUnit::Utf16 => character.len_utf16() as u32,
    };
    let ends = text.chars().scan(0, |at, character| {
        *at += length(character);
        Some(*at)
    });
    std::iter::once(0).chain(ends).collect()
}
