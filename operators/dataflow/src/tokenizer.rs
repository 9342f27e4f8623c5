//! From a text to its words and to the windows that a student reads.

use crate::{Window, Words};
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

/// Word pieces that a student reads at once, `[CLS]` and `[SEP]` included: the positions that BERT was trained with.
pub const WINDOW_PIECES_MAX: usize = 512;

/// Word pieces that two neighbouring windows share, at least: every word has this much context on its poorer side, halved,
/// wherever the text has it.
const OVERLAP_PIECES: usize = 128;

/// The files of a folder: the whole of a tokenizer, or its word pieces alone; and what may say how letters are folded.
const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.txt";
const FOLDING: &str = "tokenizer_config.json";

/// Cuts texts into words and windows of word pieces.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    cls: u32,
    sep: u32,
    is_assumed: bool,
}

/// A text as the student reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedText {
    /// The words.
    pub words: Words,
    /// Word pieces of the text, special ones not counted.
    pub word_pieces: u32,
    /// The windows, in order; none when the text has no word.
    pub windows: Vec<Window>,
}

/// Why a tokenizer could not be loaded or a text not be cut.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The files are not those of a BERT tokenizer.
    #[error("cannot load a tokenizer from {path}: {cause}; the folder must hold tokenizer.json or vocab.txt")]
    Load {
        /// The folder, or the file in it.
        path: String,
        /// What went wrong.
        cause: String,
    },
    /// The tokenizer refused a text.
    #[error("cannot tokenize a text of {bytes} bytes")]
    Encode {
        /// The size of the text.
        bytes: usize,
    },
}

impl Tokenizer {
    /// Loads `tokenizer.json`, or else `vocab.txt`, from a Hugging Face folder. What `tokenizer_config.json` says of lower case, accents
    /// and Chinese characters holds for either, as in transformers; where it says nothing, `tokenizer.json` decides, and a `vocab.txt`
    /// is taken for an uncased one.
    ///
    /// # Errors
    /// When neither file is there or usable, or when the vocabulary lacks `[CLS]` or `[SEP]`.
    pub fn load(folder: &Path) -> Result<Tokenizer, TokenizerError> {
        let json = folder.join(TOKENIZER);
        let path = if json.exists() { json } else { folder.join(VOCABULARY) };
        let failed = |cause: String| TokenizerError::Load { path: path.display().to_string(), cause };
        let mut inner = match path.ends_with(TOKENIZER) {
            true => tokenizers::Tokenizer::from_file(&path),
            false => Self::from_vocabulary(&path),
        }
        .map_err(|error| failed(error.to_string()))?;
        let folding = Folding::load(folder)?;
        let is_assumed = path.ends_with(VOCABULARY) && folding.do_lower_case.is_none() && has_capitals(&inner);
        folding.apply(&mut inner).map_err(|error| failed(error.to_string()))?;
        // Published tokenizers have truncation and padding baked in, which would lose words.
        inner.with_truncation(None).map_err(|error| failed(error.to_string()))?;
        inner.with_padding(None);
        // A note that contains "[SEP]" means these five characters.
        inner.set_encode_special_tokens(true);
        let id = |token: &str| inner.token_to_id(token).ok_or_else(|| failed(format!("the vocabulary lacks {token}")));
        let (cls, sep) = (id("[CLS]")?, id("[SEP]")?);
        Ok(Tokenizer { inner, cls, sep, is_assumed })
    }

    /// Cuts texts into the words that every student reads, without a vocabulary: for counting words where there is no student.
    ///
    /// ```
    /// let words = stillroom_dataflow::Tokenizer::words_only().tokenize("Fièvre, 38.5°.").unwrap().words;
    /// assert_eq!(words.0, [0..6, 6..7, 8..10, 10..11, 11..13, 13..14]);
    /// ```
    pub fn words_only() -> Tokenizer {
        let special = [("[UNK]", 0), ("[CLS]", 1), ("[SEP]", 2)].map(|(piece, id)| (piece.to_owned(), id));
        let model = WordPiece::builder().vocab(special).unk_token("[UNK]".into()).build();
        let inner = model.and_then(Self::of_model).expect("a vocabulary of special pieces is one");
        Tokenizer { inner, cls: 1, sep: 2, is_assumed: false }
    }

    /// The files of a folder that say how it cuts texts.
    pub fn files(folder: &Path) -> Vec<PathBuf> {
        let pieces = if folder.join(TOKENIZER).exists() { TOKENIZER } else { VOCABULARY };
        [pieces, FOLDING].map(|name| folder.join(name)).into_iter().filter(|path| path.exists()).collect()
    }

    /// A word piece a line. A piece may end in a blank of Unicode, which is a part of it, and which the library's own reader cuts off.
    fn from_vocabulary(path: &Path) -> tokenizers::Result<tokenizers::Tokenizer> {
        let mut pieces = WordPiece::read_bytes(b"")?;
        pieces.extend(std::fs::read_to_string(path)?.lines().map(str::to_owned).zip(0..));
        Self::of_model(WordPiece::builder().vocab(pieces).unk_token("[UNK]".into()).build()?)
    }

    fn of_model(model: WordPiece) -> tokenizers::Result<tokenizers::Tokenizer> {
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_normalizer(Some(BertNormalizer::default()))?;
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        Ok(inner)
    }

    /// Whether texts are read in lower case for no other reason than that nothing says otherwise, though the vocabulary has capitals.
    pub fn assumes_lower_case(&self) -> bool {
        self.is_assumed
    }

    /// The rows that a table of its word pieces needs: one more than the highest of their ids, special ones included.
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
    }

    /// Cuts `text` into words, and into overlapping windows such that each word is owned by exactly one.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn tokenize(&self, text: &str) -> Result<TokenizedText, TokenizerError> {
        let encoding =
            self.inner.encode_char_offsets(text, false).map_err(|_| TokenizerError::Encode { bytes: text.len() })?;
        let (words, pieces) = words_of(encoding.get_word_ids(), encoding.get_offsets());
        let windows =
            windows_of(&pieces).into_iter().map(|cut| self.window(cut, encoding.get_ids(), &pieces)).collect();
        Ok(TokenizedText { words, word_pieces: encoding.len() as u32, windows })
    }

    fn window(&self, cut: Cut, ids: &[u32], pieces: &[usize]) -> Window {
        let (first, last) = (pieces[cut.read.start], pieces[cut.read.end]);
        let ids = [&[self.cls], &ids[first..last], &[self.sep]].concat();
        let at = |word: usize| (pieces[word] - first + 1) as u16;
        Window { ids, pieces: (cut.owned.start..=cut.owned.end).map(at).collect(), words: cut.owned }
    }
}

/// Whether a vocabulary has pieces with capitals beside the special ones.
fn has_capitals(tokenizer: &tokenizers::Tokenizer) -> bool {
    let has_capital = |piece: &String| !piece.starts_with('[') && piece.chars().any(char::is_uppercase);
    tokenizer.get_vocab(false).keys().any(has_capital)
}

/// What `tokenizer_config.json` says of how a text is normalised; what is not there is not changed.
#[derive(Default, Deserialize)]
struct Folding {
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

impl Folding {
    fn load(folder: &Path) -> Result<Folding, TokenizerError> {
        let path = folder.join(FOLDING);
        if !path.exists() {
            return Ok(Folding::default());
        }
        let failed = |cause: String| TokenizerError::Load { path: path.display().to_string(), cause };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    fn apply(&self, tokenizer: &mut tokenizers::Tokenizer) -> tokenizers::Result<()> {
        let Some(NormalizerWrapper::BertNormalizer(bert)) = tokenizer.get_normalizer() else { return Ok(()) };
        let mut bert = *bert;
        bert.lowercase = self.do_lower_case.unwrap_or(bert.lowercase);
        bert.strip_accents = self.strip_accents.or(bert.strip_accents);
        bert.handle_chinese_chars = self.tokenize_chinese_chars.unwrap_or(bert.handle_chinese_chars);
        tokenizer.with_normalizer(Some(bert)).map(|_| ())
    }
}

/// The words under the pieces, and where each word's pieces begin, with the number of pieces at the end.
fn words_of(word_ids: &[Option<u32>], offsets: &[(usize, usize)]) -> (Words, Vec<usize>) {
    let (mut words, mut pieces, mut previous) = (Vec::<Range<u32>>::new(), Vec::new(), None);
    for (piece, (id, &(start, end))) in word_ids.iter().zip(offsets).enumerate() {
        let (start, end) = (start as u32, end as u32);
        // Normalisation may turn one character into several pre-tokens: they are one word, or words would overlap.
        match words.last_mut().filter(|word| *id == previous || start < word.end) {
            Some(word) => word.end = word.end.max(end),
            None => {
                words.push(start..end);
                pieces.push(piece);
            }
        }
        previous = *id;
    }
    pieces.push(word_ids.len());
    (Words(words), pieces)
}

/// A window in words: those that are read and, among them, those that are owned.
#[derive(Debug)]
struct Cut {
    read: Range<usize>,
    owned: Range<usize>,
}

/// Cuts the words whose pieces begin at `pieces` (one more entry than words) into windows.
fn windows_of(pieces: &[usize]) -> Vec<Cut> {
    let words = pieces.len() - 1;
    let mut cuts: Vec<Cut> = Vec::new();
    let mut start = 0;
    while start < words {
        let limit = pieces[start] + WINDOW_PIECES_MAX - 2;
        // WordPiece gives a word of over 100 characters one piece, so that at least one word always fits.
        let end = (pieces.partition_point(|&piece| piece <= limit) - 1).max(start + 1);
        let owned_from = cuts.last().map_or(0, |previous| handover(pieces, &previous.read, start..end));
        if let Some(previous) = cuts.last_mut() {
            previous.owned.end = owned_from;
        }
        cuts.push(Cut { read: start..end, owned: owned_from..end });
        if end == words {
            break;
        }
        let overlap_from = pieces[end].saturating_sub(OVERLAP_PIECES);
        start = pieces.partition_point(|&piece| piece < overlap_from).clamp(start + 1, end);
    }
    cuts
}

/// The first word that has more context in `right` than in `left`, of two neighbouring windows.
fn handover(pieces: &[usize], left: &Range<usize>, right: Range<usize>) -> usize {
    (right.start..left.end)
        .find(|&word| pieces[word] - pieces[right.start] > pieces[left.end] - pieces[word + 1])
        .unwrap_or(left.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// Single letters and their continuations: a word of n letters has n pieces.
    static LETTERS: LazyLock<Tokenizer> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned);
        let vocabulary: Vec<String> = special.into_iter().chain(letters).collect();
        std::fs::write(folder.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
        Tokenizer::load(folder.path()).unwrap()
    });

    fn words(text: &str) -> Vec<String> {
        let characters: Vec<char> = text.chars().collect();
        let word = |word: &Range<u32>| characters[word.start as usize..word.end as usize].iter().collect();
        LETTERS.tokenize(text).unwrap().words.0.iter().map(word).collect()
    }

    #[test]
    fn words_are_the_pre_tokens_of_bert_where_they_stand() {
        assert_eq!(words("Pt. c/o chest-pain"), ["Pt", ".", "c", "/", "o", "chest", "-", "pain"]);
        assert_eq!(words("Fièvre à 38,5°C"), ["Fièvre", "à", "38", ",", "5°C"]);
        assert_eq!(words("Mu\u{308}ller 5\u{b5}g\tx"), ["Mu\u{308}ller", "5\u{b5}g", "x"]);
        assert_eq!(words("\u{75c5}\u{9662} ok"), ["\u{75c5}", "\u{9662}", "ok"]);
        assert_eq!(words("a [SEP] b"), ["a", "[", "SEP", "]", "b"]);
        assert_eq!(words(" \n\u{200b}"), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn every_word_is_owned_by_one_window_and_read_whole(
            text in prop_oneof![
                proptest::collection::vec("[a-z]{1,40}", 0..120).prop_map(|words| words.join(" ")),
                proptest::collection::vec("[a-z]{1,3}|[.,;]|[A-ZÀ-ÿµ°–\u{300}-\u{303}]{1,4}", 0..1500).prop_map(|words| words.join(" ")),
                "\\PC{0,400}",
            ]
        ) {
            let tokenized = LETTERS.tokenize(&text).unwrap();
            let mut next = 0;
            for window in &tokenized.windows {
                prop_assert!(window.ids.len() <= WINDOW_PIECES_MAX);
                prop_assert_eq!(window.words.start, next);
                prop_assert!(window.words.end > next);
                prop_assert_eq!(window.pieces.len(), window.words.len() + 1);
                prop_assert!(window.pieces.is_sorted_by(|a, b| a < b));
                prop_assert!(window.pieces[0] >= 1 && usize::from(*window.pieces.last().unwrap()) < window.ids.len());
                next = window.words.end;
            }
            prop_assert_eq!(next, tokenized.words.len());
            prop_assert!(tokenized.words.0.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(tokenized.words.0.iter().all(|word| word.start < word.end));
            prop_assert_eq!(Words::from_bytes(&tokenized.words.to_bytes()), Some(tokenized.words));
        }

        #[test]
        fn a_word_has_context_on_both_sides_where_the_text_has(count in 1usize..3000) {
            let text = vec!["a"; count].join(" ");
            let tokenized = LETTERS.tokenize(&text).unwrap();
            for window in &tokenized.windows {
                for (word, piece) in window.words.clone().zip(&window.pieces) {
                    let (before, after) = (usize::from(*piece) - 1, window.ids.len() - 2 - usize::from(*piece));
                    prop_assert!(before >= word.min(OVERLAP_PIECES / 2 - 1), "word {word} of {count} has {before} before");
                    prop_assert!(after >= (count - 1 - word).min(OVERLAP_PIECES / 2 - 1), "word {word} of {count} has {after} after");
                }
            }
        }
    }
}
