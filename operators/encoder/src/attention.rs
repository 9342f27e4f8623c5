//! Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) of one window, in `f32`, without a mask: the window is not
//! padded.
//!
//! A vector holds one number of several queries, so that softmax has no sums or maxima across a vector. The scores of a vector
//! of queries with all keys stay in the nearest cache between the two products.

mod weigh;

use weigh::{Avx2, Avx512, Portable, Weigh};

use crate::pointwise::{dispatched, exp_neg, greater};

/// Memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// A head's queries, in vectors: `[queries / L, size, L]`.
    queries: Vec<f32>,
    /// A head's keys, in blocks: `[keys / Q, size, Q]`.
    keys: Vec<f32>,
    /// A head's values, in blocks: `[size / Q, keys, Q]`.
    values: Vec<f32>,
    /// The scores of a vector of queries: `[keys, L]`.
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
        [attend_body::<Avx512, 8, 32>, attend_body::<Avx2, 4, 16>, attend_body::<Portable, 4, 8>]
}

/// `Q` keys or features with vectors of `L` queries at a time: their `Q · L` sums fit the registers.
#[inline(always)]
fn attend_body<W: Weigh<Q, L>, const Q: usize, const L: usize>(
    head: Head<'_>,
    buffers: &mut Buffers,
    context: &mut [f32],
) {
    pack::<Q, L>(head, buffers);
    let (tokens, size) = (head.tokens(), head.size);
    let scores = buffers.scores.as_chunks_mut::<L>().0;
    let keys = buffers.keys.as_chunks::<Q>().0;
    let values = buffers.values.as_chunks::<Q>().0;
    let queries = buffers.queries.as_chunks::<L>().0;
    let mut sums = [[0f32; L]; Q];
    let rows = context.chunks_mut(L * head.hidden);
    for (queries, rows) in queries.chunks_exact(size).zip(rows) {
        for (keys, scores) in keys.chunks_exact(size).zip(scores.as_chunks_mut::<Q>().0) {
            W::weigh(keys, queries, scores);
        }
        // The scores of keys that only fill the last block are beyond `tokens`.
        let factors = exponentials(&mut scores[..tokens]);
        for (block, values) in values.chunks_exact(tokens).enumerate() {
            W::weigh(values, &scores[..tokens], &mut sums);
            for sums in &mut sums {
                sums.iter_mut().zip(&factors).for_each(|(sum, factor)| *sum *= factor);
            }
            for (lane, row) in rows.chunks_exact_mut(head.hidden).enumerate() {
                let out = &mut row[head.first..][..size][block * Q..];
                out.iter_mut().zip(&sums).for_each(|(out, sums)| *out = sums[lane]);
            }
        }
    }
}

/// Lays a head out for `Q` keys or features and vectors of `L` queries at a time.
#[inline(always)]
fn pack<const Q: usize, const L: usize>(head: Head<'_>, buffers: &mut Buffers) {
    let (tokens, size) = (head.tokens(), head.size);
    let blocks = tokens.div_ceil(Q);
    buffers.queries.resize(tokens.div_ceil(L) * size * L, 0.0);
    buffers.keys.resize(blocks * size * Q, 0.0);
    buffers.values.resize(size.div_ceil(Q) * tokens * Q, 0.0);
    buffers.scores.resize(blocks * Q * L, 0.0);
    for token in 0..tokens {
        spread::<L>(head.part(token, 0), &mut buffers.queries[token / L * size * L..], token % L);
        spread::<Q>(head.part(token, 1), &mut buffers.keys[token / Q * size * Q..], token % Q);
        for (block, values) in head.part(token, 2).chunks(Q).enumerate() {
            buffers.values[(block * tokens + token) * Q..][..values.len()].copy_from_slice(values);
        }
    }
}

/// Writes `row` as a column of `[size, N]`.
#[inline(always)]
fn spread<const N: usize>(row: &[f32], block: &mut [f32], column: usize) {
    for (value, out) in row.iter().zip(block.as_chunks_mut::<N>().0) {
        out[column] = *value;
    }
}

/// `scores ← exp(scores − max)` for every lane, and one by their sum: softmax but for the multiplication.
#[inline(always)]
fn exponentials<const L: usize>(scores: &mut [[f32; L]]) -> [f32; L] {
    let mut most = [f32::MIN; L];
    for row in scores.iter() {
        for lane in 0..L {
            most[lane] = greater(most[lane], row[lane]);
        }
    }
    let mut sums = [0f32; L];
    for row in scores.iter_mut() {
        for lane in 0..L {
            let weight = exp_neg(row[lane] - most[lane]);
            row[lane] = weight;
            sums[lane] += weight;
        }
    }
    sums.map(|sum| 1.0 / sum)
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
        let mut kernels: Vec<Attend> = vec![attend, attend_body::<Portable, 8, 32>, attend_body::<Portable, 4, 8>];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(attend_body::<Avx2, 4, 16>);
        }
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
