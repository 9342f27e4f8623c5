//! What the tests of several formats share.

use stillroom_schemas::{Coverage, Entity, Extraction, ModelId, Note, OffsetUnit, Span, Task, TextHash};

/// A note of the patient `p1`, signed on 27 November 2026 at 23:30, five hours behind UTC.
pub(crate) fn note(note_id: &str, text: &str) -> Note {
    Note {
        note_id: note_id.to_owned(),
        patient_id: Some("p1".to_owned()),
        revision: 0,
        note_type: Some("progress_note".to_owned()),
        site: Some("north".to_owned()),
        signed_at: Some("2026-11-27T23:30:00-05:00".to_owned()),
        text: text.to_owned(),
    }
}

/// A mention of which no more is known.
pub(crate) fn entity(task: Task, [start, end]: [u32; 2], text: &str) -> Entity {
    Entity::mention(Span { task, start, end }, text.to_owned(), 0.9375)
}

/// What was found in `note`.
pub(crate) fn extraction(note: &Note, entities: Vec<Entity>) -> Extraction {
    Extraction {
        note_id: note.note_id.clone(),
        patient_id: note.patient_id.clone(),
        revision: note.revision,
        note_type: note.note_type.clone(),
        site: note.site.clone(),
        signed_at: note.signed_at.clone(),
        text_hash: TextHash::of(&note.text),
        model: ModelId("tiny@0123456789ab".to_owned()),
        interpretation: None,
        offset_unit: OffsetUnit::CodePoint,
        coverage: Coverage { words: 7, word_pieces: 9, windows: 1 },
        entities,
    }
}
