//! The product of bytes that everything rests on: a few rows of activations (`u8`) with a panel of weights (`i8`), added up in
//! `i32`.
//!
//! Both are in groups of four along the inputs, which is what the instruction `vpdpbusd` multiplies and adds in one step. The
//! sums are exact on every processor: no kernel saturates, so that all give the same integers.

#[cfg(target_arch = "x86_64")]
mod x86;

/// Inputs that are multiplied and added in one step.
pub(crate) const GROUP: usize = 4;
/// Rows of a tile. With three vectors of columns 24 of 32 registers are sums: more than the latency of `vpdpbusd` times its
/// throughput, and divisors of BERT's sizes (384, 768, 1536, 3072) for the columns.
pub(crate) const ROWS: usize = 8;
/// Columns of a panel.
pub(crate) const COLUMNS: usize = 48;

/// Four inputs of each of a panel's columns, `[COLUMNS, GROUP]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Group(pub(crate) [[i8; GROUP]; COLUMNS]);

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

    /// The sums of the rows of `quads`, which has `panel.len()` groups a row and up to [`ROWS`] rows, with the columns of
    /// `panel`. Rows of `tile` beyond those of `quads` keep what they had.
    ///
    /// # Panics
    /// When this processor does not have the kernel.
    pub(crate) fn tile(self, quads: &[[u8; GROUP]], panel: &[Group], tile: &mut Tile) {
        assert!(self.is_available(), "{self:?} is not a kernel of this processor");
        let (rows_max, groups) = (self.rows_max(), panel.len().max(1));
        for (quads, sums) in quads.chunks(rows_max * groups).zip(tile.0.chunks_mut(rows_max)) {
            match quads.len() / groups {
                0 => {}
                1 => self.sum(split::<1>(quads, panel), panel, sums),
                2 => self.sum(split::<2>(quads, panel), panel, sums),
                3 => self.sum(split::<3>(quads, panel), panel, sums),
                4 => self.sum(split::<4>(quads, panel), panel, sums),
                5 => self.sum(split::<5>(quads, panel), panel, sums),
                6 => self.sum(split::<6>(quads, panel), panel, sums),
                7 => self.sum(split::<7>(quads, panel), panel, sums),
                _ => self.sum(split::<ROWS>(quads, panel), panel, sums),
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

/// The first `R` rows, each as long as `panel`.
#[inline(always)]
fn split<'a, const R: usize>(quads: &'a [[u8; GROUP]], panel: &[Group]) -> [&'a [[u8; GROUP]]; R] {
    std::array::from_fn(|row| &quads[row * panel.len()..][..panel.len()])
}

fn portable<const R: usize>(rows: [&[[u8; GROUP]]; R], panel: &[Group], sums: &mut [[i32; COLUMNS]]) {
    for (row, sums) in rows.into_iter().zip(sums) {
        *sums = [0; COLUMNS];
        for (inputs, group) in row.iter().zip(panel) {
            let inputs = inputs.map(i32::from);
            for (sum, weights) in sums.iter_mut().zip(&group.0) {
                let weights = weights.map(i32::from);
                *sum += inputs.iter().zip(&weights).map(|(input, weight)| input * weight).sum::<i32>();
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
    fn check(quads: &[[u8; GROUP]], panel: &[Group]) {
        let rows: Vec<_> = quads.chunks_exact(panel.len()).collect();
        for kernel in kernels() {
            let mut tile = Tile([[i32::MIN; COLUMNS]; ROWS]);
            kernel.tile(quads, panel, &mut tile);
            for (row, sums) in tile.0.iter().enumerate() {
                for (column, &sum) in sums.iter().enumerate() {
                    let product = |(input, group): (&[u8; GROUP], &Group)| -> i32 {
                        (0..GROUP).map(|i| i32::from(input[i]) * i32::from(group.0[column][i])).sum()
                    };
                    let want =
                        rows.get(row).map_or(i32::MIN, |inputs| inputs.iter().zip(panel).map(product).sum::<i32>());
                    assert_eq!(sum, want, "{kernel:?}, row {row} of {}, column {column}", rows.len());
                }
            }
        }
    }

    #[test]
    fn no_kernel_saturates() {
        for (input, weight) in [(255, 127), (255, -127), (255, -128), (1, -128), (0, 127)] {
            for rows in 1..=ROWS {
                check(&vec![[input; GROUP]; rows * 768], &[Group([[weight; GROUP]; COLUMNS]); 768]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn every_kernel_gives_the_sums_of_the_definition(
            (quads, panel) in (1usize..=ROWS, 1usize..40).prop_flat_map(|(rows, groups)| (
                proptest::collection::vec(any::<[u8; GROUP]>(), rows * groups),
                proptest::collection::vec(proptest::collection::vec(any::<[i8; GROUP]>(), COLUMNS), groups),
            ))
        ) {
            let panel: Vec<Group> =
                panel.into_iter().map(|columns| Group(columns.try_into().expect("COLUMNS of them"))).collect();
            check(&quads, &panel);
        }
    }
}
