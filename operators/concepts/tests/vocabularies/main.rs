//! Concepts of made-up vocabularies in the shapes that their publishers write.

mod ambiguity;
mod files;
mod formats;
mod properties;
mod refusals;
mod tiers;
