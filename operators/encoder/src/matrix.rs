//! A linear layer with its weights in 8 bits, packed for the kernels.

use crate::kernel::{COLUMNS, GROUP, Group, INPUTS_MAX, Kernel, ROWS, Rows, Tile};
use crate::pointwise::{dispatched, gelu};
use crate::quantise::{Affine, Quantised};
use std::ops::Range;

/// A linear layer: weights `[outputs, inputs]` as `scale[output] · i8`, and a bias `[outputs]`.
///
/// The scale of a row maps its largest weight to 127 (symmetric, as stillroom stores students), so that a student's weights are
/// taken over as they are. With activations `scale · (byte − zero)` a sum of products is
/// `scale · scale[output] · (Σ byte · i8 − zero · Σ i8)`, all in integers but the scales.
#[derive(Clone)]
pub struct Matrix {
    /// Groups of one panel after the other.
    groups: Vec<Group>,
    panels: Vec<Panel>,
    inputs: usize,
    outputs: usize,
}

/// What is known of each column of a panel; zeros beyond the last output.
#[derive(Clone)]
struct Panel {
    scales: [f32; COLUMNS],
    sums: [i32; COLUMNS],
    bias: [f32; COLUMNS],
}

/// What happens to the outputs of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// They are written.
    Write,
    /// Their exact GELU is written.
    Gelu,
    /// They are added to what is there: a residual connection.
    Add,
}

impl Matrix {
    /// Packs weights `[outputs, inputs]` with the bias `[outputs]`.
    ///
    /// # Panics
    /// When the number of weights is not a positive multiple of the number of outputs, or the inputs are more than 4096, whose
    /// sums could overflow.
    pub fn pack(weights: &[f32], bias: &[f32]) -> Matrix {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len().max(1));
        assert!(inputs > 0 && inputs * outputs == weights.len(), "weights are [outputs, inputs]");
        assert!(inputs <= INPUTS_MAX, "sums of {inputs} products could overflow");
        let groups_each = inputs.div_ceil(GROUP);
        let mut groups = vec![Group([[0; GROUP]; COLUMNS]); outputs.div_ceil(COLUMNS) * groups_each];
        let mut panels = Vec::new();
        for (panel_groups, first) in groups.chunks_exact_mut(groups_each).zip((0..outputs).step_by(COLUMNS)) {
            let mut panel = Panel { scales: [0.0; COLUMNS], sums: [0; COLUMNS], bias: [0.0; COLUMNS] };
            for (column, output) in (first..outputs.min(first + COLUMNS)).enumerate() {
                let row = &weights[output * inputs..][..inputs];
                let scale = row.iter().fold(0f32, |most, weight| most.max(weight.abs())) / 127.0;
                (panel.scales[column], panel.bias[column]) = (scale, bias[output]);
                for (input, weight) in row.iter().enumerate() {
                    // A row of zeros has scale 0 and stays zeros.
                    let byte = if scale > 0.0 { (weight / scale).round() as i8 } else { 0 };
                    panel_groups[input / GROUP].0[column][input % GROUP] = byte;
                    panel.sums[column] += i32::from(byte);
                }
            }
            panels.push(panel);
        }
        Matrix { groups, panels, inputs, outputs }
    }

    /// Multiplies the factors of all outputs in `range`, and their biases, by `factor`.
    pub(crate) fn scaled(mut self, range: Range<usize>, factor: f32) -> Matrix {
        for output in range {
            let (panel, column) = (&mut self.panels[output / COLUMNS], output % COLUMNS);
            panel.scales[column] *= factor;
            panel.bias[column] *= factor;
        }
        self
    }

    /// Features that go in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Features that come out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The layer on the rows of `x` from `first` on, as many as `out` has: `[rows, outputs]`.
    ///
    /// # Panics
    /// When `x` has other features or fewer rows, or the processor does not have the kernel.
    pub fn product(&self, kernel: Kernel, (x, first): (&Quantised, usize), after: After, out: &mut [f32]) {
        let rows = out.len() / self.outputs;
        let (Rows { quads, planes }, affine) = x.rows(first, rows);
        let groups = self.inputs.div_ceil(GROUP);
        let stride = groups * planes;
        assert_eq!(quads.len(), rows * stride, "activations of other features than the layer's inputs");
        let mut tile = Tile([[0; COLUMNS]; ROWS]);
        // A panel stays in the nearest cache while all rows pass by.
        for (index, (weights, panel)) in self.groups.chunks_exact(groups).zip(&self.panels).enumerate() {
            let column = index * COLUMNS;
            for ((quads, affine), out) in
                quads.chunks(ROWS * stride).zip(affine.chunks(ROWS)).zip(out.chunks_mut(ROWS * self.outputs))
            {
                kernel.tile(Rows { quads, planes }, weights, &mut tile);
                let width = COLUMNS.min(self.outputs - column);
                finish(&tile, (panel, affine), after, Target { out, stride: self.outputs, column, width });
            }
        }
    }
}

/// Where a tile's outputs go: `width` columns from `column` on, in rows of `stride`.
struct Target<'a> {
    out: &'a mut [f32],
    stride: usize,
    column: usize,
    width: usize,
}

dispatched! {
    /// From sums to outputs.
    fn finish(tile: &Tile, by: (&Panel, &[Affine]), after: After, target: Target<'_>) = finish_body
}

#[inline(always)]
fn finish_body(tile: &Tile, (panel, affine): (&Panel, &[Affine]), after: After, target: Target<'_>) {
    for ((sums, affine), out) in tile.0.iter().zip(affine).zip(target.out.chunks_mut(target.stride)) {
        let mut values = [0f32; COLUMNS];
        for column in 0..COLUMNS {
            let sum = (sums[column] - affine.zero * panel.sums[column]) as f32;
            values[column] = sum.mul_add(affine.scale * panel.scales[column], panel.bias[column]);
        }
        if after == After::Gelu {
            for value in &mut values {
                *value = gelu(*value);
            }
        }
        let out = &mut out[target.column..][..target.width];
        match (after, out.as_mut_array::<COLUMNS>()) {
            (After::Add, Some(out)) => out.iter_mut().zip(&values).for_each(|(out, value)| *out += value),
            (After::Add, None) => out.iter_mut().zip(&values).for_each(|(out, value)| *out += value),
            (_, Some(out)) => *out = values,
            (_, None) => out.copy_from_slice(&values[..out.len()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::tests::compiled_each;
    use crate::quantise::Levels;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    /// What the bytes of weights `[outputs, inputs]` say, found anew.
    fn rounded(weights: &[f32], inputs: usize) -> Vec<f32> {
        let row = |row: &[f32]| {
            let scale = row.iter().fold(0f32, |most, weight| most.max(weight.abs())) / 127.0;
            row.iter().map(|weight| (weight / scale).round() * scale).collect::<Vec<f32>>()
        };
        weights.chunks(inputs).flat_map(row).collect()
    }

    /// A layer of a shape by every kernel, and by every way to finish, against the layer in `f32` on the same rounded numbers.
    fn check([rows, inputs, outputs]: [usize; 3], levels: Levels) {
        let mut random = SmallRng::seed_from_u64((rows * inputs * outputs) as u64);
        let mut values = |count| (0..count).map(|_| random.random_range(-1.0f32..1.0)).collect::<Vec<f32>>();
        let (weights, bias, x, there) =
            (values(inputs * outputs), values(outputs), values(inputs * rows), values(outputs * rows));
        let matrix = Matrix::pack(&weights, &bias);
        assert_eq!((matrix.inputs(), matrix.outputs()), (inputs, outputs));
        let mut quantised = Quantised::default();
        quantised.reserve(rows + 1, inputs, levels);
        x.chunks(inputs).enumerate().for_each(|(row, values)| quantised.set(row + 1, values));
        for after in [After::Write, After::Gelu, After::Add] {
            let product = |kernel: Kernel| {
                let mut out = there.clone();
                matrix.product(kernel, (&quantised, 1), after, &mut out);
                out
            };
            let kernels = Kernel::ALL.into_iter().filter(|kernel| kernel.is_available());
            let mut answers = kernels.flat_map(|kernel| compiled_each(|| product(kernel)));
            let first = answers.next().unwrap();
            assert!(answers.all(|other| other == first), "kernels differ at {rows} x {inputs} x {outputs}");
            let weights = rounded(&weights, inputs);
            for (index, ours) in first.iter().enumerate() {
                let (row, output) = (index / outputs, index % outputs);
                let input = quantised.read(row + 1, inputs);
                let value = (0..inputs).map(|i| input[i] * weights[output * inputs + i]).sum::<f32>() + bias[output];
                let want = match after {
                    After::Write => value,
                    After::Gelu => gelu(value),
                    After::Add => value + there[index],
                };
                assert!((ours - want).abs() < 1e-4, "{ours} is not {want} at row {row}, output {output}");
            }
        }
    }

    #[test]
    fn a_layer_is_what_it_was_in_full_precision_whatever_its_shape() {
        for shape in [[1, 1, 1], [3, 7, 5], [8, 4, 48], [9, 64, 49], [17, 30, 97], [32, 384, 48]] {
            check(shape, Levels::Bits8);
            check(shape, Levels::Bits12);
        }
    }

    #[test]
    fn weights_that_were_in_8_bits_are_taken_over_as_they_are() {
        let bytes: Vec<i8> = (0..64).map(|i| if i == 9 { 127 } else { (i * 37 % 200) as i8 }).collect();
        let weights: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte.max(-127)) * 0.013).collect();
        let matrix = Matrix::pack(&weights, &[0.0]);
        let packed: Vec<i8> = matrix.groups.iter().flat_map(|group| group.0[0]).collect();
        assert_eq!(packed, bytes.iter().map(|&byte| byte.max(-127)).collect::<Vec<i8>>());
    }
}
