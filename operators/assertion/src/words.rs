//! A text as triggers are looked up in it: its words in lower case and its signs, and where each stands.
//!
//! Texts, triggers and headings are folded by the same function. A word is a run of letters and digits, with
//! apostrophes inside, and with dots and commas between digits (`2.5`, `10,000`). A hyphen between two words separates
//! them and is nothing itself, so that `follow-up` is `follow up`. A number becomes `#`, a year from 1900 to 2099
//! `####`. Any other character is a sign; a run of `#` is one.

use std::ops::Range;

/// What begins and ends a word in a key, so that none is found within another.
const BEGIN: char = '\u{1}';
const END: char = '\u{2}';

/// A word or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Bytes of [`Words::folded`].
    folded: Range<u32>,
    /// Bytes of the text.
    bytes: Range<u32>,
    /// Code points of the text.
    pub(crate) points: Range<u32>,
    /// Whether it is a word, and no sign.
    pub(crate) is_word: bool,
    /// Whether white space stands before it.
    pub(crate) is_spaced: bool,
    /// Line ends before it.
    pub(crate) breaks: u32,
}

/// The words and signs of a text.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    text: &'a str,
    folded: String,
    words: Vec<Word>,
}

impl<'a> Words<'a> {
    /// Reads a text once, in its order.
    pub(crate) fn of(text: &'a str) -> Words<'a> {
        let characters = text.char_indices().map(|(byte, character)| (byte as u32, character)).collect();
        let mut reader = Reader { characters, length: text.len() as u32, folded: String::new(), words: Vec::new() };
        reader.folded.reserve(text.len());
        reader.read();
        Words { text, folded: reader.folded, words: reader.words }
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn get(&self, index: usize) -> &Word {
        &self.words[index]
    }

    /// A word as it is looked up; empty beyond the last one.
    pub(crate) fn folded(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &self.folded[word.folded.start as usize..word.folded.end as usize])
    }

    /// A word as it stands in the text.
    pub(crate) fn raw(&self, index: usize) -> &'a str {
        let bytes = &self.words[index].bytes;
        &self.text[bytes.start as usize..bytes.end as usize]
    }

    /// Whether it is a word that begins with a capital.
    pub(crate) fn is_capital(&self, index: usize) -> bool {
        self.words[index].is_word && self.raw(index).starts_with(char::is_uppercase)
    }

    /// The first word that ends behind a position in code points.
    pub(crate) fn first_behind(&self, point: u32) -> usize {
        self.words.partition_point(|word| word.points.end <= point)
    }

    /// The first word from `first` on that begins at a position in code points or behind it.
    pub(crate) fn first_from(&self, first: usize, point: u32) -> usize {
        first + self.words[first..].partition_point(|word| word.points.start < point)
    }

    /// Appends a word as it stands in a key.
    pub(crate) fn push_key(&self, index: usize, key: &mut String) {
        key.push(BEGIN);
        key.push_str(self.folded(index));
        key.push(END);
    }

    /// Some words as one key: it is found in the key of others where these words stand one behind the other.
    pub(crate) fn key(&self, words: Range<usize>) -> String {
        let mut key = String::new();
        words.for_each(|index| self.push_key(index, &mut key));
        key
    }
}

/// The key of a whole text; empty if it has no word and no sign.
pub(crate) fn key(text: &str) -> String {
    let words = Words::of(text);
    words.key(0..words.len())
}

struct Reader {
    characters: Vec<(u32, char)>,
    length: u32,
    folded: String,
    words: Vec<Word>,
}

impl Reader {
    /// The character at a code point; NUL beyond the last one.
    fn at(&self, point: usize) -> char {
        self.characters.get(point).map_or('\0', |&(_, character)| character)
    }

    fn byte(&self, point: usize) -> u32 {
        self.characters.get(point).map_or(self.length, |&(byte, _)| byte)
    }

    fn read(&mut self) {
        let (mut point, mut breaks, mut is_spaced) = (0, 0, true);
        while point < self.characters.len() {
            let character = self.at(point);
            if is_line_end(character) {
                let is_pair = character == '\r' && self.at(point + 1) == '\n';
                point += if is_pair { 2 } else { 1 };
                (breaks, is_spaced) = (breaks + 1, true);
            } else if character.is_whitespace() || character.is_control() {
                (point, is_spaced) = (point + 1, true);
            } else if is_invisible(character) {
                point += 1;
            } else {
                let end = self.end_of(point);
                let is_word = character.is_alphanumeric();
                self.push(point..end, Word { is_word, is_spaced, breaks, ..EMPTY });
                (point, breaks, is_spaced) = (end, 0, false);
                if is_word && is_hyphen(self.at(point)) && self.at(point + 1).is_alphanumeric() {
                    point += 1;
                }
            }
        }
    }

    /// One past the last code point of the word or sign at `start`.
    fn end_of(&self, start: usize) -> usize {
        let mut end = start + 1;
        if self.at(start) == '#' {
            while self.at(end) == '#' {
                end += 1;
            }
        } else if self.at(start).is_alphanumeric() {
            loop {
                let (before, here, next) = (self.at(end - 1), self.at(end), self.at(end + 1));
                end += match here {
                    _ if here.is_alphanumeric() || is_mark(here) => 1,
                    _ if is_invisible(here) && next.is_alphanumeric() => 2,
                    '\'' | '\u{2019}' if next.is_alphanumeric() => 2,
                    '.' | ',' if before.is_ascii_digit() && next.is_ascii_digit() => 2,
                    _ => return end,
                };
            }
        }
        end
    }

    fn push(&mut self, points: Range<usize>, word: Word) {
        let from = self.folded.len();
        for &(_, character) in &self.characters[points.clone()] {
            match character {
                '\u{2019}' => self.folded.push('\''),
                _ if is_dash(character) => self.folded.push('-'),
                _ if is_invisible(character) => {}
                _ => self.folded.extend(character.to_lowercase()),
            }
        }
        if word.is_word
            && let Some(number) = number(&self.folded[from..])
        {
            self.folded.truncate(from);
            self.folded.push_str(number);
        }
        let bytes = self.byte(points.start)..self.byte(points.end);
        let folded = from as u32..self.folded.len() as u32;
        self.words.push(Word { folded, bytes, points: points.start as u32..points.end as u32, ..word });
    }
}

/// What the reader does not know yet of a word.
const EMPTY: Word = Word { folded: 0..0, bytes: 0..0, points: 0..0, is_word: false, is_spaced: false, breaks: 0 };

/// What a number is looked up as.
fn number(word: &str) -> Option<&'static str> {
    if !word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',')) {
        return None;
    }
    let is_year = word.len() == 4 && (word.starts_with("19") || word.starts_with("20")) && !word.contains(['.', ',']);
    Some(if is_year { "####" } else { "#" })
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_hyphen(character: char) -> bool {
    matches!(character, '-' | '\u{2010}' | '\u{2011}')
}

fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Combining marks, which belong to the letter before them.
fn is_mark(character: char) -> bool {
    let is_common = matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}');
    is_common || matches!(character, '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// Characters without width: soft hyphens, joiners, marks of direction and of byte order.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The folded words, joined by spaces.
    fn check(text: &str, expected: &str) {
        let words = Words::of(text);
        let folded: Vec<&str> = (0..words.len()).map(|index| words.folded(index)).collect();
        assert_eq!(folded.join(" "), expected, "{text}");
    }

    #[test]
    fn words_and_signs() {
        check("Pt. denies CP/SOB.", "pt . denies cp / sob .");
        check("doesn\u{2019}t, w/o", "doesn't , w / o");
        check("follow-up \u{2013} non-smoker", "follow up - non smoker");
        check("2.5 mg, 10,000 units in 2010", "# mg , # units in ####");
        check("3rd B12 1850", "3rd b12 #");
        check("## Plan #1", "## plan # #");
        check("(-) [ ] \u{2610}", "( - ) [ ] \u{2610}");
        check("hyper\u{ad}tension \u{c9}tat e\u{301}tat", "hypertension \u{e9}tat e\u{301}tat");
        check(" \u{200b}\r\n", "");
    }

    #[test]
    fn line_ends_are_counted() {
        let words = Words::of("a\r\nb\n \n c d");
        let breaks: Vec<u32> = (0..words.len()).map(|index| words.get(index).breaks).collect();
        assert_eq!(breaks, [0, 1, 2, 0]);
    }

    proptest! {
        #[test]
        fn words_are_where_they_stand(text in "[a-cA-C '\u{2019}\u{df}\u{301}\u{ad}#0-2.,\r\n-]{0,40}|\\PC{0,60}") {
            let words = Words::of(&text);
            let points: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
            for index in 0..words.len() {
                let word = words.get(index);
                prop_assert!(word.points.start < word.points.end);
                prop_assert!(index == 0 || words.get(index - 1).points.end <= word.points.start);
                let bytes = points[word.points.start as usize]..points[word.points.end as usize];
                prop_assert_eq!(&text[bytes], words.raw(index));
                prop_assert_eq!(words.first_behind(word.points.start), index);
                prop_assert_eq!(words.first_from(0, word.points.start), index);
            }
        }

        #[test]
        fn a_part_of_a_text_folds_as_it_does_in_the_text(
            text in "[a-cA-C '#0-2.,\r\n-]{0,40}",
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let words = Words::of(&text);
            if words.len() > 0 {
                let (first, last) = (cut.0.index(words.len()), cut.1.index(words.len()));
                let (first, last) = (first.min(last), first.max(last));
                let (start, end) = (words.get(first).bytes.start as usize, words.get(last).bytes.end as usize);
                prop_assert_eq!(key(&text[start..end]), words.key(first..last + 1));
            }
        }
    }
}
