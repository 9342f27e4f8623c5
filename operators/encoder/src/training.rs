//! `f32` kernels of training on slices: what an operation leaves for its gradient, and the gradient. Each is one pass over memory
//! where a library of tensors takes one an operation.

use crate::pointwise::{dispatched, exp_neg, fold, gelu, greater};

/// What dropout keeps, an element a byte of randomness: elements whose byte is below `limit` are multiplied by `scale`, others
/// become zero.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// A byte an element.
    pub bytes: &'a [u8],
    /// Of 256.
    pub limit: u16,
    /// 256 / `limit`, so that the expectation stays.
    pub scale: f32,
}

/// The parameters of a layer normalisation (Ba et al., arXiv 1607.06450), `[features]` each.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// Factors.
    pub weight: &'a [f32],
    /// Added afterwards.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// A step of AdamW (Loshchilov and Hutter, arXiv 1711.05101), the same for every element of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate; in 64 bits, because one less its product with the decay is near to one.
    pub rate: f64,
    /// Decay of the mean of gradients, 0.9 by default.
    pub beta_1: f32,
    /// Decay of the mean of squared gradients, 0.999 by default.
    pub beta_2: f32,
    /// Added to the root of that mean.
    pub eps: f32,
    /// Decoupled decay, in multiples of the rate.
    pub weight_decay: f32,
    /// The gradient's factor, for clipping.
    pub gradient_scale: f32,
    /// Steps of this tensor, this one counted.
    pub time: i32,
}

dispatched! {
    /// Softmax of each row of `columns` scores, in place.
    pub fn softmax(scores: &mut [f32], columns: usize) = softmax_body
}
dispatched! {
    /// Dropout in place.
    pub fn drop_out(x: &mut [f32], kept: Kept<'_>) = drop_out_body
}
dispatched! {
    /// From `weights = softmax(scores)` and the gradient of the weights after dropout to the gradient of the scores, in `grad`,
    /// and the weights after dropout, in `weights`.
    pub fn softmax_backward(weights: &mut [f32], grad: &mut [f32], columns: usize, kept: Kept<'_>) = softmax_backward_body
}
dispatched! {
    /// `x + bias` and its exact GELU, for rows of the bias's length.
    pub fn bias_gelu(x: &[f32], bias: &[f32], out: [&mut [f32]; 2]) = bias_gelu_body
}
dispatched! {
    /// `dropout(x) + residual` and its layer normalisation, for rows of the parameters' length.
    pub fn add_norm(x: &[f32], by: (&[f32], Kept<'_>), norm: LayerNorm<'_>, out: [&mut [f32]; 2]) = add_norm_body
}
dispatched! {
    /// From the gradient of the layer normalisation of `x` to that of `x`, in place. The gradients of weight and bias are added
    /// to `parameters`.
    pub fn norm_backward(grad: &mut [f32], x: &[f32], norm: LayerNorm<'_>, parameters: [&mut [f32]; 2]) =
        norm_backward_body
}
dispatched! {
    /// Adds every row of `x` to `sums`.
    pub fn add_rows(x: &[f32], sums: &mut [f32]) = add_rows_body
}
dispatched! {
    /// Moves `from` by `share` of what it is away from `to`.
    pub fn approach(from: &mut [f32], to: &[f32], share: f32) = approach_body
}
dispatched! {
    /// The sum of the squares.
    pub fn squares(x: &[f32]) -> f32 = squares_body
}
dispatched! {
    /// A step of AdamW on `parameters` and its two moments.
    pub fn adamw(parameters: &mut [f32], moments: [&mut [f32]; 2], grad: &[f32], step: AdamW) = adamw_body
}

#[inline(always)]
fn softmax_body(scores: &mut [f32], columns: usize) {
    for row in scores.chunks_exact_mut(columns.max(1)) {
        let most = fold(row, f32::MIN, greater, greater);
        row.iter_mut().for_each(|score| *score = exp_neg(*score - most));
        let factor = 1.0 / fold(row, 0.0, |sum, x| sum + x, |a, b| a + b);
        row.iter_mut().for_each(|weight| *weight *= factor);
    }
}

impl Kept<'_> {
    #[inline(always)]
    fn factor(self, byte: u8) -> f32 {
        if u16::from(byte) < self.limit { self.scale } else { 0.0 }
    }
}

#[inline(always)]
fn drop_out_body(x: &mut [f32], kept: Kept<'_>) {
    for (x, byte) in x.iter_mut().zip(kept.bytes) {
        *x *= kept.factor(*byte);
    }
}

#[inline(always)]
fn softmax_backward_body(weights: &mut [f32], grad: &mut [f32], columns: usize, kept: Kept<'_>) {
    let columns = columns.max(1);
    let rows = weights.chunks_exact_mut(columns).zip(grad.chunks_exact_mut(columns));
    for ((weights, grad), bytes) in rows.zip(kept.bytes.chunks_exact(columns)) {
        for (grad, byte) in grad.iter_mut().zip(bytes) {
            *grad *= kept.factor(*byte);
        }
        let total = crate::pointwise::dot_body(weights, grad);
        for ((weight, grad), byte) in weights.iter_mut().zip(grad).zip(bytes) {
            *grad = *weight * (*grad - total);
            *weight *= kept.factor(*byte);
        }
    }
}

/// Mean, and one by the root of the variance.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = fold(row, 0.0, |sum, x| sum + x, |a, b| a + b) / count;
    let variance = fold(row, 0.0, |sum, x| (x - mean).mul_add(x - mean, sum), |a, b| a + b) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

#[inline(always)]
fn bias_gelu_body(x: &[f32], bias: &[f32], [sum, out]: [&mut [f32]; 2]) {
    let features = bias.len().max(1);
    let rows = sum.chunks_exact_mut(features).zip(out.chunks_exact_mut(features));
    for (x, (sum, out)) in x.chunks_exact(features).zip(rows) {
        for (((x, bias), sum), out) in x.iter().zip(bias).zip(sum).zip(out) {
            *sum = x + bias;
            *out = gelu(*sum);
        }
    }
}

#[inline(always)]
fn add_norm_body(x: &[f32], (residual, kept): (&[f32], Kept<'_>), norm: LayerNorm<'_>, [sum, out]: [&mut [f32]; 2]) {
    let features = norm.weight.len().max(1);
    let given = x.chunks_exact(features).zip(residual.chunks_exact(features)).zip(kept.bytes.chunks_exact(features));
    let rows = sum.chunks_exact_mut(features).zip(out.chunks_exact_mut(features));
    for (((x, residual), bytes), (sum, out)) in given.zip(rows) {
        for (((sum, x), residual), byte) in sum.iter_mut().zip(x).zip(residual).zip(bytes) {
            *sum = x.mul_add(kept.factor(*byte), *residual);
        }
        let (mean, factor) = moments(sum, norm.eps);
        for (((out, sum), weight), bias) in out.iter_mut().zip(sum).zip(norm.weight).zip(norm.bias) {
            *out = ((*sum - mean) * factor).mul_add(*weight, *bias);
        }
    }
}

#[inline(always)]
fn norm_backward_body(grad: &mut [f32], x: &[f32], norm: LayerNorm<'_>, [weights, biases]: [&mut [f32]; 2]) {
    let features = norm.weight.len().max(1);
    let mut scaled = vec![0.0; features];
    for (grad, x) in grad.chunks_exact_mut(features).zip(x.chunks_exact(features)) {
        let (mean, factor) = moments(x, norm.eps);
        for (((grad, x), weight), bias) in grad.iter().zip(x).zip(&mut *weights).zip(&mut *biases) {
            *weight = grad.mul_add((x - mean) * factor, *weight);
            *bias += grad;
        }
        for (((scaled, grad), x), weight) in scaled.iter_mut().zip(&mut *grad).zip(x).zip(norm.weight) {
            *grad *= weight;
            *scaled = *grad * ((x - mean) * factor);
        }
        let count = features as f32;
        let along = fold(&scaled, 0.0, |sum, x| sum + x, |a, b| a + b) / count;
        let level = fold(grad, 0.0, |sum, x| sum + x, |a, b| a + b) / count;
        for (grad, x) in grad.iter_mut().zip(x) {
            *grad = factor * (*grad - level - (x - mean) * factor * along);
        }
    }
}

#[inline(always)]
fn add_rows_body(x: &[f32], sums: &mut [f32]) {
    for row in x.chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

#[inline(always)]
fn approach_body(from: &mut [f32], to: &[f32], share: f32) {
    from.iter_mut().zip(to).for_each(|(from, to)| *from = (to - *from).mul_add(share, *from));
}

#[inline(always)]
fn squares_body(x: &[f32]) -> f32 {
    fold(x, 0.0, |sum, x| x.mul_add(x, sum), |a, b| a + b)
}

#[inline(always)]
fn adamw_body(parameters: &mut [f32], [first, second]: [&mut [f32]; 2], grad: &[f32], step: AdamW) {
    let (kept, rate) = ((1.0 - step.rate * f64::from(step.weight_decay)) as f32, step.rate as f32);
    let [correct_1, correct_2] = [step.beta_1, step.beta_2].map(|beta| 1.0 / (1.0 - beta.powi(step.time)));
    for (((parameter, first), second), grad) in parameters.iter_mut().zip(first).zip(second).zip(grad) {
        let grad = grad * step.gradient_scale;
        *first = first.mul_add(step.beta_1, grad * (1.0 - step.beta_1));
        *second = second.mul_add(step.beta_2, grad * grad * (1.0 - step.beta_2));
        let delta = *first * correct_1 / ((*second * correct_2).sqrt() + step.eps);
        *parameter = parameter.mul_add(kept, -rate * delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{changed, check_compiled, random};

    /// Both slices after `change`, one after the other.
    fn both(one: &[f32], other: &[f32], change: impl FnOnce(&mut [f32], &mut [f32])) -> Vec<f32> {
        let (mut one, mut other) = (one.to_vec(), other.to_vec());
        change(&mut one, &mut other);
        [one, other].concat()
    }

    /// What they are is tested where Burn's own operations are at hand.
    #[test]
    fn functions_give_the_same_whatever_they_are_compiled_for() {
        for columns in [1, 15, 64, 65, 200] {
            let count = 3 * columns;
            let [x, y, z] = [1, 2, 3].map(|seed| random(count, seed));
            let [weight, bias] = [4, 5].map(|seed| random(columns, seed));
            let bytes: Vec<u8> = (0..count).map(|at| (at * 37 % 256) as u8).collect();
            let kept = Kept { bytes: &bytes, limit: 200, scale: 1.28 };
            let norm = LayerNorm { weight: &weight, bias: &bias, eps: 1e-3 };
            let weights = changed(&x, |x| softmax(x, columns));
            check_compiled("softmax", || changed(&x, |x| softmax(x, columns)));
            check_compiled("dropout", || changed(&x, |x| drop_out(x, kept)));
            check_compiled("the gradient of softmax", || {
                both(&weights, &y, |weights, grad| softmax_backward(weights, grad, columns, kept))
            });
            check_compiled("GELU", || both(&z, &z, |sum, out| bias_gelu(&x, &bias, [sum, out])));
            check_compiled("the normalisation", || both(&z, &z, |sum, out| add_norm(&x, (&y, kept), norm, [sum, out])));
            check_compiled("the gradient of the normalisation", || {
                let (mut grad, mut weights, mut biases) = (y.clone(), weight.clone(), bias.clone());
                norm_backward(&mut grad, &x, norm, [&mut weights, &mut biases]);
                [grad, weights, biases].concat()
            });
            check_compiled("the sum of rows", || changed(&bias, |sums| add_rows(&x, sums)));
            check_compiled("the average", || changed(&x, |from| approach(from, &y, 0.3)));
            check_compiled("the sum of squares", || vec![squares(&x)]);
            let squared: Vec<f32> = z.iter().map(|z| z * z).collect();
            check_compiled("a step of AdamW", || {
                let (mut parameters, mut first, mut second) = (x.clone(), y.clone(), squared.clone());
                let by = AdamW {
                    rate: 1e-2,
                    beta_1: 0.9,
                    beta_2: 0.999,
                    eps: 1e-8,
                    weight_decay: 0.1,
                    gradient_scale: 0.5,
                    time: 3,
                };
                adamw(&mut parameters, [&mut first, &mut second], &z, by);
                [parameters, first, second].concat()
            });
        }
    }
}
