//! Which student serves from when on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A student's name and version, such as `stillroom-minilm-l6@1f0c…`: the name, then the first twelve hexadecimal digits of
/// the SHA-256 of its weights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ModelId(pub String);

/// `model.v1`: from its epoch on, notes are tagged by this student.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    /// The student.
    pub model: ModelId,
    /// The folder that holds it: weights, tokenizer and manifest.
    pub location: String,
    /// SHA-256 of the weights, in hexadecimal.
    pub weights_hash: String,
}
