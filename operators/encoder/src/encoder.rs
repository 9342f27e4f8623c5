//! The network on one window.

use crate::attention::{self, Head};
use crate::kernel::{INPUTS_MAX, Kernel};
use crate::matrix::{After, Matrix};
use crate::pointwise::{Norm, dot, layer_norm};
use crate::quantise::{Levels, Quantised};
use crate::weights::{LayerNames, Tensors};
use crate::{EncoderConfig, EncoderError};

/// Tokens that go through a feed-forward block together: their inner features, 590 kB for 1536 of them, stay in the second
/// cache.
const BLOCK: usize = 96;

/// A BERT encoder with a token-classification head, packed for one kernel. Threads share it and have a [`Scratch`] each.
pub struct Encoder {
    config: EncoderConfig,
    kernel: Kernel,
    levels: Levels,
    /// `[vocabulary, hidden]`.
    words: Vec<f32>,
    /// `[positions, hidden]`, with the embedding of token type 0, which notes are of, added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    /// `[outputs, hidden]`.
    head: Vec<f32>,
    head_bias: Vec<f32>,
}

struct Layer {
    /// Queries, keys and values: `[3 hidden, hidden]`. Queries are scaled by `1 / sqrt(head size)`.
    project: Matrix,
    attended: Matrix,
    attended_norm: Norm,
    up: Matrix,
    down: Matrix,
    norm: Norm,
}

/// A thread's memory, which grows to what the longest window needs and is used again.
#[derive(Default)]
pub struct Scratch {
    /// The tokens, `[tokens, hidden]`, and the same in bytes.
    x: Vec<f32>,
    x_bytes: Quantised,
    /// `[tokens, 3 hidden]`.
    projected: Vec<f32>,
    /// What attention gathers, `[tokens, hidden]`.
    context: Vec<f32>,
    /// Inside a feed-forward block: `[BLOCK, intermediate]`, and the same in bytes.
    inner: Vec<f32>,
    inner_bytes: Quantised,
    attention: attention::Buffers,
    /// `[tokens, outputs]`.
    logits: Vec<f32>,
}

impl Encoder {
    /// An encoder with a head of `outputs`, from tensors by Hugging Face's names (`bert.…`, `classifier.…`) in PyTorch's
    /// layout, `[outputs, inputs]` row by row. Matrices are rounded to 8 bits and packed; `tensors` is asked once for each.
    /// Activations have 12 bits.
    ///
    /// # Errors
    /// When a tensor is missing, has another length than the configuration says or a value that is not finite, or when the
    /// configuration contradicts itself.
    pub fn new(
        config: EncoderConfig,
        outputs: usize,
        tensors: impl FnMut(&str) -> Option<Vec<f32>>,
    ) -> Result<Encoder, EncoderError> {
        config.check()?;
        if config.hidden.max(config.intermediate) > INPUTS_MAX {
            return Err(EncoderError::Config(format!("it has layers of more than {INPUTS_MAX} features")));
        }
        let hidden = config.hidden;
        let mut tensors = Tensors::new(tensors, &config);
        let [words, positions] = tensors.embeddings(&config)?;
        let norm = tensors.norm("bert.embeddings.LayerNorm", hidden)?;
        let layers =
            (0..config.layers).map(|index| Layer::new(&config, index, &mut tensors)).collect::<Result<_, _>>()?;
        let head = tensors.take("classifier.weight", outputs * hidden)?;
        let head_bias = tensors.take("classifier.bias", outputs)?;
        let (kernel, levels) = (Kernel::fastest(), Levels::Bits12);
        Ok(Encoder { config, kernel, levels, words, positions, norm, layers, head, head_bias })
    }

    /// The same encoder by another kernel than the fastest, to compare them.
    ///
    /// # Panics
    /// When this processor does not have it.
    pub fn with_kernel(self, kernel: Kernel) -> Encoder {
        assert!(kernel.is_available(), "{kernel:?} is not a kernel of this processor");
        Encoder { kernel, ..self }
    }

    /// The same encoder with activations in other levels than the 12 bits of [`Encoder::new`].
    pub fn with_levels(self, levels: Levels) -> Encoder {
        Encoder { levels, ..self }
    }

    /// The kernel that multiplies.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The logits of a window's word pieces, `[tokens, outputs]`, computed on this thread.
    ///
    /// # Errors
    /// When the window is longer than the model's positions, or a word piece is outside of the vocabulary.
    pub fn logits<'a>(&self, ids: &[u32], scratch: &'a mut Scratch) -> Result<&'a [f32], EncoderError> {
        self.embed(ids, scratch)?;
        for layer in &self.layers {
            self.attend(layer, scratch);
            self.feed_forward(layer, scratch);
        }
        let hidden = self.config.hidden;
        scratch.logits.clear();
        for token in scratch.x.chunks_exact(hidden) {
            let outputs = self.head.chunks_exact(hidden).zip(&self.head_bias);
            scratch.logits.extend(outputs.map(|(weights, bias)| dot(token, weights) + bias));
        }
        Ok(&scratch.logits)
    }

    /// Words and positions, `[tokens, hidden]`, and room for what is to come.
    fn embed(&self, ids: &[u32], scratch: &mut Scratch) -> Result<(), EncoderError> {
        self.config.check_window(ids)?;
        let (&EncoderConfig { hidden, intermediate, .. }, tokens) = (&self.config, ids.len());
        scratch.x.resize(tokens * hidden, 0.0);
        scratch.x_bytes.reserve(tokens, hidden, self.levels);
        scratch.projected.resize(tokens * 3 * hidden, 0.0);
        scratch.context.resize(tokens * hidden, 0.0);
        scratch.inner.resize(tokens.min(BLOCK) * intermediate, 0.0);
        scratch.inner_bytes.reserve(tokens.min(BLOCK), intermediate, self.levels);
        let rows = scratch.x.chunks_exact_mut(hidden).zip(self.positions.chunks_exact(hidden));
        for (token, ((x, position), &id)) in rows.zip(ids).enumerate() {
            let word = &self.words[id as usize * hidden..][..hidden];
            x.iter_mut().zip(word).zip(position).for_each(|((x, word), position)| *x = word + position);
            layer_norm(x, &self.norm);
            scratch.x_bytes.set(token, x);
        }
        Ok(())
    }

    fn attend(&self, layer: &Layer, scratch: &mut Scratch) {
        let (hidden, size) = (self.config.hidden, self.config.hidden / self.config.heads);
        layer.project.product(self.kernel, (&scratch.x_bytes, 0), After::Write, &mut scratch.projected);
        for first in (0..hidden).step_by(size) {
            let head = Head { projected: &scratch.projected, hidden, size, first };
            attention::attend(head, &mut scratch.attention, &mut scratch.context);
        }
        for (token, context) in scratch.context.chunks_exact(hidden).enumerate() {
            scratch.x_bytes.set(token, context);
        }
        layer.attended.product(self.kernel, (&scratch.x_bytes, 0), After::Add, &mut scratch.x);
        for (token, x) in scratch.x.chunks_exact_mut(hidden).enumerate() {
            layer_norm(x, &layer.attended_norm);
            scratch.x_bytes.set(token, x);
        }
    }

    fn feed_forward(&self, layer: &Layer, scratch: &mut Scratch) {
        let (hidden, intermediate) = (self.config.hidden, self.config.intermediate);
        for (block, x) in scratch.x.chunks_mut(BLOCK * hidden).enumerate() {
            let (first, tokens) = (block * BLOCK, x.len() / hidden);
            let inner = &mut scratch.inner[..tokens * intermediate];
            layer.up.product(self.kernel, (&scratch.x_bytes, first), After::Gelu, inner);
            for (token, inner) in inner.chunks_exact(intermediate).enumerate() {
                scratch.inner_bytes.set(token, inner);
            }
            layer.down.product(self.kernel, (&scratch.inner_bytes, 0), After::Add, x);
            for (token, x) in x.chunks_exact_mut(hidden).enumerate() {
                layer_norm(x, &layer.norm);
                scratch.x_bytes.set(first + token, x);
            }
        }
    }
}

impl Layer {
    fn new<F: FnMut(&str) -> Option<Vec<f32>>>(
        config: &EncoderConfig,
        index: usize,
        tensors: &mut Tensors<F>,
    ) -> Result<Layer, EncoderError> {
        let (hidden, inner, names) = (config.hidden, config.intermediate, LayerNames::new(index));
        let scale = ((hidden / config.heads) as f32).sqrt().recip();
        Ok(Layer {
            project: tensors.matrix(&names.project, [hidden, hidden])?.scaled(0..hidden, scale),
            attended: tensors.matrix(&[names.attended], [hidden, hidden])?,
            attended_norm: tensors.norm(&names.attended_norm, hidden)?,
            up: tensors.matrix(&[names.up], [inner, hidden])?,
            down: tensors.matrix(&[names.down], [hidden, inner])?,
            norm: tensors.norm(&names.norm, hidden)?,
        })
    }
}
