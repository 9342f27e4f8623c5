//! Made-up notes and what is found in them: `notes.json`, whose entities, cues and dosages are named by their words.

use serde::Deserialize;
use std::collections::BTreeMap;
use stillroom_schemas::{
    Assertion, Concept, Coverage, Cue, Dosage, Entity, Extraction, ModelId, Note, OffsetUnit, Stated, Task, TextHash,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    note: Note,
    #[serde(default)]
    entities: Vec<Found>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    task: Task,
    words: String,
    /// How many times its words stand in the text before it.
    #[serde(default)]
    nth: usize,
    assertion: Option<Assertion>,
    /// What each says, and its words; the first in the text.
    #[serde(default)]
    cues: Vec<(String, String)>,
    section: Option<String>,
    concept: Option<Concept>,
    /// The words of each part; the first after the entity.
    dosage: Option<BTreeMap<String, String>>,
}

/// The notes, each with what is found in it, whose positions are counted in `unit`.
pub(crate) fn samples(unit: OffsetUnit) -> Vec<(Note, Extraction)> {
    let samples: Vec<Sample> = serde_json::from_str(include_str!("notes.json")).expect("the samples are samples");
    samples
        .into_iter()
        .map(|Sample { note, entities }| {
            let text = Text { text: &note.text, unit };
            let mut entities: Vec<Entity> = entities.into_iter().map(|found| text.entity(found)).collect();
            entities.sort_by_key(|entity| (entity.task, entity.start));
            let extraction = Extraction {
                note_id: note.note_id.clone(),
                patient_id: note.patient_id.clone(),
                revision: note.revision,
                note_type: note.note_type.clone(),
                site: note.site.clone(),
                signed_at: note.signed_at.clone(),
                text_hash: TextHash::of(&note.text),
                model: ModelId("sample@0123456789ab".to_owned()),
                interpretation: None,
                offset_unit: unit,
                coverage: Coverage::default(),
                entities,
            };
            (note, extraction)
        })
        .collect()
}

/// A text whose positions are counted in a unit.
struct Text<'a> {
    text: &'a str,
    unit: OffsetUnit,
}

impl Text<'_> {
    fn entity(&self, found: Found) -> Entity {
        let Found { task, words, nth, assertion, cues, section, concept, dosage } = found;
        let (at, _) = self.text.match_indices(&words).nth(nth).expect("the words of an entity stand in its text");
        let cues = cues.into_iter().map(|(says, trigger)| {
            let (start, end) = self.range(0, &trigger);
            Cue { says, trigger, start, end }
        });
        let (start, end) = self.range(at, &words);
        Entity {
            task,
            start,
            end,
            score: 0.9375,
            assertion: assertion.map(|assertion| Assertion { cues: cues.collect(), ..assertion }),
            section,
            concept,
            dosage: dosage.map(|mut parts| {
                let mut part = |name: &str| {
                    parts.remove(name).map(|text| {
                        let (start, end) = self.range(at, &text);
                        Stated { start, end, text }
                    })
                };
                let [strength, dose, form] = ["strength", "dose", "form"].map(&mut part);
                let [route, frequency, duration] = ["route", "frequency", "duration"].map(&mut part);
                assert!(parts.is_empty(), "a dosage has no such parts: {parts:?}");
                Dosage { strength, dose, form, route, frequency, duration }
            }),
            text: words,
        }
    }

    /// Where `words` first stand from the byte `from` on.
    fn range(&self, from: usize, words: &str) -> (u32, u32) {
        let start = from + self.text[from..].find(words).expect("the words stand in the text");
        (self.position(start), self.position(start + words.len()))
    }

    fn position(&self, byte: usize) -> u32 {
        let before = &self.text[..byte];
        let position = match self.unit {
            OffsetUnit::CodePoint => before.chars().count(),
            OffsetUnit::Byte => before.len(),
            OffsetUnit::Utf16 => before.encode_utf16().count(),
        };
        u32::try_from(position).expect("the samples are small")
    }
}
