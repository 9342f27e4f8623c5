//! What the driver tells while it follows the log, each a line of JSON.

use crate::retraining::run::Report;
use crate::retraining::watch::RolledBack;
use serde::Serialize;

/// Something that came to pass.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Told<'a> {
    /// A run ended.
    Run(&'a Report),
    /// A student that was promoted did worse than the one before.
    RolledBack(&'a RolledBack),
}

impl Told<'_> {
    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Told::Run(report) => report.lines(),
            Told::RolledBack(RolledBack { rolled_back, serving, .. }) => {
                vec![format!("{} serves again in the place of {}, which is rolled back", serving.0, rolled_back.0)]
            }
        }
    }
}
