//! Who pays.

use crate::{NanoUsd, TeacherError, Usage};

/// What was set aside for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// What it may take at worst.
    pub worst: Usage,
    /// What that costs.
    pub nano_usd: NanoUsd,
    /// The day that it is booked on, UTC, `YYYY-MM-DD`: also of an attempt that ends on the next.
    pub day: String,
}

/// A budget, as seen by a client. It is asked before *every* attempt, so that no request leaves that could not be paid.
pub trait Purse: Send + Sync {
    /// Sets aside what an attempt costs at worst.
    ///
    /// # Errors
    /// There is not so much left. The request is then not sent.
    fn reserve(&self, worst: &Usage) -> Result<Reservation, TeacherError>;

    /// Replaces what was set aside by what the attempt cost: what the vendor says, or the worst where its answer was lost after
    /// the request had been sent, as it may be billed.
    fn settle(&self, reserved: &Reservation, real: &Usage);
}

/// Money that was set aside. Dropped without a word, as when whoever asked no longer waits, it counts as spent.
pub(super) struct Reserved<'a> {
    purse: &'a dyn Purse,
    reservation: Reservation,
    settled: bool,
}

impl<'a> Reserved<'a> {
    pub(super) fn new(purse: &'a dyn Purse, worst: Usage) -> Result<Reserved<'a>, TeacherError> {
        Ok(Reserved { purse, reservation: purse.reserve(&worst)?, settled: false })
    }

    pub(super) fn settle(mut self, real: &Usage) {
        self.settled = true;
        self.purse.settle(&self.reservation, real);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.purse.settle(&self.reservation, &self.reservation.worst);
        }
    }
}

/// A purse without a bottom, for the few tokens of a canary.
pub(super) struct Bottomless;

impl Purse for Bottomless {
    fn reserve(&self, worst: &Usage) -> Result<Reservation, TeacherError> {
        Ok(Reservation { worst: *worst, nano_usd: 0, day: String::new() })
    }

    fn settle(&self, _reserved: &Reservation, _real: &Usage) {}
}
