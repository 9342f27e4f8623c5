//! Training: AdamW on the masked cross-entropy of every head, as in the published recipe.

mod candidate;
mod finish;
mod padded;
mod run;
mod schedule;
mod step;

use crate::manifest::{DataFile, Manifest, Recipe};
use crate::{Device, Document, Student, StudentError};
use burn::backend::Flex;
use run::Run;
use std::path::PathBuf;
use stillroom_schemas::Task;

/// What to train, and where.
#[derive(Clone)]
pub struct TrainConfig {
    /// A folder in Hugging Face's layout to start from.
    pub base: PathBuf,
    /// The folder for the student; an interrupted run in it goes on.
    pub out: PathBuf,
    /// The student's name.
    pub name: String,
    /// The command, for the manifest.
    pub command: String,
    /// The heads to train.
    pub tasks: Vec<Task>,
    /// The hyperparameters.
    pub recipe: Recipe,
    /// Stop after this many passes without a better dev F1.
    pub patience: usize,
    /// Documents of every dev file that are tagged after a pass; the end of the run tags all.
    pub dev_documents_max: usize,
    /// Students to learn from, as the recipe's distillation says; their tokenizer must be the base's. They are also heard on
    /// documents that are annotated for no task.
    pub teachers: Vec<Student>,
    /// Threads of a processor, each of which works on a part of every batch.
    pub threads: usize,
    /// Where to train: a processor in `f32`, or one GPU, whose [`crate::GpuConfig::precision`] is that of the products; `auto` is
    /// `f32`, and weights, gradients and the optimizer's state always are.
    pub device: Device,
}

/// A file of annotated documents.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The file.
    pub file: DataFile,
    /// What is in it.
    pub documents: Vec<Document>,
}

/// How a run goes.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A step was taken.
    Step {
        /// Steps taken so far, of all passes.
        step: usize,
        /// Steps of the whole run.
        steps: usize,
        /// Mean loss of a labelled word piece.
        loss: f32,
        /// Word pieces a second, since this process began.
        tokens_per_second: f64,
    },
    /// A pass was completed.
    Epoch {
        /// Passes completed.
        epoch: usize,
        /// Mean word-level F1 over dev files and tasks, at thresholds of one half.
        dev_f1: f64,
    },
}

/// Trains a student and leaves it in `config.out`, in 8 bits, chosen by its dev F1.
///
/// A run that was interrupted goes on from its last checkpoint when it is started again with the same configuration.
///
/// # Errors
/// When the base or a teacher cannot be loaded, the recipe does not fit them, there is nothing to learn from, or a file cannot be written.
pub fn train(
    config: &TrainConfig,
    train: &[Corpus],
    dev: &[Corpus],
    observe: &mut dyn FnMut(Progress),
) -> Result<Manifest, StudentError> {
    match &config.device {
        Device::Cpu(_) | Device::Padded(_) => {
            Run::<Flex>::begin(config, train, dev, Default::default())?.complete(observe)
        }
        #[cfg(feature = "cuda")]
        Device::Cuda(gpu) => {
            // The first: several devices would have to share gradients.
            let (_, device) = crate::gpus::devices(&gpu.indices)?.swap_remove(0);
            Run::<burn::backend::Cuda>::begin(config, train, dev, device)?.complete(observe)
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(crate::gpus::no_cuda()),
    }
}
