//! BERT (Devlin et al., arXiv 1810.04805) with one token-classification head a task, over packed texts: the texts of a batch
//! lie one after the other in `[tokens, hidden]`, so that no padding is ever computed. Only attention looks at where a text
//! begins and ends.

use crate::backend::StudentBackend;
use crate::config::BertConfig;
use crate::dropout::Dropout;
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
}

/// Texts that follow one another in one tensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packed {
    ids: Vec<i32>,
    positions: Vec<i32>,
    /// Runs of texts of one length, so that attention over a run is one product.
    runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    tokens: Range<usize>,
    texts: usize,
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
            match packed.runs.last_mut().filter(|run| run.tokens.len() == run.texts * text.len()) {
                Some(run) => *run = Run { tokens: run.tokens.start..end, texts: run.texts + 1 },
                None => packed.runs.push(Run { tokens: start..end, texts: 1 }),
            }
        }
        packed
    }

    /// The number of word pieces.
    pub(crate) fn tokens(&self) -> usize {
        self.ids.len()
    }
}

impl<B: StudentBackend> Bert<B> {
    /// An untrained model.
    pub(crate) fn init(config: &BertConfig, outputs: usize, device: &B::Device) -> Bert<B> {
        let hidden = config.hidden_size;
        let norm = || LayerNormConfig::new(hidden).with_epsilon(config.layer_norm_eps).init(device);
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let embedding = |rows| EmbeddingConfig::new(rows, hidden).init(device);
        let layer = |_| Layer {
            attention: Attention {
                query: linear(hidden, hidden),
                key: linear(hidden, hidden),
                value: linear(hidden, hidden),
                output: AddNorm { dense: linear(hidden, hidden), layer_norm: norm() },
                heads: config.num_attention_heads,
            },
            intermediate: Intermediate { dense: linear(hidden, config.intermediate_size) },
            output: AddNorm { dense: linear(config.intermediate_size, hidden), layer_norm: norm() },
        };
        let embeddings = Embeddings {
            word_embeddings: embedding(config.vocab_size),
            position_embeddings: embedding(config.max_position_embeddings),
            token_type_embeddings: embedding(config.type_vocab_size),
            layer_norm: norm(),
        };
        let encoder = Encoder { layer: (0..config.num_hidden_layers).map(layer).collect() };
        Bert { bert: Trunk { embeddings, encoder }, classifier: linear(hidden, outputs) }
    }

    /// Logits `[tokens, outputs]`. `dropout` is [`Dropout::none`] but in training.
    pub(crate) fn forward(&self, texts: &Packed, device: &B::Device, dropout: &Dropout) -> Tensor<B, 2> {
        let mut x = dropout.hidden(self.bert.embeddings.forward(texts, device));
        for layer in &self.bert.encoder.layer {
            x = layer.forward(x, &texts.runs, dropout);
        }
        self.classifier.forward(dropout.hidden(x))
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
        self.layer_norm.forward(words + positions + types)
    }
}

impl<B: StudentBackend> Layer<B> {
    /// `[tokens, hidden]` to the same.
    fn forward(&self, x: Tensor<B, 2>, runs: &[Run], dropout: &Dropout) -> Tensor<B, 2> {
        let x = self.attention.forward(x, runs, dropout);
        let up = &self.intermediate.dense;
        let product = x.clone().matmul(up.weight.val());
        let inner = match &up.bias {
            Some(bias) => B::bias_gelu(product, bias.val()),
            None => unreachable!("every linear layer of BERT has a bias"),
        };
        self.output.forward(inner, x, dropout)
    }
}

impl<B: StudentBackend> AddNorm<B> {
    fn forward(&self, x: Tensor<B, 2>, residual: Tensor<B, 2>, dropout: &Dropout) -> Tensor<B, 2> {
        self.layer_norm.forward(dropout.hidden(self.dense.forward(x)) + residual)
    }
}

impl<B: StudentBackend> Attention<B> {
    fn forward(&self, x: Tensor<B, 2>, runs: &[Run], dropout: &Dropout) -> Tensor<B, 2> {
        let scale = ((x.dims()[1] / self.heads) as f64).sqrt().recip();
        let q = self.query.forward(x.clone()) * scale;
        let k = self.key.forward(x.clone());
        let v = self.value.forward(x.clone());
        let contexts = runs
            .iter()
            .map(|run| {
                let part =
                    |t: &Tensor<B, 2>| if runs.len() == 1 { t.clone() } else { t.clone().slice(run.tokens.clone()) };
                self.attend([part(&q), part(&k), part(&v)], run.texts, dropout)
            })
            .collect::<Vec<_>>();
        self.output.forward(Tensor::cat(contexts, 0), x, dropout)
    }

    /// Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) within each of `texts` texts of one length;
    /// `[texts · length, hidden]` to the same.
    fn attend(&self, [q, k, v]: [Tensor<B, 2>; 3], texts: usize, dropout: &Dropout) -> Tensor<B, 2> {
        let [tokens, hidden] = q.dims();
        let split =
            |t: Tensor<B, 2>| t.reshape([texts, tokens / texts, self.heads, hidden / self.heads]).swap_dims(1, 2);
        let weights = B::attention_softmax(split(q).matmul(split(k).transpose()));
        let context = dropout.attention(weights).matmul(split(v));
        context.swap_dims(1, 2).reshape([tokens, hidden])
    }
}
