//! What is read of a vocabulary, until it is all there.

use crate::ConceptError;
use crate::abbreviations::acronym;
use crate::arena::Arena;
use crate::fuzzy;
use crate::hashes::Hashes;
use crate::hierarchy::Hierarchy;
use crate::keys::{Keys, hash};
use crate::names::{Names, Owned};
use crate::reading::{Name, Relation, RelationKind, Sink, Standing};
use crate::vocabulary::{About, Index, Vocabulary};
use std::collections::HashMap;

/// Relations that a vocabulary may have, as often as they come; eight bytes each while loading. RxNorm has about two million in both
/// directions, SNOMED CT three.
const RELATIONS_MAX: usize = 64 << 20;

/// Collects names and relations. Concepts are numbered as they come.
#[derive(Debug)]
pub(crate) struct Builder {
    about: About,
    names_max: usize,
    names_left: usize,
    number_of: HashMap<Box<str>, u32>,
    orders: Vec<u8>,
    /// Whether a preferred name has come, by concept.
    has_preferred: Vec<bool>,
    ingredients: Vec<u32>,
    texts: Arena,
    owned: Vec<Owned>,
    edges: Vec<(u32, u32)>,
}

impl Builder {
    /// Of all vocabularies `names_max` names are allowed, of this one `names_left`.
    pub(crate) fn new(about: About, names_max: usize, names_left: usize) -> Builder {
        Builder {
            about,
            names_max,
            names_left,
            number_of: HashMap::new(),
            orders: Vec::new(),
            has_preferred: Vec::new(),
            ingredients: Vec::new(),
            texts: Arena::new(),
            owned: Vec::new(),
            edges: Vec::new(),
        }
    }

    fn too_large(&self, what: &'static str) -> ConceptError {
        ConceptError::Size { name: self.about.name.clone(), what }
    }

    /// The number of a concept, known or new.
    fn number(&mut self, code: &str) -> u32 {
        if let Some(&number) = self.number_of.get(code) {
            return number;
        }
        let number = self.orders.len() as u32;
        self.number_of.insert(code.into(), number);
        self.orders.push(u8::MAX);
        self.has_preferred.push(false);
        number
    }

    fn add(&mut self, concept: u32, name: &str, standing: Standing) -> Result<(), ConceptError> {
        let names_max = self.names_max;
        self.names_left = self.names_left.checked_sub(1).ok_or(ConceptError::Names { names_max })?;
        let text = self.texts.push(name).ok_or_else(|| self.too_large("text"))?;
        self.owned.push(Owned { concept, standing, text });
        self.has_preferred[concept as usize] |= standing == Standing::Preferred;
        Ok(())
    }

    /// Builds the index, with names that are near from this score on.
    ///
    /// # Errors
    /// When there is more text than it can hold.
    pub(crate) fn build(mut self, score_min: f64) -> Result<Vocabulary, ConceptError> {
        let (codes, place) = sorted(std::mem::take(&mut self.number_of)).ok_or_else(|| self.too_large("text"))?;
        let mut orders = vec![u8::MAX; codes.len()];
        for (number, order) in self.orders.iter().enumerate() {
            orders[place[number] as usize] = *order;
        }
        let mut owned = std::mem::take(&mut self.owned);
        owned.iter_mut().for_each(|owned| owned.concept = place[owned.concept as usize]);
        let names = Names::new(codes.len(), owned, &self.texts).ok_or_else(|| self.too_large("text"))?;
        self.texts = Arena::new();
        let mut ingredients: Vec<u32> = self.ingredients.iter().map(|&number| place[number as usize]).collect();
        ingredients.sort_unstable();
        ingredients.dedup();
        let mut edges = std::mem::take(&mut self.edges);
        edges.iter_mut().for_each(|(from, to)| (*from, *to) = (place[*from as usize], place[*to as usize]));
        let hierarchy = Hierarchy::new(codes.len(), edges);
        let index = index(&names, score_min);
        Ok(Vocabulary { about: self.about, codes, orders, ingredients, hierarchy, names, index })
    }
}

impl Sink for Builder {
    type Error = ConceptError;

    fn name(&mut self, name: Name<'_>) -> Result<(), ConceptError> {
        let concept = self.number(name.concept);
        let order = &mut self.orders[concept as usize];
        *order = name.order.min(*order);
        if name.is_ingredient {
            self.ingredients.push(concept);
        }
        self.add(concept, name.name, name.standing)
    }

    fn preferred(&mut self, concept: &str, name: &str) -> Result<(), ConceptError> {
        let concept = self.number(concept);
        match self.has_preferred[concept as usize] {
            true => Ok(()),
            false => self.add(concept, name, Standing::Preferred),
        }
    }

    fn relation(&mut self, Relation { from, to, kind }: Relation<'_>) -> Result<(), ConceptError> {
        if self.edges.len() == RELATIONS_MAX {
            return Err(self.too_large("relations"));
        }
        let (from, to) = (self.number(from), self.number(to));
        self.edges.push((from, to));
        if kind == RelationKind::Ingredient {
            self.ingredients.push(to);
        }
        Ok(())
    }
}

/// The codes by length and then by bytes, which is the order of numbers where codes are such, and the place of each number among them.
fn sorted(number_of: HashMap<Box<str>, u32>) -> Option<(Arena, Vec<u32>)> {
    let mut all: Vec<(usize, Box<str>, u32)> =
        number_of.into_iter().map(|(code, number)| (code.len(), code, number)).collect();
    all.sort_unstable();
    let (mut codes, mut place) = (Arena::new(), vec![0; all.len()]);
    for (_, code, number) in &all {
        place[*number as usize] = codes.push(code)?;
    }
    codes.shrink();
    Some((codes, place))
}

fn index(names: &Names, score_min: f64) -> Index {
    let (mut exact, mut normal) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    let mut fuzzy = fuzzy::Builder::new(score_min);
    let mut acronyms: HashMap<Box<str>, Option<u32>> = HashMap::new();
    for number in 0..names.len() as u32 {
        let keys = Keys::of(names.get(number));
        exact.push((hash(&keys.exact), number));
        if !keys.normal.is_empty() {
            normal.push((hash(&keys.normal), number));
        }
        fuzzy.add(&keys.loose, number);
        if let Some(acronym) = acronym(names.get(number)) {
            let concept = Some(names.concept(number));
            let known = acronyms.entry(acronym.into()).or_insert(concept);
            *known = known.filter(|known| Some(*known) == concept);
        }
    }
    Index { exact: Hashes::new(exact), normal: Hashes::new(normal), fuzzy: fuzzy.build(), acronyms }
}
