//! The student as the dataflow knows it: windows in, probabilities out.

use std::ops::Range;
use stillroom_schemas::{ModelId, Task};

/// A stretch of a text that is read at once: at most 512 word pieces, the special ones included.
///
/// Windows of one text overlap. Each word is owned by one window, the one that gives it most context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Word pieces, from `[CLS]` to `[SEP]`.
    pub ids: Vec<u32>,
    /// The words of the text that this window owns, by index.
    pub words: Range<usize>,
    /// The pieces of the owned words, by position in `ids`: word `words.start + i` is made of `pieces[i]..pieces[i + 1]`.
    pub pieces: Vec<u16>,
}

/// For each owned word of a window the probability of class I for each task, in the order of [`Task::ALL`].
pub type Probabilities = Vec<[f32; Task::ALL.len()]>;

/// A student at the edge of the dataflow. One instance serves one thread.
pub trait Tagger: Send {
    /// The student's name and version, the same for every instance of one pool.
    fn model(&self) -> &ModelId;

    /// The probability from which on a word is tagged I, for each task in the order of [`Task::ALL`].
    fn thresholds(&self) -> [f32; Task::ALL.len()];

    /// The probabilities for every window, in the order of `windows`.
    ///
    /// The answer for a window must not depend on the other windows of the batch.
    ///
    /// # Errors
    /// When the batch as a whole failed; the caller bisects it to find the window that is to blame.
    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError>;
}

/// Why a batch failed. The message never carries text of a note.
#[derive(Debug, thiserror::Error)]
#[error("student {model} failed on a batch of {windows} windows: {cause}")]
pub struct TaggerError {
    /// The student.
    pub model: String,
    /// The size of the batch.
    pub windows: usize,
    /// What went wrong.
    pub cause: String,
}
