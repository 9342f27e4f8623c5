//! The extraction topology over a bounded source, without a log: what `extract` and `eval` share.

use crate::engine::{self, CohortParts, EngineConfig, Observer, Parts, Role};
use crate::runtime::Runtime;
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use stillroom_connectors::{Commit, Committer, LogError, Source};
use stillroom_dataflow::{Interpret, PlainJson, Record, Students, TeacherPanel, WireFormat};
use stillroom_schemas::{Progress, Totals};

/// What is read.
pub(crate) struct Input {
    /// Has the notes on the notes topic of the configuration, and ends.
    pub(crate) source: Box<dyn Source>,
    /// How their values stand on the wire.
    pub(crate) wire: Arc<dyn WireFormat>,
    /// Where to start in each partition of the notes; 0 where nothing is said.
    pub(crate) start: BTreeMap<u32, u64>,
    /// Records at most.
    pub(crate) limit: u64,
    /// What tells what notes say of their entities; nothing is told if absent.
    pub(crate) interpret: Option<Arc<dyn Interpret>>,
}

impl Input {
    /// All of `source`, which is JSON, for its mentions alone.
    pub(crate) fn whole(source: Box<dyn Source>) -> Input {
        Input { source, wire: Arc::new(PlainJson), start: BTreeMap::new(), limit: u64::MAX, interpret: None }
    }
}

/// Runs `input` to its end; `observer` is given what comes out, in input order.
///
/// # Errors
/// The first error of source or observer.
pub(crate) fn extract(
    runtime: Runtime,
    config: &EngineConfig,
    input: Input,
    observer: Box<dyn Observer>,
) -> Result<Totals> {
    let Input { source, wire, start, limit, interpret } = input;
    let notes = config.topics.notes.clone();
    let progress = Progress { inputs: [(notes.clone(), start)].into(), ..Progress::default() };
    let parts = Parts {
        sources: vec![Box::new(NotesAlone { notes, source, left: limit })],
        history: Box::new(Nothing),
        role: Role::Commits { committer: Box::new(Unwritten { progress }), observer },
        wire,
        tokenize: runtime.tokenize,
        students: Students::only(runtime.pool),
        interpret,
        cluster: None,
        ask: None,
        panel: TeacherPanel::default(),
        retag: None,
        cohorts: CohortParts::default(),
    };
    Ok(engine::run(config, parts, Arc::new(AtomicBool::new(false)))?.totals)
}

/// A source of notes only, and of so many: every other topic is there, and has no partition.
struct NotesAlone {
    notes: String,
    source: Box<dyn Source>,
    left: u64,
}

impl Source for NotesAlone {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        if topic == self.notes { self.source.partitions(topic) } else { Ok(0) }
    }
    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        self.source.assign(topic, partition, next)
    }
    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let mut records = self.source.poll(bytes_max, wait)?;
        records.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= records.len() as u64;
        Ok(records)
    }
    fn pause(&mut self) {
        self.source.pause();
    }
    fn resume(&mut self) {
        self.source.resume();
    }
    fn is_finished(&self) -> bool {
        self.left == 0 || self.source.is_finished()
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
pub(crate) struct Unwritten {
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
