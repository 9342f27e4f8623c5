//! Which student serves from when on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A student's name and version, such as `stillroom-minilm-l6@1f0c…`: the name, then the first twelve hexadecimal digits of
/// the SHA-256 of its weights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ModelId(pub String);

/// `model.v1`: soon after this is read, notes are tagged by this student of the registry. Key: the model. The topic has one
/// partition, so activations are in one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    /// The student.
    pub model: ModelId,
    /// SHA-256 of the weights, in hexadecimal.
    pub weights_hash: String,
    /// The student that served before.
    pub previous: ModelId,
    /// Why.
    pub cause: ActivationCause,
    /// When this was decided, UTC, as in RFC 3339.
    pub activated_at: String,
}

/// Why a student takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivationCause {
    /// It did better than the one before.
    Promotion,
    /// Somebody said so, whatever was measured.
    Forced,
    /// The one after it did not do well.
    Rollback,
}
