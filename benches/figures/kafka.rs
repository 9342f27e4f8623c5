//! The engine on Apache Kafka, with a student that costs nothing: transactions in the place of files.
//!
//!     scripts/kafka start
//!     cargo run --release --example figures -- kafka [NOTES]
//!
//! A backlog of notes and references is read to its end, with 1 and 2 workers; the same backlog on a folder beside it, in the same run.
//! `benches/kafka.py` has the whole program beside its peers.
//!
//!     cargo run --release --example figures -- restart [NOTES [WORKERS]]
//!
//! A restart that restores the state of so many notes, each with a reference, and commits one more.

use crate::engine::{Silent, fill, parts, with_partitions};
use anyhow::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use stillroom::engine::{EngineConfig, Topics, run};
use stillroom_connectors::{Appended, Cleanup, EmbeddedLog, KafkaLog, KafkaSettings, Log, TopicPlan};
use stillroom_schemas::Totals;

const PARTITIONS: u32 = 4;

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let notes = numbers.first().copied().unwrap_or(10_000);
    for workers in [1, 2, 1, 2] {
        let (kafka, config) = site(workers)?;
        measure("Kafka", &kafka, &config, notes)?;
        let folder = tempfile::tempdir()?;
        measure("folder", &EmbeddedLog::open(folder.path())?, &config, notes)?;
    }
    Ok(())
}

/// How often a restart is measured.
const RESTARTS: u64 = 3;

pub(crate) fn restart(numbers: &[u64]) -> Result<()> {
    let at = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let workers = at(1, 2) as usize;
    for notes in [1, at(0, 100_000)] {
        let (kafka, config) = site(workers)?;
        measure("Kafka", &kafka, &config, notes)?;
        for note in 0..RESTARTS {
            let id = format!("restart-{note}");
            let value = format!(r#"{{"note_id":"{id}","text":"fever"}}"#);
            let record = Appended { key: Some(id.into()), value: Some(value.into()), ..Appended::default() };
            kafka.append(&config.topics.notes, &[record])?;
            let began = Instant::now();
            let totals = read_to_end(&kafka, &config)?;
            let seconds = began.elapsed().as_secs_f64();
            println!("restart, {workers} workers: {} notes were read before, {seconds:.2} s", totals.notes - 1);
        }
    }
    Ok(())
}

/// A pipeline of its own on the broker.
fn site(workers: usize) -> Result<(KafkaLog, EngineConfig)> {
    let servers = std::env::var("STILLROOM_TEST_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let config = EngineConfig { workers, topics: topics()?, ..EngineConfig::default() };
    let kafka = KafkaLog::new(KafkaSettings {
        properties: BTreeMap::from([("bootstrap.servers".to_owned(), servers)]),
        transactional_id: config.topics.progress.clone(),
        group_id: config.topics.progress.clone(),
        progress_topic: config.topics.progress.clone(),
        replication: -1,
        create_topics: true,
        transaction_timeout_ms: 60_000,
        ..KafkaSettings::default()
    });
    Ok((kafka, config))
}

/// Names of this run alone.
fn topics() -> Result<Topics> {
    let run = format!("bench{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis());
    let name = |topic: &str| format!("{run}.{topic}");
    Ok(Topics {
        notes: name("notes"),
        references: name("references"),
        labels: name("labels"),
        models: name("models"),
        extractions: name("extractions"),
        quality: name("quality"),
        retraining: name("retraining"),
        state: name("state"),
        dead_letters: name("dead_letters"),
        shadow: name("shadow"),
        cohorts: name("cohorts"),
        memberships: name("memberships"),
        cohort_events: name("cohort_events"),
        progress: name("progress"),
    })
}

fn measure(place: &str, log: &dyn Log, config: &EngineConfig, notes: u64) -> Result<()> {
    let topics = &config.topics;
    let plan = |name: &String, partitions| TopicPlan {
        name: name.clone(),
        partitions,
        cleanup: Cleanup::Compact,
        record_bytes_max: None,
    };
    let mut plans: Vec<TopicPlan> = with_partitions(topics).map(|name| plan(name, PARTITIONS)).into();
    plans.extend([&topics.quality, &topics.progress].map(|name| plan(name, 1)));
    log.prepare(&plans)?;
    fill(log, config, notes)?;
    let parts = parts(log, config, |log| log.bounded(), Silent)?;
    let began = Instant::now();
    let totals = run(config, parts, Arc::new(AtomicBool::new(false)))?.totals;
    println!(
        "{place}, {} workers: {} notes, {:.0} notes/s",
        config.workers,
        totals.notes,
        totals.notes as f64 / began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Takes the log, restores what is known, and commits what is there.
fn read_to_end(log: &dyn Log, config: &EngineConfig) -> Result<Totals> {
    let parts = parts(log, config, |log| log.bounded(), Silent)?;
    Ok(run(config, parts, Arc::new(AtomicBool::new(false)))?.totals)
}
