//! How far a candidate reads along, and what ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How far a candidate reads along.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// Notes that both students are to have read.
    pub(crate) notes: usize,
    /// When it ends, whatever was read by then; never if absent. It is looked at between two looks at the log, and while they
    /// are waited for.
    pub(crate) until: Option<SystemTime>,
    /// When it ends in the midst of a look at the log, not before `until`; never if absent. What is under way then is the batch
    /// that is being read, or a request to the log.
    pub(crate) cut: Option<SystemTime>,
    /// Whether it ends with what is there, and does not wait for more.
    pub(crate) is_bounded: bool,
    /// From one look at the log to the next.
    pub(crate) look_every: Duration,
}

/// Whether it is so late.
pub(super) fn is_past(at: Option<SystemTime>) -> bool {
    at.is_some_and(|at| SystemTime::now() >= at)
}

/// What ends a look at the log before it is whole.
#[derive(Clone, Copy)]
pub(super) struct Halt<'a> {
    /// Somebody says so.
    pub(super) stop: &'a AtomicBool,
    /// See [`Course::cut`].
    pub(super) cut: Option<SystemTime>,
}

impl Halt<'_> {
    /// Whether it is to end now.
    pub(super) fn is_due(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || is_past(self.cut)
    }
}

/// Why a candidate reads along no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both students have read so many notes.
    Read,
    /// There are no more notes.
    Exhausted,
    /// The time is over.
    Late,
    /// It was told to.
    Stopped,
    /// Another student was activated, so that what served does so no more.
    Replaced,
}
