//! How other threads wake an operator.

use std::sync::OnceLock;
use timely::scheduling::SyncActivator;

/// Wakes an operator from any thread, once its worker has built it. A wake-up that comes before is not missed: timely schedules every
/// new operator once.
#[derive(Debug, Default)]
pub(crate) struct Wake(OnceLock<SyncActivator>);

impl Wake {
    /// To be called on the worker's thread, which the activator remembers, and once.
    pub(crate) fn set(&self, activator: SyncActivator) {
        let _first = self.0.set(activator);
    }

    /// The activation fails only when the worker is gone, and then nobody is left to wake.
    pub(crate) fn wake(&self) {
        if let Some(activator) = self.0.get() {
            let _gone = activator.activate();
        }
    }
}
