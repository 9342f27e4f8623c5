//! The registry of students: a folder or an S3-compatible bucket that has every student under its name and version, each file known
//! by its length and SHA-256.
//!
//! ```text
//! a student's folder ─ add ─► <registry>/<model id>/model.safetensors, config.json, …
//!                             <registry>/<model id>/entry.json ─┬─ list, find ─► Entry
//!                                       written last            ├─ verify ─► Entry
//!                                                               └─ folder ─► the files on this machine, every one verified
//! ```
//!
//! A student is in the registry when its `entry.json` is, so a write that was cut off added nothing. Files are written whole or not at
//! all, and never over others: an entry stays what it was, whoever else writes. What a folder or a bucket gives is believed only if
//! it has the length and the hash that its entry says. The students of a bucket are kept in a cache on this machine, which is used
//! without any request when it is complete.

mod cache;
mod config;
mod contents;
mod entry;
mod error;
mod registry;
mod store;
mod training;

pub use config::ModelsConfig;
pub use entry::{Entry, NewEntry, StoredFile};
pub use error::{ModelsError, StoreError};
pub use registry::Registry;
pub use training::{ChosenBy, Estimate, LearnedData, Standing, TaskExamples, TaskFigure, Training};
