//! Intervals of figures by bootstrap over documents.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How a bootstrap draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Samples, each of as many documents as there are.
    pub samples: usize,
    /// The seed.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Bootstrap {
        Bootstrap { samples: 1000, seed: 0 }
    }
}

impl Bootstrap {
    /// For each of `N` figures the interval that holds it for 95 % of the samples of so many documents (percentiles; Efron 1979);
    /// zeros without a document. `figures` is given the documents of a sample by index, some of them several times. The figures of a
    /// call are of the same samples, so that differences of two systems are paired.
    ///
    /// ```
    /// use stillroom_dataflow::Bootstrap;
    ///
    /// let lengths = [3.0, 5.0, 4.0, 4.0];
    /// let mean = |sample: &[usize]| [sample.iter().map(|&index| lengths[index]).sum::<f64>() / sample.len() as f64];
    /// let [(low, high)] = Bootstrap::default().intervals(lengths.len(), mean);
    /// assert!(3.0 <= low && low < 4.0 && 4.0 < high && high <= 5.0);
    /// ```
    pub fn intervals<const N: usize>(
        &self,
        documents: usize,
        mut figures: impl FnMut(&[usize]) -> [f64; N],
    ) -> [(f64, f64); N] {
        if documents == 0 || self.samples == 0 {
            return [(0.0, 0.0); N];
        }
        let mut random = SmallRng::seed_from_u64(self.seed);
        let mut of_samples: Vec<[f64; N]> = Vec::with_capacity(self.samples);
        let mut sample = vec![0; documents];
        for _ in 0..self.samples {
            sample.iter_mut().for_each(|document| *document = random.random_range(0..documents));
            of_samples.push(figures(&sample));
        }
        let (low, high) = (self.samples * 25 / 1000, (self.samples * 975 / 1000).max(1) - 1);
        std::array::from_fn(|figure| {
            let mut of_figure: Vec<f64> = of_samples.iter().map(|figures| figures[figure]).collect();
            of_figure.sort_by(f64::total_cmp);
            (of_figure[low], of_figure[high])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so few documents every sample can be listed: the interval lies between the quantiles of all of them.
    #[test]
    fn intervals_are_those_of_all_samples() {
        let values: [f64; 5] = [0.0, 1.0, 3.0, 7.0, 15.0];
        let sum = |sample: &mut dyn Iterator<Item = usize>| sample.map(|index| values[index]).sum::<f64>();
        let digits = |number: usize| (0..5).map(move |place| number / 5usize.pow(place) % 5);
        let mut all: Vec<f64> = (0..5usize.pow(5)).map(|number| sum(&mut digits(number))).collect();
        all.sort_by(f64::total_cmp);
        let quantile = |per_mille: usize| all[all.len() * per_mille / 1000];
        let drawn = Bootstrap { samples: 20_000, seed: 3 }
            .intervals(5, |sample| [sum(&mut sample.iter().copied()), -sum(&mut sample.iter().copied())]);
        let [(low, high), (minus_high, minus_low)] = drawn;
        assert!(quantile(20) <= low && low <= quantile(30), "{low}");
        assert!(quantile(970) <= high && high <= quantile(980), "{high}");
        assert!((minus_low + low).abs() <= 1.0 && (minus_high + high).abs() <= 1.0, "the same samples: {drawn:?}");
    }

    #[test]
    fn few_samples_and_no_document_break_nothing() {
        let mean = |sample: &[usize]| [sample.len() as f64];
        assert_eq!(Bootstrap { samples: 1, seed: 0 }.intervals(7, mean), [(7.0, 7.0)]);
        assert_eq!(Bootstrap::default().intervals(0, mean), [(0.0, 0.0)]);
    }
}
