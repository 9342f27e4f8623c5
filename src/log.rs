//! The log that the configuration names, and its topics.

use crate::config::Config;
use crate::engine::Topics;
use anyhow::{Error, Result, ensure};
use std::sync::Arc;
use stillroom_connectors::{Cleanup, EmbeddedLog, KafkaLog, KafkaSettings, Log, LogError, TopicPlan};
use stillroom_schemas::Progress;

/// What Kafka takes in a topic without a configuration of its own.
const KAFKA_RECORD_BYTES: usize = 1_048_588;

/// What headers and the frame of a batch add to a record at most.
const FRAME_BYTES: usize = 64 << 10;

/// Kafka when a broker is named, else the folder.
///
/// # Errors
/// When a secret's file cannot be read, or the folder cannot be created.
pub(crate) fn open_log(config: &Config) -> Result<Arc<dyn Log>> {
    if config.kafka.uses_broker() {
        return Ok(Arc::new(open_kafka(config)?));
    }
    Ok(Arc::new(EmbeddedLog::open(&config.log.dir)?))
}

/// The same for who reads what was written: a folder that is not there is not made.
///
/// # Errors
/// Also when there is no such folder.
pub(crate) fn open_written_log(config: &Config) -> Result<Arc<dyn Log>> {
    let dir = &config.log.dir;
    ensure!(
        config.kafka.uses_broker() || dir.exists(),
        "there is no log in {}; name its folder in [log] dir, or a broker in [kafka.properties]",
        dir.display()
    );
    open_log(config)
}

/// # Errors
/// When a secret's file cannot be read.
pub(crate) fn open_kafka(config: &Config) -> Result<KafkaLog> {
    let kafka = &config.kafka;
    Ok(KafkaLog::new(KafkaSettings {
        properties: kafka.resolved()?,
        transactional_id: kafka.transactional_id.clone(),
        group_id: kafka.group_id.clone(),
        delivery: kafka.delivery,
        progress_topic: config.engine.topics.progress.clone(),
        replication: kafka.replication,
        create_topics: kafka.create_topics,
        transaction_timeout_ms: kafka.transaction_timeout_ms,
    }))
}

/// Whether what failed did so as the log is away, which may pass.
pub(crate) fn is_outage(error: &Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<LogError>()).any(LogError::is_outage)
}

/// The topics that an engine needs. What is made of a record goes to the partition of the same number, so an output needs as many
/// partitions as its input.
///
/// # Errors
/// When the log cannot be reached.
pub(crate) fn plan_topics(config: &Config, log: &dyn Log) -> Result<Vec<TopicPlan>> {
    let (topics, engine) = (&config.engine.topics, &config.engine);
    let of_notes = log.partitions(&topics.notes)?.unwrap_or(config.log.partitions);
    let of_references = log.partitions(&topics.references)?.unwrap_or(of_notes);
    let of_labels = log.partitions(&topics.labels)?.unwrap_or(of_notes);
    let of_letters = of_notes.max(of_references).max(of_labels);
    // A letter is the original record with headers, and the original may be as large as its topic takes.
    let original = log.record_bytes_max(&topics.notes)?.unwrap_or(KAFKA_RECORD_BYTES).max(engine.note_bytes_max);
    let large = |bytes: usize| Some(bytes + FRAME_BYTES).filter(|bytes| *bytes > KAFKA_RECORD_BYTES);
    let plan = |name: &String, partitions, cleanup, record_bytes_max| TopicPlan {
        name: name.clone(),
        partitions,
        cleanup,
        record_bytes_max,
    };
    let written = large(engine.record_bytes_max);
    let mut plans = vec![
        plan(&topics.notes, of_notes, Cleanup::Delete, large(engine.note_bytes_max)),
        // Read again by every restart, up to where it was: compaction would take what the last published quality counts.
        plan(&topics.references, of_references, Cleanup::Keep, None),
        plan(&topics.labels, of_labels, Cleanup::Keep, None),
        plan(&topics.models, 1, Cleanup::Keep, None),
        plan(&topics.extractions, of_notes, Cleanup::Compact, written),
        plan(&topics.state, of_notes, Cleanup::Compact, written),
        plan(&topics.dead_letters, of_letters, Cleanup::Delete, large(original)),
        plan(&topics.quality, 1, Cleanup::Compact, None),
        plan(&topics.retraining, 1, Cleanup::Compact, None),
    ];
    if config.retraining.shadow_notes > 0 {
        plans.push(plan(&topics.shadow, 1, Cleanup::Compact, None));
    }
    if engine.cohorts {
        plans.push(plan(&topics.cohorts, 1, Cleanup::Compact, None));
        plans.push(plan(&topics.cohort_events, 1, Cleanup::Delete, None));
        plans.push(plan(&topics.memberships, 1, Cleanup::Compact, None));
    }
    if config.kafka.uses_broker() {
        plans.push(plan(&topics.progress, 1, Cleanup::Compact, None));
    }
    Ok(plans)
}

/// Sees to it that the topics are there.
///
/// # Errors
/// Names a topic that is missing or too small; those of retraining may be missing.
pub(crate) fn prepare_topics(config: &Config, log: &dyn Log) -> Result<()> {
    let topics = &config.engine.topics;
    let mut plans = plan_topics(config, log)?;
    if config.kafka.uses_broker() && !config.kafka.create_topics {
        // What notes become does not depend on them, so a cluster that lacks them has not to wait for them.
        plans.retain(|plan| plan.name != topics.retraining && plan.name != topics.shadow);
    }
    Ok(log.prepare(&plans)?)
}

/// What a process that follows reads on from: the progress, with where the outputs end.
///
/// # Errors
/// When the log cannot be reached.
pub(crate) fn first_progress(log: &dyn Log, topics: &Topics) -> Result<Progress> {
    let mut progress = log.progress()?;
    // What is restored, this process reads to its end.
    let partitions = log.partitions(&topics.state)?.unwrap_or(0);
    progress.outputs.insert(topics.state.clone(), (0..partitions).map(|partition| (partition, u64::MAX)).collect());
    Ok(progress)
}
