//! Apache Kafka.
//!
//! Partitions are assigned by the engine and read by one consumer a worker, without a group's balancing. One transactional producer
//! writes outputs and progress, both or neither; opening it fences whoever had its id before. The topic of progress is the authority
//! on what was done; the group's offsets are committed for people's tools.

mod client;
mod committer;
mod producing;
mod shown;
mod source;
mod topics;

pub use topics::TopicInfo;

use crate::{Appended, Appender, Committer, Log, LogError, Source, TopicPlan};
use client::{Troubles, client_config, failed};
use committer::KafkaCommitter;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::{Deserialize, Serialize};
use source::KafkaSource;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stillroom_dataflow::Record;
use stillroom_schemas::Progress;
use topics::Admin;

/// The tail of the topic of progress that is looked at first; ten times as much if the progress is not there.
const TAIL_RECORDS: u64 = 1000;

/// How a cluster is used.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    /// librdkafka's properties, secrets included.
    pub properties: BTreeMap<String, String>,
    /// Of the one producer that commits. It also names the pipeline in the topic of progress.
    pub transactional_id: String,
    /// Under which offsets are committed for people's tools.
    pub group_id: String,
    /// What a commit promises.
    pub delivery: Delivery,
    /// The topic of progress.
    pub progress_topic: String,
    /// Replicas of topics that are created; -1 leaves it to the cluster.
    pub replication: i32,
    /// Whether topics that are missing are created.
    pub create_topics: bool,
    /// Milliseconds after which the cluster aborts a transaction that is not committed.
    pub transaction_timeout_ms: u64,
}

impl std::fmt::Debug for KafkaSettings {
    /// Properties hold secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let properties = self.properties.keys().collect::<Vec<_>>();
        formatter.debug_struct("KafkaSettings").field("properties", &properties).finish_non_exhaustive()
    }
}

/// What a commit promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Readers with `isolation.level=read_committed` see each output once, with the progress that it stands for.
    #[default]
    ExactlyOnce,
    /// No transactions: after a kill some outputs may stand twice, and a second process on the same topics is not noticed.
    AtLeastOnce,
}

/// A cluster. This value is only its address and may be cloned.
#[derive(Clone, Debug)]
pub struct KafkaLog {
    settings: Arc<KafkaSettings>,
}

impl KafkaLog {
    /// The cluster that `settings` speak of; nothing is connected yet.
    pub fn new(settings: KafkaSettings) -> KafkaLog {
        KafkaLog { settings: Arc::new(settings) }
    }

    /// What the cluster says of a topic; nothing if there is no such topic.
    ///
    /// # Errors
    /// When the cluster cannot be reached, or refuses.
    pub fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        Admin::connect(&self.settings)?.topic(name)
    }

    /// The configuration of a topic; empty where this user may not read it.
    ///
    /// # Errors
    /// When the cluster cannot be reached.
    pub fn topic_config(&self, name: &str) -> Result<BTreeMap<String, String>, LogError> {
        Admin::connect(&self.settings)?.topic_config(name)
    }

    /// Whether a record of the topic is stamped later than `millis` since 1970: by the clock of who wrote it, or by the broker's.
    ///
    /// # Errors
    /// When the cluster cannot be reached or has no such topic.
    pub fn has_record_after(&self, topic: &str, millis: u64) -> Result<bool, LogError> {
        let mut source = KafkaSource::connect(&self.settings, true)?;
        let partitions = source.partitions(topic)?;
        source.has_later(topic, partitions, millis)
    }

    /// Does what a run of an engine that reads `notes` and writes `outputs` begins with, and commits nothing but the group's offsets
    /// as they stand. Where there are transactions, whoever has the log is fenced.
    ///
    /// # Errors
    /// As [`Log::committer`], and when the group's offsets may not be committed.
    pub fn try_taking(&self, notes: &str, outputs: &[&str]) -> Result<(), LogError> {
        KafkaCommitter::open(self, outputs)?.show(notes)
    }

    /// Creates a topic, whatever the settings say of that.
    ///
    /// # Errors
    /// When the cluster cannot be reached, or refuses.
    pub fn create_topic(&self, plan: &TopicPlan) -> Result<(), LogError> {
        Admin::connect(&self.settings)?.create(plan)
    }
}

impl KafkaLog {
    /// The number in a property, or in its default.
    fn number(&self, (property, default): (&str, &str)) -> usize {
        let value = self.settings.properties.get(property).map_or(default, String::as_str);
        // What is no number the client refuses by itself.
        value.parse().unwrap_or(0)
    }

    /// Bytes that a consumer holds: what it queues, and one answer more. The size of an answer is librdkafka's own, unless it is set.
    fn consumer_bytes_max(&self) -> usize {
        let queued = self.number(source::QUEUED_KBYTES) << 10;
        let answer = queued.min(52_428_800).max(self.number(("message.max.bytes", "1000000")));
        queued + self.number(("fetch.max.bytes", &answer.to_string()))
    }

    /// The last record of this pipeline that `source` gives.
    fn last_progress(&self, source: &mut KafkaSource) -> Result<Option<Record>, LogError> {
        let id = self.settings.transactional_id.as_bytes();
        let mut last = None;
        while !source.is_finished() {
            let mut records = source.poll(1 << 20, Duration::from_millis(100))?;
            if let Some(index) = records.iter().rposition(|record| record.key.as_deref() == Some(id)) {
                last = Some(records.swap_remove(index));
            }
        }
        Ok(last)
    }
}

impl Log for KafkaLog {
    fn place(&self) -> String {
        let servers = self.settings.properties.get("bootstrap.servers").map_or("", String::as_str);
        format!("Kafka at {servers}")
    }

    fn prepare(&self, topics: &[TopicPlan]) -> Result<(), LogError> {
        let admin = Admin::connect(&self.settings)?;
        for plan in topics {
            let topic = plan.name.clone();
            match admin.topic(&topic)? {
                None if self.settings.create_topics => admin.create(plan)?,
                None => return Err(LogError::NoTopic { topic }),
                Some(has) if has.partitions >= plan.partitions => {}
                Some(_) => admin.grow(&topic, plan.partitions)?,
            }
        }
        Ok(())
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        Ok(self.topic(topic)?.map(|topic| topic.partitions))
    }

    fn record_bytes_max(&self, topic: &str) -> Result<Option<usize>, LogError> {
        let config = self.topic_config(topic)?;
        Ok(config.get("max.message.bytes").and_then(|bytes| bytes.parse().ok()))
    }

    fn client_bytes_max(&self, workers: usize, commits: bool) -> usize {
        let of_producer = if commits { self.number(producing::BUFFERED_KBYTES) << 10 } else { 0 };
        workers * self.consumer_bytes_max() + of_producer
    }

    /// The last record under this pipeline's id, which is at the end of the topic.
    fn progress(&self) -> Result<Progress, LogError> {
        let topic = &self.settings.progress_topic;
        if self.topic(topic)?.is_none() {
            return Ok(Progress::default());
        }
        let mut source = KafkaSource::connect(&self.settings, true)?;
        let (low, high) = source.ends(topic, 0)?;
        let mut tail = TAIL_RECORDS;
        loop {
            let from = low.max(high.saturating_sub(tail));
            source.assign(topic, 0, from)?;
            if let Some(record) = self.last_progress(&mut source)? {
                let value = record.value.unwrap_or_default();
                return serde_json::from_slice(&value).map_err(|error| LogError::Kafka {
                    action: format!("read the progress at offset {} of {topic}", record.position.offset),
                    cause: error.to_string(),
                    remedy: "use the version of stillroom that wrote it, or start with a new transactional_id",
                });
            }
            if from == low {
                return Ok(Progress::default());
            }
            tail *= 10;
            source = KafkaSource::connect(&self.settings, true)?;
        }
    }

    fn tail(&self) -> Result<Box<dyn Source>, LogError> {
        Ok(Box::new(KafkaSource::connect(&self.settings, false)?))
    }

    fn bounded(&self) -> Result<Box<dyn Source>, LogError> {
        Ok(Box::new(KafkaSource::connect(&self.settings, true)?))
    }

    fn committer(&self, outputs: &[&str]) -> Result<Box<dyn Committer>, LogError> {
        Ok(Box::new(KafkaCommitter::open(self, outputs)?))
    }

    fn appender(&self, topic: &str) -> Result<Box<dyn Appender>, LogError> {
        // The partitioner of Kafka's own clients, so that a record goes where its like went.
        let defaults = [
            ("partitioner", "murmur2_random"),
            ("enable.idempotence", "true"),
            ("message.max.bytes", producing::PRODUCED_BYTES_MAX),
            ("message.timeout.ms", "60000"),
        ];
        let created = client_config(&self.settings, &defaults, &[]).create_with_context(Troubles::default());
        let producer = created.map_err(|error| failed("connect to Kafka", &error, None))?;
        Ok(Box::new(KafkaAppender { topic: topic.to_owned(), producer }))
    }
}

struct KafkaAppender {
    topic: String,
    producer: BaseProducer<Troubles>,
}

impl Appender for KafkaAppender {
    fn append(&mut self, records: &[Appended]) -> Result<(), LogError> {
        let KafkaAppender { topic, producer } = self;
        let action = || format!("append to the topic {topic}");
        for Appended { key, value, headers, partition } in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).headers(owned_headers(headers));
            (record.key, record.payload) = (key.as_deref(), value.as_deref());
            record.partition = partition.map(|partition| partition as i32);
            producing::enqueue(producer, record).map_err(|error| failed(action(), &error, Some(producer.context())))?;
        }
        producing::flush(producer).map_err(|error| failed(action(), &error, Some(producer.context())))
    }
}

fn owned_headers(headers: &[stillroom_schemas::Header]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |owned, (key, value)| owned.insert(Header { key, value: Some(value) }))
}
