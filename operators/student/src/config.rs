//! `config.json` as Hugging Face writes it.

use crate::StudentError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use stillroom_dataflow::WINDOW_PIECES_MAX;
use stillroom_schemas::Task;

/// The architecture of a BERT token classifier, and the meaning of its outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Always `bert`.
    pub model_type: String,
    /// Word pieces in the vocabulary.
    pub vocab_size: usize,
    /// Features of a token.
    pub hidden_size: usize,
    /// Encoder layers.
    pub num_hidden_layers: usize,
    /// Attention heads; they share `hidden_size`.
    pub num_attention_heads: usize,
    /// Features inside a feed-forward block.
    pub intermediate_size: usize,
    /// Always the exact `gelu`.
    pub hidden_act: String,
    /// Longest text in word pieces.
    pub max_position_embeddings: usize,
    /// Segments.
    pub type_vocab_size: usize,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
    /// Dropout after embeddings and blocks, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout on attention weights, in training.
    pub attention_probs_dropout_prob: f64,
    /// What each output says: `O-disease`, `I-disease` and so on, a pair for every task. A model for one task may say `O` and `I`
    /// where the configuration names the task.
    #[serde(default)]
    pub id2label: BTreeMap<usize, String>,
}

impl BertConfig {
    /// Reads `config.json` in `folder`.
    ///
    /// # Errors
    /// When the file is not there, is not a configuration, or describes another architecture than BERT with exact GELU.
    pub fn load(folder: &Path) -> Result<BertConfig, StudentError> {
        let config: BertConfig = crate::files::read_json(&folder.join("config.json"))?;
        let refuse = |cause: String| Err(StudentError::Unsupported { path: folder.join("config.json"), cause });
        if config.model_type != "bert" {
            return refuse(format!("model_type is {}, not bert", config.model_type));
        }
        if config.hidden_act != "gelu" {
            return refuse(format!("hidden_act is {}, not the exact gelu", config.hidden_act));
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return refuse("hidden_size is not a multiple of num_attention_heads".into());
        }
        if config.max_position_embeddings < WINDOW_PIECES_MAX {
            let positions = config.max_position_embeddings;
            return refuse(format!("it has {positions} positions, and windows have up to {WINDOW_PIECES_MAX}"));
        }
        Ok(config)
    }

    /// The tasks of the heads, in the order of the outputs: head `i` is outputs `2 i` (O) and `2 i + 1` (I).
    ///
    /// # Errors
    /// When the labels are not pairs of `O-task` and `I-task`.
    pub fn tasks(&self) -> Result<Vec<Task>, String> {
        let mut tasks = Vec::new();
        for head in 0..self.id2label.len() / 2 {
            let pair = (self.id2label.get(&(2 * head)), self.id2label.get(&(2 * head + 1)));
            let task = Task::ALL.into_iter().find(|task| match pair {
                (Some(outside), Some(inside)) => {
                    *outside == format!("O-{}", task.name()) && *inside == format!("I-{}", task.name())
                }
                _ => false,
            });
            tasks.extend(task);
        }
        if tasks.is_empty() || 2 * tasks.len() != self.id2label.len() {
            return Err(
                "id2label must be pairs such as \"0\": \"O-disease\", \"1\": \"I-disease\", a pair for every task \
                        among disease, medication and symptom"
                    .into(),
            );
        }
        Ok(tasks)
    }

    /// The same architecture with a head for every task of `tasks`.
    pub fn with_tasks(&self, tasks: &[Task]) -> BertConfig {
        let labels = tasks.iter().flat_map(|task| [format!("O-{}", task.name()), format!("I-{}", task.name())]);
        BertConfig { id2label: labels.enumerate().collect(), ..self.clone() }
    }
}
