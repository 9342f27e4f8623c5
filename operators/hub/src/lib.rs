//! A base that is named becomes a folder in Hugging Face's layout: an existing folder is one already, and a model of the hub is
//! downloaded into the cache that Python's `huggingface_hub` uses, so that either finds what the other fetched.
//!
//! ```text
//! name ─ Base ─┬─ folder ────────────────────────────────────────────────────────────┐
//!              └─ id, revision ─ Hub ─┬─ cache: complete, and its checksums hold ────┼─► folder
//!                                     └─ endpoint: describe, download, verify, link ─┘
//! ```
//!
//! What the endpoint says of a file, its commit, size and checksum, decides; a download that does not have its checksum is removed. A
//! download that was interrupted goes on where it ended. A complete cache is used as it is, without any request; a file in it that is
//! damaged is replaced by a new download, and offline it is named and left, since other tools share the cache.

mod base;
mod cache;
mod config;
mod digest;
mod error;
mod http;
mod hub;

pub use base::{Base, ModelName};
pub use config::HubConfig;
pub use error::HubError;
pub use hub::{Download, Hub};
