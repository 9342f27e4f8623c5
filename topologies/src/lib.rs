//! The dataflow graphs of stillroom, wired from the operators of `stillroom_dataflow` alone.
//!
//! A topology takes streams and trait objects and gives a stream: it knows no log, no file and no device, so its tests need
//! none.

mod extraction;
mod retraining;
mod shadow;

pub use extraction::{ExtractionParts, extraction};
pub use retraining::{Retraining, RetrainingParts, retraining};
pub use shadow::{Shadow, ShadowParts, shadow};
