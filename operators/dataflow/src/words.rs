//! Where the words of a text are.

use std::ops::Range;
use stillroom_schemas::Span;

/// The boundaries of a text's words in code points, ascending and disjoint. A word is a pre-token of the basic BERT tokenizer.
///
/// Boundaries are all that scoring needs of a text, so they are what is kept of it: [`Words::to_bytes`] takes about two bytes
/// a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<Range<u32>>);

impl Words {
    /// The number of words.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The indexes of the words that share a code point with `start..end`.
    pub fn overlapping(&self, start: u32, end: u32) -> Range<usize> {
        if start >= end {
            return 0..0;
        }
        let first = self.0.partition_point(|word| word.end <= start);
        let last = self.0.partition_point(|word| word.start < end);
        first..last.max(first)
    }

    /// The indexes of the words under `span`.
    pub fn under(&self, span: &Span) -> Range<usize> {
        self.overlapping(span.start, span.end)
    }

    /// Whether each word lies under one of `spans`.
    pub fn inside<'a>(&self, spans: impl IntoIterator<Item = &'a Span>) -> Vec<bool> {
        let mut inside = vec![false; self.0.len()];
        spans.into_iter().for_each(|span| inside[self.under(span)].fill(true));
        inside
    }

    /// Gap and length of each word as LEB128 variable-length integers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * self.0.len());
        let mut at = 0;
        for word in &self.0 {
            put_varint(&mut bytes, word.start - at);
            put_varint(&mut bytes, word.end - word.start);
            at = word.end;
        }
        bytes
    }

    /// The inverse of [`Words::to_bytes`]; `None` when `bytes` are not its output.
    pub fn from_bytes(bytes: &[u8]) -> Option<Words> {
        let (mut rest, mut at, mut words) = (bytes, 0u32, Vec::new());
        while !rest.is_empty() {
            let start = at.checked_add(take_varint(&mut rest)?)?;
            at = start.checked_add(take_varint(&mut rest)?)?;
            words.push(start..at);
        }
        Some(Words(words))
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(value).ok();
        }
    }
    None
}
