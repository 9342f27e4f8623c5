//! The distilled student: a BERT encoder with one token-classification head a task, on Burn for
//! training and CUDA, and in 8 bits by `stillroom-encoder` for tagging on a processor.
//!
//! A student is a folder in Hugging Face's layout: `config.json`, `tokenizer.json` or `vocab.txt`, `model.safetensors` or
//! `pytorch_model.bin`, and `manifest.json` where stillroom trained it. [`Student::load`] reads it, [`Student::taggers`] puts it behind the trait that
//! the dataflow knows, [`train()`] makes a new one. Burn is not seen outside of this crate.

mod backend;
mod bert;
mod calibration;
mod checkpoint;
mod config;
mod device;
mod distil;
mod dropout;
mod eight_bit;
mod evaluate;
mod examples;
mod files;
mod gpus;
mod launcher;
#[cfg(test)]
mod layouts;
mod manifest;
mod optimizer;
mod padded_tagger;
#[cfg(test)]
mod padding;
mod parameters;
#[cfg(test)]
mod parity;
mod shapes;
mod soft;
mod student;
mod tagger;
mod took;
mod train;
mod weights;

pub use calibration::Calibration;
pub use config::BertConfig;
pub use device::{Device, GpuConfig, Precision, cuda_indices};
pub use evaluate::calibrate;
pub use examples::Document;
pub use files::{StudentError, sha256};
pub use gpus::{Gpu, gpus};
pub use manifest::{DataFile, Distillation, Manifest, Recipe};
pub use shapes::padded_pieces;
pub use student::{Student, base_files};
pub use took::Took;
pub use train::{Corpus, Progress, TrainConfig, train};
