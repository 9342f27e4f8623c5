//! The temperature of soft labels.

/// A share of teachers, as a target at a temperature `t`: `p^(1/t) / (p^(1/t) + (1 - p)^(1/t))`.
///
/// Below 1 it sharpens towards the answer of the most, above 1 it softens towards one half. It is the sharpening of Berthelot et
/// al., MixMatch, arXiv 1905.02249, equation 7, for two classes, and the same as to divide the log-odds by the temperature. All or
/// none of the teachers stay 1 and 0 at any temperature.
pub(crate) fn tempered(share: f32, temperature: f64) -> f32 {
    if temperature == 1.0 {
        return share;
    }
    let share = f64::from(share);
    // Divided by p^(1/t): what overflows becomes 0, and nothing is divided by nothing.
    (1.0 / (1.0 + ((1.0 - share) / share).powf(temperature.recip()))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPERATURES: [f64; 7] = [0.01, 0.25, 0.5, 1.0, 2.0, 7.5, 1000.0];

    fn shares() -> impl Iterator<Item = f32> {
        (0..=1000).map(|thousandths| thousandths as f32 / 1000.0)
    }

    #[test]
    fn it_is_the_formula() {
        for temperature in TEMPERATURES {
            for share in shares() {
                let power = |share: f64| share.powf(1.0 / temperature);
                let (inside, outside) = (power(share.into()), power(1.0 - f64::from(share)));
                let expected = inside / (inside + outside);
                let got = f64::from(tempered(share, temperature));
                assert!((got - expected).abs() < 1e-6, "{share} at {temperature}: {got}, not {expected}");
            }
        }
    }

    #[test]
    fn one_leaves_shares_as_they_are_and_no_temperature_moves_all_or_none() {
        assert!(shares().all(|share| tempered(share, 1.0).to_bits() == share.to_bits()));
        for temperature in TEMPERATURES {
            assert_eq!([0.0, 0.5, 1.0].map(|share| tempered(share, temperature)), [0.0, 0.5, 1.0], "{temperature}");
        }
    }

    #[test]
    fn more_teachers_are_never_less_and_both_classes_are_alike() {
        for temperature in TEMPERATURES {
            let all: Vec<f32> = shares().map(|share| tempered(share, temperature)).collect();
            assert!(all.is_sorted() && all.iter().all(|share| (0.0..=1.0).contains(share)), "{temperature}");
            for share in shares() {
                let (one, other) = (tempered(share, temperature), tempered(1.0 - share, temperature));
                assert!((one + other - 1.0).abs() < 1e-4, "{share} at {temperature}: {one} and {other}");
            }
        }
    }

    #[test]
    fn below_1_it_sharpens_and_above_it_softens() {
        for share in shares().filter(|share| *share > 0.5 && *share < 1.0) {
            assert!(
                tempered(share, 0.5) > share && tempered(share, 2.0) < share && tempered(share, 2.0) > 0.5,
                "{share}"
            );
        }
    }
}
