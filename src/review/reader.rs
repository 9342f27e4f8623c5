//! The student that serves, reading texts as a run does, with the probability of every word.

use crate::config::Config;
use crate::golden::probabilities;
use crate::serving::student_config;
use anyhow::{Context, Result, anyhow};
use stillroom_dataflow::{Probabilities, Tagger, Tokenizer, Words};
use stillroom_schemas::{ModelId, Task, TaskSet};

/// A text, read.
pub(super) struct ReadText {
    /// Its words.
    pub(super) words: Words,
    /// The probability of each.
    pub(super) probabilities: Probabilities,
}

/// The student that serves, on the configured device.
pub(super) struct Reader {
    tokenizer: Tokenizer,
    taggers: Vec<Box<dyn Tagger>>,
    /// What it has heads for.
    pub(super) tasks: TaskSet,
    /// Its name.
    pub(super) model: ModelId,
    /// From which probability on it tags a word, by [`Task::index`].
    pub(super) thresholds: [f32; Task::ALL.len()],
}

impl Reader {
    /// Loads the student that was activated last, or else the configured one.
    ///
    /// # Errors
    /// When the log cannot be read, or the student not be loaded.
    pub(super) fn open(config: &Config) -> Result<Reader> {
        let student = student_config(config)?;
        let students = student.load()?;
        let taggers = student.taggers(&students, &config.engine)?;
        let first = taggers.first().context("the device has no tagger")?;
        let (model, thresholds) = (first.model().clone(), first.thresholds());
        let tokenizer = students[0].tokenizer().clone();
        let tasks = students.iter().flat_map(|student| student.tasks().iter().copied()).collect();
        Ok(Reader { tokenizer, taggers, tasks, model, thresholds })
    }

    /// Reads texts, a thread for each tagger; what it says of them, in their order.
    ///
    /// # Errors
    /// When the student fails on a text.
    pub(super) fn read(&mut self, texts: &[&str]) -> Result<Vec<ReadText>> {
        let (step, tokenizer) = (self.taggers.len(), &self.tokenizer);
        let read = |first: usize, tagger: &mut dyn Tagger| -> Result<Vec<(usize, ReadText)>> {
            let mut read = Vec::new();
            for index in (first..texts.len()).step_by(step) {
                let text = tokenizer.tokenize(texts[index])?;
                let probabilities = probabilities(&text, tagger)?;
                read.push((index, ReadText { words: text.words, probabilities }));
            }
            Ok(read)
        };
        let read = &read;
        let parts: Vec<Result<Vec<(usize, ReadText)>>> = std::thread::scope(|scope| {
            let taggers = self.taggers.iter_mut().enumerate();
            let threads: Vec<_> =
                taggers.map(|(first, tagger)| scope.spawn(move || read(first, tagger.as_mut()))).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|read| read.map_err(|_| anyhow!("a thread of the student panicked")).flatten()).collect()
        });
        let mut read = Vec::with_capacity(texts.len());
        for part in parts {
            read.extend(part?);
        }
        read.sort_by_key(|(index, _)| *index);
        Ok(read.into_iter().map(|(_, text)| text).collect())
    }
}
