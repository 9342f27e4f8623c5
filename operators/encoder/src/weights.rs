//! The architecture, and its tensors by Hugging Face's names.

use crate::EncoderError;
use crate::matrix::Matrix;
use crate::pointwise::Norm;

/// The shape of a BERT encoder (Devlin et al., arXiv 1810.04805), under the names of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Features of a token.
    pub hidden: usize,
    /// Encoder layers.
    pub layers: usize,
    /// Attention heads; they share `hidden`.
    pub heads: usize,
    /// Features inside a feed-forward block.
    pub intermediate: usize,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f32,
    /// Word pieces in the vocabulary.
    pub vocabulary: usize,
    /// Longest window in word pieces.
    pub positions: usize,
}

impl EncoderConfig {
    pub(crate) fn check(&self) -> Result<(), EncoderError> {
        let refuse = |cause: &str| Err(EncoderError::Config(cause.to_owned()));
        match self {
            _ if self.heads == 0 || !self.hidden.is_multiple_of(self.heads) => {
                refuse("the features are not a multiple of the heads")
            }
            _ if self.hidden == 0 || self.intermediate == 0 => refuse("it has layers without features"),
            _ if self.vocabulary == 0 || self.positions == 0 => refuse("it has no word piece or no position"),
            _ if self.layer_norm_eps.is_nan() || self.layer_norm_eps < 0.0 => {
                refuse("layer_norm_eps is not a number from 0 on")
            }
            _ => Ok(()),
        }
    }

    /// Refuses a window that the network cannot read.
    ///
    /// # Errors
    /// When the window is longer than the positions, or a word piece is outside of the vocabulary.
    pub(crate) fn check_window(&self, ids: &[u32]) -> Result<(), EncoderError> {
        let EncoderConfig { vocabulary, positions, .. } = *self;
        if ids.len() > positions {
            return Err(EncoderError::TooLong { tokens: ids.len(), positions });
        }
        let outside = ids.iter().find(|&&id| id as usize >= vocabulary);
        outside.map_or(Ok(()), |&id| Err(EncoderError::Vocabulary { id, vocabulary }))
    }
}

/// The tensors of a layer by Hugging Face's names, without `.weight` and `.bias`.
pub(crate) struct LayerNames {
    /// Queries, keys and values.
    pub(crate) project: [String; 3],
    pub(crate) attended: String,
    pub(crate) attended_norm: String,
    pub(crate) up: String,
    pub(crate) down: String,
    pub(crate) norm: String,
}

impl LayerNames {
    pub(crate) fn new(index: usize) -> LayerNames {
        let name = |part: &str| format!("bert.encoder.layer.{index}.{part}");
        LayerNames {
            project: ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}"))),
            attended: name("attention.output.dense"),
            attended_norm: name("attention.output.LayerNorm"),
            up: name("intermediate.dense"),
            down: name("output.dense"),
            norm: name("output.LayerNorm"),
        }
    }
}

/// Tensors as they are asked for, checked.
pub(crate) struct Tensors<F> {
    find: F,
    eps: f32,
}

impl<F: FnMut(&str) -> Option<Vec<f32>>> Tensors<F> {
    pub(crate) fn new(find: F, config: &EncoderConfig) -> Self {
        Tensors { find, eps: config.layer_norm_eps }
    }

    /// The finite values of a tensor of any length.
    fn any(&mut self, name: &str) -> Result<Vec<f32>, EncoderError> {
        let tensor = (self.find)(name).ok_or_else(|| EncoderError::Missing { tensor: name.to_owned() })?;
        match tensor.iter().all(|value| value.is_finite()) {
            true => Ok(tensor),
            false => Err(EncoderError::NotFinite { tensor: name.to_owned() }),
        }
    }

    /// The values of a tensor of a known length.
    pub(crate) fn take(&mut self, name: &str, expected: usize) -> Result<Vec<f32>, EncoderError> {
        let tensor = self.any(name)?;
        match tensor.len() {
            values if values == expected => Ok(tensor),
            values => Err(EncoderError::Length { tensor: name.to_owned(), values, expected }),
        }
    }

    /// The first row of a tensor of rows of `columns`.
    fn first_row(&mut self, name: &str, columns: usize) -> Result<Vec<f32>, EncoderError> {
        let mut tensor = self.any(name)?;
        if tensor.is_empty() || !tensor.len().is_multiple_of(columns) {
            let (tensor, values) = (name.to_owned(), tensor.len());
            return Err(EncoderError::Length { tensor, values, expected: columns });
        }
        tensor.truncate(columns);
        Ok(tensor)
    }

    /// The tables of words, `[vocabulary, hidden]`, and of positions, `[positions, hidden]`, with the embedding of token type 0,
    /// which notes are of, added to these.
    pub(crate) fn embeddings(&mut self, config: &EncoderConfig) -> Result<[Vec<f32>; 2], EncoderError> {
        let (name, hidden) = (|name: &str| format!("bert.embeddings.{name}.weight"), config.hidden);
        let words = self.take(&name("word_embeddings"), config.vocabulary * hidden)?;
        let mut positions = self.take(&name("position_embeddings"), config.positions * hidden)?;
        let kind = self.first_row(&name("token_type_embeddings"), hidden)?;
        for position in positions.chunks_exact_mut(hidden) {
            position.iter_mut().zip(&kind).for_each(|(position, kind)| *position += kind);
        }
        Ok([words, positions])
    }

    /// The linear layers `names`, each `[outputs, inputs]`, one below the other: weights and bias.
    pub(crate) fn linear(&mut self, names: &[String], shape: [usize; 2]) -> Result<(Vec<f32>, Vec<f32>), EncoderError> {
        let [outputs, inputs] = shape;
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weights.append(&mut self.take(&format!("{name}.weight"), outputs * inputs)?);
            bias.append(&mut self.take(&format!("{name}.bias"), outputs)?);
        }
        Ok((weights, bias))
    }

    /// The same in one matrix, packed.
    pub(crate) fn matrix(&mut self, names: &[String], shape: [usize; 2]) -> Result<Matrix, EncoderError> {
        let (weights, bias) = self.linear(names, shape)?;
        Ok(Matrix::pack(&weights, &bias))
    }

    /// A layer normalisation of `features`.
    pub(crate) fn norm(&mut self, name: &str, features: usize) -> Result<Norm, EncoderError> {
        let weight = self.take(&format!("{name}.weight"), features)?;
        let bias = self.take(&format!("{name}.bias"), features)?;
        Ok(Norm { weight, bias, eps: self.eps })
    }
}
