//! A lexicon as it is written.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use stillroom_schemas::{Certainty, Experiencer, TaskSet, Temporality};

/// A file in TOML. Every field may be absent; unknown ones are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LexiconFile {
    /// Texts of triggers of earlier files that are none any more.
    pub(super) remove: Vec<String>,
    /// Words that `{name}` stands for in the texts of this file and of later ones.
    pub(super) classes: BTreeMap<String, Vec<String>>,
    /// The triggers.
    pub(super) triggers: Vec<TriggerEntry>,
    /// Words of diseases that last.
    pub(super) chronic: ChronicEntry,
    /// Headings, and what their sections say.
    pub(super) sections: Vec<SectionEntry>,
}

/// Triggers that mean the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerEntry {
    /// How they are written.
    pub(super) texts: Vec<String>,
    /// Where their scope is.
    pub(super) direction: Direction,
    /// What they say of an entity in it.
    pub(super) says: Option<Says>,
    /// How far it reaches. Default `sentence` forward, `list` backward.
    pub(super) scope: Option<Scope>,
    /// Words that may stand between trigger and entity. Default any number.
    pub(super) words_max: Option<u32>,
    /// Whether a trigger is one only where its clause ends behind it. Default false.
    #[serde(default)]
    pub(super) last: bool,
    /// Of which entities it is said. Default all.
    pub(super) tasks: Option<TaskSet>,
    /// Which scopes it ends. Default all for `terminate`, none for others.
    pub(super) ends: Option<BTreeSet<Says>>,
    /// Of which entities it is not said. Default none.
    pub(super) spares: Option<Spares>,
}

/// Words of diseases that last.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ChronicEntry {
    /// Words that an entity has.
    pub(super) texts: Vec<String>,
    /// Those of earlier files that are none any more.
    pub(super) remove: Vec<String>,
}

/// A section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionEntry {
    /// Its name in records.
    pub(super) name: String,
    /// Its headings. Default none.
    #[serde(default)]
    pub(super) headings: Vec<String>,
    /// Headings of earlier files that are none any more.
    #[serde(default)]
    pub(super) remove: Vec<String>,
    /// Sections that its headings end where they begin a line with a colon; they are text everywhere else, and in what is
    /// ordered by them from its first line on. Default none: its headings end whatever they stand in.
    #[serde(default)]
    pub(super) ends: BTreeSet<String>,
    /// What it says of the entities in it; what an earlier file says where absent.
    pub(super) rules: Option<Vec<RuleEntry>>,
}

/// What a section says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    /// What.
    pub(super) says: Says,
    /// Of which entities. Default all.
    pub(super) tasks: Option<TaskSet>,
    /// Of which not. Default none.
    pub(super) spares: Option<Spares>,
}

/// Where the scope of a trigger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    Forward,
    Backward,
    Both,
    Terminate,
    Pseudo,
}

/// How far the scope of a trigger reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// To the end of the sentence.
    Sentence,
    /// The nearest entity, and those that are enumerated with it.
    List,
    /// The nearest entity.
    Next,
}

/// Entities that a trigger or a section leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spares {
    Chronic,
}

/// What a trigger or a section says of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Says {
    Negated,
    Uncertain,
    Historical,
    Hypothetical,
    Family,
    Other,
}

/// The axes of an assertion: certainty, temporality and experiencer.
pub(crate) const AXES: usize = 3;

impl Says {
    /// All of them.
    pub(crate) const ALL: [Says; 6] =
        [Says::Negated, Says::Uncertain, Says::Historical, Says::Hypothetical, Says::Family, Says::Other];

    /// The name as it stands in lexicons and cues.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Says::Negated => "negated",
            Says::Uncertain => "uncertain",
            Says::Historical => "historical",
            Says::Hypothetical => "hypothetical",
            Says::Family => "family",
            Says::Other => "other",
        }
    }

    /// The axis that it is on, less than [`AXES`].
    pub(crate) fn axis(self) -> usize {
        match self {
            Says::Negated | Says::Uncertain => 0,
            Says::Historical | Says::Hypothetical => 1,
            Says::Family | Says::Other => 2,
        }
    }

    /// Writes it into an assertion.
    pub(crate) fn say(self, assertion: &mut stillroom_schemas::Assertion) {
        match self {
            Says::Negated => assertion.certainty = Certainty::Negated,
            Says::Uncertain => assertion.certainty = Certainty::Uncertain,
            Says::Historical => assertion.temporality = Temporality::Historical,
            Says::Hypothetical => assertion.temporality = Temporality::Hypothetical,
            Says::Family => assertion.experiencer = Experiencer::Family,
            Says::Other => assertion.experiencer = Experiencer::Other,
        }
    }
}
