//! A student's folder, loaded.

use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::calibration::Head;
use crate::config::BertConfig;
use crate::eight_bit::EightBitTagger;
use crate::files;
use crate::manifest::Manifest;
use crate::tagger::BertTagger;
use crate::{StudentError, weights};
use burn::backend::Flex;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use stillroom_dataflow::{Tagger, Tokenizer};
use stillroom_encoder::{Encoder, EncoderConfig, EncoderError, Kernel};
use stillroom_schemas::{ModelId, Task};

/// Where a student runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor: one single-threaded tagger a core.
    Cpu(Precision),
    /// The CUDA device of this index, in a build with the feature `cuda`.
    Cuda(usize),
}

impl Default for Device {
    fn default() -> Device {
        Device::Cpu(Precision::default())
    }
}

/// How a processor multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Matrices in 8 bits, as they are stored, and what they multiply in 12; the rest in `f32`. Several times as fast, and F1
    /// within 0.002 of `f32` on the development splits, for the student that comes with stillroom.
    Int8,
    /// `f32`, as in training.
    F32,
}

impl Default for Precision {
    /// What is faster here: `f32` where the processor has no instruction for products of bytes.
    fn default() -> Precision {
        if Kernel::fastest() == Kernel::Portable { Precision::F32 } else { Precision::Int8 }
    }
}

impl Display for Precision {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Precision::Int8 => "int8",
            Precision::F32 => "f32",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Precision, String> {
        match name {
            "int8" => Ok(Precision::Int8),
            "f32" => Ok(Precision::F32),
            _ => Err(format!("{name} is not a precision; write int8 or f32")),
        }
    }
}

/// A student: tokenizer, architecture and weights of one folder.
///
/// Several students that share a vocabulary can serve one task each: see [`Student::taggers`].
#[derive(Clone)]
pub struct Student {
    folder: PathBuf,
    config: BertConfig,
    tasks: Vec<Task>,
    tokenizer: Tokenizer,
    tokenizer_hash: String,
    manifest: Option<Manifest>,
    weights: std::sync::Arc<[u8]>,
    model: ModelId,
}

impl Student {
    /// Reads a folder in Hugging Face's layout.
    ///
    /// # Errors
    /// When a file is missing or damaged, the architecture is not BERT's, its labels name no task, or the weights are not
    /// those that the manifest speaks of.
    pub fn load(folder: &Path) -> Result<Student, StudentError> {
        let config = BertConfig::load(folder)?;
        let refuse = |path: PathBuf, cause: String| StudentError::Unsupported { path, cause };
        let tasks = config.tasks().map_err(|cause| refuse(folder.join("config.json"), cause))?;
        let (tokenizer, tokenizer_hash) = load_tokenizer(folder)?;
        if tokenizer.vocabulary_size() > config.vocab_size {
            let (pieces, rows) = (tokenizer.vocabulary_size(), config.vocab_size);
            let cause = format!("vocab_size is {rows}, but its tokenizer has {pieces} word pieces; fetch both anew");
            return Err(refuse(folder.join("config.json"), cause));
        }
        let weights = files::read(&folder.join("model.safetensors"))?;
        let weights_hash = files::sha256(&weights);
        let manifest_path = folder.join("manifest.json");
        let manifest = manifest_path.exists().then(|| files::read_json::<Manifest>(&manifest_path)).transpose()?;
        if manifest.as_ref().is_some_and(|manifest| manifest.weights_hash != weights_hash) {
            let cause = "its weights_hash is not that of model.safetensors; fetch both anew".to_owned();
            return Err(refuse(manifest_path, cause));
        }
        let folder_name =
            || folder.file_name().map_or_else(|| "student".into(), |name| name.to_string_lossy().into_owned());
        let name = manifest.as_ref().map_or_else(folder_name, |manifest| manifest.name.clone());
        let model = ModelId(format!("{name}@{}", &weights_hash[..12]));
        let (folder, weights) = (folder.to_owned(), weights.into());
        Ok(Student { folder, config, tasks, tokenizer, tokenizer_hash, manifest, weights, model })
    }

    /// The name and version.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// The tokenizer that its notes must be cut with.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tasks that it has heads for.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Where it comes from, if stillroom trained it.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The probability from which on a word is tagged, by [`Task::index`]: the manifest's, or one half; out of reach for a task
    /// that it has no head for.
    pub fn thresholds(&self) -> [f32; Task::ALL.len()] {
        Task::ALL.map(|task| {
            let chosen = self.manifest.as_ref().and_then(|manifest| manifest.thresholds.get(&task).copied());
            if self.tasks.contains(&task) { chosen.unwrap_or(0.5) } else { f32::INFINITY }
        })
    }

    /// Its heads, in the order of the outputs, with the temperatures of the manifest.
    pub(crate) fn heads(&self) -> Vec<Head> {
        let of_task = |&task: &Task| {
            let calibration = self.manifest.as_ref().and_then(|manifest| manifest.calibration.get(&task));
            calibration.map_or(Head::uncalibrated(task), |it| Head { task, temperature: it.temperature })
        };
        self.tasks.iter().map(of_task).collect()
    }

    /// The same network without temperatures, and with thresholds of one half.
    pub(crate) fn uncalibrated(&self) -> Student {
        Student { manifest: None, ..self.clone() }
    }

    /// `count` taggers that share the weights of `students`: one model for all tasks, or several with tasks of their own.
    ///
    /// # Errors
    /// When two students have a head for one task, or other tokenizers, or when the device or the weights cannot be used.
    pub fn taggers(students: &[Student], device: Device, count: usize) -> Result<Vec<Box<dyn Tagger>>, StudentError> {
        check_together(students)?;
        match device {
            Device::Cpu(Precision::Int8) => EightBitTagger::new(students).map(|tagger| tagger.several(count)),
            Device::Cpu(Precision::F32) => {
                BertTagger::<Flex>::new(students, Default::default())?.one_thread_each(count)
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => {
                let tagger =
                    BertTagger::<burn::backend::Cuda>::new(students, burn::backend::cuda::CudaDevice::new(index))?;
                Ok((0..count).map(|_| Box::new(tagger.clone()) as Box<dyn Tagger>).collect())
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(index) => Err(StudentError::Device {
                device: format!("cuda:{index}"),
                cause: "this build has no CUDA; build with --features cuda, or use device cpu".into(),
            }),
        }
    }

    pub(crate) fn network<B: StudentBackend>(&self, device: &B::Device) -> Result<Bert<B>, StudentError> {
        let mut network = Bert::init(&self.config, 2 * self.tasks.len(), device);
        let path = self.folder.join("model.safetensors");
        let missing = weights::load(&mut network, &self.weights, &path)?;
        if missing.is_empty() { Ok(network) } else { Err(StudentError::Weights { path, tensors: missing.join(", ") }) }
    }

    /// The same network in 8 bits.
    pub(crate) fn encoder(&self) -> Result<Encoder, StudentError> {
        let path = self.folder.join("model.safetensors");
        let mut tensors = weights::tensors(&self.weights, &path)?;
        let config = EncoderConfig {
            hidden: self.config.hidden_size,
            layers: self.config.num_hidden_layers,
            heads: self.config.num_attention_heads,
            intermediate: self.config.intermediate_size,
            layer_norm_eps: self.config.layer_norm_eps as f32,
            vocabulary: self.config.vocab_size,
            positions: self.config.max_position_embeddings,
        };
        Encoder::new(config, 2 * self.tasks.len(), |name| tensors.remove(name)).map_err(|error| match error {
            EncoderError::Missing { tensor } | EncoderError::Length { tensor, .. } => {
                StudentError::Weights { path, tensors: tensor }
            }
            error => StudentError::Unsupported { path, cause: error.to_string() },
        })
    }
}

/// Loads a folder's tokenizer, and the SHA-256 of the file that it came from.
pub(crate) fn load_tokenizer(folder: &Path) -> Result<(Tokenizer, String), StudentError> {
    let file = ["tokenizer.json", "vocab.txt"].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    let tokenizer = Tokenizer::load(folder)?;
    let hash = file.map(|path| files::read(&path)).transpose()?.map(|bytes| files::sha256(&bytes));
    Ok((tokenizer, hash.unwrap_or_default()))
}

fn check_together(students: &[Student]) -> Result<(), StudentError> {
    for (index, student) in students.iter().enumerate() {
        let refuse = |cause: String| Err(StudentError::Unsupported { path: student.folder.clone(), cause });
        for other in &students[..index] {
            if other.tokenizer_hash != student.tokenizer_hash {
                return refuse(format!(
                    "its tokenizer is not that of {}; use students of one base",
                    other.folder.display()
                ));
            }
            if let Some(task) = student.tasks.iter().find(|task| other.tasks.contains(task)) {
                return refuse(format!("{} has a head for {}, too; keep one", other.folder.display(), task.name()));
            }
        }
    }
    Ok(())
}
