//! What a training run needs to go on after it was killed.

use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::files;
use crate::manifest::{DataFile, Recipe};
use crate::optimizer::Learner;
use crate::parameters;
use crate::took::SoFar;
use burn::backend::Autodiff;
use burn::module::Module;
use burn::record::{BinFileRecorder, FullPrecisionSettings, Recorder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use stillroom_schemas::{ModelId, Task};

/// Where a run stands. It is written last and says which of the two slots holds the networks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Completed passes.
    pub(crate) epoch: usize,
    /// Completed steps of the pass under way.
    pub(crate) step: usize,
    /// Mean dev F1 after each completed pass.
    pub(crate) dev_f1: Vec<f64>,
    /// What it took; absent where a version that did not count it began the run.
    #[serde(default)]
    pub(crate) so_far: Option<SoFar>,
    slot: usize,
}

/// What makes two runs the same run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) recipe: Recipe,
    pub(crate) tasks: Vec<Task>,
    pub(crate) train: Vec<DataFile>,
    pub(crate) dev: Vec<DataFile>,
    pub(crate) dev_documents_max: usize,
    pub(crate) base_weights_hash: String,
    pub(crate) tokenizer_hash: String,
    pub(crate) teachers: Vec<ModelId>,
}

/// The folder `checkpoint` inside a student's folder. It is renamed to `checkpoint.done` before it is removed, since half of it would
/// be taken for a run that is under way.
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Opens or begins the run's folder.
    ///
    /// # Errors
    /// When it holds a finished student, or the checkpoint of another run.
    pub(crate) fn open(out: &Path, identity: &Identity) -> Result<Checkpoints, StudentError> {
        let folder = out.join("checkpoint");
        remove_folder(&done(&folder))?;
        if !folder.exists() && out.join("manifest.json").exists() {
            let cause = "it holds a finished student; remove it, or choose another --out".into();
            return Err(StudentError::Unsupported { path: out.to_owned(), cause });
        }
        files::create_folder(&folder)?;
        let path = folder.join("run.json");
        if path.exists() && read_json::<Identity>(&folder, "run.json")? != *identity {
            let cause =
                "it belongs to a run with another recipe or other data; remove it, or choose another --out".into();
            return Err(StudentError::Unsupported { path: folder, cause });
        }
        files::write_json(&path, identity)?;
        Ok(Checkpoints { folder })
    }

    /// Saves into the slot that the last state does not use, then replaces the state. The moments of the optimizer and the average
    /// are networks, too, as far as a record goes.
    pub(crate) fn save<B: StudentBackend>(&self, learner: &Learner<B>, state: &mut State) -> Result<(), StudentError> {
        state.slot = 1 - state.slot;
        let recorder = BinFileRecorder::<FullPrecisionSettings>::new();
        let failed = |error: burn::record::RecorderError| StudentError::Unsupported {
            path: self.folder.clone(),
            cause: format!("the checkpoint was not written: {error}"),
        };
        let [first, second] = &learner.moments;
        let parts =
            [("first-moment", Some(first)), ("second-moment", Some(second)), ("average", learner.average.as_ref())];
        let parts = parts.into_iter().filter_map(|(name, tensors)| Some((name, tensors?)));
        let parts = parts.map(|(name, tensors)| (name, parameters::with_values(learner.network(), tensors)));
        for (name, part) in std::iter::once(("network", learner.network().clone())).chain(parts) {
            let path = self.record(name, state.slot);
            let record = path.with_extension("bin");
            // Burn warns of every file that it replaces.
            let _absent = fs::remove_file(&record);
            Recorder::<Autodiff<B>>::record(&recorder, part.into_record(), path).map_err(failed)?;
            let synced = fs::File::open(&record).and_then(|file| file.sync_all());
            synced.map_err(|source| StudentError::Io { action: "sync", path: record, source })?;
        }
        files::write_json(&self.folder.join("state.json"), state)
    }

    /// The last saved run, or the one given when none was saved.
    pub(crate) fn resume<B: StudentBackend>(
        &self,
        learner: Learner<B>,
        device: &B::Device,
    ) -> Result<(Learner<B>, State), StudentError> {
        if !self.folder.join("state.json").exists() {
            return Ok((learner, State { so_far: Some(SoFar::default()), ..State::default() }));
        }
        let state: State = read_json(&self.folder, "state.json")?;
        let recorder = BinFileRecorder::<FullPrecisionSettings>::new();
        let failed = |error: burn::record::RecorderError| StudentError::Unsupported {
            path: self.folder.clone(),
            cause: format!(
                "the checkpoint cannot be read ({error}): it is damaged, or of another version of stillroom; remove it to begin anew"
            ),
        };
        let load = |name: &str| -> Result<Bert<Autodiff<B>>, StudentError> {
            let record = recorder.load(self.record(name, state.slot), device).map_err(failed)?;
            Ok(learner.network().clone().load_record(record))
        };
        let tensors = |name: &str| Ok::<_, StudentError>(parameters::values(&load(name)?));
        let moments = [tensors("first-moment")?, tensors("second-moment")?];
        let average = learner.average.is_some().then(|| tensors("average")).transpose()?;
        let resumed = Learner::of(load("network")?, moments, average);
        Ok((resumed, state))
    }

    /// Removes the folder: the run is complete.
    pub(crate) fn remove(self) -> Result<(), StudentError> {
        let failed = |source| StudentError::Io { action: "rename", path: self.folder.clone(), source };
        let done = done(&self.folder);
        fs::rename(&self.folder, &done).map_err(failed)?;
        remove_folder(&done)
    }

    fn record(&self, name: &str, slot: usize) -> PathBuf {
        self.folder.join(format!("{name}-{slot}"))
    }
}

/// What a checkpoint's folder is called when its run is complete.
fn done(folder: &Path) -> PathBuf {
    folder.with_extension("done")
}

/// Removes a folder, if it is there.
fn remove_folder(folder: &Path) -> Result<(), StudentError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StudentError::Io { action: "remove", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Reads a file of a checkpoint.
fn read_json<T: DeserializeOwned>(folder: &Path, file: &str) -> Result<T, StudentError> {
    files::read_json(&folder.join(file)).map_err(|error| match error {
        StudentError::Json { .. } => StudentError::Unsupported {
            path: folder.to_owned(),
            cause: "it was made by another version of stillroom; remove it to begin anew".into(),
        },
        other => other,
    })
}
