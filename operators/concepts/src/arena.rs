//! Many short texts in one.

use std::cmp::Ordering;

/// Texts by their numbers, one behind the other.
#[derive(Debug)]
pub(crate) struct Arena {
    text: String,
    /// Where each text begins, and where the last one ends.
    starts: Vec<u32>,
}

impl Arena {
    pub(crate) fn new() -> Arena {
        Arena { text: String::new(), starts: vec![0] }
    }

    /// Adds a text; none where it has no room any more.
    pub(crate) fn push(&mut self, text: &str) -> Option<u32> {
        let end = u32::try_from(self.text.len() + text.len()).ok()?;
        let number = self.len() as u32;
        self.text.push_str(text);
        self.starts.push(end);
        Some(number)
    }

    /// # Panics
    /// When there is no text of this number.
    pub(crate) fn get(&self, number: u32) -> &str {
        let at = number as usize;
        &self.text[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// The number of a text, where texts stand by length and then by bytes.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            let there = self.get(middle);
            match (there.len(), there).cmp(&(text.len(), text)) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Gives back what was set aside for more texts.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.starts.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_by_number_and_numbers_by_text() {
        let mut arena = Arena::new();
        let texts = ["", "b", "c", "aa", "\u{e9}"];
        for (number, text) in (0..).zip(texts) {
            assert_eq!(arena.push(text), Some(number));
        }
        arena.shrink();
        for (number, text) in (0..).zip(texts) {
            assert_eq!((arena.get(number), arena.find(text)), (text, Some(number)));
        }
        assert_eq!((arena.len(), arena.find("a"), arena.find("bb")), (5, None, None));
    }
}
