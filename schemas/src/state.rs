//! What is remembered of a note.

use crate::{ModelId, NoteFacts, Span, TextHash};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `state.v1`, the changelog from which a restart restores what is known of a note: no text, only positions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NoteState {
    /// The note.
    pub note_id: String,
    /// The greatest revision seen.
    pub revision: u64,
    /// The offset of the record that carried it, within the partition of this record.
    pub offset: u64,
    /// What the student said of it; absent when the note was withdrawn or dead-lettered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// By what assertions and concepts were told of it, as its extraction has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpretation: Option<String>,
    /// What it says of its patient, for cohorts; absent with the prediction, and where no cohorts are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<NoteFacts>,
    /// Hash of the text, if it was dead-lettered after it was decoded: a duplicate of it is superseded, not tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_lettered: Option<TextHash>,
}

/// What a student said of one text, and what is needed to compare it with a reference that comes later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// The student.
    pub model: ModelId,
    /// The text.
    pub text_hash: TextHash,
    /// The note's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_type: Option<String>,
    /// The note's site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Boundaries of the words, as `stillroom_dataflow::Words::to_bytes` writes them; Base64 in JSON.
    #[serde(with = "crate::base64_bytes")]
    #[schemars(with = "String", extend("contentEncoding" = "base64"))]
    pub words: Vec<u8>,
    /// The entities, in code points.
    pub spans: Vec<Span>,
}
