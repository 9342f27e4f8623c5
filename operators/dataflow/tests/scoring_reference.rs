//! Counts and ratios against scikit-learn, seqeval and scipy; `reference/scoring.py` says how the figures were made.
use serde::Deserialize;
use stillroom_dataflow::{Words, score_spans};
use stillroom_schemas::{Counts, Span, Task};

#[derive(Deserialize)]
struct Case {
    documents: Vec<Document>,
    word: Figures,
    span_exact: Figures,
    span_overlap: Figures,
}

#[derive(Deserialize)]
struct Document {
    words: Vec<(u32, u32)>,
    reference: Vec<(u32, u32)>,
    predicted: Vec<(u32, u32)>,
}

#[derive(Deserialize)]
struct Figures {
    tp: i64,
    fp: i64,
    #[serde(rename = "fn")]
    fn_: i64,
    precision: String,
    recall: String,
    f1: String,
}

fn sums(documents: &[Document]) -> [Counts; 3] {
    let spans = |ends: &[(u32, u32)]| -> Vec<Span> {
        ends.iter().map(|&(start, end)| Span { task: Task::Symptom, start, end }).collect()
    };
    let mut sums = [Counts::default(); 3];
    for document in documents {
        let words = Words(document.words.iter().map(|&(start, end)| start..end).collect());
        let scores = score_spans(&words, Task::Symptom, &spans(&document.predicted), &spans(&document.reference));
        for (sum, counts) in sums.iter_mut().zip(scores) {
            sum.notes += counts.notes;
            sum.tp += counts.tp;
            sum.fp += counts.fp;
            sum.fn_ += counts.fn_;
        }
    }
    sums
}

fn number(figure: &str) -> f64 {
    figure.parse().expect("a number as Python writes it")
}

/// Counts, precision and recall must be equal to the last bit. F1 too, unless `f1_of_ratios`: seqeval divides twice more, by
/// computing F1 from precision and recall that are already rounded, and may differ in the last bits.
fn check(case: usize, level: &str, counts: Counts, expected: &Figures, f1_of_ratios: bool) {
    let place = format!("case {case}, {level}");
    assert_eq!((counts.tp, counts.fp, counts.fn_), (expected.tp, expected.fp, expected.fn_), "{place}");
    let [precision, recall, expected_f1] =
        [&expected.precision, &expected.recall, &expected.f1].map(|figure| number(figure));
    assert_eq!((counts.precision(), counts.recall()), (precision, recall), "{place}");
    let (p, r) = (counts.precision(), counts.recall());
    let f1 = match f1_of_ratios {
        true if p + r > 0.0 => 2.0 * p * r / (p + r),
        _ => counts.f1(),
    };
    assert_eq!(f1, expected_f1, "{place}");
    assert!((counts.f1() - expected_f1).abs() < 1e-15, "{place}");
}

#[test]
fn agrees_with_scikit_learn_seqeval_and_scipy() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("reference/scoring.json")).expect("the committed figures");
    assert_eq!(cases.len(), 40);
    for (number, case) in cases.iter().enumerate() {
        let [word, exact, overlap] = sums(&case.documents);
        check(number, "word", word, &case.word, false);
        check(number, "span_exact", exact, &case.span_exact, true);
        check(number, "span_overlap", overlap, &case.span_overlap, false);
        assert!([word, exact, overlap].iter().all(|counts| counts.notes == case.documents.len() as i64));
    }
    let hits = |figures: fn(&Case) -> &Figures| cases.iter().map(|case| figures(case).tp).sum::<i64>();
    assert!(hits(|c| &c.word) > hits(|c| &c.span_overlap) && hits(|c| &c.span_overlap) > hits(|c| &c.span_exact));
}
