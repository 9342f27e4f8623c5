//! From word probabilities to entities.
//!
//! In: tagged notes. Out: extractions with what is remembered of their notes, or dead letters. State: none. Emits at once.

use crate::{Epoch, Output, TaggedNote, TaggerHandle, entities_of, spans_of};
use stillroom_schemas::{Extraction, ModelId, NoteState, OffsetUnit, Prediction, Stage, Task};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::Map;

/// Makes extractions.
pub trait Extract<'scope> {
    /// Turns the probabilities of `tagger`'s student into entities, whose positions are counted in `offset_unit`. Nothing of the
    /// result depends on the time of day.
    fn extract(self, tagger: &TaggerHandle, offset_unit: OffsetUnit) -> StreamVec<'scope, Epoch, Output>;
}

impl<'scope> Extract<'scope> for StreamVec<'scope, Epoch, TaggedNote> {
    fn extract(self, tagger: &TaggerHandle, offset_unit: OffsetUnit) -> StreamVec<'scope, Epoch, Output> {
        let student = Student { model: tagger.model.clone(), thresholds: tagger.thresholds };
        self.map(move |tagged| extract_note(tagged, &student, offset_unit))
    }
}

/// What of a student shows in its extractions.
struct Student {
    model: ModelId,
    thresholds: [f32; Task::ALL.len()],
}

fn extract_note(tagged: TaggedNote, student: &Student, offset_unit: OffsetUnit) -> Output {
    let TaggedNote { note, words, coverage, answer } = tagged;
    let probabilities = match answer {
        Ok(probabilities) => probabilities,
        Err(error) => return note.into_dead_letter(Stage::Tag, error),
    };
    let spans = spans_of(&words, &probabilities, &student.thresholds);
    let entities = entities_of(&note.note.text, &spans, offset_unit);
    let position = note.record.position;
    let (note, text_hash) = (note.note, note.text_hash);
    let prediction = Prediction {
        model: student.model.clone(),
        text_hash: text_hash.clone(),
        note_type: note.note_type.clone(),
        site: note.site.clone(),
        words: words.to_bytes(),
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
        text_hash,
        model: student.model.clone(),
        offset_unit,
        coverage,
        entities,
    });
    Output::Extracted { position, extraction, state }
}
