//! The operations of a student in those of Burn.

use super::{Attending, Norm};
use crate::bert::Run;
use crate::dropout::Mask;
use burn::prelude::*;
use burn::tensor::activation;
use stillroom_encoder::training::AdamW;

pub(super) fn dense<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 2>, bias: Tensor<B, 1>) -> Tensor<B, 2> {
    x.matmul(weight) + bias.unsqueeze()
}

pub(super) fn bias_gelu<B: Backend>(x: Tensor<B, 2>, bias: Tensor<B, 1>) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let x = x + bias.unsqueeze();
    (x.clone(), activation::gelu(x))
}

pub(super) fn bias_gelu_backward<B: Backend>(x: Tensor<B, 2>, grad: Tensor<B, 2>) -> Tensor<B, 2> {
    let cdf = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0) * 0.5;
    let density =
        (x.clone().square() * -0.5).exp() * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
    grad * (cdf + x * density)
}

/// What attention computes of a run: tensors `[texts, heads, length, features of a head]`, weights `[texts, heads, length, length]`.
struct Attended<B: Backend> {
    qkv: [Tensor<B, 4>; 3],
    weights: Tensor<B, 4>,
    /// What dropout multiplies the weights by.
    factors: Option<Tensor<B, 4>>,
}

impl<B: Backend> Attended<B> {
    /// `first` is the number of texts before the run.
    fn new(qkv: &[Tensor<B, 2>; 3], (run, first): (&Run, usize), by: &Attending) -> Attended<B> {
        let scale = by.scale(qkv[0].dims()[1]);
        let [q, k, v] = std::array::from_fn(|part| split(&qkv[part], run, by.heads));
        let weights = activation::softmax((q.clone() * scale).matmul(k.clone().transpose()), 3);
        let blocks = first * by.heads..(first + run.texts) * by.heads;
        let area = run.length().pow(2);
        let factors = (!by.mask.keeps_all()).then(|| {
            let factors = blocks.flat_map(|block| by.mask.block(block).factors(area)).collect::<Vec<f32>>();
            Tensor::from_data(TensorData::new(factors, weights.shape()), &weights.device())
        });
        Attended { qkv: [q, k, v], weights, factors }
    }

    fn dropped(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        match &self.factors {
            Some(factors) => x * factors.clone(),
            None => x,
        }
    }
}

/// `[tokens, hidden]` to a run's `[texts, heads, length, features of a head]`.
fn split<B: Backend>(x: &Tensor<B, 2>, run: &Run, heads: usize) -> Tensor<B, 4> {
    let [tokens, hidden] = x.dims();
    let part = if run.tokens.len() == tokens { x.clone() } else { x.clone().slice(run.tokens.clone()) };
    part.reshape([run.texts, run.length(), heads, hidden / heads]).swap_dims(1, 2)
}

/// The opposite of [`split`].
fn join<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 2> {
    let [texts, heads, length, size] = x.dims();
    x.swap_dims(1, 2).reshape([texts * length, heads * size])
}

/// Runs, and how many texts are before each.
fn numbered(by: &Attending) -> impl Iterator<Item = (&Run, usize)> {
    by.runs.iter().scan(0, |texts, run| {
        let first = *texts;
        *texts += run.texts;
        Some((run, first))
    })
}

pub(super) fn attend<B: Backend>(qkv: [Tensor<B, 2>; 3], by: &Attending) -> Tensor<B, 2> {
    let contexts = numbered(by).map(|run| {
        let attended = Attended::new(&qkv, run, by);
        let [_, _, v] = attended.qkv.clone();
        join(attended.dropped(attended.weights.clone()).matmul(v))
    });
    Tensor::cat(contexts.collect(), 0)
}

pub(super) fn attend_backward<B: Backend>(
    qkv: [Tensor<B, 2>; 3],
    grad: Tensor<B, 2>,
    by: &Attending,
) -> [Tensor<B, 2>; 3] {
    let scale = by.scale(grad.dims()[1]);
    let mut grads = [const { Vec::new() }; 3];
    for run in numbered(by) {
        let attended = Attended::new(&qkv, run, by);
        let [q, k, v] = attended.qkv.clone();
        let grad = split(&grad, run.0, by.heads);
        let grad_v = attended.dropped(attended.weights.clone()).transpose().matmul(grad.clone());
        let weighted = attended.dropped(grad.matmul(v.transpose())) * attended.weights.clone();
        let total = weighted.clone().sum_dim(3);
        let scores = (weighted - attended.weights * total) * scale;
        let of_run = [scores.clone().matmul(k), scores.transpose().matmul(q), grad_v];
        grads.iter_mut().zip(of_run).for_each(|(grads, grad)| grads.push(join(grad)));
    }
    grads.map(|grads| Tensor::cat(grads, 0))
}

/// Rows with mean 0 and variance 1, and one by the root of each variance.
fn normalised<B: Backend>(x: Tensor<B, 2>, eps: f64) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let centred = x.clone() - x.mean_dim(1);
    let factor = (centred.clone().square().mean_dim(1) + eps).sqrt().recip();
    (centred * factor.clone(), factor)
}

pub(super) fn add_norm<B: Backend>(
    x: Tensor<B, 2>,
    residual: Tensor<B, 2>,
    mask: Mask,
    norm: &Norm<B>,
) -> [Tensor<B, 2>; 2] {
    let sum = mask.apply(x) + residual;
    let rows = normalised(sum.clone(), norm.eps).0;
    [sum, rows * norm.weight.clone().unsqueeze() + norm.bias.clone().unsqueeze()]
}

pub(super) fn norm_backward<B: Backend>(
    x: Tensor<B, 2>,
    grad: Tensor<B, 2>,
    norm: &Norm<B>,
) -> (Tensor<B, 2>, [Tensor<B, 1>; 2]) {
    let (rows, factor) = normalised(x, norm.eps);
    let weight = (grad.clone() * rows.clone()).sum_dim(0).squeeze_dim(0);
    let bias = grad.clone().sum_dim(0).squeeze_dim(0);
    let grad = grad * norm.weight.clone().unsqueeze();
    let along = (grad.clone() * rows.clone()).mean_dim(1);
    ((grad.clone() - grad.mean_dim(1) - rows * along) * factor, [weight, bias])
}

pub(super) fn adamw<B: Backend, const D: usize>(
    [parameters, first, second]: [Tensor<B, D>; 3],
    grad: Tensor<B, D>,
    step: AdamW,
) -> [Tensor<B, D>; 3] {
    let grad = grad * step.gradient_scale;
    let first = first * step.beta_1 + grad.clone() * (1.0 - step.beta_1);
    let second = second * step.beta_2 + grad.square() * (1.0 - step.beta_2);
    let [correct_1, correct_2] = [step.beta_1, step.beta_2].map(|beta| 1.0 - beta.powi(step.time));
    let delta = (first.clone() / correct_1) / ((second.clone() / correct_2).sqrt() + step.eps);
    let decayed = parameters * (1.0 - step.rate * f64::from(step.weight_decay));
    [decayed - delta * step.rate, first, second]
}
