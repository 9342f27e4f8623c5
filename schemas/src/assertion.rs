//! How a note means what it mentions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether and of whom a note says that an entity is so, on the axes of ConText (Harkema et al., J Biomed Inform 42(5), 2009).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assertion {
    /// How sure the note is.
    #[serde(default)]
    pub certainty: Certainty,
    /// When it is so.
    #[serde(default)]
    pub temporality: Temporality,
    /// Of whom it is said.
    #[serde(default)]
    pub experiencer: Experiencer,
    /// What in the text decided so, by position; empty where nothing spoke against the defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cues: Vec<Cue>,
}

impl Assertion {
    /// Whether the patient has it now, as far as the note says: affirmed, recent, and of the patient.
    pub fn is_present(&self) -> bool {
        (self.certainty, self.temporality, self.experiencer)
            == (Certainty::Affirmed, Temporality::Recent, Experiencer::Patient)
    }
}

/// How sure a note is of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// It is so.
    #[default]
    Affirmed,
    /// It may be so.
    Uncertain,
    /// It is not so.
    Negated,
}

/// When an entity is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Temporality {
    /// Now, or not long ago.
    #[default]
    Recent,
    /// In the past, and over.
    Historical,
    /// Not yet, and perhaps never.
    Hypothetical,
}

/// Of whom an entity is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Experiencer {
    /// The patient.
    #[default]
    Patient,
    /// A relative of the patient.
    Family,
    /// Somebody else, such as a donor.
    Other,
}

/// Words, or a heading, that decide how an entity is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Cue {
    /// What it says of the entity: `negated`, `uncertain`, `historical`, `hypothetical`, `family` or `other`.
    pub says: String,
    /// The trigger of the lexicon, as the lexicon writes it; never text of the note.
    pub trigger: String,
    /// Its first position, in the record's offset unit.
    pub start: u32,
    /// One past its last position.
    pub end: u32,
}
