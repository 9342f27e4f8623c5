//! Where stillroom's records come from and go to.
//!
//! [`Source`] and [`Committer`] are what an engine needs of a log, shaped after Kafka: assigned partitions, offsets as data,
//! pausing under pressure, and one committer that makes the outputs of an epoch and the progress that they stand for visible
//! together or not at all.
//!
//! - [`KafkaLog`] is Apache Kafka.
//! - [`EmbeddedLog`] is a log in a folder, for one machine.
//! - [`NoteFiles`] is a source over files and folders of notes; [`NoteFormats`] are formats of others that it can be given.
//! - [`GoldDocuments`] are annotated documents, read from JSON Lines.
//! - [`Corpus`] is a corpus as its publisher writes it: annotated documents, or notes.

mod corpora;
mod disk;
mod embedded;
mod error;
mod files;
mod gold;
mod kafka;
mod log;

pub use corpora::{
    Corpus, CorpusConfig, CorpusDocument, CorpusFormat, CorpusItem, CorpusProblem, KnownCorpus, Part, Sample, Split,
};
pub use disk::replace_file;
pub use embedded::{
    EmbeddedCommitter, EmbeddedLog, EmbeddedProducer, EmbeddedSource, SEGMENT_BYTES_MAX_DEFAULT, TopicRecords,
    partition_of,
};
pub use error::LogError;
pub use files::{
    FILES_TOPIC, FileKind, FilePart, FileParts, FileSaid, NoteFiles, NoteFormats, Origins, PlainNotes, Withdrawals,
};
pub use gold::{GoldDocument, GoldDocuments};
pub use kafka::{Delivery, KafkaLog, KafkaSettings, TopicInfo};
pub use log::{Appended, Appender, Cleanup, Commit, Committer, Log, OutputRecord, Source, TopicPlan};
