//! The positions of an extraction in code points, whatever unit they came in.

use crate::FormatError;
use stillroom_schemas::{Dosage, Entity, Extraction, OffsetUnit, Stated};

/// The entities of `extraction`, with all of their positions (their own, and those of cues and dosages) in code points of `text`.
///
/// # Errors
/// When a position is not in the text, or within a character of it.
pub(crate) fn in_code_points(text: &str, extraction: &Extraction) -> Result<Vec<Entity>, FormatError> {
    let boundaries = Boundaries::of(text, extraction.offset_unit);
    let entities = extraction.entities.iter().map(|entity| boundaries.entity(entity.clone()));
    entities.collect::<Option<_>>().ok_or_else(|| FormatError::Note {
        note_id: extraction.note_id.clone(),
        reason: "has an entity that does not stand in its text; extract it again from the text as it is".to_owned(),
    })
}

/// Where characters begin and end.
enum Boundaries {
    /// Counted in code points: at every position up to the last.
    CodePoints { last: u32 },
    /// Counted in another unit: the position of each code point, and the text's length, in ascending order.
    Others(Vec<u32>),
}

impl Boundaries {
    fn of(text: &str, unit: OffsetUnit) -> Boundaries {
        let length = |character: char| match unit {
            OffsetUnit::CodePoint => 1,
            OffsetUnit::Byte => character.len_utf8(),
            OffsetUnit::Utf16 => character.len_utf16(),
        };
        if unit == OffsetUnit::CodePoint {
            return Boundaries::CodePoints { last: text.chars().count() as u32 };
        }
        let ends = text.chars().scan(0, |at, character| {
            *at += length(character) as u32;
            Some(*at)
        });
        Boundaries::Others(std::iter::once(0).chain(ends).collect())
    }

    fn entity(&self, mut entity: Entity) -> Option<Entity> {
        self.range(&mut entity.start, &mut entity.end)?;
        for cue in entity.assertion.iter_mut().flat_map(|assertion| &mut assertion.cues) {
            self.range(&mut cue.start, &mut cue.end)?;
        }
        if let Some(Dosage { strength, dose, form, route, frequency, duration }) = &mut entity.dosage {
            for Stated { start, end, .. } in [strength, dose, form, route, frequency, duration].into_iter().flatten() {
                self.range(start, end)?;
            }
        }
        Some(entity)
    }

    fn range(&self, start: &mut u32, end: &mut u32) -> Option<()> {
        (*start, *end) = (self.code_point(*start)?, self.code_point(*end)?);
        (start <= end).then_some(())
    }

    fn code_point(&self, position: u32) -> Option<u32> {
        match self {
            Boundaries::CodePoints { last } => (position <= *last).then_some(position),
            Boundaries::Others(positions) => positions.binary_search(&position).ok().map(|index| index as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use stillroom_schemas::{Assertion, Cue, Task};

    const TEXT: &str = "\u{1f912} ni\u{e8}vre? no \u{1f912}";

    /// An extraction in `unit` of an entity, its cue and its dosage, at these positions.
    fn extraction(unit: OffsetUnit, [entity, cue, dose]: [[u32; 2]; 3]) -> Extraction {
        let mut found = testing::entity(Task::Symptom, entity, "ni\u{e8}vre");
        let cues = vec![Cue { says: "negated".into(), trigger: "no".into(), start: cue[0], end: cue[1] }];
        found.assertion = Some(Assertion { cues, ..Assertion::default() });
        let dose = Stated { start: dose[0], end: dose[1], text: "\u{1f912}".into() };
        found.dosage = Some(Dosage { dose: Some(dose), ..Dosage::default() });
        let mut extraction = testing::extraction(&testing::note("n1", TEXT), vec![found]);
        extraction.offset_unit = unit;
        extraction
    }

    #[test]
    fn every_position_comes_to_code_points() {
        let code_points = extraction(OffsetUnit::CodePoint, [[2, 8], [10, 12], [13, 14]]);
        let bytes = extraction(OffsetUnit::Byte, [[5, 12], [14, 16], [17, 21]]);
        let utf16 = extraction(OffsetUnit::Utf16, [[3, 9], [11, 13], [14, 16]]);
        for found in [&code_points, &bytes, &utf16] {
            assert_eq!(in_code_points(TEXT, found).unwrap(), code_points.entities);
        }
    }

    #[test]
    fn a_position_that_is_none_is_refused_without_the_text() {
        let wrong = [
            extraction(OffsetUnit::CodePoint, [[2, 15], [10, 12], [13, 14]]),
            extraction(OffsetUnit::CodePoint, [[8, 2], [10, 12], [13, 14]]),
            extraction(OffsetUnit::Byte, [[5, 12], [14, 16], [17, 20]]),
            extraction(OffsetUnit::Utf16, [[3, 9], [1, 13], [14, 16]]),
        ];
        for found in wrong {
            let said = in_code_points(TEXT, &found).unwrap_err().to_string();
            assert!(said.contains("\"n1\"") && !said.contains("vre"), "{said}");
        }
    }
}
