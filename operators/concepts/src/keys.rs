//! The forms that names and the words of entities are compared in.
//!
//! ```text
//! Type II  Diabetes-Mellitus, NOS      as written
//! type ii diabetes-mellitus, nos       exact: letters in lower case, one space between words
//! type ii diabetes mellitus nos        loose: words, spelt as in America, without punctuation
//! 2 diabete mellitus type              normal: without stop words and plurals, sorted
//! ```
//!
//! Names and entities go through the same functions, so that what these do to one they do to the other: the words need not be words
//! of English afterwards. The normal form follows the one of the UMLS Lexical Variant Generator (McCray et al., 1994).

use crate::fold::fold;
use crate::words::singular;
use std::hash::{DefaultHasher, Hasher};

/// Words that say nothing of which concept is meant. Not `a`, which vitamins and types of hepatitis have.
const STOP_WORDS: [&str; 12] = ["and", "an", "by", "for", "in", "nos", "of", "on", "the", "to", "with", "w"];

/// Marks that are no punctuation.
const MEANINGFUL_SIGNS: [&str; 4] = ["+", "%", "<", ">"];

/// Marks that join numbers, as in `0.5`, `1,000` and `70/30`.
const JOINING_SIGNS: [&str; 3] = [".", ",", "/"];

/// Roman numerals that are no other words.
const NUMERALS: [(&str, &str); 9] = [
    ("ii", "2"),
    ("iii", "3"),
    ("iv", "4"),
    ("vi", "6"),
    ("vii", "7"),
    ("viii", "8"),
    ("ix", "9"),
    ("xi", "11"),
    ("xii", "12"),
];

/// Roman numerals of one letter, which are numerals behind a word that is counted alone.
const LETTERS: [(&str, &str); 3] = [("i", "1"), ("v", "5"), ("x", "10")];
const COUNTED: [&str; 7] = ["class", "factor", "grade", "group", "phase", "stage", "type"];

/// Letters of a word that may have a plural, at the least.
const PLURAL_LETTERS_MIN: usize = 4;

/// The words of an entity in all forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) exact: String,
    /// The words of the loose form.
    pub(crate) words: Vec<String>,
    pub(crate) loose: String,
    /// Empty where no word is left.
    pub(crate) normal: String,
}

impl Keys {
    pub(crate) fn of(text: &str) -> Keys {
        let words = loose_words(text);
        Keys { exact: exact(text), loose: words.join(" "), normal: normal(&words), words }
    }
}

/// The exact form.
pub(crate) fn exact(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !key.is_empty() {
            key.push(' ');
        }
        key.extend(word.chars().flat_map(char::to_lowercase));
    }
    key
}

/// The words of the loose form.
pub(crate) fn loose_words(text: &str) -> Vec<String> {
    let folded = fold(text, true);
    let mut words: Vec<String> = Vec::new();
    let mut at = 0;
    while at < folded.words.len() {
        let word = folded.word(at);
        let begins_with_digit = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
        if word.contains(char::is_alphanumeric) || MEANINGFUL_SIGNS.contains(&word) {
            words.push(word.to_owned());
        } else if JOINING_SIGNS.contains(&word)
            && at > 0
            && at + 1 < folded.words.len()
            && folded.touch(at - 1)
            && folded.touch(at)
            && begins_with_digit(folded.word(at + 1))
            && let Some(number) = words.last_mut()
            && number.ends_with(|last: char| last.is_ascii_digit())
        {
            number.push_str(word);
            number.push_str(folded.word(at + 1));
            at += 1;
        }
        at += 1;
    }
    words
}

/// The normal form of the words of the loose one.
pub(crate) fn normal(words: &[String]) -> String {
    let mut normal: Vec<String> = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate().filter(|(_, word)| !STOP_WORDS.contains(&word.as_str())) {
        let is_counted = at > 0 && COUNTED.contains(&words[at - 1].as_str());
        let numeral = NUMERALS.iter().chain(LETTERS.iter().filter(|_| is_counted)).find(|(roman, _)| roman == word);
        normal.push(numeral.map_or_else(|| stem(word), |(_, arabic)| arabic.to_string()));
    }
    normal.sort_unstable();
    normal.join(" ")
}

/// What singular and plural of a word have in common. `metastasis` and `metastases`, `dose` and `doses` meet without their endings.
fn stem(word: &str) -> String {
    if word.chars().count() < PLURAL_LETTERS_MIN || !word.chars().all(char::is_alphabetic) {
        return word.to_owned();
    }
    let mut stem = singular(word).unwrap_or_else(|| word.to_owned());
    for (ending, kept) in [("omata", "oma"), ("itide", "itis"), ("sis", "s"), ("se", "s")] {
        if let Some(front) = stem.strip_suffix(ending) {
            stem = format!("{front}{kept}");
            break;
        }
    }
    stem
}

/// A number for a key, the same within a process; keys that have it in common are told apart by who asks.
pub(crate) fn hash(key: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both texts have the same normal form, and not the same exact one.
    fn meet(one: &str, other: &str) {
        let (one, other) = (Keys::of(one), Keys::of(other));
        assert_eq!(one.normal, other.normal);
        assert_ne!(one.exact, other.exact);
    }

    fn differ(one: &str, other: &str) {
        assert_ne!(Keys::of(one).normal, Keys::of(other).normal);
    }

    #[test]
    fn the_forms_of_a_name() {
        let keys = Keys::of("Type II  Diabetes-Mellitus, NOS");
        assert_eq!(keys.exact, "type ii diabetes-mellitus, nos");
        assert_eq!(keys.loose, "type ii diabetes mellitus nos");
        assert_eq!(keys.normal, "2 diabete mellitus type");
    }

    #[test]
    fn exact_is_case_and_white_space_alone() {
        assert_eq!(exact(" Crohn's\r\n DISEASE\u{a0}"), "crohn's disease");
        assert_eq!(exact("\u{130}"), "i\u{307}");
        assert_ne!(exact("anaemia"), exact("anemia"));
    }

    #[test]
    fn plurals_spelling_punctuation_order_and_stop_words() {
        meet("lung cancers", "Cancer of the lung");
        meet("metastases", "metastasis");
        meet("doses", "dose");
        meet("diseases of the kidneys", "kidney disease");
        meet("carcinomata", "carcinoma");
        meet("arthritides", "arthritis");
        meet("viruses", "virus");
        meet("anaemia", "anemia");
        meet("Crohn's disease", "Crohn disease");
        meet("diabetes mellitus, type 2", "type II diabetes mellitus");
        meet("type I diabetes", "diabetes, type 1");
        meet("nausea and vomiting", "vomiting, nausea");
        meet("0.9 % sodium chloride", "Sodium Chloride 0.9%");
    }

    #[test]
    fn what_means_something_else_stays_apart() {
        differ("hepatitis A", "hepatitis");
        differ("vitamin B 12", "vitamin B 6");
        differ("sodium chloride 0.9", "sodium chloride 9.0");
        differ("insulin 70/30", "insulin 30/70");
        differ("Rh+", "Rh");
        differ("stage I", "stage V");
        differ("gas", "ga");
    }

    #[test]
    fn nothing_may_be_left() {
        assert_eq!(Keys::of("of the").normal, "");
        assert_eq!(Keys::of("...").normal, "");
        assert_eq!(Keys::of("...").exact, "...");
    }
}
