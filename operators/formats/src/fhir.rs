//! FHIR R4 (4.0.1), for integration engines: <http://hl7.org/fhir/R4/>.
//!
//! In: notes and what was found in them. Out: NDJSON, on each line the bundle of a note, which a loader of NDJSON takes as it is and a
//! script sends line by line. Of a note that comes again in a later revision the last bundle alone is there in the end. State: 60 to 100
//! bytes a note.
//!
//! ```text
//! note ─────► DocumentReference ◄───────┐ entity, with the span
//! entities ─► Condition, … ◄── target ── Provenance ── agent ──► the student, as a device
//! ```
//!
//! A bundle is a transaction, since servers carry one out and store a collection only whole: each entry is a `PUT` to an id that follows
//! from what the resource is about, so that sending a bundle again changes nothing, and a note read again by another student overwrites
//! what that student finds at the same place too. What an earlier run found elsewhere in the note, or in one that was withdrawn since,
//! stays on the server: its provenances name the note's `DocumentReference`, by which it can be found and removed.

mod dosage;
mod facts;
mod provenance;
mod resources;
mod types;
mod words;

use crate::draft::LastPieces;
use crate::places::{Placed, place};
use crate::{FormatError, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use facts::About;
use provenance::{Ids, Reading, full_url};
use resources::{Attachment, Bundle, Content, DocumentReference, Entry, Request, Resource};
use serde::Deserialize;
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use stillroom_schemas::{Extraction, Note};
use types::{CodeableConcept, Extension, Identifier, Reference};
use words::{When, plain};

/// How notes and entities become resources.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FhirConfig {
    /// The system of `patient_id`, a URI such as `urn:oid:2.16.840.1.113883.19.5`, by which a server finds the patient; none by default.
    pub patient_system: Option<String>,
    /// The system of `note_id`, a URI; `urn:stillroom:note` by default. Ids of resources follow from it, so that sites whose notes have the
    /// same ids can share a server.
    pub note_system: String,
    /// The systems of vocabularies, as URIs by the name that the configuration gives the vocabulary. Of `rxnorm`, `snomed_ct` and the like
    /// it is known; others are `urn:stillroom:vocabulary:NAME` by default.
    pub systems: BTreeMap<String, String>,
    /// Whether a `DocumentReference` holds the text of its note; false by default.
    pub with_text: bool,
    /// When the notes were read, RFC 3339, as `Provenance.recorded`; by default it is when each note was signed, the one time that its
    /// record has, so that what is written does not depend on the time of day.
    pub recorded: Option<String>,
}

impl Default for FhirConfig {
    fn default() -> FhirConfig {
        FhirConfig {
            patient_system: None,
            note_system: "urn:stillroom:note".to_owned(),
            systems: BTreeMap::new(),
            with_text: false,
            recorded: None,
        }
    }
}

impl FhirConfig {
    /// # Errors
    /// When a system is no URI, or `recorded` no time.
    fn check(&self) -> Result<(), FormatError> {
        let wrong = |field, reason: &str| Err(FormatError::Setting { field, reason: reason.to_owned() });
        let is_uri = |uri: &String| {
            uri.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
                && !uri.contains(|character: char| character.is_whitespace() || character.is_control())
        };
        let no_uri = "is no URI, such as urn:oid:1.2.3 or https://hospital.example/patients; correct it";
        match () {
            () if !self.patient_system.iter().all(is_uri) => wrong("patient_system", no_uri),
            () if !is_uri(&self.note_system) => wrong("note_system", no_uri),
            () if !self.systems.values().all(is_uri) => wrong("systems", no_uri),
            () if self.recorded.as_ref().is_some_and(|recorded| When::of(recorded).instant.is_none()) => {
                wrong("recorded", "is no time with its distance from UTC, such as 2026-11-27T09:30:00Z; correct it")
            }
            () => Ok(()),
        }
    }
}

/// Writes a bundle a note, on lines of NDJSON.
///
/// A resource's positions in the text stand in the extension `urn:stillroom:fhir:text-span` of its provenance, whose definition is
/// `operators/formats/fhir/text-span.json`.
pub struct FhirWriter {
    bundles: LastPieces,
    config: FhirConfig,
}

impl FhirWriter {
    /// Begins the file `path`, which appears when it is finished.
    ///
    /// # Errors
    /// When no file can be created there.
    pub fn create(path: &Path) -> Result<FhirWriter, FormatError> {
        FhirWriter::with(path, FhirConfig::default())
    }

    /// The same, by `config`.
    ///
    /// # Errors
    /// When `config` cannot be used, or no file can be created there.
    pub fn with(path: &Path, config: FhirConfig) -> Result<FhirWriter, FormatError> {
        config.check()?;
        Ok(FhirWriter { bundles: LastPieces::create(path)?, config })
    }
}

impl Writer for FhirWriter {
    fn write(&mut self, note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        let bundle = bundle(&self.config, (note, extraction), &place(note, extraction)?);
        let mut line = serde_json::to_vec(&bundle).expect("strings and numbers are JSON");
        line.push(b'\n');
        self.bundles.write(&note.note_id, &line)
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        self.bundles.finish()
    }
}

/// The note, its facts, and after each where it comes from.
fn bundle(config: &FhirConfig, (note, extraction): (&Note, &Extraction), placed: &[Placed]) -> Bundle {
    let ids = Ids::of(&config.note_system, &note.note_id);
    let when = note.signed_at.as_deref().map(When::of).unwrap_or_default();
    let document = document(config, note, &when, &ids);
    let recorded = config.recorded.as_deref().map_or_else(|| when.clone(), When::of).instant;
    let reading = Reading { ids: &ids, document: document.id.clone(), model: &extraction.model, recorded };
    let about = About { subject: subject(config, note), date_time: when.date_time, systems: &config.systems };
    let (mut resources, mut seen) = (vec![Resource::DocumentReference(document)], HashSet::new());
    for Placed { entity, .. } in placed {
        let Some(fact) = about.resource(entity, |kind| ids.of_entity(kind, entity)) else { continue };
        let (_, id) = fact.name();
        // Two students may find the same.
        if seen.insert(id.to_owned()) {
            let provenance = reading.provenance(entity, id);
            resources.extend([fact, Resource::Provenance(provenance)]);
        }
    }
    let entry = |resource: Resource| {
        let (name, id) = resource.name();
        let (full_url, url) = (full_url(id), format!("{name}/{id}"));
        Entry { full_url, request: Request { method: "PUT", url }, resource }
    };
    let entry = resources.into_iter().map(entry).collect();
    Bundle { id: ids.of_note("Bundle"), bundle_type: "transaction", entry }
}

/// The note, by what identifies it and its text.
fn document(config: &FhirConfig, note: &Note, when: &When, ids: &Ids) -> DocumentReference {
    let named = |system: &str, name: &str| {
        // A name of control characters alone has no other way to be one.
        let value = plain(name).unwrap_or_else(|| ids.of_note("Note"));
        Identifier { system: Some(system.to_owned()), value }
    };
    let hospital = note.site.as_deref().and_then(plain).map(|site| Reference {
        resource_type: Some("Organization"),
        display: Some(site),
        ..Reference::default()
    });
    let text = note.text.as_bytes();
    DocumentReference {
        id: ids.of_note("DocumentReference"),
        master_identifier: named("urn:stillroom:note-revision", &format!("{}/{}", note.note_id, note.revision)),
        identifier: [named(&config.note_system, &note.note_id)],
        status: "current",
        document_type: note.note_type.as_deref().and_then(plain).map(CodeableConcept::text),
        subject: subject(config, note),
        date: when.instant.clone(),
        custodian: hospital,
        content: [Content {
            attachment: Attachment {
                content_type: "text/plain; charset=utf-8",
                data: (config.with_text && !text.is_empty()).then(|| STANDARD.encode(text)),
                size: text.len(),
                // Of the text, whether it is there or not, so that whoever has a text knows whether positions are in it.
                hash: STANDARD.encode(Sha1::digest(text)),
            },
        }],
    }
}

/// The patient, by identifier: which id a server has given it is not known here.
fn subject(config: &FhirConfig, note: &Note) -> Reference {
    match note.patient_id.as_deref().and_then(plain) {
        Some(value) => Reference::by_identifier("Patient", Identifier { system: config.patient_system.clone(), value }),
        None => Reference {
            extension: vec![Extension::unknown()],
            resource_type: Some("Patient"),
            display: Some("unknown".to_owned()),
            ..Reference::default()
        },
    }
}

#[cfg(test)]
mod tests;
