//! The data types of FHIR R4 that are written, as far as they are: <http://hl7.org/fhir/R4/datatypes.html>.

use serde::Serialize;
use serde_json::Number;

/// What an element has in the place of what is not known.
const DATA_ABSENT_REASON: &str = "http://hl7.org/fhir/StructureDefinition/data-absent-reason";

/// A concept, by codes and in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct CodeableConcept {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) coding: Vec<Coding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
}

impl CodeableConcept {
    /// A concept of the specification's own code systems.
    pub(super) fn of(system: &str, code: &str) -> CodeableConcept {
        let coding = Coding { system: system.to_owned(), version: None, code: code.to_owned(), display: None };
        CodeableConcept { coding: vec![coding], text: None }
    }

    /// A concept in words alone.
    pub(super) fn text(text: String) -> CodeableConcept {
        CodeableConcept { coding: Vec::new(), text: Some(text) }
    }
}

/// A code of a code system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Coding {
    pub(super) system: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    pub(super) code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
}

/// A name within a system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Identifier {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<String>,
    pub(super) value: String,
}

/// A reference to another resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Reference {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) extension: Vec<Extension>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) resource_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<Identifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
}

impl Reference {
    /// To a resource of the same bundle.
    pub(super) fn within(full_url: String) -> Reference {
        Reference { reference: Some(full_url), ..Reference::default() }
    }

    /// To a resource that a server has under another id than is known here.
    pub(super) fn by_identifier(resource_type: &'static str, identifier: Identifier) -> Reference {
        Reference { resource_type: Some(resource_type), identifier: Some(identifier), ..Reference::default() }
    }
}

/// Something that an element has no place for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Extension {
    pub(super) url: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) extension: Vec<Extension>,
    #[serde(flatten)]
    pub(super) value: Option<Value>,
}

/// The value of an extension.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Value {
    #[serde(rename = "valueCode")]
    Code(&'static str),
    #[serde(rename = "valueDecimal")]
    Decimal(f64),
    #[serde(rename = "valueString")]
    String(String),
    #[serde(rename = "valueUnsignedInt")]
    UnsignedInt(u32),
}

impl Extension {
    /// One that has a value.
    pub(super) fn of(url: &'static str, value: Value) -> Extension {
        Extension { url, extension: Vec::new(), value: Some(value) }
    }

    /// Says that something is not known.
    pub(super) fn unknown() -> Extension {
        Extension::of(DATA_ABSENT_REASON, Value::Code("unknown"))
    }
}

/// An element of a simple type that has no value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Absent {
    pub(super) extension: [Extension; 1],
}

/// A time, of which the beginning is not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Period {
    pub(super) end: String,
}

/// An amount.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Quantity {
    pub(super) value: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
}

/// From one amount to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Range {
    pub(super) low: Quantity,
    pub(super) high: Quantity,
}

/// How a medication is taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dosage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timing: Option<Timing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<CodeableConcept>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dose_and_rate: Vec<Dose>,
}

/// When, in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Timing {
    pub(super) code: CodeableConcept,
}

/// How much is taken at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Dose {
    #[serde(rename = "doseQuantity")]
    Quantity(Quantity),
    #[serde(rename = "doseRange")]
    Range(Range),
}
