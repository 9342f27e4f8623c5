//! The records on every topic of stillroom.
//!
//! One module a record, one record a topic, version 1 of each. Readers ignore fields that they do not know, so that a newer
//! writer can be read by an older reader, all but a [`Cohort`], which would be another one; a field that is required and absent is
//! named in the error. The JSON Schemas in
//! `schemas/json/` are generated from these types; the Avro schemas in `schemas/avro/` are written by hand and checked against them.
//!
//! Offsets into a text are Unicode code points unless a record's `offset_unit` says otherwise. No record but
//! [`Note`], [`Extraction`] and [`DeadLetter`] ever carries text of a note.

mod assertion;
pub mod avro;
mod base64_bytes;
mod cohort;
mod concept;
mod day;
mod dead_letter;
mod extraction;
mod facts;
pub mod json;
mod label;
mod membership;
mod model;
mod note;
mod progress;
mod quality;
mod reference;
mod retraining;
mod state;
mod task;
mod text_hash;

pub use assertion::{Assertion, Certainty, Cue, Experiencer, Temporality};
pub use cohort::{
    AssertionFilter, COHORT_COUNT_MAX, CRITERIA_MAX, CRITERION_COUNT_MAX, CRITERION_DAYS_MAX, CRITERION_WORDS_MAX,
    Cohort, CohortError, Criterion, CriterionError, CriterionList, WORDS_BYTES_MAX,
};
pub use concept::{Code, Concept, Dosage, Stated, Tier};
pub use day::Day;
pub use dead_letter::{DeadLetter, Header, REPLAYS_HEADER, Stage, replays_of};
pub use extraction::{Coverage, Entity, Extraction, OffsetUnit};
pub use facts::{Axes, Mention, NoteFacts, WordsHash};
pub use label::Label;
pub use membership::{CohortEvent, Evidence, EvidenceNote, LeaveCause, Membership, MembershipChange, membership_key};
pub use model::{Activation, ActivationCause, ModelId};
pub use note::Note;
pub use progress::{Progress, TopicOffsets, Totals};
pub use quality::{Comparison, Counts, Level, Quality, QualityKey};
pub use reference::{Reference, Span};
pub use retraining::{About, Balance, Drift, Measure, Retraining, RetrainingKey};
pub use state::{NoteState, Prediction};
pub use task::{Task, TaskSet};
pub use text_hash::TextHash;
