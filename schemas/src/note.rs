//! A clinical note.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `note.v1`: one revision of a clinical note. A null value under the same key withdraws the note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// The key of the topic; stable over revisions.
    pub note_id: String,
    /// The patient, where the site sends one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// Rises with every amendment; among equal revisions the later offset wins.
    #[serde(default)]
    pub revision: u64,
    /// Such as `discharge_summary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_type: Option<String>,
    /// The hospital or clinic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When the note was signed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<String>,
    /// The note itself.
    pub text: String,
}
