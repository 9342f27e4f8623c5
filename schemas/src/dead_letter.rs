//! What could not be processed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `dead_letter.v1`: a record that could not be processed, with its original bytes, so that it can be mended and replayed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The topic that it was read from.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Where it failed.
    pub stage: Stage,
    /// What was wrong, without any text of the note.
    pub error: String,
    /// The original key; Base64 in JSON.
    #[serde(
        rename = "key_base64",
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::base64_bytes::option"
    )]
    #[schemars(with = "Option<String>", extend("contentEncoding" = "base64"))]
    pub key: Option<Vec<u8>>,
    /// The original value, empty if the record had none; Base64 in JSON.
    #[serde(rename = "value_base64", with = "crate::base64_bytes")]
    #[schemars(with = "String", extend("contentEncoding" = "base64"))]
    pub value: Vec<u8>,
}

/// The operator at which a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The bytes are not a record.
    Decode,
    /// The text could not be cut into windows.
    Tokenize,
    /// The student failed on this note alone.
    Tag,
}
