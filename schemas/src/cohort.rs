//! Which patients belong together.

use crate::facts::is_default;
use crate::{Axes, Certainty, Code, Experiencer, Task, Temporality, TextHash};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;

/// Criteria that a cohort may have, over its three lists.
pub const CRITERIA_MAX: usize = 100;

/// Notes that a criterion may ask for; so many may stand in the evidence of each criterion.
pub const CRITERION_COUNT_MAX: u32 = 100;

/// Notes that all criteria of a cohort may ask for together: a record of evidence has no more, and a log takes only so much.
pub const COHORT_COUNT_MAX: u32 = 500;

/// Words that a criterion may list.
pub const CRITERION_WORDS_MAX: usize = 1_000;

/// Bytes that each of a criterion's words may have.
pub const WORDS_BYTES_MAX: usize = 1_024;

/// Days that a criterion may look back: a hundred years.
pub const CRITERION_DAYS_MAX: u32 = 36_525;

/// `cohort.v1`: patients for whom notes meet all criteria of `all`, one of `any` if there are any, and none of `none`. Key: the name. A
/// later record replaces the earlier, a null value removes the cohort. Unlike other records it is refused with a field that is
/// not known: a criterion that is understood in part would hold other patients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cohort {
    /// The key of the topic.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Each of these must be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub all: Vec<Criterion>,
    /// One of these must be met, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<Criterion>,
    /// None of these may be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<Criterion>,
}

/// What is asked of a patient's notes. It is met by `count` notes that each have a mention which all of its fields admit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Criterion {
    /// What the mention is. Absent: anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// What it names: one of these concepts, by the codes of the site's vocabularies, or one of `words`. With neither, every mention of the
    /// task counts.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "concepts")]
    pub concepts: Vec<Code>,
    /// Whether a concept stands for those below it too, by the vocabulary's is-a. Default true.
    #[serde(skip_serializing_if = "is_true")]
    pub descendants: bool,
    /// What it says, whole, whatever the case and the white space: for what no vocabulary knows. 1000 at most, of 1024 bytes each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// How it is meant. Default: the patient has it now.
    #[serde(skip_serializing_if = "is_default")]
    pub assertion: AssertionFilter,
    /// Sections of which it must stand in one. Default: anywhere.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sections: BTreeSet<String>,
    /// Sections that it must not stand in.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sections_not: BTreeSet<String>,
    /// Types of which the note must be one. Default: any.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub note_types: BTreeSet<String>,
    /// Notes that must say so, 1 to 100. Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub count: u32,
    /// Days that a note counts for, from the day on which it was signed on, 1 to 36525. Absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// How a mention must be meant. What is absent has its default.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AssertionFilter {
    /// Whether all mentions count, also where assertions are not told; then the axes are left out. Default false.
    #[serde(skip_serializing_if = "is_default")]
    pub any: bool,
    /// One of these. Default `["affirmed"]`.
    #[serde(skip_serializing_if = "is_first")]
    pub certainty: BTreeSet<Certainty>,
    /// One of these. Default `["recent"]`.
    #[serde(skip_serializing_if = "is_first")]
    pub temporality: BTreeSet<Temporality>,
    /// One of these. Default `["patient"]`.
    #[serde(skip_serializing_if = "is_first")]
    pub experiencer: BTreeSet<Experiencer>,
}

/// The lists of a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CriterionList {
    /// Each must be met.
    All,
    /// One must be met.
    Any,
    /// None may be met.
    None,
}

impl CriterionList {
    /// The name as it stands in records.
    pub fn name(self) -> &'static str {
        match self {
            CriterionList::All => "all",
            CriterionList::Any => "any",
            CriterionList::None => "none",
        }
    }
}

/// Concepts, which in other records may have fields that are not known, and here may not.
fn concepts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Code>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        vocabulary: String,
        code: String,
    }
    let named = Vec::<Named>::deserialize(deserializer)?;
    Ok(named.into_iter().map(|Named { vocabulary, code }| Code { vocabulary, code }).collect())
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_one(value: &u32) -> bool {
    *value == 1
}

/// Whether a set is that of the axis's default alone.
fn is_first<T: Default + Ord>(set: &BTreeSet<T>) -> bool {
    *set == first()
}

fn first<T: Default + Ord>() -> BTreeSet<T> {
    BTreeSet::from([T::default()])
}

impl Default for Criterion {
    fn default() -> Criterion {
        Criterion {
            task: None,
            concepts: Vec::new(),
            descendants: true,
            words: Vec::new(),
            assertion: AssertionFilter::default(),
            sections: BTreeSet::new(),
            sections_not: BTreeSet::new(),
            note_types: BTreeSet::new(),
            count: 1,
            days: None,
        }
    }
}

impl Default for AssertionFilter {
    fn default() -> AssertionFilter {
        AssertionFilter { any: false, certainty: first(), temporality: first(), experiencer: first() }
    }
}

impl AssertionFilter {
    /// Whether a mention that is meant so counts. One of which it is not told counts only where all do.
    pub fn admits(&self, meant: Option<Axes>) -> bool {
        let is_among = |axes: Axes| {
            self.certainty.contains(&axes.certainty)
                && self.temporality.contains(&axes.temporality)
                && self.experiencer.contains(&axes.experiencer)
        };
        self.any || meant.is_some_and(is_among)
    }
}

/// What is wrong with a definition. No message carries anything of it but the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CohortError {
    /// Nobody could tell which it is.
    #[error("the cohort has no name; give it one")]
    NoName,
    /// It says nothing.
    #[error("the cohort has no criterion; put one into all or any")]
    NoCriterion,
    /// Everybody of whom nothing is said would belong to it.
    #[error(
        "the cohort has criteria in none alone, and would hold every other patient; put what its patients have into all or any"
    )]
    NoneAlone,
    /// It is too large.
    #[error("the cohort has {0} criteria, more than the {CRITERIA_MAX} allowed; make several cohorts of it")]
    TooManyCriteria(usize),
    /// Its evidence may be too large.
    #[error(
        "the cohort's criteria count {0} notes together, more than the {COHORT_COUNT_MAX} allowed; lower the counts"
    )]
    TooManyNotes(u32),
    /// A criterion is wrong.
    #[error("{}[{index}]: {cause}", .list.name())]
    Criterion {
        /// In which list.
        list: CriterionList,
        /// Where in the list, from 0.
        index: usize,
        /// What is wrong.
        cause: CriterionError,
    },
}

/// What is wrong with a criterion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CriterionError {
    /// Every mention would count.
    #[error("it names neither task nor concepts nor words; name one of them")]
    NamesNothing,
    /// Not a code.
    #[error("a concept has an empty vocabulary or code; write both as the vocabulary does")]
    EmptyConcept,
    /// No mention has no words.
    #[error("one of its words is empty; leave it out")]
    EmptyWords,
    /// All of them are kept for as long as the cohort is.
    #[error("it lists {0} words, more than the {CRITERION_WORDS_MAX} allowed; share them out over criteria of any")]
    TooManyWords(usize),
    /// No mention is so long.
    #[error("one of its words has {0} bytes, more than the {WORDS_BYTES_MAX} allowed; shorten it")]
    LongWords(usize),
    /// No mention could count.
    #[error("an axis of its assertion admits nothing; list a value, or leave the axis out")]
    EmptyAxis,
    /// It contradicts itself.
    #[error("its assertion is any, and an axis is told beside it; leave out one of them")]
    AnyWithAxes,
    /// Out of range.
    #[error("it counts {0} notes; choose from 1 to {CRITERION_COUNT_MAX}")]
    Count(u32),
    /// Out of range.
    #[error("it looks back {0} days; choose from 1 to {CRITERION_DAYS_MAX}, or leave days out")]
    Days(u32),
}

impl Cohort {
    /// All criteria, each with its list and its place there.
    pub fn criteria(&self) -> impl Iterator<Item = (CriterionList, usize, &Criterion)> {
        let lists =
            [(CriterionList::All, &self.all), (CriterionList::Any, &self.any), (CriterionList::None, &self.none)];
        lists.into_iter().flat_map(|(list, criteria)| {
            criteria.iter().enumerate().map(move |(index, criterion)| (list, index, criterion))
        })
    }

    /// Refuses a definition that cannot be meant.
    ///
    /// # Errors
    /// The first thing that is wrong, with the remedy.
    pub fn check(&self) -> Result<(), CohortError> {
        if self.name.is_empty() {
            return Err(CohortError::NoName);
        }
        if self.all.is_empty() && self.any.is_empty() {
            return Err(if self.none.is_empty() { CohortError::NoCriterion } else { CohortError::NoneAlone });
        }
        let criteria = self.criteria().count();
        if criteria > CRITERIA_MAX {
            return Err(CohortError::TooManyCriteria(criteria));
        }
        for (list, index, criterion) in self.criteria() {
            criterion.check().map_err(|cause| CohortError::Criterion { list, index, cause })?;
        }
        // None of them is more than a hundred here.
        let notes: u32 = self.criteria().map(|(_, _, criterion)| criterion.count).sum();
        if notes > COHORT_COUNT_MAX { Err(CohortError::TooManyNotes(notes)) } else { Ok(()) }
    }

    /// The first twelve hexadecimal digits of the SHA-256 of what is defined: another title is no other definition.
    pub fn definition(&self) -> String {
        let untitled = Cohort { title: None, ..self.clone() };
        let TextHash(mut digits) = TextHash::of(&serde_json::to_string(&untitled).expect("a definition is JSON"));
        digits.truncate(12);
        digits
    }
}

impl Criterion {
    fn check(&self) -> Result<(), CriterionError> {
        let AssertionFilter { any, certainty, temporality, experiencer } = &self.assertion;
        if self.task.is_none() && self.concepts.is_empty() && self.words.is_empty() {
            return Err(CriterionError::NamesNothing);
        }
        if self.concepts.iter().any(|code| code.vocabulary.is_empty() || code.code.is_empty()) {
            return Err(CriterionError::EmptyConcept);
        }
        if self.words.iter().any(|words| words.trim().is_empty()) {
            return Err(CriterionError::EmptyWords);
        }
        if self.words.len() > CRITERION_WORDS_MAX {
            return Err(CriterionError::TooManyWords(self.words.len()));
        }
        if let Some(words) = self.words.iter().find(|words| words.len() > WORDS_BYTES_MAX) {
            return Err(CriterionError::LongWords(words.len()));
        }
        if *any && self.assertion != (AssertionFilter { any: true, ..AssertionFilter::default() }) {
            return Err(CriterionError::AnyWithAxes);
        }
        if certainty.is_empty() || temporality.is_empty() || experiencer.is_empty() {
            return Err(CriterionError::EmptyAxis);
        }
        if !(1..=CRITERION_COUNT_MAX).contains(&self.count) {
            return Err(CriterionError::Count(self.count));
        }
        match self.days {
            Some(days) if !(1..=CRITERION_DAYS_MAX).contains(&days) => Err(CriterionError::Days(days)),
            _ => Ok(()),
        }
    }
}
