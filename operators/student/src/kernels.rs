//! GELU on `f32` slices, vectorised: burn-flex calls a scalar `erff` an element, which took a sixth of the time of a forward
//! pass.

/// A loop over slices, compiled once for every instruction set and chosen at run time.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $ty:ty),*)) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
                fn v4($($arg: $ty),*) { $body($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn v3($($arg: $ty),*) { $body($($arg),*) }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the features were detected just above.
                    return unsafe { v4($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the features were detected just above.
                    return unsafe { v3($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

dispatched! {
    /// `x ← gelu(x + bias)` for rows of the bias's length.
    bias_gelu, bias_gelu_body, (x: &mut [f32], bias: &[f32])
}
dispatched! {
    /// `grad ← grad · gelu'(x)`.
    gelu_backward, gelu_backward_body, (grad: &mut [f32], x: &[f32])
}

#[inline(always)]
fn bias_gelu_body(x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len()) {
        for (x, bias) in row.iter_mut().zip(bias) {
            let x_biased = *x + *bias;
            *x = x_biased * normal_cdf(x_biased);
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

/// The normal distribution function, so that `x · normal_cdf(x)` is the exact (erf) GELU that BERT was trained with.
/// erf after Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let z = (x * std::f32::consts::FRAC_1_SQRT_2).abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
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
fn exp_neg(x: f32) -> f32 {
    let x = x.max(-87.0);
    let t = x * std::f32::consts::LOG2_E;
    let i = (t + 12_582_912.0) - 12_582_912.0;
    let f = x - i * 0.693_359_4 + i * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(f, 1.398_199_9e-3);
    p = p.mul_add(f, 8.333_452e-3);
    p = p.mul_add(f, 4.166_579_6e-2);
    p = p.mul_add(f, 1.666_666_5e-1);
    p = p.mul_add(f, 5e-1);
    let y = p.mul_add(f * f, f) + 1.0;
    y * f32::from_bits(((i as i32 + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
