//! The words, numbers and signs that stand beside a medication.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `500`, `0.5`, `1,000`, `1/2`, `70/30`.
    Number,
    /// Letters; those of `b.i.d.` are one word.
    Word,
    /// Any other character but white space.
    Sign,
    /// The end of a sentence, an item or a paragraph.
    End,
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// In lower case, without dots in a word.
    pub(super) text: String,
    /// The first character.
    pub(super) start: usize,
    /// One past the last character.
    pub(super) end: usize,
}

/// Characters that end an item wherever they stand.
const ENDS: [char; 4] = [';', '!', '?', '\u{2022}'];

const FRACTIONS: [char; 3] = ['\u{bc}', '\u{bd}', '\u{be}'];

/// The tokens of `text`, in order.
pub(super) fn tokens(text: &[char]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = text.get(at) {
        let (kind, end) = match character {
            _ if character.is_whitespace() => {
                let length = text[at..].iter().take_while(|character| character.is_whitespace()).count();
                let is_blank_line = text[at..at + length].iter().filter(|character| **character == '\n').count() > 1;
                if is_blank_line {
                    tokens.push(Token { kind: Kind::End, text: String::new(), start: at, end: at + length });
                }
                at += length;
                continue;
            }
            _ if begins_number(text, at) => (Kind::Number, end_of_number(text, at)),
            _ if character.is_alphabetic() => (Kind::Word, end_of_word(text, at)),
            '.' if ends_sentence(&text[at + 1..]) => (Kind::End, at + 1),
            _ if ENDS.contains(&character) => (Kind::End, at + 1),
            _ => (Kind::Sign, at + 1),
        };
        let is_kept = |character: &&char| kind != Kind::Word || **character != '.';
        let lower = text[at..end].iter().filter(is_kept).flat_map(|character| character.to_lowercase()).collect();
        tokens.push(Token { kind, text: lower, start: at, end });
        at = end;
    }
    tokens
}

fn is(text: &[char], at: usize, test: impl Fn(char) -> bool) -> bool {
    text.get(at).is_some_and(|character| test(*character))
}

fn is_digit(text: &[char], at: usize) -> bool {
    is(text, at, |character| character.is_ascii_digit() || FRACTIONS.contains(&character))
}

fn begins_number(text: &[char], at: usize) -> bool {
    is_digit(text, at) || (text[at] == '.' && is_digit(text, at + 1))
}

fn end_of_number(text: &[char], at: usize) -> usize {
    let mut end = at + 1;
    loop {
        if is_digit(text, end) {
            end += 1;
        } else if is(text, end, |character| ".,/".contains(character)) && is_digit(text, end + 1) {
            end += 2;
        } else {
            return end;
        }
    }
}

/// Letters, or single ones with a dot behind each.
fn end_of_word(text: &[char], at: usize) -> usize {
    let letters = text[at..].iter().take_while(|character| character.is_alphabetic()).count();
    let mut end = at + letters;
    if letters > 1 {
        return end;
    }
    while is(text, end, |character| character == '.')
        && is(text, end + 1, char::is_alphabetic)
        && !is(text, end + 2, char::is_alphabetic)
    {
        end += 2;
    }
    // The last dot is the abbreviation's, where there were others.
    if end > at + 1 && is(text, end, |character| character == '.') { end + 1 } else { end }
}

/// Whether a dot before `rest` ends a sentence: a capital is next, but not an abbreviation in capitals such as `PO`.
fn ends_sentence(rest: &[char]) -> bool {
    let mut next = rest.iter().skip_while(|character| character.is_whitespace()).peekable();
    match next.peek() {
        None => true,
        Some(first) if first.is_uppercase() => {
            let is_apart = rest[0].is_whitespace();
            let word: Vec<&char> = next.take_while(|character| character.is_alphabetic()).collect();
            is_apart && (word.len() < 2 || !word.iter().all(|character| character.is_uppercase()))
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens of a text with bars between them, `$` for an end.
    fn check(text: &str, expected: &str) {
        let text: Vec<char> = text.chars().collect();
        let show = |token: &Token| if token.kind == Kind::End { "$".to_owned() } else { token.text.clone() };
        assert_eq!(tokens(&text).iter().map(show).collect::<Vec<_>>().join("|"), expected, "{text:?}");
    }

    #[test]
    fn numbers_words_and_signs() {
        check("10mg/5 mL, q8h", "10|mg|/|5|ml|,|q|8|h");
        check("0.5-1 mg .25 mcg 1,000 70/30", "0.5|-|1|mg|.25|mcg|1,000|70/30");
        check("1\u{bd} tabs", "1\u{bd}|tabs");
        check("5 %", "5|%");
    }

    #[test]
    fn dotted_abbreviations_are_words() {
        check("p.o. b.i.d. q.h.s", "po|bid|qhs");
        check("q.6h", "q|.6|h");
        check("a.m., x", "am|,|x");
    }

    #[test]
    fn sentences_items_and_paragraphs_end() {
        check("500 mg. He", "500|mg|$|he");
        check("tab. po", "tab|.|po");
        check("tab. PO", "tab|.|po");
        check("daily.", "daily|$");
        check("a; b", "a|$|b");
        check("a\nb\n\nc", "a|b|$|c");
    }
}
