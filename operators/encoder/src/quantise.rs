//! Activations in bytes: one scale and one zero point for every token, chosen from the token's own values (dynamic
//! quantisation, as in ONNX Runtime, but by token and not by window, which keeps a token's values free of its neighbours').

use crate::kernel::GROUP;
use crate::pointwise::{dispatched, fold, greater, lesser};

/// How a row's bytes are read: the value is `scale · (byte − zero)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: f32,
    pub(crate) zero: i32,
}

/// Rows of activations in bytes, `[rows, features]`, whose memory is used again.
#[derive(Clone, Debug, Default)]
pub struct Quantised {
    quads: Vec<[u8; GROUP]>,
    affine: Vec<Affine>,
    groups: usize,
}

impl Quantised {
    /// Makes room for `rows` of `features` each. What the rows hold is not said before they are set.
    pub fn reserve(&mut self, rows: usize, features: usize) {
        self.groups = features.div_ceil(GROUP);
        self.quads.resize(self.quads.len().max(rows * self.groups), [0; GROUP]);
        self.affine.resize(self.affine.len().max(rows), Affine::default());
    }

    /// Sets a row to what is nearest to `values`.
    ///
    /// # Panics
    /// When there is no room for the row.
    pub fn set(&mut self, row: usize, values: &[f32]) {
        let quads = &mut self.quads[row * self.groups..][..self.groups];
        self.affine[row] = quantise(values, quads.as_flattened_mut());
    }

    /// The groups and the scales of `count` rows from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> (&[[u8; GROUP]], &[Affine]) {
        (&self.quads[first * self.groups..][..count * self.groups], &self.affine[first..][..count])
    }
}

dispatched! {
    /// The bytes nearest to `values`. Bytes beyond them stay what they are: the weights there are zero.
    fn quantise(values: &[f32], bytes: &mut [u8]) -> Affine = quantise_body
}

#[inline(always)]
fn quantise_body(values: &[f32], bytes: &mut [u8]) -> Affine {
    /// `1.5 · 2^23`: added to a number of up to 22 bits, it leaves the nearest integer in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    let most = fold(values, 0.0, greater, greater);
    let least = fold(values, 0.0, lesser, lesser);
    // A row of zeros has any scale; this one keeps the reciprocal finite.
    let scale = greater((most - least) / 255.0, 1e-30);
    let factor = 1.0 / scale;
    let zero = (-least * factor).round_ties_even();
    for (byte, &value) in bytes.iter_mut().zip(values) {
        let rounded = lesser(greater(value.mul_add(factor, zero), 0.0), 255.0) + ROUND;
        *byte = rounded.to_bits() as u8;
    }
    Affine { scale, zero: zero as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_value_is_further_from_its_byte_than_a_step(
            values in proptest::collection::vec(-50f32..90.0, 1..200),
        ) {
            let mut quantised = Quantised::default();
            quantised.reserve(2, values.len());
            quantised.set(1, &values);
            let (quads, affine) = quantised.rows(1, 1);
            for (&byte, &value) in quads.as_flattened().iter().zip(&values) {
                let read = affine[0].scale * (i32::from(byte) - affine[0].zero) as f32;
                // Half a step for the value and half a step for the zero point.
                prop_assert!((read - value).abs() <= affine[0].scale * 1.0001, "{value} is read as {read}");
            }
        }
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let mut quantised = Quantised::default();
        quantised.reserve(1, 5);
        quantised.set(0, &[0.0; 5]);
        let (quads, affine) = quantised.rows(0, 1);
        assert!(quads.as_flattened()[..5].iter().all(|&byte| i32::from(byte) == affine[0].zero));
    }
}
