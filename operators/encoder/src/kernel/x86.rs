//! The kernels of x86-64. Each takes `R` rows of one or two planes of the panel's length, and writes `R` rows of
//! sums.

use super::{COLUMNS, GROUP, Group, LOW_BITS};
use std::arch::x86_64::*;

type Rows<'a, const R: usize> = [&'a [[u8; GROUP]]; R];

/// Three vectors of 16 columns: 24 sums at eight rows.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn vnni512<const R: usize>(rows: Rows<'_, R>, panel: &[Group], out: &mut [[i32; COLUMNS]]) {
    const VECTORS: usize = COLUMNS / 16;
    let mut sums = [[_mm512_setzero_si512(); VECTORS]; R];
    for plane in 0..rows[0].len() / panel.len() {
        let inputs = rows.map(|row| &row[plane * panel.len()..][..panel.len()]);
        sums.iter_mut().flatten().for_each(|sum| *sum = _mm512_slli_epi32::<LOW_BITS>(*sum));
        for (k, group) in panel.iter().enumerate() {
            let mut weights = [_mm512_setzero_si512(); VECTORS];
            for (v, weights) in weights.iter_mut().enumerate() {
                // SAFETY: a group has three times 64 bytes and is aligned to 64.
                *weights = unsafe { _mm512_load_si512(group.0.as_ptr().cast::<__m512i>().add(v)) };
            }
            for r in 0..R {
                let input = _mm512_set1_epi32(i32::from_ne_bytes(inputs[r][k]));
                for v in 0..VECTORS {
                    sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], input, weights[v]);
                }
            }
        }
    }
    for (sums, row) in sums.iter().zip(&mut out[..R]) {
        for (v, &sum) in sums.iter().enumerate() {
            // SAFETY: a row has three times 16 sums.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast::<__m512i>().add(v), sum) };
        }
    }
}

/// Half a panel at a time, three vectors of 8 columns: up to four rows have their 12 sums in the 16 registers.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) fn vnni256<const R: usize>(rows: Rows<'_, R>, panel: &[Group], out: &mut [[i32; COLUMNS]]) {
    const VECTORS: usize = COLUMNS / 16;
    for half in 0..2 {
        let mut sums = [[_mm256_setzero_si256(); VECTORS]; R];
        for plane in 0..rows[0].len() / panel.len() {
            let inputs = rows.map(|row| &row[plane * panel.len()..][..panel.len()]);
            sums.iter_mut().flatten().for_each(|sum| *sum = _mm256_slli_epi32::<{ LOW_BITS as i32 }>(*sum));
            for (k, group) in panel.iter().enumerate() {
                let mut weights = [_mm256_setzero_si256(); VECTORS];
                for (v, weights) in weights.iter_mut().enumerate() {
                    // SAFETY: a group has six times 32 bytes and is aligned to 64.
                    *weights = unsafe { _mm256_load_si256(group.0.as_ptr().cast::<__m256i>().add(half * VECTORS + v)) };
                }
                for r in 0..R {
                    let input = _mm256_set1_epi32(i32::from_ne_bytes(inputs[r][k]));
                    for v in 0..VECTORS {
                        sums[r][v] = _mm256_dpbusd_avx_epi32(sums[r][v], input, weights[v]);
                    }
                }
            }
        }
        for (sums, row) in sums.iter().zip(&mut out[..R]) {
            for (v, &sum) in sums.iter().enumerate() {
                // SAFETY: a row has six times 8 sums.
                unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast::<__m256i>().add(half * VECTORS + v), sum) };
            }
        }
    }
}

/// Widens to 16 bits: a register of weights is four columns of four inputs, `vpmaddwd` adds them in pairs, and the pairs of a
/// column are added at the end. A sixth of a panel at a time: up to four rows have their 8 sums in the 16 registers.
#[target_feature(enable = "avx2")]
pub(super) fn avx2<const R: usize>(rows: Rows<'_, R>, panel: &[Group], out: &mut [[i32; COLUMNS]]) {
    const VECTORS: usize = 2;
    for part in 0..COLUMNS / 8 {
        let mut sums = [[_mm256_setzero_si256(); VECTORS]; R];
        for plane in 0..rows[0].len() / panel.len() {
            let inputs = rows.map(|row| &row[plane * panel.len()..][..panel.len()]);
            sums.iter_mut().flatten().for_each(|sum| *sum = _mm256_slli_epi32::<{ LOW_BITS as i32 }>(*sum));
            for (k, group) in panel.iter().enumerate() {
                let mut weights = [_mm256_setzero_si256(); VECTORS];
                for (v, weights) in weights.iter_mut().enumerate() {
                    // SAFETY: a group has twelve times 16 bytes and is aligned to 64.
                    let bytes = unsafe { _mm_load_si128(group.0.as_ptr().cast::<__m128i>().add(part * VECTORS + v)) };
                    *weights = _mm256_cvtepi8_epi16(bytes);
                }
                for r in 0..R {
                    let input = _mm256_cvtepu8_epi16(_mm_set1_epi32(i32::from_ne_bytes(inputs[r][k])));
                    for v in 0..VECTORS {
                        sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(weights[v], input));
                    }
                }
            }
        }
        for (&[first, second], row) in sums.iter().zip(&mut out[..R]) {
            // In each half of 128 bits two columns of the first vector, then two of the second: to be put in order.
            let pairs = _mm256_hadd_epi32(first, second);
            let columns = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
            // SAFETY: a row has six times 8 sums.
            unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast::<__m256i>().add(part), columns) };
        }
    }
}
