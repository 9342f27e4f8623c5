//! Where in a text stands what a language model says it found.
//!
//! Models count badly, so they are asked for the words and a little of what stands before them, never for positions. The words are
//! looked for as they are, then without regard to case and white space, then as the most similar words; what is nowhere is dropped
//! and counted.

use std::collections::BTreeSet;
use std::ops::Range;
use stillroom_schemas::{Span, Task};

/// What a model says it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// What it is.
    pub task: Task,
    /// The words as they stand in the text.
    pub text: String,
    /// Some of what stands before them; may be empty.
    pub before: String,
}

/// Mentions with their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounded {
    /// In code points, by task and position, each once.
    pub spans: Vec<Span>,
    /// Mentions that are nowhere in the text.
    pub ungrounded: u32,
}

/// How similar words must be to be taken for those that were meant: the share of characters that need no change (normalised
/// Damerau-Levenshtein). A letter wrong in a word of seven passes, another drug's name does not.
const SIMILARITY_MIN: f64 = 0.85;

/// Finds each mention in `text`.
///
/// Of several places the one is taken that is preceded by most of [`Mention::before`], of equal ones the first that no mention of
/// the task has taken yet, so that a mention that is listed twice is two places.
///
/// ```
/// use stillroom_schemas::{Span, Task};
/// use stillroom_teachers::{Mention, ground};
///
/// let fever = Mention { task: Task::Symptom, text: "Fever".into(), before: "now ".into() };
/// let found = ground("No fever then, now fever.", &[fever]);
/// assert_eq!(found.spans, [Span { task: Task::Symptom, start: 19, end: 24 }]);
/// ```
pub fn ground(text: &str, mentions: &[Mention]) -> Grounded {
    let (exact, folded) = (Haystack::new(text, char::to_string), Haystack::new(text, fold));
    let mut taken: BTreeSet<Span> = BTreeSet::new();
    let mut ungrounded = 0;
    for mention in mentions {
        let wanted = folded_text(&mention.text);
        let places = [exact.find(mention.text.trim()), folded.find(&wanted), folded.find_similar(&wanted)];
        let Some(places) = places.into_iter().find(|places| !places.is_empty()) else {
            ungrounded += 1;
            continue;
        };
        let before = folded_text(&mention.before);
        let span = |place: &Range<usize>| Span { task: mention.task, start: place.start as u32, end: place.end as u32 };
        // The first of the best, as `max_by_key` would take the last.
        let best = places
            .iter()
            .rev()
            .max_by_key(|place| (folded.common_before(place.start, &before), !taken.contains(&span(place))));
        taken.extend(best.map(span));
    }
    Grounded { spans: taken.into_iter().collect(), ungrounded }
}

/// What a character is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Neither,
}

impl Kind {
    fn of(character: char) -> Kind {
        match character {
            _ if character.is_alphabetic() => Kind::Word,
            _ if character.is_numeric() => Kind::Number,
            _ => Kind::Neither,
        }
    }
}

/// A text with every character replaced by some others, each with the code point that it came from.
struct Haystack {
    text: String,
    /// Of every byte of `text`, the code point that it came from; and the number of code points.
    origins: Vec<usize>,
    /// Of every code point of the original, what it is part of.
    kinds: Vec<Kind>,
    /// Byte ranges of `text`, one a word.
    words: Vec<Range<usize>>,
}

impl Haystack {
    fn new(original: &str, replace: impl Fn(&char) -> String) -> Haystack {
        let (mut text, mut origins, mut kinds) = (String::new(), Vec::new(), Vec::new());
        for (index, character) in original.chars().enumerate() {
            let replaced = replace(&character);
            kinds.push(Kind::of(character));
            // A run of blanks is one.
            if replaced == " " && text.ends_with(' ') {
                continue;
            }
            origins.resize(origins.len() + replaced.len(), index);
            text.push_str(&replaced);
        }
        origins.push(kinds.len());
        let words = words(&text);
        Haystack { text, origins, kinds, words }
    }

    /// Where `wanted` stands, and neither begins nor ends inside of a word or a number: metformin stands in `metformin500mg`, and mi
    /// not in `mild`.
    fn find(&self, wanted: &str) -> Vec<Range<usize>> {
        let Some(first) = wanted.chars().next() else { return Vec::new() };
        let (mut places, mut from) = (Vec::new(), 0);
        while let Some(at) = self.text[from..].find(wanted) {
            let start = from + at;
            places.push(self.place(start..start + wanted.len()));
            from = start + first.len_utf8();
        }
        let is_inside = |at: usize| match (at.checked_sub(1).map(|before| self.kinds[before]), self.kinds.get(at)) {
            (Some(before), Some(after)) => before == *after && before != Kind::Neither,
            _ => false,
        };
        places.retain(|place| !is_inside(place.start) && !is_inside(place.end));
        places
    }

    /// Where the words stand that are most similar to `wanted`, if they are similar enough.
    fn find_similar(&self, wanted: &str) -> Vec<Range<usize>> {
        let count = words(wanted).len();
        let mut best = (SIMILARITY_MIN, Vec::new());
        for length in count.saturating_sub(1).max(1)..=count + 1 {
            for window in self.words.windows(length) {
                let bytes = window[0].start..window[length - 1].end;
                // Lengths alone may say that it is not similar.
                let (one, other) = (bytes.len() as f64, wanted.len() as f64);
                if one.min(other) < SIMILARITY_MIN * one.max(other) - 2.0 {
                    continue;
                }
                let similarity = strsim::normalized_damerau_levenshtein(&self.text[bytes.clone()], wanted);
                if similarity > best.0 {
                    best = (similarity, Vec::new());
                }
                if similarity == best.0 {
                    best.1.push(self.place(bytes));
                }
            }
        }
        best.1
    }

    /// Code points of the original, of bytes of the replaced text.
    fn place(&self, bytes: Range<usize>) -> Range<usize> {
        // A character may have become several, which all came from it.
        self.origins[bytes.start]..self.origins[bytes.end - 1] + 1
    }

    /// How many characters before code point `start` are the end of `before`.
    fn common_before(&self, start: usize, before: &str) -> usize {
        let bytes = self.origins.partition_point(|origin| *origin < start);
        let stands = self.text[..bytes].trim_end().chars().rev();
        stands.zip(before.chars().rev()).take_while(|(one, other)| one == other).count()
    }
}

/// Lower case, and any white space a blank.
fn fold(character: &char) -> String {
    if character.is_whitespace() { " ".to_owned() } else { character.to_lowercase().collect() }
}

fn folded_text(text: &str) -> String {
    Haystack::new(text, fold).text.trim().to_owned()
}

/// Runs of letters and digits, in bytes.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for (at, character) in text.char_indices().filter(|(_, character)| character.is_alphanumeric()) {
        match words.last_mut() {
            Some(last) if last.end == at => last.end = at + character.len_utf8(),
            _ => words.push(at..at + character.len_utf8()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `mentions` are `text`, or `before|text`; the text has a caret under nothing: places are given as found words.
    fn check(text: &str, mentions: &[&str], expected: &[(u32, u32)], ungrounded: u32) {
        let mention = |mention: &&str| {
            let (before, text) = mention.rsplit_once('|').unwrap_or(("", mention));
            Mention { task: Task::Disease, text: text.to_owned(), before: before.to_owned() }
        };
        let found = ground(text, &mentions.iter().map(mention).collect::<Vec<_>>());
        let places: Vec<(u32, u32)> = found.spans.iter().map(|span| (span.start, span.end)).collect();
        assert_eq!((places.as_slice(), found.ungrounded), (expected, ungrounded), "{text}: {mentions:?}");
    }

    #[test]
    fn mentions_are_found_as_they_are_then_folded_then_similar() {
        check("acute gout", &["gout"], &[(6, 10)], 0);
        check("acute Gout", &["gout"], &[(6, 10)], 0);
        check("heart\r\n  failure", &["Heart failure"], &[(0, 16)], 0);
        check("had dyspnoea", &["dyspnea"], &[(4, 12)], 0);
        check("İltihap var", &["iltihap"], &[(0, 7)], 0);
        check("Straße STRASSE", &["STRASSE"], &[(7, 14)], 0);
        check("on Metformin", &["metoprolol"], &[], 1);
        check("", &["gout"], &[], 1);
        check("gout", &["", " "], &[], 2);
    }

    #[test]
    fn a_word_is_not_looked_for_inside_of_another() {
        check("pain in the chest", &["in"], &[(5, 7)], 0);
        check("painless", &["in"], &[], 1);
        check("metformin500mg", &["metformin"], &[(0, 9)], 0);
        check("also mild", &["ALS", "MI"], &[], 2);
        check("feverish, then Fever", &["fever"], &[(15, 20)], 0);
    }

    #[test]
    fn of_several_places_the_context_decides_then_the_order() {
        check("fever, no fever, fever", &["no |fever"], &[(10, 15)], 0);
        check("fever, no fever, fever", &["fever", "fever"], &[(0, 5), (10, 15)], 0);
        check("fever", &["fever", "fever"], &[(0, 5)], 0);
    }

    proptest! {
        /// Whatever is said, places are inside of the text; what was copied from it with what stands before it is found where it was.
        #[test]
        fn what_was_copied_is_found(
            words in prop::collection::vec("[aAbBéßİ漢]{1,3}", 2..20),
            gaps in prop::collection::vec("[ \n\t]{1,2}|, ", 20),
            at in any::<prop::sample::Index>(),
            length in 1usize..4,
            upper in any::<bool>(),
        ) {
            let mut text = String::new();
            let mut starts = Vec::new();
            for (word, gap) in words.iter().zip(&gaps) {
                starts.push((text.chars().count(), text.chars().count() + word.chars().count()));
                text.push_str(word);
                text.push_str(gap);
            }
            let first = at.index(words.len());
            let last = (first + length).min(words.len()) - 1;
            let (start, end) = (starts[first].0, starts[last].1);
            let slice: String = text.chars().skip(start).take(end - start).collect();
            // Upper case of these may be longer than they are, and still fold to the same.
            let said = if upper && !slice.contains(['ß', 'İ']) { slice.to_uppercase() } else { slice.clone() };
            let before: String = text.chars().take(start).collect();
            let found = ground(&text, &[Mention { task: Task::Symptom, text: said.clone(), before }]);
            prop_assert_eq!(found.ungrounded, 0);
            let span = found.spans[0];
            let there: String = text.chars().skip(span.start as usize).take((span.end - span.start) as usize).collect();
            prop_assert_eq!(folded_text(&there), folded_text(&said));
            if said == slice {
                prop_assert_eq!((span.start as usize, span.end as usize), (start, end));
            }
        }

        #[test]
        fn no_answer_can_break_it(text in ".{0,40}", said in ".{0,10}", before in ".{0,10}") {
            let found = ground(&text, &[Mention { task: Task::Disease, text: said, before }]);
            let length = text.chars().count() as u32;
            prop_assert!(found.spans.iter().all(|span| span.start < span.end && span.end <= length));
            prop_assert_eq!(found.spans.len() as u32 + found.ungrounded, 1);
        }
    }
}
