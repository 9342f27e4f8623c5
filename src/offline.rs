//! The extraction topology over a bounded source, without a log: what `extract` and `eval` share.

use crate::engine::{self, EngineConfig, Observer, Parts};
use crate::runtime::Runtime;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use stillroom_connectors::{Commit, Committer, LogError, Source};
use stillroom_dataflow::Record;
use stillroom_schemas::{Progress, Totals};

/// Runs `source`, whose notes are on the notes topic of `config`, to its end; `observer` is given what comes out, in input order.
///
/// # Errors
/// The first error of source or observer.
pub(crate) fn extract(
    runtime: Runtime,
    config: &EngineConfig,
    source: Box<dyn Source>,
    observer: Box<dyn Observer>,
) -> Result<Totals> {
    let parts = Parts {
        sources: vec![Box::new(NotesAlone { notes: config.topics.notes.clone(), source })],
        history: Box::new(Nothing),
        committer: Box::new(Unwritten::default()),
        tokenize: runtime.tokenize,
        pool: runtime.pool,
        observer,
    };
    Ok(engine::run(config, parts, Arc::new(AtomicBool::new(false)))?.totals)
}

/// A source of notes only: every other topic is there, and has no partition.
struct NotesAlone {
    notes: String,
    source: Box<dyn Source>,
}

impl Source for NotesAlone {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        if topic == self.notes { self.source.partitions(topic) } else { Ok(0) }
    }
    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        self.source.assign(topic, partition, next)
    }
    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        self.source.poll(bytes_max, wait)
    }
    fn pause(&mut self) {
        self.source.pause();
    }
    fn resume(&mut self) {
        self.source.resume();
    }
    fn is_finished(&self) -> bool {
        self.source.is_finished()
    }
}

/// The history of a run that has none.
struct Nothing;

impl Source for Nothing {
    fn partitions(&mut self, _topic: &str) -> Result<u32, LogError> {
        Ok(0)
    }
    fn assign(&mut self, topic: &str, _partition: u32, _next: u64) -> Result<(), LogError> {
        Err(LogError::NoTopic { topic: topic.to_owned() })
    }
    fn poll(&mut self, _bytes_max: usize, _wait: Duration) -> Result<Vec<Record>, LogError> {
        Ok(Vec::new())
    }
    fn pause(&mut self) {}
    fn resume(&mut self) {}
    fn is_finished(&self) -> bool {
        true
    }
}

/// Keeps count, and leaves writing to the observer.
#[derive(Default)]
struct Unwritten {
    progress: Progress,
}

impl Committer for Unwritten {
    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        self.progress.epoch = commit.epoch;
        self.progress.totals += commit.totals;
        Ok(())
    }
}
