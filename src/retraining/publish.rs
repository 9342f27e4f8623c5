//! The topic of retraining: what there is to learn, and how far notes have drifted, as of the last look.
//!
//! A record is written when what it says has changed, and withdrawn when nothing is to be said any more. Figures of drift
//! are rounded before they come here, so that what changes by less is no change, and each is written once a minute at
//! most: the last one is at the first look after its minute, or when this process ends. What stands on the topic already is read
//! once, so that a restart repeats nothing.

use crate::reading::read_partition;
use crate::retraining::book::Book;
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stillroom_connectors::{Appended, Log};
use stillroom_schemas::{About, Retraining, RetrainingKey, Task};

/// The one partition of the topic.
const PARTITION: u32 = 0;

/// How long a figure of drift stands at least before another takes its place. Each note moves the window that is measured,
/// so that most figures are others at each look, of some hundred groups and measures: a log in a folder, which nothing
/// compacts, would grow by all of them. Drift is a matter of hours, and the first look after a minute is early enough.
const DRIFT_STANDS: Duration = Duration::from_secs(60);

/// Values by key.
type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// What stands on the topic.
#[derive(Default)]
pub(crate) struct Published {
    /// The last value of each key; nothing before it was read.
    said: Option<Values>,
    /// When this process wrote each figure of drift last, if that was less than a while ago.
    said_at: BTreeMap<Vec<u8>, Instant>,
    /// What is to be said, of which some waits.
    now: Values,
    /// Whether it was told that there is no such topic.
    is_told: bool,
}

impl Published {
    /// Sees to it that the topic says these and no others, of kinds that are known here; figures of drift may wait. Where
    /// there is no such topic it is told once: an extraction makes it.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    pub(crate) fn say(&mut self, records: &[Retraining], place: (&dyn Log, &str)) -> Result<()> {
        self.say_at(Instant::now(), records, place)
    }

    /// The same at a time.
    fn say_at(&mut self, at: Instant, records: &[Retraining], (log, topic): (&dyn Log, &str)) -> Result<()> {
        let one = |record: &Retraining| Ok((serde_json::to_vec(&record.key)?, serde_json::to_vec(record)?));
        self.now = records.iter().map(one).collect::<Result<Values>>()?;
        if self.said.is_none() && log.partitions(topic)?.is_none() {
            if !std::mem::replace(&mut self.is_told, true) {
                eprintln!(
                    "{} has no topic {topic}, so nothing is said there; make it by `stillroom check --connect \
                     --create`, or start `stillroom run` once",
                    log.place()
                );
            }
            return Ok(());
        }
        self.said_at.retain(|_, said_at| at.saturating_duration_since(*said_at) < DRIFT_STANDS);
        let mut said = match self.said.take() {
            Some(said) => said,
            None => read(log, topic)?,
        };
        let changes: Vec<Appended> = changes(&said, &self.now, |key| !self.said_at.contains_key(key));
        if !changes.is_empty() {
            log.append(topic, &changes)?;
        }
        for Appended { key, value, .. } in changes {
            let key = key.unwrap_or_default();
            if is_of_drift(&key) {
                self.said_at.insert(key.clone(), at);
            }
            match value {
                Some(value) => said.insert(key, value),
                None => said.remove(&key),
            };
        }
        self.said = Some(said);
        Ok(())
    }

    /// Says what waits, for nothing is said after it.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(crate) fn finish(&mut self, (log, topic): (&dyn Log, &str)) -> Result<()> {
        let Some(said) = self.said.take() else { return Ok(()) };
        let changes = changes(&said, &self.now, |_| true);
        if !changes.is_empty() {
            log.append(topic, &changes)?;
        }
        Ok(())
    }
}

/// Whether a key is one of drift.
fn is_of_drift(key: &[u8]) -> bool {
    serde_json::from_slice::<RetrainingKey>(key).is_ok_and(|key| key.about == About::Drift)
}

/// What there is to learn of each task.
pub(crate) fn balances(book: &Book) -> impl Iterator<Item = Retraining> {
    Task::ALL.into_iter().map(move |task| Retraining {
        key: RetrainingKey { about: About::Balance, task: Some(task), measure: None, note_type: None, site: None },
        balance: Some(book.balance(task)),
        drift: None,
    })
}

/// What stands on a topic, of kinds that are known here.
fn read(log: &dyn Log, topic: &str) -> Result<Values> {
    let mut said = Values::new();
    read_partition(log.bounded()?, (topic, PARTITION), |record| {
        let key = record.key.unwrap_or_default();
        match record.value {
            Some(value) if serde_json::from_slice::<RetrainingKey>(&key).is_ok() => said.insert(key, value),
            _ => said.remove(&key),
        };
        Ok(())
    })?;
    Ok(said)
}

/// What is to be appended so that what was said becomes what is to be said, as far as it may be said already.
fn changes(said: &Values, now: &Values, may_be_said: impl Fn(&[u8]) -> bool) -> Vec<Appended> {
    let changed = now.iter().filter(|(key, value)| said.get(*key) != Some(*value));
    let changed = changed.map(|(key, value)| (key, Some(value.clone())));
    let gone = said.keys().filter(|key| !now.contains_key(*key)).map(|key| (key, None));
    let record = |(key, value): (&Vec<u8>, Option<Vec<u8>>)| Appended {
        key: Some(key.clone()),
        value,
        headers: Vec::new(),
        partition: Some(PARTITION),
    };
    changed.chain(gone).filter(|(key, _)| may_be_said(key)).map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retraining::book::tests::{change, example};
    use stillroom_connectors::EmbeddedLog;
    use stillroom_dataflow::{ExampleSource, Record};
    use stillroom_schemas::{Balance, Drift, Measure, ModelId};

    const TOPIC: &str = "retraining";

    /// All that was ever said.
    fn records(log: &dyn Log) -> Vec<Record> {
        let mut records = Vec::new();
        let mut take = |record: Record| -> Result<()> {
            records.push(record);
            Ok(())
        };
        read_partition(log.bounded().unwrap(), (TOPIC, PARTITION), &mut take).unwrap();
        records
    }

    #[test]
    fn what_changes_is_said_once_and_what_is_gone_is_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        let mut book = Book::default();
        let say = |published: &mut Published, records: &[Retraining]| published.say(records, (&log, TOPIC)).unwrap();
        let balances_of = |book: &Book| balances(book).collect::<Vec<Retraining>>();

        let mut published = Published::default();
        say(&mut published, &balances_of(&book));
        log.create_topic(TOPIC, 1).unwrap();
        say(&mut published, &balances_of(&book));
        say(&mut published, &balances_of(&book));
        assert_eq!(records(&log).len(), 3, "a record for each task");

        book.apply(vec![change(1, example(1, 0, ExampleSource::Teachers, false), 1)]);
        say(&mut published, &balances_of(&book));
        say(&mut Published::default(), &balances_of(&book));
        assert_eq!(records(&log).len(), 4, "of one task alone, and another process says nothing anew");

        // What a later version may say is left alone.
        let other = (b"{\"about\":\"weather\"}".to_vec(), b"{}".to_vec());
        let appended = Appended { key: Some(other.0), value: Some(other.1), ..Appended::default() };
        log.append(TOPIC, &[appended]).unwrap();
        say(&mut Published::default(), &balances_of(&book)[..1]);
        let said = records(&log).split_off(3);
        let of = |record: &Record| record.value.as_ref().map(|value| serde_json::from_slice::<Retraining>(value).ok());
        let balance = Balance { teachers: 1, mentions: 1, new: 1, ..Balance::default() };
        let disease = balances_of(&book).remove(0);
        assert_eq!((disease.key.task, disease.balance), (Some(Task::Disease), Some(balance)));
        let withdrawn = said[2..].iter().map(|record| (record.key.clone(), of(record)));
        let keys = balances_of(&book).split_off(1).into_iter().map(|said| serde_json::to_vec(&said.key).unwrap());
        assert_eq!((of(&said[0]), of(&said[1])), (Some(Some(disease)), Some(None)));
        assert_eq!(withdrawn.collect::<Vec<_>>(), keys.map(|key| (Some(key), None)).collect::<Vec<_>>());
    }

    /// Drift of the word pieces of a site.
    fn drift(site: &str, psi: f64) -> Retraining {
        let (task, measure, note_type, site) = (None, Some(Measure::WordPieces), None, Some(site.to_owned()));
        let (model, before, now) = (ModelId("s@1".to_owned()), Some(1.25), Some(1.5));
        Retraining {
            key: RetrainingKey { about: About::Drift, task, measure, note_type, site },
            balance: None,
            drift: Some(Drift { model, notes: 500, psi, chance: 0.1, before, now }),
        }
    }

    #[test]
    fn a_figure_of_drift_is_written_once_a_minute_and_the_last_one_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        log.create_topic(TOPIC, 1).unwrap();
        let (mut published, begin) = (Published::default(), Instant::now());
        let mut say = |seconds: u64, records: &[Retraining]| {
            let at = begin + Duration::from_secs(seconds);
            published.say_at(at, records, (&log, TOPIC)).unwrap();
            let psi = |record: &Record| {
                let value = record.value.as_ref()?;
                serde_json::from_slice::<Retraining>(value).unwrap().drift.map(|drift| drift.psi)
            };
            records_of_drift(&log).iter().map(psi).collect::<Vec<Option<f64>>>()
        };
        assert_eq!(say(0, &[drift("north", 0.1)]), [Some(0.1)]);
        assert_eq!(say(10, &[drift("north", 0.2)]), [Some(0.1)], "it waits");
        assert_eq!(say(59, &[drift("north", 0.3), drift("south", 0.9)]), [Some(0.1), Some(0.9)], "each for itself");
        let written = [Some(0.1), Some(0.9), Some(0.3)];
        assert_eq!(
            say(60, &[drift("north", 0.3), drift("south", 0.9)]),
            written,
            "what waited, though nothing has changed"
        );
        assert_eq!(say(300, &[drift("north", 0.3), drift("south", 0.9)]), written, "nothing has changed");
        let gone = [&written[..], &[None]].concat();
        assert_eq!(say(400, &[drift("north", 0.3)]), gone, "nothing is said of the south any more");
        let rising = [&gone[..], &[Some(0.4)]].concat();
        assert_eq!(say(500, &[drift("north", 0.4)]), rising);
        assert_eq!(say(510, &[drift("north", 0.5), drift("south", 0.8)]).len(), rising.len() + 1);
        published.finish((&log, TOPIC)).unwrap();
        assert_eq!(records_of_drift(&log).len(), rising.len() + 2, "the last one of the north");
        published.finish((&log, TOPIC)).unwrap();
        say_once_more(&log, &[drift("north", 0.5), drift("south", 0.8)], rising.len() + 2);
    }

    /// What another process says of the same repeats nothing.
    fn say_once_more(log: &EmbeddedLog, records: &[Retraining], expected: usize) {
        Published::default().say(records, (log, TOPIC)).unwrap();
        assert_eq!(records_of_drift(log).len(), expected);
    }

    /// All figures of drift that were ever written.
    fn records_of_drift(log: &dyn Log) -> Vec<Record> {
        let is_meant = |record: &Record| is_of_drift(record.key.as_deref().unwrap_or_default());
        records(log).into_iter().filter(is_meant).collect()
    }
}
