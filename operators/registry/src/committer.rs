//! Frames what goes out.

use crate::encoder::{Encoder, OutputTopic};
use crate::{Registry, RegistryConfig, RegistryError};
use std::collections::BTreeMap;
use stillroom_connectors::{Commit, Committer, LogError};
use stillroom_schemas::Progress;

/// A committer whose outputs to some topics are framed values. Tombstones and all other topics pass as they are.
///
/// The schema of a topic is found once, at the start, under the subject `<topic>-value`, as Confluent's `TopicNameStrategy` has it.
/// A record that its schema cannot hold fails the commit, and nothing of the commit happens.
pub struct RegistryCommitter {
    inner: Box<dyn Committer>,
    /// By topic.
    encoders: BTreeMap<String, Encoder>,
}

impl RegistryCommitter {
    /// Wraps `inner`, with the format and the rights that `config` gives. For each topic it takes our schema if it is registered, or
    /// else registers it if `auto_register` is set, or else takes the latest one if our records fit it. They fit an Avro schema as
    /// schema resolution has it: a field of ours that the schema lacks is then left out.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or when there is no schema that fits.
    pub fn open(
        inner: Box<dyn Committer>,
        registry: &Registry,
        config: &RegistryConfig,
        topics: &[OutputTopic],
    ) -> Result<RegistryCommitter, RegistryError> {
        let encoders = topics.iter().map(|topic| Ok((topic.topic.clone(), Encoder::open(registry, config, topic)?)));
        Ok(RegistryCommitter { inner, encoders: encoders.collect::<Result<_, RegistryError>>()? })
    }
}

impl Committer for RegistryCommitter {
    fn progress(&self) -> &Progress {
        self.inner.progress()
    }

    fn commit(&mut self, mut commit: Commit) -> Result<(), LogError> {
        for output in &mut commit.outputs {
            if let (Some(encoder), Some(json)) = (self.encoders.get(&*output.topic), &mut output.value) {
                *json = encoder
                    .encode(json)
                    .map_err(|error| LogError::Wire { topic: output.topic.to_string(), source: error.into() })?;
            }
        }
        self.inner.commit(commit)
    }
}
