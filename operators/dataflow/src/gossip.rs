//! `Gossip`: what the processes of a cluster tell each other beside the data.
//!
//! In: nothing; threads of a process say something. Out: nothing; every other process hears it. State: what was said last. Emits at
//! once. Epochs are told because the frontier is that of the slowest process: one that has no input, or whose clock is behind, must
//! not hold up one that has run ahead.

use crate::Epoch;
use crate::wake::Wake;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source as timely_source;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// An epoch has begun somewhere.
    Epoch(Epoch),
    /// Read no more, commit what was read, end.
    Stop,
}

/// A process's voice; it may be cloned.
#[derive(Clone, Debug, Default)]
pub struct Voice(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The greatest epoch that was said here.
    epoch: AtomicU64,
    /// The greatest epoch that was heard: others know it.
    heard: AtomicU64,
    is_stopping: AtomicBool,
    is_closed: AtomicBool,
    wake: Wake,
}

impl Voice {
    /// Tells the others that `epoch` has begun, if nobody did.
    pub fn say_epoch(&self, epoch: Epoch) {
        let is_news = self.0.epoch.fetch_max(epoch, Ordering::SeqCst) < epoch;
        if is_news && self.0.heard.load(Ordering::SeqCst) < epoch {
            self.0.wake.wake();
        }
    }

    /// Tells the others to stop.
    pub fn say_stop(&self) {
        if !self.0.is_stopping.swap(true, Ordering::SeqCst) {
            self.0.wake.wake();
        }
    }

    /// Says nothing more.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.wake.wake();
    }
}

/// Carries what `voice` says to the first worker of each other process, and what they say to `hear`. Every process has `workers`.
pub fn gossip(scope: Scope<'_, Epoch>, voice: Option<Voice>, workers: usize, hear: impl Fn(Word) + 'static) {
    let (index, peers) = (scope.index(), scope.peers());
    let others: Vec<u64> =
        (0..peers).step_by(workers).filter(|other| *other != index).map(|other| other as u64).collect();
    let heard_by = voice.clone();
    let words =
        timely_source::<_, CapacityContainerBuilder<Vec<(u64, Word)>>, _, _>(scope, "Say", move |capability, info| {
            let wake = scope.worker().sync_activator_for(info.address.to_vec());
            if let Some(voice) = &voice {
                voice.0.wake.set(wake);
            }
            let mut held = voice.is_some().then_some(capability);
            let (mut told, mut has_told_stop) = (0, false);
            move |output| {
                let (Some(Voice(shared)), Some(capability)) = (&voice, &held) else { return };
                let is_closed = shared.is_closed.load(Ordering::SeqCst);
                let epoch = shared.epoch.load(Ordering::SeqCst);
                let mut session = output.session(capability);
                if epoch > told.max(shared.heard.load(Ordering::SeqCst)) {
                    others.iter().for_each(|other| session.give((*other, Word::Epoch(epoch))));
                    told = epoch;
                }
                if shared.is_stopping.load(Ordering::SeqCst) && !has_told_stop {
                    others.iter().for_each(|other| session.give((*other, Word::Stop)));
                    has_told_stop = true;
                }
                drop(session);
                if is_closed {
                    held = None;
                }
            }
        });
    words.sink(Exchange::new(|(other, _): &(u64, Word)| *other), "Hear", move |(input, _)| {
        input.for_each(|_, words| {
            for (_, word) in words.drain(..) {
                if let (Word::Epoch(epoch), Some(Voice(shared))) = (word, &heard_by) {
                    shared.heard.fetch_max(epoch, Ordering::SeqCst);
                }
                hear(word);
            }
        });
    });
}
