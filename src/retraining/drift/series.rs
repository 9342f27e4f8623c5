//! What is kept of a measure: the first notes that the serving student tagged, and the last ones after them.
//!
//! State: of a [`Series`] a number for each of both, and when the first are complete their bins alone; of a [`Mix`] a
//! count for each of the last notes and task.

use crate::retraining::drift::psi::{Bins, chance, psi};
use std::collections::VecDeque;
use stillroom_schemas::Task;

/// Entities of a note, by [`Task::index`].
pub(crate) type Entities = [u32; Task::ALL.len()];

/// How far the last notes are from the first ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    /// The population stability index.
    pub(crate) psi: f64,
    /// What it exceeds by chance once in a million.
    pub(crate) chance: f64,
    /// The means of both, where a note is a number.
    pub(crate) means: Option<[f64; 2]>,
}

/// A measure that is a number of each note.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    first: First,
    last: VecDeque<f32>,
}

/// The first notes.
#[derive(Clone, Debug)]
enum First {
    /// Those that there are, too few so far.
    Few(Vec<f32>),
    /// All of them.
    All { bins: Bins, counts: Vec<u64>, mean: f64 },
}

impl Default for Series {
    fn default() -> Series {
        Series { first: First::Few(Vec::new()), last: VecDeque::new() }
    }
}

impl Series {
    /// Takes in a note, where so many stand on each side.
    pub(crate) fn push(&mut self, number: f32, notes: usize) {
        match &mut self.first {
            First::All { .. } => push_last(&mut self.last, number, notes),
            First::Few(numbers) => {
                numbers.push(number);
                if numbers.len() >= notes {
                    let numbers = std::mem::take(numbers);
                    let (bins, mean) = (Bins::deciles(numbers.clone()), mean(&numbers));
                    self.first = First::All { counts: bins.counts(&numbers), bins, mean };
                }
            }
        }
    }

    /// How far it has shifted; nothing before so many notes stand on each side.
    pub(crate) fn shift(&self, notes: usize) -> Option<Shift> {
        let First::All { bins, counts, mean: before } = &self.first else { return None };
        if self.last.len() < notes {
            return None;
        }
        let notes = notes as u64;
        Some(Shift {
            psi: psi(counts, &bins.counts(&self.last)),
            chance: chance(bins.len(), (notes, notes)),
            means: Some([*before, mean(&self.last)]),
        })
    }
}

/// How the entities of notes are spread over the tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mix {
    /// How many first notes there are so far.
    notes: usize,
    /// Their entities.
    first: [u64; Task::ALL.len()],
    last: VecDeque<Entities>,
}

impl Mix {
    /// Takes in a note, where so many stand on each side.
    pub(crate) fn push(&mut self, entities: Entities, notes: usize) {
        if self.notes >= notes {
            return push_last(&mut self.last, entities, notes);
        }
        self.notes += 1;
        add(&mut self.first, &entities);
    }

    /// How far it has shifted; nothing before so many notes stand on each side, with an entity at least.
    pub(crate) fn shift(&self, notes: usize) -> Option<Shift> {
        if self.last.len() < notes {
            return None;
        }
        let mut last = [0; Task::ALL.len()];
        self.last.iter().for_each(|entities| add(&mut last, entities));
        // Entities of one note are not independent, so that they tell no more than so many notes.
        let tells = |counts: &[u64]| counts.iter().sum::<u64>().min(notes as u64);
        let counted = (tells(&self.first), tells(&last));
        let shift = || Shift { psi: psi(&self.first, &last), chance: chance(last.len(), counted), means: None };
        (counted.0 > 0 && counted.1 > 0).then(shift)
    }
}

/// Keeps so many notes at most, the last ones.
fn push_last<T>(last: &mut VecDeque<T>, note: T, notes: usize) {
    if last.len() >= notes {
        last.pop_front();
    }
    last.push_back(note);
}

fn add(all: &mut [u64], entities: &Entities) {
    all.iter_mut().zip(entities).for_each(|(all, count)| *all += u64::from(*count));
}

/// The mean of some numbers, one at least.
fn mean<'a>(numbers: impl IntoIterator<Item = &'a f32, IntoIter: ExactSizeIterator>) -> f64 {
    let numbers = numbers.into_iter();
    let count = numbers.len();
    numbers.map(|number| f64::from(*number)).sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: usize = 100;

    fn series(numbers: impl IntoIterator<Item = f32>) -> Series {
        let mut series = Series::default();
        numbers.into_iter().for_each(|number| series.push(number, NOTES));
        series
    }

    #[test]
    fn the_first_notes_stay_and_of_the_others_the_last_count() {
        let round = || (0..NOTES).map(|number| number as f32);
        let first = series(round().chain(round().skip(1)));
        assert_eq!(first.shift(NOTES), None, "the last are too few");
        let same = series(round().chain(round())).shift(NOTES).unwrap();
        assert_eq!((same.psi, same.means), (0.0, Some([49.5, 49.5])));
        // What has shifted for as long as the window is, and came back.
        let shifted = || round().map(|number| number + 50.0);
        let there = series(round().chain(shifted())).shift(NOTES).unwrap();
        assert!(there.psi > there.chance && there.means == Some([49.5, 99.5]), "{there:?}");
        let half = series(round().chain(round()).chain(shifted().take(NOTES / 2))).shift(NOTES).unwrap();
        assert!(same.psi < half.psi && half.psi < there.psi, "{half:?}");
        assert_eq!(series(round().chain(shifted()).chain(round())).shift(NOTES).unwrap(), same);
    }

    #[test]
    fn entities_shift_from_task_to_task() {
        let mix = |of: &[Entities]| {
            let mut mix = Mix::default();
            of.iter().for_each(|entities| (0..NOTES).for_each(|_| mix.push(*entities, NOTES)));
            mix
        };
        assert_eq!(mix(&[[2, 1, 1]]).shift(NOTES), None, "nothing came after");
        assert_eq!(mix(&[[0, 0, 0], [1, 1, 1]]).shift(NOTES), None, "there was nothing to be spread");
        let shift = |last: Entities| mix(&[[2, 1, 1], [9, 9, 9], last]).shift(NOTES).unwrap();
        assert_eq!(shift([2, 1, 1]).psi, 0.0);
        assert!(shift([4, 2, 2]).psi < 1e-3, "twice as many of each");
        let (some, more) = (shift([1, 2, 1]), shift([0, 3, 1]));
        assert!(0.0 < some.psi && some.psi < more.psi && more.psi > more.chance, "{some:?} {more:?}");
    }
}
