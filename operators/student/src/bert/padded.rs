//! BERT over padded texts, for training on GPUs: `[rows, length]` word pieces of few lengths, since Burn compiles its
//! kernels for what shapes it meets.
//!
//! Matrices are multiplied in the precision that was asked for; layer normalisation, GELU and the heads are computed in `f32`, and
//! the residual stream is kept in the precision of the matrices. What stands behind a text's end is masked as a key, so that it
//! changes nothing in the text.

use super::{AddNorm, Bert, bias};
use burn::nn::{LayerNorm, Linear};
use burn::prelude::*;
use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{Distribution, FloatDType};

/// The columns of the heads' matrix are padded to a multiple of this, which lets a GPU load whole vectors.
const HEAD_COLUMNS_STEP: usize = 8;

/// Added to the score of a masked key: the exponential of it is zero, whatever the score.
const MASKED: f64 = -3e4;

/// Rows have a multiple of so many word pieces.
const LENGTH_STEP: usize = 64;

/// The length that a window of `pieces` word pieces is padded to.
pub(crate) fn padded_length(pieces: usize) -> usize {
    pieces.max(1).next_multiple_of(LENGTH_STEP)
}

/// A tensor of word pieces, `[rows, length]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) length: usize,
}

impl Shape {
    /// Word pieces with padding.
    pub(crate) fn pieces(self) -> usize {
        self.rows * self.length
    }
}

/// Rates of dropout, none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct DropoutRates {
    /// On embeddings and on what a block adds to its input.
    pub(crate) hidden: f64,
    /// On attention weights.
    pub(crate) attention: f64,
}

/// A network whose weights were cast once. On a differentiable backend gradients flow back to what was cast.
#[derive(Clone, Debug)]
pub(crate) struct PaddedBert<B: Backend> {
    precision: FloatDType,
    heads: usize,
    /// `[vocabulary, hidden]`.
    words: Tensor<B, 2>,
    /// Positions and the token type of single segments in one, `[positions, hidden]`.
    positions: Tensor<B, 2>,
    norm: LayerNorm<B>,
    layers: Vec<Layer<B>>,
    /// For each task the weights of class I less those of class O, `[hidden, columns]` and `[1, columns]`, in `f32`.
    log_odds: (Tensor<B, 2>, Tensor<B, 2>),
    tasks: usize,
}

#[derive(Clone, Debug)]
struct Layer<B: Backend> {
    query: Product<B>,
    key: Product<B>,
    value: Product<B>,
    attention_output: Product<B>,
    attention_norm: LayerNorm<B>,
    intermediate: Product<B>,
    output: Product<B>,
    norm: LayerNorm<B>,
}

/// Weights `[inputs, outputs]` and bias `[1, outputs]`.
#[derive(Clone, Debug)]
struct Product<B: Backend> {
    weight: Tensor<B, 2>,
    bias: Tensor<B, 2>,
}

/// Padded texts on a device.
#[derive(Clone, Debug)]
pub(crate) struct Padded<B: Backend> {
    shape: Shape,
    /// `[rows · length]`.
    ids: Tensor<B, 1, Int>,
    /// Which word pieces are padding, `[rows, 1, 1, length]`.
    padding: Tensor<B, 4, Bool>,
}

impl<B: Backend> Padded<B> {
    /// `ids` is `[rows, length]`, row by row; `lengths` are the word pieces of each row, at least 1: a row of padding alone would
    /// have no key to attend to.
    pub(crate) fn new(shape: Shape, ids: Vec<i32>, lengths: Vec<i32>, device: &B::Device) -> Padded<B> {
        let Shape { rows, length } = shape;
        let ids = Tensor::from_data(TensorData::new(ids, [rows * length]), device);
        let lengths = Tensor::<B, 2, Int>::from_data(TensorData::new(lengths, [rows, 1]), device);
        let places = Tensor::<B, 1, Int>::arange(0..length as i64, device).unsqueeze::<2>();
        let padding = places.expand([rows, length]).greater_equal(lengths.expand([rows, length]));
        Padded { shape, ids, padding: padding.reshape([rows, 1, 1, length]) }
    }
}

impl<B: Backend> PaddedBert<B> {
    /// Takes the weights of `network`, which has heads for `tasks` tasks.
    pub(crate) fn new(network: &Bert<B>, tasks: usize, precision: FloatDType) -> PaddedBert<B> {
        let embeddings = &network.bert.embeddings;
        let types = embeddings.token_type_embeddings.weight.val().slice(0..1);
        let product = |linear: &Linear<B>| Product {
            weight: linear.weight.val().cast(precision),
            bias: bias(linear).unsqueeze().cast(precision),
        };
        let add_norm = |block: &AddNorm<B>| (product(&block.dense), block.layer_norm.clone());
        let layer = |layer: &super::Layer<B>| {
            let (attention_output, attention_norm) = add_norm(&layer.attention.output);
            let (output, norm) = add_norm(&layer.output);
            Layer {
                query: product(&layer.attention.query),
                key: product(&layer.attention.key),
                value: product(&layer.attention.value),
                attention_output,
                attention_norm,
                intermediate: product(&layer.intermediate.dense),
                output,
                norm,
            }
        };
        PaddedBert {
            precision,
            heads: network.bert.encoder.layer.first().map_or(1, |layer| layer.attention.heads),
            words: embeddings.word_embeddings.weight.val().cast(precision),
            positions: (embeddings.position_embeddings.weight.val() + types).cast(precision),
            norm: embeddings.layer_norm.clone(),
            layers: network.bert.encoder.layer.iter().map(layer).collect(),
            log_odds: (
                differences(network.classifier.weight.val(), tasks),
                differences(bias(&network.classifier).unsqueeze(), tasks),
            ),
            tasks,
        }
    }

    /// The same with embeddings and the first `layers` layers as constants, to which no gradient flows; all is learned when there
    /// are none.
    pub(crate) fn frozen(mut self, layers: usize) -> PaddedBert<B> {
        if layers > 0 {
            self.words = self.words.detach();
            self.positions = self.positions.detach();
            self.norm = self.norm.no_grad();
        }
        let freeze = |(index, layer): (usize, Layer<B>)| if index < layers { layer.frozen() } else { layer };
        self.layers = self.layers.into_iter().enumerate().map(freeze).collect();
        self
    }

    /// The log odds of class I, `[rows · length, tasks]`, in `f32`; what is said of padding means nothing.
    pub(crate) fn log_odds(&self, texts: &Padded<B>, dropout: DropoutRates) -> Tensor<B, 2> {
        let Shape { rows, length } = texts.shape;
        let words = self.words.clone().select(0, texts.ids.clone());
        let hidden = words.dims()[1];
        let positions = self.positions.clone().slice(0..length).unsqueeze::<3>();
        let sum = words.reshape([rows, length, hidden]) + positions;
        let mut x = drop_out(self.normalise(&self.norm, sum.reshape([rows * length, hidden])), dropout.hidden);
        for layer in &self.layers {
            x = self.layer(layer, x, texts, dropout);
        }
        let (weight, bias) = self.log_odds.clone();
        let x = drop_out(x, dropout.hidden);
        (x.cast(FloatDType::F32).matmul(weight) + bias).slice([0..rows * length, 0..self.tasks])
    }

    /// `[rows · length, hidden]` to the same.
    fn layer(&self, layer: &Layer<B>, x: Tensor<B, 2>, texts: &Padded<B>, dropout: DropoutRates) -> Tensor<B, 2> {
        let context = self.attend(layer, &x, texts, dropout);
        let added = drop_out(layer.attention_output.of(context), dropout.hidden);
        let x = self.normalise(&layer.attention_norm, added + x);
        let inner = gelu(layer.intermediate.of(x.clone()).cast(FloatDType::F32)).cast(self.precision);
        self.normalise(&layer.norm, drop_out(layer.output.of(inner), dropout.hidden) + x)
    }

    /// Scaled dot-product attention within each row; `[rows · length, hidden]` to the same.
    fn attend(&self, layer: &Layer<B>, x: &Tensor<B, 2>, texts: &Padded<B>, dropout: DropoutRates) -> Tensor<B, 2> {
        let Shape { rows, length } = texts.shape;
        let [pieces, hidden] = x.dims();
        let features = hidden / self.heads;
        let split =
            |product: &Product<B>| product.of(x.clone()).reshape([rows, length, self.heads, features]).swap_dims(1, 2);
        let (query, key, value) = (split(&layer.query), split(&layer.key), split(&layer.value));
        // Burn's fused attention has neither gradients nor dropout.
        let scores = query.matmul(key.transpose()).cast(FloatDType::F32) * (features as f64).sqrt().recip();
        let masked = texts.padding.clone().float().cast(FloatDType::F32) * MASKED;
        let weights = drop_out(softmax(scores + masked, 3), dropout.attention);
        weights.cast(self.precision).matmul(value).swap_dims(1, 2).reshape([pieces, hidden])
    }

    fn normalise(&self, norm: &LayerNorm<B>, x: Tensor<B, 2>) -> Tensor<B, 2> {
        norm.forward(x.cast(FloatDType::F32)).cast(self.precision)
    }
}

impl<B: Backend> Layer<B> {
    fn frozen(self) -> Layer<B> {
        Layer {
            query: self.query.frozen(),
            key: self.key.frozen(),
            value: self.value.frozen(),
            attention_output: self.attention_output.frozen(),
            attention_norm: self.attention_norm.no_grad(),
            intermediate: self.intermediate.frozen(),
            output: self.output.frozen(),
            norm: self.norm.no_grad(),
        }
    }
}

impl<B: Backend> Product<B> {
    fn frozen(self) -> Product<B> {
        Product { weight: self.weight.detach(), bias: self.bias.detach() }
    }

    fn of(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.clone()) + self.bias.clone()
    }
}

/// Drops elements at `rate` and scales the others up, by the backend's own generator.
fn drop_out<B: Backend, const D: usize>(x: Tensor<B, D>, rate: f64) -> Tensor<B, D> {
    if rate == 0.0 {
        return x;
    }
    let kept = x.random_like(Distribution::Bernoulli(1.0 - rate));
    x * kept / (1.0 - rate)
}

/// From columns O, I of each task to their differences I − O, with zeros up to a whole number of vectors; `[rows, 2 · tasks]` to
/// `[rows, columns]`.
fn differences<B: Backend>(pairs: Tensor<B, 2>, tasks: usize) -> Tensor<B, 2> {
    let (rows, device) = (pairs.dims()[0], pairs.device());
    let pairs = pairs.reshape([rows, tasks, 2]);
    let of_class = |class: usize| pairs.clone().slice([0..rows, 0..tasks, class..class + 1]).reshape([rows, tasks]);
    let zeros = Tensor::zeros([rows, tasks.next_multiple_of(HEAD_COLUMNS_STEP) - tasks], &device);
    Tensor::cat(vec![of_class(1) - of_class(0), zeros], 1)
}
