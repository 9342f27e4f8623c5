//! `stillroom.toml`.

use crate::engine::EngineConfig;
use crate::runtime::StudentConfig;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All of the configuration. Every field has a default; unknown ones are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where notes come from and entities go to.
    pub(crate) log: LogConfig,
    /// Who reads the notes.
    pub(crate) student: StudentConfig,
    /// How the engine runs.
    pub(crate) engine: EngineConfig,
}

/// The embedded log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// The log's folder; it is created if need be. Default `stillroom-log`.
    pub(crate) dir: PathBuf,
    /// Partitions of topics that do not exist yet, 1 to 1024. Default 4.
    pub(crate) partitions: u32,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { dir: "stillroom-log".into(), partitions: 4 }
    }
}

impl Config {
    /// Reads a file, or gives the defaults when there is none.
    ///
    /// # Errors
    /// When the file cannot be read, holds an unknown field, or holds a value out of its range.
    pub(crate) fn load(path: Option<&Path>) -> Result<Config> {
        let Some(path) = path else { return Ok(Config::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let config: Config = toml::from_str(&text).with_context(|| format!("{} cannot be used", path.display()))?;
        config.engine.check().with_context(|| format!("[engine] in {} cannot be used", path.display()))?;
        let partitions = config.log.partitions;
        ensure!((1..=1024).contains(&partitions), "partitions is {partitions}; choose a value from 1 to 1024");
        Ok(config)
    }
}
