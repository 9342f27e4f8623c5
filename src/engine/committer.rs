//! The thread that makes epochs durable.
//!
//! In: the reports of all workers. Out: commits, each of every epoch that all workers have completed since the one before, so that
//! a slow log makes fewer and larger commits, up to a size; then, to the sources, what is committed. State: the outputs of epochs that some worker
//! has not completed, and the current quality.

use crate::engine::commit::{QualityBook, QualityChange, Sealed, bytes_of, seal};
use crate::engine::config::{EngineConfig, Topics};
use crate::engine::control::Control;
use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stillroom_connectors::Committer;
use stillroom_dataflow::{CommittedSender, Epoch, Output, Report};
use stillroom_schemas::{Progress, Quality, QualityKey, Totals};

/// A committer that hears nothing for so long may do what it put off.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// What was just committed.
pub struct Committed<'a> {
    /// Settled notes, then references, labels and definitions that were dead-lettered, each by partition and offset; then what became of
    /// patients in cohorts.
    pub outputs: &'a [Output],
    /// Figures that changed, by key.
    pub quality: &'a [QualityChange],
    /// What became of these notes.
    pub totals: Totals,
    /// All that is committed.
    pub progress: &'a Progress,
}

/// Is told of every commit, in order, on the committer's thread: while it works nothing else is committed.
pub trait Observer: Send {
    /// Takes note of a commit.
    ///
    /// # Errors
    /// Ends the run; the commit stays.
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()>;
}

/// What tells live epochs from restored ones.
pub(crate) struct Live {
    /// The first live epoch.
    pub(crate) first_epoch: Epoch,
    /// What earlier runs published last, for comparison.
    pub(crate) published: BTreeMap<QualityKey, Quality>,
}

/// How large and how frequent commits are, and where they go.
struct Shape {
    bytes_max: usize,
    rest_min: Duration,
    topics: Topics,
}

/// The committer's state.
pub(crate) struct CommitLoop {
    committer: Box<dyn Committer>,
    observer: Box<dyn Observer>,
    live: Live,
    committed: CommittedSender,
    shape: Shape,
    pending: BTreeMap<Epoch, Vec<Output>>,
    book: QualityBook,
    is_live: bool,
    committed_at: Instant,
}

impl CommitLoop {
    pub(crate) fn new(
        config: &EngineConfig,
        committer: Box<dyn Committer>,
        observer: Box<dyn Observer>,
        live: Live,
        committed: CommittedSender,
    ) -> CommitLoop {
        let rest_min = Duration::from_millis(config.commit_ms_min);
        let shape = Shape { bytes_max: config.commit_bytes_max, rest_min, topics: config.topics.clone() };
        let (pending, book, committed_at) = (BTreeMap::new(), QualityBook::default(), Instant::now());
        CommitLoop { committer, observer, live, committed, shape, pending, book, is_live: false, committed_at }
    }

    /// Commits until every worker has ended or the run is aborted; the progress then.
    pub(crate) fn run(mut self, workers: usize, reports: &Receiver<Report>, control: &Control) -> Result<Progress> {
        // Absent when the worker has ended.
        let mut frontiers = vec![Some(0); workers];
        loop {
            let (report, is_over) = match reports.recv_timeout(self.rest()) {
                Ok(report) => (Some(report), false),
                Err(error) => (None, error == RecvTimeoutError::Disconnected),
            };
            if report.is_none() {
                self.committer.idle();
            }
            for report in report.into_iter().chain(reports.try_iter()) {
                frontiers[report.worker] = report.frontier;
                for (epoch, outputs) in report.epochs {
                    self.pending.entry(epoch).or_default().extend(outputs);
                }
            }
            if control.is_raised() {
                break;
            }
            let frontier = frontiers.iter().flatten().min().copied().unwrap_or(Epoch::MAX);
            self.advance(frontier, control)?;
            if is_over {
                break;
            }
        }
        Ok(self.committer.progress().clone())
    }

    /// How long to wait for reports: until a commit that is held back is due.
    fn rest(&self) -> Duration {
        let is_held_back = !self.pending.is_empty() && !self.shape.rest_min.is_zero();
        if is_held_back { self.shape.rest_min.saturating_sub(self.committed_at.elapsed()) } else { IDLE_AFTER }
    }

    /// Commits every epoch before the frontier, unless it is too early.
    fn advance(&mut self, frontier: Epoch, control: &Control) -> Result<()> {
        if !self.is_live {
            for outputs in self.take_before(frontier.min(self.live.first_epoch)).into_values() {
                self.book.apply(&outputs);
            }
            self.is_live = frontier >= self.live.first_epoch;
            if self.is_live && control.is_restored.load(Ordering::SeqCst) {
                self.book.take_over(std::mem::take(&mut self.live.published))?;
                if self.book.is_outdated() {
                    // A commit of no record, so that figures of other teachers do not stand until one comes.
                    self.pending.entry(self.live.first_epoch).or_default();
                }
            }
        }
        if !self.is_live || !control.is_restored.load(Ordering::SeqCst) {
            // A run that was stopped while it restored has nothing to commit.
            self.committed.advance(frontier);
            return Ok(());
        }
        let is_early = frontier < Epoch::MAX && self.committed_at.elapsed() < self.shape.rest_min;
        while !is_early && self.pending.first_key_value().is_some_and(|(first, _)| *first < frontier) {
            let end = self.end_of_commit(frontier);
            let epochs = self.take_before(end);
            if let Some((&last, _)) = epochs.last_key_value() {
                let outputs = epochs.into_values().flatten().collect();
                let sealed = seal(last, outputs, &self.shape.topics, &mut self.book)?;
                self.commit(sealed)?;
            }
        }
        let first = self.pending.first_key_value().map_or(Epoch::MAX, |(first, _)| *first);
        self.committed.advance(frontier.min(first));
        Ok(())
    }

    /// The epoch before which a commit ends, so that it is not too large.
    fn end_of_commit(&self, frontier: Epoch) -> Epoch {
        let mut bytes = 0;
        for (epoch, outputs) in self.pending.range(..frontier) {
            bytes += outputs.iter().map(bytes_of).sum::<usize>();
            if bytes >= self.shape.bytes_max {
                return epoch + 1;
            }
        }
        frontier
    }

    fn take_before(&mut self, frontier: Epoch) -> BTreeMap<Epoch, Vec<Output>> {
        let open = self.pending.split_off(&frontier);
        std::mem::replace(&mut self.pending, open)
    }

    fn commit(&mut self, sealed: Sealed) -> Result<()> {
        let Sealed { commit, outputs, quality } = sealed;
        let totals = commit.totals;
        self.committer.commit(commit)?;
        self.committed_at = Instant::now();
        let progress = self.committer.progress();
        self.observer.committed(&Committed { outputs: &outputs, quality: &quality, totals, progress })
    }
}
