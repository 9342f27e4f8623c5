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
        let today: Today = if config.cohorts_trust_dates { Arc::new(|_| Day::LAST) } else { Arc::new(|_| utc_today()) };
        config.cohorts.then_some((topics, CohortsConfig { hierarchy, today, live, tally }))
    }
}

/// The day that it is, UTC. Epochs may run ahead of the wall clock, by days where a backlog was read, and cannot tell.
pub(crate) fn utc_today() -> Day {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Day::from_number(u32::try_from(seconds / 86_400).unwrap_or(u32::MAX))
}
