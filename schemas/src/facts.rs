//! What a note says of its patient, without its text.

use crate::{Assertion, Certainty, Code, Day, Experiencer, Extraction, Span, Task, Temporality, TextHash};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// What a note says of its patient, as cohorts count it: codes, hashes and positions, and no text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NoteFacts {
    /// The patient; what is said of nobody counts in no cohort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// The note's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_type: Option<String>,
    /// The day on which the note was signed; absent if it does not say so, or not in a way that is understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_on: Option<Day>,
    /// What is mentioned.
    pub mentions: Vec<Mention>,
}

/// A mention by position, code and hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Mention {
    /// What it is.
    pub task: Task,
    /// First code point.
    pub start: u32,
    /// One past the last code point.
    pub end: u32,
    /// Hash of its words.
    pub words: WordsHash,
    /// The concept that it names, where a vocabulary knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// How it is meant; absent where assertions are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion: Option<Axes>,
    /// The section that it stands in; absent before the first heading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
}

/// How a mention is meant, without what decided so; what is not said is affirmed, recent and of the patient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Axes {
    /// How sure the note is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub certainty: Certainty,
    /// When it is so.
    #[serde(default, skip_serializing_if = "is_default")]
    pub temporality: Temporality,
    /// Of whom it is said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub experiencer: Experiencer,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&Assertion> for Axes {
    fn from(assertion: &Assertion) -> Axes {
        let Assertion { certainty, temporality, experiencer, .. } = *assertion;
        Axes { certainty, temporality, experiencer }
    }
}

impl NoteFacts {
    /// What an extraction says. `spans` are its entities in code points, one each and in their order.
    pub fn of(extraction: &Extraction, spans: &[Span]) -> NoteFacts {
        let mentions = extraction.entities.iter().zip(spans).map(|(entity, span)| Mention {
            task: span.task,
            start: span.start,
            end: span.end,
            words: WordsHash::of(&entity.text),
            code: entity.concept.as_ref().map(|concept| concept.code.clone()),
            assertion: entity.assertion.as_ref().map(Axes::from),
            section: entity.section.clone(),
        });
        NoteFacts {
            patient_id: extraction.patient_id.clone(),
            note_type: extraction.note_type.clone(),
            signed_on: extraction.signed_at.as_deref().and_then(Day::of),
            mentions: mentions.collect(),
        }
    }
}

/// The first 64 bits of the SHA-256 of words in lower case with single spaces between them, as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordsHash(pub u64);

impl WordsHash {
    /// The hash of `words`, whatever their case and the white space around and between them.
    pub fn of(words: &str) -> WordsHash {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        WordsHash(TextHash::of(&words.join(" ")).first_bits())
    }
}

impl Serialize for WordsHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for WordsHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WordsHash, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let is_whole = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bits = u64::from_str_radix(&digits, 16).ok().filter(|_| is_whole);
        bits.map(WordsHash).ok_or_else(|| D::Error::custom("not a hash of words: 16 hexadecimal digits"))
    }
}

impl JsonSchema for WordsHash {
    fn schema_name() -> Cow<'static, str> {
        "WordsHash".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The first 64 bits of the SHA-256 of words in lower case with single spaces between them.",
            "type": "string",
            "pattern": "^[0-9a-f]{16}$",
        })
    }
}
