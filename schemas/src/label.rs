//! What a teacher said of a note, and what that took.

use crate::Reference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `label.v1`: what one teacher said of one text. It is a [`Reference`] by that teacher, with how it came about; whoever reads
/// references can read labels. Key: note, annotator and text hash, so that what was said of an earlier revision stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// Note, teacher and mentions.
    #[serde(flatten)]
    pub reference: Reference,
    /// Answers that are nowhere in the text, and were dropped.
    pub ungrounded: u32,
    /// The instructions by name and hash, `all.v1 3f5a…`; absent for a vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Model and decoding parameters that were really sent, or the version of the vocabulary.
    pub parameters: serde_json::Value,
    /// Requests that were sent, failed ones included.
    pub requests: u64,
    /// Tokens that were read, cached ones included, over all requests.
    pub tokens_in: u64,
    /// Of these, tokens that the vendor had cached.
    pub tokens_cached: u64,
    /// Tokens that were written, those of reasoning included, over all requests.
    pub tokens_out: u64,
    /// Dollars for all requests; absent where the model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
    /// The version of the table of prices.
    pub prices: String,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// The day on which the teacher was asked, UTC, `YYYY-MM-DD`.
    pub day: String,
}
