//! Activations in bytes: one scale and one zero point for every token, chosen from the token's own values (dynamic
//! quantisation, as in ONNX Runtime, but by token and not by window, which keeps a token's values free of its neighbours').

use crate::kernel::{GROUP, LOW_BITS, Rows};
use crate::pointwise::{dispatched, fold, greater, lesser};

/// How a row's levels are read: the value is `scale · (level − zero)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) zero: i32,
}

/// In how many levels a token's activations are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Levels {
    /// 256: one byte, and one pass of the products.
    #[default]
    Bits8,
    /// 4096: two planes of bytes, the high 8 bits and the low 4, and two passes of the products.
    Bits12,
}

impl Levels {
    pub(crate) fn planes(self) -> usize {
        match self {
            Levels::Bits8 => 1,
            Levels::Bits12 => 2,
        }
    }
}

/// Rows of activations in bytes, `[rows, planes, features]`, whose memory is used again.
#[derive(Clone, Debug, Default)]
pub struct Quantised {
    quads: Vec<[u8; GROUP]>,
    affine: Vec<Affine>,
    groups: usize,
    levels: Levels,
}

impl Quantised {
    /// Makes room for `rows` of `features` each. What the rows hold is not said before they are set.
    pub fn reserve(&mut self, rows: usize, features: usize, levels: Levels) {
        (self.groups, self.levels) = (features.div_ceil(GROUP), levels);
        self.quads.resize(self.quads.len().max(rows * self.stride()), [0; GROUP]);
        self.affine.resize(self.affine.len().max(rows), Affine::default());
    }

    /// Sets a row to what is nearest to `values`.
    ///
    /// # Panics
    /// When there is no room for the row.
    pub fn set(&mut self, row: usize, values: &[f32]) {
        let stride = self.stride();
        let quads = &mut self.quads[row * stride..][..stride];
        self.affine[row] = match self.levels {
            Levels::Bits8 => quantise8(values, quads.as_flattened_mut()),
            Levels::Bits12 => {
                let (high, low) = quads.split_at_mut(self.groups);
                quantise12(values, high.as_flattened_mut(), low.as_flattened_mut())
            }
        };
    }

    /// Groups of a row.
    fn stride(&self) -> usize {
        self.groups * self.levels.planes()
    }

    /// The groups and the scales of `count` rows from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> (Rows<'_>, &[Affine]) {
        let quads = &self.quads[first * self.stride()..][..count * self.stride()];
        (Rows { quads, planes: self.levels.planes() }, &self.affine[first..][..count])
    }
}

dispatched! {
    /// The levels nearest to `values`. Bytes beyond them stay what they are: the weights there are zero.
    fn quantise8(values: &[f32], bytes: &mut [u8]) -> Affine = quantise8_body
}
dispatched! {
    /// The same with 12 bits, of which `low` gets [`LOW_BITS`].
    fn quantise12(values: &[f32], high: &mut [u8], low: &mut [u8]) -> Affine = quantise12_body
}

#[inline(always)]
fn quantise8_body(values: &[f32], bytes: &mut [u8]) -> Affine {
    let range = Range::of(values, 255.0);
    for (byte, &value) in bytes.iter_mut().zip(values) {
        *byte = range.level(value) as u8;
    }
    range.affine()
}

#[inline(always)]
fn quantise12_body(values: &[f32], high: &mut [u8], low: &mut [u8]) -> Affine {
    let range = Range::of(values, 4095.0);
    for ((high, low), &value) in high.iter_mut().zip(low).zip(values) {
        let level = range.level(value);
        (*high, *low) = ((level >> LOW_BITS) as u8, (level & ((1 << LOW_BITS) - 1)) as u8);
    }
    range.affine()
}

/// The levels from 0 to `last` spread over a row's values and zero.
#[derive(Clone, Copy)]
struct Range {
    scale: f32,
    factor: f32,
    zero: f32,
    last: f32,
}

impl Range {
    #[inline(always)]
    fn of(values: &[f32], last: f32) -> Range {
        let most = fold(values, 0.0, greater, greater);
        let least = fold(values, 0.0, lesser, lesser);
        // A row of zeros has any scale; this one keeps the reciprocal finite.
        let scale = greater((most - least) / last, 1e-30);
        let factor = 1.0 / scale;
        Range { scale, factor, zero: (-least * factor).round_ties_even(), last }
    }

    #[inline(always)]
    fn level(&self, value: f32) -> u32 {
        /// `1.5 · 2^23`: added to a number of up to 22 bits, it leaves the nearest integer in the low bits of the mantissa.
        const ROUND: f32 = 12_582_912.0;
        let rounded = lesser(greater(value.mul_add(self.factor, self.zero), 0.0), self.last) + ROUND;
        rounded.to_bits() & 0xffff
    }

    #[inline(always)]
    fn affine(&self) -> Affine {
        Affine { scale: self.scale, zero: self.zero as i32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::{compiled_each, random};
    use proptest::prelude::*;

    impl Quantised {
        /// The values of a row as its levels are read.
        pub(crate) fn read(&self, row: usize, features: usize) -> Vec<f32> {
            let (rows, affine) = self.rows(row, 1);
            let planes: Vec<&[u8]> = rows.quads.chunks(self.groups).map(|plane| plane.as_flattened()).collect();
            let level = |i: usize| planes.iter().fold(0, |level, plane| 16 * level + i32::from(plane[i]));
            (0..features).map(|i| affine[0].scale * (level(i) - affine[0].zero) as f32).collect()
        }
    }

    proptest! {
        #[test]
        fn no_value_is_further_from_its_level_than_a_step(
            values in proptest::collection::vec(-50f32..90.0, 1..200),
        ) {
            for (levels, last) in [(Levels::Bits8, 255.0), (Levels::Bits12, 4095.0)] {
                let mut quantised = Quantised::default();
                quantised.reserve(2, values.len(), levels);
                quantised.set(1, &values);
                let range = values.iter().fold(0f32, |a, &b| a.max(b)) - values.iter().fold(0f32, |a, &b| a.min(b));
                for (read, value) in quantised.read(1, values.len()).into_iter().zip(&values) {
                    // Half a step for the value and half a step for the zero point.
                    prop_assert!((read - value).abs() <= range / last * 1.001, "{} is read as {}", value, read);
                }
            }
        }
    }

    #[test]
    fn levels_are_the_same_whatever_the_function_is_compiled_for() {
        for features in [1, 15, 64, 65, 200] {
            let values = random(features, 5);
            for levels in [Levels::Bits8, Levels::Bits12] {
                let [widest, others @ ..] = compiled_each(|| {
                    let mut quantised = Quantised::default();
                    quantised.reserve(1, features, levels);
                    quantised.set(0, &values);
                    (quantised.quads, quantised.affine)
                });
                assert!(others.iter().all(|other| *other == widest), "{features} features in {levels:?}");
            }
        }
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        for levels in [Levels::Bits8, Levels::Bits12] {
            let mut quantised = Quantised::default();
            quantised.reserve(1, 5, levels);
            quantised.set(0, &[0.0; 5]);
            assert_eq!(quantised.read(0, 5), [0.0; 5]);
        }
    }
}
