//! The thread that makes epochs durable.
//!
//! In: the reports of all workers. Out: commits, each of every epoch that all workers have completed since the one before, so that
//! a slow log makes fewer and larger commits; then, to the sources, what is committed. State: the outputs of epochs that some worker
//! has not completed, and the current quality.

use crate::engine::Control;
use crate::engine::commit::{QualityBook, QualityChange, Sealed, seal};
use crate::engine::config::Topics;
use anyhow::Result;
use crossbeam_channel::Receiver;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stillroom_connectors::Committer;
use stillroom_dataflow::{Epoch, Output, Report, Retirement};
use stillroom_schemas::{Progress, Quality, QualityKey, Totals};

/// What was just committed.
pub struct Committed<'a> {
    /// Settled notes, then references that were dead-lettered; each by partition and offset.
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
    /// Where to write.
    pub(crate) topics: Topics,
}

/// The committer's state.
pub(crate) struct CommitLoop {
    committer: Box<dyn Committer>,
    observer: Box<dyn Observer>,
    retirements: Vec<Retirement>,
    live: Live,
    control: Arc<Control>,
    /// By worker; absent when the worker has ended.
    frontiers: Vec<Option<Epoch>>,
    pending: BTreeMap<Epoch, Vec<Output>>,
    book: QualityBook,
    is_live: bool,
}

impl CommitLoop {
    pub(crate) fn new(
        committer: Box<dyn Committer>,
        observer: Box<dyn Observer>,
        retirements: Vec<Retirement>,
        live: Live,
        control: Arc<Control>,
    ) -> CommitLoop {
        let frontiers = vec![Some(0); retirements.len()];
        let (pending, book) = (BTreeMap::new(), QualityBook::default());
        CommitLoop { committer, observer, retirements, live, control, frontiers, pending, book, is_live: false }
    }

    /// Commits until every worker has ended or the run is aborted; the progress then.
    pub(crate) fn run(mut self, reports: &Receiver<Report>) -> Result<Progress> {
        while let Ok(report) = reports.recv() {
            self.absorb(report);
            reports.try_iter().for_each(|report| self.absorb(report));
            if self.control.is_raised() {
                break;
            }
            self.advance()?;
        }
        Ok(self.committer.progress().clone())
    }

    fn absorb(&mut self, report: Report) {
        self.frontiers[report.worker] = report.frontier;
        for (epoch, outputs) in report.epochs {
            self.pending.entry(epoch).or_default().extend(outputs);
        }
    }

    /// Commits every epoch before the least frontier.
    fn advance(&mut self) -> Result<()> {
        let frontier = self.frontiers.iter().flatten().min().copied().unwrap_or(Epoch::MAX);
        if !self.is_live {
            for outputs in self.take_before(frontier.min(self.live.first_epoch)) {
                self.book.apply(&outputs);
            }
            self.is_live = frontier >= self.live.first_epoch;
            if self.is_live && self.control.is_restored.load(Ordering::SeqCst) {
                self.book.verify(&self.live.published)?;
            }
        }
        if self.is_live {
            let last = self.pending.range(..frontier).next_back().map(|(epoch, _)| *epoch);
            let outputs: Vec<Output> = self.take_before(frontier).flatten().collect();
            if let Some(epoch) = last {
                let sealed = seal(epoch, outputs, &self.live.topics, &mut self.book)?;
                self.commit(sealed)?;
            }
        }
        self.retirements.iter().for_each(|source| source.advance(frontier));
        Ok(())
    }

    fn take_before(&mut self, frontier: Epoch) -> impl Iterator<Item = Vec<Output>> + use<> {
        let open = self.pending.split_off(&frontier);
        std::mem::replace(&mut self.pending, open).into_values()
    }

    fn commit(&mut self, sealed: Sealed) -> Result<()> {
        let Sealed { commit, outputs, quality } = sealed;
        let totals = commit.totals;
        self.committer.commit(commit)?;
        let progress = self.committer.progress();
        self.observer.committed(&Committed { outputs: &outputs, quality: &quality, totals, progress })
    }
}
