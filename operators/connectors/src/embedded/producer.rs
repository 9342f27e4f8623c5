//! Appends to input topics, from any number of processes.

use super::EmbeddedLog;
use super::line::Content;
use super::partition_of;
use super::segments::{End, SegmentWriter};
use crate::{Appended, Appender, LogError};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Appends to an input topic.
///
/// Any number of producers may append to one topic, from one process or several: the topic's writer lock is held for one
/// append at a time. Producers wait up to ten seconds for it. The topics of a running committer are refused.
#[derive(Debug)]
pub struct EmbeddedProducer {
    log: EmbeddedLog,
    topic: String,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    dir: PathBuf,
    /// Where the partition ended when this producer last knew.
    known: End,
    /// Gone after an append that failed, since the files may hold a part of it.
    writer: Option<SegmentWriter>,
}

impl EmbeddedProducer {
    /// A producer for `topic`.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn open(log: &EmbeddedLog, topic: &str) -> Result<EmbeddedProducer, LogError> {
        let partition = |partition| {
            Ok(Partition { dir: log.partition_dir(topic, partition)?, known: End::default(), writer: None })
        };
        let partitions = (0..log.partitions(topic)?).map(partition).collect::<Result<_, LogError>>()?;
        Ok(EmbeddedProducer { log: log.clone(), topic: topic.to_owned(), partitions })
    }

    /// Appends keys and values, each to the partition of its key ([`partition_of`]), and makes them durable. A record without a
    /// key goes to partition 0; one without a value is a tombstone. Answers with the number appended to each partition.
    ///
    /// # Errors
    /// When the topic stays locked, or when the files cannot be written: then some of the records, in their order within each
    /// partition, may have been appended, and appending all of them again is right for topics with revisions.
    pub fn append<'a, R>(&mut self, records: R) -> Result<BTreeMap<u32, u64>, LogError>
    where
        R: IntoIterator<Item = (Option<&'a [u8]>, Option<&'a [u8]>)>,
    {
        self.append_contents(records.into_iter().map(|(key, value)| (None, Content { key, value, headers: &[] })))
    }

    /// As [`EmbeddedProducer::append`], with headers, and to the partition that is named.
    fn append_contents<'a>(
        &mut self,
        records: impl Iterator<Item = (Option<u32>, Content<'a>)>,
    ) -> Result<BTreeMap<u32, u64>, LogError> {
        let _lock = self.log.lock_writer(&self.topic)?;
        let count = self.partitions.len() as u32;
        let mut open: BTreeMap<u32, SegmentWriter> = BTreeMap::new();
        let mut appended = BTreeMap::new();
        for (partition, content) in records {
            let index = partition.unwrap_or_else(|| content.key.map_or(0, |key| partition_of(key, count)));
            if index >= count {
                return Err(LogError::NoPartition { topic: self.topic.clone(), partition: index, partitions: count });
            }
            let writer = match open.entry(index) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.partitions[index as usize].take_writer(self.log.segment_bytes_max)?)
                }
            };
            writer.append(content)?;
            *appended.entry(index).or_default() += 1;
        }
        for writer in open.values_mut() {
            writer.sync()?;
        }
        for (index, writer) in open {
            let partition = &mut self.partitions[index as usize];
            partition.known = writer.end();
            partition.writer = Some(writer);
        }
        Ok(appended)
    }
}

impl Appender for EmbeddedProducer {
    fn append(&mut self, records: &[Appended]) -> Result<(), LogError> {
        let contents = records.iter().map(|Appended { key, value, headers, partition }| {
            (*partition, Content { key: key.as_deref(), value: value.as_deref(), headers })
        });
        self.append_contents(contents)?;
        Ok(())
    }
}

impl Partition {
    /// The writer at the end of the partition, which another producer may have moved.
    fn take_writer(&mut self, segment_bytes_max: u64) -> Result<SegmentWriter, LogError> {
        match self.writer.take() {
            Some(writer) if writer.is_current()? => Ok(writer),
            _ => SegmentWriter::recover(self.dir.clone(), segment_bytes_max, self.known),
        }
    }
}
