//! Entities where they stand in the text of their note.

use crate::FormatError;
use crate::positions::in_code_points;
use std::ops::Range;
use stillroom_schemas::{Entity, Extraction, Note, TextHash};

/// An entity, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    /// The entity, with all of its positions in code points.
    pub(crate) entity: Entity,
    /// Its bytes in the text.
    pub(crate) bytes: Range<usize>,
}

/// The entities of `extraction` in the text of `note`, in the order of the record.
///
/// # Errors
/// When they were found in another text, or one of them is not where it says.
pub(crate) fn place(note: &Note, extraction: &Extraction) -> Result<Vec<Placed>, FormatError> {
    let wrong = |reason: &str| FormatError::Note { note_id: note.note_id.clone(), reason: reason.to_owned() };
    if extraction.note_id != note.note_id || extraction.text_hash != TextHash::of(&note.text) {
        return Err(wrong("is not what its entities were found in; extract it again from the text as it is"));
    }
    let starts: Vec<usize> = note.text.char_indices().map(|(byte, _)| byte).chain([note.text.len()]).collect();
    let placed = in_code_points(&note.text, extraction)?.into_iter().map(|entity| {
        let bytes = *starts.get(entity.start as usize)?..*starts.get(entity.end as usize)?;
        let stands = note.text.get(bytes.clone()).is_some_and(|words| !words.is_empty() && words == entity.text);
        stands.then_some(Placed { entity, bytes })
    });
    placed.collect::<Option<_>>().ok_or_else(|| {
        wrong("has an entity that does not stand in its text where it says; extract it again from the text as it is")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use stillroom_schemas::{OffsetUnit, Task};

    const TEXT: &str = "\u{1f912} ni\u{e8}vre, zebrafever";

    #[test]
    fn bytes_are_the_same_whatever_is_counted() {
        let note = testing::note("n1", TEXT);
        for (unit, at) in [(OffsetUnit::CodePoint, [2, 8]), (OffsetUnit::Byte, [5, 12]), (OffsetUnit::Utf16, [3, 9])] {
            let entity = testing::entity(Task::Symptom, at, "ni\u{e8}vre");
            let extraction = Extraction { offset_unit: unit, ..testing::extraction(&note, vec![entity]) };
            let placed = place(&note, &extraction).unwrap();
            assert_eq!((placed.len(), &TEXT[placed[0].bytes.clone()]), (1, "ni\u{e8}vre"));
            assert_eq!((placed[0].entity.start, placed[0].entity.end), (2, 8));
        }
    }

    #[test]
    fn what_does_not_stand_there_is_refused_without_the_text() {
        let note = testing::note("n1", TEXT);
        let misplaced = testing::extraction(&note, vec![testing::entity(Task::Symptom, [2, 7], "ni\u{e8}vre")]);
        let empty = testing::extraction(&note, vec![testing::entity(Task::Symptom, [2, 2], "")]);
        let other = testing::extraction(&testing::note("n1", "zebrafever"), Vec::new());
        let of_another = testing::extraction(&testing::note("n2", TEXT), Vec::new());
        for extraction in [misplaced, empty, other, of_another] {
            let said = place(&note, &extraction).unwrap_err().to_string();
            assert!(said.contains("\"n1\"") && !said.contains("zebra") && !said.contains("vre"), "{said}");
        }
    }
}
