//! Money that may be spent, and that it is not exceeded.
//!
//! Before an attempt is made, what it may cost at worst is set aside, on the disk; afterwards that is replaced by what it did cost. An
//! attempt for which nothing is left is not made.

use crate::client::{Purse, Reservation};
use crate::prices::{NanoUsd, Prices};
use crate::{Store, TeacherError, Usage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::{OffsetDateTime, macros::format_description};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What may be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// By this process.
    pub run: Option<NanoUsd>,
    /// In a day, UTC, by all processes on the store.
    pub day: Option<NanoUsd>,
}

/// The budget of a process.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    prices: Prices,
    store: Arc<Store>,
    /// By teacher: spent and set aside by this process.
    run: Mutex<BTreeMap<String, (NanoUsd, NanoUsd)>>,
    /// Is told of every attempt that was settled.
    settled: Notify,
}

impl Budget {
    /// A budget whose spend is kept in `store`.
    pub fn new(limits: Limits, prices: Prices, store: Arc<Store>) -> Budget {
        Budget { limits, prices, store, run: Mutex::default(), settled: Notify::new() }
    }

    /// The purse of one teacher.
    ///
    /// # Errors
    /// When there is a limit, and no price for `model`: then nobody can say when it is reached.
    pub fn purse(self: &Arc<Budget>, teacher: &str, model: Option<&str>) -> Result<TeacherPurse, TeacherError> {
        let purse =
            TeacherPurse { budget: Arc::clone(self), teacher: teacher.to_owned(), model: model.map(ToOwned::to_owned) };
        let has_limit = self.limits != Limits::default();
        if has_limit && purse.cost(&today(), &Usage::default()).is_none() {
            return Err(TeacherError::Config {
                object: format!("the teacher {teacher}"),
                reason: "has no price for its model, so that no budget can hold; add a row to a price file of your own"
                    .to_owned(),
            });
        }
        Ok(purse)
    }

    /// What a teacher has spent in this process, and set aside.
    pub fn spent(&self, teacher: &str) -> NanoUsd {
        self.lock().get(teacher).map_or(0, |(spent, open)| spent.saturating_add(*open))
    }

    /// What all teachers have spent today, with this store.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn spent_today(&self) -> Result<NanoUsd, TeacherError> {
        self.store.spent_on(&today()).map(|(spent, open)| spent.saturating_add(open))
    }

    /// The prices.
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (NanoUsd, NanoUsd)>> {
        // Each change is one assignment, so what is there is whole.
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one teacher pays from.
#[derive(Clone, Debug)]
pub struct TeacherPurse {
    budget: Arc<Budget>,
    teacher: String,
    /// Absent for one that costs nothing.
    model: Option<String>,
}

impl TeacherPurse {
    /// What `usage` costs; nothing where there is no price.
    pub fn cost(&self, day: &str, usage: &Usage) -> Option<NanoUsd> {
        self.model.as_ref().map_or(Some(0), |model| self.budget.prices.cost(model, day, usage))
    }

    /// Waits until some attempt is settled after this call.
    pub(crate) fn settled(&self) -> Notified<'_> {
        self.budget.settled.notified()
    }
}

impl Purse for TeacherPurse {
    fn reserve(&self, worst: &Usage) -> Result<Reservation, TeacherError> {
        let (day, budget) = (today(), &self.budget);
        let cost = self.cost(&day, worst).unwrap_or(0);
        let mut run = budget.lock();
        let sum = |sum: (NanoUsd, NanoUsd), one: &(NanoUsd, NanoUsd)| {
            (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1))
        };
        let of_run = run.values().fold((0, 0), sum);
        let limits =
            [(budget.limits.run, of_run, "for a run"), (budget.limits.day, budget.store.spent_on(&day)?, "for a day")];
        for (limit, (spent, open), period) in limits {
            let Some(limit) = limit else { continue };
            if spent.saturating_add(open).saturating_add(cost) > limit {
                let usd = |nano: NanoUsd| nano as f64 / 1e9;
                return Err(TeacherError::Budget {
                    teacher: self.teacher.clone(),
                    budget_usd: usd(limit),
                    period,
                    left_usd: usd(limit.saturating_sub(spent)),
                    is_spent: spent.saturating_add(cost) > limit,
                });
            }
        }
        budget.store.open_spend(&day, &self.teacher, cost)?;
        let open = &mut run.entry(self.teacher.clone()).or_default().1;
        *open = open.saturating_add(cost);
        Ok(Reservation { worst: *worst, nano_usd: cost, day })
    }

    fn settle(&self, reserved: &Reservation, real: &Usage) {
        let Reservation { nano_usd: worst, day, .. } = reserved;
        let real = self.cost(day, real).unwrap_or(0);
        let mut run = self.budget.lock();
        let entry = run.entry(self.teacher.clone()).or_default();
        *entry = (entry.0.saturating_add(real), entry.1.saturating_sub(*worst));
        // What is not settled stays set aside, so a failure here spends too little and never too much.
        if let Err(error) = self.budget.store.close_spend(day, &self.teacher, (*worst, real)) {
            tracing::warn!("what a request cost is not kept, its worst case is: {error}");
        }
        drop(run);
        self.budget.settled.notify_waiters();
    }
}

/// The day in UTC, `YYYY-MM-DD`.
pub fn today() -> String {
    let format = format_description!("[year]-[month]-[day]");
    OffsetDateTime::now_utc().format(&format).expect("every field is there")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(tokens_out: u64) -> Usage {
        Usage { requests: 1, tokens_in: 0, tokens_cached: 0, tokens_out }
    }

    /// A token out of gpt-4o costs 10,000 nano-dollars.
    const MODEL: &str = "gpt-4o-2024-08-06";

    fn budget(folder: &tempfile::TempDir, limits: Limits) -> Arc<Budget> {
        let store = Store::open(&folder.path().join("labels.redb")).unwrap();
        Arc::new(Budget::new(limits, Prices::load(None).unwrap(), Arc::new(store)))
    }

    #[test]
    fn what_may_cost_more_than_is_left_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { run: Some(100_000), day: Some(150_000) };
        let first = budget(&folder, limits);
        let (gpt, other) = (first.purse("gpt", Some(MODEL)).unwrap(), first.purse("other", Some(MODEL)).unwrap());
        let six = gpt.reserve(&usage(6)).unwrap();
        // Some is set aside, and may come back.
        let said = other.reserve(&usage(5)).unwrap_err();
        assert!(matches!(said, TeacherError::Budget { is_spent: false, .. }), "{said:?}");
        let four = other.reserve(&usage(4)).unwrap();
        gpt.settle(&six, &usage(2));
        other.settle(&four, &usage(4));
        let said = gpt.reserve(&usage(5)).unwrap_err();
        assert!(matches!(said, TeacherError::Budget { is_spent: true, .. }), "{said:?}");
        let said = said.to_string();
        assert!(said.contains("the budget of 0.0001 USD for a run has 0.0000 USD left"), "{said}");
        gpt.reserve(&usage(4)).unwrap();
        // An attempt is booked on the day on which it began.
        let yesterday = Reservation { day: "2025-01-01".to_owned(), ..four };
        first.store.open_spend("2025-01-01", "gpt", yesterday.nano_usd).unwrap();
        gpt.settle(&yesterday, &usage(1));
        assert_eq!(first.store.spent_on("2025-01-01").unwrap(), (10_000, 0));
        drop((gpt, other, first));

        // The request that was under way counts as spent: 20 + 40 + 40 thousand of the day.
        let second = budget(&folder, limits);
        let gpt = second.purse("gpt", Some(MODEL)).unwrap();
        let said = gpt.reserve(&usage(6)).unwrap_err().to_string();
        assert!(said.contains("for a day"), "{said}");
        gpt.reserve(&usage(5)).unwrap();
    }

    #[test]
    fn a_model_without_a_price_has_no_budget() {
        let folder = tempfile::tempdir().unwrap();
        let limited = budget(&folder, Limits { run: Some(1), day: None });
        let said = limited.purse("mine", Some("unknown")).unwrap_err().to_string();
        assert!(said.contains("the teacher mine has no price"), "{said}");
        limited.purse("rxnorm", None).unwrap().reserve(&usage(1_000_000)).unwrap();
        drop(limited);
        let free = budget(&folder, Limits::default());
        free.purse("mine", Some("unknown")).unwrap().reserve(&usage(1)).unwrap();
    }
}
