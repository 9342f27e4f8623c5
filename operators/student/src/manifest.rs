//! `manifest.json`: where a student comes from.

use crate::calibration::Calibration;
use crate::dropout::RATE_MIN;
use crate::took::Took;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stillroom_schemas::{Counts, ModelId, Task};

/// What a student was trained from, with what, and how well it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The student's name; its version is the hash of its weights.
    pub name: String,
    /// SHA-256 of the file of weights.
    pub weights_hash: String,
    /// SHA-256 of the weights that training started from.
    pub base_weights_hash: String,
    /// SHA-256 of the tokenizer's files, one behind the other.
    pub tokenizer_hash: String,
    /// The command that made it.
    pub command: String,
    /// How it was trained.
    pub recipe: Recipe,
    /// What it learned from.
    pub train: Vec<DataFile>,
    /// What it was chosen on, never learned from.
    pub dev: Vec<DataFile>,
    /// What the probabilities are scaled by, by task, and how well they fit then; chosen on the dev files. Absent in a student that was
    /// never calibrated.
    #[serde(default)]
    pub calibration: BTreeMap<Task, Calibration>,
    /// From which probability on a word is tagged, by task; chosen on the dev files.
    pub thresholds: BTreeMap<Task, f32>,
    /// Word-level counts on the dev files at these thresholds, by file and task.
    pub dev_counts: BTreeMap<String, BTreeMap<Task, Counts>>,
    /// Mean of the dev F1 figures, after each epoch.
    pub dev_f1_by_epoch: Vec<f64>,
    /// Name and version of the students that it learned from, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<ModelId>,
    /// What the training took. Absent in a student of a version that did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Took>,
}

/// The hyperparameters of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Learning rate of the encoder.
    pub learning_rate: f64,
    /// Learning rate of the heads, in multiples of the encoder's.
    pub head_rate_factor: f64,
    /// Windows a step.
    pub batch: usize,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
    /// Passes over the data that were planned.
    pub epochs: usize,
    /// Whether the rate falls linearly to zero, after a warm-up of 6 % of the steps.
    pub linear_decay: bool,
    /// Largest norm of a step's gradient, over all parameters.
    pub gradient_norm_max: f32,
    /// Seed of shuffling and initialisation.
    pub seed: u64,
    /// The embeddings and this many of the first layers are not learned; by default all are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub freeze: usize,
    /// The rate of each layer is this multiple of the next one's, and that of the embeddings of the first one's (Clark et al., arXiv
    /// 2003.10555); by default all learn at one rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// The student is the exponential moving average of the weights, with this decay a step; by default it is the last weights. In
    /// step `t` the decay is at most `(1 + t) / (10 + t)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Dropout in place of the base's own, of hidden states and of attention weights; by default as `config.json` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Documents with soft labels are learned by the shares of their teachers at this temperature; by default by their mentions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_temperature: Option<f64>,
    /// How it learns from other students; by default from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

impl Default for Recipe {
    /// The published recipe (Vedula et al., arXiv 2501.00031), with the gradient's norm limited to 1.
    fn default() -> Recipe {
        Recipe {
            learning_rate: 2e-5,
            head_rate_factor: 1.0,
            batch: 8,
            weight_decay: 0.01,
            epochs: 10,
            linear_decay: false,
            gradient_norm_max: 1.0,
            seed: 0,
            freeze: 0,
            layer_decay: None,
            average: None,
            dropout: None,
            soft_temperature: None,
            distillation: None,
        }
    }
}

impl Recipe {
    /// The first hyperparameter that nobody can learn with, and what is wrong with it, as in `batch` and `is 0; choose a number above
    /// 0`. What depends on the base is not looked at, nor is distillation.
    pub fn refused(&self) -> Option<(&'static str, String)> {
        let is_above_0 = |value: f64| value > 0.0 && value.is_finite();
        let is_share = |value: Option<f64>| value.is_none_or(|value| (0.0..1.0).contains(&value));
        let is_factor = self.layer_decay.is_none_or(|decay| decay > 0.0 && decay <= 1.0);
        let is_dropout = self.dropout.is_none_or(|rate| rate == 0.0 || (RATE_MIN..1.0).contains(&rate));
        let is_decay = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
        let shown = |value: Option<f64>| value.unwrap_or_default().to_string();
        let settings = [
            ("learning_rate", is_above_0(self.learning_rate), self.learning_rate.to_string(), "above 0"),
            ("head_rate_factor", is_above_0(self.head_rate_factor), self.head_rate_factor.to_string(), "above 0"),
            ("batch", self.batch > 0, self.batch.to_string(), "above 0"),
            ("weight_decay", is_decay, self.weight_decay.to_string(), "of 0 or more"),
            ("layer_decay", is_factor, shown(self.layer_decay), "above 0 and at most 1"),
            ("average", is_share(self.average), shown(self.average), "from 0 to below 1"),
            ("soft_temperature", self.soft_temperature.is_none_or(is_above_0), shown(self.soft_temperature), "above 0"),
            ("dropout", is_dropout, shown(self.dropout), "that is 0, or from 1/256 to below 1"),
        ];
        let (setting, _, value, range) = settings.into_iter().find(|(_, is_right, ..)| !is_right)?;
        Some((setting, format!("is {value}; choose a number {range}")))
    }
}

/// How a student learns from others (Hinton et al., arXiv 1503.02531). The loss of a word piece is `1 - share` of the cross-entropy
/// with the annotation, where there is one, and `share` of the square of the temperature times the divergence of Kullback and
/// Leibler from the mean of the teachers' probabilities, both at the temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// The teachers' part of the loss, from 0 to 1.
    pub share: f64,
    /// What logits are divided by.
    pub temperature: f64,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A file of documents, or notes that became documents by their labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its folder and file; of notes their paths, and the file of the ensembles.
    pub name: String,
    /// SHA-256 of its bytes; of notes, of what was learned from them.
    pub hash: String,
    /// Documents in it.
    pub documents: usize,
}
