//! A student's folder, loaded.

use crate::backend::StudentBackend;
use crate::bert::{Bert, Packed};
use crate::calibration::Head;
use crate::config::BertConfig;
use crate::dropout::Dropout;
use crate::eight_bit::EightBitTagger;
use crate::manifest::Manifest;
use crate::tagger::BertTagger;
use crate::weights::{Weights, weights_file};
use crate::{Device, Precision, StudentError, files};
use burn::backend::Flex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_dataflow::{Tagger, Tokenizer};
#[cfg(feature = "cuda")]
use stillroom_encoder::cuda::{CudaDevice, CudaEncoder, Real};
use stillroom_encoder::{Encoder, EncoderConfig, EncoderError, Scratch};
use stillroom_schemas::{ModelId, Task};

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
    weights: Arc<Weights>,
    model: ModelId,
}

impl Student {
    /// Reads a folder in Hugging Face's layout.
    ///
    /// # Errors
    /// When a file is missing or damaged, the architecture is neither BERT's nor DistilBERT's, its labels name no task, or the
    /// weights are not those of the configuration or of the manifest.
    pub fn load(folder: &Path) -> Result<Student, StudentError> {
        let config = BertConfig::load(folder)?;
        let refuse = |path: PathBuf, cause: String| StudentError::Unsupported { path, cause };
        let tasks = config.tasks().map_err(|cause| refuse(folder.join("config.json"), cause))?;
        let (tokenizer, tokenizer_hash) = load_tokenizer(folder, &config)?;
        let weights = Weights::read(folder)?;
        weights.check(&config, Some(2 * tasks.len()))?;
        let manifest_path = folder.join("manifest.json");
        let manifest = manifest_path.exists().then(|| files::read_json::<Manifest>(&manifest_path)).transpose()?;
        if manifest.as_ref().is_some_and(|manifest| manifest.weights_hash != weights.hash()) {
            let cause = format!("its weights_hash is not that of {}; fetch both anew", weights.path().display());
            return Err(refuse(manifest_path, cause));
        }
        let folder_name =
            || folder.file_name().map_or_else(|| "student".into(), |name| name.to_string_lossy().into_owned());
        let name = manifest.as_ref().map_or_else(folder_name, |manifest| manifest.name.clone());
        let model = ModelId(format!("{name}@{}", &weights.hash()[..12]));
        let (folder, weights) = (folder.to_owned(), Arc::new(weights));
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

    /// SHA-256 of the tokenizer's files, one behind the other. Students with the same one cut notes alike.
    pub fn tokenizer_hash(&self) -> &str {
        &self.tokenizer_hash
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

    /// Taggers that share the weights of `students`: one model for all tasks, or several with tasks of their own. On a processor
    /// they are `count`, on GPUs two for each.
    ///
    /// # Errors
    /// When two students have a head for one task, or other tokenizers, or when the device or the weights cannot be used.
    pub fn taggers(students: &[Student], device: Device, count: usize) -> Result<Vec<Box<dyn Tagger>>, StudentError> {
        check_together(students)?;
        match device {
            Device::Cpu(precision) if precision.is_eight_bit()? => {
                EightBitTagger::new(students).map(|tagger| tagger.several(count))
            }
            Device::Cpu(_) => BertTagger::<Flex>::new(students, Default::default())?.one_thread_each(count),
            Device::Padded(_) => {
                let cause = "it is for training; tag on a processor or on a GPU".to_owned();
                Err(StudentError::Device { device: "padded".into(), cause })
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(config) => crate::cuda_tagger::CudaTagger::start(students, &config),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => Err(crate::gpus::no_cuda()),
        }
    }

    /// The logits of texts of word pieces, `[word pieces, 2 · tasks]` of each, on a processor: what is compared with other
    /// implementations.
    ///
    /// # Errors
    /// When the weights cannot be used, or a text is longer than the model's positions.
    pub fn logits(&self, texts: &[&[u32]], precision: Precision) -> Result<Vec<Vec<f32>>, StudentError> {
        let failed = |cause: String| StudentError::Unsupported { path: self.folder.clone(), cause };
        let positions = self.config.max_position_embeddings;
        if let Some(pieces) = texts.iter().map(|ids| ids.len()).find(|pieces| *pieces > positions) {
            return Err(failed(format!(
                "a text has {pieces} word pieces, and it has {positions} positions; cut the text"
            )));
        }
        if precision.is_eight_bit()? {
            let (encoder, mut scratch) = (self.encoder()?, Scratch::default());
            let one = |ids: &&[u32]| encoder.logits(ids, &mut scratch).map(<[f32]>::to_vec);
            return texts.iter().map(one).collect::<Result<_, _>>().map_err(|error| failed(error.to_string()));
        }
        let device = Default::default();
        let logits =
            self.network::<Flex>(&device)?.forward(&Packed::new(texts.iter().copied()), &device, &Dropout::none());
        let mut all = logits.into_data().into_vec::<f32>().map_err(|error| failed(format!("{error:?}")))?;
        let mut split = |ids: &&[u32]| {
            let rest = all.split_off(ids.len() * 2 * self.tasks.len());
            std::mem::replace(&mut all, rest)
        };
        Ok(texts.iter().map(&mut split).collect())
    }

    pub(crate) fn network<B: StudentBackend>(&self, device: &B::Device) -> Result<Bert<B>, StudentError> {
        let outputs = 2 * self.tasks.len();
        let mut network = Bert::init(&self.config, outputs, device);
        self.weights.load(&mut network, &self.config, Some(outputs))?;
        Ok(network)
    }

    /// The same network in 8 bits.
    pub(crate) fn encoder(&self) -> Result<Encoder, StudentError> {
        let encoder = Encoder::new(self.architecture(), 2 * self.tasks.len(), |name| self.weights.values(name));
        encoder.map_err(|error| self.refused(&error))
    }

    /// The same network on a device, its weights rounded to `real`.
    #[cfg(feature = "cuda")]
    pub(crate) fn cuda_encoder(&self, device: &Arc<CudaDevice>, real: Real) -> Result<CudaEncoder, EncoderError> {
        CudaEncoder::new((device, real), self.architecture(), self.tasks.len(), |name| self.weights.values(name))
    }

    fn architecture(&self) -> EncoderConfig {
        EncoderConfig {
            hidden: self.config.hidden_size,
            layers: self.config.num_hidden_layers,
            heads: self.config.num_attention_heads,
            intermediate: self.config.intermediate_size,
            layer_norm_eps: self.config.layer_norm_eps as f32,
            vocabulary: self.config.vocab_size,
            positions: self.config.max_position_embeddings,
        }
    }

    /// What is wrong with the weights.
    pub(crate) fn refused(&self, error: &EncoderError) -> StudentError {
        StudentError::Unsupported { path: self.weights.path().to_owned(), cause: error.to_string() }
    }
}

/// Loads the tokenizer of a folder with this configuration, and the SHA-256 of the files that it came from.
pub(crate) fn load_tokenizer(folder: &Path, config: &BertConfig) -> Result<(Tokenizer, String), StudentError> {
    let tokenizer = Tokenizer::load(folder)?;
    if tokenizer.vocabulary_size() > config.vocab_size {
        let (pieces, rows) = (tokenizer.vocabulary_size(), config.vocab_size);
        let cause = format!("vocab_size is {rows}, but its tokenizer has {pieces} word pieces; fetch both anew");
        return Err(StudentError::Unsupported { path: folder.join("config.json"), cause });
    }
    let mut bytes = Vec::new();
    for path in Tokenizer::files(folder) {
        bytes.append(&mut files::read(&path)?);
    }
    Ok((tokenizer, files::sha256(&bytes)))
}

/// The files that training starts from, in a folder in Hugging Face's layout: `config.json`, those of the tokenizer, and the one with
/// weights.
///
/// # Errors
/// When there are no weights.
pub fn base_files(folder: &Path) -> Result<Vec<PathBuf>, StudentError> {
    let mut files = vec![folder.join("config.json")];
    files.extend(Tokenizer::files(folder));
    files.push(weights_file(folder)?);
    Ok(files)
}

fn check_together(students: &[Student]) -> Result<(), StudentError> {
    if students.is_empty() {
        return Err(StudentError::Data("there is no student to tag with; name its folder".into()));
    }
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
