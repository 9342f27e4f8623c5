//! How the threads of a run end together.

use anyhow::{Context, Result, anyhow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What the threads of a run tell each other.
#[derive(Default)]
pub(crate) struct Control {
    /// Set from outside: read no more, commit what was read, end.
    pub(super) stop: Arc<AtomicBool>,
    /// Set by the first error: end.
    is_raised: AtomicBool,
    /// Set once everything that earlier runs committed is in the dataflow.
    pub(super) is_restored: AtomicBool,
    /// Other processes must not take what this one drops for what it completed.
    pub(super) is_cluster: bool,
    error: Mutex<Option<anyhow::Error>>,
}

impl Control {
    pub(super) fn new(stop: Arc<AtomicBool>, is_cluster: bool) -> Control {
        Control { stop, is_cluster, ..Control::default() }
    }

    /// Ends the run with `error`, unless another came first.
    pub(super) fn raise(&self, error: anyhow::Error) {
        if self.is_cluster {
            eprintln!("error: {error:#}");
            std::process::exit(1);
        }
        self.lock().get_or_insert(error);
        self.is_raised.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::SeqCst)
    }

    /// Whether no more is to be read.
    pub(super) fn is_ending(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.is_raised()
    }

    pub(super) fn take_error(&self) -> Option<anyhow::Error> {
        self.lock().take()
    }

    /// An error that was put down whole is good whatever became of the thread.
    fn lock(&self) -> MutexGuard<'_, Option<anyhow::Error>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A named thread whose error ends the run.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    control: &Arc<Control>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Option<T>>> {
    let control_of_thread = Arc::clone(control);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let thread = thread.spawn(move || match work() {
        Ok(done) => Some(done),
        Err(error) => {
            control_of_thread.raise(error);
            None
        }
    });
    thread.inspect_err(|_| control.raise(anyhow!("cannot start the {name} thread"))).context("cannot start a thread")
}

pub(super) fn join<T>(thread: JoinHandle<Option<T>>, control: &Control) -> Option<T> {
    thread.join().unwrap_or_else(|_| {
        control.raise(anyhow!("a thread of the engine panicked; its message stands above"));
        None
    })
}
