//! The names of a vocabulary, those of a concept one behind the other.

use crate::arena::Arena;
use crate::keys;
use crate::reading::Standing;
use std::collections::HashSet;
use std::ops::Range;

/// A name as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owned {
    /// The number of its concept.
    pub(crate) concept: u32,
    pub(crate) standing: Standing,
    /// The number of its text.
    pub(crate) text: u32,
}

/// The names of a vocabulary by their numbers; the first one of a concept is preferred.
#[derive(Debug)]
pub(crate) struct Names {
    texts: Arena,
    concepts: Vec<u32>,
    standings: Vec<Standing>,
    /// Where the names of each concept begin, and where those of the last one end.
    firsts: Vec<u32>,
}

impl Names {
    /// Of so many concepts, these names; of those of a concept that differ by the case of letters alone the first by standing stays.
    /// None where they are too many.
    pub(crate) fn new(concepts: usize, mut owned: Vec<Owned>, texts: &Arena) -> Option<Names> {
        owned.sort_unstable();
        let (mut kept, mut seen) = (Arena::new(), HashSet::new());
        let (mut of, mut standings, mut firsts) = (Vec::new(), Vec::new(), Vec::with_capacity(concepts + 1));
        for Owned { concept, standing, text } in owned {
            let text = texts.get(text);
            let is_first = firsts.len() <= concept as usize;
            if is_first {
                seen.clear();
                firsts.resize(concept as usize + 1, kept.len() as u32);
            }
            if seen.insert(keys::exact(text)) {
                kept.push(text)?;
                of.push(concept);
                standings.push(if is_first { Standing::Preferred } else { standing });
            }
        }
        firsts.resize(concepts + 1, kept.len() as u32);
        kept.shrink();
        of.shrink_to_fit();
        standings.shrink_to_fit();
        Some(Names { texts: kept, concepts: of, standings, firsts })
    }

    pub(crate) fn len(&self) -> usize {
        self.concepts.len()
    }

    /// The name of a number.
    pub(crate) fn get(&self, number: u32) -> &str {
        self.texts.get(number)
    }

    /// The concept that a name belongs to.
    pub(crate) fn concept(&self, number: u32) -> u32 {
        self.concepts[number as usize]
    }

    /// How a name stands to its concept.
    pub(crate) fn standing(&self, number: u32) -> Standing {
        self.standings[number as usize]
    }

    /// The numbers of a concept's names.
    pub(crate) fn of(&self, concept: u32) -> Range<u32> {
        let at = concept as usize;
        self.firsts[at]..self.firsts[at + 1]
    }

    /// Concepts that have a name.
    pub(crate) fn named(&self) -> usize {
        self.firsts.windows(2).filter(|pair| pair[0] < pair[1]).count()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.texts.bytes()
            + (self.concepts.capacity() + self.firsts.capacity()) * size_of::<u32>()
            + self.standings.capacity() * size_of::<Standing>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_by_concept_the_preferred_first() {
        let mut texts = Arena::new();
        let mut owned = Vec::new();
        let rows = [
            (2, Standing::Exact, "b"),
            (0, Standing::Related, "x"),
            (2, Standing::Preferred, "a"),
            (2, Standing::Narrow, "A"),
            (4, Standing::Exact, "only"),
        ];
        for (concept, standing, text) in rows {
            owned.push(Owned { concept, standing, text: texts.push(text).unwrap() });
        }
        let names = Names::new(6, owned, &texts).unwrap();
        let of = |concept: u32| names.of(concept).map(|number| names.get(number)).collect::<Vec<_>>().join(" ");
        assert_eq!((0..6).map(of).collect::<Vec<_>>(), ["x", "", "a b", "", "only", ""]);
        assert_eq!((names.len(), names.named()), (4, 3));
        assert_eq!((0..4).map(|number| names.concept(number)).collect::<Vec<_>>(), [0, 2, 2, 4]);
        // Where the file prefers none the first one stands in.
        assert_eq!((names.standing(0), names.standing(2)), (Standing::Preferred, Standing::Exact));
    }
}
