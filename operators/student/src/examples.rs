//! From annotated documents to what a training step needs.

use crate::StudentError;
use crate::soft::tempered;
use stillroom_dataflow::{SoftSpans, Tokenizer, Window, Words};
use stillroom_schemas::{Span, Task, TaskSet};

/// An annotated text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name in the corpus.
    pub id: String,
    /// The text.
    pub text: String,
    /// What it was annotated for. Other tasks are unannotated: they do not enter the loss.
    pub tasks: TaskSet,
    /// The mentions, in Unicode code points.
    pub spans: Vec<Span>,
    /// What teachers say in shares of them. Where the recipe has a temperature for it, it is learned in the place of the mentions
    /// of a task; students are measured by the mentions in any case.
    pub soft: SoftSpans,
}

/// A window to learn from. Targets are of each word piece and task, in the order of the heads: the probability of class I, NaN for
/// pieces without a target. Pieces of words that another window owns and special pieces have none.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) window: Window,
    /// What the piece is marked as, 0 or 1 by people, between them by soft labels; unannotated tasks have no target.
    marked: Vec<f32>,
    /// By the students that are distilled; empty when none were asked.
    distilled: Vec<f32>,
}

impl Example {
    /// `marks` are of each head and word of the text; nothing for a head that the text was not annotated for.
    fn new(window: Window, marks: &[Option<Vec<f32>>]) -> Example {
        let mut marked = vec![f32::NAN; window.ids.len() * marks.len()];
        for (head, of_words) in marks.iter().enumerate() {
            if let Some(of_words) = of_words {
                let owned = window.words.clone().map(|word| of_words[word]);
                spread(&window, (head, marks.len()), owned, &mut marked);
            }
        }
        Example { window, marked, distilled: Vec::new() }
    }

    /// Sets what teachers say: of each of the window's words the probability by head.
    pub(crate) fn teach(&mut self, words: &[Vec<f32>], heads: usize) {
        self.distilled = vec![f32::NAN; self.window.ids.len() * heads];
        for head in 0..heads {
            let values = words.iter().map(|word| word[head]);
            spread(&self.window, (head, heads), values, &mut self.distilled);
        }
    }

    /// Pairs of word piece and task that have a target.
    pub(crate) fn labelled(&self) -> usize {
        let count = |targets: &[f32]| targets.iter().filter(|target| !target.is_nan()).count();
        let distilled = count(&self.distilled);
        // Students say something of every task, annotations of some.
        if distilled > 0 { distilled } else { count(&self.marked) }
    }

    /// The weights of the classes O and I in the loss by the annotations, `[pieces, tasks]`.
    pub(crate) fn marked(&self) -> impl Iterator<Item = [f32; 2]> {
        weights(&self.marked)
    }

    /// The same by what teachers say; nothing when they were not asked.
    pub(crate) fn distilled(&self) -> impl Iterator<Item = [f32; 2]> {
        weights(&self.distilled)
    }
}

/// The weights of the classes O and I by the probability of I; none without a target.
fn weights(targets: &[f32]) -> impl Iterator<Item = [f32; 2]> {
    targets.iter().map(|&inside| if inside.is_nan() { [0.0; 2] } else { [1.0 - inside, inside] })
}

/// Sets the targets of a head among `heads` for the pieces of each word that the window owns.
fn spread(window: &Window, (head, heads): (usize, usize), words: impl Iterator<Item = f32>, targets: &mut [f32]) {
    for (value, pieces) in words.zip(window.pieces.windows(2)) {
        for piece in pieces[0]..pieces[1] {
            targets[usize::from(piece) * heads + head] = value;
        }
    }
}

/// Which words lie under a span of `task`: the I tags.
pub(crate) fn words_inside(words: &Words, document: &Document, task: Task) -> Vec<bool> {
    words.inside(document.spans.iter().filter(|span| span.task == task))
}

/// What each word is marked as for a task, from 0 to 1; nothing when the document was not annotated for it. Soft labels count where
/// there is a temperature for them.
fn marks(words: &Words, document: &Document, task: Task, soft_temperature: Option<f64>) -> Option<Vec<f32>> {
    let soft = soft_temperature.and_then(|temperature| Some((document.soft.get(&task)?, temperature)));
    document.tasks.contains(&task).then(|| match soft {
        Some((spans, temperature)) => {
            words.shares(spans).into_iter().map(|share| tempered(share, temperature)).collect()
        }
        None => words_inside(words, document, task).into_iter().map(f32::from).collect(),
    })
}

/// Every window of every document. Each word is labelled in the one window that owns it.
pub(crate) fn examples_of<'a>(
    documents: impl IntoIterator<Item = &'a Document>,
    tokenizer: &Tokenizer,
    tasks: &[Task],
    soft_temperature: Option<f64>,
) -> Result<Vec<Example>, StudentError> {
    let mut examples = Vec::new();
    for document in documents {
        let text = tokenizer.tokenize(&document.text)?;
        let marks: Vec<_> = tasks.iter().map(|task| marks(&text.words, document, *task, soft_temperature)).collect();
        examples.extend(text.windows.into_iter().map(|window| Example::new(window, &marks)));
    }
    Ok(examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use stillroom_dataflow::{Share, SoftSpan};

    /// Of a document in which one word is marked by all teachers, one by a quarter of them, and the rest by none.
    fn document(soft: bool) -> Document {
        let text = "fever and nausea today, no gout".to_owned();
        let symptom = |start, end| Span { task: Task::Symptom, start, end };
        let share = |start, end, share| SoftSpan { start, end, share: Share::new(share).unwrap() };
        let shares = if soft { vec![share(0, 5, 1.0), share(10, 16, 0.25)] } else { vec![share(0, 5, 1.0)] };
        Document {
            id: "d".into(),
            text,
            tasks: TaskSet::from([Task::Symptom, Task::Disease]),
            spans: vec![symptom(0, 5), Span { task: Task::Disease, start: 27, end: 31 }],
            soft: SoftSpans::from([(Task::Symptom, shares)]),
        }
    }

    fn example(document: &Document, soft_temperature: Option<f64>) -> Example {
        let tokenizer = Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")).unwrap();
        let [example] =
            <[Example; 1]>::try_from(examples_of([document], &tokenizer, &Task::ALL, soft_temperature).unwrap())
                .unwrap();
        example
    }

    fn bits(weights: impl Iterator<Item = [f32; 2]>) -> Vec<[u32; 2]> {
        weights.map(|pair| pair.map(f32::to_bits)).collect()
    }

    #[test]
    fn shares_of_0_and_1_weigh_what_hard_marks_weigh_at_any_temperature() {
        let hard = example(&document(false), None);
        for temperature in [0.25, 1.0, 3.0] {
            let soft = example(&document(false), Some(temperature));
            assert_eq!(bits(soft.marked()), bits(hard.marked()), "{temperature}");
            assert_eq!(soft.labelled(), hard.labelled());
        }
        let (zero, one, none) = ([1.0f32, 0.0], [0.0f32, 1.0], [0.0f32, 0.0]);
        let weighed: Vec<[f32; 2]> = hard.marked().collect();
        let count = |weights: [f32; 2]| weighed.iter().filter(|pair| **pair == weights).count();
        assert!(count(one) >= 2 && count(zero) > count(one), "{weighed:?}");
        assert_eq!(count(zero) + count(one), hard.labelled());
        assert_eq!(count(none), weighed.len() - hard.labelled(), "medications, and special pieces");
    }

    #[test]
    fn soft_labels_count_where_there_is_a_temperature_for_their_task() {
        let (document, heads) = (document(true), Task::ALL.len());
        let hard = example(&document, None);
        let pieces_of = |weights: &[[f32; 2]], word: usize| -> Vec<Vec<[f32; 2]>> {
            let pieces = hard.window.pieces[word]..hard.window.pieces[word + 1];
            pieces.map(|piece| weights[usize::from(piece) * heads..][..heads].to_vec()).collect()
        };
        let before: Vec<[f32; 2]> = hard.marked().collect();
        for temperature in [0.5, 1.0, 2.0] {
            let soft: Vec<[f32; 2]> = example(&document, Some(temperature)).marked().collect();
            let share = tempered(0.25, temperature);
            for word in 0..hard.window.words.len() {
                for (old, new) in pieces_of(&before, word).into_iter().zip(pieces_of(&soft, word)) {
                    let mut expected = old;
                    if word == 2 {
                        expected[Task::Symptom.index()] = [1.0 - share, share];
                    }
                    assert_eq!(new, expected, "word {word} at {temperature}");
                }
            }
        }
    }
}
