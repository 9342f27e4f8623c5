//! How several processes run one topology.

use crate::refused::{Refused, in_range, not_empty};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How several processes run one topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterConfig {
    /// A file with the key that the processes share; whoever does not hold it is not let in. Default: none. Example:
    /// `key_file = "/run/secrets/stillroom"`.
    pub(crate) key_file: Option<PathBuf>,
    /// Milliseconds that a process waits at its start for the others, 1000 to 3600000. Default 60000.
    pub(crate) start_ms_max: u64,
}

impl Default for ClusterConfig {
    fn default() -> ClusterConfig {
        ClusterConfig { key_file: None, start_ms_max: 60_000 }
    }
}

impl ClusterConfig {
    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let no_key = self.key_file.as_ref().is_some_and(|file| file.as_os_str().is_empty());
        not_empty("cluster.key_file", no_key, "name a file, or remove it")?;
        in_range("cluster.start_ms_max", self.start_ms_max, 1_000..=3_600_000)
    }
}
