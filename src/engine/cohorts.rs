//! What cohorts depend on in a run.

use crate::engine::config::EngineConfig;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use stillroom_dataflow::{CohortTally, CohortTopics, CohortsConfig, Epoch, Hierarchy, NoHierarchy, Today};
use stillroom_schemas::Day;

/// What a run needs to keep cohorts.
#[derive(Clone)]
pub struct CohortParts {
    /// What is below a concept, by the site's vocabularies.
    pub hierarchy: Arc<dyn Hierarchy>,
    /// Counts notes that cannot count.
    pub tally: Arc<CohortTally>,
}

impl Default for CohortParts {
    /// A concept is itself.
    fn default() -> CohortParts {
        CohortParts { hierarchy: Arc::new(NoHierarchy), tally: Arc::default() }
    }
}

impl CohortParts {
    /// The topics, and what else there is to know, if cohorts are kept; `live` is the first epoch that is not restored.
    pub(super) fn config(self, config: &EngineConfig, live: Epoch) -> Option<(CohortTopics, CohortsConfig)> {
        let CohortParts { hierarchy, tally } = self;
        let topics = CohortTopics {
            cohorts: config.topics.cohorts.as_str().into(),
            memberships: config.topics.memberships.as_str().into(),
        };
        let trusts_dates = config.cohorts_trust_dates;
        let today: Today = Arc::new(move |_| today(trusts_dates));
        config.cohorts.then_some((topics, CohortsConfig { hierarchy, today, live, tally }))
    }
}

/// 2300-01-01: no date is shifted further, and the days up to a wrong one, of which each is a row, are no burden.
const TRUSTED_UNTIL: u32 = 120_530;

/// The last day that a note's date may move the clock to: today, UTC, unless dates of the future are trusted. Epochs may run ahead of the wall
/// clock, by days where a backlog was read, and cannot tell.
pub(crate) fn today(trusts_dates: bool) -> Day {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let today = Day::from_number(u32::try_from(seconds / 86_400).unwrap_or(u32::MAX));
    if trusts_dates { today.max(Day::from_number(TRUSTED_UNTIL)) } else { today }
}
