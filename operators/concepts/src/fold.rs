//! A text as names are looked up in it: words in lower case with one space between them, and where each word stands.
//!
//! Names and texts are folded by the same function, so that what it does to one it does to the other. A word is a run of letters
//! and digits; a mark of punctuation is a word of its own. Folding changes lengths (`ß` becomes `ss`, `İ` becomes `i`, a combining
//! mark nothing), so positions are kept by word, and never computed from the folded text.

use std::ops::Range;

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Bytes of [`Folded::text`].
    pub folded: Range<u32>,
    /// Code points of the original.
    pub points: Range<u32>,
    /// Bytes of the original.
    pub bytes: Range<u32>,
}

/// A text with its words in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// A space, and each word with a space behind it: a name with a space on either side is found at word boundaries only.
    pub text: String,
    /// The words, in order.
    pub words: Vec<Word>,
}

impl Folded {
    /// The folded word at `index`; empty beyond the last one.
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| &self.text[word.folded.start as usize..word.folded.end as usize])
    }

    /// Whether no code point lies between the words at `index` and `index + 1`.
    pub(crate) fn touch(&self, index: usize) -> bool {
        self.words[index].points.end == self.words[index + 1].points.start
    }

    /// The words that a match at `from..to` of the text covers; the match starts and ends with a space.
    pub fn words_at(&self, from: usize, to: usize) -> Range<usize> {
        let first = self.words.partition_point(|word| (word.folded.start as usize) < from + 1);
        let last = self.words.partition_point(|word| (word.folded.end as usize) < to);
        first..last
    }

    /// Forgets the words from `length` on.
    fn truncate(&mut self, length: usize) {
        if let Some(word) = self.words.get(length) {
            self.text.truncate(word.folded.start as usize);
            self.words.truncate(length);
        }
    }
}

/// Folds `text`; British spellings become American ones where `spelling` is set.
///
/// White space and hyphens separate words. A possessive ending is left out ("Crohn's disease" and "Graves' disease" are found as
/// "Crohn disease" and "Graves disease"), as are diacritics and characters without width. Greek letters that names spell out are
/// spelt out.
pub fn fold(text: &str, spelling: bool) -> Folded {
    let mut folder = Folder { folded: Folded { text: " ".to_owned(), words: Vec::new() }, open: None, spelling };
    folder.folded.text.reserve(text.len() + 8);
    for (point, (byte, character)) in (0u32..).zip(text.char_indices()) {
        folder.take(character, point, byte as u32);
    }
    folder.close();
    folder.folded
}

struct Folder {
    folded: Folded,
    /// The word that may go on.
    open: Option<Word>,
    spelling: bool,
}

impl Folder {
    fn take(&mut self, character: char, point: u32, byte: u32) {
        let end = (point + 1, byte + character.len_utf8() as u32);
        match kind(character) {
            Kind::Letter => {
                let at = self.folded.text.len() as u32;
                let open = self.open.get_or_insert(Word { folded: at..at, points: point..point, bytes: byte..byte });
                (open.points.end, open.bytes.end) = end;
                push_folded(&mut self.folded.text, character);
            }
            Kind::Mark => {
                if let Some(open) = &mut self.open {
                    (open.points.end, open.bytes.end) = end;
                }
            }
            Kind::Nothing => {}
            Kind::Separator => self.close(),
            Kind::Sign => {
                self.close();
                let at = self.folded.text.len() as u32;
                self.open = Some(Word { folded: at..at, points: point..end.0, bytes: byte..end.1 });
                self.folded.text.push(if matches!(character, '\u{2019}' | '\u{2bc}') { '\'' } else { character });
                self.close();
            }
        }
    }

    /// Ends the open word.
    fn close(&mut self) {
        let Some(mut word) = self.open.take() else { return };
        let from = word.folded.start as usize;
        if self.spelling {
            respell(&mut self.folded.text, from);
        }
        word.folded.end = self.folded.text.len() as u32;
        if word.folded.is_empty() {
            return;
        }
        self.folded.text.push(' ');
        self.folded.words.push(word);
        self.drop_possessive();
    }

    /// Drops `'s` behind a word, and the apostrophe of a plural's possessive as soon as the next word is there.
    fn drop_possessive(&mut self) {
        let folded = &mut self.folded;
        let count = folded.words.len();
        if count < 3 || folded.word(count - 2) != "'" || !folded.touch(count - 3) {
            return;
        }
        if folded.touch(count - 2) {
            if folded.word(count - 1) == "s" {
                folded.truncate(count - 2);
            }
        } else if folded.word(count - 3).ends_with('s') && folded.words[count - 3].folded.len() > 1 {
            let last = folded.words[count - 1].clone();
            let text = folded.word(count - 1).to_owned();
            folded.truncate(count - 2);
            let at = folded.text.len() as u32;
            folded.words.push(Word { folded: at..at + text.len() as u32, ..last });
            folded.text.push_str(&text);
            folded.text.push(' ');
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Letter,
    Mark,
    /// Without width, and no boundary.
    Nothing,
    Separator,
    Sign,
}

fn kind(character: char) -> Kind {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Kind::Letter,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' => Kind::Separator,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => Kind::Nothing,
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => Kind::Mark,
        '\u{2bc}' => Kind::Sign,
        _ if character.is_whitespace() || character.is_control() => Kind::Separator,
        _ if character.is_alphanumeric() => Kind::Letter,
        _ => Kind::Sign,
    }
}

/// Latin letters with diacritics that have a code point of their own, and the letter below.
const LATIN: &str = "àaáaâaãaäaåaçcèeéeêeëeìiíiîiïiñnòoóoôoõoöoøoùuúuûuüuýyÿyāaăaąaćcĉcċcčcďdđdēeĕeėeęeěeĝgğgġgģgĥhħhĩiīiĭiįiĵjķkĺlļlľlŀlłlńnņnňnōoŏoőoŕrŗrřrśsŝsşsšsţtťtŧtũuūuŭuůuűuųuŵwŷyźzżzžz";

/// Greek letters as names spell them.
const GREEK: [(char, &str); 7] =
    [('α', "alpha"), ('β', "beta"), ('γ', "gamma"), ('δ', "delta"), ('κ', "kappa"), ('λ', "lambda"), ('ω', "omega")];

/// Appends the letter in lower case without diacritics. By way of upper case, as `ß`, `ﬁ` and `ſ` have no other way to `ss`, `fi`
/// and `s`.
fn push_folded(text: &mut String, character: char) {
    if character.is_ascii() {
        text.push(character.to_ascii_lowercase());
        return;
    }
    for lower in character.to_uppercase().flat_map(char::to_lowercase) {
        if let Some((_, spelt)) = GREEK.iter().find(|(letter, _)| *letter == lower) {
            text.push_str(spelt);
        } else if matches!(lower, 'æ' | 'œ') {
            text.push_str(if lower == 'æ' { "ae" } else { "oe" });
        } else if !matches!(kind(lower), Kind::Mark) {
            text.push(without_diacritics(lower));
        }
    }
}

fn without_diacritics(lower: char) -> char {
    if !('\u{e0}'..'\u{180}').contains(&lower) {
        return lower;
    }
    let mut letters = LATIN.chars();
    while let (Some(letter), Some(below)) = (letters.next(), letters.next()) {
        if letter == lower {
            return below;
        }
    }
    lower
}

/// Turns British spellings in the last word of `text` into American ones: oedema, anaemia, tumour, sulphate. Words that are no
/// British spellings change too, on both sides alike.
fn respell(text: &mut String, from: usize) {
    for (british, american) in [("ae", "e"), ("oe", "e"), ("our", "or"), ("sulph", "sulf")] {
        if text[from..].contains(british) {
            let word = text[from..].replace(british, american);
            text.truncate(from);
            text.push_str(&word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The folded words of `text`, with the code points under each.
    fn check(text: &str, expected: &[(&str, &str)]) {
        let folded = fold(text, true);
        let points: Vec<char> = text.chars().collect();
        let found: Vec<(String, String)> = (0..folded.words.len())
            .map(|index| {
                let Range { start, end } = folded.words[index].points;
                (folded.word(index).to_owned(), points[start as usize..end as usize].iter().collect())
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(word, under)| (word.to_string(), under.to_string())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn lengths_change_and_positions_do_not() {
        check("Stra\u{df}e \u{130}ce", &[("strasse", "Stra\u{df}e"), ("ice", "\u{130}ce")]);
        check("\u{fb01}brosis", &[("fibrosis", "\u{fb01}brosis")]);
        check("Sjo\u{308}gren Sj\u{f6}gren", &[("sjogren", "Sjo\u{308}gren"), ("sjogren", "Sj\u{f6}gren")]);
        check("\u{3b2}-blocker", &[("beta", "\u{3b2}"), ("blocker", "blocker")]);
        check("a\u{301}\u{301} b", &[("a", "a\u{301}\u{301}"), ("b", "b")]);
        check("hyper\u{ad}tension", &[("hypertension", "hyper\u{ad}tension")]);
    }

    #[test]
    fn white_space_and_hyphens_separate() {
        check("type\r\n2\u{2011}x \t y", &[("type", "type"), ("2", "2"), ("x", "x"), ("y", "y")]);
        check("(a/b)", &[("(", "("), ("a", "a"), ("/", "/"), ("b", "b"), (")", ")")]);
        check("", &[]);
        check(" \u{301}-", &[]);
    }

    #[test]
    fn possessives_are_left_out() {
        check("Crohn\u{2019}s disease", &[("crohn", "Crohn"), ("disease", "disease")]);
        check("Graves' disease", &[("graves", "Graves"), ("disease", "disease")]);
        check("5' end", &[("5", "5"), ("'", "'"), ("end", "end")]);
        check("x's", &[("x", "x")]);
        check("o'sullivan", &[("o", "o"), ("'", "'"), ("sullivan", "sullivan")]);
    }

    #[test]
    fn british_spellings_become_american() {
        check("Anaemia, oedema", &[("anemia", "Anaemia"), (",", ","), ("edema", "oedema")]);
        check("tumours", &[("tumors", "tumours")]);
    }

    proptest! {
        #[test]
        fn words_are_where_they_stand(text in "[a-cA-C '\u{2019}s\u{df}\u{130}\u{fb01}\u{301}\u{e9}\u{3b1}\r\n-]{0,40}|\\PC{0,60}") {
            let folded = fold(&text, true);
            let points: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
            prop_assert!(folded.words.windows(2).all(|pair| pair[0].points.end <= pair[1].points.start));
            let mut rebuilt = " ".to_owned();
            for (index, word) in folded.words.iter().enumerate() {
                prop_assert!(word.points.start < word.points.end);
                prop_assert_eq!(points[word.points.start as usize], word.bytes.start as usize);
                prop_assert_eq!(points[word.points.end as usize], word.bytes.end as usize);
                prop_assert!(!text[word.bytes.start as usize..word.bytes.end as usize].contains(char::is_whitespace));
                rebuilt += folded.word(index);
                rebuilt.push(' ');
            }
            prop_assert_eq!(rebuilt, folded.text);
        }
    }
}
