//! A note as it is asserted: its words, and which of them are entities'.

use crate::words::Words;
use std::ops::Range;
use stillroom_schemas::{Span, Task};

/// The words of a note and its entities.
#[derive(Debug)]
pub(crate) struct Note<'a> {
    pub(crate) words: Words<'a>,
    /// Whether a word belongs to an entity, by word.
    pub(crate) is_entity: Vec<bool>,
    /// The entities that have words, by position.
    pub(crate) entities: Vec<Entity>,
}

/// An entity of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entity {
    /// Its words.
    pub(crate) words: Range<usize>,
    pub(crate) task: Task,
    /// Which of the spans it is.
    pub(crate) index: usize,
}

impl<'a> Note<'a> {
    pub(crate) fn of(text: &'a str, spans: &[Span]) -> Note<'a> {
        let words = Words::of(text);
        let mut entities: Vec<Entity> = Vec::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            let first = words.first_behind(span.start);
            let last = words.first_from(first, span.end);
            if first < last {
                entities.push(Entity { words: first..last, task: span.task, index });
            }
        }
        entities.sort_by_key(|entity| (entity.words.start, entity.words.end, entity.index));
        // Entities that lie within each other must not cost their length each.
        let mut is_entity = vec![false; words.len()];
        let mut marked = 0;
        for entity in &entities {
            let from = entity.words.start.max(marked);
            if from < entity.words.end {
                is_entity[from..entity.words.end].fill(true);
                marked = entity.words.end;
            }
        }
        Note { words, is_entity, entities }
    }

    /// Whether any of these words is an entity's.
    pub(crate) fn has_entity(&self, mut words: Range<usize>) -> bool {
        words.any(|word| self.is_entity[word])
    }
}
