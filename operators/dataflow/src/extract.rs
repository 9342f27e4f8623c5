//! From word probabilities to entities.
//!
//! In: tagged notes. Out: extractions with what is remembered of their notes, or dead letters, also of notes that come to a larger
//! record than the log may take. State: none. Emits at once.

use crate::{Epoch, Output, TaggedNote, entities_of, spans_of};
use stillroom_schemas::{Entity, Extraction, Note, NoteState, OffsetUnit, Prediction, Stage};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

/// How extractions are made.
#[derive(Clone, Copy, Debug)]
pub struct ExtractConfig {
    /// In what the positions of entities are counted.
    pub offset_unit: OffsetUnit,
    /// Bytes of a record that is written, as JSON, at most: a note that comes to more is a dead letter.
    pub record_bytes_max: usize,
}

/// Makes extractions.
pub trait Extract<'scope> {
    /// Turns probabilities into entities. Nothing of the result depends on the time of day.
    fn extract(self, config: ExtractConfig) -> StreamVec<'scope, Epoch, Output>;
}

impl<'scope> Extract<'scope> for StreamVec<'scope, Epoch, TaggedNote> {
    fn extract(self, config: ExtractConfig) -> StreamVec<'scope, Epoch, Output> {
        self.map(move |tagged| extract_note(tagged, config))
    }
}

fn extract_note(tagged: TaggedNote, config: ExtractConfig) -> Output {
    let TaggedNote { note, words, coverage, student, answer } = tagged;
    let probabilities = match answer {
        Ok(probabilities) => probabilities,
        Err(error) => return note.into_dead_letter(Stage::Tag, error),
    };
    let spans = spans_of(&words, &probabilities, &student.thresholds);
    let entities = entities_of(&note.note.text, &spans, config.offset_unit);
    let words_bytes = words.to_bytes();
    let bytes = record_bytes(&note.note, &entities, words_bytes.len());
    if bytes > config.record_bytes_max {
        let error = format!(
            "{} entities come to a record of {bytes} bytes, more than the {} allowed; raise record_bytes_max, and \
             max.message.bytes of the topics, or split the note",
            entities.len(),
            config.record_bytes_max
        );
        return note.into_dead_letter(Stage::Extract, error);
    }
    let (position, is_again) = (note.record.position, note.is_again);
    let (note, text_hash) = (note.note, note.text_hash);
    let prediction = Prediction {
        model: student.model.clone(),
        text_hash: text_hash.clone(),
        note_type: note.note_type.clone(),
        site: note.site.clone(),
        words: words_bytes,
        spans: spans.into_iter().map(|(span, _)| span).collect(),
    };
    let state = NoteState {
        note_id: note.note_id.clone(),
        revision: note.revision,
        offset: position.offset,
        prediction: Some(prediction),
        dead_lettered: None,
    };
    let extraction = Box::new(Extraction {
        note_id: note.note_id,
        patient_id: note.patient_id,
        revision: note.revision,
        note_type: note.note_type,
        site: note.site,
        signed_at: note.signed_at,
        text_hash,
        model: student.model.clone(),
        offset_unit: config.offset_unit,
        coverage,
        entities,
    });
    Output::Extracted { position, extraction, state, is_again }
}

/// What an entity takes in JSON beside its text: its fields' names and its numbers.
const ENTITY_BYTES: usize = 90;

/// What a record takes beside entities, words and names: hashes, the model, and its fields' names.
const FRAME_BYTES: usize = 1024;

/// Bytes of the larger of a note's two records, of its extraction and of its state, and no fewer than it takes.
fn record_bytes(note: &Note, entities: &[Entity], words_bytes: usize) -> usize {
    let names = [Some(&note.note_id), note.patient_id.as_ref(), note.note_type.as_ref(), note.site.as_ref()];
    let names: usize = names.into_iter().flatten().map(|name| escaped_bytes(name)).sum();
    let texts: usize = entities.iter().map(|entity| escaped_bytes(&entity.text)).sum();
    let extraction = texts + entities.len() * ENTITY_BYTES;
    let state = words_bytes.div_ceil(3) * 4 + entities.len() * ENTITY_BYTES;
    FRAME_BYTES + names + extraction.max(state)
}

/// Bytes of a text in JSON.
fn escaped_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Span, Task};

    #[test]
    fn a_record_is_never_larger_than_it_is_taken_to_be() {
        for text in ["fever", "\u{1}\u{2}\n\t", "\"\\\"", "Ménière’s"] {
            let json = serde_json::to_string(text).unwrap();
            assert!(escaped_bytes(text) + 2 >= json.len(), "{json}");
            let span = Span { task: Task::Medication, start: u32::MAX, end: u32::MAX };
            let entity = Entity::mention(span, text.into(), 0.9999);
            let bytes = serde_json::to_string(&entity).unwrap().len();
            assert!(escaped_bytes(text) + ENTITY_BYTES >= bytes, "{bytes}");
        }
    }
}
