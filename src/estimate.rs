//! Figures with the intervals that a bootstrap over documents gives them: what `study` reports and what the promotion of a student
//! is decided by.

use stillroom_dataflow::Bootstrap;
use stillroom_schemas::Counts;

pub(crate) use stillroom_models::Estimate;

/// F1 of the first less F1 of the second, both of the same samples.
pub(crate) fn difference(pairs: &[(Counts, Counts)], bootstrap: Bootstrap) -> Estimate {
    estimate(pairs.len(), bootstrap, |sample| {
        let (mut first, mut second) = (Counts::default(), Counts::default());
        sample.for_each(|document| {
            first += pairs[document].0;
            second += pairs[document].1;
        });
        first.f1() - second.f1()
    })
}

/// F1 of the counts of some documents together.
pub(crate) fn f1_of(documents: &[Counts], bootstrap: Bootstrap) -> Estimate {
    estimate(documents.len(), bootstrap, |sample| {
        let mut sum = Counts::default();
        sample.for_each(|document| sum += documents[document]);
        sum.f1()
    })
}

/// A figure of so many documents with its interval; `figure` is given the documents of a sample by index.
fn estimate(
    documents: usize,
    bootstrap: Bootstrap,
    figure: impl Fn(&mut dyn Iterator<Item = usize>) -> f64,
) -> Estimate {
    let value = figure(&mut (0..documents));
    let [(low, high)] = bootstrap.intervals(documents, |sample| [figure(&mut sample.iter().copied())]);
    Estimate { value, low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(tp: i64, fp: i64, fn_: i64) -> Counts {
        Counts { notes: 1, tp, fp, fn_ }
    }

    /// The differences of all samples of the documents, each as likely as another.
    fn all_differences(pairs: &[(Counts, Counts)]) -> Vec<f64> {
        let n = pairs.len();
        let sample = |number: usize| (0..n).map(move |place| number / n.pow(place as u32) % n);
        let f1 = |of: &dyn Fn(usize) -> Counts, number: usize| {
            let mut sum = Counts::default();
            sample(number).for_each(|document| sum += of(document));
            sum.f1()
        };
        let difference = |number| f1(&|document| pairs[document].0, number) - f1(&|document| pairs[document].1, number);
        let mut all: Vec<f64> = (0..n.pow(n as u32)).map(difference).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn the_interval_of_a_difference_is_that_of_all_paired_samples() {
        let pairs = [
            (counts(9, 1, 1), counts(8, 2, 2)),
            (counts(3, 4, 2), counts(4, 1, 1)),
            (counts(6, 0, 3), counts(2, 2, 7)),
            (counts(5, 5, 0), counts(5, 4, 0)),
            (counts(1, 0, 9), counts(1, 1, 9)),
        ];
        let all = all_differences(&pairs);
        let quantile = |per_mille: usize| all[all.len() * per_mille / 1000];
        let Estimate { value, low, high } = difference(&pairs, Bootstrap { samples: 20_000, seed: 1 });
        assert!(quantile(20) <= low && low <= quantile(30), "{low}, {} to {}", quantile(20), quantile(30));
        assert!(quantile(970) <= high && high <= quantile(980), "{high}, {} to {}", quantile(970), quantile(980));
        assert!(low < value && value < high);
    }

    #[test]
    fn f1_has_the_interval_of_its_difference_from_nothing() {
        let documents = [counts(9, 1, 1), counts(3, 4, 2), counts(6, 0, 3), counts(5, 5, 0), counts(1, 0, 9)];
        let beside_nothing = documents.map(|of_document| (of_document, Counts::default()));
        let bootstrap = Bootstrap::default();
        let Estimate { value, low, high } = f1_of(&documents, bootstrap);
        assert_eq!(Estimate { value, low, high }, difference(&beside_nothing, bootstrap));
        assert!(0.0 < low && low < value && value < high && high < 1.0, "{low} {value} {high}");
    }

    #[test]
    fn who_agrees_with_its_teacher_everywhere_differs_by_nothing() {
        let pairs = [(counts(3, 1, 2), counts(3, 1, 2)), (counts(0, 7, 1), counts(0, 7, 1))];
        assert_eq!(difference(&pairs, Bootstrap::default()), Estimate { value: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(difference(&[], Bootstrap::default()), Estimate { value: 0.0, low: 0.0, high: 0.0 });
    }
}
