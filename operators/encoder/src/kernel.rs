//! The product of bytes that everything rests on: a few rows of activations (`u8`) with a panel of weights (`i8`), added up in
//! `i32`.
//!
//! Both are in groups of four along the inputs, which is what the instruction `vpdpbusd` multiplies and adds in one step. The
//! sums are exact on every processor: no kernel saturates, so that all give the same integers.
//!
//! Activations of more than 8 bits come in two planes of bytes, the high bits first, which pass by the same weights one after
//! the other.

#[cfg(target_arch = "x86_64")]
mod x86;

/// Inputs that are multiplied and added in one step.
pub(crate) const GROUP: usize = 4;
/// Bits of an activation in its second plane.
pub(crate) const LOW_BITS: u32 = 4;
/// Inputs whose sums of products of 12 bits with 8 bits are sure to fit `i32`.
pub(crate) const INPUTS_MAX: usize = 4096;
/// Rows of a tile. With three vectors of columns 24 of 32 registers are sums: more than the latency of `vpdpbusd` times its
/// throughput, and divisors of BERT's sizes (384, 768, 1536, 3072) for the columns.
pub(crate) const ROWS: usize = 8;
/// Columns of a panel.
pub(crate) const COLUMNS: usize = 48;

/// Four inputs of each of a panel's columns, `[COLUMNS, GROUP]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Group(pub(crate) [[i8; GROUP]; COLUMNS]);

/// Rows of activations, `[rows, planes, groups]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) quads: &'a [[u8; GROUP]],
    pub(crate) planes: usize,
}

/// Sums `[ROWS, COLUMNS]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Tile(pub(crate) [[i32; COLUMNS]; ROWS]);

/// How bytes are multiplied. All kernels give the same integers; [`Kernel::fastest`] is what the processor does best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `vpdpbusd` on 512 bits (AVX-512 VNNI).
    Vnni512,
    /// `vpdpbusd` on 256 bits (AVX-VNNI).
    Vnni256,
    /// AVX2, by widening to 16 bits: `vpmaddubsw` would saturate.
    Avx2,
    /// Any processor.
    Portable,
}

impl Kernel {
    /// All kernels, the fastest first.
    pub const ALL: [Kernel; 4] = [Kernel::Vnni512, Kernel::Vnni256, Kernel::Avx2, Kernel::Portable];

    /// The fastest one that this processor has.
    pub fn fastest() -> Kernel {
        Kernel::ALL.into_iter().find(|kernel| kernel.is_available()).unwrap_or(Kernel::Portable)
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return match self {
            Kernel::Vnni512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"),
            Kernel::Vnni256 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
            Kernel::Avx2 => is_x86_feature_detected!("avx2"),
            Kernel::Portable => true,
        };
        #[cfg(not(target_arch = "x86_64"))]
        return self == Kernel::Portable;
    }

    /// Rows whose sums fit the registers beside the weights.
    fn rows_max(self) -> usize {
        if self == Kernel::Vnni512 { ROWS } else { ROWS / 2 }
    }

    /// The sums of up to [`ROWS`] rows, which have as many groups as `panel`, with the columns of `panel`. Further rows of
    /// `tile` keep what they had.
    ///
    /// # Panics
    /// When this processor does not have the kernel.
    pub(crate) fn tile(self, rows: Rows<'_>, panel: &[Group], tile: &mut Tile) {
        assert!(self.is_available(), "{self:?} is not a kernel of this processor");
        let (rows_max, stride) = (self.rows_max(), (panel.len() * rows.planes).max(1));
        for (quads, sums) in rows.quads.chunks(rows_max * stride).zip(tile.0.chunks_mut(rows_max)) {
            match quads.len() / stride {
                0 => {}
                1 => self.sum(split::<1>(quads, stride), panel, sums),
                2 => self.sum(split::<2>(quads, stride), panel, sums),
                3 => self.sum(split::<3>(quads, stride), panel, sums),
                4 => self.sum(split::<4>(quads, stride), panel, sums),
                5 => self.sum(split::<5>(quads, stride), panel, sums),
                6 => self.sum(split::<6>(quads, stride), panel, sums),
                7 => self.sum(split::<7>(quads, stride), panel, sums),
                _ => self.sum(split::<ROWS>(quads, stride), panel, sums),
            }
        }
    }

    /// The kernel for `R` rows: each number of rows is compiled by itself, so that the sums stay in registers.
    fn sum<const R: usize>(self, rows: [&[[u8; GROUP]]; R], panel: &[Group], sums: &mut [[i32; COLUMNS]]) {
        #[cfg(target_arch = "x86_64")]
        match self {
            // SAFETY: `tile` has asserted that the processor has the features.
            Kernel::Vnni512 => unsafe { x86::vnni512(rows, panel, sums) },
            // SAFETY: as above.
            Kernel::Vnni256 => unsafe { x86::vnni256(rows, panel, sums) },
            // SAFETY: as above.
            Kernel::Avx2 => unsafe { x86::avx2(rows, panel, sums) },
            Kernel::Portable => portable(rows, panel, sums),
        }
        #[cfg(not(target_arch = "x86_64"))]
        portable(rows, panel, sums);
    }
}

/// The first `R` rows of `stride` groups.
#[inline(always)]
fn split<const R: usize>(quads: &[[u8; GROUP]], stride: usize) -> [&[[u8; GROUP]]; R] {
    std::array::from_fn(|row| &quads[row * stride..][..stride])
}

fn portable<const R: usize>(rows: [&[[u8; GROUP]]; R], panel: &[Group], sums: &mut [[i32; COLUMNS]]) {
    for (row, sums) in rows.into_iter().zip(sums) {
        *sums = [0; COLUMNS];
        for plane in row.chunks_exact(panel.len()) {
            sums.iter_mut().for_each(|sum| *sum <<= LOW_BITS);
            for (inputs, group) in plane.iter().zip(panel) {
                let inputs = inputs.map(i32::from);
                for (sum, weights) in sums.iter_mut().zip(&group.0) {
                    let weights = weights.map(i32::from);
                    *sum += inputs.iter().zip(&weights).map(|(input, weight)| input * weight).sum::<i32>();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kernels() -> impl Iterator<Item = Kernel> {
        Kernel::ALL.into_iter().filter(|kernel| kernel.is_available())
    }

    /// The definition, in the order of the definition.
    fn check(rows: Rows<'_>, panel: &[Group]) {
        let values: Vec<_> = rows.quads.chunks_exact(panel.len() * rows.planes).collect();
        for kernel in kernels() {
            let mut tile = Tile([[i32::MIN; COLUMNS]; ROWS]);
            kernel.tile(rows, panel, &mut tile);
            for (row, sums) in tile.0.iter().enumerate() {
                for (column, &sum) in sums.iter().enumerate() {
                    let product = |(input, group): (&[u8; GROUP], &Group)| -> i32 {
                        (0..GROUP).map(|i| i32::from(input[i]) * i32::from(group.0[column][i])).sum()
                    };
                    let plane = |plane: &[[u8; GROUP]]| plane.iter().zip(panel).map(product).sum::<i32>();
                    let join = |high: i32, low: &[[u8; GROUP]]| 16 * high + plane(low);
                    let want =
                        values.get(row).map_or(i32::MIN, |inputs| inputs.chunks_exact(panel.len()).fold(0, join));
                    assert_eq!(sum, want, "{kernel:?}, row {row} of {}, column {column}", values.len());
                }
            }
        }
    }

    #[test]
    fn no_kernel_saturates() {
        for (input, weight) in [(255, 127), (255, -127), (255, -128), (1, -128), (0, 127)] {
            for rows in 1..=ROWS {
                let panel = [Group([[weight; GROUP]; COLUMNS]); INPUTS_MAX / GROUP];
                check(Rows { quads: &vec![[input; GROUP]; rows * panel.len()], planes: 1 }, &panel);
                let planes = [vec![[input; GROUP]; panel.len()], vec![[input & 15; GROUP]; panel.len()]].concat();
                check(Rows { quads: &planes.repeat(rows), planes: 2 }, &panel);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_kernel_gives_the_sums_of_the_definition(
            (planes, quads, panel) in (1usize..=ROWS, 1usize..=2, 1usize..40).prop_flat_map(|(rows, planes, groups)| (
                Just(planes),
                proptest::collection::vec(any::<[u8; GROUP]>(), rows * planes * groups),
                proptest::collection::vec(proptest::collection::vec(any::<[i8; GROUP]>(), COLUMNS), groups),
            ))
        ) {
            let panel: Vec<Group> =
                panel.into_iter().map(|columns| Group(columns.try_into().expect("COLUMNS of them"))).collect();
            check(Rows { quads: &quads, planes }, &panel);
        }
    }
}
