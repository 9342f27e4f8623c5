//! `Σ weights[i][q] · rows[i]` for every `q`, in registers: both products of attention. Left to itself the compiler takes the
//! weights for the vector, and gathers.

/// `weights` and `rows` are of one length; `sums` is written.
pub(super) trait Weigh<const Q: usize, const L: usize> {
    fn weigh(weights: &[[f32; Q]], rows: &[[f32; L]], sums: &mut [[f32; L]; Q]);
}

/// Any processor.
pub(super) struct Portable;

impl<const Q: usize, const L: usize> Weigh<Q, L> for Portable {
    #[inline(always)]
    fn weigh(weights: &[[f32; Q]], rows: &[[f32; L]], sums: &mut [[f32; L]; Q]) {
        *sums = [[0.0; L]; Q];
        for (weights, row) in weights.iter().zip(rows) {
            for q in 0..Q {
                for lane in 0..L {
                    sums[q][lane] += weights[q] * row[lane];
                }
            }
        }
    }
}

/// AVX-512: 16 sums of 16 numbers, two loads and eight broadcasts for 16 multiplications.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Weigh<8, 32> for Avx512 {
    #[inline(always)]
    fn weigh(weights: &[[f32; 8]], rows: &[[f32; 32]], sums: &mut [[f32; 32]; 8]) {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f")]
        fn weigh(weights: &[[f32; 8]], rows: &[[f32; 32]], sums: &mut [[f32; 32]; 8]) {
            let mut low = [_mm512_setzero_ps(); 8];
            let mut high = [_mm512_setzero_ps(); 8];
            for (weights, row) in weights.iter().zip(rows) {
                // SAFETY: a row has twice 16 numbers.
                let (a, b) = unsafe { (_mm512_loadu_ps(row.as_ptr()), _mm512_loadu_ps(row.as_ptr().add(16))) };
                for q in 0..8 {
                    let weight = _mm512_set1_ps(weights[q]);
                    low[q] = _mm512_fmadd_ps(weight, a, low[q]);
                    high[q] = _mm512_fmadd_ps(weight, b, high[q]);
                }
            }
            for ((sums, low), high) in sums.iter_mut().zip(low).zip(high) {
                // SAFETY: a row of sums has twice 16 numbers.
                unsafe {
                    _mm512_storeu_ps(sums.as_mut_ptr(), low);
                    _mm512_storeu_ps(sums.as_mut_ptr().add(16), high);
                }
            }
        }
        // SAFETY: only what was compiled for AVX-512, and chosen for it at run time, names this type.
        unsafe { weigh(weights, rows, sums) }
    }
}

/// AVX2: eight sums of eight numbers.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Weigh<4, 16> for Avx2 {
    #[inline(always)]
    fn weigh(weights: &[[f32; 4]], rows: &[[f32; 16]], sums: &mut [[f32; 16]; 4]) {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx2,fma")]
        fn weigh(weights: &[[f32; 4]], rows: &[[f32; 16]], sums: &mut [[f32; 16]; 4]) {
            let mut low = [_mm256_setzero_ps(); 4];
            let mut high = [_mm256_setzero_ps(); 4];
            for (weights, row) in weights.iter().zip(rows) {
                // SAFETY: a row has twice 8 numbers.
                let (a, b) = unsafe { (_mm256_loadu_ps(row.as_ptr()), _mm256_loadu_ps(row.as_ptr().add(8))) };
                for q in 0..4 {
                    let weight = _mm256_set1_ps(weights[q]);
                    low[q] = _mm256_fmadd_ps(weight, a, low[q]);
                    high[q] = _mm256_fmadd_ps(weight, b, high[q]);
                }
            }
            for ((sums, low), high) in sums.iter_mut().zip(low).zip(high) {
                // SAFETY: a row of sums has twice 8 numbers.
                unsafe {
                    _mm256_storeu_ps(sums.as_mut_ptr(), low);
                    _mm256_storeu_ps(sums.as_mut_ptr().add(8), high);
                }
            }
        }
        // SAFETY: only what was compiled for AVX2 and FMA, and chosen for them at run time, names this type.
        unsafe { weigh(weights, rows, sums) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use Portable as Avx512;
#[cfg(not(target_arch = "x86_64"))]
pub(super) use Portable as Avx2;
