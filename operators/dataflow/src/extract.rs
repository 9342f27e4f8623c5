//! From word probabilities to entities.
//!
//! In: tagged notes. Out: extractions with what is remembered of their notes, or dead letters, also of notes that come to a larger
//! record than the log may take. State: none. Emits at once.

use crate::{Epoch, Fact, Interpret, NoteRecord, Output, ScoredSpan, TaggedNote, entities_of, spans_of};
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;
use stillroom_schemas::{Extraction, NoteFacts, NoteState, OffsetUnit, Prediction, Span, Stage};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

/// How extractions are made.
#[derive(Clone)]
pub struct ExtractConfig {
    /// In what the positions of entities are counted.
    pub offset_unit: OffsetUnit,
    /// Bytes of a record that is written, as JSON, at most: a note that comes to more is a dead letter.
    pub record_bytes_max: usize,
    /// Tells what a note says of its entities, for all workers; of mentions alone nothing is told if absent.
    pub interpret: Option<Arc<dyn Interpret>>,
    /// Whether it is remembered what notes say of their patients, for cohorts.
    pub facts: bool,
}

impl ExtractConfig {
    /// Extractions of mentions alone.
    pub fn of_mentions(offset_unit: OffsetUnit, record_bytes_max: usize) -> ExtractConfig {
        ExtractConfig { offset_unit, record_bytes_max, interpret: None, facts: false }
    }

    /// What the text says of each span.
    fn facts(&self, text: &str, spans: &[ScoredSpan]) -> Vec<Fact> {
        let Some(interpret) = self.interpret.as_ref().filter(|_| !spans.is_empty()) else { return Vec::new() };
        let spans: Vec<Span> = spans.iter().map(|(span, _)| *span).collect();
        let facts = interpret.interpret(text, &spans);
        debug_assert_eq!(facts.len(), spans.len(), "{} tells one fact a span", interpret.name());
        facts
    }
}

/// Makes extractions.
pub trait Extract<'scope> {
    /// Turns probabilities into entities, and says of each what the note says of it. Nothing of the result depends on the time of
    /// day, or on the worker.
    fn extract(self, config: ExtractConfig) -> StreamVec<'scope, Epoch, Output>;
}

impl<'scope> Extract<'scope> for StreamVec<'scope, Epoch, TaggedNote> {
    fn extract(self, config: ExtractConfig) -> StreamVec<'scope, Epoch, Output> {
        self.map(move |tagged| extract_note(tagged, &config))
    }
}

fn extract_note(tagged: TaggedNote, config: &ExtractConfig) -> Output {
    let TaggedNote { note, words, coverage, student, answer } = tagged;
    let probabilities = match answer {
        Ok(probabilities) => probabilities,
        Err(error) => return note.into_dead_letter(Stage::Tag, error),
    };
    let spans = spans_of(&words, &probabilities, &student.thresholds);
    let text = &note.note.text;
    let entities = entities_of(text, &spans, config.facts(text, &spans), config.offset_unit);
    let interpretation = config.interpret.as_ref().map(|interpret| interpret.name().to_owned());
    let NoteRecord { note: of_note, text_hash, record, is_again } = &*note;
    let prediction = Prediction {
        model: student.model.clone(),
        text_hash: text_hash.clone(),
        note_type: of_note.note_type.clone(),
        site: of_note.site.clone(),
        words: words.to_bytes(),
        spans: spans.into_iter().map(|(span, _)| span).collect(),
    };
    let extraction = Box::new(Extraction {
        note_id: of_note.note_id.clone(),
        patient_id: of_note.patient_id.clone(),
        revision: of_note.revision,
        note_type: of_note.note_type.clone(),
        site: of_note.site.clone(),
        signed_at: of_note.signed_at.clone(),
        text_hash: text_hash.clone(),
        model: student.model.clone(),
        interpretation: interpretation.clone(),
        offset_unit: config.offset_unit,
        coverage,
        entities,
    });
    let state = NoteState {
        note_id: of_note.note_id.clone(),
        revision: of_note.revision,
        offset: record.position.offset,
        facts: config.facts.then(|| NoteFacts::of(&extraction, &prediction.spans)),
        prediction: Some(prediction),
        interpretation,
        dead_lettered: None,
    };
    let bytes = json_bytes(&extraction).max(json_bytes(&state));
    if bytes > config.record_bytes_max {
        let error = format!(
            "{} entities come to a record of {bytes} bytes, more than the {} allowed; raise record_bytes_max, and \
             max.message.bytes of the topics, or split the note",
            extraction.entities.len(),
            config.record_bytes_max
        );
        return note.into_dead_letter(Stage::Extract, error);
    }
    Output::Extracted { position: record.position, extraction, state, is_again: *is_again }
}

/// Bytes of a value in JSON.
fn json_bytes(value: &impl Serialize) -> usize {
    let mut counting = Counting(0);
    match serde_json::to_writer(&mut counting, value) {
        Ok(()) => counting.0,
        // Records have no keys that are no text, and counting does not fail.
        Err(error) => unreachable!("a record is JSON: {error}"),
    }
}

/// Counts what is written, and keeps none of it.
struct Counting(usize);

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TaggedBy, Words};
    use stillroom_schemas::{
        Assertion, Code, Concept, Coverage, Cue, Dosage, Entity, ModelId, Note, Stated, TextHash, Tier,
    };

    /// Says everything of every entity, at great length.
    struct Talkative;

    impl Interpret for Talkative {
        fn interpret(&self, text: &str, spans: &[Span]) -> Vec<Fact> {
            let (start, end) = (0, text.chars().count() as u32);
            let cue = Cue { says: "hypothetical".to_owned(), trigger: "\"rule\u{1}out\"".repeat(20), start, end };
            let stated = || Some(Stated { start, end, text: text.to_owned() });
            let code = || Code { vocabulary: "snomed\tct".to_owned(), code: "9".repeat(40) };
            let concept = Concept {
                code: code(),
                version: "\u{2}".repeat(30),
                name: "M\u{e9}ni\u{e8}re\u{2019}s".repeat(30),
                tier: Tier::Abbreviation,
                score: 0.3333,
                ingredients: vec![code(); 9],
            };
            let dosage = Dosage {
                strength: stated(),
                dose: stated(),
                form: stated(),
                route: stated(),
                frequency: stated(),
                duration: stated(),
            };
            let fact = Fact {
                assertion: Some(Assertion { cues: vec![cue; 7], ..Assertion::default() }),
                section: Some("past\\history".repeat(9)),
                concept: Some(concept),
                dosage: Some(dosage),
            };
            vec![fact; spans.len()]
        }

        fn name(&self) -> &str {
            "assertion@0123456789ab concepts@0123456789ab"
        }
    }

    /// A note whose every word is an entity of every task.
    fn tagged(text: &str, name: &str) -> TaggedNote {
        let name = || Some(name.to_owned());
        let note = Note {
            note_id: "n".to_owned(),
            patient_id: name(),
            revision: u64::MAX,
            note_type: name(),
            site: name(),
            signed_at: name(),
            text: text.to_owned(),
        };
        let mut words = Words::default();
        for (at, character) in (0u32..).zip(text.chars()) {
            // A word in two, so that none is a span with the next.
            words.0.extend((!character.is_whitespace() && at.is_multiple_of(2)).then_some(at..at + 1));
        }
        let answer =
            Ok(words.0.iter().map(|word| [if word.start.is_multiple_of(4) { 0.9999 } else { 0.1 }; 3]).collect());
        let student = TaggedBy { model: ModelId(format!("a-student@{}", "f".repeat(12))), thresholds: [0.5; 3] };
        TaggedNote {
            note: Box::new(NoteRecord { note, text_hash: TextHash::of(text), record: Arc::default(), is_again: false }),
            coverage: Coverage { words: u32::MAX, word_pieces: u32::MAX, windows: u32::MAX },
            words,
            student: Arc::new(student),
            answer,
        }
    }

    fn config(record_bytes_max: usize, interpret: Option<Arc<dyn Interpret>>) -> ExtractConfig {
        ExtractConfig { offset_unit: OffsetUnit::Byte, record_bytes_max, interpret, facts: true }
    }

    /// Whether a note becomes an extraction; its entities, and the larger of its two records.
    fn extracted(note: TaggedNote, config: &ExtractConfig) -> Option<(Vec<Entity>, usize)> {
        match extract_note(note, config) {
            Output::Extracted { extraction, state, .. } => {
                assert_eq!(extraction.interpretation, state.interpretation);
                let records = [serde_json::to_vec(&extraction).unwrap(), serde_json::to_vec(&state).unwrap()];
                Some((extraction.entities, records.map(|record| record.len()).into_iter().max().unwrap()))
            }
            Output::DeadLettered { letter, is_note: true, .. } => {
                assert_eq!(letter.stage, Stage::Extract);
                assert!(letter.error.contains("raise record_bytes_max"), "{}", letter.error);
                None
            }
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_record_is_never_larger_than_it_may_be() {
        for text in ["fever", "a\u{1}\u{2}\n\tb\u{1}", "\"\\\"\\", "M\u{e9}ni\u{e8}re\u{2019}s \u{1f912}", "", " "] {
            for name in ["north", "\u{1}\u{2}\"", ""] {
                let interprets: [Option<Arc<dyn Interpret>>; 2] = [None, Some(Arc::new(Talkative))];
                for interpret in interprets {
                    let says_all = interpret.is_some();
                    let (entities, bytes) =
                        extracted(tagged(text, name), &config(usize::MAX, interpret.clone())).unwrap();
                    let is_told = |entity: &Entity| entity.dosage.is_some() && entity.concept.is_some();
                    assert!(entities.iter().all(|entity| is_told(entity) == says_all), "{text:?}");
                    assert!(extracted(tagged(text, name), &config(bytes, interpret.clone())).is_some());
                    assert!(extracted(tagged(text, name), &config(bytes - 1, interpret)).is_none(), "{text:?}");
                }
            }
        }
    }
}
