//! Notes and entities in the Confluent wire format, against a schema registry.
//!
//! A value on the wire is a zero byte, the id of its schema as four bytes with the greatest first, and the datum in Avro or JSON:
//! <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>.
//!
//! ```text
//!           ids of the schemas                    JSON                             JSON
//! log ──► RegistrySource ──► records ──► RegistryFormat ──► dataflow ──► outputs ──► RegistryCommitter ──► log
//!                │                              │                                           │
//!                └────────── Registry ◄─────────┘                       one schema a topic, found at the start
//! ```
//!
//! - [`Registry`] is the client: a few calls of the registry's REST API, and a cache of schemas by id.
//! - [`RegistrySource`] holds records back until the schemas that they name are in the cache.
//! - [`RegistryFormat`] turns framed values into the JSON that `Decode` reads, from the cache alone.
//! - [`RegistryCommitter`] frames what goes out.
//!
//! ```no_run
//! use std::sync::Arc;
//! use stillroom_registry::{OutputTopic, Registry, RegistryCommitter, RegistryConfig, RegistryFormat, RegistrySource};
//! # fn wrap(
//! #     source: Box<dyn stillroom_connectors::Source>,
//! #     committer: Box<dyn stillroom_connectors::Committer>,
//! # ) -> Result<(), stillroom_registry::RegistryError> {
//! let config = RegistryConfig { url: "http://localhost:8081".to_owned(), ..RegistryConfig::default() };
//! let registry = Arc::new(Registry::new(&config, config.read_password()?)?);
//! let topics = ["clinical.notes.v1", "clinical.references.v1"];
//! let format = Arc::new(RegistryFormat::new(Arc::clone(&registry), topics, config.accept_plain));
//! let source = RegistrySource::new(source, Arc::clone(&format));
//! let outputs = [OutputTopic::extractions("clinical.extractions.v1"), OutputTopic::quality("clinical.quality.v1")];
//! let committer = RegistryCommitter::open(committer, &registry, &config, &outputs)?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod committer;
mod config;
mod datum;
mod encoder;
mod error;
mod format;
mod frame;
mod http;
mod registry;
mod shape;
mod source;

pub use committer::RegistryCommitter;
pub use config::{Format, RegistryConfig};
pub use encoder::OutputTopic;
pub use error::RegistryError;
pub use format::RegistryFormat;
pub use registry::{Registered, Registry, Schema, SchemaKind};
pub use source::RegistrySource;
