//! The JSON Schemas of the records that travel through a schema registry, generated from the Rust types.

/// The JSON Schema of [`Note`](crate::Note).
pub const NOTE: &str = include_str!("../json/note.v1.json");
/// The JSON Schema of [`Reference`](crate::Reference).
pub const REFERENCE: &str = include_str!("../json/reference.v1.json");
/// The JSON Schema of [`Extraction`](crate::Extraction).
pub const EXTRACTION: &str = include_str!("../json/extraction.v1.json");
/// The JSON Schema of [`Quality`](crate::Quality).
pub const QUALITY: &str = include_str!("../json/quality.v1.json");
