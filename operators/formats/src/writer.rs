//! What every format that is written has in common.

use crate::FormatError;
use stillroom_schemas::{Extraction, Note};

/// Where extractions are written in one format.
pub trait Writer: Send {
    /// Writes what was found in one note.
    fn write(&mut self, note: &Note, extraction: &Extraction) -> Result<(), FormatError>;
    /// Completes what was written; what is not finished is not complete.
    fn finish(self: Box<Self>) -> Result<(), FormatError>;
}
