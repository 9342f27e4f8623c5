//! What a reference says of the words that a student tags and an ensemble does not.
//!
//! Pure. To the ensemble they are false positives. Where somebody has read the note once more, some of them turn out to be
//! mentions: the published study had its false positives read again, and 63 to 82 % of them were.

use crate::Words;
use crate::ensemble::{NoteVotes, Pattern};
use stillroom_schemas::{Counts, Span, Task};

/// The pattern of a word that the first of two sides marks, and the second does not.
const FIRST_ALONE: Pattern = 0b01;

/// Of the words that the student tags and the ensemble does not, those that the reference calls mentions (`tp`) and those that
/// it does not (`fp`), for one task.
pub(crate) fn only_student(
    words: &Words,
    task: Task,
    (student, ensemble): (&[Span], &[Span]),
    reference: &[Span],
) -> Counts {
    let votes = NoteVotes::count(words, task, &[student, ensemble], reference);
    // What neither side marks, or the ensemble does, was not missed by the student alone.
    Counts { fn_: 0, ..votes.counts(|pattern| pattern == FIRST_ALONE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of four words, a column each: `x` where a side marks the word. Student, ensemble and reference stand one below another.
    fn check([student, ensemble, reference]: [&str; 3], expected: (i64, i64)) {
        let words = Words((0..4).map(|word| 2 * word..2 * word + 1).collect());
        let spans = |line: &str| -> Vec<Span> {
            let marked = (0..).zip(line.chars()).filter(|(_, mark)| *mark == 'x');
            marked.map(|(word, _)| Span { task: Task::Disease, start: 2 * word, end: 2 * word + 1 }).collect()
        };
        let [student, ensemble, reference] = [student, ensemble, reference].map(spans);
        let counts = only_student(&words, Task::Disease, (&student, &ensemble), &reference);
        assert_eq!(counts, Counts { notes: 1, tp: expected.0, fp: expected.1, fn_: 0 });
        let others = only_student(&words, Task::Symptom, (&student, &ensemble), &reference);
        assert_eq!(others, Counts { notes: 1, ..Counts::default() }, "spans of another task say nothing");
    }

    #[test]
    fn only_what_the_student_alone_tags_is_counted() {
        check(["xx..", "....", "x..."], (1, 1));
        check(["xx..", "x...", "xx.."], (1, 0));
        check(["x...", "xx..", ".xx."], (0, 0));
        check(["....", "....", "xxxx"], (0, 0));
        check(["xxxx", ".x..", "...."], (0, 3));
    }
}
