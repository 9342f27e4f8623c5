//! How values stand on the wire.

use std::borrow::Cow;

/// Turns the bytes of a value into the JSON that `Decode` reads.
pub trait WireFormat: Send + Sync {
    /// The JSON of `value`, as it was read from `topic`. It does not block: whatever it needs was fetched before.
    ///
    /// # Errors
    /// When the value is not in this format. The message carries nothing of the value.
    fn to_json<'a>(&self, topic: &str, value: &'a [u8]) -> Result<Cow<'a, [u8]>, WireError>;
}

/// JSON as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlainJson;

impl WireFormat for PlainJson {
    fn to_json<'a>(&self, _topic: &str, value: &'a [u8]) -> Result<Cow<'a, [u8]>, WireError> {
        Ok(Cow::Borrowed(value))
    }
}

/// Why a value is not in the format: what is wrong and what to do, without anything of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub String);
