//! The day that it is, by the notes' own dates.

use crate::Epoch;
use crate::cohorts::epochs::by_epoch;
use crate::cohorts::kept::{KeptNote, SHARDS};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use stillroom_schemas::Day;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;

/// Tells the day that it is at an epoch by the calendar, which no note's date can hurry.
pub type Today = Arc<dyn Fn(Epoch) -> Day + Send + Sync>;

/// A day and a part of the patients, so that no worker has all notes of a day.
pub(crate) type DayShard = (u32, u8);

/// The clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) epoch: Epoch,
    /// Absent while no note has a date.
    pub(crate) from: Option<Day>,
    pub(crate) to: Option<Day>,
}

/// Says when the clock moves: it shows the greatest day of a live note that is not after today. On one worker.
pub(crate) fn clock<'scope>(
    notes: VecCollection<'scope, Epoch, Arc<KeptNote>>,
    today: Today,
) -> StreamVec<'scope, Epoch, Tick> {
    let days = notes.flat_map(|note| note.day).inner;
    let one_worker = Exchange::new(|_: &(Day, Epoch, isize)| 0);
    let mut clock = Clock::default();
    by_epoch(days, one_worker, ("Clock", None), move |epoch, days| clock.settle(epoch, days, today(epoch)))
}

/// How many live notes each day has.
#[derive(Default)]
struct Clock {
    notes: BTreeMap<Day, isize>,
    shown: Option<Day>,
}

impl Clock {
    /// What the clock does after so many notes of some days have come or gone.
    fn settle(&mut self, epoch: Epoch, days: Vec<(Day, isize)>, today: Day) -> Vec<Tick> {
        for (day, diff) in days {
            let notes = self.notes.entry(day).or_default();
            *notes += diff;
            if *notes == 0 {
                self.notes.remove(&day);
            }
        }
        let to = self.notes.range(..=today).next_back().map(|(day, _)| *day);
        let from = std::mem::replace(&mut self.shown, to);
        if from == to { Vec::new() } else { vec![Tick { epoch, from, to }] }
    }
}

impl Tick {
    /// Every day that has come with this, or that has gone because the clock is put back, in all parts, as updates of a collection: it
    /// holds the days from 1970-01-01 to the one that is shown.
    pub(crate) fn days(self) -> impl Iterator<Item = (DayShard, Epoch, isize)> {
        let end = |shown: Option<Day>| shown.map_or(0, |day| day.number() + 1);
        let (from, to) = (end(self.from), end(self.to));
        let (days, diff) = if from < to { (from..to, 1) } else { (to..from, -1) };
        days.flat_map(move |day| (0..SHARDS as u8).map(move |shard| ((day, shard), self.epoch, diff)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days that come (`+3`) and go (`-3`) while today is day 10 until a `>` and day 20 after it; what the clock shows after each.
    fn check(script: &str, expected: &str) {
        let (mut clock, mut today, mut shown) = (Clock::default(), Day::from_number(10), Vec::new());
        let mut days: BTreeMap<u32, isize> = BTreeMap::new();
        for (epoch, step) in (0..).zip(script.split_whitespace()) {
            let (step, is_later) = step.strip_prefix('>').map_or((step, false), |step| (step, true));
            if is_later {
                today = Day::from_number(20);
            }
            let number: i64 = step.parse().unwrap();
            let change = (Day::from_number(number.unsigned_abs() as u32), number.signum() as isize);
            for tick in clock.settle(epoch, vec![change], today) {
                for ((day, shard), at, diff) in tick.days().filter(|((_, shard), ..)| *shard == 1) {
                    assert_eq!((shard, at), (1, epoch));
                    *days.entry(day).or_default() += diff;
                }
            }
            days.retain(|_, count| *count != 0);
            assert!(days.values().all(|count| *count == 1), "{days:?}");
            let all: Vec<u32> = days.keys().copied().collect();
            let until = clock.shown.map_or(0, |day| day.number() + 1);
            assert_eq!(all, (0..until).collect::<Vec<_>>());
            shown.push(clock.shown.map_or_else(|| "-".to_owned(), |day| day.number().to_string()));
        }
        assert_eq!(shown.join(" "), expected, "{script}");
    }

    #[test]
    fn the_clock_shows_the_greatest_day_of_a_live_note() {
        check("+3 +5 +4 -4 -5 +3 -3 -3", "3 5 5 5 3 3 3 -");
    }

    #[test]
    fn a_note_of_the_future_waits_until_it_is_not() {
        check("+3 +15 +25 +10 >+2 -15", "3 3 3 10 15 10");
        check("+15 >+16", "- 16");
    }
}
