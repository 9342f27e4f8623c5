//! The distilled student: a BERT encoder with one token-classification head a task, on Burn for
//! training, and by `stillroom-encoder` for tagging: in 8 bits on a processor, in half precision on CUDA devices.
//!
//! A student is a folder in Hugging Face's layout: `config.json`, `tokenizer.json` or `vocab.txt`, `model.safetensors` or
//! `pytorch_model.bin`, and `manifest.json` where stillroom trained it. [`Student::load`] reads it, [`Student::taggers`] puts it behind the trait that
//! the dataflow knows, [`train()`] makes a new one. Burn is not seen outside of this crate.

mod backend;
mod bert;
mod calibration;
mod checkpoint;
mod config;
#[cfg(feature = "cuda")]
mod cuda_tagger;
mod device;
mod distil;
mod dropout;
mod eight_bit;
mod evaluate;
mod examples;
mod files;
mod gpus;
#[cfg(test)]
mod layouts;
mod manifest;
mod optimizer;
mod parameters;
#[cfg(test)]
mod parity;
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
pub use student::{Student, base_files};
pub use took::Took;
pub use train::{Corpus, Progress, TrainConfig, train};
