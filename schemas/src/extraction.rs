//! The entities of a note.

use crate::{Assertion, Concept, Dosage, ModelId, Span, Task, TextHash};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `extraction.v1`: the entities of one revision of a note. A null value under the note's key says that it was withdrawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Extraction {
    /// The note.
    pub note_id: String,
    /// The note's patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// The revision that was read.
    pub revision: u64,
    /// The note's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_type: Option<String>,
    /// The note's site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// When the note was signed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<String>,
    /// Hash of the text that was read.
    pub text_hash: TextHash,
    /// The student that read it.
    pub model: ModelId,
    /// By what assertions and concepts were told, each by its name and the first twelve hexadecimal digits of a SHA-256:
    /// `assertion@1f0c57a2b9de concepts@83d1f9024c6b`; absent where neither was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpretation: Option<String>,
    /// The unit of `start` and `end` of every entity.
    pub offset_unit: OffsetUnit,
    /// How much of the text the student saw.
    pub coverage: Coverage,
    /// By task, then by position.
    pub entities: Vec<Entity>,
}

/// One mention: `text[start..end] == entity.text` in the record's offset unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entity {
    /// What it is.
    pub task: Task,
    /// First position.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// The words as they stand in the note.
    pub text: String,
    /// Mean probability of its words, 0 to 1, to four decimals.
    pub score: f64,
    /// How the note means it; absent where assertions are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion: Option<Assertion>,
    /// The section that it stands in, as the lexicon calls it: `family_history`, `plan`; absent before the first heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The concept that it names; absent where no vocabulary knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concept: Option<Concept>,
    /// How a medication is to be taken, where it says so beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dosage: Option<Dosage>,
}

impl Entity {
    /// A mention of which no more is known.
    pub fn mention(span: Span, text: String, score: f64) -> Entity {
        let Span { task, start, end } = span;
        Entity { task, start, end, text, score, assertion: None, section: None, concept: None, dosage: None }
    }
}

/// The unit in which positions are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetUnit {
    /// Unicode scalar values, as Python's `str` counts.
    #[default]
    CodePoint,
    /// Bytes of the UTF-8 form.
    Byte,
    /// UTF-16 code units, as JavaScript and Java count.
    Utf16,
}

/// How much of a note the student saw. Every word is tagged in exactly one window, so `words` counts all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Words (pre-tokens of the basic BERT tokenizer), all tagged.
    pub words: u32,
    /// Word pieces, special ones not counted.
    pub word_pieces: u32,
    /// Windows of at most 512 word pieces that the note was read in.
    pub windows: u32,
}
