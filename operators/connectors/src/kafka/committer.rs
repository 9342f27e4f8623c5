//! Makes epochs durable: outputs and progress in one transaction.
//!
//! A transaction is begun when everything that belongs into it is at hand, so it waits for nothing but the cluster. While the
//! cluster is away the commit is tried again; only a fenced or broken producer ends the run, and a restart resumes at the last
//! commit.

use super::client::{ANSWER_WAIT_MAX, code_of, failed};
use super::producing::{Producing, drain, enqueue, flush, producer};
use super::shown::Shown;
use super::topics::Admin;
use super::{Delivery, KafkaLog, owned_headers};
use crate::{Commit, Committer, Log, LogError, OutputRecord};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stillroom_schemas::{Progress, TopicOffsets};

/// How long a commit is tried again while the cluster is away.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(600);

/// Between two tries: a cluster that is away tells nobody when it is back.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// How long to wait at a time for an output that may not be there.
const PROBE_STEP: Duration = Duration::from_millis(100);

/// The one committer of a pipeline.
pub(super) struct KafkaCommitter {
    log: KafkaLog,
    producer: Producing,
    progress: Progress,
    /// When the producer took another one's place.
    replaced_at: Option<Instant>,
    /// Partitions of the output topics.
    partitions: BTreeMap<String, u32>,
    shown: Shown,
}

impl KafkaCommitter {
    /// Fences whoever had the transactional id, and reads the progress after that: nobody can move it any more.
    pub(super) fn open(log: &KafkaLog, outputs: &[&str]) -> Result<KafkaCommitter, LogError> {
        let producer = producer(log)?;
        let mut committer = KafkaCommitter {
            log: log.clone(),
            producer,
            progress: Progress::default(),
            replaced_at: None,
            partitions: BTreeMap::new(),
            shown: Shown::connect(&log.settings)?,
        };
        committer.progress = log.progress()?;
        committer.check_topics(outputs)?;
        committer.check_progress()?;
        Ok(committer)
    }

    /// Commits the group's offsets: those of the progress, or as they stand if nothing was read yet.
    pub(super) fn show(&self, notes: &str) -> Result<(), LogError> {
        match self.progress.inputs.is_empty() {
            true => self.shown.commit_again(notes),
            false => self.shown.commit_now(&self.progress.inputs),
        }
    }

    /// Compares the topics with those that the progress speaks of, and remembers where the outputs end.
    fn check_topics(&mut self, outputs: &[&str]) -> Result<(), LogError> {
        let admin = Admin::connect(&self.log.settings)?;
        let mut names: Vec<String> = self.progress.topic_ids.keys().cloned().collect();
        names.extend(outputs.iter().map(|name| (*name).to_owned()));
        for name in names {
            let topic = admin.topic(&name)?.ok_or_else(|| LogError::NoTopic { topic: name.clone() })?;
            let known = self.progress.topic_ids.entry(name.clone()).or_insert_with(|| topic.id.clone());
            if *known != topic.id {
                return Err(LogError::TopicRecreated { topic: name });
            }
            if !outputs.contains(&name.as_str()) {
                continue;
            }
            for partition in 0..topic.partitions {
                let (_, high) = self.ends(&name, partition)?;
                self.progress.outputs.entry(name.clone()).or_default().insert(partition, high);
            }
            self.partitions.insert(name, topic.partitions);
        }
        Ok(())
    }

    /// The first offset of a partition, and the one after its last.
    fn ends(&self, topic: &str, partition: u32) -> Result<(u64, u64), LogError> {
        let ends = self.producer.client().fetch_watermarks(topic, partition as i32, ANSWER_WAIT_MAX);
        let (low, high) = ends.map_err(|error| {
            failed(format!("ask for the ends of {topic}/{partition}"), &error, Some(self.producer.context()))
        })?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }

    /// An empty topic of progress is a fresh start only if nothing was ever written.
    fn check_progress(&self) -> Result<(), LogError> {
        let topic = &self.log.settings.progress_topic;
        let (low, high) = self.ends(topic, 0)?;
        if low < high {
            return Ok(());
        }
        // Records of transactions that were never committed are no outputs.
        let mut source = self.log.bounded()?;
        for (output, ends) in &self.progress.outputs {
            ends.keys().try_for_each(|partition| source.assign(output, *partition, 0))?;
        }
        while !source.is_finished() {
            if let Some(record) = source.poll(1, PROBE_STEP)?.first() {
                return Err(LogError::ProgressLost { topic: topic.clone(), output: record.topic.to_string() });
            }
        }
        Ok(())
    }

    /// An output needs the partitions of its input, which may have grown.
    fn grow_outputs(&mut self, outputs: &[OutputRecord]) -> Result<(), LogError> {
        for output in outputs {
            let Some(has) = self.partitions.get_mut(&*output.topic) else {
                return Err(LogError::NoTopic { topic: output.topic.to_string() });
            };
            if output.partition >= *has {
                tracing::info!(
                    topic = &*output.topic,
                    partitions = output.partition + 1,
                    "the topic grows with its input"
                );
                Admin::connect(&self.log.settings)?.grow(&output.topic, output.partition + 1)?;
                // The producer believes what it knows of a topic for minutes.
                let known = self.producer.client().fetch_metadata(Some(&output.topic), ANSWER_WAIT_MAX);
                known.map_err(|error| {
                    failed(format!("ask for the topic {}", output.topic), &error, Some(self.producer.context()))
                })?;
                *has = output.partition + 1;
            }
        }
        Ok(())
    }

    /// The progress after `commit`, with the ids of topics that are read for the first time.
    fn progress_after(&self, commit: &Commit) -> Result<Progress, LogError> {
        let mut progress = self.progress.clone();
        progress.epoch = commit.epoch;
        progress.totals += commit.totals;
        for (topic, nexts) in &commit.inputs {
            progress.inputs.entry(topic.clone()).or_default().extend(nexts);
            if !progress.topic_ids.contains_key(topic) {
                let info = Admin::connect(&self.log.settings)?.topic(topic)?;
                let info = info.ok_or_else(|| LogError::NoTopic { topic: topic.clone() })?;
                progress.topic_ids.insert(topic.clone(), info.id);
            }
        }
        Ok(progress)
    }

    /// One transaction, or without transactions one round of appends with the progress behind them.
    fn try_commit(&self, outputs: &[OutputRecord], progress: &[u8], began: Instant) -> Result<(), KafkaError> {
        let settings = &self.log.settings;
        // What an earlier try was told of its records says nothing of these.
        let _earlier = self.producer.context().take_undelivered();
        let is_transactional = settings.delivery == Delivery::ExactlyOnce;
        if is_transactional {
            self.producer.begin_transaction()?;
        }
        for output in outputs {
            let record = BaseRecord::<[u8], [u8]>::to(&output.topic).partition(output.partition as i32);
            let mut record = record.headers(owned_headers(&output.headers));
            (record.key, record.payload) = (output.key.as_deref(), output.value.as_deref());
            enqueue(&self.producer, record)?;
        }
        if !is_transactional {
            // What the progress stands for must be there before it.
            flush(&self.producer)?;
        }
        let record = BaseRecord::to(&settings.progress_topic).partition(0);
        enqueue(&self.producer, record.key(settings.transactional_id.as_bytes()).payload(progress))?;
        if !is_transactional {
            return flush(&self.producer);
        }
        drain(&self.producer);
        loop {
            match self.producer.commit_transaction(ANSWER_WAIT_MAX) {
                // Whether it happened is not known yet, and asking again tells.
                Err(KafkaError::Transaction(error)) if error.is_retriable() && began.elapsed() < COMMIT_WAIT_MAX => {
                    self.producer.context().warn(&format!("the cluster has not confirmed a commit yet: {error}"));
                    wait_to_retry();
                }
                committed => return committed,
            }
        }
    }

    /// Whether trying again can help.
    fn is_hopeless(&self, error: &KafkaError, began: Instant) -> bool {
        let undelivered = self.producer.context().take_undelivered();
        let is_refused = |code| {
            matches!(
                code,
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            )
        };
        let codes = [Some(error), undelivered.as_ref()].into_iter().flatten().filter_map(code_of);
        codes.into_iter().any(is_refused)
            || began.elapsed() > COMMIT_WAIT_MAX
            || self.is_fenced(error) && self.has_been_undisturbed(began)
    }

    /// Whether only another process can have fenced this producer. The cluster itself does so as it gives up a transaction: one of
    /// this commit, or one of a producer that this one took the place of.
    fn has_been_undisturbed(&self, began: Instant) -> bool {
        let timeout = Duration::from_millis(self.log.settings.transaction_timeout_ms);
        began.elapsed() < timeout && self.replaced_at.is_none_or(|at| at.elapsed() > timeout)
    }

    fn is_fenced(&self, error: &KafkaError) -> bool {
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let codes = [fatal, code_of(error)].into_iter().flatten();
        codes.into_iter().any(|code| {
            matches!(
                code,
                RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
            )
        })
    }

    fn failed(&self, error: &KafkaError) -> LogError {
        if self.is_fenced(error) {
            return LogError::Fenced { transactional_id: self.log.settings.transactional_id.clone() };
        }
        failed("commit", error, Some(self.producer.context()))
    }

    /// Makes ready for another try of the commit to `progress`; true if the commit turns out to have happened.
    fn mend(&mut self, progress: &Progress, began: Instant) -> Result<bool, LogError> {
        let is_fatal = self.producer.client().fatal_error().is_some();
        let is_transactional = self.log.settings.delivery == Delivery::ExactlyOnce;
        if !is_fatal && (!is_transactional || self.producer.abort_transaction(ANSWER_WAIT_MAX).is_ok()) {
            return Ok(false);
        }
        // Another producer takes this one's place, and the log says what became of the transaction.
        loop {
            let error = match self.replace_producer(progress) {
                Ok(Found::New) => return Ok(true),
                Ok(Found::Old) => return Ok(false),
                Ok(Found::Foreign) => {
                    return Err(LogError::Fenced { transactional_id: self.log.settings.transactional_id.clone() });
                }
                Ok(Found::Older) => LogError::Kafka {
                    action: format!("read the progress at epoch {}", self.progress.epoch),
                    cause: "the cluster has that of an earlier epoch".to_owned(),
                    remedy: "check that no broker has lost records of the topic of progress",
                },
                Err(error) => error,
            };
            if began.elapsed() > COMMIT_WAIT_MAX {
                return Err(error);
            }
            self.producer.context().warn(&format!("a commit waits for the cluster: {error}"));
            wait_to_retry();
        }
    }
}

impl KafkaCommitter {
    /// Puts another producer in the place of this one, unless another process has gone on with the log: that one must not be fenced by
    /// whom it took over from. What became of the commit to `progress`.
    fn replace_producer(&mut self, progress: &Progress) -> Result<Found, LogError> {
        if self.found(progress)? == Found::Foreign {
            return Ok(Found::Foreign);
        }
        self.producer = producer(&self.log)?;
        self.replaced_at = Some(Instant::now());
        // Nobody can move it any more.
        self.found(progress)
    }

    /// What the log says of the commit to `progress`. Without its topic it says nothing: brokers that start do not know all at once.
    fn found(&self, progress: &Progress) -> Result<Found, LogError> {
        let topic = &self.log.settings.progress_topic;
        if self.log.topic(topic)?.is_none() {
            return Err(LogError::NoTopic { topic: topic.clone() });
        }
        Ok(Found::of(&self.log.progress()?, progress, &self.progress))
    }
}

/// What a log's progress says of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The commit happened.
    New,
    /// It did not.
    Old,
    /// Less than was committed before it: brokers that start do not know all at once.
    Older,
    /// Another process went on from there.
    Foreign,
}

impl Found {
    fn of(found: &Progress, new: &Progress, old: &Progress) -> Found {
        match found {
            found if is_same(found, new) => Found::New,
            found if is_same(found, old) => Found::Old,
            found if found.epoch < old.epoch => Found::Older,
            _ => Found::Foreign,
        }
    }
}

impl Committer for KafkaCommitter {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        let began = Instant::now();
        let progress = loop {
            match self.grow_outputs(&commit.outputs).and_then(|()| self.progress_after(&commit)) {
                Ok(progress) => break progress,
                // The cluster may be away for a moment.
                Err(LogError::Kafka { .. } | LogError::Unreachable { .. }) if began.elapsed() < COMMIT_WAIT_MAX => {
                    wait_to_retry();
                }
                Err(error) => return Err(error),
            }
        };
        // Where outputs end the cluster knows, and a transaction knows only when it is over.
        let written = Progress { outputs: TopicOffsets::new(), ..progress.clone() };
        let written = serde_json::to_vec(&written).expect("a progress is JSON");
        loop {
            let Err(error) = self.try_commit(&commit.outputs, &written, began) else { break };
            if self.is_hopeless(&error, began) {
                return Err(self.failed(&error));
            }
            self.producer.context().warn(&format!("a commit is tried again: {error}"));
            wait_to_retry();
            if self.mend(&progress, began)? {
                break;
            }
        }
        self.progress = progress;
        self.shown.moved(&self.progress.inputs);
        Ok(())
    }

    fn idle(&mut self) {
        self.shown.show(&self.progress.inputs);
    }
}

impl Drop for KafkaCommitter {
    fn drop(&mut self) {
        // One that was fenced must not show its offsets over those of its successor.
        if self.producer.client().fatal_error().is_none() {
            self.shown.finish(&self.progress.inputs);
        }
    }
}

/// Whether two progresses are of one commit: another engine may come to the same epoch by other offsets.
fn is_same(one: &Progress, other: &Progress) -> bool {
    (one.epoch, &one.inputs, one.totals) == (other.epoch, &other.inputs, other.totals)
}

/// A cluster that is away tells nobody when it is back, so this thread, which has nothing else to do, asks again.
fn wait_to_retry() {
    std::thread::sleep(RETRY_EVERY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_progress_beyond_ones_own_is_of_another_process() {
        let at = |epoch: u64, offset: u64| Progress {
            epoch,
            inputs: [("notes".to_owned(), [(0, offset)].into())].into(),
            ..Progress::default()
        };
        let check = |found: &Progress, expected: Found| {
            assert_eq!(Found::of(found, &at(8, 80), &at(7, 70)), expected, "{found:?}");
        };
        check(&at(8, 80), Found::New);
        check(&at(7, 70), Found::Old);
        check(&Progress::default(), Found::Older);
        check(&at(6, 60), Found::Older);
        check(&at(8, 75), Found::Foreign);
        check(&at(7, 71), Found::Foreign);
        check(&at(9, 90), Found::Foreign);
    }
}
