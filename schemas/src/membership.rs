//! Who is in which cohort, and how that changes.

use crate::{Code, CriterionList, Day, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// `membership.v1`: a patient is in a cohort. Key: [`membership_key`]. A null value says that the patient is in it no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Membership {
    /// The cohort.
    pub cohort: String,
    /// The patient.
    pub patient_id: String,
    /// The day that it was, by the notes' own dates, when the patient came in; absent if no note had a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Day>,
    /// Which definition holds the patient, see `cohort_event.v1`.
    pub definition: String,
    /// What speaks for it.
    pub evidence: Vec<Evidence>,
}

/// `cohort_event.v1`: a patient enters or leaves a cohort. Key: [`membership_key`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CohortEvent {
    /// The cohort.
    pub cohort: String,
    /// The patient.
    pub patient_id: String,
    /// What happens.
    pub change: MembershipChange,
    /// Why the patient leaves: all that is so. Empty where one enters.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub why: BTreeSet<LeaveCause>,
    /// Which definition it is about: the first twelve hexadecimal digits of the SHA-256 of its criteria.
    pub definition: String,
    /// The day that it is, by the notes' own dates; absent if no note has a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Day>,
    /// What speaks for the patient who enters. Of one who leaves, what spoke for it until now, and what speaks against it where
    /// something does.
    pub evidence: Vec<Evidence>,
}

/// What happens to a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MembershipChange {
    /// Comes into the cohort.
    Enter,
    /// Goes out of it.
    Leave,
}

/// Why a patient leaves a cohort. What is said of a note is said of one that the membership stood on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeaveCause {
    /// A note was withdrawn, or was amended to one that could not be read.
    Withdrawn,
    /// A note was amended and does not say so any more, or not of this patient, or not within the days.
    Amended,
    /// A note was read again, by another student, who does not say so.
    ReadAgain,
    /// A note is not within the days of its criterion any more.
    Aged,
    /// A criterion of `none` is met.
    Excluded,
    /// The cohort has another definition.
    Redefined,
    /// The cohort was removed.
    Removed,
    /// Nothing that is known of the notes: since a restart codes, their hierarchy, or the program are others.
    Reconfigured,
}

/// The notes that meet a criterion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The list of the criterion.
    pub list: CriterionList,
    /// Where in the list, from 0.
    pub index: u32,
    /// The earliest notes, as many as the criterion asks for.
    pub notes: Vec<EvidenceNote>,
}

/// The first mention in a note that meets a criterion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceNote {
    /// The note.
    pub note_id: String,
    /// The partition of the topic of notes that it stands in.
    pub partition: u32,
    /// The revision that says so.
    pub revision: u64,
    /// The day on which it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_on: Option<Day>,
    /// What the mention is.
    pub task: Task,
    /// Its first code point.
    pub start: u32,
    /// One past its last code point.
    pub end: u32,
    /// The concept that it names, where a vocabulary knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

/// The key of a membership and of its events: a JSON array of the cohort and the patient, so that a tombstone names both.
pub fn membership_key(cohort: &str, patient_id: &str) -> Vec<u8> {
    serde_json::json!([cohort, patient_id]).to_string().into_bytes()
}
