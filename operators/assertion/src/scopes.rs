//! Which trigger acts on which entity of a sentence: one sweep over its words forward and one backward.
//!
//! A trigger opens a scope on its axis (certainty, temporality or experiencer) for the tasks that it is for, and takes
//! over from the one that was open there. A scope ends with the sentence, where a trigger ends it, and with its own
//! limit: the number of words, the next item, or the enumeration. Items are enumerated where a connector stands between
//! them, and no more than a few other words since the last one. Each sweep keeps one scope an axis and task, so that
//! the time grows with the words alone.

use crate::lexicon::{AXES, Aim, Saying, Scope, Side};
use crate::note::{Entity, Note};
use crate::triggers::{Found, Triggers};
use std::ops::Range;
use stillroom_schemas::Task;

/// Words of an item of an enumeration at most, beside an entity's.
const ITEM_WORDS_MAX: u32 = 4;

/// Words behind which a clause may end, with which it does not go on to an object.
const CLOSING: [&str; 20] = [
    "and",
    "but",
    "by",
    "on",
    "in",
    "at",
    "after",
    "during",
    "since",
    "due",
    "because",
    "as",
    "with",
    "per",
    "today",
    "yesterday",
    "this",
    "last",
    "until",
    "/",
];

/// A sentence that has entities.
pub(crate) struct Scene<'a> {
    pub(crate) note: &'a Note<'a>,
    pub(crate) triggers: &'a Triggers,
    /// Its words.
    pub(crate) words: Range<usize>,
    /// Its triggers, in order.
    pub(crate) found: &'a [Found],
    /// The triggers of what leads to it, in order; their scopes are open where it begins.
    pub(crate) lead: &'a [Found],
    /// Its entities, by position.
    pub(crate) entities: &'a [Entity],
}

/// A trigger that acts on an entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acting {
    pub(crate) saying: Saying,
    /// Which of the triggers, see [`Scene::trigger`].
    pub(crate) found: usize,
    /// Words of the sentence between it and the entity.
    pub(crate) words: u32,
}

/// What acts on an entity, by axis.
pub(crate) type Actings = [Option<Acting>; AXES];

/// The way of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    Backward,
}

impl Way {
    /// The word at which a sweep comes upon these.
    fn first(self, words: &Range<usize>) -> usize {
        match self {
            Way::Forward => words.start,
            Way::Backward => words.end - 1,
        }
    }
}

impl Scene<'_> {
    /// A trigger of the sentence, or with the numbers behind these one of what leads to it.
    pub(crate) fn trigger(&self, number: usize) -> &Found {
        self.found.get(number).unwrap_or_else(|| &self.lead[number - self.found.len()])
    }

    /// What acts on each entity from the other side: `Forward` are triggers before it.
    pub(crate) fn sweep(&self, way: Way) -> Vec<Actings> {
        let counts = self.counts();
        let mut sweep =
            Sweep { way, open: [[None; Task::ALL.len()]; AXES], item_words: 0, is_connected: true, item: None };
        let lead: &[Found] = if way == Way::Forward { self.lead } else { &[] };
        for (number, found) in (self.found.len()..).zip(lead) {
            sweep.take_trigger(number, &self.sides(found));
        }
        let mut acting = vec![[None; AXES]; self.entities.len()];
        let (mut order, mut found): (Vec<usize>, Vec<usize>) =
            ((0..self.entities.len()).collect(), (0..self.found.len()).collect());
        if way == Way::Backward {
            order.sort_by_key(|&entity| std::cmp::Reverse(self.end_of(entity)));
            found.reverse();
        }
        let (mut order, mut found) = (order.into_iter().peekable(), found.into_iter().peekable());
        let mut trigger: Range<usize> = 0..0;
        for step in 0..self.words.len() {
            let at = match way {
                Way::Forward => self.words.start + step,
                Way::Backward => self.words.end - 1 - step,
            };
            if let Some(next) = found.next_if(|&found| way.first(&self.found[found].words) == at) {
                trigger = self.found[next].words.clone();
                sweep.take_trigger(next, &self.sides(&self.found[next]));
            }
            while let Some(next) = order.next_if(|&entity| way.first(&self.within(entity)) == at) {
                let words = self.within(next);
                let distance = |found: usize| {
                    let trigger = &self.trigger(found).words;
                    let (from, to) = match way {
                        Way::Forward => (trigger.end.max(self.words.start), words.start),
                        Way::Backward => (words.end, trigger.start),
                    };
                    counts[to - self.words.start].saturating_sub(counts[from - self.words.start])
                };
                acting[next] = sweep.take_entity(self.entities[next].task, &words, distance);
            }
            if !self.note.is_entity[at] && !trigger.contains(&at) {
                sweep.take_word(self.note.words.folded(at), self.note.words.get(at).is_word);
            }
        }
        acting
    }

    /// The words of an entity within the sentence.
    fn within(&self, entity: usize) -> Range<usize> {
        self.entities[entity].words.start..self.end_of(entity)
    }

    fn end_of(&self, entity: usize) -> usize {
        self.entities[entity].words.end.min(self.words.end)
    }

    /// Words before each word of the sentence and before its end; an entity is one.
    fn counts(&self) -> Vec<u32> {
        let is_counted = |at: usize| match self.note.is_entity[at] {
            true => at == self.words.start || !self.note.is_entity[at - 1],
            false => self.note.words.get(at).is_word,
        };
        let mut count = 0;
        let mut counts = vec![0];
        for at in self.words.clone() {
            count += u32::from(is_counted(at));
            counts.push(count);
        }
        counts
    }

    /// What a trigger does where it stands.
    fn sides(&self, found: &Found) -> Vec<&Side> {
        let sides = &self.triggers.get(found).sides;
        let is_closed = self.is_closed_at(found.words.end);
        let is_answer = is_closed && sides.iter().any(|side| side.is_last && matches!(side.aim, Aim::Backward(_)));
        let acts = |side: &&Side| match side.aim {
            // What ends a clause says nothing of the next one.
            Aim::Forward(_) if is_answer => false,
            _ => is_closed || !side.is_last,
        };
        sides.iter().filter(acts).collect()
    }

    /// Whether a clause may end before a word.
    fn is_closed_at(&self, at: usize) -> bool {
        let word = self.note.words.folded(at);
        let is_closing = matches!(word, "." | "," | ";" | "?" | "!" | ")") || CLOSING.contains(&word);
        at == self.words.end || (is_closing && !self.note.is_entity[at])
    }
}

/// The scope of a trigger.
#[derive(Clone, Copy, Debug)]
struct Open {
    saying: Saying,
    found: usize,
    /// The first item in it.
    item: Option<u32>,
}

/// Entities at one place.
#[derive(Clone, Copy, Debug)]
struct Item {
    number: u32,
    /// Up to where it goes, in the way of the sweep.
    edge: usize,
    /// Whether it is enumerated with the item before it, or is the first behind a trigger.
    is_connected: bool,
}

struct Sweep {
    way: Way,
    open: [[Option<Open>; Task::ALL.len()]; AXES],
    /// Words since the last trigger, entity or connector.
    item_words: u32,
    /// Whether there was a trigger or connector since the last entity.
    is_connected: bool,
    item: Option<Item>,
}

impl Sweep {
    fn take_trigger(&mut self, found: usize, sides: &[&Side]) {
        for side in sides {
            let saying = match (side.aim, self.way) {
                (Aim::Forward(saying), Way::Forward) | (Aim::Backward(saying), Way::Backward) => Some(saying),
                _ => None,
            };
            for task in Task::ALL.map(Task::index).into_iter().filter(|task| side.tasks[*task]) {
                for scopes in &mut self.open {
                    scopes[task] = scopes[task].filter(|open| !side.ends.contains(&open.saying.says));
                }
                if let Some(saying) = saying {
                    self.open[saying.says.axis()][task] = Some(Open { saying, found, item: None });
                }
            }
            if saying.is_some() {
                (self.item_words, self.is_connected) = (0, true);
            }
        }
    }

    fn take_entity(&mut self, task: Task, words: &Range<usize>, distance: impl Fn(usize) -> u32) -> Actings {
        let item = self.item_at(words);
        let mut actings = [None; AXES];
        for (scopes, acting) in self.open.iter_mut().zip(&mut actings) {
            let scope = &mut scopes[task.index()];
            let Some(Open { saying, found, item: first }) = *scope else { continue };
            let words = distance(found);
            let is_another = first.is_some_and(|first| first != item.number);
            if words > saying.words_max || (saying.scope == Scope::Next && is_another) {
                continue;
            }
            if saying.scope == Scope::List && !item.is_connected {
                *scope = None;
                continue;
            }
            *scope = Some(Open { saying, found, item: Some(item.number) });
            *acting = Some(Acting { saying, found, words });
        }
        actings
    }

    /// The item of an entity: that of the entity before, where the two overlap.
    fn item_at(&mut self, words: &Range<usize>) -> Item {
        let (near, far) = match self.way {
            Way::Forward => (words.start, words.end),
            Way::Backward => (words.end, words.start),
        };
        let item = match (self.item, self.way) {
            (Some(item), Way::Forward) if near < item.edge => Item { edge: item.edge.max(far), ..item },
            (Some(item), Way::Backward) if near > item.edge => Item { edge: item.edge.min(far), ..item },
            (item, _) => {
                let number = item.map_or(0, |item| item.number + 1);
                let is_connected = std::mem::replace(&mut self.is_connected, false);
                self.item_words = 0;
                Item { number, edge: far, is_connected }
            }
        };
        self.item = Some(item);
        item
    }

    fn take_word(&mut self, folded: &str, is_word: bool) {
        if matches!(folded, "," | "/" | "&" | "+" | "and" | "or" | "nor" | "plus") {
            (self.item_words, self.is_connected) = (0, true);
        } else if is_word {
            self.item_words += 1;
            if self.item_words > ITEM_WORDS_MAX {
                for scope in self.open.as_flattened_mut() {
                    *scope = scope.filter(|open| open.saying.scope != Scope::List);
                }
            }
        }
    }
}
