//! The Avro schemas of the records that travel through a schema registry, as they are registered there.
//!
//! Every field is the one of the Rust type and of its JSON Schema, with the same documentation; `tests/avro.rs` compares
//! them. Avro knows no unsigned numbers: they are `long`, so a revision of 2^63 or more cannot be written. No type is
//! referred to by its name: what a site registers in a namespace of its own could not be compared with it, so the parts of
//! a dosage are a type each.

/// The Avro schema of [`Note`](crate::Note).
pub const NOTE: &str = include_str!("../avro/note.v1.avsc");
/// The Avro schema of [`Reference`](crate::Reference).
pub const REFERENCE: &str = include_str!("../avro/reference.v1.avsc");
/// The Avro schema of [`Extraction`](crate::Extraction).
pub const EXTRACTION: &str = include_str!("../avro/extraction.v1.avsc");
/// The Avro schema of [`Quality`](crate::Quality).
pub const QUALITY: &str = include_str!("../avro/quality.v1.avsc");
