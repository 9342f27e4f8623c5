//! The readers of vocabularies ([`reading`]), the folding of texts ([`fold`]) and what is known of words ([`words`]).

mod error;
pub mod fold;
pub mod reading;
pub mod words;

pub use error::ConceptError;
