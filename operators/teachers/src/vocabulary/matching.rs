//! Which of the names in a text are mentions.

use super::index::{Index, Meaning};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use stillroom_concepts::fold::Folded;
use stillroom_concepts::words::abbreviates;
use stillroom_schemas::{Task, TaskSet};

/// Words before a name that its abbreviation may stand for too.
const EXPLAINED_WORDS_BEFORE: usize = 3;

/// Characters of an abbreviation that a text explains.
const SHORT_CHARACTERS: Range<usize> = 2..9;

/// Capitals that it has at least.
const SHORT_CAPITALS_MIN: u8 = 2;

/// A name in the text, by words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) task: Task,
    pub(super) first: usize,
    /// One past the last word.
    pub(super) last: usize,
    pub(super) concept: u32,
}

/// A text and its folded form.
pub(super) struct Note<'a> {
    pub(super) text: &'a str,
    pub(super) folded: &'a Folded,
}

impl Note<'_> {
    /// The words as they are written.
    fn written(&self, first: usize, last: usize) -> &str {
        let words = &self.folded.words;
        &self.text[words[first].bytes.start as usize..words[last - 1].bytes.end as usize]
    }

    fn has_capitals(&self, first: usize, last: usize, least: u8) -> bool {
        let is_upper = |character: &char| character.is_uppercase();
        least == 0 || self.written(first, last).chars().filter(is_upper).count() >= usize::from(least)
    }
}

/// The longest names of each of `tasks`, from left to right; those of one task share no word. In the order of tasks and words.
pub(super) fn longest(note: &Note, index: &Index, tasks: &TaskSet) -> Vec<Found> {
    let mut found = Vec::new();
    for (range, meanings) in index.matches(&note.folded.text) {
        let words = note.folded.words_at(range.start, range.end);
        let holds = |meaning: &&Meaning| {
            tasks.contains(&meaning.task) && note.has_capitals(words.start, words.end, meaning.capitals)
        };
        found.extend(meanings.iter().filter(holds).map(|meaning| Found {
            task: meaning.task,
            first: words.start,
            last: words.end,
            concept: meaning.concept,
        }));
    }
    found.sort_unstable_by_key(|found| (found.task, found.first, Reverse(found.last)));
    let mut kept: Vec<Found> = Vec::new();
    for next in found {
        if kept.last().is_none_or(|last| last.task != next.task || last.last <= next.first) {
            kept.push(next);
        }
    }
    kept
}

/// Lets each disease take in the modifiers before it, up to the mention before.
pub(super) fn take_modifiers(note: &Note, modifiers: &HashSet<String>, found: &mut [Found]) {
    let mut free_from = 0;
    for found in found.iter_mut().filter(|found| found.task == Task::Disease) {
        while found.first > free_from && modifiers.contains(note.folded.word(found.first - 1)) {
            found.first -= 1;
        }
        free_from = found.last;
    }
}

/// Adds the mentions of abbreviations that the text explains, in the order of tasks and words.
///
/// The explanation is that of Schwartz and Hearst (2003): a name, and in brackets behind it a short form whose letters stand in
/// this order in the name, the first of them at the beginning of a word.
pub(super) fn add_explained(note: &Note, found: &mut Vec<Found>) {
    let mut meanings: HashMap<(Task, &str), u32> = HashMap::new();
    for mention in found.iter() {
        if let Some(short) = explained(note, mention) {
            meanings.entry((mention.task, short)).or_insert(mention.concept);
        }
    }
    if meanings.is_empty() {
        return;
    }
    let tasks: TaskSet = meanings.keys().map(|(task, _)| *task).collect();
    let mut added = Vec::new();
    // Only words with the capitals of a short form are looked up: they are few.
    for first in (0..note.folded.words.len()).filter(|&word| note.has_capitals(word, word + 1, SHORT_CAPITALS_MIN)) {
        let written = note.written(first, first + 1);
        for &task in &tasks {
            let concept = [Some(written), written.strip_suffix('s')]
                .into_iter()
                .flatten()
                .find_map(|written| meanings.get(&(task, written)).copied());
            let is_free =
                || !found.iter().any(|other| other.task == task && other.first <= first && first < other.last);
            if let Some(concept) = concept
                && is_free()
            {
                added.push(Found { task, first, last: first + 1, concept });
            }
        }
    }
    found.extend(added);
    found.sort_unstable_by_key(|found| (found.task, found.first));
}

/// The short form behind a mention.
fn explained<'a>(note: &'a Note, mention: &Found) -> Option<&'a str> {
    let folded = note.folded;
    let at = mention.last + 1;
    if folded.word(mention.last) != "(" || !matches!(folded.word(at + 1), ")" | "]" | ";" | ",") {
        return None;
    }
    let short = note.written(at, at + 1);
    if !SHORT_CHARACTERS.contains(&short.chars().count()) {
        return None;
    }
    let earliest = mention.first.saturating_sub(EXPLAINED_WORDS_BEFORE);
    let stands_for = |first: usize| {
        let letters = (first..mention.last).flat_map(|word| folded.word(word).chars());
        abbreviates(folded.word(at), letters)
    };
    (earliest..mention.last).any(stands_for).then_some(short)
}
