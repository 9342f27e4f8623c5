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
use stillroom_models::{Entry, NewEntry, Registry};
use stillroom_schemas::{Activation, ModelId};
use stillroom_student::{Manifest, Student, base_files, sha256};

/// Where a student comes from.
const MANIFEST: &str = "manifest.json";

/// A student that was put into the registry.
pub(crate) struct Added {
    /// What the registry has of it.
    pub(crate) entry: Entry,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
}

/// Puts a student that stillroom trained into the registry, with golden notes. One that is there already stays as it is, also where
/// this one does the same and another command made it.
///
/// # Errors
/// When it cannot be loaded or has no manifest, when the registry has another of its name and version, or cannot be written.
pub(crate) fn add(registry: &Registry, folder: &Path, parent: Option<ModelId>) -> Result<Added> {
    Student::load(folder).with_context(|| format!("cannot add the student in {}", folder.display()))?;
    ensure!(
        folder.join(MANIFEST).exists(),
        "cannot add the student in {}: it has no {MANIFEST}; only students that stillroom trained have one",
        folder.display()
    );
    // The folder may be read-only, or change meanwhile: what the golden notes are made by is what is put into the registry.
    let stage = tempfile::tempdir().context("cannot make a folder for temporary files")?;
    let files = copy(folder, stage.path())?;
    let student = Student::load(stage.path())?;
    let model = student.model().clone();
    if let Some(entry) = registry.get(&model)?
        && does_the_same(registry, &entry, (stage.path(), &files))?
    {
        return Ok(Added { entry, is_new: false });
    }
    Golden::make(&student)?.save(stage.path())?;
    let new = NewEntry {
        model,
        weights_hash: manifest(stage.path())?.weights_hash,
        parent,
        added_at: utc_now(),
        stillroom: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let names: Vec<String> = files.into_keys().chain([golden::FILE.to_owned()]).collect();
    Ok(Added { entry: registry.add(stage.path(), &names, new)?, is_new: true })
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
