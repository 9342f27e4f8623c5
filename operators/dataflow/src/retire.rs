//! `Retire`: tells every source what is committed.
//!
//! In: nothing; the committer moves a frontier, on one worker. Out: nothing; every worker, of this process or another, passes the
//! frontier on to its source, which admits more. State: none. Emits whenever the frontier moves.

use crate::wake::Wake;
use crate::{Epoch, Retirement};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source as timely_source;

/// The committer's end. Dropping it says that nothing more will be committed.
#[derive(Debug)]
pub struct CommittedSender(Arc<Shared>);

/// The end of the worker that the committer is beside.
#[derive(Debug)]
pub struct CommittedFeed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Every epoch before this one is committed.
    before: AtomicU64,
    is_closed: AtomicBool,
    wake: Wake,
}

/// Both ends.
pub fn committed() -> (CommittedSender, CommittedFeed) {
    let shared = Arc::new(Shared::default());
    (CommittedSender(Arc::clone(&shared)), CommittedFeed(shared))
}

impl CommittedSender {
    /// Says that every epoch before `epoch` is committed.
    pub fn advance(&self, epoch: Epoch) {
        if self.0.before.fetch_max(epoch, Ordering::SeqCst) < epoch {
            self.0.wake.wake();
        }
    }
}

impl Drop for CommittedSender {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.wake.wake();
    }
}

/// Passes on to this worker's source, by `retirement`, what is committed. Exactly one worker of the cluster has the `feed`.
pub fn retire(scope: Scope<'_, Epoch>, feed: Option<CommittedFeed>, retirement: Retirement) {
    let stream =
        timely_source::<_, CapacityContainerBuilder<Vec<()>>, _, _>(scope, "Committed", move |capability, info| {
            let shared = feed.map(|feed| feed.0);
            let wake = scope.worker().sync_activator_for(Rc::clone(&info.address).to_vec());
            if let Some(shared) = &shared {
                // Set once; what was said before is read when the operator is first scheduled.
                shared.wake.set(wake);
            }
            let mut held = shared.is_some().then_some(capability);
            move |_output| {
                let (Some(shared), Some(capability)) = (&shared, &mut held) else { return };
                // Looked at before the epoch, which is not moved any more once this is set.
                let is_closed = shared.is_closed.load(Ordering::SeqCst);
                let before = shared.before.load(Ordering::SeqCst);
                if before > *capability.time() {
                    capability.downgrade(&before);
                }
                if is_closed {
                    held = None;
                }
            }
        });
    stream.sink(Pipeline, "Retire", move |(_nothing, frontier)| {
        if let Some(&before) = frontier.frontier().first() {
            retirement.advance(before);
        }
    });
}
