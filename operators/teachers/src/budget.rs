//! Money that may be spent, and that it is not exceeded.
//!
//! Before an attempt is made, what it may cost at worst is set aside, on the disk; afterwards that is replaced by what it did cost. An
//! attempt for which nothing is left is not made.

use crate::client::Purse;
use crate::prices::{NanoUsd, Prices};
use crate::{Store, TeacherError, Usage};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::{OffsetDateTime, macros::format_description};

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
}

impl Budget {
    /// A budget whose spend is kept in `store`.
    pub fn new(limits: Limits, prices: Prices, store: Arc<Store>) -> Budget {
        Budget { limits, prices, store, run: Mutex::default() }
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
        self.lock().get(teacher).map_or(0, |(spent, open)| spent + open)
    }

    /// What all teachers have spent today, with this store.
    ///
    /// # Errors
    /// When the store is damaged.
    pub fn spent_today(&self) -> Result<NanoUsd, TeacherError> {
        self.store.spent_on(&today())
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
}

impl Purse for TeacherPurse {
    fn reserve(&self, worst: &Usage) -> Result<(), TeacherError> {
        let (day, budget) = (today(), &self.budget);
        let cost = self.cost(&day, worst).unwrap_or(0);
        let mut run = budget.lock();
        let of_run: NanoUsd = run.values().map(|(spent, open)| spent + open).sum();
        let limits =
            [(budget.limits.run, of_run, "for a run"), (budget.limits.day, budget.store.spent_on(&day)?, "for a day")];
        for (limit, taken, period) in limits {
            let Some(limit) = limit else { continue };
            if taken + cost > limit {
                let usd = |nano: NanoUsd| nano as f64 / 1e9;
                return Err(TeacherError::Budget {
                    teacher: self.teacher.clone(),
                    budget_usd: usd(limit),
                    period,
                    left_usd: usd(limit.saturating_sub(taken)),
                });
            }
        }
        budget.store.open_spend(&day, &self.teacher, cost)?;
        run.entry(self.teacher.clone()).or_default().1 += cost;
        Ok(())
    }

    fn settle(&self, worst: &Usage, real: &Usage) {
        let day = today();
        let [worst, real] = [worst, real].map(|usage| self.cost(&day, usage).unwrap_or(0));
        let mut run = self.budget.lock();
        let entry = run.entry(self.teacher.clone()).or_default();
        *entry = (entry.0 + real, entry.1.saturating_sub(worst));
        // What is not settled stays set aside, so a failure here spends too little and never too much.
        if let Err(error) = self.budget.store.close_spend(&day, &self.teacher, (worst, real)) {
            tracing::warn!("what a request cost is not kept, its worst case is: {error}");
        }
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
        gpt.reserve(&usage(6)).unwrap();
        let said = other.reserve(&usage(5)).unwrap_err().to_string();
        assert!(said.contains("the budget of 0.0001 USD for a run has 0.0000 USD left"), "{said}");
        other.reserve(&usage(4)).unwrap();
        gpt.settle(&usage(6), &usage(2));
        other.settle(&usage(4), &usage(4));
        gpt.reserve(&usage(4)).unwrap();
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
