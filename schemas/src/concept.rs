//! What an entity is, in the words of a vocabulary.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The concept of a vocabulary that an entity names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Concept {
    /// Whose it is.
    #[serde(flatten)]
    pub code: Code,
    /// The version of the vocabulary that was read, as its publisher or its configuration names it.
    pub version: String,
    /// The name that the vocabulary prefers.
    pub name: String,
    /// How the entity's words came to it.
    pub tier: Tier,
    /// How near the entity's words are to the name that they were found by, 0 to 1, to four decimals; 1 unless it is fuzzy.
    pub score: f64,
    /// What a drug is made of, where the vocabulary says so: a brand's or a product's ingredients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingredients: Vec<Code>,
}

/// A concept's code within its vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Code {
    /// The vocabulary, as the configuration calls it: `rxnorm`, `snomed_ct`, `doid`.
    pub vocabulary: String,
    /// The code, as the vocabulary writes it: of RxNorm the RXCUI, of SNOMED CT the SCTID.
    pub code: String,
}

/// How an entity's words came to a concept; the first that finds one decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The words are a name of it but for the case of letters.
    Exact,
    /// They are but for plurals, spelling, punctuation and the order of words.
    Normalised,
    /// They are an abbreviation that stands for it.
    Abbreviation,
    /// They are nearly a name of it.
    Fuzzy,
}

/// What stands beside a medication of how it is to be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dosage {
    /// How much of the substance a unit holds: `500 mg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Stated>,
    /// How much is taken at once: `2 tablets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose: Option<Stated>,
    /// The form: `tablet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Stated>,
    /// The way in: `by mouth`, `IV`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Stated>,
    /// How often: `twice daily`, `q8h`, `as needed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Stated>,
    /// For how long: `for 7 days`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Stated>,
}

impl Dosage {
    /// The parts that are stated, each with its name, in the order of the fields.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &Stated)> {
        let Dosage { strength, dose, form, route, frequency, duration } = self;
        let parts = [
            ("strength", strength),
            ("dose", dose),
            ("form", form),
            ("route", route),
            ("frequency", frequency),
            ("duration", duration),
        ];
        parts.into_iter().filter_map(|(name, part)| Some((name, part.as_ref()?)))
    }
}

/// Words of a note, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stated {
    /// First position, in the record's offset unit.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// The words as they stand in the note.
    pub text: String,
}
