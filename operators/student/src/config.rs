//! `config.json` as Hugging Face writes it.

use crate::{StudentError, files, weights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use stillroom_dataflow::WINDOW_PIECES_MAX;
use stillroom_schemas::Task;

/// The architecture of a BERT token classifier, and the meaning of its outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Always `bert`; early files do without.
    #[serde(default = "bert")]
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
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Longest text in word pieces. Default 512.
    #[serde(default = "positions")]
    pub max_position_embeddings: usize,
    /// Segments. Default 2.
    #[serde(default = "segments")]
    pub type_vocab_size: usize,
    /// Added to the variance in layer normalisation. Default 1e-12.
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    /// Dropout after embeddings and blocks, in training. Default 0.1.
    #[serde(default = "dropout")]
    pub hidden_dropout_prob: f64,
    /// Dropout on attention weights, in training. Default 0.1.
    #[serde(default = "dropout")]
    pub attention_probs_dropout_prob: f64,
    /// What each output says: `O-disease`, `I-disease` and so on, a pair for every task. A model for one task may say `O` and `I`
    /// where the configuration names the task.
    #[serde(default)]
    pub id2label: BTreeMap<usize, String>,
}

// The defaults are those of `BertConfig` in Hugging Face's transformers, which early files lean on.
fn bert() -> String {
    "bert".to_owned()
}
fn gelu() -> String {
    "gelu".to_owned()
}
fn positions() -> usize {
    512
}
fn segments() -> usize {
    weights::TOKEN_TYPES
}
fn epsilon() -> f64 {
    1e-12
}
fn dropout() -> f64 {
    0.1
}

/// What tells architectures apart that have the same fields.
#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

/// The same of DistilBERT (Sanh et al., arXiv 1910.01108): a BERT without token types, under other names.
#[derive(Deserialize)]
struct DistilBertConfig {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    #[serde(default = "gelu")]
    activation: String,
    #[serde(default = "positions")]
    max_position_embeddings: usize,
    #[serde(default = "dropout")]
    dropout: f64,
    #[serde(default = "dropout")]
    attention_dropout: f64,
    #[serde(default)]
    id2label: BTreeMap<usize, String>,
}

impl From<DistilBertConfig> for BertConfig {
    fn from(config: DistilBertConfig) -> BertConfig {
        BertConfig {
            model_type: bert(),
            vocab_size: config.vocab_size,
            hidden_size: config.dim,
            num_hidden_layers: config.n_layers,
            num_attention_heads: config.n_heads,
            intermediate_size: config.hidden_dim,
            hidden_act: config.activation,
            max_position_embeddings: config.max_position_embeddings,
            type_vocab_size: segments(),
            // Not in its file, but in its code.
            layer_norm_eps: epsilon(),
            hidden_dropout_prob: config.dropout,
            attention_probs_dropout_prob: config.attention_dropout,
            id2label: config.id2label,
        }
    }
}

impl BertConfig {
    /// Reads `config.json` in `folder`, of a BERT or a DistilBERT.
    ///
    /// # Errors
    /// When the folder or the file is not there, or the file is no configuration, describes another architecture than BERT with exact
    /// GELU, or contradicts itself.
    pub fn load(folder: &Path) -> Result<BertConfig, StudentError> {
        let path = folder.join("config.json");
        if !folder.is_dir() {
            let cause =
                "it is no folder; name one with config.json, tokenizer.json or vocab.txt, and weights".to_owned();
            return Err(StudentError::Unsupported { path: folder.to_owned(), cause });
        }
        let refuse = |cause: String| StudentError::Unsupported { path: path.clone(), cause };
        let kind: Kind = files::read_json(&path)?;
        if kind.is_decoder || kind.position_embedding_type.is_some_and(|kind| kind != "absolute") {
            return Err(refuse("it is a decoder, or its positions are relative; choose a plain BERT".into()));
        }
        let config = match kind.model_type.as_deref() {
            None | Some("bert") => files::read_json::<BertConfig>(&path)?,
            Some("distilbert") => files::read_json::<DistilBertConfig>(&path)?.into(),
            Some(other) => {
                return Err(refuse(format!("model_type is {other:?}; choose a model of type bert or distilbert")));
            }
        };
        config.check().map_err(refuse)?;
        Ok(config)
    }

    /// Refuses what no weights could belong to.
    fn check(&self) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{name} is 0; fetch it anew"));
        }
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act is {}, not the exact gelu; choose another model", self.hidden_act));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("hidden_size is not a multiple of num_attention_heads; fetch it anew".into());
        }
        if self.max_position_embeddings < WINDOW_PIECES_MAX {
            let positions = self.max_position_embeddings;
            return Err(format!(
                "it has {positions} positions, and windows have up to {WINDOW_PIECES_MAX}; choose another model"
            ));
        }
        let shares = [self.hidden_dropout_prob, self.attention_probs_dropout_prob, self.layer_norm_eps];
        match shares.iter().all(|share| (0.0..1.0).contains(share)) {
            true => Ok(()),
            false => Err("a dropout or layer_norm_eps is not a number from 0 to below 1; fetch it anew".into()),
        }
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
                        among disease, medication and symptom; correct it, or train a student from this base"
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
