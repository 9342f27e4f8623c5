//! From the configuration to a student that is ready to tag.

use crate::engine::EngineConfig;
use crate::refused::{Refused, in_range};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use stillroom_dataflow::{TaggerFactory, TaggerPool, TokenizeText};
use stillroom_student::{Device, Precision, Student};

/// The student in this repository.
const DEFAULT_STUDENT: &str = "models/stillroom-minilm-l6";

/// Who reads the notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StudentConfig {
    /// Folders of students in Hugging Face's layout: one with heads for all tasks, or several that share a vocabulary and have
    /// tasks of their own. Default: the student that comes with stillroom.
    pub(crate) folders: Vec<PathBuf>,
    /// `cpu`, or `cuda:0` in a build with the feature `cuda`. Default `cpu`.
    pub(crate) device: String,
    /// How a processor multiplies: `int8`, several times as fast, or `f32`, as in training. Default `int8`, and `f32` on a processor
    /// without AVX2, where that is the faster.
    pub(crate) precision: Precision,
    /// Notes that are read at once on a processor, 1 to 256; 0 is one for every core. Default 0.
    pub(crate) threads: usize,
}

impl Default for StudentConfig {
    fn default() -> StudentConfig {
        StudentConfig { folders: Vec::new(), device: "cpu".into(), precision: Precision::default(), threads: 0 }
    }
}

/// A student that is ready to tag.
pub(crate) struct Runtime {
    pub(crate) tokenize: TokenizeText,
    pub(crate) pool: TaggerPool,
}

impl StudentConfig {
    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        in_range("student.threads", self.threads as u64, 0..=256)?;
        let is_cuda = self.device.strip_prefix("cuda:").is_some_and(|index| index.parse::<usize>().is_ok());
        if self.device == "cpu" || is_cuda {
            return Ok(());
        }
        Err(Refused::new("student.device", format!("is {}; write cpu or cuda:0", self.device)))
    }

    /// Loads the student and starts its threads.
    ///
    /// # Errors
    /// When a folder cannot be loaded or the device cannot be used.
    pub(crate) fn start(&self, engine: &EngineConfig) -> Result<Runtime> {
        let students = self.load()?;
        let tokenize = tokenize_of(&students);
        let taggers = Student::taggers(&students, self.device()?, self.threads())?;
        let factory = |tagger| Box::new(move || Ok(tagger)) as TaggerFactory;
        let factories = taggers.into_iter().map(factory).collect();
        let pool = TaggerPool::start(factories, engine.workers, engine.batches_open_max)?;
        Ok(Runtime { tokenize, pool })
    }

    /// How the student cuts texts.
    ///
    /// # Errors
    /// When a folder cannot be loaded.
    pub(crate) fn tokenize(&self) -> Result<TokenizeText> {
        Ok(tokenize_of(&self.load()?))
    }

    /// The students of the folders, at least one.
    fn load(&self) -> Result<Vec<Student>> {
        let folders = if self.folders.is_empty() { vec![default_student()?] } else { self.folders.clone() };
        let load = |folder: &PathBuf| {
            Student::load(folder).with_context(|| format!("cannot load the student in {}", folder.display()))
        };
        folders.iter().map(load).collect()
    }

    fn device(&self) -> Result<Device> {
        match self.device.split_once(':') {
            None if self.device == "cpu" => Ok(Device::Cpu(self.precision)),
            Some(("cuda", index)) => {
                Ok(Device::Cuda(index.parse().with_context(|| format!("device is {}; write cuda:0", self.device))?))
            }
            _ => bail!("device is {}; write cpu or cuda:0", self.device),
        }
    }

    /// How many notes are read at once.
    fn threads(&self) -> usize {
        if self.threads > 0 { self.threads } else { std::thread::available_parallelism().map_or(1, usize::from) }
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
