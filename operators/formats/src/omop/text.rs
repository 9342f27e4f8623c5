//! Texts that fit the columns of OMOP.

use std::borrow::Cow;

/// `text` without what databases refuse: NUL becomes U+FFFD, one for one, so that offsets in code points stay.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The beginning of `text` that fits `bytes_max` bytes of UTF-8. Some databases count the length of a varchar in characters, others in
/// bytes: this fits both.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A text whose parts are taken by code points.
pub(super) struct CodePoints<'a> {
    text: &'a str,
    /// Where each code point starts in bytes, and the text's length.
    starts: Vec<usize>,
}

impl<'a> CodePoints<'a> {
    pub(super) fn of(text: &'a str) -> CodePoints<'a> {
        CodePoints { text, starts: text.char_indices().map(|(at, _)| at).chain([text.len()]).collect() }
    }

    /// The mention from `start` to `end` with whole words on both sides, on one line, in `bytes_max` bytes at most.
    pub(super) fn snippet(&self, start: u32, end: u32, bytes_max: usize) -> String {
        let (text, [start, end]) = (self.text, [start, end].map(|at| self.starts[at as usize]));
        let beside = bytes_max.saturating_sub(end - start) / 2;
        let from = text.ceil_char_boundary(start.saturating_sub(beside));
        let to = text.floor_char_boundary(end + beside);
        let (mut before, mut after) = (&text[from..start], &text[end..to]);
        // A word that is cut off is left out.
        if !text[..from].is_empty() && !text[..from].ends_with(is_blank) {
            before = &before[before.find(is_blank).unwrap_or(before.len())..];
        }
        if !text[to..].is_empty() && !text[to..].starts_with(is_blank) {
            after = &after[..after.rfind(is_blank).unwrap_or(0)];
        }
        let window = [before, &text[start..end], after].map(on_one_line).concat();
        cut(window.trim(), bytes_max).to_owned()
    }
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// White space and control characters as spaces: it takes no more bytes than before.
fn on_one_line(text: &str) -> String {
    text.chars().map(|character| if is_blank(character) { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_has_whole_words_beside_the_mention() {
        let text = "Fi\u{e8}vre \u{1f912} since\r\nMonday, no rash, no itch";
        let check = |start, end, bytes_max, expected: &str| {
            let snippet = CodePoints::of(text).snippet(start, end, bytes_max);
            assert_eq!(snippet, expected);
            assert!(snippet.len() <= bytes_max);
        };
        check(27, 31, 250, "Fi\u{e8}vre \u{1f912} since  Monday, no rash, no itch");
        check(27, 31, 20, "no rash, no");
        check(27, 31, 24, "no rash, no itch");
        check(27, 31, 26, "Monday, no rash, no itch");
        check(27, 31, 5, "rash");
        check(27, 31, 3, "ras");
        check(0, 6, 250, "Fi\u{e8}vre \u{1f912} since  Monday, no rash, no itch");
        check(0, 6, 12, "Fi\u{e8}vre");
        check(0, 6, 20, "Fi\u{e8}vre \u{1f912}");
        check(7, 8, 20, "Fi\u{e8}vre \u{1f912} since");
    }

    #[test]
    fn what_databases_refuse_is_replaced_one_for_one() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert_eq!(cut("Fi\u{e8}vre", 3), "Fi");
        assert_eq!(cut("Fi\u{e8}vre", 7), "Fi\u{e8}vre");
        assert_eq!(cut("rash", 250), "rash");
    }
}
