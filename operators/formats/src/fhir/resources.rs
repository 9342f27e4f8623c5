//! The resources of FHIR R4 that are written, as far as they are: <http://hl7.org/fhir/R4/resourcelist.html>.

use super::types::{Absent, CodeableConcept, Dosage, Extension, Identifier, Period, Reference};
use serde::Serialize;

/// Resources for a server to take over, all of them or none.
#[derive(Debug, Serialize)]
#[serde(tag = "resourceType")]
pub(super) struct Bundle {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) bundle_type: &'static str,
    pub(super) entry: Vec<Entry>,
}

/// A resource, and what is to be done with it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) full_url: String,
    pub(super) resource: Resource,
    pub(super) request: Request,
}

/// A request to a server.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) url: String,
}

/// A resource, with its type.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "resourceType")]
pub(super) enum Resource {
    DocumentReference(DocumentReference),
    Condition(Condition),
    MedicationStatement(MedicationStatement),
    Observation(Observation),
    FamilyMemberHistory(FamilyMemberHistory),
    Provenance(Provenance),
}

impl Resource {
    /// The name of its type, and its id.
    pub(super) fn name(&self) -> (&'static str, &str) {
        match self {
            Resource::DocumentReference(resource) => ("DocumentReference", &resource.id),
            Resource::Condition(resource) => ("Condition", &resource.id),
            Resource::MedicationStatement(resource) => ("MedicationStatement", &resource.id),
            Resource::Observation(resource) => ("Observation", &resource.id),
            Resource::FamilyMemberHistory(resource) => ("FamilyMemberHistory", &resource.id),
            Resource::Provenance(resource) => ("Provenance", &resource.id),
        }
    }
}

/// A note.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DocumentReference {
    pub(super) id: String,
    pub(super) master_identifier: Identifier,
    pub(super) identifier: [Identifier; 1],
    pub(super) status: &'static str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) document_type: Option<CodeableConcept>,
    pub(super) subject: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custodian: Option<Reference>,
    pub(super) content: [Content; 1],
}

/// What a document is.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Content {
    pub(super) attachment: Attachment,
}

/// A text, or how to know it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attachment {
    pub(super) content_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<String>,
    pub(super) size: usize,
    pub(super) hash: String,
}

/// A disease of the patient.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clinical_status: Option<CodeableConcept>,
    pub(super) verification_status: CodeableConcept,
    pub(super) code: CodeableConcept,
    pub(super) subject: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recorded_date: Option<String>,
}

/// A medication of the patient.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MedicationStatement {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) medication_codeable_concept: CodeableConcept,
    pub(super) subject: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date_asserted: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dosage: Vec<Dosage>,
}

/// A symptom of the patient.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Observation {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) code: CodeableConcept,
    pub(super) subject: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value_codeable_concept: Option<CodeableConcept>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_absent_reason: Option<CodeableConcept>,
}

/// A disease or symptom of a relative.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FamilyMemberHistory {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) patient: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<String>,
    pub(super) relationship: CodeableConcept,
    pub(super) condition: [FamilyCondition; 1],
}

/// What a relative has or had.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct FamilyCondition {
    pub(super) code: CodeableConcept,
}

/// Where a resource comes from.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Provenance {
    pub(super) id: String,
    pub(super) target: [Reference; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recorded: Option<String>,
    #[serde(rename = "_recorded", skip_serializing_if = "Option::is_none")]
    pub(super) recorded_absent: Option<Absent>,
    pub(super) agent: [Agent; 1],
    pub(super) entity: [Source; 1],
}

/// Who made it.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Agent {
    #[serde(rename = "type")]
    pub(super) agent_type: CodeableConcept,
    pub(super) who: Reference,
}

/// What it was made from.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Source {
    pub(super) extension: [Extension; 1],
    pub(super) role: &'static str,
    pub(super) what: Reference,
}
