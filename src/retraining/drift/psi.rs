//! The population stability index: how far counts over bins are from others over the same bins.

use crate::retraining::triggers::deviations;

/// Bins that a measure has at most: those between its deciles.
const BINS_MAX: usize = 10;

/// What is added to the count of each bin, so that an empty one has a finite logarithm: Jeffreys' prior.
const PRIOR: f64 = 0.5;

/// The probability with which [`chance`] is exceeded where nothing has changed: many measures are looked at, again and
/// again.
const PROBABILITY: f64 = 1e-6;

/// The index: over all bins the sum of `(q - p) ln(q / p)`, where `p` and `q` are the shares of a bin among the counts
/// before and now, each `(count + 1/2) / (all counts + bins / 2)`. It is 0 where the shares are equal, the same in both
/// directions, and never negative.
///
/// From N. Siddiqi, Credit Risk Scorecards (Wiley, 2006), whose bounds are customary: below 0.1 little has changed,
/// from 0.25 on much.
pub(crate) fn psi(before: &[u64], now: &[u64]) -> f64 {
    let smoothed = |counts: &[u64]| -> Vec<f64> {
        let all = counts.iter().sum::<u64>() as f64 + PRIOR * counts.len() as f64;
        counts.iter().map(|count| (*count as f64 + PRIOR) / all).collect()
    };
    let terms = smoothed(before).into_iter().zip(smoothed(now)).map(|(p, q)| (q - p) * (q / p).ln());
    terms.sum()
}

/// What the index of so many counts on either side exceeds by chance once in a million, where nothing has changed; 0
/// for one bin.
///
/// The index is then about `1/before + 1/now` times a chi-squared variable with a degree of freedom less than bins: B.
/// Yurdakul, Statistical Properties of Population Stability Index (Western Michigan University, 2018). The quantile is
/// that of Wilson and Hilferty (1931), Proceedings of the National Academy of Sciences 17, 684 to 688.
pub(crate) fn chance(bins: usize, (before, now): (u64, u64)) -> f64 {
    if bins < 2 {
        return 0.0;
    }
    let freedom = (bins - 1) as f64;
    // The upper tail alone.
    let z = deviations(1.0 - 2.0 * PROBABILITY);
    let spread = 2.0 / (9.0 * freedom);
    let quantile = freedom * (1.0 - spread + z * spread.sqrt()).powi(3);
    (1.0 / before as f64 + 1.0 / now as f64) * quantile
}

/// Bins of a measure: numbers up to the first edge, those above it up to the second, and so on, and those above the
/// last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bins(Vec<f32>);

impl Bins {
    /// Bins with about a tenth of these numbers each; fewer where many numbers are the same.
    pub(crate) fn deciles(mut numbers: Vec<f32>) -> Bins {
        numbers.sort_unstable_by(f32::total_cmp);
        let at = |nth: usize| numbers.get((nth * numbers.len() / BINS_MAX).saturating_sub(1)).copied();
        let mut edges: Vec<f32> = (1..BINS_MAX).filter_map(at).collect();
        edges.dedup();
        Bins(edges)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len() + 1
    }

    /// How many of these numbers are in each.
    pub(crate) fn counts<'a>(&self, numbers: impl IntoIterator<Item = &'a f32>) -> Vec<u64> {
        let mut counts = vec![0; self.len()];
        numbers.into_iter().for_each(|number| counts[self.0.partition_point(|edge| edge < number)] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn equal_shares_are_no_drift_and_a_larger_shift_is_more() {
        let mut random = SmallRng::seed_from_u64(1);
        for bins in [2, 3, 10].repeat(20) {
            let mut draw = |least: u64| -> Vec<u64> { (0..bins).map(|_| random.random_range(least..500)).collect() };
            let (counts, other) = (draw(20), draw(0));
            assert_eq!(psi(&counts, &counts), 0.0);
            let tenfold: Vec<u64> = counts.iter().map(|count| 10 * count).collect();
            assert!(psi(&counts, &tenfold) < 0.01, "{counts:?}");
            let (there, back) = (psi(&counts, &other), psi(&other, &counts));
            assert!(there >= 0.0 && (there - back).abs() < 1e-9, "{there} {back}");

            // From the first bin to the last, more and more.
            let mut least = 0.0;
            for moved in 1..=counts[0] {
                let mut now = counts.clone();
                now[0] -= moved;
                now[bins - 1] += moved;
                let index = psi(&counts, &now);
                assert!(index > least, "{index} after {least} of {counts:?}");
                least = index;
            }
        }
    }

    #[test]
    fn of_shares_it_is_the_sum_of_its_terms() {
        // So many that half a count is nothing: a half and a half become a fifth and four fifths.
        let index = psi(&[5_000_000, 5_000_000], &[2_000_000, 8_000_000]);
        let expected = -0.3 * f64::ln(0.4) + 0.3 * f64::ln(1.6);
        assert!((index - expected).abs() < 1e-6, "{index} {expected}");
    }

    #[test]
    fn deciles_hold_a_tenth_each_and_equal_numbers_stay_together() {
        let numbers: Vec<f32> = (0..1000).map(|number| ((number * 7919) % 1000) as f32).collect();
        assert_eq!(Bins::deciles(numbers.clone()).counts(&numbers), [100; 10]);
        let same = vec![0.0; 60];
        let bins = Bins::deciles(same.clone());
        assert_eq!((bins.counts(&same), bins.counts(&[0.1, -1.0, 0.0])), (vec![60, 0], vec![2, 1]));
        let mostly: Vec<f32> = same.into_iter().chain((1..=40).map(|number| number as f32)).collect();
        assert_eq!(Bins::deciles(mostly.clone()).counts(&mostly), [60, 10, 10, 10, 10]);
    }

    #[test]
    fn where_nothing_changes_it_is_what_chance_makes_it() {
        let mut random = SmallRng::seed_from_u64(3);
        let (notes, draws) = (200u64, 400u32);
        let mut draw = || -> Vec<f32> { (0..notes).map(|_| random.random::<f32>()).collect() };
        let mut sum = 0.0;
        for _ in 0..draws {
            let (first, last) = (draw(), draw());
            let bins = Bins::deciles(first.clone());
            let index = psi(&bins.counts(&first), &bins.counts(&last));
            assert!(index < chance(bins.len(), (notes, notes)), "{index}");
            sum += index;
        }
        // Nine degrees of freedom, and the mean of that is nine.
        let freedom = sum / f64::from(draws) * notes as f64 / 2.0;
        assert!((8.0..10.5).contains(&freedom), "{freedom}");
        // A shift of so many notes is no chance.
        let shifted: Vec<f32> = draw().into_iter().map(|number| number + 0.4).collect();
        let (first, bins) = (draw(), Bins::deciles(draw()));
        assert!(psi(&bins.counts(&first), &bins.counts(&shifted)) > chance(bins.len(), (notes, notes)));
    }
}
