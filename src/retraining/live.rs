//! F1 of the student that serves, as it is published while notes flow.
//!
//! Kafka keeps the last record of each figure alone, so what figures were stands in a file too: the best ones of the
//! student that serves, and those of the one that it replaced.

use crate::config::Config;
use crate::reading::{assign_or_first, read_records};
use crate::retraining::run_folder::{read, write};
use crate::retraining::triggers::{Best, Fall, deviations, f1_interval};
use crate::retraining::watch::{Pair, Watch};
use crate::serving::{Serving, activations};
use crate::wire::Wire;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stillroom_connectors::Log;
use stillroom_dataflow::Record;
use stillroom_schemas::{Activation, ActivationCause, Comparison, Level, ModelId, Quality, QualityKey, Task};

/// The one partition of the topic.
const PARTITION: u32 = 0;

/// In the folder of retraining, what figures were.
const FILE: &str = "live.json";

/// What figures were while a student served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// It serves after so many activations.
    activations: usize,
    /// Who serves.
    serving: ModelId,
    /// Its figures at their best.
    best: Best,
    /// The student that it replaced, if it was promoted.
    watch: Option<Watch>,
}

impl Known {
    /// Of the student that serves after these activations: what the folder has of it, or nothing yet.
    ///
    /// # Errors
    /// When the configured student cannot be loaded, or the folder not be read.
    fn of(config: &Config, activations: &[Activation]) -> Result<Known> {
        let (serving, count) = (Serving::of(config, activations)?.model, activations.len());
        let known = read::<Known>(&config.retraining.dir.join(FILE))?;
        Ok(known.filter(|known| known.activations == count && known.serving == serving).unwrap_or_else(|| Known {
            activations: count,
            serving,
            best: Best::default(),
            watch: Pair::of(activations).map(Watch::new),
        }))
    }
}

/// Follows the figures of the student that serves, and of the one that it replaced.
#[derive(Default)]
pub(crate) struct LiveF1 {
    /// Of whom.
    known: Option<Known>,
    /// Of the topic of quality.
    next: u64,
    /// Figures that have fallen, as they stand now.
    fallen: BTreeMap<(Task, String), Fall>,
    /// Rollbacks on the topic of models at the last look.
    rollbacks: Option<usize>,
}

impl LiveF1 {
    /// A figure of the student that serves that has fallen, the first of several.
    pub(crate) fn fallen(&self) -> Option<&Fall> {
        self.fallen.values().next()
    }

    /// Rollbacks on the topic of models, if it was looked at.
    pub(crate) fn rollbacks(&self) -> Option<usize> {
        self.rollbacks
    }

    /// The student that serves beside the one that it replaced, if it was promoted.
    pub(crate) fn watch(&mut self) -> Option<&mut Watch> {
        self.known.as_mut().and_then(|known| known.watch.as_mut())
    }

    /// Reads on what is published. Figures of a student that served before count no more, but for those of the one that
    /// a promotion replaced.
    ///
    /// # Errors
    /// When the log or the folder cannot be read, the folder not be written, or the configured student not be loaded.
    pub(crate) fn look(&mut self, config: &Config, topics: (&dyn Log, &Wire)) -> Result<()> {
        let activations = activations(config)?;
        let before = self.known.clone();
        if before.as_ref().is_none_or(|known| known.activations != activations.len()) {
            *self = LiveF1 { known: Some(Known::of(config, &activations)?), ..LiveF1::default() };
        }
        let is_rollback = |activation: &&Activation| activation.cause == ActivationCause::Rollback;
        self.rollbacks = Some(activations.iter().filter(is_rollback).count());
        // What was read before the log failed is read no more.
        let is_read = self.read_on(config, topics);
        if self.known != before {
            self.keep(config)?;
        }
        is_read
    }

    /// Keeps what is known, for the process after this one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn keep(&self, config: &Config) -> Result<()> {
        write(&config.retraining.dir.join(FILE), &self.known)
    }

    /// Reads on to where the topic of quality ends now.
    fn read_on(&mut self, config: &Config, (log, wire): (&dyn Log, &Wire)) -> Result<()> {
        let topic = &config.engine.topics.quality;
        if log.partitions(topic)?.is_none() {
            return Ok(());
        }
        let mut source = wire.source(log.bounded()?);
        source.partitions(topic)?;
        assign_or_first(source.as_mut(), (topic, PARTITION), self.next)?;
        let format = wire.format();
        read_records(source.as_mut(), |Record { topic, position, key, value, .. }| {
            self.next = position.offset + 1;
            let Some(value) = value else {
                // No such notes are left, and there is nothing that could have fallen.
                if let Ok(key) = serde_json::from_slice::<QualityKey>(&key.unwrap_or_default()) {
                    self.forget(key);
                }
                return Ok(());
            };
            let json = format.to_json(&topic, &value).ok();
            match json.and_then(|json| serde_json::from_slice::<Quality>(&json).ok()) {
                Some(quality) => self.take_in(&quality, config),
                None => tracing::warn!("{topic}/{PARTITION} offset {} is no figure", position.offset),
            }
            Ok(())
        })
    }

    /// Forgets a figure, if it is followed.
    fn forget(&mut self, key: QualityKey) {
        let Some(known) = self.known.as_mut().filter(|_| is_followed(&key)) else { return };
        if let Some(watch) = &mut known.watch {
            watch.forget(&key);
        }
        if key.model == known.serving {
            self.fallen.remove(&(key.task, key.reference));
        }
    }

    /// Takes in a figure, if it is followed.
    fn take_in(&mut self, Quality { key, counts, .. }: &Quality, config: &Config) {
        let Some(known) = self.known.as_mut().filter(|_| is_followed(key)) else { return };
        if let Some(watch) = &mut known.watch {
            watch.take_in(key, counts);
        }
        let z = deviations(config.retraining.confidence);
        let Some(now) = f1_interval(counts, z).filter(|_| key.model == known.serving) else { return };
        match known.best.take_in((key.task, &key.reference), now, config.retraining.f1_drop) {
            Some(fall) => self.fallen.insert((key.task, key.reference.clone()), fall),
            None => self.fallen.remove(&(key.task, key.reference.clone())),
        };
    }
}

/// Whether a figure is one in words, over all notes, of a student against a reference.
fn is_followed(key: &QualityKey) -> bool {
    key.rollup && key.level == Level::Word && key.comparison == Comparison::StudentReference
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use stillroom_connectors::{Appended, EmbeddedLog};
    use stillroom_schemas::Counts;

    /// Of the student that serves, against a reference, but for what `change` changes.
    fn key(change: fn(&mut QualityKey)) -> QualityKey {
        let mut key = QualityKey {
            task: Task::Disease,
            level: Level::Word,
            comparison: Comparison::StudentReference,
            model: ModelId("s@1".to_owned()),
            reference: "dr".to_owned(),
            note_type: None,
            site: None,
            rollup: true,
        };
        change(&mut key);
        key
    }

    fn quality(key: QualityKey, notes: i64, tp: i64) -> Quality {
        let counts = Counts { notes, tp, fp: 1000 - tp, fn_: 0 };
        let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
        Quality { key, counts, precision, recall, f1 }
    }

    #[test]
    fn only_the_serving_student_against_references_counts() {
        let config = Config::default();
        let figure = |change: fn(&mut QualityKey), tp: i64| quality(key(change), 10, tp);
        let known = || Known { activations: 1, serving: key(|_| {}).model, best: Best::default(), watch: None };
        let of_serving = || LiveF1 { known: Some(known()), ..LiveF1::default() };
        let fall = |live: &mut LiveF1, change: fn(&mut QualityKey)| {
            [950, 500].into_iter().for_each(|tp| live.take_in(&figure(change, tp), &config));
        };
        let mut live = of_serving();
        fall(&mut live, |_| {});
        assert_eq!(live.fallen.len(), 1);
        live.take_in(&figure(|_| {}, 940), &config);
        assert_eq!(live.fallen.len(), 0, "it has risen again");

        let others: [fn(&mut QualityKey); 4] = [
            |key| key.rollup = false,
            |key| key.level = Level::SpanExact,
            |key| key.comparison = Comparison::StudentTeacher,
            |key| key.model = ModelId("t@1".to_owned()),
        ];
        for other in others {
            let mut live = of_serving();
            fall(&mut live, other);
            assert_eq!(live.fallen.len(), 0, "{:?} is not followed", key(other));
            fall(&mut live, |_| {});
            live.forget(key(other));
            assert_eq!(live.fallen.len(), 1, "{:?} being gone says nothing", key(other));
            live.forget(key(|_| {}));
            assert_eq!(live.fallen.len(), 0, "no such notes are left");
        }
    }

    fn append(log: &EmbeddedLog, topic: &str, (key, value): (&str, Vec<u8>)) {
        let (key, value) = (Some(key.into()), Some(value));
        log.append(topic, &[Appended { key, value, partition: Some(0), ..Appended::default() }]).unwrap();
    }

    /// Appends figures against `dr`: of each a student, notes and words out of 1000.
    pub(crate) fn publish(log: &EmbeddedLog, topic: &str, figures: &[(&str, i64, i64)]) {
        for (model, notes, tp) in figures {
            let key = QualityKey { model: ModelId((*model).to_owned()), ..key(|_| {}) };
            append(log, topic, (*model, serde_json::to_vec(&quality(key, *notes, *tp)).unwrap()));
        }
    }

    /// A log in a folder, on which `s@1` was promoted in the place of `r@1`, with these figures.
    pub(crate) fn log(config: &Config, figures: &[(&str, i64, i64)]) -> EmbeddedLog {
        let (log, topics) = (EmbeddedLog::open(&config.log.dir).unwrap(), &config.engine.topics);
        [&topics.models, &topics.quality].into_iter().for_each(|topic| log.create_topic(topic, 1).unwrap());
        let promoted = Activation {
            model: ModelId("s@1".to_owned()),
            weights_hash: String::new(),
            previous: ModelId("r@1".to_owned()),
            cause: ActivationCause::Promotion,
            activated_at: String::new(),
        };
        append(&log, &topics.models, (promoted.model.0.as_str(), serde_json::to_vec(&promoted).unwrap()));
        publish(&log, &topics.quality, figures);
        log
    }

    #[test]
    fn what_figures_were_is_known_after_a_restart_where_the_topic_has_the_last_ones_alone() {
        let folder = tempfile::tempdir().unwrap();
        // Whether a figure of the one that serves has fallen, and whether it does worse than the one before.
        let look = |retraining: &str, log_dir: &str, figures: &[(&str, i64, i64)]| {
            let mut config = Config::default();
            (config.retraining.dir, config.log.dir) = (folder.path().join(retraining), folder.path().join(log_dir));
            std::fs::create_dir_all(&config.retraining.dir).unwrap();
            let (log, mut live) = (log(&config, figures), LiveF1::default());
            live.look(&config, (&log, &Wire::Plain)).unwrap();
            let is_worse = live.watch().unwrap().worse(&config.retraining).is_some();
            (live.fallen().is_some(), is_worse)
        };
        let compacted = [("r@1", 10, 100), ("s@1", 60, 500)];
        assert_eq!(look("kept", "whole", &[("r@1", 60, 900), ("s@1", 60, 950)]), (false, false));
        assert_eq!(look("kept", "compacted", &compacted), (true, true));
        assert_eq!(look("new", "compacted again", &compacted), (false, false));
    }

    #[test]
    fn who_stays_as_the_one_before_is_worse_on_the_same_notes_stays_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.retraining.dir, config.log.dir) = (folder.path().join("retraining"), folder.path().join("log"));
        std::fs::create_dir_all(&config.retraining.dir).unwrap();
        let log = log(&config, &[("r@1", 60, 900), ("s@1", 60, 500)]);
        let look = || {
            let mut live = LiveF1::default();
            live.look(&config, (&log, &Wire::Plain)).unwrap();
            live
        };
        let mut live = look();
        let watch = live.watch().unwrap();
        assert!(watch.stays_by.is_none() && watch.worse(&config.retraining).is_some());
        watch.stays_by = Some("of these notes".to_owned());
        live.keep(&config).unwrap();
        assert_eq!(look().watch().unwrap().stays_by.as_deref(), Some("of these notes"));
    }
}
