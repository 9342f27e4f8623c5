//! The group's offsets, which people's lag tools read; nothing here is read back.

use super::KafkaSettings;
use super::client::{ANSWER_WAIT_MAX, Troubles, client_config, failed};
use crate::LogError;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use stillroom_schemas::TopicOffsets;

/// They are committed no more often: they are for people.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Commits a group's offsets.
pub(super) struct Shown {
    consumer: BaseConsumer<Troubles>,
    at: Option<Instant>,
    /// Whether they have moved since.
    is_due: bool,
}

impl Shown {
    /// # Errors
    /// When a property is refused.
    pub(super) fn connect(settings: &KafkaSettings) -> Result<Shown, LogError> {
        let ours = [("group.id", settings.group_id.as_str()), ("enable.auto.commit", "false")];
        let created = client_config(settings, &[], &ours).create_with_context(Troubles::default());
        let consumer = created.map_err(|error| failed("connect to Kafka", &error, None))?;
        Ok(Shown { consumer, at: None, is_due: false })
    }

    /// Offsets have moved to these.
    pub(super) fn moved(&mut self, offsets: &TopicOffsets) {
        self.is_due = true;
        self.show(offsets);
    }

    /// Shows them if they have moved and were not shown a moment ago.
    pub(super) fn show(&mut self, offsets: &TopicOffsets) {
        if self.is_due && self.at.is_none_or(|at| at.elapsed() >= SHOW_EVERY) {
            self.commit(offsets, CommitMode::Async);
        }
    }

    /// Shows them before the end, if they have moved.
    pub(super) fn finish(&mut self, offsets: &TopicOffsets) {
        if self.is_due {
            self.commit(offsets, CommitMode::Sync);
        }
    }

    /// Commits these, whatever was shown.
    ///
    /// # Errors
    /// When the cluster cannot be reached, or refuses.
    pub(super) fn commit_now(&self, offsets: &TopicOffsets) -> Result<(), LogError> {
        let committed = offsets_list(offsets).and_then(|list| self.consumer.commit(&list, CommitMode::Sync));
        committed.map_err(|error| self.failed(error))
    }

    /// Commits what is committed for the first partition of `topic`, or its beginning if nothing is.
    ///
    /// # Errors
    /// When the cluster cannot be reached, or refuses.
    pub(super) fn commit_again(&self, topic: &str) -> Result<(), LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let stands = self.consumer.committed_offsets(list, ANSWER_WAIT_MAX).map_err(|error| self.failed(error))?;
        let next = stands.elements().first().map_or(0, |partition| match partition.offset() {
            Offset::Offset(next) => next as u64,
            _ => 0,
        });
        self.commit_now(&[(topic.to_owned(), [(0, next)].into())].into())
    }

    /// Why the group cannot be used is told on the consumer's queue, and the call itself only says that it waited.
    fn failed(&self, error: KafkaError) -> LogError {
        let told = std::iter::from_fn(|| self.consumer.poll(Duration::ZERO)).find_map(Result::err);
        failed("commit the group's offsets", &told.unwrap_or(error), Some(self.consumer.context()))
    }

    /// That it does not succeed is no reason to stop.
    fn commit(&mut self, offsets: &TopicOffsets, mode: CommitMode) {
        (self.at, self.is_due) = (Some(Instant::now()), false);
        let shown = offsets_list(offsets).and_then(|list| self.consumer.commit(&list, mode));
        if let Err(error) = shown {
            let troubles = self.consumer.context();
            troubles.warn(&format!("the group's offsets cannot be committed, which only lag tools miss: {error}"));
        }
        // Serves the answers of earlier commits; there is nothing assigned to deliver.
        let _nothing = self.consumer.poll(Duration::ZERO);
    }
}

fn offsets_list(offsets: &TopicOffsets) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, nexts) in offsets {
        for (&partition, &next) in nexts {
            list.add_partition_offset(topic, partition as i32, Offset::Offset(next as i64))?;
        }
    }
    Ok(list)
}
