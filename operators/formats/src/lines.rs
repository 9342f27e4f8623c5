//! Text in formats that have a line for each record.

/// Whether `character` would end a line, or a column, for some reader of lines: line breaks, those of Unicode among them, tabs and all
/// other control characters.
pub(crate) fn ends_line(character: char) -> bool {
    // Python's `splitlines`, which many readers use, ends a line at all of these, and not at a line feed alone.
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// `text` on one line: each character that would end it is a space, so that all positions stay.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars().map(|character| if ends_line(character) { ' ' } else { character }).collect()
}

/// `text` with every character but those that `keeps` admits, and `%`, written as URLs do: the bytes of its UTF-8 form in hexadecimal.
/// Different texts stay different.
pub(crate) fn percent_encoded(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '%' && keeps(character) {
            encoded.push(character);
        } else {
            let mut bytes = [0; 4];
            encoded.extend(character.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_as_long() {
        let text = "a\r\nb\tc\u{b}\u{c}\u{1c}\u{85}\u{2028}\u{2029}\u{0}\u{1f912}\u{a0}d";
        let line = on_one_line(text);
        assert_eq!(line, "a  b c       \u{1f912}\u{a0}d");
        assert_eq!(line.chars().count(), text.chars().count());
    }

    #[test]
    fn what_is_not_kept_is_written_in_hexadecimal() {
        assert_eq!(percent_encoded("a/b c%\u{e9}\t", |c| c.is_ascii_alphanumeric()), "a%2Fb%20c%25%C3%A9%09");
        assert_eq!(percent_encoded("%", |_| true), "%25");
    }
}
