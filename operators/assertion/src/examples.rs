//! Sentences whose entities are known to be meant in a certain way, and how many of them are understood.
//!
//! In flow files of a sentence, an entity in it and what is expected, out flow judgements. The file of the program,
//! `data/sentences.tsv`, was written for this project; a part of it (`held_out`) was never looked at when the lexicon
//! was mended.

use crate::{Asserted, AssertionError, Context};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use stillroom_schemas::{Certainty, Experiencer, Span, Task, Temporality};

const SHIPPED: &str = include_str!("../data/sentences.tsv");

/// A sentence, an entity in it, and how the sentence means it. Axes without an expectation are not judged. Unknown
/// fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The part of the file that it is in, such as `held_out`. Default none.
    #[serde(default)]
    pub split: Option<String>,
    /// What it is an example of, such as `double_negation`. Default none.
    #[serde(default)]
    pub category: Option<String>,
    /// The text, which may be several lines; in a table `\n`, `\t` and `\\` stand for a line end, a tab and a
    /// backslash.
    pub sentence: String,
    /// The words of the entity; where they stand in the sentence several times, the first are meant.
    pub entity: String,
    /// What the entity is. Default `disease`.
    #[serde(default)]
    pub task: Option<Task>,
    /// How sure the sentence is.
    #[serde(default)]
    pub certainty: Option<Certainty>,
    /// When it is so.
    #[serde(default)]
    pub temporality: Option<Temporality>,
    /// Of whom it is said.
    #[serde(default)]
    pub experiencer: Option<Experiencer>,
}

impl Example {
    /// Where the entity stands; none if it is not in the sentence as words of their own.
    pub fn span(&self) -> Option<Span> {
        let is_word = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        let is_apart = |&(at, words): &(usize, &str)| {
            let (before, behind) = (&self.sentence[..at], &self.sentence[at + words.len()..]);
            let is_cut_before = is_word(before.chars().next_back()) && is_word(words.chars().next());
            let is_cut_behind = is_word(behind.chars().next()) && is_word(words.chars().next_back());
            !is_cut_before && !is_cut_behind
        };
        let (at, words) = self.sentence.match_indices(self.entity.as_str()).find(is_apart)?;
        let start = self.sentence[..at].chars().count() as u32;
        let end = start + words.chars().count() as u32;
        (start < end).then_some(Span { task: self.task.unwrap_or(Task::Disease), start, end })
    }

    /// What is wrong with it.
    fn fault(&self) -> Option<&'static str> {
        if self.span().is_none() {
            return Some(
                "the entity does not stand in the sentence as words of their own; write it as it stands there",
            );
        }
        let is_judged = self.certainty.is_some() || self.temporality.is_some() || self.experiencer.is_some();
        (!is_judged).then_some("nothing is expected; fill certainty, temporality or experiencer")
    }
}

/// How an example was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What was decided.
    pub asserted: Asserted,
    /// Whether that is right, by axis: certainty, temporality, experiencer; none where nothing is expected.
    pub axes: [Option<bool>; 3],
}

impl Judged {
    /// Whether it is right on all axes that are judged.
    pub fn is_right(&self) -> bool {
        self.axes.iter().all(|axis| *axis != Some(false))
    }
}

/// How many are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that are right.
    pub right: usize,
    /// All of them.
    pub of: usize,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, is_right: bool) {
        self.right += usize::from(is_right);
        self.of += 1;
    }

    /// The share that is right, 0 to 1; none of none.
    pub fn accuracy(&self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }
}

/// Judges a context by examples: one judgement an example, in their order. Examples of one sentence are asserted
/// together, as the entities of a note are.
pub fn evaluate(context: &Context, examples: &[Example]) -> Vec<Judged> {
    let mut of_sentence: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, example) in examples.iter().enumerate() {
        of_sentence.entry(&example.sentence).or_default().push(index);
    }
    let mut judged: Vec<Option<Judged>> = vec![None; examples.len()];
    for (sentence, indexes) in of_sentence {
        // One that does not stand in its sentence is asserted as nowhere.
        let nowhere = Span { task: Task::Disease, start: u32::MAX, end: u32::MAX };
        let spans: Vec<Span> = indexes.iter().map(|index| examples[*index].span().unwrap_or(nowhere)).collect();
        for (index, asserted) in indexes.into_iter().zip(context.assert(sentence, &spans)) {
            judged[index] = Some(judge(&examples[index], asserted));
        }
    }
    judged.into_iter().flatten().collect()
}

fn judge(example: &Example, asserted: Asserted) -> Judged {
    let said = &asserted.assertion;
    let axes = [
        example.certainty.map(|expected| expected == said.certainty),
        example.temporality.map(|expected| expected == said.temporality),
        example.experiencer.map(|expected| expected == said.experiencer),
    ];
    Judged { asserted, axes }
}

/// The examples that come with the program.
///
/// # Panics
/// When they are none, which a test would tell.
pub fn shipped_examples() -> Vec<Example> {
    of_table(SHIPPED, "the examples of the program").expect("a test reads the examples that come with the program")
}

/// Reads a file of examples: JSON Lines, or a table whose columns are separated by tabs and named in its first line.
///
/// # Errors
/// When it cannot be read, or a line is no example. Names the line, and never quotes it.
pub fn read_examples(path: &Path) -> Result<Vec<Example>, AssertionError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| AssertionError::File { path: path.to_owned(), source })?;
    let file = path.display().to_string();
    match text.trim_start().starts_with('{') {
        true => of_json_lines(&text, &file),
        false => of_table(&text, &file),
    }
}

fn of_json_lines(text: &str, file: &str) -> Result<Vec<Example>, AssertionError> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(line, text): (u64, &str)| {
        let example = serde_json::from_str(text).map_err(|_| not_an_example(file, line))?;
        checked(example, file, line)
    };
    lines.map(read).collect()
}

fn of_table(text: &str, file: &str) -> Result<Vec<Example>, AssertionError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').quoting(false).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|_| not_an_example(file, 1))?.clone();
    let mut examples = Vec::new();
    for record in reader.records() {
        let place = |position: Option<&csv::Position>| position.map_or(1, csv::Position::line);
        let record = record.map_err(|error| not_an_example(file, place(error.position())))?;
        let line = place(record.position());
        let mut example: Example = record.deserialize(Some(&headers)).map_err(|_| not_an_example(file, line))?;
        for field in [&mut example.sentence, &mut example.entity] {
            *field = unescaped(field);
        }
        examples.push(checked(example, file, line)?);
    }
    Ok(examples)
}

fn checked(example: Example, file: &str, line: u64) -> Result<Example, AssertionError> {
    match example.fault() {
        Some(fault) => Err(AssertionError::Example { file: file.to_owned(), line, reason: fault.to_owned() }),
        None => Ok(example),
    }
}

fn not_an_example(file: &str, line: u64) -> AssertionError {
    let reason = "is no example: it has a sentence, an entity, and of certainty (affirmed, uncertain, negated), temporality (recent, \
                  historical, hypothetical) and experiencer (patient, family, other) what is expected; it may have a task, a \
                  category and a split, and nothing else";
    AssertionError::Example { file: file.to_owned(), line, reason: reason.to_owned() }
}

/// A field of a table as it is meant.
fn unescaped(field: &str) -> String {
    let (mut meant, mut characters) = (String::new(), field.chars());
    while let Some(character) = characters.next() {
        let escaped = if character == '\\' { characters.clone().next() } else { None };
        let stands_for = match escaped {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('\\') => Some('\\'),
            _ => None,
        };
        if stands_for.is_some() {
            characters.next();
        }
        meant.push(stands_for.unwrap_or(character));
    }
    meant
}
