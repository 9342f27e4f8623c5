//! The distilled student: a BERT encoder with one token-classification head a task, on Burn.
//!
//! A student is a folder in Hugging Face's layout: `config.json`, `tokenizer.json` or `vocab.txt`, `model.safetensors`, and
//! `manifest.json` where stillroom trained it. [`Student::load`] reads it, [`Student::taggers`] puts it behind the trait that
//! the dataflow knows, [`train()`] makes a new one. Burn is not seen outside of this crate.

mod backend;
mod bert;
mod checkpoint;
mod config;
mod dropout;
mod evaluate;
mod examples;
mod files;
mod gradients;
mod kernels;
mod manifest;
#[cfg(test)]
mod parity;
mod student;
mod tagger;
mod train;
mod weights;

pub use config::BertConfig;
pub use examples::Document;
pub use files::{StudentError, sha256};
pub use manifest::{DataFile, Manifest, Recipe};
pub use student::{Device, Student};
pub use train::{Corpus, Progress, TrainConfig, train};
