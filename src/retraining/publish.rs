//! The topic of retraining: what there is to learn, and how far notes have drifted, as of the last look.
//!
//! A record is written when what it says has changed, and withdrawn when nothing is to be said any more. What stands on
//! the topic already is read once, so that a restart repeats nothing.

use crate::retraining::book::Book;
use crate::retraining::reading::{BATCH_BYTES, POLL_WAIT};
use anyhow::Result;
use std::collections::BTreeMap;
use stillroom_connectors::{Appended, Log};
use stillroom_schemas::{About, Retraining, RetrainingKey, Task};

/// The one partition of the topic.
const PARTITION: u32 = 0;

/// Values by key.
type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// What stands on the topic.
#[derive(Default)]
pub(crate) struct Published {
    /// The last value of each key; nothing before it was read.
    said: Option<Values>,
    /// Whether it was told that there is no such topic.
    is_told: bool,
}

impl Published {
    /// Sees to it that the topic says these and no others, of kinds that are known here. Where there is no such topic
    /// it is told once: an extraction makes it.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    pub(crate) fn say(&mut self, records: &[Retraining], (log, topic): (&dyn Log, &str)) -> Result<()> {
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
        let said = match self.said.take() {
            Some(said) => said,
            None => read(log, topic)?,
        };
        let one = |record: &Retraining| Ok((serde_json::to_vec(&record.key)?, serde_json::to_vec(record)?));
        let now = records.iter().map(one).collect::<Result<Values>>()?;
        let changes = changes(&said, &now);
        if !changes.is_empty() {
            log.append(topic, &changes)?;
        }
        self.said = Some(now);
        Ok(())
    }
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
    let mut source = log.bounded()?;
    source.partitions(topic)?;
    source.assign(topic, PARTITION, 0)?;
    let mut said = Values::new();
    while !source.is_finished() {
        for record in source.poll(BATCH_BYTES, POLL_WAIT)? {
            let key = record.key.unwrap_or_default();
            match record.value {
                Some(value) if serde_json::from_slice::<RetrainingKey>(&key).is_ok() => said.insert(key, value),
                _ => said.remove(&key),
            };
        }
    }
    Ok(said)
}

/// What is to be appended so that what was said becomes what is to be said.
fn changes(said: &Values, now: &Values) -> Vec<Appended> {
    let changed = now.iter().filter(|(key, value)| said.get(*key) != Some(*value));
    let changed = changed.map(|(key, value)| (key, Some(value.clone())));
    let gone = said.keys().filter(|key| !now.contains_key(*key)).map(|key| (key, None));
    let record = |(key, value): (&Vec<u8>, Option<Vec<u8>>)| Appended {
        key: Some(key.clone()),
        value,
        headers: Vec::new(),
        partition: Some(PARTITION),
    };
    changed.chain(gone).map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retraining::book::tests::{change, example};
    use stillroom_connectors::EmbeddedLog;
    use stillroom_dataflow::{ExampleSource, Record};
    use stillroom_schemas::Balance;

    const TOPIC: &str = "retraining";

    /// All that was ever said.
    fn records(log: &dyn Log) -> Vec<Record> {
        let (mut source, mut records) = (log.bounded().unwrap(), Vec::new());
        source.assign(TOPIC, PARTITION, 0).unwrap();
        while !source.is_finished() {
            records.extend(source.poll(BATCH_BYTES, POLL_WAIT).unwrap());
        }
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
}
