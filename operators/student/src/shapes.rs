//! The few shapes in which a GPU is given windows. A GPU compiles and tunes its kernels for each shape that it meets, so windows
//! are padded to one of a bounded set, every one of which is warmed before notes flow.

use stillroom_dataflow::WINDOW_PIECES_MAX;

/// Rows have a multiple of so many word pieces: a window is padded by half of it on average.
const LENGTH_STEP: usize = 64;

/// The length that a window of `pieces` word pieces is padded to.
pub(crate) fn padded_length(pieces: usize) -> usize {
    pieces.max(1).next_multiple_of(LENGTH_STEP)
}

/// A launch has a quarter of the word pieces of the next larger one.
const LEVEL_RATIO: usize = 4;

/// What a launch costs beside its word pieces, in word pieces: a GPU does not get faster below about so many. An assumption, for
/// no GPU has been measured.
const LAUNCH_PIECES: usize = 1024;

/// A tensor of word pieces, `[rows, length]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) length: usize,
}

impl Shape {
    /// Word pieces with padding.
    pub(crate) fn pieces(self) -> usize {
        self.rows * self.length
    }
}

/// A shape, and the windows that fill its first rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) shape: Shape,
    /// Indices of windows, `shape.rows` at most.
    pub(crate) windows: Vec<usize>,
}

/// The shapes that windows are padded to.
#[derive(Clone, Debug)]
pub(crate) struct Shapes {
    /// Row counts by length, the most first; the length of entry `i` is `(i + 1) · LENGTH_STEP`.
    rows: Vec<Vec<usize>>,
}

impl Shapes {
    /// Shapes of at most `pieces_max` word pieces with padding; one row of the longest window fits in any case.
    pub(crate) fn new(pieces_max: usize) -> Shapes {
        let most = pieces_max.max(WINDOW_PIECES_MAX);
        let above = |&pieces: &usize| pieces > WINDOW_PIECES_MAX;
        let levels = std::iter::successors(Some(most), |pieces| Some(pieces / LEVEL_RATIO)).take_while(above);
        let levels: Vec<usize> = levels.chain([WINDOW_PIECES_MAX]).collect();
        let rows_of = |length: usize| {
            let mut rows: Vec<usize> = levels.iter().map(|pieces| (pieces / length).max(1)).collect();
            rows.dedup();
            rows
        };
        Shapes { rows: (LENGTH_STEP..=WINDOW_PIECES_MAX).step_by(LENGTH_STEP).map(rows_of).collect() }
    }

    /// Every shape.
    pub(crate) fn all(&self) -> impl Iterator<Item = Shape> {
        self.rows
            .iter()
            .enumerate()
            .flat_map(|(index, rows)| rows.iter().map(move |&rows| Shape { rows, length: (index + 1) * LENGTH_STEP }))
    }

    /// The shapes that a window of `pieces` word pieces fits best.
    fn of(&self, pieces: usize) -> impl Iterator<Item = Shape> {
        let length = padded_length(pieces);
        self.rows[length / LENGTH_STEP - 1].iter().map(move |&rows| Shape { rows, length })
    }

    /// How windows of these lengths are padded at the least cost.
    ///
    /// Windows go in by falling length, so that the first of a launch says to what length it is padded; which row counts are
    /// cheapest from there on is found from the last window to the first.
    ///
    /// # Panics
    /// When a length is above [`WINDOW_PIECES_MAX`], which no window has.
    pub(crate) fn plan(&self, lengths: &[usize]) -> Vec<Launch> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&window| std::cmp::Reverse(lengths[window]));
        // For each place in the order: the least cost of all windows from there on, and the shape that is launched first.
        let mut costs = vec![0; order.len() + 1];
        let mut first = Vec::with_capacity(order.len());
        for at in (0..order.len()).rev() {
            let cost = |shape: Shape| shape.pieces() + LAUNCH_PIECES + costs[(at + shape.rows).min(order.len())];
            let best = self.of(lengths[order[at]]).min_by_key(|&shape| (cost(shape), std::cmp::Reverse(shape.rows)));
            let Some(shape) = best else { unreachable!("every length has a shape") };
            costs[at] = cost(shape);
            first.push(shape);
        }
        first.reverse();
        let (mut launches, mut at) = (Vec::new(), 0);
        while let Some(&shape) = first.get(at) {
            let end = (at + shape.rows).min(order.len());
            launches.push(Launch { shape, windows: order[at..end].to_vec() });
            at = end;
        }
        launches
    }
}

/// Word pieces, padding included, that windows of these lengths come to on a GPU with launches of at most `pieces_max`.
///
/// # Panics
/// When a length is above [`WINDOW_PIECES_MAX`], which no window has.
pub fn padded_pieces(pieces_max: usize, lengths: &[usize]) -> usize {
    Shapes::new(pieces_max).plan(lengths).iter().map(|launch| launch.shape.pieces()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Launches as `rows x length: windows`.
    fn check(pieces_max: usize, lengths: &[usize], expected: &str) {
        let launch = |launch: Launch| format!("{}x{}: {:?}", launch.shape.rows, launch.shape.length, launch.windows);
        let plan = Shapes::new(pieces_max).plan(lengths);
        assert_eq!(plan.into_iter().map(launch).collect::<Vec<_>>().join("; "), expected, "{lengths:?}");
    }

    #[test]
    fn windows_share_launches_of_few_shapes() {
        check(2048, &[], "");
        check(2048, &[1], "8x64: [0]");
        check(2048, &[10, 512, 500], "4x512: [1, 2, 0]");
        check(2048, &[64, 65], "4x128: [1, 0]");
        check(2048, &[512; 5], "4x512: [0, 1, 2, 3]; 1x512: [4]");
        assert_eq!(padded_pieces(2048, &[512; 5]), 2560);
    }

    #[test]
    fn there_are_few_shapes_whatever_the_budget() {
        let count = |pieces_max| Shapes::new(pieces_max).all().count();
        assert_eq!([count(0), count(512), count(32_768)], [8, 8, 32]);
        assert!(count(10_000_000) <= 8 * 9);
    }

    proptest! {
        /// Every window is in one launch, in a row that is long enough, and every launch has a shape of the set within the budget.
        #[test]
        fn every_window_finds_its_place(
            pieces_max in 1usize..40_000,
            lengths in proptest::collection::vec(1usize..=WINDOW_PIECES_MAX, 0..200),
        ) {
            let shapes = Shapes::new(pieces_max);
            let all: Vec<Shape> = shapes.all().collect();
            let mut seen = vec![0; lengths.len()];
            for Launch { shape, windows } in shapes.plan(&lengths) {
                prop_assert!(all.contains(&shape));
                prop_assert!(shape.pieces() <= pieces_max.max(WINDOW_PIECES_MAX));
                prop_assert!(!windows.is_empty() && windows.len() <= shape.rows);
                for window in windows {
                    prop_assert!(lengths[window] <= shape.length);
                    seen[window] += 1;
                }
            }
            prop_assert!(seen.iter().all(|&times| times == 1));
        }

        /// No plan with launches of one row count alone is cheaper.
        #[test]
        fn a_mix_of_row_counts_is_never_dearer_than_one(lengths in proptest::collection::vec(1usize..=WINDOW_PIECES_MAX, 1..100)) {
            let shapes = Shapes::new(8192);
            let cost = |launches: &[Launch]| -> usize {
                launches.iter().map(|launch| launch.shape.pieces() + LAUNCH_PIECES).sum()
            };
            let best = cost(&shapes.plan(&lengths));
            let mut sorted = lengths.clone();
            sorted.sort_by_key(|&length| std::cmp::Reverse(length));
            for level in 0..3 {
                let (mut at, mut total) = (0, 0);
                while at < sorted.len() {
                    let options: Vec<Shape> = shapes.of(sorted[at]).collect();
                    let shape = options[level.min(options.len() - 1)];
                    total += shape.pieces() + LAUNCH_PIECES;
                    at += shape.rows;
                }
                prop_assert!(best <= total, "{best} is dearer than {total} of row counts of level {level}");
            }
        }
    }
}
