//! Students of the registry: put there with golden notes, held to their hashes and notes before they may serve, and loaded when they are
//! activated.

use crate::clock::utc_now;
use crate::config::Config;
use crate::golden::{self, Golden};
use crate::runtime::pool;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_dataflow::{LoadStudent, TaggerPool};
use stillroom_models::{Entry, LearnedData, NewEntry, Registry, Training};
use stillroom_schemas::{Activation, ModelId};
use stillroom_student::{DataFile, Manifest, Student, base_files, sha256};
use tempfile::TempDir;

/// Where a student comes from.
const MANIFEST: &str = "manifest.json";

/// A student that was put into the registry.
pub(crate) struct Added {
    /// What the registry has of it.
    pub(crate) entry: Entry,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
}

/// A student that stillroom trained, in a copy of its files: their folder may be read-only, or change meanwhile, and
/// what is measured and what golden notes are made by is what is put into the registry.
pub(crate) struct Staged {
    stage: TempDir,
    /// The hashes of its files, by name.
    files: BTreeMap<String, String>,
    /// The student.
    pub(crate) student: Student,
    manifest: Manifest,
}

impl Staged {
    /// Copies a student to the system's folder of temporary files.
    ///
    /// # Errors
    /// When it cannot be loaded or copied, or has no manifest.
    pub(crate) fn of(folder: &Path) -> Result<Staged> {
        Staged::copied(folder, tempfile::tempdir().context("cannot make a folder for temporary files")?)
    }

    /// Copies a student to an empty folder.
    ///
    /// # Errors
    /// As those of [`Staged::of`].
    pub(crate) fn copied(folder: &Path, stage: TempDir) -> Result<Staged> {
        Student::load(folder).with_context(|| format!("cannot add the student in {}", folder.display()))?;
        ensure!(
            folder.join(MANIFEST).exists(),
            "cannot add the student in {}: it has no {MANIFEST}; only students that stillroom trained have one",
            folder.display()
        );
        let files = copy(folder, stage.path())?;
        let (student, manifest) = (Student::load(stage.path())?, manifest(stage.path())?);
        Ok(Staged { stage, files, student, manifest })
    }

    /// Where the copy is.
    pub(crate) fn folder(&self) -> &Path {
        self.stage.path()
    }

    /// Holds it to golden notes of its own on the configured device, as [`verify`] does with a student of the registry.
    ///
    /// # Errors
    /// When it cannot be run, or fails its golden notes.
    pub(crate) fn check(&self, config: &Config) -> Result<()> {
        self.make_golden()?;
        golden::check(self.folder(), &config.student, &config.engine).map(|_| ())
    }

    /// Where it comes from, as its manifest says.
    pub(crate) fn training(&self) -> Training {
        let data = |DataFile { name, hash, documents }: &DataFile| LearnedData {
            name: name.clone(),
            hash: hash.clone(),
            documents: *documents as u64,
        };
        let took = self.manifest.took;
        Training {
            data: self.manifest.train.iter().map(data).collect(),
            seconds: took.map(|took| took.seconds),
            tokens_per_second: took.and_then(|took| took.tokens_per_second),
            memory_bytes: took.and_then(|took| took.memory_bytes),
            ..Training::default()
        }
    }

    /// Puts it into the registry, with golden notes. One that is there already stays as it is, also where this one does
    /// the same and another command made it.
    ///
    /// # Errors
    /// When the registry has another of its name and version, or cannot be written.
    pub(crate) fn add(self, registry: &Registry, parent: Option<ModelId>, training: Training) -> Result<Added> {
        let model = self.student.model().clone();
        if let Some(entry) = registry.get(&model)?
            && does_the_same(registry, &entry, (self.folder(), &self.files))?
        {
            return Ok(Added { entry, is_new: false });
        }
        self.make_golden()?;
        let new = NewEntry {
            model,
            weights_hash: self.manifest.weights_hash.clone(),
            parent,
            added_at: utc_now(),
            stillroom: crate::VERSION.to_owned(),
            training: Some(training),
        };
        let names: Vec<String> = self.files.keys().cloned().chain([golden::FILE.to_owned()]).collect();
        Ok(Added { entry: registry.add(self.folder(), &names, new)?, is_new: true })
    }

    /// Sees to it that the copy has golden notes.
    fn make_golden(&self) -> Result<()> {
        match self.folder().join(golden::FILE).exists() {
            true => Ok(()),
            false => Golden::make(&self.student)?.save(self.folder()),
        }
    }
}

/// Puts a student that stillroom trained into the registry, with golden notes and what its manifest says of where it
/// comes from.
///
/// # Errors
/// As those of [`Staged::of`] and [`Staged::add`].
pub(crate) fn add(registry: &Registry, folder: &Path, parent: Option<ModelId>) -> Result<Added> {
    let staged = Staged::of(folder)?;
    let training = staged.training();
    staged.add(registry, parent, training)
}

/// Whether what the registry has tags as the student of these files does: the manifests may differ in where each comes from.
///
/// # Errors
/// When a manifest cannot be read.
fn does_the_same(
    registry: &Registry,
    entry: &Entry,
    (folder, files): (&Path, &BTreeMap<String, String>),
) -> Result<bool> {
    let is_stored = |name: &str, hash: &String| entry.files.get(name).is_some_and(|stored| stored.sha256 == *hash);
    let mut others = files.iter().filter(|(name, hash)| !is_stored(name, hash)).map(|(name, _)| name.as_str());
    match (others.next(), others.next()) {
        (None, _) => Ok(true),
        (Some(MANIFEST), None) => {
            let (new, stored) = (manifest(folder)?, manifest_of(registry, entry)?);
            let is_calibrated_so = new.calibration == stored.calibration && new.thresholds == stored.thresholds;
            Ok(is_calibrated_so && new.name == stored.name && new.weights_hash == stored.weights_hash)
        }
        _ => Ok(false),
    }
}

/// Copies a student's files, and gives their names with their hashes.
fn copy(from: &Path, to: &Path) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for path in base_files(from)?.into_iter().chain([from.join(MANIFEST)]) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        std::fs::write(to.join(&name), &bytes).with_context(|| format!("cannot write a copy of {}", path.display()))?;
        hashes.insert(name, sha256(&bytes));
    }
    Ok(hashes)
}

/// The manifest of a student of the registry, which nothing else is read of.
///
/// # Errors
/// When there is none, it is damaged, or the registry does not answer.
pub(crate) fn manifest_of(registry: &Registry, entry: &Entry) -> Result<Manifest> {
    let bytes = registry.read(entry, MANIFEST)?;
    serde_json::from_slice(&bytes).with_context(|| format!("the {MANIFEST} of {} is damaged", entry.model.0))
}

/// The manifest in a student's folder.
///
/// # Errors
/// When there is none, or it is damaged.
pub(crate) fn manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
}

/// What loads students that are activated while notes flow, in the place of one with the tokenizer of this hash.
pub(crate) fn loader(config: &Config, tokenizer_hash: String) -> LoadStudent {
    let config = config.clone();
    Arc::new(move |activation| {
        let pool = activated(&config, activation, &tokenizer_hash);
        // With its causes: what logs it knows one message.
        pool.map_err(|error| format!("{error:#}").into())
    })
}

/// Loads a student that was activated, holds it to its golden notes, and starts its threads.
fn activated(config: &Config, activation: &Activation, tokenizer_hash: &str) -> Result<TaggerPool> {
    let folder = Registry::open(&config.models)?.folder(&activation.model)?;
    let student = Student::load(&folder)?;
    check_fits(&student, activation, tokenizer_hash)?;
    let golden = Golden::load(&folder)?;
    let mut taggers = config.student.taggers(std::slice::from_ref(&student), &config.engine)?;
    // On a processor all taggers are one, and notes may be waiting.
    let different = if config.student.is_on_gpu() { taggers.len() } else { 1 };
    for tagger in taggers.iter_mut().take(different) {
        golden.check(student.tokenizer(), tagger.as_mut())?;
    }
    pool(taggers, &config.engine)
}

/// Whether a student is what was activated, and cuts notes as the tokenizer of this hash does.
///
/// # Errors
/// When it is not, or does not.
pub(crate) fn check_fits(student: &Student, activation: &Activation, tokenizer_hash: &str) -> Result<()> {
    let model = &activation.model.0;
    let weights_hash = student.manifest().map(|manifest| manifest.weights_hash.as_str());
    ensure!(
        weights_hash == Some(activation.weights_hash.as_str()),
        "the registry has other weights of {model} than were activated; verify it, and activate another student"
    );
    ensure!(
        student.tokenizer_hash() == tokenizer_hash,
        "{model} has another tokenizer than the student in [student] folders; name a student with its tokenizer there, or activate \
         another"
    );
    Ok(())
}

/// A student of the registry that may serve, as far as files, weights and golden notes tell.
pub(crate) struct Verified {
    /// What the registry has of it.
    pub(crate) entry: Entry,
    /// The folder of its files on this machine.
    pub(crate) folder: PathBuf,
    /// The student, loaded from there.
    pub(crate) student: Student,
}

/// Reads a student's files from the registry once more, compares their hashes, loads it, and runs its golden notes on the configured
/// device.
///
/// # Errors
/// When a file is not what it was when it was put there, the student cannot be loaded or run, or fails its golden notes.
pub(crate) fn verify(registry: &Registry, model: &ModelId, config: &Config) -> Result<Verified> {
    let entry = registry.verify(model)?;
    let folder = registry.folder(model)?;
    let student = golden::check(&folder, &config.student, &config.engine)?;
    let weights_hash = student.manifest().map(|manifest| manifest.weights_hash.as_str());
    ensure!(
        *student.model() == entry.model && weights_hash == Some(entry.weights_hash.as_str()),
        "the registry says {}, and the files there are those of {}; add the student anew",
        entry.model.0,
        student.model().0
    );
    Ok(Verified { entry, folder, student })
}
