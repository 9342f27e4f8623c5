//! Why a log or a file could not be used.

use std::path::PathBuf;

/// Why a log, or a file of notes, of gold or of a corpus, could not be used. No message carries text of a note.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process has the log.
    #[error("the log {dir} is in use by another process; stop that process, or choose another folder")]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A topic does not exist.
    #[error("the log has no topic {topic}; create it, or correct its name in the configuration")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// A topic's name cannot be the name of a folder, or Kafka would refuse it.
    #[error("{topic:?} cannot be the name of a topic; use 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'")]
    TopicName {
        /// The name.
        topic: String,
    },
    /// A topic exists with another number of partitions.
    #[error(
        "the topic {topic} has {has} partitions and cannot get {wanted}, because keys would change their partition; \
             configure {has} partitions, or copy the topic into a new one"
    )]
    PartitionsDiffer {
        /// The topic.
        topic: String,
        /// Its partitions.
        has: u32,
        /// What was asked for.
        wanted: u32,
    },
    /// A topic lacks a partition.
    #[error(
        "the topic {topic} has no partition {partition}, only {partitions} from 0 on; \
             create it with as many partitions as the topic of the notes"
    )]
    NoPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: u32,
        /// How many it has.
        partitions: u32,
    },
    /// A topic is not the one that the progress speaks of.
    #[error("the topic {topic} was created anew since the last commit; restore it, or start with a new progress")]
    TopicRecreated {
        /// The topic.
        topic: String,
    },
    /// A commit was asked for after one that failed half-way.
    #[error("a commit to the log {dir} failed half-way; restart, which cuts the log back to the last commit")]
    CommitFailed {
        /// The folder.
        dir: PathBuf,
    },
    /// A file is of no kind that holds notes.
    #[error("{path} is neither a folder nor a {known} file; rename it, or give - to read JSON Lines from stdin")]
    NotNotes {
        /// The file.
        path: PathBuf,
        /// The extensions of files that hold notes.
        known: &'static str,
    },
    /// A file of notes is not of the format that it is read as.
    #[error("{path} {cause}")]
    NotItsFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// A file is of no format of a corpus.
    #[error("{path} {cause}")]
    NotCorpus {
        /// The file or folder.
        path: PathBuf,
        /// What it lacks, and what to do.
        cause: String,
    },
    /// A label that is to be read as a task is not there.
    #[error("no annotation has the label {label}; there are {labels}")]
    NoLabel {
        /// What was asked for.
        label: String,
        /// The first of those that are there.
        labels: String,
    },
    /// So many documents or notes cannot be drawn.
    #[error("{wanted} {what} cannot be drawn from {has}; ask for fewer, or name all files of the corpus")]
    TooFew {
        /// Documents or notes.
        what: &'static str,
        /// What was asked for.
        wanted: usize,
        /// What there is.
        has: usize,
    },
    /// A line of a file does not hold what it should.
    #[error("{path}, line {line}: {cause}; correct or remove the line")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// A recorded offset does not exist.
    #[error(
        "{topic}/{partition} has offsets {low}..{high}, but {next} was asked for: the topic was cut or created anew; \
             restore it, or start with a new progress"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        next: u64,
        /// The first that exists.
        low: u64,
        /// One past the last.
        high: u64,
    },
    /// A file of the log is damaged.
    #[error("{path} is damaged at byte {byte}: {cause}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        byte: u64,
        /// How.
        cause: String,
    },
    /// There are outputs, and nothing says what they stand for.
    #[error(
        "the topic {topic} is empty, but there are records in {output}: what was committed is not known any more; restore the topic, \
             or start with new output topics"
    )]
    ProgressLost {
        /// The topic of progress.
        topic: String,
        /// An output.
        output: String,
    },
    /// Another engine took over.
    #[error(
        "another process has taken the transactional id {transactional_id} and goes on with the log; stop one of the two, or give \
             each pipeline an id of its own"
    )]
    Fenced {
        /// The id.
        transactional_id: String,
    },
    /// Kafka, or the way there, refused.
    #[error("cannot {action}: {cause}; {remedy}")]
    Kafka {
        /// What was tried.
        action: String,
        /// Why not.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Kafka gave no answer: its brokers, or the way there, are away, and may be back.
    #[error("cannot {action}: {cause}; {remedy}")]
    Unreachable {
        /// What was tried.
        action: String,
        /// What is known of why not.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An output cannot be written in the format of its topic.
    #[error("an output of the topic {topic} cannot be written in the topic's format; nothing was committed")]
    Wire {
        /// The topic.
        topic: String,
        /// Why not, and what to do.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl LogError {
    /// Whether the log is away, and nothing else is wrong: the same may succeed when it is back.
    pub fn is_outage(&self) -> bool {
        matches!(self, LogError::Unreachable { .. })
    }
}
