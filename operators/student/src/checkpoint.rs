//! What a training run needs to go on after it was killed.

use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::files;
use crate::manifest::{DataFile, Recipe};
use burn::backend::Autodiff;
use burn::module::Module;
use burn::optim::{AdamW, Optimizer, adaptor::OptimizerAdaptor};
use burn::record::{BinFileRecorder, FullPrecisionSettings, Recorder};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_schemas::Task;

pub(crate) type BertOptimizer<B> = OptimizerAdaptor<AdamW, Bert<Autodiff<B>>, Autodiff<B>>;

/// What a run goes on with.
pub(crate) type Resumed<B> = (Bert<Autodiff<B>>, BertOptimizer<B>, State);

/// Where a run stands. It is written last and says which of the two slots holds network and optimizer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Completed passes.
    pub(crate) epoch: usize,
    /// Completed steps of the pass under way.
    pub(crate) step: usize,
    /// Mean dev F1 after each completed pass.
    pub(crate) dev_f1: Vec<f64>,
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
}

/// The folder `checkpoint` inside a student's folder.
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
        if !folder.exists() && out.join("manifest.json").exists() {
            let cause = "it holds a finished student; remove it, or choose another --out".into();
            return Err(StudentError::Unsupported { path: out.to_owned(), cause });
        }
        files::create_folder(&folder)?;
        let path = folder.join("run.json");
        if path.exists() && files::read_json::<Identity>(&path)? != *identity {
            let cause =
                "it belongs to a run with another recipe or other data; remove it, or choose another --out".into();
            return Err(StudentError::Unsupported { path: folder, cause });
        }
        files::write_json(&path, identity)?;
        Ok(Checkpoints { folder })
    }

    /// Saves into the slot that the last state does not use, then replaces the state.
    pub(crate) fn save<B: StudentBackend>(
        &self,
        network: &Bert<Autodiff<B>>,
        optimizer: &BertOptimizer<B>,
        state: &mut State,
    ) -> Result<(), StudentError> {
        state.slot = 1 - state.slot;
        let recorder = BinFileRecorder::<FullPrecisionSettings>::new();
        let failed = |error: burn::record::RecorderError| StudentError::Unsupported {
            path: self.folder.clone(),
            cause: format!("the checkpoint was not written: {error}"),
        };
        let [network_path, optimizer_path] = self.slot(state.slot);
        for old in [&network_path, &optimizer_path] {
            // Burn warns of every file that it replaces.
            let _absent = fs::remove_file(old.with_extension("bin"));
        }
        Recorder::<Autodiff<B>>::record(&recorder, network.clone().into_record(), network_path).map_err(failed)?;
        Recorder::<Autodiff<B>>::record(&recorder, optimizer.to_record(), optimizer_path).map_err(failed)?;
        for record in self.slot(state.slot).map(|path| path.with_extension("bin")) {
            let synced = fs::File::open(&record).and_then(|file| file.sync_all());
            synced.map_err(|source| StudentError::Io { action: "sync", path: record, source })?;
        }
        files::write_json(&self.folder.join("state.json"), state)
    }

    /// The last saved run, or the one given when none was saved.
    pub(crate) fn resume<B: StudentBackend>(
        &self,
        network: Bert<Autodiff<B>>,
        optimizer: BertOptimizer<B>,
        device: &B::Device,
    ) -> Result<Resumed<B>, StudentError> {
        let path = self.folder.join("state.json");
        if !path.exists() {
            return Ok((network, optimizer, State::default()));
        }
        let state: State = files::read_json(&path)?;
        let recorder = BinFileRecorder::<FullPrecisionSettings>::new();
        let failed = |error: burn::record::RecorderError| StudentError::Unsupported {
            path: self.folder.clone(),
            cause: format!("the checkpoint cannot be read ({error}); remove it to begin anew"),
        };
        let [network_path, optimizer_path] = self.slot(state.slot);
        let network = network.load_record(recorder.load(network_path, device).map_err(failed)?);
        let optimizer = optimizer.load_record(recorder.load(optimizer_path, device).map_err(failed)?);
        Ok((network, optimizer, state))
    }

    /// Removes the folder: the run is complete.
    pub(crate) fn remove(self) -> Result<(), StudentError> {
        let failed = |source| StudentError::Io { action: "remove", path: self.folder.clone(), source };
        fs::remove_dir_all(&self.folder).map_err(failed)
    }

    fn slot(&self, slot: usize) -> [PathBuf; 2] {
        ["network", "optimizer"].map(|name| self.folder.join(format!("{name}-{slot}")))
    }
}
