//! Publishes the figures of a shadow.

use crate::engine::QualityBook;
use crate::reading::read_partition;
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use stillroom_connectors::{Appended, Appender, Cleanup, Log, Source, TopicPlan};
use stillroom_dataflow::Output;
use stillroom_schemas::{ModelId, QualityKey};

/// The one partition of the topic.
const PARTITION: u32 = 0;

/// Writes figures that have changed, as they stand on the topic of quality: under their key, and null when no such notes are
/// left. The topic is stillroom's own, so values are plain JSON.
pub(super) struct Publisher {
    log: Arc<dyn Log>,
    topic: String,
    /// Absent after a failure, when another one is to be used.
    appender: Option<Box<dyn Appender>>,
    book: QualityBook,
    /// What has changed and is not written, by key.
    unwritten: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Publisher {
    /// Makes the topic if need be, and takes back what an earlier shadow of these students left there.
    ///
    /// # Errors
    /// When the log cannot be read or written, or the topic not be made.
    pub(super) fn open(log: Arc<dyn Log>, topic: &str, models: [&ModelId; 2]) -> Result<Publisher> {
        prepare_topic(log.as_ref(), topic)?;
        let left = left_of(log.bounded()?, topic, models)?;
        let unwritten = left.into_iter().map(|key| (key, None)).collect();
        let (appender, topic, book) = (Some(log.appender(topic)?), topic.to_owned(), QualityBook::default());
        let mut publisher = Publisher { log, topic, appender, book, unwritten };
        publisher.write()?;
        Ok(publisher)
    }

    /// Writes what the updates of whole epochs change, and what could not be written before.
    ///
    /// # Errors
    /// When the log cannot be written: what has changed is written with what changes next.
    pub(super) fn publish(&mut self, updates: &[Output]) -> Result<()> {
        for (key, quality) in self.book.apply(updates) {
            let value = quality.as_ref().map(serde_json::to_vec).transpose()?;
            self.unwritten.insert(serde_json::to_vec(&key)?, value);
        }
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let mut appender = match self.appender.take() {
            Some(appender) => appender,
            None => self.log.appender(&self.topic)?,
        };
        let records = self.unwritten.iter().map(|(key, value)| appended(key.clone(), value.clone()));
        appender.append(&records.collect::<Vec<Appended>>())?;
        self.unwritten.clear();
        self.appender = Some(appender);
        Ok(())
    }
}

/// Sees to it that the topic is there.
///
/// # Errors
/// When it is missing and may not be made, or the log cannot be reached.
pub(crate) fn prepare_topic(log: &dyn Log, topic: &str) -> Result<()> {
    let plan = TopicPlan {
        name: topic.to_owned(),
        partitions: PARTITION + 1,
        cleanup: Cleanup::Compact,
        record_bytes_max: None,
    };
    Ok(log.prepare(&[plan])?)
}

/// The keys of figures that stand on the topic and are of these students.
fn left_of(source: Box<dyn Source>, topic: &str, models: [&ModelId; 2]) -> Result<Vec<Vec<u8>>> {
    let mut left = BTreeMap::new();
    read_partition(source, (topic, PARTITION), |record| {
        left.insert(record.key.unwrap_or_default(), record.value.is_some());
        Ok(())
    })?;
    let is_theirs = |key: &[u8]| {
        let key: Option<QualityKey> = serde_json::from_slice(key).ok();
        key.is_some_and(|key| models.contains(&&key.model))
    };
    Ok(left.into_iter().filter(|(key, is_live)| *is_live && is_theirs(key)).map(|(key, _)| key).collect())
}

fn appended(key: Vec<u8>, value: Option<Vec<u8>>) -> Appended {
    Appended { key: Some(key), value, headers: Vec::new(), partition: Some(PARTITION) }
}
