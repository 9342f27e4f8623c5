//! Counts of true and false positives of one text, in words and in spans.
//!
//! Pure: the live figures of [`Score`](crate::Score) and the figures of an evaluation on a gold file are sums of what is counted
//! here, and precision, recall and F1 are those of the sums (micro average).
//!
//! Positions mean nothing before they are words. A span stands for the words that it shares a code point with, so that an
//! annotator who left out a bracket, or a tokenizer that cuts a word in two, changes no figure by itself. Spans of one side that
//! come to the same words count once; a span that covers no word (empty, or white space alone) counts nowhere.
use crate::Words;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use stillroom_schemas::{Counts, Span, Task};

/// Counts of one text for one task, in the order of [`Level::ALL`](stillroom_schemas::Level::ALL).
pub type Scores = [Counts; 3];

/// Compares the predicted with the reference spans of `task`; spans of other tasks are ignored.
///
/// - *Word*: a word is positive when a span covers any of it. The counts are those of scikit-learn's
///   `precision_recall_fscore_support` for class I over the words.
/// - *Span exact*: a true positive is a range of words that both sides have. The counts are those of seqeval's strict IOB2
///   entities. Adjacent spans of a reference stay apart although a student that tags I and O cannot tell them apart: what its
///   tags cannot say is held against it.
/// - *Span overlap*: a true positive is a pair of a predicted and a reference span that share a word; each span is in one pair at
///   most, and there are as many pairs as possible.
///
/// ```
/// use stillroom_dataflow::{Words, score_spans};
/// use stillroom_schemas::{Span, Task};
///
/// let words = Words(vec![0..6, 7..11, 12..16]); // severe back pain
/// let span = |start, end| Span { task: Task::Symptom, start, end };
/// let [word, exact, overlap] = score_spans(&words, Task::Symptom, &[span(0, 16)], &[span(7, 16)]);
/// assert_eq!((word.tp, word.fp, word.fn_), (2, 1, 0));
/// assert_eq!((exact.tp, exact.fp, exact.fn_), (0, 1, 1));
/// assert_eq!((overlap.tp, overlap.fp, overlap.fn_), (1, 0, 0));
/// ```
pub fn score_spans(words: &Words, task: Task, predicted: &[Span], reference: &[Span]) -> Scores {
    let predicted = word_ranges(words, task, predicted);
    let reference = word_ranges(words, task, reference);
    let equal =
        predicted.iter().filter(|range| reference.binary_search_by(|other| order(other, range)).is_ok()).count();
    let pairs = pairs_max(&predicted, &reference);
    [
        counts(common_words(&predicted, &reference), covered(&predicted), covered(&reference)),
        counts(equal, predicted.len(), reference.len()),
        counts(pairs, predicted.len(), reference.len()),
    ]
}

/// Counts of one note from the number that both sides have and the number that each has.
fn counts(both: usize, predicted: usize, reference: usize) -> Counts {
    Counts { notes: 1, tp: both as i64, fp: (predicted - both) as i64, fn_: (reference - both) as i64 }
}

/// The words under each span of `task`: not empty, each range once, by first and then by last word.
fn word_ranges(words: &Words, task: Task, spans: &[Span]) -> Vec<Range<usize>> {
    let of_task = spans.iter().filter(|span| span.task == task);
    let mut ranges: Vec<_> = of_task.map(|span| words.under(span)).filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable_by(order);
    ranges.dedup();
    ranges
}

fn order(a: &Range<usize>, b: &Range<usize>) -> std::cmp::Ordering {
    (a.start, a.end).cmp(&(b.start, b.end))
}

/// `ranges` as disjoint runs of words, in order. Ranges must come by first word.
fn runs(ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match runs.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => runs.push(range.clone()),
        }
    }
    runs
}

/// The number of words in any of `ranges`.
fn covered(ranges: &[Range<usize>]) -> usize {
    runs(ranges).iter().map(ExactSizeIterator::len).sum()
}

/// The number of words that are in a range of `a` and in a range of `b`.
fn common_words(a: &[Range<usize>], b: &[Range<usize>]) -> usize {
    let (a, b) = (runs(a), runs(b));
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (first, last) = (a[i].start.max(b[j].start), a[i].end.min(b[j].end));
        common += last.saturating_sub(first);
        if a[i].end <= b[j].end { i += 1 } else { j += 1 }
    }
    common
}

/// The greatest number of pairs of one range of `a` and one of `b` that share a word, each range in one pair at most. Ranges must
/// come by first word.
///
/// The range that ends first of all, at word `e` say, can only be paired with ranges that hold word `e` too, and whatever those
/// could be paired with later still ends at or after `e`. Of the candidates the one that ends first has least to offer to others,
/// so taking it loses nothing. By induction this finds a maximum matching in `O(n log n)`, nested and overlapping ranges
/// included.
fn pairs_max(a: &[Range<usize>], b: &[Range<usize>]) -> usize {
    let mut starts: Vec<(usize, usize, usize)> = Vec::with_capacity(a.len() + b.len());
    starts.extend(a.iter().map(|range| (range.start, range.end, 0)));
    starts.extend(b.iter().map(|range| (range.start, range.end, 1)));
    starts.sort_unstable();
    let mut open = [BinaryHeap::new(), BinaryHeap::new()];
    let mut pairs = 0;
    for (start, end, side) in starts {
        pairs += close(&mut open, start);
        open[side].push(Reverse(end));
    }
    pairs + close(&mut open, usize::MAX)
}

/// Pairs or gives up, in the order of their ends, the open ranges that end at or before word `until`; returns the pairs. All that
/// are open hold the last word of the one that ends first.
fn close(open: &mut [BinaryHeap<Reverse<usize>>; 2], until: usize) -> usize {
    let mut pairs = 0;
    loop {
        // Reverse orders the other way round, and a missing end is less than any, so the greater peek ends first.
        let side = if open[0].peek() >= open[1].peek() { 0 } else { 1 };
        match open[side].peek() {
            Some(&Reverse(end)) if end <= until => open[side].pop(),
            _ => return pairs,
        };
        pairs += usize::from(open[1 - side].pop().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words and spans are drawn: a line of words, then lines of `^` marks, one span a run of equal marks; `p` marks predicted,
    /// `r` reference.
    fn check(text: &str, predicted: &[&str], reference: &[&str], expected: [(i64, i64, i64); 3]) {
        let scores = score_spans(&words_of(text), Task::Disease, &spans_of(predicted), &spans_of(reference));
        let found = scores.map(|counts| (counts.tp, counts.fp, counts.fn_));
        assert_eq!(found, expected, "{text}\n{predicted:?}\n{reference:?}");
        assert!(scores.iter().all(|counts| counts.notes == 1));
    }

    fn words_of(text: &str) -> Words {
        let mut words: Vec<Range<u32>> = Vec::new();
        let mut inside = false;
        for (at, character) in (0u32..).zip(text.chars()) {
            match (character.is_whitespace(), inside) {
                (true, _) => inside = false,
                (false, true) => words.last_mut().unwrap().end = at + 1,
                (false, false) => {
                    words.push(at..at + 1);
                    inside = true;
                }
            }
        }
        Words(words)
    }

    fn spans_of(lines: &[&str]) -> Vec<Span> {
        let marks = lines.iter().flat_map(|line| words_of(line).0);
        marks.map(|range| Span { task: Task::Disease, start: range.start, end: range.end }).collect()
    }

    #[test]
    fn equal_spans() {
        check(
            "acute renal failure",
            &["      ^^^^^^^^^^^^^"],
            &["      ^^^^^^^^^^^^^"],
            [(2, 0, 0), (1, 0, 0), (1, 0, 0)],
        );
    }

    #[test]
    fn spans_snap_outwards_to_words() {
        check(
            "acute renal failure",
            &["        ^^^^^^^^"],
            &["      ^^^^^^^^^^^^^"],
            [(2, 0, 0), (1, 0, 0), (1, 0, 0)],
        );
    }

    #[test]
    fn nothing_on_either_side() {
        check("acute renal failure", &[], &[], [(0, 0, 0); 3]);
        check("", &["^^"], &["^"], [(0, 0, 0); 3]);
    }

    #[test]
    fn spans_over_no_word_are_ignored() {
        check("acute   failure", &["      ^"], &["       ^"], [(0, 0, 0); 3]);
        let empty = Span { task: Task::Disease, start: 2, end: 2 };
        let reversed = Span { task: Task::Disease, start: 4, end: 1 };
        let beyond = Span { task: Task::Disease, start: 900, end: u32::MAX };
        let scores = score_spans(&words_of("acute"), Task::Disease, &[empty, reversed], &[beyond, empty]);
        assert_eq!(scores, [Counts { notes: 1, ..Counts::default() }; 3]);
    }

    #[test]
    fn spans_that_come_to_the_same_words_count_once() {
        check("acute renal failure", &["^^^^^", "  ^^"], &["^^^^^", "^"], [(1, 0, 0), (1, 0, 0), (1, 0, 0)]);
    }

    #[test]
    fn one_prediction_over_two_references_is_one_pair() {
        check("fever and chills", &["^^^^^^^^^^^^^^^^"], &["^^^^^     ^^^^^^"], [(2, 1, 0), (0, 1, 2), (1, 0, 1)]);
    }

    #[test]
    fn adjacent_references_stay_apart() {
        check("fever chills", &["^^^^^^^^^^^^"], &["^^^^^ ^^^^^^"], [(2, 0, 0), (0, 1, 2), (1, 0, 1)]);
    }

    #[test]
    fn pairing_left_to_right_by_start_would_lose_a_pair() {
        check(
            "a b c d",
            &["^^^^^^^", "^"], // the long prediction must not take the only reference of the short one
            &["^", "    ^"],
            [(2, 2, 0), (1, 1, 1), (2, 0, 0)],
        );
    }

    #[test]
    fn other_tasks_are_ignored() {
        let symptom = Span { task: Task::Symptom, start: 0, end: 5 };
        let scores = score_spans(&words_of("fever"), Task::Disease, &[symptom], &[symptom]);
        assert_eq!(scores, [Counts { notes: 1, ..Counts::default() }; 3]);
    }

    /// The size of a maximum matching by augmenting paths, with nothing assumed of the ranges.
    fn pairs_by_augmenting(a: &[Range<usize>], b: &[Range<usize>]) -> usize {
        fn augment(
            i: usize,
            a: &[Range<usize>],
            b: &[Range<usize>],
            seen: &mut [bool],
            of: &mut [Option<usize>],
        ) -> bool {
            for j in 0..b.len() {
                if a[i].start < b[j].end && b[j].start < a[i].end && !seen[j] {
                    seen[j] = true;
                    if of[j].is_none_or(|other| augment(other, a, b, seen, of)) {
                        of[j] = Some(i);
                        return true;
                    }
                }
            }
            false
        }
        let mut partner_of = vec![None; b.len()];
        (0..a.len()).filter(|&i| augment(i, a, b, &mut vec![false; b.len()], &mut partner_of)).count()
    }

    fn any_words() -> impl Strategy<Value = Words> {
        prop::collection::vec((0u32..4, 1u32..9), 0..24).prop_map(|gaps| {
            let mut at = 0;
            let words = gaps.into_iter().map(|(gap, length)| {
                let start = at + gap;
                at = start + length;
                start..at
            });
            Words(words.collect())
        })
    }

    fn any_spans() -> impl Strategy<Value = Vec<Span>> {
        let span = (0usize..2, 0u32..140, 0u32..40);
        let span = span.prop_map(|(task, start, length)| Span { task: Task::ALL[task], start, end: start + length });
        prop::collection::vec(span, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against the definitions, word by word and range by range.
        #[test]
        fn agrees_with_the_definitions(words in any_words(), predicted in any_spans(), reference in any_spans()) {
            let task = Task::Disease;
            let [word, exact, overlap] = score_spans(&words, task, &predicted, &reference);
            let positive = |spans: &[Span], word: &Range<u32>| {
                spans.iter().any(|span| span.task == task && span.start.max(word.start) < span.end.min(word.end))
            };
            let tags = words.0.iter().map(|word| (positive(&predicted, word), positive(&reference, word)));
            let tags: Vec<_> = tags.collect();
            let tagged = |pair: (bool, bool)| tags.iter().filter(|&&tag| tag == pair).count() as i64;
            prop_assert_eq!((word.tp, word.fp, word.fn_), (tagged((true, true)), tagged((true, false)), tagged((false, true))));

            let ranges = |spans: &[Span]| {
                let inside = |span: &Span| (0..words.len()).filter(|&i| positive(&[*span], &words.0[i])).collect::<Vec<_>>();
                let mut ranges: Vec<_> = spans.iter().map(inside).filter(|range| !range.is_empty()).collect();
                ranges.sort();
                ranges.dedup();
                ranges
            };
            let (p, r) = (ranges(&predicted), ranges(&reference));
            let both = p.iter().filter(|range| r.contains(range)).count() as i64;
            prop_assert_eq!((exact.tp, exact.fp, exact.fn_), (both, p.len() as i64 - both, r.len() as i64 - both));

            let as_ranges = |lists: &[Vec<usize>]| lists.iter().map(|list| list[0]..list[list.len() - 1] + 1).collect::<Vec<_>>();
            let pairs = pairs_by_augmenting(&as_ranges(&p), &as_ranges(&r)) as i64;
            prop_assert_eq!((overlap.tp, overlap.fp, overlap.fn_), (pairs, p.len() as i64 - pairs, r.len() as i64 - pairs));
        }

        /// Exchanging the sides exchanges false positives and false negatives.
        #[test]
        fn is_symmetric(words in any_words(), predicted in any_spans(), reference in any_spans()) {
            let forth = score_spans(&words, Task::Disease, &predicted, &reference);
            let back = score_spans(&words, Task::Disease, &reference, &predicted);
            prop_assert_eq!(forth, back.map(|c| Counts { fp: c.fn_, fn_: c.fp, ..c }));
        }
    }
}
