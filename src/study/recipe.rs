//! How the students of a study learn.

use crate::refused::{Refused, in_range};
use serde::{Deserialize, Serialize};
use stillroom_student::Recipe;

/// The hyperparameters. The defaults are the published ones.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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

    /// Refuses values that nobody can learn with, as training does.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        in_range("students.recipe.batch", self.batch as u64, 1..=4096)?;
        in_range("students.recipe.epochs", self.epochs as u64, 1..=1000)?;
        let is_above_0 = |value: f64| value > 0.0 && value.is_finite();
        let is_share = |value: Option<f64>| value.is_none_or(|value| (0.0..1.0).contains(&value));
        let is_factor = self.layer_decay.is_none_or(|decay| decay > 0.0 && decay <= 1.0);
        let is_dropout = self.dropout.is_none_or(|rate| rate == 0.0 || (1.0 / 256.0..1.0).contains(&rate));
        let is_decay = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
        let shown = |value: Option<f64>| value.unwrap_or_default().to_string();
        let settings = [
            ("rate", is_above_0(self.rate), self.rate.to_string(), "above 0"),
            ("head_rate_factor", is_above_0(self.head_rate_factor), self.head_rate_factor.to_string(), "above 0"),
            ("weight_decay", is_decay, self.weight_decay.to_string(), "of 0 or more"),
            ("layer_decay", is_factor, shown(self.layer_decay), "above 0 and at most 1"),
            ("average", is_share(self.average), shown(self.average), "from 0 to below 1"),
            ("dropout", is_dropout, shown(self.dropout), "that is 0, or from 1/256 to below 1"),
        ];
        match settings.into_iter().find(|(_, is_right, ..)| !is_right) {
            Some((name, _, value, range)) => {
                Err(Refused::new(format!("students.recipe.{name}"), format!("is {value}; choose a number {range}")))
            }
            None => Ok(()),
        }
    }
}
