//! Reads assigned partitions.
//!
//! A paused source takes nothing from its client and goes on serving it. The client's queue is bounded in bytes, so a pause of
//! moments costs nothing; a longer one tells the client to fetch no more, at the price of fetching again what it had.

use super::KafkaSettings;
use super::client::{ANSWER_WAIT_MAX, Troubles, client_config, code_of, failed, is_of_connection};
use super::topics::describe;
use crate::{LogError, Source};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillroom_dataflow::{Position, Record};

/// After a pause of so long the client fetches no more.
const PAUSE_PATIENCE: Duration = Duration::from_millis(500);

/// What a client fetches ahead in KiB.
pub(super) const QUEUED_KBYTES: (&str, &str) = ("queued.max.messages.kbytes", "16384");

/// How long a live source waits for an answer about a topic before it takes the topic as it was.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(2);

/// A bounded source with nothing to read serves its client so long at a time.
const SERVE: Duration = Duration::from_millis(10);

type Consuming = BaseConsumer<Troubles>;

/// A topic is taken to be deleted when it was not there so many times in a row: brokers that start do not know all at once.
const MISSES_MAX: u32 = 3;

/// A bounded source that hears nothing for so long has lost its brokers.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What is known of a topic since the source was opened.
struct Known {
    id: String,
    partitions: u32,
    /// How many times in a row it was not there.
    misses: u32,
}

/// A partition that is read to an end.
struct Bounded {
    queue: PartitionQueue<Troubles>,
    is_finished: bool,
}

/// Reads partitions of a cluster's topics, of which only what is committed.
pub(super) struct KafkaSource {
    consumer: Arc<Consuming>,
    topics: BTreeMap<String, Known>,
    names: BTreeMap<String, Arc<str>>,
    /// Of a source that ends: by partition, as an end is told without the topic's name.
    bounded: Option<Vec<Bounded>>,
    paused_since: Option<Instant>,
    /// Whether the client was told to fetch no more.
    is_silenced: bool,
    /// What came all the same while the source was paused.
    held: VecDeque<Record>,
    /// When a record or an end came last.
    heard_at: Instant,
}

impl KafkaSource {
    /// A source with nothing assigned yet.
    ///
    /// # Errors
    /// When a property is refused.
    pub(super) fn connect(settings: &KafkaSettings, is_bounded: bool) -> Result<KafkaSource, LogError> {
        let defaults = [
            QUEUED_KBYTES,
            ("statistics.interval.ms", "10000"),
            ("fetch.wait.max.ms", "100"),
            ("topic.metadata.refresh.interval.ms", "5000"),
        ];
        let ours = [
            ("group.id", settings.group_id.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            // An offset that is gone must not be passed over in silence.
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", if is_bounded { "true" } else { "false" }),
        ];
        let created = client_config(settings, &defaults, &ours).create_with_context(Troubles::default());
        let consumer: Consuming = created.map_err(|error| failed("connect to Kafka", &error, None))?;
        Ok(KafkaSource {
            consumer: Arc::new(consumer),
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            bounded: is_bounded.then(Vec::new),
            paused_since: None,
            is_silenced: false,
            held: VecDeque::new(),
            heard_at: Instant::now(),
        })
    }

    fn failed(&self, action: String, error: &KafkaError) -> LogError {
        failed(action, error, Some(self.consumer.context()))
    }

    /// The first offset of a partition, and the one after its last.
    pub(super) fn ends(&self, topic: &str, partition: u32) -> Result<(u64, u64), LogError> {
        let watermarks = self.consumer.fetch_watermarks(topic, partition as i32, ANSWER_WAIT_MAX);
        let (low, high) = watermarks.map_err(|error| match code_of(&error) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => {
                let partitions = self.topics.get(topic).map_or(0, |known| known.partitions);
                LogError::NoPartition { topic: topic.to_owned(), partition, partitions }
            }
            _ => self.failed(format!("ask for the offsets of {topic}/{partition}"), &error),
        })?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }

    /// Whether one of so many partitions has a record that was stamped after `millis` since 1970.
    pub(super) fn has_later(&self, topic: &str, partitions: u32, millis: u64) -> Result<bool, LogError> {
        let asked = || {
            let mut list = TopicPartitionList::new();
            for partition in 0..partitions {
                list.add_partition_offset(topic, partition as i32, Offset::Offset(millis as i64))?;
            }
            let found = self.consumer.offsets_for_times(list, ANSWER_WAIT_MAX)?;
            Ok(found.elements().iter().any(|found| matches!(found.offset(), Offset::Offset(_))))
        };
        asked().map_err(|error| self.failed(format!("ask for the times of {topic}"), &error))
    }

    /// The offset to start at: what is asked for if the partition has it.
    fn start(&self, topic: &str, partition: u32, next: u64) -> Result<u64, LogError> {
        let (low, high) = self.ends(topic, partition)?;
        match next {
            0 => Ok(low),
            next if (low..=high).contains(&next) => Ok(next),
            next => Err(LogError::OffsetOutOfRange { topic: topic.to_owned(), partition, next, low, high }),
        }
    }

    /// What becomes of an error that a poll met.
    fn check(&self, error: &KafkaError) -> Result<(), LogError> {
        let code = code_of(error).unwrap_or(RDKafkaErrorCode::Unknown);
        match code {
            _ if is_of_connection(code) => {
                self.consumer.context().warn(&format!("the brokers cannot be reached, reading waits for them: {code}"));
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => Err(LogError::Kafka {
                action: "read on".to_owned(),
                cause: "an offset that is due is below the partition's first one, or behind its end: records expired before they \
                        were read, or the topic was created anew"
                    .to_owned(),
                remedy: "restart, which names the partition; raise the topic's retention",
            }),
            // Whether it is gone for good, the next looks at the topic tell.
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => Ok(()),
            _ => Err(self.failed("read".to_owned(), error)),
        }
    }

    fn record(&mut self, message: &BorrowedMessage<'_>) -> Record {
        let topic = match self.names.get(message.topic()) {
            Some(name) => Arc::clone(name),
            None => {
                let name: Arc<str> = Arc::from(message.topic());
                self.names.insert(message.topic().to_owned(), Arc::clone(&name));
                name
            }
        };
        let headers = message.headers().map(|headers| {
            let headers = headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or(&[]).to_vec()));
            headers.collect()
        });
        Record {
            topic,
            position: Position { partition: message.partition() as u32, offset: message.offset() as u64 },
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    /// The next record of a source that does not end.
    fn next_live(&mut self, wait: Duration) -> Result<Option<Record>, LogError> {
        let consumer = Arc::clone(&self.consumer);
        match consumer.poll(wait) {
            Some(Ok(message)) => Ok(Some(self.record(&message))),
            Some(Err(error)) => self.check(&error).map(|()| None),
            None => Ok(None),
        }
    }

    /// The next record of whichever partition has one.
    fn next_bounded(&mut self) -> Result<Option<Record>, LogError> {
        let Some(mut partitions) = self.bounded.take() else { return Ok(None) };
        let had_ended = partitions.iter().filter(|partition| partition.is_finished).count();
        let mut found = Ok(None);
        for partition in partitions.iter_mut().filter(|partition| !partition.is_finished) {
            match partition.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => found = Ok(Some(self.record(&message))),
                Some(Err(KafkaError::PartitionEOF(_))) => partition.is_finished = true,
                Some(Err(error)) => found = self.check(&error).map(|()| None),
                None => {}
            }
            if !matches!(found, Ok(None)) {
                break;
            }
        }
        let has_ended = partitions.iter().filter(|partition| partition.is_finished).count();
        if matches!(found, Ok(Some(_))) || has_ended > had_ended {
            self.heard_at = Instant::now();
        } else if self.heard_at.elapsed() > SILENCE_MAX && has_ended < partitions.len() {
            found = Err(LogError::Unreachable {
                action: "read a topic to its end".to_owned(),
                cause: format!("nothing came for {} s", SILENCE_MAX.as_secs()),
                remedy: "check that the brokers run and can be reached from here",
            });
        }
        self.bounded = Some(partitions);
        found
    }

    /// While nothing is to be delivered: serves the client, and keeps what it hands out all the same.
    fn serve_paused(&mut self, wait: Duration) -> Result<(), LogError> {
        let is_long = self.paused_since.is_some_and(|since| since.elapsed() >= PAUSE_PATIENCE);
        if !is_long {
            std::thread::park_timeout(wait.min(PAUSE_PATIENCE));
            return Ok(());
        }
        if !self.is_silenced {
            self.set_fetching(false)?;
        }
        if let Some(record) = self.next_live(wait)? {
            self.held.push_back(record);
        }
        Ok(())
    }

    fn set_fetching(&mut self, is_fetching: bool) -> Result<(), LogError> {
        let assignment = self.consumer.assignment();
        let told = assignment.and_then(|partitions| match is_fetching {
            true => self.consumer.resume(&partitions),
            false => self.consumer.pause(&partitions),
        });
        told.map_err(|error| self.failed("pause or resume".to_owned(), &error))?;
        self.is_silenced = !is_fetching;
        Ok(())
    }
}

impl Source for KafkaSource {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        let known = self.topics.get(topic);
        let wait = if known.is_some() { LOOK_WAIT_MAX } else { ANSWER_WAIT_MAX };
        let info = match describe(self.consumer.client(), topic, wait) {
            Ok(Some(info)) => info,
            Ok(None) => {
                return match self.topics.get_mut(topic) {
                    Some(known) if known.misses + 1 < MISSES_MAX => {
                        known.misses += 1;
                        Ok(known.partitions)
                    }
                    _ => Err(LogError::NoTopic { topic: topic.to_owned() }),
                };
            }
            Err(error) => {
                return match known {
                    // The brokers are away for a moment; the topic is looked for again.
                    Some(known) if code_of(&error).is_none_or(is_of_connection) => Ok(known.partitions),
                    _ => Err(self.failed(format!("ask for the topic {topic}"), &error)),
                };
            }
        };
        if known.is_some_and(|known| known.id != info.id) {
            return Err(LogError::TopicRecreated { topic: topic.to_owned() });
        }
        self.topics.insert(topic.to_owned(), Known { id: info.id, partitions: info.partitions, misses: 0 });
        Ok(info.partitions)
    }

    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        let start = self.start(topic, partition, next)?;
        let action = || format!("read {topic}/{partition}");
        let refused = |error: KafkaError| failed(action(), &error, Some(self.consumer.context()));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, Offset::Offset(start as i64)).map_err(refused)?;
        if let Some(bounded) = &mut self.bounded {
            let queue = self.consumer.split_partition_queue(topic, partition as i32);
            let queue = queue.ok_or_else(|| failed(action(), &KafkaError::Canceled, Some(self.consumer.context())))?;
            bounded.push(Bounded { queue, is_finished: false });
            self.heard_at = Instant::now();
        }
        self.consumer.incremental_assign(&list).map_err(refused)
    }

    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let deadline = Instant::now() + wait;
        if self.is_silenced && self.paused_since.is_none() {
            self.set_fetching(true)?;
        }
        if self.paused_since.is_some() {
            self.serve_paused(wait)?;
            return Ok(Vec::new());
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        loop {
            let record = match self.held.pop_front() {
                Some(record) => Some(record),
                None if self.bounded.is_some() => self.next_bounded()?,
                None if records.is_empty() => self.next_live(deadline.saturating_duration_since(Instant::now()))?,
                None => self.next_live(Duration::ZERO)?,
            };
            let is_late = deadline <= Instant::now();
            match record {
                Some(record) if !records.is_empty() && bytes + record.bytes() > bytes_max => {
                    self.held.push_front(record);
                    return Ok(records);
                }
                Some(record) => {
                    bytes += record.bytes();
                    records.push(record);
                }
                None if !records.is_empty() || is_late || self.is_finished() => return Ok(records),
                // Errors and statistics wait on the client's own queue.
                None if self.bounded.is_some() => {
                    if let Some(record) = self.next_live(SERVE)? {
                        self.held.push_back(record);
                    }
                }
                None => {}
            }
        }
    }

    fn pause(&mut self) {
        self.paused_since.get_or_insert_with(Instant::now);
    }

    fn resume(&mut self) {
        // The next poll tells the client.
        self.paused_since = None;
    }

    fn is_finished(&self) -> bool {
        let bounded = self.bounded.as_ref();
        self.held.is_empty()
            && bounded.is_some_and(|partitions| partitions.iter().all(|partition| partition.is_finished))
    }
}
