//! From word probabilities to spans, and from spans to entities.

use crate::{Fact, Words};
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

/// The spans with their text and what the note says of them, all positions counted in `unit`. `facts` has one a span, in
/// their order; a span without one is a mention of which no more is known. Scores are rounded to four decimals, below which
/// batches of different shapes may differ.
///
/// ```
/// use stillroom_dataflow::entities_of;
/// use stillroom_schemas::{OffsetUnit, Span, Task};
///
/// let fever = [(Span { task: Task::Symptom, start: 2, end: 8 }, 0.97)];
/// let at = |unit| {
///     let entities = entities_of("\u{1f912} Fi\u{e8}vre", &fever, Vec::new(), unit);
///     (entities[0].start, entities[0].end)
/// };
/// assert_eq!([at(OffsetUnit::CodePoint), at(OffsetUnit::Utf16), at(OffsetUnit::Byte)], [(2, 8), (3, 9), (5, 12)]);
/// ```
pub fn entities_of(text: &str, spans: &[ScoredSpan], facts: Vec<Fact>, unit: OffsetUnit) -> Vec<Entity> {
    // Byte position of every code point, so that each of many spans is sliced in constant time.
    let bytes: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let slice = |span: &Span| text[bytes[span.start as usize]..bytes[span.end as usize]].to_owned();
    let positions = positions(text, unit);
    let position = |at: u32| positions[at as usize];
    let facts = facts.into_iter().chain(std::iter::repeat_with(Fact::default));
    let entity = |((span, score), fact): (&ScoredSpan, Fact)| {
        let [start, end] = [span.start, span.end].map(position);
        let score = (f64::from(*score) * 1e4).round() / 1e4;
        let mention = Entity::mention(Span { task: span.task, start, end }, slice(span), score);
        let Fact { assertion, section, concept, dosage } = fact.with_positions(position);
        Entity { assertion, section, concept, dosage, ..mention }
    };
    spans.iter().zip(facts).map(entity).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Assertion, Certainty, Cue, Dosage, Stated};

    /// The part of `text` between two positions counted in `unit`.
    fn slice(text: &str, (start, end): (u32, u32), unit: OffsetUnit) -> String {
        let (start, end) = (start as usize, end as usize);
        match unit {
            OffsetUnit::CodePoint => text.chars().skip(start).take(end - start).collect(),
            OffsetUnit::Byte => text[start..end].to_owned(),
            OffsetUnit::Utf16 => String::from_utf16(&text.encode_utf16().collect::<Vec<_>>()[start..end]).unwrap(),
        }
    }

    /// Where `part` stands in `text`, in code points.
    fn find(text: &str, part: &str) -> (u32, u32) {
        let start = text[..text.find(part).unwrap()].chars().count();
        (start as u32, (start + part.chars().count()) as u32)
    }

    #[test]
    fn facts_have_their_positions_in_the_unit_of_the_record() {
        let text = "\u{1f912}\u{1f912} Il nie la fi\u{e8}vre \u{2013} parac\u{e9}tamol 500 \u{b5}g \u{1f48a} 2\u{d7}/j";
        let span = |task, part| {
            let (start, end) = find(text, part);
            (Span { task, start, end }, 0.9)
        };
        let spans = [span(Task::Symptom, "fi\u{e8}vre"), span(Task::Medication, "parac\u{e9}tamol")];
        let (start, end) = find(text, "nie");
        let cue = Cue { says: "negated".to_owned(), trigger: "nie".to_owned(), start, end };
        let assertion = Assertion { certainty: Certainty::Negated, cues: vec![cue], ..Assertion::default() };
        let negated = Fact { assertion: Some(assertion), section: Some("plan".to_owned()), ..Fact::default() };
        let parts = ["500 \u{b5}g", "2", "\u{1f48a}", "\u{b5}", "2\u{d7}/j", "j"];
        let [strength, dose, form, route, frequency, duration] = parts.map(|part| {
            let (start, end) = find(text, part);
            Some(Stated { start, end, text: part.to_owned() })
        });
        let dosage = Some(Dosage { strength, dose, form, route, frequency, duration });
        let taken = Fact { dosage, ..Fact::default() };

        for unit in [OffsetUnit::CodePoint, OffsetUnit::Byte, OffsetUnit::Utf16] {
            let entities = entities_of(text, &spans, vec![negated.clone(), taken.clone()], unit);
            assert_eq!(entities.len(), 2);
            for entity in &entities {
                assert_eq!(slice(text, (entity.start, entity.end), unit), entity.text, "{unit:?}");
            }
            let assertion = entities[0].assertion.as_ref().unwrap();
            assert_eq!((assertion.certainty, entities[0].section.as_deref()), (Certainty::Negated, Some("plan")));
            let Cue { start, end, trigger, .. } = &assertion.cues[0];
            assert_eq!(slice(text, (*start, *end), unit), *trigger, "{unit:?}");
            let Dosage { strength, dose, form, route, frequency, duration } = entities[1].dosage.clone().unwrap();
            let stated: Vec<Stated> =
                [strength, dose, form, route, frequency, duration].into_iter().flatten().collect();
            assert_eq!(stated.len(), parts.len());
            for stated in stated {
                assert_eq!(slice(text, (stated.start, stated.end), unit), stated.text, "{unit:?}");
            }
        }
    }

    #[test]
    fn a_span_without_a_fact_is_a_mention() {
        let spans = [(Span { task: Task::Symptom, start: 0, end: 4 }, 0.75)];
        let alone = entities_of("Rash", &spans, Vec::new(), OffsetUnit::CodePoint);
        assert_eq!(alone, [Entity::mention(spans[0].0, "Rash".to_owned(), 0.75)]);
    }
}
