//! The configuration, in layers: defaults, `stillroom.toml`, the environment, `--set`. A later layer overrides an earlier one,
//! setting by setting; a list is one setting.
//!
//! ```text
//! stillroom.toml          [engine] workers = 4                 ─┐
//! environment             STILLROOM__ENGINE__WORKERS=4         ─┼─ layers: settings with their origins ─ Loaded ─ show
//! command line            --set engine.workers=4               ─┘
//! ```

mod cluster;
mod kafka;
mod known;
mod layers;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use cluster::ClusterConfig;
pub(crate) use kafka::KafkaConfig;
pub(crate) use layers::Origin;

use crate::engine::EngineConfig;
use crate::interpreter::AssertionConfig;
use crate::refused::{Refused, in_range, not_empty};
use crate::retraining::RetrainingConfig;
use crate::runtime::StudentConfig;
use crate::teaching::TeachersConfig;
use anyhow::{Context, Result, anyhow};
use layers::Setting;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stillroom_concepts::ConceptsConfig;
use stillroom_hub::HubConfig;
use stillroom_models::ModelsConfig;
use stillroom_registry::RegistryConfig;

/// All of the configuration. Every field has a default; unknown ones are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where notes come from and entities go to when no broker is named.
    pub(crate) log: LogConfig,
    /// The broker, where notes come from and entities go to.
    pub(crate) kafka: KafkaConfig,
    /// Who reads the notes.
    pub(crate) student: StudentConfig,
    /// How the engine runs.
    pub(crate) engine: EngineConfig,
    /// The schema registry.
    pub(crate) registry: RegistryConfig,
    /// How several processes run one topology.
    pub(crate) cluster: ClusterConfig,
    /// Who labels notes.
    pub(crate) teachers: TeachersConfig,
    /// Where bases of students come from.
    pub(crate) hub: HubConfig,
    /// The registry of students.
    pub(crate) models: ModelsConfig,
    /// When and how students are trained while notes flow.
    pub(crate) retraining: RetrainingConfig,
    /// How it is told what notes mean by what they mention.
    pub(crate) assertion: AssertionConfig,
    /// The vocabularies that entities are looked up in.
    pub(crate) concepts: ConceptsConfig,
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

/// A configuration that can be used, and where each value came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub(crate) config: Config,
    /// Where its values came from.
    pub(crate) origins: Origins,
}

/// Where values came from, by the settings' full paths.
#[derive(Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where a setting's value came from.
    pub(crate) fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// An error of the configuration with the place to mend it: where the first of the settings that is no default was set.
    fn name(&self, refused: Refused) -> anyhow::Error {
        match refused.keys.iter().find_map(|key| self.0.get(key)) {
            Some(origin) => anyhow!("{origin}: {refused}"),
            None => refused.into(),
        }
    }
}

impl Config {
    /// The configuration from the defaults, a file if there is one, this process's environment, and `a.b=c` for each of `sets`.
    ///
    /// # Errors
    /// When the file cannot be read, a setting is unknown, or a value is of the wrong type or out of its range. Names the
    /// setting, where it came from and the remedy, and never a secret.
    pub(crate) fn load(path: Option<&Path>, sets: &[String]) -> Result<Loaded> {
        let mut settings = Vec::new();
        if let Some(path) = path {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}; name a file in TOML", path.display()))?;
            settings.extend(layers::of_file(path, &text)?);
        }
        settings.extend(layers::of_variables(layers::environment()?)?);
        settings.extend(layers::of_sets(sets)?);
        Config::of(settings)
    }

    /// The configuration from settings, a later one overriding an earlier one.
    fn of(settings: Vec<Setting>) -> Result<Loaded> {
        let last: BTreeMap<Vec<String>, Setting> =
            settings.into_iter().map(|setting| (setting.path.clone(), setting)).collect();
        let mut table = toml::Table::new();
        let mut origins = Origins::default();
        for (path, setting) in last {
            layers::put(&mut table, &path, setting.value);
            origins.0.insert(known::key(&path), setting.origin);
        }
        let mut config: Config = table.try_into().context("the layers of the configuration do not fit together")?;
        if config.student.is_on_gpu() {
            config.engine.default_to_gpu(|field| origins.0.contains_key(&format!("engine.{field}")));
        }
        match config.check() {
            Ok(()) => Ok(Loaded { config, origins }),
            Err(refused) => Err(origins.name(refused)),
        }
    }

    /// Refuses values outside their ranges, and those that exclude each other.
    ///
    /// # Errors
    /// Names the setting, its value and the remedy, and never a secret.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        not_empty("log.dir", self.log.dir.as_os_str().is_empty(), "name a folder")?;
        in_range("log.partitions", self.log.partitions.into(), 1..=1024)?;
        self.kafka.check()?;
        self.student.check()?;
        self.engine.check()?;
        self.registry.check().map_err(|error| in_section("registry", &error.to_string()))?;
        self.hub.check().map_err(|error| in_section("hub", &error.to_string()))?;
        self.models.check().map_err(|error| in_section("models", &error.to_string()))?;
        self.teachers.check()?;
        self.retraining.check()?;
        self.assertion.check()?;
        self.cluster.check()
    }
}

/// What another crate refuses of its section, in a message that begins with the name of the field.
fn in_section(section: &str, message: &str) -> Refused {
    match message.split_once(' ') {
        Some((field, reason)) => Refused::new(format!("{section}.{field}"), reason),
        None => Refused::new(section, message),
    }
}
