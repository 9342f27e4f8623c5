//! What begins an item of a list: bullets, numbers, and the boxes of templates.

use crate::words::Words;
use std::ops::Range;

/// One past the marks at the beginning of a line: `-`, `•`, `1.`, `2)`, `(3)`, `a)`, `#`, `[x]`, and several of them.
pub(crate) fn behind_marks(words: &Words<'_>, line: Range<usize>) -> usize {
    let mut at = line.start;
    while at < line.end {
        let rest = at..line.end;
        match box_at(words, rest.clone()).or_else(|| bullet_at(words, at)).or_else(|| number_at(words, rest)) {
            Some(behind) => at = behind,
            None => return at,
        }
    }
    at
}

/// One past a box, ticked or not, that these words begin with.
pub(crate) fn box_at(words: &Words<'_>, within: Range<usize>) -> Option<usize> {
    let (at, length) = (within.start, within.len());
    let is_pair = |close: usize| matches!((words.folded(at), words.folded(close)), ("[", "]") | ("(", ")"));
    if length >= 1 && is_box(words.folded(at)) {
        return Some(at + 1);
    }
    // Nothing but white space in it, and not much: two brackets further apart are no box.
    if length >= 2 && is_pair(at + 1) && words.get(at + 1).points.start - words.get(at).points.end <= 2 {
        return Some(at + 2);
    }
    let is_tick = length >= 3 && matches!(words.folded(at + 1), "x" | "\u{2713}" | "\u{2714}" | "*");
    (is_tick && is_pair(at + 2)).then_some(at + 3)
}

/// One past an inline number such as `2)` that these words begin with, outside of brackets.
pub(crate) fn inline_number_at(words: &Words<'_>, within: Range<usize>) -> Option<usize> {
    let at = within.start;
    let is_number = within.len() >= 3 && is_short_number(words, at) && words.get(at).is_spaced;
    let is_closed = is_number && words.folded(at + 1) == ")" && !words.get(at + 1).is_spaced;
    (is_closed && words.get(at + 2).is_spaced).then_some(at + 2)
}

fn is_box(sign: &str) -> bool {
    matches!(sign, "\u{2610}" | "\u{2611}" | "\u{2612}" | "\u{2713}" | "\u{2714}" | "\u{2717}" | "\u{2718}")
}

fn bullet_at(words: &Words<'_>, at: usize) -> Option<usize> {
    let is_bullet = match words.folded(at) {
        "-" | "\u{2022}" | "*" | "\u{b7}" | "\u{25aa}" | "\u{25cb}" | "\u{25cf}" | "\u{25e6}" | "\u{2023}"
        | "\u{25ba}" => true,
        // A number is folded to the same, but is a word.
        sign => sign.starts_with('#') && !words.get(at).is_word,
    };
    is_bullet.then_some(at + 1)
}

/// `1.`, `1)`, `a)` with white space behind, and `(1)`.
fn number_at(words: &Words<'_>, within: Range<usize>) -> Option<usize> {
    let (at, length) = (within.start, within.len());
    if length >= 3 && words.folded(at) == "(" && is_short_number(words, at + 1) && words.folded(at + 2) == ")" {
        return Some(at + 3);
    }
    if length < 2 || words.get(at + 1).is_spaced || (length > 2 && !words.get(at + 2).is_spaced) {
        return None;
    }
    let is_mark = match words.folded(at + 1) {
        ")" => is_short_number(words, at) || is_letter(words.raw(at)),
        "." => is_short_number(words, at),
        _ => false,
    };
    is_mark.then_some(at + 2)
}

fn is_short_number(words: &Words<'_>, at: usize) -> bool {
    let raw = words.raw(at);
    raw.len() <= 2 && raw.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_letter(raw: &str) -> bool {
    let mut characters = raw.chars();
    characters.next().is_some_and(char::is_alphabetic) && characters.next().is_none()
}
