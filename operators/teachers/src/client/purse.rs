//! Who pays.

use crate::{TeacherError, Usage};

/// A budget, as seen by a client. It is asked before *every* attempt, so that no request leaves that could not be paid.
pub trait Purse: Send + Sync {
    /// Sets aside what an attempt costs at worst.
    ///
    /// # Errors
    /// There is not so much left. The request is then not sent.
    fn reserve(&self, worst: &Usage) -> Result<(), TeacherError>;

    /// Replaces what was set aside by what the attempt cost: what the vendor says, or `worst` where its answer was lost after the
    /// request had been sent, as it may be billed.
    fn settle(&self, worst: &Usage, real: &Usage);
}

/// Money that was set aside. Dropped without a word, as when whoever asked no longer waits, it counts as spent.
pub(super) struct Reserved<'a> {
    purse: &'a dyn Purse,
    worst: Usage,
    settled: bool,
}

impl<'a> Reserved<'a> {
    pub(super) fn new(purse: &'a dyn Purse, worst: Usage) -> Result<Reserved<'a>, TeacherError> {
        purse.reserve(&worst)?;
        Ok(Reserved { purse, worst, settled: false })
    }

    pub(super) fn settle(mut self, real: &Usage) {
        self.settled = true;
        self.purse.settle(&self.worst, real);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.purse.settle(&self.worst, &self.worst);
        }
    }
}

/// A purse without a bottom, for the few tokens of a canary.
pub(super) struct Bottomless;

impl Purse for Bottomless {
    fn reserve(&self, _worst: &Usage) -> Result<(), TeacherError> {
        Ok(())
    }

    fn settle(&self, _worst: &Usage, _real: &Usage) {}
}
