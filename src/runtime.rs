//! From the configuration to a student that is ready to tag.

use crate::engine::EngineConfig;
use crate::refused::{Refused, in_range};
use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use stillroom_dataflow::{Tagger, TaggerFactory, TaggerPool, TokenizeText};
use stillroom_student::{Device, GpuConfig, Precision, Student, cuda_indices};

/// The student in this repository.
const DEFAULT_STUDENT: &str = "models/stillroom-minilm-l6";

/// Who reads the notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StudentConfig {
    /// Folders of students in Hugging Face's layout: one with heads for all tasks, or several that share a vocabulary and have
    /// tasks of their own. Default: the student that comes with stillroom.
    pub(crate) folders: Vec<PathBuf>,
    /// `cpu`, or in a build with the feature `cuda`: `cuda` for all devices that are found, `cuda:0`, or `cuda:0,cuda:1`. Default
    /// `cpu`.
    pub(crate) device: String,
    /// In what is multiplied: on a processor `int8`, the faster, or `f32`, as in training; on a GPU `bf16`, `f16` or
    /// `f32`. Default `auto`: `int8`, or `f32` on a processor without AVX2, where that is the faster, and `bf16` on a GPU.
    pub(crate) precision: Precision,
    /// Notes that are read at once on a processor, 1 to 256; 0 is one for every core. Default 0.
    pub(crate) threads: usize,
}

impl Default for StudentConfig {
    fn default() -> StudentConfig {
        StudentConfig { folders: Vec::new(), device: "cpu".into(), precision: Precision::Auto, threads: 0 }
    }
}

/// A student that is ready to tag.
pub(crate) struct Runtime {
    pub(crate) tokenize: TokenizeText,
    /// SHA-256 of the tokenizer: whoever takes over must cut notes in the same way.
    pub(crate) tokenizer_hash: String,
    pub(crate) pool: TaggerPool,
}

impl StudentConfig {
    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        in_range("student.threads", self.threads as u64, 0..=256)?;
        match cuda_indices(&self.device) {
            Ok(_) => Ok(()),
            Err(refused) => Err(Refused::new("student.device", format!("is {refused}"))),
        }
    }

    /// Whether a GPU is named.
    pub(crate) fn is_on_gpu(&self) -> bool {
        cuda_indices(&self.device).is_ok_and(|indices| indices.is_some())
    }

    /// The defaults of the engine with this student.
    pub(crate) fn engine(&self) -> EngineConfig {
        if self.is_on_gpu() { EngineConfig::for_gpu() } else { EngineConfig::default() }
    }

    /// Loads the student and starts its threads.
    ///
    /// # Errors
    /// When a folder cannot be loaded or the device cannot be used.
    pub(crate) fn start(&self, engine: &EngineConfig) -> Result<Runtime> {
        let students = self.load()?;
        let (tokenize, tokenizer_hash) = (tokenize_of(&students), students[0].tokenizer_hash().to_owned());
        let pool = pool(self.taggers(&students, engine)?, engine)?;
        Ok(Runtime { tokenize, tokenizer_hash, pool })
    }

    /// What of students runs on the device, as often as it is to run at once.
    ///
    /// # Errors
    /// When the device or the weights cannot be used.
    pub(crate) fn taggers(&self, students: &[Student], engine: &EngineConfig) -> Result<Vec<Box<dyn Tagger>>> {
        Ok(Student::taggers(students, self.device(engine)?, self.threads())?)
    }

    /// How the student cuts texts.
    ///
    /// # Errors
    /// When a folder cannot be loaded.
    pub(crate) fn tokenize(&self) -> Result<TokenizeText> {
        Ok(tokenize_of(&self.load()?))
    }

    /// The folders of the students, at least one.
    ///
    /// # Errors
    /// When none is named and the student that comes with stillroom is not there.
    pub(crate) fn student_folders(&self) -> Result<Vec<PathBuf>> {
        if self.folders.is_empty() { Ok(vec![default_student()?]) } else { Ok(self.folders.clone()) }
    }

    /// The students of the folders, at least one.
    ///
    /// # Errors
    /// When a folder cannot be loaded.
    pub(crate) fn load(&self) -> Result<Vec<Student>> {
        let load = |folder: &PathBuf| {
            Student::load(folder).with_context(|| format!("cannot load the student in {}", folder.display()))
        };
        self.student_folders()?.iter().map(load).collect()
    }

    /// Where students run, with batches as the engine makes them.
    ///
    /// # Errors
    /// When the device has no such name.
    pub(crate) fn device(&self, engine: &EngineConfig) -> Result<Device> {
        let indices = cuda_indices(&self.device).map_err(|refused| anyhow!("the device is {refused}"))?;
        let on_gpus = |indices| GpuConfig { indices, precision: self.precision, pieces_max: engine.tokens_max };
        Ok(indices.map_or(Device::Cpu(self.precision), |indices| Device::Cuda(on_gpus(indices))))
    }

    /// How many notes are read at once.
    fn threads(&self) -> usize {
        threads_or_cores(self.threads)
    }
}

/// Starts a thread for each of some taggers of a student.
///
/// # Errors
/// When there is no thread for one.
pub(crate) fn pool(taggers: Vec<Box<dyn Tagger>>, engine: &EngineConfig) -> Result<TaggerPool> {
    let factory = |tagger| Box::new(move || Ok(tagger)) as TaggerFactory;
    Ok(TaggerPool::start(taggers.into_iter().map(factory).collect(), engine.batches_open_max)?)
}

/// So many threads, or one for every core where none are asked for.
pub(crate) fn threads_or_cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Students that serve together share a tokenizer.
fn tokenize_of(students: &[Student]) -> TokenizeText {
    let tokenizer = students[0].tokenizer().clone();
    Arc::new(move |text: &str| tokenizer.tokenize(text))
}

/// The student that comes with stillroom: in the working folder, or in a folder above the program, as in a build tree.
fn default_student() -> Result<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let places = std::iter::once(PathBuf::new()).chain(program.ancestors().map(PathBuf::from));
    let found = places.map(|place| place.join(DEFAULT_STUDENT)).find(|folder| folder.join("config.json").exists());
    ensure!(
        found.is_some(),
        "there is no {DEFAULT_STUDENT} here or above the program; work in stillroom's folder, or name a student with --model or, \
         in the configuration, [student] folders"
    );
    Ok(found.unwrap_or_default())
}
