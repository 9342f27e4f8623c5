//! Where outputs leave the dataflow.
//!
//! In: outputs. Out, on a channel to the committer: the outputs of every epoch that is complete at this worker, and how far the
//! worker is. State: the outputs of epochs that are not complete, which admission at the sources bounds.

use crate::{Epoch, Output};
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// What a worker tells the committer.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The worker.
    pub worker: usize,
    /// No output of an epoch before this one is to come from this worker; absent when none at all is.
    pub frontier: Option<Epoch>,
    /// Outputs of epochs before the frontier, by epoch, in no particular order within one.
    pub epochs: Vec<(Epoch, Vec<Output>)>,
}

/// Takes outputs out of the dataflow.
pub trait Sink {
    /// Reports to the committer, if it is beside this worker, whenever the frontier moves. The channel may be unbounded: sources
    /// admit only so much above what is committed.
    fn sink_to(self, worker: usize, reports: Option<Sender<Report>>);
}

impl<'scope> Sink for StreamVec<'scope, Epoch, Output> {
    fn sink_to(self, worker: usize, reports: Option<Sender<Report>>) {
        let mut stash: BTreeMap<Epoch, Vec<Output>> = BTreeMap::new();
        let mut told = Some(0);
        self.sink(Pipeline, "Sink", move |(input, frontier)| {
            input.for_each(|capability, outputs| {
                let Some(&now) = capability.least() else { return };
                for output in outputs.drain(..) {
                    let epoch = if let Output::Quality { epoch, .. } = output { epoch } else { now };
                    stash.entry(epoch).or_default().push(output);
                }
            });
            let frontier = frontier.frontier().first().copied();
            if frontier != told {
                let open = frontier.map_or_else(BTreeMap::new, |epoch| stash.split_off(&epoch));
                let epochs = std::mem::replace(&mut stash, open).into_iter().collect();
                // A committer that is gone has said why, and the run is about to end.
                let _gone = reports.as_ref().map(|reports| reports.send(Report { worker, frontier, epochs }));
                told = frontier;
            }
        });
    }
}
