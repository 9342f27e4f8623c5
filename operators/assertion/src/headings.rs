//! Where sections begin.
//!
//! A heading of the lexicon stands at the beginning of a line with a colon or a dash behind it, or alone on its line
//! with a capital, or within a line at the beginning of a sentence with a capital and a colon. Alone behind the mark of a
//! list it is an item of this, unless it is in capitals. A heading that the lexicon lacks is known by its looks: behind a
//! blank line, a few words that are alone with a colon, or in capitals; it ends the section before it. What an entity has
//! words of is no heading. One that ends some sections alone is told in [`crate::sentences`], which knows what it stands in.

use crate::lexicon::{HEADING_WORDS_MAX, Heading};
use crate::note::Note;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Words of a heading that the lexicon lacks, at most.
const UNKNOWN_WORDS_MAX: usize = 6;

/// Letters of a heading that is known by its capitals alone, at least: a lone abbreviation is none.
const CAPITALS_MIN: usize = 4;

/// The headings of a lexicon.
#[derive(Debug)]
pub(crate) struct Headings {
    by_key: HashMap<String, usize>,
    headings: Vec<Heading>,
}

/// A heading in a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    heading: usize,
    /// Its first word.
    pub(crate) first: usize,
    /// One past its last word.
    pub(crate) end: usize,
    /// One past its colon or dash.
    pub(crate) behind: usize,
}

/// Where a heading is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the beginning of a line.
    Line,
    /// At the beginning of another sentence.
    Sentence,
}

impl Headings {
    pub(crate) fn new(headings: BTreeMap<String, Heading>) -> Headings {
        let by_key = headings.keys().cloned().zip(0..).collect();
        Headings { by_key, headings: headings.into_values().collect() }
    }

    pub(crate) fn get(&self, section: Section) -> &Heading {
        &self.headings[section.heading]
    }

    /// The heading that these words, up to the end of the line, begin with; the longest.
    pub(crate) fn at(&self, note: &Note<'_>, line: Range<usize>, place: Place) -> Option<Section> {
        let (mut key, mut ends) = (String::new(), Vec::new());
        for word in line.clone().take(HEADING_WORDS_MAX).take_while(|word| !note.is_entity[*word]) {
            note.words.push_key(word, &mut key);
            ends.push((key.len(), word + 1));
        }
        let is_behind = |end: usize| behind(note, line.start, end..line.end, place);
        ends.iter().rev().find_map(|&(length, end)| {
            let heading = *self.by_key.get(&key[..length])?;
            Some(Section { heading, first: line.start, end, behind: is_behind(end)? })
        })
    }
}

/// One past what stands behind the words of a heading, if it makes them one.
fn behind(note: &Note<'_>, first: usize, mut rest: Range<usize>, place: Place) -> Option<usize> {
    let words = &note.words;
    // Headings of Markdown may be bold.
    while !rest.is_empty() && matches!(words.folded(rest.start), "*" | "_") {
        rest.start += 1;
    }
    let has = |sign: &str| !rest.is_empty() && words.folded(rest.start) == sign;
    if has(":") && (place == Place::Line || words.is_capital(first)) {
        return Some(rest.start + 1);
    }
    let is_dash = has("-") && rest.len() >= 2 && words.get(rest.start).is_spaced && words.get(rest.start + 1).is_spaced;
    match place {
        Place::Line if is_dash => Some(rest.start + 1),
        Place::Line if rest.is_empty() && words.is_capital(first) => Some(rest.start),
        _ => None,
    }
}

/// How a line behind a blank one looks like a heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// No heading.
    Text,
    /// A heading with text behind it.
    Heading,
    /// A heading that is alone on its line.
    Alone,
}

/// How the words of a line look.
pub(crate) fn look(note: &Note<'_>, line: Range<usize>) -> Look {
    let words = &note.words;
    let is_part = |word: &usize| words.get(*word).is_word || matches!(words.folded(*word), "/" | "&");
    let length = line.clone().take(UNKNOWN_WORDS_MAX + 1).take_while(is_part).count();
    let heading = line.start..line.start + length;
    if length == 0 || length > UNKNOWN_WORDS_MAX || note.has_entity(heading.clone()) {
        return Look::Text;
    }
    let letters: Vec<char> =
        heading.clone().flat_map(|word| words.raw(word).chars()).filter(|c| c.is_alphabetic()).collect();
    let is_capitals = letters.len() >= CAPITALS_MIN && !letters.iter().any(|letter| letter.is_lowercase());
    let rest = heading.end..line.end;
    let has_colon = !rest.is_empty() && words.folded(rest.start) == ":";
    match rest.len() {
        0 if is_capitals => Look::Alone,
        1 if has_colon => Look::Alone,
        _ if has_colon && is_capitals => Look::Heading,
        _ => Look::Text,
    }
}
