//! What an annotator found in a note.

use crate::{Task, TaskSet, TextHash};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `reference.v1`: what an annotator (a human, a teacher, an ensemble) says of one text. Key: note and annotator; the later
/// record replaces the earlier, a null value withdraws it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// The note that was annotated.
    pub note_id: String,
    /// Who annotated: names the reference that quality is measured against.
    pub annotator: String,
    /// The text that was annotated; a reference for another revision's text is kept and not joined.
    pub text_hash: TextHash,
    /// What was annotated. A task that is not listed is unannotated, not empty.
    pub tasks: TaskSet,
    /// The mentions, in Unicode code points.
    pub spans: Vec<Span>,
}

/// A mention by position, without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// What it is.
    pub task: Task,
    /// First code point.
    pub start: u32,
    /// One past the last code point.
    pub end: u32,
}
