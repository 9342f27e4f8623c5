//! What the words of a medication end with of how it is to be taken: `Lipitor 20 mg`, `metformin 500 mg tablets`.
//!
//! In flow the words of an entity, out flows where its name ends. Amounts, forms and routes are what [`part`] knows. A bare
//! number stays with the name: `Novolog 70/30` is another drug than `Novolog`.

use super::fillers::FILLER_SIGNS;
use super::parts::{Part, is_sign, modifier, part};
use super::tokens::{Token, tokens};

/// Tokens at the end of a medication's words that are looked at.
const TAIL_TOKENS_MAX: usize = 16;

/// The character at which the amounts, forms and routes begin that these words end with; a token is before it.
pub(super) fn tail(words: &[char]) -> Option<usize> {
    let tokens = tokens(words);
    let first = tokens.len().saturating_sub(TAIL_TOKENS_MAX).max(1);
    let begins = |from: &usize| !is_sign(&tokens, *from, FILLER_SIGNS) && is_tail(&tokens, *from);
    (first..tokens.len()).find(begins).map(|from| tokens[from].start)
}

/// The words of a medication without the amounts, forms and routes that they end with; none where they end with no such.
pub(crate) fn bare(words: &str) -> Option<&str> {
    let start = tail(&words.chars().collect::<Vec<char>>())?;
    let (end, _) = words.char_indices().nth(start)?;
    let is_sign = |character: char| FILLER_SIGNS.iter().any(|sign| sign.chars().eq([character]));
    let joins = |character: char| character.is_whitespace() || is_sign(character);
    Some(words[..end].trim_end_matches(joins))
}

/// Whether all tokens from this one on say how a medication is to be taken.
fn is_tail(tokens: &[Token], mut at: usize) -> bool {
    while at < tokens.len() {
        let end = match part(tokens, at) {
            Some(part @ (Part::Amount(_) | Part::Form(_) | Part::Route(_))) => Some(part.end()),
            _ if is_sign(tokens, at, FILLER_SIGNS) => Some(at + 1),
            _ => modifier(tokens, at),
        };
        let Some(end) = end else { return false };
        at = end;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_forms_and_routes_are_no_name() {
        let check = |words: &str, expected: Option<&str>| assert_eq!(bare(words), expected, "{words}");
        check("Levothyroxine 88 mcg", Some("Levothyroxine"));
        check("Lipitor 20mg", Some("Lipitor"));
        check("metformin 500 mg tablets", Some("metformin"));
        check("metoprolol succinate ER 50 mg", Some("metoprolol succinate"));
        check("hydrocodone-acetaminophen 5-325 mg", Some("hydrocodone-acetaminophen"));
        check("vitamin B12 1,000 mcg", Some("vitamin B12"));
        check("\u{e9}fudix (5% cream)", Some("\u{e9}fudix"));
        check("vancomycin, 1 g IV", Some("vancomycin"));
        check("Lipitor", None);
        check("500 mg", None);
        check("Novolog 70/30", None);
        check("Tylenol #3", None);
        check("Tylenol PM", None);
        check("aspirin 81 mg and clopidogrel", None);
        check("", None);
    }
}
