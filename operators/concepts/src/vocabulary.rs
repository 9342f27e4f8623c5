//! One vocabulary: its concepts, their names in all forms, and how they stand to one another.

use crate::arena::Arena;
use crate::fuzzy::Fuzzy;
use crate::hashes::Hashes;
use crate::hierarchy::{Direction, Hierarchy, Walk};
use crate::keys::{Keys, exact, hash, loose_words, normal};
use crate::names::Names;
use crate::reading::Standing;
use std::collections::HashMap;
use stillroom_schemas::{Code, Concept, Task, TaskSet, Tier};

/// What a vocabulary is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) tasks: TaskSet,
}

/// Names by what they are looked up by.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) exact: Hashes,
    pub(crate) normal: Hashes,
    pub(crate) fuzzy: Fuzzy,
    /// Concepts by the acronyms beside their names; none where several have one in common.
    pub(crate) acronyms: HashMap<Box<str>, Option<u32>>,
}

/// A vocabulary. Concepts are numbered in the order of their codes.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) about: About,
    pub(crate) codes: Arena,
    /// Where each concept comes among those that have a name in common.
    pub(crate) orders: Vec<u8>,
    /// The concepts that are ingredients, sorted.
    pub(crate) ingredients: Vec<u32>,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) names: Names,
    pub(crate) index: Index,
}

/// Where a name comes among those that are found: by how it stands to its concept, then by the concept.
type Place = (Standing, u8, u32);

impl Vocabulary {
    fn place(&self, name: u32) -> Place {
        let concept = self.names.concept(name);
        (self.names.standing(name), self.orders[concept as usize], concept)
    }

    /// The concept that has these words as a name.
    pub(crate) fn exact(&self, asked: &Keys) -> Option<u32> {
        let names = self.index.exact.of(hash(&asked.exact));
        let named = names.filter(|&name| exact(self.names.get(name)) == asked.exact);
        named.map(|name| self.place(name)).min().map(|(.., concept)| concept)
    }

    /// The concept that has a name of the same normal form; one with the words in the same order goes first.
    pub(crate) fn normalised(&self, asked: &Keys) -> Option<u32> {
        let names = self.index.normal.of(hash(&asked.normal)).filter(|_| !asked.normal.is_empty());
        let places = names.filter_map(|name| {
            let words = loose_words(self.names.get(name));
            (normal(&words) == asked.normal).then(|| (words != asked.words, self.place(name)))
        });
        places.min().map(|(_, (.., concept))| concept)
    }

    /// Whether these words are a name, as they are or in their normal form.
    pub(crate) fn has(&self, asked: &Keys) -> bool {
        self.exact(asked).or_else(|| self.normalised(asked)).is_some()
    }

    /// The concept that has the first of these that is a name, or else this acronym and no other concept with it.
    pub(crate) fn abbreviated(&self, spelt_out: &[Keys], acronym: &str) -> Option<u32> {
        let named = spelt_out.iter().find_map(|keys| self.exact(keys).or_else(|| self.normalised(keys)));
        named.or_else(|| self.index.acronyms.get(acronym).copied().flatten())
    }

    /// The concept that has the nearest name, and how near it is.
    pub(crate) fn fuzzy(&self, asked: &Keys) -> Option<(u32, f64)> {
        let fuzzy = &self.index.fuzzy;
        let near = fuzzy.candidates(&asked.loose).into_iter().filter_map(|name| {
            let score = fuzzy.score(asked, &loose_words(self.names.get(name)))?;
            Some((score, self.place(name)))
        });
        let nearest = near.min_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        nearest.map(|(score, (.., concept))| (concept, score))
    }

    /// The record of a concept that was found for a task.
    pub(crate) fn concept(&self, concept: u32, (tier, score): (Tier, f64), task: Task) -> Concept {
        let ingredients = match task {
            Task::Medication => self.ingredients_of(concept),
            Task::Disease | Task::Symptom => Vec::new(),
        };
        Concept {
            code: self.code(concept),
            version: self.about.version.clone(),
            name: self.preferred(concept).unwrap_or_default().to_owned(),
            tier,
            score: (score * 1e4).round() / 1e4,
            ingredients,
        }
    }

    /// The nearest ingredients on all ways up; none of what is an ingredient itself.
    fn ingredients_of(&self, concept: u32) -> Vec<Code> {
        let is_ingredient = |concept: u32| self.ingredients.binary_search(&concept).is_ok();
        let mut found = Vec::new();
        if !self.ingredients.is_empty() && !is_ingredient(concept) {
            let mut walk = self.walk(concept, Direction::Up);
            while let Some(next) = walk.step(|next| !is_ingredient(next)) {
                found.extend(is_ingredient(next).then_some(next));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|ingredient| self.code(ingredient)).collect()
    }

    pub(crate) fn walk(&self, concept: u32, direction: Direction) -> Walk<'_> {
        Walk::new(&self.hierarchy, concept, direction)
    }

    /// The name that is preferred for a concept; none of one that relations alone have.
    pub(crate) fn preferred(&self, concept: u32) -> Option<&str> {
        self.names.of(concept).next().map(|name| self.names.get(name))
    }

    pub(crate) fn code(&self, concept: u32) -> Code {
        Code { vocabulary: self.about.name.clone(), code: self.codes.get(concept).to_owned() }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let acronyms = &self.index.acronyms;
        self.codes.bytes()
            + self.orders.capacity()
            + self.ingredients.capacity() * size_of::<u32>()
            + self.hierarchy.bytes()
            + self.names.bytes()
            + self.index.exact.bytes()
            + self.index.normal.bytes()
            + self.index.fuzzy.bytes()
            + acronyms.capacity() * size_of::<(Box<str>, Option<u32>)>()
            + acronyms.keys().map(|acronym| acronym.len()).sum::<usize>()
    }
}
