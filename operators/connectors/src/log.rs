//! What an engine needs of a log.

use crate::LogError;
use std::sync::Arc;
use std::time::Duration;
use stillroom_dataflow::Record;
use stillroom_schemas::{Header, Progress, TopicOffsets, Totals};

/// Reads the partitions that it was assigned, in offset order within each.
///
/// One source serves one worker and lives on one thread. Partitions are assigned by the engine (`partition % workers`), never
/// balanced by the log.
pub trait Source: Send {
    /// The number of partitions that `topic` has now. It may grow while the source is open.
    ///
    /// # Errors
    /// When the log cannot be reached or has no such topic.
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError>;

    /// Starts to read a partition at offset `next`, or at its first record, whatever its offset, when `next` is 0.
    ///
    /// # Errors
    /// When `next` is no longer, or not yet, an offset of the partition: the topic was cut or created anew.
    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError>;

    /// Records of the assigned partitions, at most `bytes_max` bytes of them but at least one if there is any; waits up to
    /// `wait` for the first. An empty answer means that nothing came in time.
    ///
    /// # Errors
    /// When the log cannot be read.
    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError>;

    /// Stops delivering until [`Source::resume`], and keeps the connection alive: under pressure the engine goes on polling a
    /// paused source and gets nothing.
    fn pause(&mut self);

    /// Delivers again.
    fn resume(&mut self);

    /// Whether every assigned partition is read to an end that will not move: true only of bounded sources.
    fn is_finished(&self) -> bool {
        false
    }
}

/// A log: topics of partitions, and one committer.
pub trait Log: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// Sees to it that these topics exist with so many partitions at least, and creates or grows them where it may.
    ///
    /// # Errors
    /// Names a topic that is missing or too small and could not be created or grown.
    fn prepare(&self, topics: &[TopicPlan]) -> Result<(), LogError>;

    /// The number of partitions of a topic; nothing if there is no such topic.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError>;

    /// Bytes that a record of the topic may have, where the log has such a bound and says so.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn record_bytes_max(&self, topic: &str) -> Result<Option<usize>, LogError>;

    /// About the most bytes of records that the clients of a process with so many workers hold while it runs, beside what they handed
    /// out or were given.
    fn client_bytes_max(&self, workers: usize, commits: bool) -> usize;

    /// What is committed, without taking the log: somebody else may commit more in the meantime.
    ///
    /// # Errors
    /// When the log cannot be reached, or its progress cannot be read.
    fn progress(&self) -> Result<Progress, LogError>;

    /// A source for one worker, which waits for more at the end of its partitions.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn tail(&self) -> Result<Box<dyn Source>, LogError>;

    /// A source that ends each partition where it ends when it is assigned: what is committed, of an output topic.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn bounded(&self) -> Result<Box<dyn Source>, LogError>;

    /// Takes the log for an engine that writes the topics `outputs`, and fences whoever had it before.
    ///
    /// # Errors
    /// When another engine has the log and cannot be fenced; when a topic is missing, was created anew since the last commit, or has
    /// lost records; when the log cannot be reached.
    fn committer(&self, outputs: &[&str]) -> Result<Box<dyn Committer>, LogError>;

    /// Appends to an input topic.
    ///
    /// # Errors
    /// When the topic is missing or the log cannot be reached.
    fn appender(&self, topic: &str) -> Result<Box<dyn Appender>, LogError>;

    /// Appends records once: as [`Log::appender`] and [`Appender::append`].
    ///
    /// # Errors
    /// As both.
    fn append(&self, topic: &str, records: &[Appended]) -> Result<(), LogError> {
        self.appender(topic)?.append(records)
    }
}

/// Appends to one input topic.
pub trait Appender: Send {
    /// Appends records, each to its partition or to that of its key, and makes them durable.
    ///
    /// # Errors
    /// When the log cannot be written: then some of them may have been appended, and another appender is to be used.
    fn append(&mut self, records: &[Appended]) -> Result<(), LogError>;
}

/// A topic as an engine needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// Partitions at least.
    pub partitions: u32,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// Bytes that its records may have at most; absent where the log's own bound will do.
    pub record_bytes_max: Option<usize>,
}

/// What becomes of a topic's old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// They go when they are old enough.
    Delete,
    /// The last of each key stays.
    Compact,
    /// All stay.
    Keep,
}

impl Cleanup {
    /// The value of Kafka's `cleanup.policy`.
    pub fn policy(self) -> &'static str {
        match self {
            Cleanup::Delete | Cleanup::Keep => "delete",
            Cleanup::Compact => "compact",
        }
    }
}

/// A record to append to an input topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; a record without one is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
    /// Where it goes; to the partition of its key when absent.
    pub partition: Option<u32>,
}

/// Makes epochs durable. There is one for a log, and it fences any other before it says what was done.
pub trait Committer: Send {
    /// What is committed.
    fn progress(&self) -> &Progress;

    /// Appends `commit.outputs` and replaces the progress, both or neither.
    ///
    /// # Errors
    /// When the commit did not happen. The engine stops: a restart resumes at the last progress.
    fn commit(&mut self, commit: Commit) -> Result<(), LogError>;

    /// Is called when nothing was to be committed for a moment.
    fn idle(&mut self) {}
}

/// One or several complete epochs.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The last epoch.
    pub epoch: u64,
    /// The next offset of every input partition that moved.
    pub inputs: TopicOffsets,
    /// In the order in which they are to stand in their partitions.
    pub outputs: Vec<OutputRecord>,
    /// What became of the notes of these epochs alone.
    pub totals: Totals,
}

/// A record to append. A missing value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The key; dead letters may have none.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
}
