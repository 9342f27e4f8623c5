//! BERT (Devlin et al., arXiv 1810.04805) with one token-classification head a task, over packed texts: the texts of a batch
//! lie one after the other in `[tokens, hidden]`, so that no padding is ever computed. Only attention looks at where a text
//! begins and ends.

pub(crate) mod padded;

use crate::backend::{Attending, Norm, StudentBackend};
use crate::config::BertConfig;
use crate::dropout::{Dropout, Mask};
use crate::parameters;
use burn::module::ParamId;
use burn::nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use std::ops::Range;

/// Encoder and heads. Field names follow the Hugging Face files.
#[derive(Module, Debug)]
pub(crate) struct Bert<B: Backend> {
    pub(crate) bert: Trunk<B>,
    pub(crate) classifier: Linear<B>,
}

#[derive(Module, Debug)]
pub(crate) struct Trunk<B: Backend> {
    embeddings: Embeddings<B>,
    encoder: Encoder<B>,
}

#[derive(Module, Debug)]
struct Embeddings<B: Backend> {
    word_embeddings: Embedding<B>,
    position_embeddings: Embedding<B>,
    token_type_embeddings: Embedding<B>,
    layer_norm: LayerNorm<B>,
    eps: f64,
}

#[derive(Module, Debug)]
struct Encoder<B: Backend> {
    layer: Vec<Layer<B>>,
}

#[derive(Module, Debug)]
struct Layer<B: Backend> {
    attention: Attention<B>,
    intermediate: Intermediate<B>,
    output: AddNorm<B>,
}

#[derive(Module, Debug)]
struct Attention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    output: AddNorm<B>,
    heads: usize,
}

#[derive(Module, Debug)]
struct Intermediate<B: Backend> {
    dense: Linear<B>,
}

#[derive(Module, Debug)]
struct AddNorm<B: Backend> {
    dense: Linear<B>,
    layer_norm: LayerNorm<B>,
    eps: f64,
}

/// Texts that follow one another in one tensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    ids: Vec<i32>,
    positions: Vec<i32>,
    /// Runs of texts of one length, so that attention over a run is one product.
    runs: Vec<Run>,
}

/// Texts of one length that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) tokens: Range<usize>,
    pub(crate) texts: usize,
}

impl Run {
    /// Word pieces of each text.
    pub(crate) fn length(&self) -> usize {
        self.tokens.len() / self.texts
    }
}

impl Packed {
    /// Packs texts of word pieces; texts of one length are best given next to each other.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Packed {
        let mut packed = Packed::default();
        for text in texts {
            let start = packed.ids.len();
            packed.ids.extend(text.iter().map(|&id| id as i32));
            packed.positions.extend(0..text.len() as i32);
            let end = packed.ids.len();
            match packed.runs.last_mut().filter(|run| run.length() == text.len()) {
                Some(run) => *run = Run { tokens: run.tokens.start..end, texts: run.texts + 1 },
                None => packed.runs.push(Run { tokens: start..end, texts: 1 }),
            }
        }
        packed
    }

    /// Where the texts are.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The number of word pieces.
    pub(crate) fn tokens(&self) -> usize {
        self.ids.len()
    }
}

impl<B: StudentBackend> Bert<B> {
    /// An untrained model.
    pub(crate) fn init(config: &BertConfig, outputs: usize, device: &B::Device) -> Bert<B> {
        let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
        let norm = || LayerNormConfig::new(hidden).with_epsilon(eps).init(device);
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let embedding = |rows| EmbeddingConfig::new(rows, hidden).init(device);
        let layer = |_| Layer {
            attention: Attention {
                query: linear(hidden, hidden),
                key: linear(hidden, hidden),
                value: linear(hidden, hidden),
                output: AddNorm { dense: linear(hidden, hidden), layer_norm: norm(), eps },
                heads: config.num_attention_heads,
            },
            intermediate: Intermediate { dense: linear(hidden, config.intermediate_size) },
            output: AddNorm { dense: linear(config.intermediate_size, hidden), layer_norm: norm(), eps },
        };
        let embeddings = Embeddings {
            word_embeddings: embedding(config.vocab_size),
            position_embeddings: embedding(config.max_position_embeddings),
            token_type_embeddings: embedding(config.type_vocab_size),
            layer_norm: norm(),
            eps,
        };
        let encoder = Encoder { layer: (0..config.num_hidden_layers).map(layer).collect() };
        Bert { bert: Trunk { embeddings, encoder }, classifier: linear(hidden, outputs) }
    }

    /// Logits `[tokens, outputs]`. `dropout` is [`Dropout::none`] but in training.
    pub(crate) fn forward(&self, texts: &Packed, device: &B::Device, dropout: &Dropout) -> Tensor<B, 2> {
        self.forward_from(self.embed(texts, device, dropout), texts, (0, dropout))
    }

    /// The parameters of the embeddings, and of each layer.
    pub(crate) fn levels(&self) -> Vec<Vec<ParamId>> {
        let embeddings = parameters::ids(&self.bert.embeddings);
        std::iter::once(embeddings).chain(self.bert.encoder.layer.iter().map(parameters::ids)).collect()
    }

    /// What the first layer is given, `[tokens, hidden]`.
    pub(crate) fn embed(&self, texts: &Packed, device: &B::Device, dropout: &Dropout) -> Tensor<B, 2> {
        B::drop_out(self.bert.embeddings.forward(texts, device), dropout.hidden())
    }

    /// Logits `[tokens, outputs]` from what layer `first` is given, `[tokens, hidden]`.
    pub(crate) fn forward_from(
        &self,
        x: Tensor<B, 2>,
        texts: &Packed,
        (first, dropout): (usize, &Dropout),
    ) -> Tensor<B, 2> {
        let layers = &self.bert.encoder.layer;
        let x = self.layers(x, texts, (first..layers.len(), dropout));
        linear(&self.classifier, B::drop_out(x, dropout.hidden()))
    }

    /// What the last of some layers gives, `[tokens, hidden]`, as is what the first is given.
    pub(crate) fn layers(
        &self,
        x: Tensor<B, 2>,
        texts: &Packed,
        (layers, dropout): (Range<usize>, &Dropout),
    ) -> Tensor<B, 2> {
        let layers = &self.bert.encoder.layer[layers];
        layers.iter().fold(x, |x, layer| layer.forward(x, texts.runs(), dropout))
    }
}

impl<B: StudentBackend> Embeddings<B> {
    /// `[tokens, hidden]`.
    fn forward(&self, texts: &Packed, device: &B::Device) -> Tensor<B, 2> {
        let row = |ids: &[i32]| Tensor::<B, 1, Int>::from_ints(ids, device).unsqueeze::<2>();
        let words = self.word_embeddings.forward(row(&texts.ids)).squeeze_dim::<2>(0);
        let positions = self.position_embeddings.forward(row(&texts.positions)).squeeze_dim::<2>(0);
        // Notes are single segments, of token type 0.
        let types = self.token_type_embeddings.weight.val().slice(0..1);
        B::add_norm(words, positions + types, Mask::ALL, &norm(&self.layer_norm, self.eps))
    }
}

impl<B: StudentBackend> Layer<B> {
    /// `[tokens, hidden]` to the same.
    fn forward(&self, x: Tensor<B, 2>, runs: &[Run], dropout: &Dropout) -> Tensor<B, 2> {
        let x = self.attention.forward(x, runs, dropout);
        let up = &self.intermediate.dense;
        let inner = B::bias_gelu(x.clone().matmul(up.weight.val()), bias(up));
        self.output.forward(inner, x, dropout)
    }
}

impl<B: StudentBackend> AddNorm<B> {
    fn forward(&self, x: Tensor<B, 2>, residual: Tensor<B, 2>, dropout: &Dropout) -> Tensor<B, 2> {
        let norm = norm(&self.layer_norm, self.eps);
        B::add_norm(linear(&self.dense, x), residual, dropout.hidden(), &norm)
    }
}

impl<B: StudentBackend> Attention<B> {
    fn forward(&self, x: Tensor<B, 2>, runs: &[Run], dropout: &Dropout) -> Tensor<B, 2> {
        let qkv = [&self.query, &self.key, &self.value].map(|part| linear(part, x.clone()));
        let by = Attending { runs: runs.to_vec(), heads: self.heads, mask: dropout.attention() };
        self.output.forward(B::attend(qkv, &by), x, dropout)
    }
}

fn linear<B: StudentBackend>(layer: &Linear<B>, x: Tensor<B, 2>) -> Tensor<B, 2> {
    B::dense(x, layer.weight.val(), bias(layer))
}

fn bias<B: Backend>(layer: &Linear<B>) -> Tensor<B, 1> {
    match &layer.bias {
        Some(bias) => bias.val(),
        None => unreachable!("every linear layer of BERT has a bias"),
    }
}

fn norm<B: Backend>(layer: &LayerNorm<B>, eps: f64) -> Norm<B> {
    match &layer.beta {
        Some(bias) => Norm { weight: layer.gamma.val(), bias: bias.val(), eps },
        None => unreachable!("every layer normalisation of BERT has a bias"),
    }
}
