//! A log in a folder, for one machine.
//!
//! ```text
//! progress.json                        what is committed; replaced atomically
//! engine.lock                          held by the one committer
//! topics/<topic>/meta.json             number of partitions, and an id made at creation
//! topics/<topic>/writer.lock           held by whoever appends: a producer for one append, a committer for its life
//! topics/<topic>/<partition>/<first offset>.jsonl
//! ```
//!
//! **Input topics** are appended to by [`EmbeddedProducer`]s, of any number of processes, and tailed by [`EmbeddedSource`]s.
//! **Output topics** belong to the one [`EmbeddedCommitter`]. A commit appends the outputs, makes them durable, and then
//! replaces `progress.json`, which holds the lengths of the outputs: whatever lies behind those lengths was never committed and
//! is cut off when the log is next opened for commits.
//!
//! A segment is JSON Lines, see the module `line`. Nothing is ever removed: to drop old input, remove its first segments while
//! nothing runs.

mod checkpoint;
mod committer;
mod line;
mod partitioner;
mod producer;
mod reader;
mod segments;
mod source;

pub use committer::EmbeddedCommitter;
pub use partitioner::partition_of;
pub use producer::EmbeddedProducer;
pub use source::EmbeddedSource;

use crate::disk::{failed, replace_file, sync_dir};
use crate::{Appender, Committer, Log, LogError, Source, TopicPlan};
use checkpoint::Checkpoint;
use reader::PartitionReader;
use segments::{End, find_end};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use stillroom_dataflow::Record;
use stillroom_schemas::Progress;

/// The size in bytes from which on a segment is followed by another, unless [`EmbeddedLog::with_segment_bytes_max`] says
/// otherwise.
pub const SEGMENT_BYTES_MAX_DEFAULT: u64 = 128 << 20;

/// How long to wait for another process's append to a topic before saying that the topic is in use.
const WRITER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Committed records are read in pieces of this size.
const READ_BYTES: usize = 1 << 20;

/// A log in a folder. This value is only its address: it holds no lock and may be cloned.
///
/// ```
/// use std::time::Duration;
/// use stillroom_connectors::{EmbeddedLog, EmbeddedProducer, EmbeddedSource, Source};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let dir = folder.path();
/// let log = EmbeddedLog::open(dir)?;
/// log.create_topic("clinical.notes.v1", 1)?;
/// EmbeddedProducer::open(&log, "clinical.notes.v1")?.append([(Some(&b"n-1"[..]), Some(&b"{}"[..]))])?;
///
/// let mut source = EmbeddedSource::bounded(&log);
/// source.assign("clinical.notes.v1", 0, 0)?;
/// let records = source.poll(1 << 20, Duration::ZERO)?;
/// assert_eq!(records[0].key.as_deref(), Some(&b"n-1"[..]));
/// assert!(source.is_finished());
/// # Ok::<(), stillroom_connectors::LogError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EmbeddedLog {
    dir: PathBuf,
    segment_bytes_max: u64,
}

/// What `meta.json` says of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Topic {
    /// Different for a topic of the same name that is created later.
    id: String,
    partitions: u32,
}

impl EmbeddedLog {
    /// The log in `dir`, which is created if need be.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(dir: impl Into<PathBuf>) -> Result<EmbeddedLog, LogError> {
        let log = EmbeddedLog { dir: dir.into(), segment_bytes_max: SEGMENT_BYTES_MAX_DEFAULT };
        let topics = log.topics_dir();
        fs::create_dir_all(&topics).map_err(failed("create", &topics))?;
        sync_dir(&log.dir)?;
        Ok(log)
    }

    /// Starts a new segment once one has this many bytes. Segments that exist keep their size.
    pub fn with_segment_bytes_max(self, segment_bytes_max: u64) -> EmbeddedLog {
        EmbeddedLog { segment_bytes_max, ..self }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates a topic, unless it exists with this number of partitions.
    ///
    /// # Errors
    /// When the name is not a topic's, when the topic exists with another number of partitions, or when it cannot be written.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<(), LogError> {
        let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_dots = matches!(topic, "." | "..");
        if is_dots || !(1..=249).contains(&topic.len()) || !topic.bytes().all(is_name_char) {
            return Err(LogError::TopicName { topic: topic.to_owned() });
        }
        if partitions == 0 {
            return Err(LogError::NoPartition { topic: topic.to_owned(), partition: 0, partitions });
        }
        if self.has_topic(topic, partitions)? {
            return Ok(());
        }
        let id = new_id();
        // Made under another name first, so that nobody sees a topic without its partitions. No topic's name has a `~`.
        let new = self.topics_dir().join(format!("{topic}~{id}"));
        for partition in 0..partitions {
            let dir = new.join(partition.to_string());
            fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let meta = serde_json::to_vec(&Topic { id, partitions }).expect("a topic is JSON");
        replace_file(&new.join("meta.json"), &meta)?;
        let dir = self.topic_dir(topic);
        if let Err(error) = fs::rename(&new, &dir) {
            fs::remove_dir_all(&new).map_err(failed("remove", &new))?;
            // Another process may have been faster.
            return if self.has_topic(topic, partitions)? { Ok(()) } else { Err(failed("create", &dir)(error)) };
        }
        sync_dir(&self.topics_dir())
    }

    /// Whether the topic exists, which is an error if it has another number of partitions.
    fn has_topic(&self, topic: &str, partitions: u32) -> Result<bool, LogError> {
        match self.topic(topic) {
            Ok(Topic { partitions: has, .. }) if has != partitions => {
                Err(LogError::PartitionsDiffer { topic: topic.to_owned(), has, wanted: partitions })
            }
            Ok(_) => Ok(true),
            Err(LogError::NoTopic { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The number of partitions of `topic`.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.topic(topic)?.partitions)
    }

    /// The number of records ever appended to each partition of `topic`, committed or not: the offset of the next one.
    ///
    /// # Errors
    /// When there is no such topic or it cannot be read.
    pub fn ends(&self, topic: &str) -> Result<BTreeMap<u32, u64>, LogError> {
        let end = |partition| Ok((partition, find_end(&self.partition_dir(topic, partition)?, End::default())?.next));
        (0..self.partitions(topic)?).map(end).collect()
    }

    /// What is committed; the default when nothing ever was.
    ///
    /// # Errors
    /// When the progress cannot be read.
    pub fn progress(&self) -> Result<Progress, LogError> {
        Ok(Checkpoint::read(&self.dir)?.progress)
    }

    /// The committed records of `topic`, partition after partition: of an output topic what was committed, of an input topic
    /// what was committed as read.
    ///
    /// # Errors
    /// When there is no such topic, or when what is committed of it is gone.
    pub fn read_topic(&self, topic: &str) -> Result<TopicRecords, LogError> {
        let progress = self.progress()?;
        let ends = progress.outputs.get(topic).or_else(|| progress.inputs.get(topic)).cloned().unwrap_or_default();
        let name: Arc<str> = Arc::from(topic);
        let mut readers = Vec::new();
        for partition in 0..self.partitions(topic)? {
            let dir = self.partition_dir(topic, partition)?;
            let low = segments::list(&dir)?.first().copied().unwrap_or(0);
            let end = ends.get(&partition).copied().unwrap_or(0);
            readers.push(PartitionReader::open(name.clone(), partition, dir, low)?.until(end));
        }
        Ok(TopicRecords { readers: readers.into_iter(), current: None, records: Vec::new().into_iter() })
    }

    /// The last committed value of each key of `topic`; keys that end in a tombstone are left out. All values are in memory at
    /// once.
    ///
    /// # Errors
    /// As [`EmbeddedLog::read_topic`].
    pub fn last_values(&self, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        let mut values = BTreeMap::new();
        for record in self.read_topic(topic)? {
            let Record { key, value, .. } = record?;
            let key = key.unwrap_or_default();
            match value {
                Some(value) => values.insert(key, value),
                None => values.remove(&key),
            };
        }
        Ok(values)
    }

    fn topics_dir(&self) -> PathBuf {
        self.dir.join("topics")
    }

    fn topic_dir(&self, topic: &str) -> PathBuf {
        self.topics_dir().join(topic)
    }

    fn topic(&self, topic: &str) -> Result<Topic, LogError> {
        let path = self.topic_dir(topic).join("meta.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LogError::NoTopic { topic: topic.to_owned() });
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| LogError::Damaged { path, byte: 0, cause: error.to_string() })
    }

    fn partition_dir(&self, topic: &str, partition: u32) -> Result<PathBuf, LogError> {
        let partitions = self.partitions(topic)?;
        if partition >= partitions {
            return Err(LogError::NoPartition { topic: topic.to_owned(), partition, partitions });
        }
        Ok(self.topic_dir(topic).join(partition.to_string()))
    }

    /// Takes the right to append to `topic`.
    fn lock_writer(&self, topic: &str) -> Result<fs::File, LogError> {
        let dir = self.topic_dir(topic);
        crate::disk::lock(&dir, &dir.join("writer.lock"), WRITER_WAIT_MAX)
    }
}

impl Log for EmbeddedLog {
    fn place(&self) -> String {
        format!("the log {}", self.dir.display())
    }

    /// Topics here neither expire nor grow, and their records may be of any size.
    fn prepare(&self, topics: &[TopicPlan]) -> Result<(), LogError> {
        for TopicPlan { name, partitions: wanted, .. } in topics {
            match Log::partitions(self, name)? {
                None => self.create_topic(name, *wanted)?,
                Some(has) if has < *wanted => {
                    return Err(LogError::PartitionsDiffer { topic: name.clone(), has, wanted: *wanted });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        match self.topic(topic) {
            Ok(topic) => Ok(Some(topic.partitions)),
            Err(LogError::NoTopic { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn record_bytes_max(&self, _topic: &str) -> Result<Option<usize>, LogError> {
        Ok(None)
    }

    /// Its sources read what they are asked for.
    fn client_bytes_max(&self, _workers: usize, _commits: bool) -> usize {
        0
    }

    fn progress(&self) -> Result<Progress, LogError> {
        EmbeddedLog::progress(self)
    }

    fn tail(&self) -> Result<Box<dyn Source>, LogError> {
        Ok(Box::new(EmbeddedSource::tail(self)))
    }

    fn bounded(&self) -> Result<Box<dyn Source>, LogError> {
        Ok(Box::new(EmbeddedSource::bounded(self)))
    }

    fn committer(&self, outputs: &[&str]) -> Result<Box<dyn Committer>, LogError> {
        Ok(Box::new(EmbeddedCommitter::open(self, outputs)?))
    }

    fn appender(&self, topic: &str) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(EmbeddedProducer::open(self, topic)?))
    }
}

/// 128 bits that no other topic has, from the operating system's randomness and the time.
fn new_id() -> String {
    let half = || RandomState::new().hash_one((SystemTime::now(), std::process::id()));
    format!("{:016x}{:016x}", half(), half())
}

/// The committed records of a topic; see [`EmbeddedLog::read_topic`].
#[derive(Debug)]
pub struct TopicRecords {
    readers: std::vec::IntoIter<PartitionReader>,
    current: Option<PartitionReader>,
    records: std::vec::IntoIter<Record>,
}

impl TopicRecords {
    fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if let Some(record) = self.records.next() {
                return Ok(Some(record));
            }
            match &mut self.current {
                Some(reader) if !reader.is_finished() => {
                    let mut records = Vec::new();
                    reader.read(READ_BYTES, &mut records)?;
                    if records.is_empty() {
                        return Err(reader.ended_early());
                    }
                    self.records = records.into_iter();
                }
                _ => match self.readers.next() {
                    Some(reader) => self.current = Some(reader),
                    None => return Ok(None),
                },
            }
        }
    }
}

impl Iterator for TopicRecords {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.read().transpose();
        if let Some(Err(_)) = record {
            // The failing partition would fail again and again.
            (self.current, self.readers) = (None, Vec::new().into_iter());
        }
        record
    }
}
