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

/// A window to learn from. Targets are of each word piece and task, in the order of the heads; pieces of words that another window
/// owns and special pieces have none.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) window: Window,
    /// Whether people marked the piece; unannotated tasks have no target.
    hard: Vec<Option<bool>>,
    /// The probability of class I by teachers, NaN for pieces without a target; empty when none were asked.
    soft: Vec<f32>,
}

impl Example {
    fn new(window: Window, words: &Words, document: &Document, tasks: &[Task]) -> Example {
        let mut example = Example { hard: vec![None; window.ids.len() * tasks.len()], soft: Vec::new(), window };
        for (head, task) in tasks.iter().enumerate().filter(|(_, task)| document.tasks.contains(task)) {
            let inside = words_inside(words, document, *task);
            let owned = example.window.words.clone();
            let values = owned.map(|word| Some(inside[word]));
            spread(&example.window, (head, tasks.len()), values, &mut example.hard);
        }
        example
    }

    /// Sets what teachers say: of each of the window's words the probability by head.
    pub(crate) fn teach(&mut self, words: &[Vec<f32>], heads: usize) {
        self.soft = vec![f32::NAN; self.window.ids.len() * heads];
        for head in 0..heads {
            let values = words.iter().map(|word| word[head]);
            spread(&self.window, (head, heads), values, &mut self.soft);
        }
    }

    /// Pairs of word piece and task that have a target.
    pub(crate) fn labelled(&self) -> usize {
        let soft = self.soft.iter().filter(|target| !target.is_nan()).count();
        // Teachers say something of every task, people of some.
        if soft > 0 { soft } else { self.hard.iter().flatten().count() }
    }

    /// The weights of the classes O and I in the loss by people's marks, `[pieces, tasks]`.
    pub(crate) fn hard(&self) -> impl Iterator<Item = [f32; 2]> {
        self.hard.iter().map(|target| target.map_or([0.0; 2], |inside| if inside { [0.0, 1.0] } else { [1.0, 0.0] }))
    }

    /// The same by what teachers say; nothing when they were not asked.
    pub(crate) fn soft(&self) -> impl Iterator<Item = [f32; 2]> {
        self.soft.iter().map(|&inside| if inside.is_nan() { [0.0; 2] } else { [1.0 - inside, inside] })
    }
}

/// Sets the targets of a head among `heads` for the pieces of each word that the window owns.
fn spread<T: Copy>(window: &Window, (head, heads): (usize, usize), words: impl Iterator<Item = T>, targets: &mut [T]) {
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

/// Every window of every document. Each word is labelled in the one window that owns it.
pub(crate) fn examples_of<'a>(
    documents: impl IntoIterator<Item = &'a Document>,
    tokenizer: &Tokenizer,
    tasks: &[Task],
) -> Result<Vec<Example>, StudentError> {
    let mut examples = Vec::new();
    for document in documents {
        let text = tokenizer.tokenize(&document.text)?;
        examples.extend(text.windows.into_iter().map(|window| Example::new(window, &text.words, document, tasks)));
    }
    Ok(examples)
}
