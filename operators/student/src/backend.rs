//! What a student needs of a Burn backend beyond the plain operations.
//!
//! An operation that takes much of a training step is one node of the graph with a gradient of its own: [`autodiff`] has the
//! nodes, [`plain`] what they compute in Burn's operations, [`flex`] the same on the processor in as few passes over memory as
//! there can be.

mod autodiff;
mod flex;
mod plain;
#[cfg(test)]
pub(crate) mod tests;

use crate::bert::Run;
use crate::dropout::Mask;
use burn::prelude::*;
use stillroom_encoder::training::AdamW;

/// How texts attend.
#[derive(Clone, Debug)]
pub(crate) struct Attending {
    /// Which rows are a text.
    pub(crate) runs: Vec<Run>,
    /// Attention heads; they share the features.
    pub(crate) heads: usize,
    /// What is dropped of the weights, a block for each text and head.
    pub(crate) mask: Mask,
}

impl Attending {
    /// Scores are divided by the root of a head's features.
    fn scale(&self, hidden: usize) -> f64 {
        ((hidden / self.heads) as f64).sqrt().recip()
    }
}

/// The parameters of a layer normalisation, `[features]` each.
#[derive(Clone, Debug)]
pub(crate) struct Norm<B: Backend> {
    pub(crate) weight: Tensor<B, 1>,
    pub(crate) bias: Tensor<B, 1>,
    pub(crate) eps: f64,
}

/// A backend that a student runs on. The defaults are plain operations; a backend overrides what it does better.
///
/// Tensors are `[tokens, features]`; a gradient has the shape of what it is the gradient of.
pub(crate) trait StudentBackend: Backend {
    /// `x · weight + bias`.
    fn dense(x: Tensor<Self, 2>, weight: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        plain::dense(x, weight, bias)
    }

    /// `gelu(x + bias)` with the exact GELU of BERT.
    fn bias_gelu(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        Self::bias_gelu_forward(x, bias).1
    }

    /// `x + bias`, and its GELU.
    fn bias_gelu_forward(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        plain::bias_gelu(x, bias)
    }

    /// `grad · gelu'(x)`.
    fn bias_gelu_backward(x: Tensor<Self, 2>, grad: Tensor<Self, 2>) -> Tensor<Self, 2> {
        plain::bias_gelu_backward(x, grad)
    }

    /// Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) of queries, keys and values, within each text.
    fn attend(qkv: [Tensor<Self, 2>; 3], by: &Attending) -> Tensor<Self, 2> {
        plain::attend(qkv, by)
    }

    /// The gradients of queries, keys and values.
    fn attend_backward(qkv: [Tensor<Self, 2>; 3], grad: Tensor<Self, 2>, by: &Attending) -> [Tensor<Self, 2>; 3] {
        plain::attend_backward(qkv, grad, by)
    }

    /// The layer normalisation of `dropout(x) + residual`.
    fn add_norm(x: Tensor<Self, 2>, residual: Tensor<Self, 2>, mask: Mask, norm: &Norm<Self>) -> Tensor<Self, 2> {
        let [_, output] = Self::add_norm_forward(x, residual, mask, norm);
        output
    }

    /// `dropout(x) + residual`, and its layer normalisation.
    fn add_norm_forward(
        x: Tensor<Self, 2>,
        residual: Tensor<Self, 2>,
        mask: Mask,
        norm: &Norm<Self>,
    ) -> [Tensor<Self, 2>; 2] {
        plain::add_norm(x, residual, mask, norm)
    }

    /// From the gradient of the layer normalisation of `x` to that of `x`, and to those of weight and bias.
    fn norm_backward(
        x: Tensor<Self, 2>,
        grad: Tensor<Self, 2>,
        norm: &Norm<Self>,
    ) -> (Tensor<Self, 2>, [Tensor<Self, 1>; 2]) {
        plain::norm_backward(x, grad, norm)
    }

    /// The sum of the rows, `[features]`.
    fn sum_rows(x: Tensor<Self, 2>) -> Tensor<Self, 1> {
        x.sum_dim(0).squeeze_dim(0)
    }

    /// `x` with elements dropped and the rest scaled.
    fn drop_out(x: Tensor<Self, 2>, mask: Mask) -> Tensor<Self, 2> {
        mask.apply(x)
    }

    /// The sum of the squares.
    fn squares<const D: usize>(x: Tensor<Self, D>) -> f64 {
        x.square().sum().into_scalar().elem()
    }

    /// The sum of two tensors.
    fn add<const D: usize>(a: Tensor<Self, D>, b: Tensor<Self, D>) -> Tensor<Self, D> {
        a + b
    }

    /// `from`, moved by a share of what it is away from `to`.
    fn approach<const D: usize>(from: Tensor<Self, D>, to: Tensor<Self, D>, share: f64) -> Tensor<Self, D> {
        from.clone() + (to - from) * share
    }

    /// Parameters and their two moments after a step of AdamW.
    fn adamw<const D: usize>(state: [Tensor<Self, D>; 3], grad: Tensor<Self, D>, step: AdamW) -> [Tensor<Self, D>; 3] {
        plain::adamw(state, grad, step)
    }
}

#[cfg(feature = "cuda")]
impl StudentBackend for burn::backend::Cuda {}
