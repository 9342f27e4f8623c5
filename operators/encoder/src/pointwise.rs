//! `f32` arithmetic on slices, written as plain loops over arrays of lanes and compiled once for every instruction set.

/// Lanes of a reduction: enough vectors at a time to hide the latency of an addition.
const LANES: usize = 64;

/// A function that is compiled for AVX-512, for AVX2 and for any processor, and chosen at run time: `= body` for one body, or a
/// body for each.
macro_rules! dispatched {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)? = $body:path) => {
        dispatched! { $(#[$doc])* $vis fn $name($($arg: $ty),*) $(-> $out)? = [$body, $body, $body] }
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)? =
        [$v4:path, $v3:path, $plain:path]) =>
    {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
                fn v4($($arg: $ty),*) $(-> $out)? { $v4($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn v3($($arg: $ty),*) $(-> $out)? { $v3($($arg),*) }
                if $crate::pointwise::may_use(512) && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the features were detected just above.
                    return unsafe { v4($($arg),*) };
                }
                if $crate::pointwise::may_use(256) && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the features were detected just above.
                    return unsafe { v3($($arg),*) };
                }
            }
            $plain($($arg),*)
        }
    };
}
pub(crate) use dispatched;

/// Whether vectors of so many bits may be chosen: all that the processor has, but in tests, which compare the choices.
#[cfg(all(target_arch = "x86_64", not(test)))]
#[inline(always)]
pub(crate) fn may_use(_bits: u32) -> bool {
    true
}
#[cfg(all(target_arch = "x86_64", test))]
pub(crate) use tests::may_use;

dispatched! {
    /// `x ← gelu(x + bias)` for rows of the bias's length, with the exact GELU of BERT.
    pub fn bias_gelu(x: &mut [f32], bias: &[f32]) = bias_gelu_body
}
dispatched! {
    /// `grad ← grad · gelu'(x)`.
    pub fn gelu_backward(grad: &mut [f32], x: &[f32]) = gelu_backward_body
}
dispatched! {
    /// Layer normalisation (Ba et al., arXiv 1607.06450) of one row in place.
    pub(crate) fn layer_norm(row: &mut [f32], norm: &Norm) = layer_norm_body
}
dispatched! {
    /// The scalar product of two slices of one length.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

/// The parameters of a layer normalisation, `[features]` each.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

#[inline(always)]
fn bias_gelu_body(x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len().max(1)) {
        for (x, bias) in row.iter_mut().zip(bias) {
            *x = gelu(*x + *bias);
        }
    }
}

#[inline(always)]
fn gelu_backward_body(grad: &mut [f32], x: &[f32]) {
    const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
    for (grad, &x) in grad.iter_mut().zip(x) {
        *grad *= normal_cdf(x) + x * FRAC_1_SQRT_2PI * exp_neg(-0.5 * x * x);
    }
}

#[inline(always)]
fn layer_norm_body(row: &mut [f32], norm: &Norm) {
    let count = row.len() as f32;
    let mean = fold(row, 0.0, |sum, x| sum + x, |a, b| a + b) / count;
    let squares = |sum: f32, x: f32| (x - mean).mul_add(x - mean, sum);
    let variance = fold(row, 0.0, squares, |a, b| a + b) / count;
    let factor = 1.0 / (variance + norm.eps).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(&norm.weight).zip(&norm.bias) {
        *x = ((*x - mean) * factor).mul_add(*weight, *bias);
    }
}

#[inline(always)]
pub(crate) fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum = a.mul_add(*b, *sum);
    }
    join(sums, |a, b| a + b)
}

/// A reduction in lanes: `step` takes a value into a lane, `both` joins two lanes.
#[inline(always)]
pub(crate) fn fold(row: &[f32], start: f32, step: impl Fn(f32, f32) -> f32, both: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = step(lanes[lane], chunk[lane]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, x);
    }
    join(lanes, both)
}

/// Halves the lanes until one is left.
#[inline(always)]
fn join(mut lanes: [f32; LANES], both: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = both(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The greater of two numbers. `f32::max` also looks for NaN, which takes three instructions for one.
#[inline(always)]
pub(crate) fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The lesser of two numbers.
#[inline(always)]
pub(crate) fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The exact (erf) GELU (Hendrycks and Gimpel, arXiv 1606.08415) that BERT was trained with.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal_cdf(x)
}

/// The normal distribution function. erf after Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let z = (x * std::f32::consts::FRAC_1_SQRT_2).abs();
    let t = 1.0 / 0.327_591_1f32.mul_add(z, 1.0);
    let mut p = 1.061_405_4f32;
    p = p.mul_add(t, -1.453_152);
    p = p.mul_add(t, 1.421_413_7);
    p = p.mul_add(t, -0.284_496_74);
    p = p.mul_add(t, 0.254_829_6);
    let erf = 1.0 - p * t * exp_neg(-z * z);
    0.5 * (1.0 + erf.copysign(x))
}

/// `exp(x)` for `x <= 0`, relative error about 1e-7, free of branches so that it vectorises: the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp_neg(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = greater(x, -87.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let i = shifted - ROUND;
    let f = i.mul_add(2.121_944_4e-4, i.mul_add(-0.693_359_4, x));
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(f, 1.398_199_9e-3);
    p = p.mul_add(f, 8.333_452e-3);
    p = p.mul_add(f, 4.166_579_6e-2);
    p = p.mul_add(f, 1.666_666_5e-1);
    p = p.mul_add(f, 5e-1);
    let y = p.mul_add(f * f, f) + 1.0;
    // The low bits of `shifted` are the integer, so that shifting them into the exponent needs no conversion.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    y * f32::from_bits(power)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};
    use std::cell::Cell;

    thread_local! {
        /// Wider vectors are not chosen on this thread.
        static BITS_MAX: Cell<u32> = const { Cell::new(u32::MAX) };
    }

    #[cfg(target_arch = "x86_64")]
    pub(crate) fn may_use(bits: u32) -> bool {
        bits <= BITS_MAX.get()
    }

    /// What `f` gives by what was compiled for AVX-512, for AVX2 and for any processor, as far as this one has them.
    pub(crate) fn compiled_each<T>(f: impl Fn() -> T) -> [T; 3] {
        [512, 256, 0].map(|bits| {
            BITS_MAX.set(bits);
            let given = f();
            BITS_MAX.set(u32::MAX);
            given
        })
    }

    /// That `f` gives the same whatever it was compiled for.
    pub(crate) fn check_compiled(what: &str, f: impl Fn() -> Vec<f32>) {
        let [widest, others @ ..] = compiled_each(f);
        for other in others {
            assert_eq!(other.len(), widest.len(), "{what}");
            for (wide, narrow) in widest.iter().zip(&other) {
                let is_same = (wide - narrow).abs() <= 1e-6 * (1.0 + wide.abs());
                assert!(is_same, "{what} of {} is {wide} by wide vectors, and {narrow} by narrow ones", widest.len());
            }
        }
    }

    /// Numbers around zero.
    pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
        let mut random = SmallRng::seed_from_u64(seed);
        (0..count).map(|_| random.random_range(-3.0..3.0)).collect()
    }

    /// `x` after `change`.
    pub(crate) fn changed(x: &[f32], change: impl FnOnce(&mut [f32])) -> Vec<f32> {
        let mut x = x.to_vec();
        change(&mut x);
        x
    }

    #[test]
    fn functions_give_the_same_whatever_they_are_compiled_for() {
        for features in [1, 15, 64, 65, 200] {
            let [x, y] = [1, 2].map(|seed| random(3 * features, seed));
            let [weight, bias] = [3, 4].map(|seed| random(features, seed));
            check_compiled("GELU", || changed(&x, |x| bias_gelu(x, &bias)));
            check_compiled("the derivative of GELU", || changed(&y, |grad| gelu_backward(grad, &x)));
            check_compiled("the scalar product", || vec![dot(&x, &y)]);
            let norm = Norm { weight, bias, eps: 1e-3 };
            check_compiled("the normalisation", || changed(&x[..features], |row| layer_norm(row, &norm)));
        }
    }

    fn gelu(x: f64) -> f64 {
        // Simpson's rule on the density: slow, and independent of the approximation under test.
        let steps = 20_000;
        let (a, h) = (-12.0, (x + 12.0) / steps as f64);
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let weight = |i: usize| {
            if i == 0 || i == steps {
                1.0
            } else if i % 2 == 1 {
                4.0
            } else {
                2.0
            }
        };
        x * (0..=steps).map(|i| weight(i) * density(a + h * i as f64)).sum::<f64>() * h / 3.0
    }

    #[test]
    fn gelu_and_its_derivative_are_exact_to_single_precision() {
        for i in -60..=60 {
            let x = f64::from(i) / 10.0;
            let mut y = [x as f32 - 0.25];
            bias_gelu(&mut y, &[0.25]);
            assert!((f64::from(y[0]) - gelu(x)).abs() < 2e-6, "gelu({x}) = {}", y[0]);
            let mut slope = [1.0];
            gelu_backward(&mut slope, &[x as f32]);
            let want = (gelu(x + 1e-4) - gelu(x - 1e-4)) / 2e-4;
            assert!((f64::from(slope[0]) - want).abs() < 2e-5, "gelu'({x}) = {} not {want}", slope[0]);
        }
    }

    #[test]
    fn the_exponential_is_exact_to_single_precision() {
        for i in 0..=8600 {
            let x = -i as f32 / 100.0;
            let (ours, exact) = (f64::from(exp_neg(x)), f64::from(x).exp());
            assert!((ours - exact).abs() < 3e-7 * exact, "exp({x}) = {ours}, not {exact}");
        }
        assert!(exp_neg(f32::MIN) < 1e-37);
    }

    #[test]
    fn reductions_see_every_value_whatever_the_length() {
        for count in [1, 2, 63, 64, 65, 200, 384] {
            let row: Vec<f32> = (0..count).map(|i| (i * 7 % 31) as f32 - 11.0).collect();
            assert_eq!(fold(&row, f32::MIN, greater, greater), row.iter().copied().fold(f32::MIN, f32::max));
            assert_eq!(dot(&row, &row), row.iter().map(|x| x * x).sum::<f32>());
            let norm = Norm { weight: vec![2.0; count], bias: vec![0.5; count], eps: 1e-3 };
            let mean = row.iter().sum::<f32>() / count as f32;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count as f32;
            let mut ours = row.clone();
            layer_norm(&mut ours, &norm);
            for (ours, x) in ours.iter().zip(&row) {
                let want = (x - mean) / (variance + 1e-3).sqrt() * 2.0 + 0.5;
                assert!((ours - want).abs() < 1e-4, "{ours} is not {want} among {count}");
            }
        }
    }
}
