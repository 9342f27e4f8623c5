//! Whether a stop ends a sentence, and whether a line goes on in the next.

use crate::words::Words;
use std::ops::Range;

/// Abbreviations behind which a sentence goes on, whatever comes.
const TITLES: [&str; 14] = ["dr", "mr", "mrs", "ms", "prof", "st", "vs", "approx", "fig", "cf", "al", "ca", "eg", "ie"];

/// Abbreviations behind which a sentence goes on with a small letter or a number.
const ABBREVIATIONS: [&str; 83] = [
    "tab", "tabs", "cap", "caps", "mg", "mcg", "kg", "ml", "cc", "hr", "hrs", "pt", "pts", "wk", "wks", "mo", "mos",
    "yr", "yrs", "min", "mins", "sec", "inj", "dept", "hosp", "temp", "resp", "hx", "dx", "tx", "rx", "sx", "neg",
    "pos", "bilat", "abd", "max", "avg", "est", "jr", "sr", "q", "hs", "prn", "ac", "pc", "po", "im", "iv", "sc", "sq",
    "vol", "wt", "ht", "lb", "lbs", "oz", "ft", "cm", "mm", "nos", "incl", "excl", "med", "meds", "sig", "rt", "lt",
    "ext", "inf", "sup", "post", "ant", "lat", "wnl", "ra", "nl", "p", "fx", "s", "h", "d", "amt",
];

/// Words that nobody ends a sentence with, so that it goes on in the next line.
const UNFINISHED: [&str; 32] = [
    "and", "or", "nor", "no", "not", "without", "of", "with", "the", "a", "an", "to", "for", "in", "on", "at", "by",
    "from", "any", "denies", "denied", "his", "her", "is", "was", "has", "had", "as", "than", "are", "were", "but",
];

/// Words that no sentence begins with, in small letters: their line goes on from the one before.
const JOINING: [&str; 4] = ["and", "or", "nor", "but"];

/// Answers, which belong to the question before them.
const ANSWERS: [&str; 8] = ["no", "none", "yes", "denies", "denied", "negative", "n", "y"];

/// Characters of a line at least that is wrapped before a small letter.
const WRAPPED_MIN: u32 = 30;

/// Characters of a line at least that is wrapped before a capital.
const WRAPPED_BEFORE_CAPITAL_MIN: u32 = 60;

pub(super) fn is_stop(sign: &str) -> bool {
    matches!(sign, "." | "!" | "?")
}

/// The word behind a stop and the quotes and brackets that are closed with it.
pub(super) fn behind_closers(words: &Words<'_>, stop: usize) -> usize {
    let closes = |word: &usize| {
        let is_closer = matches!(words.folded(*word), ")" | "]" | "}" | "\"" | "'" | "\u{201d}");
        is_closer && !words.get(*word).is_spaced
    };
    stop + 1 + (stop + 1..words.len()).take_while(closes).count()
}

/// Whether a sentence ends with the stop at `at`.
pub(super) fn ends_at(words: &Words<'_>, at: usize) -> bool {
    let next = behind_closers(words, at);
    if next >= words.len() {
        return true;
    }
    let is_spaced = words.get(next).is_spaced;
    let is_touching = at > 0 && !words.get(at).is_spaced;
    let before = at.checked_sub(1).filter(|_| is_touching);
    match words.folded(at) {
        "!" => is_spaced,
        // One that stands alone asks for what comes: `? GERD`.
        "?" => {
            let is_question = before.is_some_and(|before| words.get(before).is_word);
            is_question && is_spaced && !ANSWERS.contains(&words.folded(next))
        }
        _ => match before {
            Some(before) if is_spaced => ends_behind(words, before, next),
            // The space was forgotten: `wheezing.Cough`.
            Some(before) => is_long_word(words, before) && words.is_capital(next) && words.raw(next).len() >= 2,
            None => is_spaced,
        },
    }
}

/// Whether a full stop between these words ends a sentence; white space stands behind it.
fn ends_behind(words: &Words<'_>, before: usize, next: usize) -> bool {
    let first = words.raw(next).chars().next();
    let is_number = words.get(next).is_word && first.is_some_and(|first| first.is_ascii_digit());
    let goes_on = is_number || (words.get(next).is_word && first.is_some_and(char::is_lowercase));
    if !words.get(before).is_word {
        return true;
    }
    if let Some(letters) = dotted(words, before) {
        return !matches!(letters, ("e", "g") | ("i", "e")) && !goes_on;
    }
    let (word, raw) = (words.folded(before), words.raw(before));
    let is_short = raw.chars().count() == 1 || (raw.chars().count() == 2 && raw.chars().any(char::is_lowercase));
    match word {
        "no" => !is_number,
        _ if TITLES.contains(&word) => false,
        _ if ABBREVIATIONS.contains(&word) || word.starts_with('#') || is_short => !goes_on,
        _ => true,
    }
}

/// The last two letters of an abbreviation with dots inside, such as `b.i.d`.
fn dotted<'w>(words: &'w Words<'_>, last: usize) -> Option<(&'w str, &'w str)> {
    let is_letter =
        |word: usize| words.raw(word).chars().count() == 1 && words.raw(word).starts_with(char::is_alphabetic);
    let has_dot = last >= 2 && words.folded(last - 1) == "." && is_letter(last) && is_letter(last - 2);
    let is_joined = has_dot && !words.get(last).is_spaced && !words.get(last - 1).is_spaced;
    is_joined.then(|| (words.folded(last - 2), words.folded(last)))
}

fn is_long_word(words: &Words<'_>, at: usize) -> bool {
    let raw = words.raw(at);
    raw.chars().count() >= 3 && raw.chars().all(char::is_alphabetic)
}

/// Whether a sentence goes on from one line to the next, which is no item of a list and no heading.
pub(super) fn continues(words: &Words<'_>, before: Range<usize>, line: Range<usize>) -> bool {
    let last = before.end - 1;
    let is_closed = |word: &usize| behind_closers(words, *word) == before.end;
    let stop = before.clone().rev().take(3).find(|word| is_stop(words.folded(*word)));
    if let Some(stop) = stop.filter(is_closed) {
        return !ends_at(words, stop);
    }
    let is_asked = before.len() >= 2 && matches!(words.folded(last - 1), ":" | "?" | "-" | "=");
    match words.folded(last) {
        ":" => return false,
        word if is_asked && ANSWERS.contains(&word) => return false,
        "," | "/" | "-" | "&" | "+" | "(" => return true,
        word if UNFINISHED.contains(&word) => return true,
        _ => {}
    }
    let length = words.get(last).points.end - words.get(before.start).points.start;
    let next = words.get(line.start);
    if next.is_word && words.raw(line.start).starts_with(char::is_lowercase) {
        return length >= WRAPPED_MIN || JOINING.contains(&words.folded(line.start));
    }
    let next_length = words.get(line.end - 1).points.end - next.points.start;
    let had_room = length + 1 + (next.points.end - next.points.start) <= next_length;
    length >= WRAPPED_BEFORE_CAPITAL_MIN && !had_room
}
