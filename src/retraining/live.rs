//! F1 of the student that serves, as it is published while notes flow.

use crate::config::Config;
use crate::retraining::reading::{BATCH_BYTES, POLL_WAIT, assign_or_first};
use crate::retraining::triggers::{Best, Fall, deviations, f1_interval};
use crate::serving::{Serving, activations};
use crate::wire::Wire;
use anyhow::Result;
use std::collections::BTreeMap;
use stillroom_connectors::Log;
use stillroom_dataflow::Record;
use stillroom_schemas::{Comparison, Level, ModelId, Quality, QualityKey, Task};

/// The one partition of the topic.
const PARTITION: u32 = 0;

/// Follows the figures of the student that serves.
#[derive(Default)]
pub(crate) struct LiveF1 {
    /// Who serves, after so many activations.
    serving: Option<(usize, ModelId)>,
    /// Of the topic of quality.
    next: u64,
    best: Best,
    /// Figures that have fallen, as they stand now.
    fallen: BTreeMap<(Task, String), Fall>,
}

impl LiveF1 {
    /// Reads on what is published; a figure that has fallen, the first of several. Figures of another student than the
    /// one that serves count no more.
    ///
    /// # Errors
    /// When the log cannot be read, or the configured student not be loaded.
    pub(crate) fn look(&mut self, config: &Config, (log, wire): (&dyn Log, &Wire)) -> Result<Option<&Fall>> {
        let activations = activations(config)?;
        if self.serving.as_ref().is_none_or(|(known, _)| *known != activations.len()) {
            let serving = Serving::of(config, &activations)?;
            *self = LiveF1 { serving: Some((activations.len(), serving.model)), ..LiveF1::default() };
        }
        let topic = &config.engine.topics.quality;
        if log.partitions(topic)?.is_none() {
            return Ok(None);
        }
        let mut source = wire.source(log.bounded()?);
        source.partitions(topic)?;
        assign_or_first(source.as_mut(), (topic, PARTITION), self.next)?;
        let format = wire.format();
        while !source.is_finished() {
            for Record { topic, position, key, value, .. } in source.poll(BATCH_BYTES, POLL_WAIT)? {
                self.next = position.offset + 1;
                let Some(value) = value else {
                    // No such notes are left, and there is nothing that could have fallen.
                    if let Ok(key) = serde_json::from_slice::<QualityKey>(&key.unwrap_or_default()) {
                        self.forget(key);
                    }
                    continue;
                };
                let json = format.to_json(&topic, &value).ok();
                match json.and_then(|json| serde_json::from_slice::<Quality>(&json).ok()) {
                    Some(quality) => self.take_in(&quality, config),
                    None => tracing::warn!("{topic}/{PARTITION} offset {} is no figure", position.offset),
                }
            }
        }
        Ok(self.fallen.values().next())
    }

    /// Whether a figure is one of the serving student in words, over all notes, against a reference.
    fn is_followed(&self, key: &QualityKey) -> bool {
        let is_serving = self.serving.as_ref().is_some_and(|(_, serving)| *serving == key.model);
        is_serving && key.rollup && key.level == Level::Word && key.comparison == Comparison::StudentReference
    }

    /// Forgets that a figure has fallen, if it is followed.
    fn forget(&mut self, key: QualityKey) {
        if self.is_followed(&key) {
            self.fallen.remove(&(key.task, key.reference));
        }
    }

    /// Takes in a figure, if it is followed.
    fn take_in(&mut self, Quality { key, counts, .. }: &Quality, config: &Config) {
        let z = deviations(config.retraining.confidence);
        let Some(now) = f1_interval(counts, z).filter(|_| self.is_followed(key)) else { return };
        match self.best.take_in((key.task, &key.reference), now, config.retraining.f1_drop) {
            Some(fall) => self.fallen.insert((key.task, key.reference.clone()), fall),
            None => self.fallen.remove(&(key.task, key.reference.clone())),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn only_the_serving_student_against_references_counts() {
        let config = Config::default();
        let figure = |change: fn(&mut QualityKey), tp: i64| {
            let counts = Counts { notes: 10, tp, fp: 1000 - tp, fn_: 0 };
            let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
            Quality { key: key(change), counts, precision, recall, f1 }
        };
        let of_serving = || LiveF1 { serving: Some((1, ModelId("s@1".to_owned()))), ..LiveF1::default() };
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
}
