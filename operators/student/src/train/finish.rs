//! The end of a run.

use super::run::Run;
use crate::backend::StudentBackend;
use crate::evaluate::{Measured, measure};
use crate::manifest::Manifest;
use crate::{Student, StudentError, files};

impl<B: StudentBackend> Run<'_, B> {
    /// Measures the student as it was stored, chooses its temperatures and thresholds, and writes the manifest.
    pub(super) fn finish(mut self) -> Result<Manifest, StudentError> {
        let student = Student::load(&self.config.out)?;
        let Measured { thresholds, calibration, counts } = measure(&student, self.dev, self.config.threads.max(1))?;
        self.look();
        let manifest = Manifest {
            name: self.config.name.clone(),
            weights_hash: files::sha256(&files::read(&self.config.out.join("model.safetensors"))?),
            base_weights_hash: self.identity.base_weights_hash.clone(),
            tokenizer_hash: self.identity.tokenizer_hash.clone(),
            command: self.config.command.clone(),
            recipe: self.config.recipe.clone(),
            train: self.train.iter().map(|corpus| corpus.file.clone()).collect(),
            dev: self.dev.iter().map(|corpus| corpus.file.clone()).collect(),
            dev_counts: counts,
            dev_f1_by_epoch: self.state.dev_f1.clone(),
            calibration,
            thresholds,
            teachers: self.identity.teachers.clone(),
            took: self.state.so_far.map(|so_far| so_far.took()),
        };
        files::write_json(&self.config.out.join("manifest.json"), &manifest)?;
        self.checkpoints.remove()?;
        Ok(manifest)
    }
}
