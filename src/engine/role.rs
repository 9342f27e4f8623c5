//! What a process does beside reading.

use crate::engine::committer::Observer;
use crate::engine::config::EngineConfig;
use crate::engine::restore::published_quality;
use anyhow::Result;
use std::collections::BTreeMap;
use stillroom_connectors::{Committer, Source};
use stillroom_dataflow::WireFormat;
use stillroom_schemas::{Progress, Quality, QualityKey};

/// What a process does beside reading.
pub enum Role {
    /// The only process, or the first of a cluster: it commits. The committer is opened before the others are met, so that none
    /// reads a progress that another engine may still move.
    Commits {
        /// Makes epochs durable.
        committer: Box<dyn Committer>,
        /// Is told of every commit.
        observer: Box<dyn Observer>,
    },
    /// Another process of a cluster.
    Follows {
        /// What is committed: asked for once the first process has the log, and at the end.
        progress: Box<dyn Fn() -> Result<Progress>>,
    },
}

impl Role {
    /// The quality that was published last, if this process commits.
    pub(super) fn published(
        &self,
        history: &mut dyn Source,
        config: &EngineConfig,
        wire: &dyn WireFormat,
    ) -> Result<BTreeMap<QualityKey, Quality>> {
        match self {
            Role::Commits { committer, .. } => published_quality(history, &config.topics, wire, committer.progress()),
            Role::Follows { .. } => Ok(BTreeMap::new()),
        }
    }

    /// What is committed; asked for once the first process has the log.
    pub(super) fn start(&self) -> Result<Progress> {
        match self {
            Role::Commits { committer, .. } => Ok(committer.progress().clone()),
            Role::Follows { progress } => progress(),
        }
    }
}
