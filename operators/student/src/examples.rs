//! From annotated documents to what a training step needs.

use crate::StudentError;
use stillroom_dataflow::{Tokenizer, Window, Words};
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
}

/// A window to learn from.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) ids: Vec<u32>,
    /// For each word piece and task, in the order of the heads: the weight of class O and of class I in the loss, 0 or 1.
    /// Pieces of words that another window owns, special pieces and unannotated tasks have neither.
    targets: Vec<[f32; 2]>,
    /// Pairs of piece and task that are labelled.
    pub(crate) labelled: usize,
}

impl Example {
    fn new(window: Window, words: &Words, document: &Document, tasks: &[Task]) -> Example {
        let mut targets = vec![[0.0; 2]; window.ids.len() * tasks.len()];
        let mut labelled = 0;
        for (head, task) in tasks.iter().enumerate().filter(|(_, task)| document.tasks.contains(task)) {
            let inside = words_inside(words, document, *task);
            for (word, pieces) in window.words.clone().zip(window.pieces.windows(2)) {
                for piece in pieces[0]..pieces[1] {
                    targets[usize::from(piece) * tasks.len() + head][usize::from(inside[word])] = 1.0;
                    labelled += 1;
                }
            }
        }
        Example { ids: window.ids, targets, labelled }
    }

    /// `[pieces, tasks, 2]`, row by row.
    pub(crate) fn targets(&self) -> &[f32] {
        self.targets.as_flattened()
    }
}

/// Which words lie under a span of `task`: the I tags.
pub(crate) fn words_inside(words: &Words, document: &Document, task: Task) -> Vec<bool> {
    let mut inside = vec![false; words.len()];
    for span in document.spans.iter().filter(|span| span.task == task) {
        inside[words.under(span)].fill(true);
    }
    inside
}

/// Every window of every document. Each word is labelled in the one window that owns it.
pub(crate) fn examples_of<'a>(
    documents: impl IntoIterator<Item = &'a Document>,
    tokenizer: &Tokenizer,
    tasks: &[Task],
) -> Result<Vec<Example>, StudentError> {
    let mut examples = Vec::new();
    for document in documents {
        let text = tokenizer.tokenize(&document.text)?;
        let of_window = |window| Example::new(window, &text.words, document, tasks);
        examples.extend(text.windows.into_iter().map(of_window).filter(|example| example.labelled > 0));
    }
    Ok(examples)
}
