//! Entities to the concepts of vocabularies that a user has, and the dosage beside a medication.
//!
//! In flow words of an entity and its task, out flows the concept that they name, if any: [`Concepts::find`]. What stands beside a
//! medication of how it is to be taken is read by [`dosage()`]. Nothing is kept between calls.
//!
//! ```text
//! RXNCONSO.RRF, sct2_Description…, .obo, .tsv ──► reading ──► Builder ──► Vocabulary: names, hashes of their forms, pieces, is-a
//!                                                                              │
//! "Lipitor", medication ──► Keys ──► exact ─► normalised ─► abbreviation ─► fuzzy ──► rxnorm:153165, 83367 its ingredient
//! ```
//!
//! The readers of vocabularies ([`reading`]), the folding of texts ([`fold`]) and what is known of words ([`words`]) also serve the teacher
//! that finds names in texts.

mod abbreviations;
mod arena;
mod builder;
mod concepts;
mod config;
mod dosage;
mod error;
pub mod fold;
mod fuzzy;
mod hashes;
mod hierarchy;
mod keys;
mod names;
pub mod reading;
mod vocabulary;
pub mod words;

pub use concepts::{Codes, Concepts, VocabularyStats};
pub use config::{ConceptsConfig, VocabularyConfig};
pub use dosage::dosage;
pub use error::ConceptError;
