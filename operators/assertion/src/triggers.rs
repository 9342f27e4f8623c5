//! All triggers in one automaton. In flow the sentences of a note that have entities, out flow the triggers in them, by
//! position.
//!
//! The words of a sentence are one key, in which the words of entities and the ends of sentences are no words, so that
//! no trigger has to do with an entity or crosses a sentence. Of triggers that overlap, the leftmost and then the
//! longest is one. One pass over the words finds them all, however many the lexicon has.

use crate::AssertionError;
use crate::lexicon::Trigger;
use crate::note::Note;
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What stands for an entity's word, and between sentences; no word of a text is folded to either.
const ENTITY: char = '\u{3}';
const STOP: char = '\u{4}';

/// The triggers of a lexicon.
#[derive(Debug)]
pub(crate) struct Triggers {
    automaton: AhoCorasick,
    triggers: Vec<Trigger>,
}

/// A trigger in a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its words.
    pub(crate) words: Range<usize>,
    trigger: usize,
}

impl Triggers {
    pub(crate) fn new(triggers: BTreeMap<String, Trigger>) -> Result<Triggers, AssertionError> {
        let (keys, triggers): (Vec<String>, Vec<Trigger>) = triggers.into_iter().unzip();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&keys)
            .map_err(|source| AssertionError::Automaton { source })?;
        Ok(Triggers { automaton, triggers })
    }

    pub(crate) fn get(&self, found: &Found) -> &Trigger {
        &self.triggers[found.trigger]
    }

    /// The triggers in these sentences, in order.
    pub(crate) fn find(&self, note: &Note<'_>, sentences: impl Iterator<Item = Range<usize>>) -> Vec<Found> {
        let (mut key, mut begins) = (String::new(), Vec::new());
        for sentence in sentences {
            for word in sentence {
                begins.push((key.len(), word));
                match note.is_entity[word] {
                    true => key.push(ENTITY),
                    false => note.words.push_key(word, &mut key),
                }
            }
            key.push(STOP);
        }
        // Matches come in order, so the words under them are found by going along.
        let mut next = 0;
        let mut words_under = |from: usize, to: usize| {
            next += begins[next..].iter().take_while(|(begin, _)| *begin < from).count();
            let length = begins[next..].iter().take_while(|(begin, _)| *begin < to).count();
            let first = begins[next].1;
            next += length;
            first..first + length
        };
        let found = self.automaton.find_iter(&key);
        let found = found.map(|hit| (words_under(hit.start(), hit.end()), hit.pattern().as_usize()));
        found.map(|(words, trigger)| Found { words, trigger }).collect()
    }
}

/// Words of diseases that last.
#[derive(Debug)]
pub(crate) struct Chronic(AhoCorasick);

impl Chronic {
    pub(crate) fn new(keys: &BTreeSet<String>) -> Result<Chronic, AssertionError> {
        let automaton = AhoCorasick::new(keys).map_err(|source| AssertionError::Automaton { source })?;
        Ok(Chronic(automaton))
    }

    /// Whether any of them is among the words of an entity.
    pub(crate) fn is_in(&self, key: &str) -> bool {
        self.0.is_match(key)
    }
}
