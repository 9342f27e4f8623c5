//! When a batch enters the dataflow, for whoever sent it.

use crate::Epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The epoch in which a batch enters. It is not always that of the batch: one that is held back enters later, and what it was stamped
/// with may be committed before.
#[derive(Clone, Debug)]
pub struct Entry(Arc<AtomicU64>);

/// No batch enters in it: it is the end of all input.
const NOT_ENTERED: Epoch = Epoch::MAX;

impl Default for Entry {
    fn default() -> Entry {
        Entry(Arc::new(AtomicU64::new(NOT_ENTERED)))
    }
}

impl Entry {
    /// The epoch; nothing before the batch has entered.
    pub fn epoch(&self) -> Option<Epoch> {
        Some(self.0.load(Ordering::SeqCst)).filter(|epoch| *epoch != NOT_ENTERED)
    }

    /// Says that the batch enters now.
    pub(crate) fn tell(&self, epoch: Epoch) {
        self.0.store(epoch, Ordering::SeqCst);
    }
}
