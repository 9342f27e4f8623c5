//! For tests: a log in a folder that is away now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stillroom_connectors::{Appended, Appender, Committer, EmbeddedLog, Log, LogError, Source, TopicPlan};
use stillroom_dataflow::Record;
use stillroom_schemas::Progress;

/// How often each of these is still to fail.
#[derive(Default)]
pub(crate) struct Outages {
    /// Asking for what is committed.
    pub(crate) progress: AtomicUsize,
    /// Reading.
    pub(crate) poll: AtomicUsize,
    /// Writing.
    pub(crate) append: AtomicUsize,
}

/// The log, in which so much is committed.
pub(crate) struct Flaky {
    pub(crate) log: EmbeddedLog,
    pub(crate) progress: Progress,
    pub(crate) outages: Arc<Outages>,
}

/// Fails if it is to.
fn answer(left: &AtomicUsize) -> Result<(), LogError> {
    let one_less = |left: usize| left.checked_sub(1);
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
        Ok(_) => {
            let (action, cause) = ("ask".to_owned(), "nobody answers".to_owned());
            Err(LogError::Unreachable { action, cause, remedy: "wait" })
        }
        Err(_) => Ok(()),
    }
}

impl Log for Flaky {
    fn place(&self) -> String {
        self.log.place()
    }

    fn prepare(&self, topics: &[TopicPlan]) -> Result<(), LogError> {
        self.log.prepare(topics)
    }

    fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        Log::partitions(&self.log, topic)
    }

    fn record_bytes_max(&self, topic: &str) -> Result<Option<usize>, LogError> {
        self.log.record_bytes_max(topic)
    }

    fn client_bytes_max(&self, workers: usize, commits: bool) -> usize {
        self.log.client_bytes_max(workers, commits)
    }

    fn progress(&self) -> Result<Progress, LogError> {
        answer(&self.outages.progress)?;
        Ok(self.progress.clone())
    }

    fn tail(&self) -> Result<Box<dyn Source>, LogError> {
        self.log.tail()
    }

    fn bounded(&self) -> Result<Box<dyn Source>, LogError> {
        Ok(Box::new(FlakySource { source: self.log.bounded()?, outages: Arc::clone(&self.outages), polls: 0 }))
    }

    fn committer(&self, outputs: &[&str]) -> Result<Box<dyn Committer>, LogError> {
        self.log.committer(outputs)
    }

    fn appender(&self, topic: &str) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(FlakyAppender { appender: self.log.appender(topic)?, outages: Arc::clone(&self.outages) }))
    }
}

/// Gives a little at a time, and fails after that.
struct FlakySource {
    source: Box<dyn Source>,
    outages: Arc<Outages>,
    polls: usize,
}

impl Source for FlakySource {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        self.source.partitions(topic)
    }

    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        self.source.assign(topic, partition, next)
    }

    fn poll(&mut self, _bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        self.polls += 1;
        if self.polls > 1 {
            answer(&self.outages.poll)?;
        }
        self.source.poll(1, wait)
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

struct FlakyAppender {
    appender: Box<dyn Appender>,
    outages: Arc<Outages>,
}

impl Appender for FlakyAppender {
    fn append(&mut self, records: &[Appended]) -> Result<(), LogError> {
        answer(&self.outages.append)?;
        self.appender.append(records)
    }
}
