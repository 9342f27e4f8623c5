//! What people judged: rows as they come back, and texts as they are corrected by them.

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use std::path::Path;
use stillroom_dataflow::{Words, spans_of};
use stillroom_schemas::{Span, Task, TextHash};

/// What is read of a row; the rest is for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Judged {
    /// The note.
    pub(super) note_id: String,
    /// Of its text.
    pub(super) text_hash: TextHash,
    /// What the words are a mention of, or are not.
    pub(super) task: Task,
    /// First code point.
    pub(super) start: u32,
    /// One past the last code point.
    pub(super) end: u32,
    /// Whether the words are a mention; nothing where nobody judged.
    pub(super) verdict: Option<bool>,
}

/// Reads a file of rows.
///
/// # Errors
/// Names the line that is no row, without what is in it.
pub(super) fn read(path: &Path) -> Result<Vec<Judged>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    rows(&text).map_err(|line| {
        anyhow!(
            "{shown}, line {line}: not a row of `review list` with the verdict true, false or null; correct or remove it"
        )
    })
}

/// The rows of a text, or the number of the first line that is none. What the parser says may quote the row.
fn rows(text: &str) -> Result<Vec<Judged>, usize> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| serde_json::from_str(line).map_err(|_| number)).collect()
}

/// What `said` becomes for a task by verdicts: words that are mentions are added, others removed. Adjacent words are one
/// mention, as where ensembles and students speak.
///
/// # Errors
/// When a row has no word of the text, or two rows contradict each other.
pub(super) fn correct(words: &Words, task: Task, said: &[Span], rows: &[Judged]) -> Result<Vec<Span>> {
    let mut is_mention = words.inside(said.iter().filter(|span| span.task == task));
    let mut judged: Vec<Option<bool>> = vec![None; words.len()];
    let rows = rows.iter().filter_map(|row| row.verdict.map(|verdict| (row.start, row.end, verdict)));
    for (start, end, verdict) in rows {
        let under = words.overlapping(start, end);
        ensure!(!under.is_empty(), "there is no word at {start}..{end}; take rows as `review list` wrote them");
        for word in under {
            ensure!(
                judged[word].is_none_or(|other| other == verdict),
                "the words at {start}..{end} are judged twice, and not alike; leave one verdict"
            );
            judged[word] = Some(verdict);
            is_mention[word] = verdict;
        }
    }
    let probabilities = |is_mention: &bool| {
        let mut word = [0.0; Task::ALL.len()];
        word[task.index()] = f32::from(*is_mention);
        word
    };
    let probabilities: Vec<_> = is_mention.iter().map(probabilities).collect();
    let spans = spans_of(words, &probabilities, &[0.5; Task::ALL.len()]);
    Ok(spans.into_iter().map(|(span, _)| span).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of six words, word `k` at code point `2 * k`: what is said, rows as first word, end and verdict, and what becomes of it.
    fn check(said: &str, rows: &[(u32, u32, Option<bool>)], expected: &str) {
        let words = Words((0..6).map(|word| 2 * word..2 * word + 1).collect());
        let marked = (0..).zip(said.chars()).filter(|(_, mark)| *mark == 'x').map(|(word, _)| word);
        let span = |word: u32| Span { task: Task::Disease, start: 2 * word, end: 2 * word + 1 };
        let other = Span { task: Task::Symptom, start: 0, end: 11 };
        let said: Vec<Span> = marked.map(span).chain([other]).collect();
        let row = |(first, end, verdict): &(u32, u32, Option<bool>)| Judged {
            note_id: "n".to_owned(),
            text_hash: TextHash::of(""),
            task: Task::Disease,
            start: 2 * first,
            end: 2 * end - 1,
            verdict: *verdict,
        };
        let rows: Vec<Judged> = rows.iter().map(row).collect();
        let found = match correct(&words, Task::Disease, &said, &rows) {
            Ok(spans) => {
                assert!(spans.iter().all(|span| span.task == Task::Disease));
                words.inside(&spans).into_iter().map(|is_inside| if is_inside { 'x' } else { '.' }).collect()
            }
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{said:?} {rows:?}: {found}");
    }

    #[test]
    fn verdicts_add_and_remove_words_and_leave_the_rest() {
        check("x.....", &[(2, 4, Some(true))], "x.xx..");
        check("xxx...", &[(1, 2, Some(false))], "x.x...");
        check("x.....", &[(2, 4, Some(false)), (0, 1, Some(true))], "x.....");
        check("x...x.", &[(0, 1, None), (1, 3, None)], "x...x.");
        check("......", &[(0, 2, Some(true)), (1, 3, Some(true))], "xxx...");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check("x.....", &[(0, 2, Some(true)), (1, 3, Some(false))], "the words at 2..5 are judged twice");
        check("x.....", &[(8, 9, Some(true))], "there is no word at 16..17");
    }

    #[test]
    fn adjacent_words_are_one_mention() {
        let words = Words(vec![0..3, 4..7, 8..9]);
        let said = [Span { task: Task::Symptom, start: 0, end: 3 }];
        let line = r#"{"note_id":"n","text_hash":"","task":"symptom","start":4,"end":7,"verdict":true,"more":1}"#;
        let corrected = correct(&words, Task::Symptom, &said, &rows(line).unwrap()).unwrap();
        assert_eq!(corrected, [Span { task: Task::Symptom, start: 0, end: 7 }]);
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        let row = r#"{"note_id":"n","text_hash":"","task":"symptom","start":4,"end":7,"verdict":null}"#;
        assert_eq!(rows(&format!("{row}\n\n{row}\n")).unwrap().len(), 2);
        assert_eq!(rows(&format!("{row}\n{}\n", row.replace("null", "\"yes\""))), Err(2));
        assert_eq!(rows("\nfever\n"), Err(2));
    }
}
