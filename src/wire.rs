//! How values stand on the wire: plain JSON, or the Confluent format against a schema registry.

use crate::config::Config;
use crate::offline::Unwritten;
use anyhow::Result;
use std::sync::Arc;
use stillroom_connectors::{Committer, Source};
use stillroom_dataflow::{PlainJson, WireFormat};
use stillroom_registry::{
    OutputTopic, Registry, RegistryCommitter, RegistryConfig, RegistryError, RegistryFormat, RegistrySource,
};

/// What the configuration says of the wire.
pub(crate) enum Wire {
    /// No registry.
    Plain,
    /// Values are framed, and their schemas are in a registry.
    Framed(Box<Framed>),
}

/// What framing needs.
pub(crate) struct Framed {
    config: RegistryConfig,
    registry: Arc<Registry>,
    format: Arc<RegistryFormat>,
    outputs: [OutputTopic; 2],
}

impl Wire {
    /// # Errors
    /// When the registry's password or certificates cannot be read.
    pub(crate) fn open(config: &Config) -> Result<Wire> {
        let (config, topics) = (&config.registry, &config.engine.topics);
        if config.url.is_empty() {
            return Ok(Wire::Plain);
        }
        let registry = Arc::new(Registry::new(config, config.read_password()?)?);
        // The last figures published are read back by a restart, and extractions by retraining. What is not named here is
        // stillroom's own, and plain.
        let read = [&topics.notes, &topics.references, &topics.quality, &topics.extractions];
        let format = Arc::new(RegistryFormat::new(Arc::clone(&registry), read, config.accept_plain));
        let outputs = [OutputTopic::extractions(&topics.extractions), OutputTopic::quality(&topics.quality)];
        Ok(Wire::Framed(Box::new(Framed { config: config.clone(), registry, format, outputs })))
    }

    pub(crate) fn format(&self) -> Arc<dyn WireFormat> {
        match self {
            Wire::Plain => Arc::new(PlainJson),
            Wire::Framed(framed) => Arc::clone(&framed.format) as Arc<dyn WireFormat>,
        }
    }

    /// A source that has the schemas of what it delivers.
    pub(crate) fn source(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        match self {
            Wire::Plain => source,
            Wire::Framed(framed) => Box::new(RegistrySource::new(source, Arc::clone(&framed.format))),
        }
    }

    /// A committer that frames what it is given.
    ///
    /// # Errors
    /// When the registry cannot be reached, or has no schema that fits.
    pub(crate) fn committer(&self, committer: Box<dyn Committer>) -> Result<Box<dyn Committer>> {
        match self {
            Wire::Plain => Ok(committer),
            Wire::Framed(framed) => {
                let Framed { config, registry, outputs, .. } = &**framed;
                Ok(Box::new(RegistryCommitter::open(committer, registry, config, outputs)?))
            }
        }
    }

    /// Whether the registry answers and has, or takes, a schema for each output.
    ///
    /// # Errors
    /// Names what is missing.
    pub(crate) fn check(&self) -> Result<String> {
        let Wire::Framed(framed) = self else { return Ok("none, values are plain JSON".to_owned()) };
        let Framed { config, registry, outputs, .. } = &**framed;
        // Looking changes nothing: what is to be registered, the first run registers.
        let looking = RegistryConfig { auto_register: false, ..config.clone() };
        match RegistryCommitter::open(Box::new(Unwritten::default()), registry, &looking, outputs) {
            Err(RegistryError::NoSchema { .. }) if config.auto_register => {
                Ok("answers; the first run registers".to_owned())
            }
            opened => opened.map(|_| "has a schema for each output".to_owned()).map_err(Into::into),
        }
    }
}
