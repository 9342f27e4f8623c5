//! The engine's part of the configuration, and the bounds that follow from it.

use crate::refused::{Refused, in_range, not_empty};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use stillroom_dataflow::{DecodeConfig, WireFormat};
use stillroom_schemas::OffsetUnit;

/// Batches between a reader and its source at most.
pub(crate) const FEED_BATCHES_MAX: usize = 2;

/// Bytes of the topic of notes that are read at once for notes to be tagged again.
pub(crate) const RETAG_READ_BYTES: usize = 256 << 10;

/// How the engine runs. Every queue has a bound, and every bound a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Worker threads, 1 to 256. Worker `w` reads the partitions `p` with `p % workers == w`. Default 1. Example: `workers = 4`.
    pub workers: usize,
    /// Length of an epoch in milliseconds, 1 to 10000: what comes within one is committed together. Default 100.
    pub tick_ms: u64,
    /// Bytes of records after which an epoch ends before its time, 1 to 64 GiB: of a backlog, so much is committed as soon as it is
    /// tagged. Default 16 KiB, some notes, and 256 KiB with `student.device` on a GPU, so that the epochs that may be open hold
    /// its batches.
    pub epoch_bytes_max: usize,
    /// Epochs that may be read and not yet committed, 1 to 100000; a stop drains them. Default 16.
    pub epochs_open_max: usize,
    /// Bytes of records, over all workers, that may be read and not yet committed, 64 KiB to 64 GiB. Default 64 MiB.
    pub bytes_open_max: usize,
    /// Bytes of a note's record, 1 to 1 GiB; a larger one becomes a dead letter. While a note is cut into words it takes some
    /// hundred times its size. Default 1 MiB.
    pub note_bytes_max: usize,
    /// Bytes of a record that is written at most, 1 KiB to 1 GiB: a note whose entities come to more becomes a dead letter. Kafka
    /// refuses more than `max.message.bytes` of the topic. Default 1000000, which Kafka's own default takes.
    pub record_bytes_max: usize,
    /// Bytes of outputs after which a commit is not made larger, 1 to 64 GiB: with a backlog, so much is one transaction. Default
    /// 16 MiB.
    pub commit_bytes_max: usize,
    /// Milliseconds from one commit to the next at least, 0 to 60000: fewer and larger transactions for more latency. Default 0,
    /// as soon as an epoch is complete.
    pub commit_ms_min: u64,
    /// Word pieces that the student is given at once, 1 to 10 million; a longer window goes alone. A processor is fastest with a
    /// window at a time, a GPU needs tens of thousands. Default 512, and 32768 with `student.device` on a GPU.
    pub tokens_max: usize,
    /// Milliseconds that a window waits for others to fill its batch while the student is busy with earlier ones, 0 to 10000; a
    /// student that is idle is given what is there. Default 10.
    pub linger_ms_max: u64,
    /// Batches of one worker that may be with the student, 1 to 64: one is read while the next waits. Default 2, and 4 with
    /// `student.device` on a GPU: two are read at once there.
    pub batches_open_max: usize,
    /// Milliseconds from when an activation is read to when its student tags, 0 to 600000, and one epoch at least. It is loaded
    /// meanwhile; notes wait for a student that takes longer. Default 2000.
    pub activation_ms: u64,
    /// Live notes a second that a process reads again after a change of students, of the lexicon or of a vocabulary, 0 to
    /// 100000, until all extractions are by the student that serves, and asserted and coded as by now; 0 is none.
    /// `run --retag` sets it. Default 0. Example: `retag_notes_per_second = 20`.
    pub retag_notes_per_second: u64,
    /// Whether cohorts are kept: definitions are read from their topic, events and memberships written to theirs, and what notes say of their
    /// patients is remembered in their states. Default false.
    pub cohorts: bool,
    /// Whether a note that is dated in the future, up to 2300, moves the clock by which notes age out of cohorts, as it must where dates were
    /// shifted. Default false.
    pub cohorts_trust_dates: bool,
    /// In what the positions of entities are counted: `code_point` as in Python, `byte` of UTF-8, or `utf16` as in JavaScript and
    /// Java. Every extraction names its unit. Default `code_point`.
    pub offset_unit: OffsetUnit,
    /// The names of the topics.
    pub topics: Topics,
}

/// The names of the topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Notes are read from here. Default `clinical.notes.v1`.
    pub notes: String,
    /// References are read from here. Default `clinical.references.v1`.
    pub references: String,
    /// What teachers said is read from here, and written here when teachers are asked. Default `clinical.labels.v1`.
    pub labels: String,
    /// Which student is to tag is read from here, partition 0. Default `clinical.models.v1`.
    pub models: String,
    /// Extractions are written here, to the partition of their note. Default `clinical.extractions.v1`.
    pub extractions: String,
    /// Quality figures are written here, to partition 0. Default `clinical.quality.v1`.
    pub quality: String,
    /// What there is to learn, and how the notes drift, is written here by retraining, to partition 0. Default
    /// `clinical.retraining.v1`.
    pub retraining: String,
    /// What a restart needs to know of each note, to the partition of the note. Default `clinical.state.v1`.
    pub state: String,
    /// Records that could not be processed, to the partition they were read from. Default `clinical.notes.v1.dlq`.
    pub dead_letters: String,
    /// Quality figures of a candidate that reads along, and of the student that serves over the same notes, are written here, to
    /// partition 0. Default `clinical.shadow.v1`.
    pub shadow: String,
    /// Where cohorts are kept, their definitions are read from here, partition 0. Default `clinical.cohorts.v1`.
    pub cohorts: String,
    /// Who enters and leaves which cohort is written here, to partition 0. Default `clinical.cohort_events.v1`.
    pub cohort_events: String,
    /// Who is in which cohort is written here, to partition 0. Default `clinical.memberships.v1`.
    pub memberships: String,
    /// On Kafka, what is committed: one partition. Default `clinical.progress.v1`.
    pub progress: String,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            workers: 1,
            tick_ms: 100,
            epoch_bytes_max: 16 << 10,
            epochs_open_max: 16,
            bytes_open_max: 64 << 20,
            note_bytes_max: 1 << 20,
            record_bytes_max: 1_000_000,
            commit_bytes_max: 16 << 20,
            commit_ms_min: 0,
            tokens_max: 512,
            linger_ms_max: 10,
            batches_open_max: 2,
            activation_ms: 2000,
            retag_notes_per_second: 0,
            cohorts: false,
            cohorts_trust_dates: false,
            offset_unit: OffsetUnit::CodePoint,
            topics: Topics::default(),
        }
    }
}

impl Default for Topics {
    fn default() -> Topics {
        Topics {
            notes: "clinical.notes.v1".to_owned(),
            references: "clinical.references.v1".to_owned(),
            labels: "clinical.labels.v1".to_owned(),
            models: "clinical.models.v1".to_owned(),
            extractions: "clinical.extractions.v1".to_owned(),
            quality: "clinical.quality.v1".to_owned(),
            retraining: "clinical.retraining.v1".to_owned(),
            state: "clinical.state.v1".to_owned(),
            dead_letters: "clinical.notes.v1.dlq".to_owned(),
            shadow: "clinical.shadow.v1".to_owned(),
            cohorts: "clinical.cohorts.v1".to_owned(),
            cohort_events: "clinical.cohort_events.v1".to_owned(),
            memberships: "clinical.memberships.v1".to_owned(),
            progress: "clinical.progress.v1".to_owned(),
        }
    }
}

impl EngineConfig {
    /// The defaults with a student on a GPU: batches of tens of thousands of word pieces, and enough notes read for several of
    /// them.
    pub fn for_gpu() -> EngineConfig {
        EngineConfig { epoch_bytes_max: 256 << 10, tokens_max: 32_768, batches_open_max: 4, ..EngineConfig::default() }
    }

    /// Replaces the defaults that are not those of a GPU, other than the fields that `is_set` says a user has set.
    pub(crate) fn default_to_gpu(&mut self, is_set: impl Fn(&str) -> bool) {
        let EngineConfig { epoch_bytes_max, tokens_max, batches_open_max, .. } = EngineConfig::for_gpu();
        let fields = [
            ("epoch_bytes_max", &mut self.epoch_bytes_max, epoch_bytes_max),
            ("tokens_max", &mut self.tokens_max, tokens_max),
            ("batches_open_max", &mut self.batches_open_max, batches_open_max),
        ];
        for (name, field, value) in fields {
            if !is_set(name) {
                *field = value;
            }
        }
    }

    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let fields: [(&str, u64, u64, u64); 14] = [
            ("workers", self.workers as u64, 1, 256),
            ("tick_ms", self.tick_ms, 1, 10_000),
            ("epoch_bytes_max", self.epoch_bytes_max as u64, 1, 64 << 30),
            ("epochs_open_max", self.epochs_open_max as u64, 1, 100_000),
            ("bytes_open_max", self.bytes_open_max as u64, 64 << 10, 64 << 30),
            ("note_bytes_max", self.note_bytes_max as u64, 1, 1 << 30),
            ("record_bytes_max", self.record_bytes_max as u64, 1 << 10, 1 << 30),
            ("commit_bytes_max", self.commit_bytes_max as u64, 1, 64 << 30),
            ("commit_ms_min", self.commit_ms_min, 0, 60_000),
            ("tokens_max", self.tokens_max as u64, 1, 10_000_000),
            ("linger_ms_max", self.linger_ms_max, 0, 10_000),
            ("batches_open_max", self.batches_open_max as u64, 1, 64),
            ("activation_ms", self.activation_ms, 0, 600_000),
            ("retag_notes_per_second", self.retag_notes_per_second, 0, 100_000),
        ];
        for (field, value, min, max) in fields {
            in_range(format!("engine.{field}"), value, min..=max)?;
        }
        self.topics.check()
    }

    /// The topics that are read.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &String> {
        self.topics.inputs().into_iter().chain(self.cohorts.then_some(&self.topics.cohorts))
    }

    /// The topics that are written.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        let topics = &self.topics;
        let of_cohorts = [&topics.cohort_events, &topics.memberships].into_iter().filter(|_| self.cohorts);
        let always = [&topics.extractions, &topics.quality, &topics.state, &topics.dead_letters];
        always.into_iter().chain(of_cohorts).map(String::as_str).collect()
    }

    /// What `Decode` must know of the topics.
    pub(crate) fn decode(&self, wire: Arc<dyn WireFormat>) -> DecodeConfig {
        DecodeConfig {
            notes: self.topics.notes.as_str().into(),
            labels: self.topics.labels.as_str().into(),
            models: self.topics.models.as_str().into(),
            note_bytes_max: self.note_bytes_max,
            wire,
        }
    }

    /// The length of an epoch.
    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }

    /// Epochs from that of an activation to the first that its student tags.
    pub(crate) fn activation_epochs(&self) -> u64 {
        self.activation_ms.div_ceil(self.tick_ms).max(1)
    }

    /// A worker's share of `bytes_open_max`.
    pub(crate) fn worker_bytes_open_max(&self) -> usize {
        self.bytes_open_max / self.workers
    }

    /// Bytes that a reader reads at once: an epoch's, and a quarter of what may be open at most, so that reading and committing
    /// overlap.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        (self.worker_bytes_open_max() / 4).clamp(1, self.epoch_bytes_max)
    }

    /// Word pieces that all workers may have with the student.
    pub(crate) fn pieces_open_max(&self) -> usize {
        self.workers * self.batches_open_max * self.tokens_max
    }

    /// Bytes of records that are in memory at worst, if no record is larger than a batch: admitted, in the feeds, held back by
    /// the sources and in the readers' hands, and what waits to be tagged again.
    pub(crate) fn record_bytes_max_in_memory(&self) -> usize {
        let of_readers = self.workers * (FEED_BATCHES_MAX + 2) * self.batch_bytes_max();
        // A batch in hand, and one that waits for each reader.
        let again = RETAG_READ_BYTES + (self.workers + 1) * self.batch_bytes_max();
        self.bytes_open_max + of_readers + if self.retag_notes_per_second > 0 { again } else { 0 }
    }
}

impl Topics {
    /// The topics that are read, whatever is kept.
    pub(crate) fn inputs(&self) -> [&String; 4] {
        [&self.notes, &self.references, &self.labels, &self.models]
    }

    /// Refuses a topic without a name, and two of the same name.
    fn check(&self) -> Result<(), Refused> {
        let topics = [
            ("engine.topics.notes", &self.notes),
            ("engine.topics.references", &self.references),
            ("engine.topics.labels", &self.labels),
            ("engine.topics.models", &self.models),
            ("engine.topics.extractions", &self.extractions),
            ("engine.topics.quality", &self.quality),
            ("engine.topics.retraining", &self.retraining),
            ("engine.topics.state", &self.state),
            ("engine.topics.dead_letters", &self.dead_letters),
            ("engine.topics.shadow", &self.shadow),
            ("engine.topics.cohorts", &self.cohorts),
            ("engine.topics.cohort_events", &self.cohort_events),
            ("engine.topics.memberships", &self.memberships),
            ("engine.topics.progress", &self.progress),
        ];
        for (at, (key, name)) in topics.iter().enumerate() {
            not_empty(*key, name.is_empty(), "name every topic")?;
            if let Some((other, _)) = topics[..at].iter().find(|(_, other)| other == name) {
                return Err(
                    Refused::new(*key, format!("is {name}, as is {other}; give each its own name")).with(*other)
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_round_trip() {
        EngineConfig::default().check().unwrap();
        let text = toml::to_string(&EngineConfig::default()).unwrap();
        assert_eq!(toml::from_str::<EngineConfig>(&text).unwrap(), EngineConfig::default());
        assert_eq!(toml::from_str::<EngineConfig>("").unwrap(), EngineConfig::default());
    }

    fn check(text: &str, expected: &str) {
        let error = match toml::from_str::<EngineConfig>(text) {
            Ok(config) => config.check().unwrap_err().to_string(),
            Err(error) => error.message().to_owned(),
        };
        assert!(error.contains(expected), "{text}: {error}");
    }

    #[test]
    fn what_cannot_run_is_refused() {
        check("workers = 0", "engine.workers is 0; choose a value from 1 to 256");
        check("linger_ms_max = 20000", "engine.linger_ms_max is 20000");
        check("worker = 2", "unknown field `worker`");
        check("[topics]\nnotes = 'a'\nquality = 'a'", "engine.topics.quality is a, as is engine.topics.notes");
        check("[topics]\nnotes = ''", "engine.topics.notes is empty; name every topic");
    }
}
