//! Where a resource comes from: the text, the span within it, and the student; and the ids that all of them have.

use super::resources::{Agent, Provenance, Source};
use super::types::{Absent, CodeableConcept, Extension, Identifier, Reference, Value};
use super::words::plain;
use crate::names;
use stillroom_schemas::{Entity, ModelId};
use uuid::Uuid;

const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const TEXT_SPAN: &str = "urn:stillroom:fhir:text-span";

/// The ids of what comes from a note: UUIDs of version 5 (RFC 9562), by name, so that the same has the same.
pub(super) struct Ids {
    note: Uuid,
}

impl Ids {
    /// Those of the note that is called `note_id` in `system`.
    pub(super) fn of(system: &str, note_id: &str) -> Ids {
        let system = Uuid::new_v5(&Uuid::NAMESPACE_URL, system.as_bytes());
        Ids { note: Uuid::new_v5(&system, note_id.as_bytes()) }
    }

    /// The id of the resource of the type `kind` that stands for the whole note.
    pub(super) fn of_note(&self, kind: &str) -> String {
        Uuid::new_v5(&self.note, kind.as_bytes()).to_string()
    }

    /// The id of the resource of the type `kind` that `entity` is. Its words, score and concept are not in it: they may change.
    pub(super) fn of_entity(&self, kind: &str, entity: &Entity) -> String {
        self.of_note(&format!("{kind} {} {} {}", entity.task.name(), entity.start, entity.end))
    }
}

/// How resources of a bundle refer to the one that has `id`.
pub(super) fn full_url(id: &str) -> String {
    format!("urn:uuid:{id}")
}

/// A note, read by a student.
pub(super) struct Reading<'a> {
    /// The ids of what comes from it.
    pub(super) ids: &'a Ids,
    /// The id of its document.
    pub(super) document: String,
    /// The student.
    pub(super) model: &'a ModelId,
    /// When it was read; where that is not known, that is said.
    pub(super) recorded: Option<String>,
}

impl Reading<'_> {
    /// Where the resource with the id `target`, which is `entity`, comes from.
    pub(super) fn provenance(&self, entity: &Entity, target: &str) -> Provenance {
        let student = plain(&self.model.0).unwrap_or_else(|| "unknown".to_owned());
        let device = Identifier { system: Some("urn:stillroom:model".to_owned()), value: student.clone() };
        let what = Reference::within(full_url(&self.document));
        Provenance {
            id: self.ids.of_entity("Provenance", entity),
            target: [Reference::within(full_url(target))],
            recorded: self.recorded.clone(),
            recorded_absent: self.recorded.is_none().then(|| Absent { extension: [Extension::unknown()] }),
            agent: [Agent {
                // A device that makes something new of what is there, by rules.
                agent_type: CodeableConcept::of(PARTICIPANT, "assembler"),
                who: Reference { display: Some(student), ..Reference::by_identifier("Device", device) },
            }],
            entity: [Source { extension: [span(entity)], role: "source", what }],
        }
    }
}

/// Where the entity stands in the text, in code points, and what decided that it is so.
fn span(entity: &Entity) -> Extension {
    let position = |name, at| Extension::of(name, Value::UnsignedInt(at));
    let mut parts = vec![position("start", entity.start), position("end", entity.end)];
    if entity.score.is_finite() {
        parts.push(Extension::of("score", Value::Decimal(entity.score)));
    }
    let section = entity.section.as_deref().and_then(plain);
    parts.extend(section.map(|section| Extension::of("section", Value::String(section))));
    for cue in entity.assertion.iter().flat_map(|assertion| &assertion.cues) {
        let cue = plain(&format!("{}: {}", cue.says, cue.trigger));
        parts.extend(cue.map(|cue| Extension::of("cue", Value::String(cue))));
    }
    let tier = entity.concept.as_ref().map(|concept| names::tier(concept.tier));
    parts.extend(tier.map(|tier| Extension::of("tier", Value::Code(tier))));
    Extension { url: TEXT_SPAN, extension: parts, value: None }
}
