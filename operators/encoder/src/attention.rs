//! Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) of one window, in `f32`, without a mask: the window is not
//! padded.
//!
//! A few queries at a time see all keys: their scores stay in the nearest cache between the two products.

use crate::pointwise::{dispatched, exp_neg, fold, greater};

/// Keys are padded to a multiple of this, which every kernel's width divides.
const KEYS: usize = 32;
/// Queries at a time, at most.
const QUERIES: usize = 8;
/// The score of a key that is not there: its weight underflows to nothing.
const NO_KEY: f32 = -1e30;

/// Memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// A head's keys in blocks of a vector's width: `[keys / width, size, width]`.
    keys: Vec<f32>,
    /// A head's values in blocks of a vector's width: `[size / width, keys, width]`.
    values: Vec<f32>,
    /// `[QUERIES, keys]`.
    scores: Vec<f32>,
}

/// One head's part of a window's queries (scaled already), keys and values.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    /// `[tokens, 3, hidden]`.
    pub(crate) projected: &'a [f32],
    pub(crate) hidden: usize,
    /// Features of a head, and which of `hidden` is its first.
    pub(crate) size: usize,
    pub(crate) first: usize,
}

impl Head<'_> {
    fn tokens(&self) -> usize {
        self.projected.len() / (3 * self.hidden)
    }

    /// The query (0), key (1) or value (2) of a token.
    #[inline(always)]
    fn part(&self, token: usize, part: usize) -> &[f32] {
        &self.projected[(3 * token + part) * self.hidden + self.first..][..self.size]
    }
}

dispatched! {
    /// Writes the head's columns of `context`, `[tokens, hidden]`.
    pub(crate) fn attend(head: Head<'_>, buffers: &mut Buffers, context: &mut [f32]) =
        [attend_body::<8, 32>, attend_body::<4, 16>, attend_body::<4, 4>]
}

/// `Q` queries with vectors of `L` numbers at a time: their `Q · L` sums fit the registers.
#[inline(always)]
fn attend_body<const Q: usize, const L: usize>(head: Head<'_>, buffers: &mut Buffers, context: &mut [f32]) {
    pack::<L>(head, buffers);
    let (tokens, keys) = (head.tokens(), head.tokens().next_multiple_of(KEYS));
    let scores = &mut buffers.scores[..Q * keys];
    for first in (0..tokens).step_by(Q) {
        // The last queries stand in for those that are missing at the end of the window.
        let queries: [&[f32]; Q] = std::array::from_fn(|q| head.part((first + q).min(tokens - 1), 0));
        score::<Q, L>(queries, buffers.keys.as_chunks::<L>().0, scores);
        let mut factors = [0f32; Q];
        for (row, factor) in scores.chunks_exact_mut(keys).zip(&mut factors) {
            row[tokens..].fill(NO_KEY);
            *factor = 1.0 / exponentials(row);
        }
        let weights: [&[f32]; Q] = std::array::from_fn(|q| &scores[q * keys..][..tokens]);
        for (block, values) in buffers.values.as_chunks::<L>().0.chunks_exact(tokens).enumerate() {
            let mut sums = weigh::<Q, L>(weights, values);
            for (q, sums) in sums.iter_mut().enumerate().take(tokens - first) {
                sums.iter_mut().for_each(|sum| *sum *= factors[q]);
                let out = &mut context[(first + q) * head.hidden + head.first..][..head.size][block * L..];
                let width = out.len().min(L);
                out[..width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

/// Lays a head's keys and values out for vectors of `L` numbers.
#[inline(always)]
fn pack<const L: usize>(head: Head<'_>, buffers: &mut Buffers) {
    let (tokens, size) = (head.tokens(), head.size);
    let keys = tokens.next_multiple_of(KEYS);
    let blocks = size.div_ceil(L);
    buffers.keys.clear();
    buffers.keys.resize(keys * size, 0.0);
    buffers.values.clear();
    buffers.values.resize(blocks * tokens * L, 0.0);
    buffers.scores.resize(buffers.scores.len().max(QUERIES * keys), 0.0);
    for token in 0..tokens {
        let block = &mut buffers.keys[token / L * size * L..][..size * L];
        for (key, column) in head.part(token, 1).iter().zip(block.as_chunks_mut::<L>().0) {
            column[token % L] = *key;
        }
        for (block, values) in head.part(token, 2).chunks(L).enumerate() {
            buffers.values[(block * tokens + token) * L..][..values.len()].copy_from_slice(values);
        }
    }
}

/// `scores[q] = queries[q] · keys`, for `keys` `[blocks, size, L]`.
#[inline(always)]
fn score<const Q: usize, const L: usize>(queries: [&[f32]; Q], keys: &[[f32; L]], scores: &mut [f32]) {
    let (size, stride) = (queries[0].len(), scores.len() / Q);
    for (block, keys) in keys.chunks_exact(size).enumerate() {
        let sums = weigh::<Q, L>(queries, keys);
        for (q, sums) in sums.iter().enumerate() {
            scores[q * stride + block * L..][..L].copy_from_slice(sums);
        }
    }
}

/// `Σ weights[q][i] · rows[i]` for every `q`.
#[inline(always)]
fn weigh<const Q: usize, const L: usize>(weights: [&[f32]; Q], rows: &[[f32; L]]) -> [[f32; L]; Q] {
    let mut sums = [[0f32; L]; Q];
    let weights = weights.map(|weights| &weights[..rows.len()]);
    for (i, row) in rows.iter().enumerate() {
        for q in 0..Q {
            let weight = weights[q][i];
            for lane in 0..L {
                sums[q][lane] = weight.mul_add(row[lane], sums[q][lane]);
            }
        }
    }
    sums
}

/// `row ← exp(row − max)`, and its sum: softmax but for the division.
#[inline(always)]
fn exponentials(row: &mut [f32]) -> f32 {
    let most = fold(row, NO_KEY, greater, greater);
    row.iter_mut().for_each(|score| *score = exp_neg(*score - most));
    fold(row, 0.0, |sum, x| sum + x, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    /// One head in the middle of others, in 64 bits.
    fn check(tokens: usize, size: usize) {
        let (hidden, first) = (3 * size, size);
        let mut random = SmallRng::seed_from_u64(tokens as u64);
        let projected: Vec<f32> = (0..tokens * 3 * hidden).map(|_| random.random_range(-2.0..2.0)).collect();
        let head = Head { projected: &projected, hidden, size, first };
        let mut want = vec![7.0; tokens * hidden];
        for query in 0..tokens {
            let score = |key: usize| -> f64 {
                let pairs = head.part(query, 0).iter().zip(head.part(key, 1));
                pairs.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum()
            };
            let weights: Vec<f64> = (0..tokens).map(|key| score(key).exp()).collect();
            let total: f64 = weights.iter().sum();
            for feature in 0..size {
                let value = |(key, weight): (usize, &f64)| weight * f64::from(head.part(key, 2)[feature]);
                want[query * hidden + first + feature] = weights.iter().enumerate().map(value).sum::<f64>() / total;
            }
        }
        type Attend = fn(Head<'_>, &mut Buffers, &mut [f32]);
        let kernels: [Attend; 4] = [attend, attend_body::<8, 32>, attend_body::<4, 16>, attend_body::<4, 4>];
        let mut buffers = Buffers::default();
        for kernel in kernels {
            // A longer window before must leave nothing behind.
            let longer = vec![9.0; (tokens + 40) * 3 * hidden];
            kernel(Head { projected: &longer, ..head }, &mut buffers, &mut vec![0.0; (tokens + 40) * hidden]);
            let mut context = vec![7.0f32; tokens * hidden];
            kernel(head, &mut buffers, &mut context);
            for (ours, want) in context.iter().zip(&want) {
                assert!((f64::from(*ours) - want).abs() < 1e-5, "{ours} is not {want}: {tokens} tokens of {size}");
            }
        }
    }

    #[test]
    fn attention_is_that_of_the_definition_whatever_the_length() {
        for (tokens, size) in [(1, 16), (2, 32), (7, 6), (31, 32), (32, 64), (33, 40), (65, 32)] {
            check(tokens, size);
        }
    }
}
