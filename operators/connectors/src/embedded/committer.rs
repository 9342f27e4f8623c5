//! Makes epochs durable: outputs are appended and synced, then the checkpoint is replaced.

use super::checkpoint::Checkpoint;
use super::line::Content;
use super::segments::{self, SegmentWriter};
use super::{EmbeddedLog, Topic};
use crate::disk::lock;
use crate::{Commit, Committer, LogError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::Duration;
use stillroom_schemas::{Progress, TopicOffsets};

/// A process that was killed keeps its lock until the system has cleared it away.
const ENGINE_WAIT_MAX: Duration = Duration::from_secs(1);

/// The one committer of an [`EmbeddedLog`].
///
/// It holds `engine.lock` and the output topics' writer locks until it is dropped or the process dies, however it dies.
#[derive(Debug)]
pub struct EmbeddedCommitter {
    log: EmbeddedLog,
    checkpoint: Checkpoint,
    writers: BTreeMap<String, Vec<SegmentWriter>>,
    /// Whether a commit went wrong: the files may then hold more than the writers know of.
    has_failed: bool,
    /// Locks are released when their files are closed.
    _locks: Vec<File>,
}

impl EmbeddedCommitter {
    /// Takes the log for an engine that writes the topics `outputs`, and cuts off what was appended to them and never committed.
    ///
    /// # Errors
    /// When another committer has the log; when a topic is missing, was created anew since the last commit, or has lost committed
    /// records; when the files cannot be read or cut.
    pub fn open(log: &EmbeddedLog, outputs: &[&str]) -> Result<EmbeddedCommitter, LogError> {
        let mut locks = vec![lock(&log.dir, &log.dir.join("engine.lock"), ENGINE_WAIT_MAX)?];
        let mut checkpoint = Checkpoint::read(&log.dir)?;
        for (name, id) in &checkpoint.progress.topic_ids {
            if log.topic(name)?.id != *id {
                return Err(LogError::TopicRecreated { topic: name.clone() });
            }
        }
        // An output that is no longer configured is cut too: what is behind its committed end would otherwise pass for data.
        let recorded = checkpoint.progress.outputs.keys().map(String::as_str);
        let names: BTreeSet<String> = recorded.chain(outputs.iter().copied()).map(str::to_owned).collect();
        let mut writers = BTreeMap::new();
        for name in names {
            let Topic { id, partitions } = log.topic(&name)?;
            locks.push(log.lock_writer(&name)?);
            let mut of_topic = Vec::new();
            for partition in 0..partitions {
                let (dir, end) = (log.partition_dir(&name, partition)?, checkpoint.output_end(&name, partition));
                of_topic.push(SegmentWriter::cut(dir, log.segment_bytes_max, end)?);
                checkpoint.progress.outputs.entry(name.clone()).or_default().insert(partition, end.next);
            }
            checkpoint.progress.topic_ids.insert(name.clone(), id);
            writers.insert(name, of_topic);
        }
        Ok(EmbeddedCommitter { log: log.clone(), checkpoint, writers, has_failed: false, _locks: locks })
    }

    fn try_commit(&mut self, commit: Commit) -> Result<Checkpoint, LogError> {
        let mut checkpoint = self.checkpoint.clone();
        self.sync_inputs(&commit.inputs, &mut checkpoint)?;
        let touched = self.append(&commit)?;
        for (topic, partition) in touched {
            let writer = &mut self.writers.get_mut(topic).expect("it was appended to")[partition as usize];
            writer.sync()?;
            let end = writer.end();
            checkpoint.progress.outputs.entry(topic.to_owned()).or_default().insert(partition, end.next);
            checkpoint.output_ends.entry(topic.to_owned()).or_default().insert(partition, end);
        }
        let progress = &mut checkpoint.progress;
        progress.epoch = commit.epoch;
        progress.totals += commit.totals;
        for (topic, nexts) in commit.inputs {
            progress.inputs.entry(topic).or_default().extend(nexts);
        }
        checkpoint.write(&self.log.dir)?;
        Ok(checkpoint)
    }

    /// Makes the input durable that this commit is about to stand for, and remembers its topics' ids. Inputs that are not
    /// topics of this log, such as files, are left alone.
    fn sync_inputs(&self, inputs: &TopicOffsets, checkpoint: &mut Checkpoint) -> Result<(), LogError> {
        for (name, nexts) in inputs {
            let id = match self.log.topic(name) {
                Ok(topic) => topic.id,
                Err(LogError::NoTopic { .. }) => continue,
                Err(error) => return Err(error),
            };
            let known = checkpoint.progress.topic_ids.entry(name.clone()).or_insert_with(|| id.clone());
            if *known != id {
                return Err(LogError::TopicRecreated { topic: name.clone() });
            }
            for (&partition, &next) in nexts {
                let before = self.checkpoint.progress.inputs.get(name).and_then(|nexts| nexts.get(&partition));
                segments::sync(&self.log.partition_dir(name, partition)?, before.copied().unwrap_or(0), next)?;
            }
        }
        Ok(())
    }

    /// Appends the outputs; answers with the partitions that got any. Nothing is appended when one has nowhere to go.
    fn append<'a>(&mut self, commit: &'a Commit) -> Result<BTreeSet<(&'a str, u32)>, LogError> {
        let touched: BTreeSet<(&str, u32)> =
            commit.outputs.iter().map(|output| (&*output.topic, output.partition)).collect();
        for &(topic, partition) in &touched {
            let writers = self.writers.get(topic).ok_or_else(|| LogError::NoTopic { topic: topic.to_owned() })?;
            let partitions = writers.len() as u32;
            if partition >= partitions {
                return Err(LogError::NoPartition { topic: topic.to_owned(), partition, partitions });
            }
        }
        for output in &commit.outputs {
            let writers = self.writers.get_mut(&*output.topic).expect("it was looked for above");
            let content =
                Content { key: output.key.as_deref(), value: output.value.as_deref(), headers: &output.headers };
            writers[output.partition as usize].append(content)?;
        }
        Ok(touched)
    }
}

impl Committer for EmbeddedCommitter {
    fn progress(&self) -> &Progress {
        &self.checkpoint.progress
    }

    /// # Panics
    /// When the epoch is not later than the last committed one: the engine would commit an epoch twice.
    fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        let last = self.checkpoint.progress.epoch;
        assert!(commit.epoch > last, "epoch {} comes after epoch {last} was committed", commit.epoch);
        if self.has_failed {
            return Err(LogError::CommitFailed { dir: self.log.dir.clone() });
        }
        self.has_failed = true;
        self.checkpoint = self.try_commit(commit)?;
        self.has_failed = false;
        Ok(())
    }
}
