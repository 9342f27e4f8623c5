//! Which text it was, without the text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// SHA-256 of a note's UTF-8 text, as 64 lower-case hexadecimal digits. It binds a reference to the revision it was made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TextHash(pub String);

impl TextHash {
    /// The hash of `text`.
    pub fn of(text: &str) -> TextHash {
        TextHash(format!("{:x}", Sha256::digest(text.as_bytes())))
    }

    /// The first 64 bits; 0 of what is no hash.
    pub fn first_bits(&self) -> u64 {
        self.0.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
    }
}
