//! How students learn, those of a study and those that are retrained.

use crate::refused::{Refused, in_range};
use serde::{Deserialize, Serialize};
use stillroom_student::Recipe;

/// The hyperparameters. The defaults are the published ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecipeConfig {
    /// Learning rate of the encoder. Default 2e-5.
    pub(crate) rate: f64,
    /// Learning rate of the heads, in multiples of the encoder's. Default 1.
    pub(crate) head_rate_factor: f64,
    /// Windows a step, 1 to 4096. Default 8.
    pub(crate) batch: usize,
    /// AdamW's decoupled weight decay. Default 0.01.
    pub(crate) weight_decay: f32,
    /// Passes over the documents, 1 to 1000. Default 10.
    pub(crate) epochs: usize,
    /// Whether the rate falls linearly to zero, after a warm-up of 6 % of the steps. Default false.
    pub(crate) linear_decay: bool,
    /// The embeddings and this many of the first layers are not learned. Default 0, all are.
    pub(crate) freeze: usize,
    /// The rate of each layer, as a multiple of the next one's. Default none, all learn at one rate. Example: `layer_decay = 0.9`.
    pub(crate) layer_decay: Option<f64>,
    /// The decay a step of the moving average of the weights that is kept. Default none, the last weights are. Example: `average = 0.999`.
    pub(crate) average: Option<f64>,
    /// Dropout of hidden states and attention weights, 0 or from 1/256 to below 1. Default as the base's `config.json` has it.
    /// Example: `dropout = 0.2`.
    pub(crate) dropout: Option<f64>,
}

impl Default for RecipeConfig {
    fn default() -> RecipeConfig {
        let published = Recipe::default();
        RecipeConfig {
            rate: published.learning_rate,
            head_rate_factor: published.head_rate_factor,
            batch: published.batch,
            weight_decay: published.weight_decay,
            epochs: published.epochs,
            linear_decay: published.linear_decay,
            freeze: published.freeze,
            layer_decay: published.layer_decay,
            average: published.average,
            dropout: published.dropout,
        }
    }
}

impl RecipeConfig {
    /// With a seed.
    pub(crate) fn seeded(&self, seed: u64) -> Recipe {
        Recipe {
            learning_rate: self.rate,
            head_rate_factor: self.head_rate_factor,
            batch: self.batch,
            weight_decay: self.weight_decay,
            epochs: self.epochs,
            linear_decay: self.linear_decay,
            seed,
            freeze: self.freeze,
            layer_decay: self.layer_decay,
            average: self.average,
            dropout: self.dropout,
            ..Recipe::default()
        }
    }

    /// Refuses values of the section of this path that nobody can learn with, as training does.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self, section: &str) -> Result<(), Refused> {
        in_range(format!("{section}.batch"), self.batch as u64, 1..=4096)?;
        in_range(format!("{section}.epochs"), self.epochs as u64, 1..=1000)?;
        match self.seeded(0).refused() {
            Some((setting, reason)) => {
                let key = if setting == "learning_rate" { "rate" } else { setting };
                Err(Refused::new(format!("{section}.{key}"), reason))
            }
            None => Ok(()),
        }
    }
}
