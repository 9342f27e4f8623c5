//! From the outputs of sealed epochs to what is written.

use crate::engine::config::Topics;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stillroom_connectors::{Commit, OutputRecord};
use stillroom_dataflow::{CohortChange, Epoch, Output};
use stillroom_schemas::{Counts, DeadLetter, NoteState, Quality, QualityKey, TopicOffsets, membership_key};

/// A figure that changed; none when no such notes are left.
pub type QualityChange = (QualityKey, Option<Quality>);

/// What sealed epochs come to.
pub(crate) struct Sealed {
    /// To be written.
    pub(crate) commit: Commit,
    /// Settled notes, then references, labels and definitions that were dead-lettered, each by partition and offset; then what became of
    /// patients in cohorts.
    pub(crate) outputs: Vec<Output>,
    /// By key.
    pub(crate) quality: Vec<QualityChange>,
}

/// The current counts under every key.
#[derive(Debug, Default)]
pub(crate) struct QualityBook {
    counts: BTreeMap<QualityKey, Counts>,
    /// Figures that were published for other teachers or ensembles than this run has, or not yet: with the next commit they become
    /// these.
    outdated: BTreeMap<QualityKey, Option<Quality>>,
}

impl QualityBook {
    /// Applies retractions and additions of whole epochs; tells what is different afterwards.
    pub(crate) fn apply(&mut self, updates: &[Output]) -> Vec<QualityChange> {
        let mut changes: BTreeMap<&QualityKey, BTreeMap<Counts, isize>> = BTreeMap::new();
        for update in updates {
            if let Output::Quality { key, counts, diff, .. } = update {
                *changes.entry(key).or_default().entry(*counts).or_default() += diff;
            }
        }
        let mut changed = std::mem::take(&mut self.outdated);
        for (key, diffs) in changes {
            // What was added and retracted in between has gone; what is left is the old row, the new one, or both.
            let added = diffs.iter().find(|(_, diff)| **diff > 0).map(|(counts, _)| *counts);
            let is_retracted = diffs.values().any(|diff| *diff < 0);
            match added {
                Some(counts) => {
                    self.counts.insert(key.clone(), counts);
                    changed.insert(key.clone(), Some(quality_of(key, counts)));
                }
                None if is_retracted => {
                    self.counts.remove(key);
                    changed.insert(key.clone(), None);
                }
                None => {}
            }
        }
        changed.into_iter().collect()
    }

    /// Compares with what was published before this run. Figures that depend on which teachers are asked, or on the ensemble, may have
    /// changed with the configuration: they are published anew.
    ///
    /// # Errors
    /// Names the first key under which other figures differ, and both.
    pub(crate) fn take_over(&mut self, published: BTreeMap<QualityKey, Quality>) -> Result<()> {
        let keys: BTreeSet<QualityKey> = self.counts.keys().chain(published.keys()).cloned().collect();
        for key in keys {
            let restored = self.counts.get(&key).copied();
            let published = published.get(&key).map(|quality| quality.counts);
            if restored == published {
                continue;
            }
            if key.comparison.is_of_records() {
                let say = |counts: Option<Counts>| counts.map_or_else(|| "nothing".to_owned(), |c| format!("{c:?}"));
                bail!(
                    "quality restored from the state differs from what was published under {}: restored {}, published {}; \
                     the topic of states, references, labels or quality was changed: restore it, or start with a new progress",
                    serde_json::to_string(&key)?,
                    say(restored),
                    say(published)
                );
            }
            let quality = restored.map(|counts| quality_of(&key, counts));
            self.outdated.insert(key, quality);
        }
        Ok(())
    }

    /// Whether figures are to be published anew, whatever comes.
    pub(crate) fn is_outdated(&self) -> bool {
        !self.outdated.is_empty()
    }
}

fn quality_of(key: &QualityKey, counts: Counts) -> Quality {
    let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
    Quality { key: key.clone(), counts, precision, recall, f1 }
}

/// Puts the outputs of all epochs up to `epoch` in the order in which they are written: it depends on partitions and offsets
/// alone, not on workers or on where epochs begin.
///
/// # Errors
/// When an output cannot be written as JSON.
pub(crate) fn seal(epoch: Epoch, outputs: Vec<Output>, topics: &Topics, book: &mut QualityBook) -> Result<Sealed> {
    let quality = book.apply(&outputs);
    let (inputs, mut outputs) = take_offsets(outputs);
    outputs.sort_by(|one, other| order(one).cmp(&order(other)));
    let mut commit = Commit { epoch, inputs, ..Commit::default() };
    let mut writer = Writer::new(topics, &mut commit.outputs);
    for output in &outputs {
        writer.write(output)?;
    }
    for (key, quality) in &quality {
        let value = quality.as_ref().map(serde_json::to_vec).transpose()?;
        writer.put(Kind::Quality, 0, serde_json::to_vec(key)?, value);
    }
    for output in &outputs {
        commit.totals += output.outcome();
    }
    Ok(Sealed { commit, outputs, quality })
}

/// About what an output takes when it is written, for the size of a commit.
pub(crate) fn bytes_of(output: &Output) -> usize {
    match output {
        Output::Extracted { extraction, state, .. } => {
            let texts: usize = extraction.entities.iter().map(|entity| entity.text.len() + ENTITY_BYTES).sum();
            texts + state.prediction.as_ref().map_or(0, |said| 2 * said.words.len()) + NOTE_BYTES
        }
        Output::DeadLettered { letter, .. } => {
            let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
            length(&letter.key) + length(&letter.value) + NOTE_BYTES
        }
        Output::Cohort(change) => {
            let of_event = change.event.iter().flat_map(|event| &event.evidence);
            let of_membership = change.membership.iter().flat_map(|membership| &membership.evidence);
            NOTE_BYTES + of_event.chain(of_membership).map(|said| said.notes.len() * EVIDENCE_BYTES).sum::<usize>()
        }
        _ => NOTE_BYTES,
    }
}

/// An entity in an extraction and in a state, beside its text.
const ENTITY_BYTES: usize = 130;

/// A note in the evidence for a membership.
const EVIDENCE_BYTES: usize = 200;

/// Names, ids and hashes.
const NOTE_BYTES: usize = 600;

/// Offsets apart from what was made of records; quality is done with, and what was restored is not written again.
fn take_offsets(outputs: Vec<Output>) -> (TopicOffsets, Vec<Output>) {
    let mut offsets = TopicOffsets::new();
    let mut settled = Vec::with_capacity(outputs.len());
    for output in outputs {
        match output {
            Output::Next { topic, partition, next } => {
                let offset = offsets.entry(topic.to_string()).or_default().entry(partition).or_default();
                *offset = next.max(*offset);
            }
            Output::Quality { .. } | Output::Restored { .. } => {}
            output => settled.push(output),
        }
    }
    (offsets, settled)
}

/// Notes before references, labels and definitions, each by partition and offset, then patients by cohort; of what becomes of one patient in
/// several epochs the order stays.
fn order(output: &Output) -> (bool, u32, u64, &str, &str) {
    match output {
        Output::Extracted { position, .. } | Output::Withdrawn { position, .. } | Output::Superseded { position } => {
            (false, position.partition, position.offset, "", "")
        }
        Output::DeadLettered { letter, is_note: true, .. } => (false, letter.partition, letter.offset, "", ""),
        Output::DeadLettered { letter, .. } => (true, letter.partition, letter.offset, &letter.topic, ""),
        Output::Cohort(change) => (true, u32::MAX, u64::MAX, &change.cohort, &change.patient_id),
        Output::Restored { .. } | Output::Next { .. } | Output::Quality { .. } => (true, u32::MAX, u64::MAX, "", ""),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Extraction,
    State,
    DeadLetter,
    Quality,
    CohortEvent,
    Membership,
}

struct Writer<'a> {
    /// In the order of [`Kind`].
    topics: [Arc<str>; 6],
    records: &'a mut Vec<OutputRecord>,
}

impl<'a> Writer<'a> {
    fn new(topics: &Topics, records: &'a mut Vec<OutputRecord>) -> Writer<'a> {
        let Topics { extractions, state, dead_letters, quality, cohort_events, memberships, .. } = topics;
        let names = [extractions, state, dead_letters, quality, cohort_events, memberships];
        Writer { topics: names.map(|name| Arc::from(name.as_str())), records }
    }

    fn put(&mut self, kind: Kind, partition: u32, key: Vec<u8>, value: Option<Vec<u8>>) {
        let topic = Arc::clone(&self.topics[kind as usize]);
        self.records.push(OutputRecord { topic, partition, key: Some(key), value, headers: Vec::new() });
    }

    /// The original record, with headers that tell what is wrong with it.
    fn put_letter(&mut self, letter: &DeadLetter) {
        let (topic, partition) = (Arc::clone(&self.topics[Kind::DeadLetter as usize]), letter.partition);
        let (key, value, headers) = (letter.key.clone(), letter.value.clone(), letter.headers());
        self.records.push(OutputRecord { topic, partition, key, value, headers });
    }

    fn write(&mut self, output: &Output) -> Result<()> {
        match output {
            Output::Extracted { position, extraction, state, .. } => {
                let (key, value) = (extraction.note_id.clone().into_bytes(), serde_json::to_vec(extraction)?);
                self.put(Kind::Extraction, position.partition, key, Some(value));
                self.write_state(position.partition, state)
            }
            Output::Withdrawn { position, state } => self.write_end(position.partition, state),
            Output::DeadLettered { letter, state, .. } => {
                self.put_letter(letter);
                state.as_ref().map_or(Ok(()), |state| self.write_end(letter.partition, state))
            }
            Output::Cohort(change) => self.write_change(change),
            Output::Superseded { .. } | Output::Restored { .. } | Output::Next { .. } | Output::Quality { .. } => {
                Ok(())
            }
        }
    }

    /// Events and memberships stand in one partition, so that all events are in one order.
    fn write_change(&mut self, change: &CohortChange) -> Result<()> {
        let key = membership_key(&change.cohort, &change.patient_id);
        if let Some(event) = &change.event {
            self.put(Kind::CohortEvent, 0, key.clone(), Some(serde_json::to_vec(event)?));
        }
        let membership = change.membership.as_ref().map(serde_json::to_vec).transpose()?;
        self.put(Kind::Membership, 0, key, membership);
        Ok(())
    }

    /// The note has no entities any more.
    fn write_end(&mut self, partition: u32, state: &NoteState) -> Result<()> {
        self.put(Kind::Extraction, partition, state.note_id.clone().into_bytes(), None);
        self.write_state(partition, state)
    }

    fn write_state(&mut self, partition: u32, state: &NoteState) -> Result<()> {
        let key = state.note_id.clone().into_bytes();
        self.put(Kind::State, partition, key, Some(serde_json::to_vec(state)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Comparison, Level, ModelId, Stage, Task};

    /// A log of a version that did not count what the student alone tags has no such rows, and gets them with the next commit.
    #[test]
    fn figures_that_an_earlier_version_did_not_count_are_published_once() {
        let row = |comparison| {
            let (task, level, model) = (Task::Disease, Level::Word, ModelId("s@1".to_owned()));
            let (reference, note_type, site) = ("dr".to_owned(), None, None);
            QualityKey { task, level, comparison, model, reference, note_type, site, rollup: true }
        };
        let counts = Counts { notes: 1, tp: 2, fp: 1, fn_: 0 };
        let known = [Comparison::StudentReference, Comparison::TeachersReference].map(row);
        let new = row(Comparison::FalsePositivesReviewed);
        let restored = known.iter().chain([&new]).map(|key| {
            let (key, epoch, diff) = (key.clone(), 1, 1);
            Output::Quality { epoch, key, counts, diff }
        });
        let mut book = QualityBook::default();
        book.apply(&restored.collect::<Vec<_>>());
        let published = known.map(|key| (key.clone(), quality_of(&key, counts)));
        book.take_over(published.into()).unwrap();
        assert!(book.is_outdated());
        assert_eq!(book.apply(&[]), [(new.clone(), Some(quality_of(&new, counts)))]);
        assert!(!book.is_outdated() && book.apply(&[]).is_empty());
    }

    #[test]
    fn letters_of_two_topics_stand_in_one_order() {
        let letter = |topic: &str, offset| {
            let letter = DeadLetter {
                topic: topic.to_owned(),
                partition: 0,
                offset,
                stage: Stage::Decode,
                error: String::new(),
                replays: 0,
                key: Some(format!("{topic} {offset}").into_bytes()),
                value: None,
            };
            Output::DeadLettered { letter: Box::new(letter), is_note: false, state: None }
        };
        let arrived = [letter("references", 1), letter("labels", 1), letter("references", 0)];
        let keys_of = |outputs: Vec<Output>| -> Vec<String> {
            let sealed = seal(1, outputs, &Topics::default(), &mut QualityBook::default()).unwrap();
            let keys = sealed.commit.outputs.into_iter().filter_map(|record| record.key);
            keys.map(|key| String::from_utf8(key).unwrap()).collect()
        };
        let expected = ["references 0", "labels 1", "references 1"];
        assert_eq!(keys_of(arrived.to_vec()), expected);
        assert_eq!(keys_of(arrived.into_iter().rev().collect()), expected);
    }
}
