//! Whether the notes of today are those that the serving student took over with.
//!
//! In: the topics of states and of extractions, from their first record, of which those count that the serving
//! student tagged; a note that is amended counts again. Out: of each measure, over all notes, by type and by site, how
//! far the last `drift_notes` notes are from the first ones, as a population stability index ([`psi`]). What is
//! compared are the shares of notes between the deciles of the first ones, or of their entities by task; an index that
//! chance might make is no drift, whatever it is. An old note that is tagged again after a promotion is no note of today:
//! states of live notes rise by the offsets of their notes, and those of notes that are tagged again do not.
//!
//! State: 5 measures of [`GROUPS_MAX`] groups at most, with 28 to 56 bytes for each of `drift_notes` notes: 2 MB at the
//! default, 360 MB at the most; and 8 bytes for each note that was tagged again, until its extraction is read. Where
//! several partitions are read they take turns, and the first and last notes are those in the order of reading.

mod psi;
mod series;

use crate::config::Config;
use crate::reading::{assign_or_first, read_batches};
use crate::serving::{Serving, activations};
use crate::wire::Wire;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use series::{Entities, Mix, Series, Shift};
use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::{Log, Source};
use stillroom_dataflow::{Record, WireFormat, Words};
use stillroom_schemas::{
    About, Coverage, Drift, Extraction, Measure, ModelId, NoteState, Prediction, Retraining, RetrainingKey, Task,
    TextHash, TopicOffsets,
};

/// Groups of notes that are followed at most: all notes, and the types and sites that come first.
const GROUPS_MAX: usize = 64;

/// A measure of notes that has drifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drifted {
    /// What is measured.
    pub(crate) measure: Measure,
    /// The task, if it is of one.
    pub(crate) task: Option<Task>,
    /// Of which notes; of all types where it is absent.
    pub(crate) note_type: Option<String>,
    /// Of which notes; of all sites where it is absent.
    pub(crate) site: Option<String>,
    /// The population stability index.
    pub(crate) psi: f64,
}

impl Display for Drifted {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Drifted { measure, task, note_type, site, psi } = self;
        match (measure, task) {
            (Measure::TaggedWords, Some(task)) => write!(formatter, "the share of words tagged as {}", task.name())?,
            (Measure::TaggedWords, None) => write!(formatter, "the share of words that are tagged")?,
            (Measure::WordPieces, _) => write!(formatter, "the word pieces a word")?,
            (Measure::Entities, _) => write!(formatter, "the spread of entities over the tasks")?,
        }
        // Names of types and sites come from a topic that others write.
        for (what, name) in [("type", note_type), ("site", site)] {
            if let Some(name) = name {
                write!(formatter, " of notes of the {what} {}", crate::highlight::plain(name))?;
            }
        }
        write!(formatter, " has drifted by a population stability index of {psi:.3}")
    }
}

/// Notes of a type, of a site, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    note_type: Option<String>,
    site: Option<String>,
}

/// What is measured of a group.
#[derive(Clone, Debug, Default)]
struct Measures {
    /// The share of words that are tagged, by [`Task::index`].
    tagged_words: [Series; Task::ALL.len()],
    word_pieces: Series,
    entities: Mix,
}

/// Follows what the student that serves makes of notes.
#[derive(Default)]
pub(crate) struct LiveDrift {
    /// Who serves, after so many activations.
    serving: Option<(usize, ModelId)>,
    /// The next offset to read.
    next: TopicOffsets,
    groups: BTreeMap<Group, Measures>,
    /// The greatest offset of a note that a state names, by partition, whoever tagged it.
    newest: BTreeMap<u32, u64>,
    /// Notes that were tagged again, by [`digest`], whose extractions were not read.
    again: HashSet<u64>,
}

impl LiveDrift {
    /// Reads on to where the topics end now. Whether it came so far: not when `stop` is set meanwhile. Another student
    /// that serves is followed from its own first note; nobody is where drift starts no run.
    ///
    /// # Errors
    /// When the log cannot be read, or the configured student not be loaded.
    pub(crate) fn look(&mut self, config: &Config, (log, wire): (&dyn Log, &Wire), stop: &AtomicBool) -> Result<bool> {
        if config.retraining.drift_psi == 0.0 {
            return Ok(true);
        }
        let activations = activations(config)?;
        if self.serving.as_ref().is_none_or(|(known, _)| *known != activations.len()) {
            let serving = Serving::of(config, &activations)?;
            *self = LiveDrift { serving: Some((activations.len(), serving.model)), ..LiveDrift::default() };
        }
        let topics = &config.engine.topics;
        // States tell which notes were tagged again, so extractions are read after them, and end before.
        let extractions = self.source(&topics.extractions, (log, wire))?;
        let states = self.source(&topics.state, (log, wire))?;
        let format = wire.format();
        for mut source in [states, extractions].into_iter().flatten() {
            let is_whole = read_batches(source.as_mut(), |records| {
                records.into_iter().for_each(|record| self.read(record, config, format.as_ref()));
                Ok(!stop.load(Ordering::SeqCst))
            })?;
            if !is_whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is not read of a topic, up to where it ends now; nothing where there is no such topic.
    fn source(&mut self, topic: &str, (log, wire): (&dyn Log, &Wire)) -> Result<Option<Box<dyn Source>>> {
        if log.partitions(topic)?.is_none() {
            return Ok(None);
        }
        let mut source = wire.source(log.bounded()?);
        let next = self.next.entry(topic.to_owned()).or_default();
        for partition in 0..source.partitions(topic)? {
            let next = *next.entry(partition).or_default();
            assign_or_first(source.as_mut(), (topic, partition), next)?;
        }
        Ok(Some(source))
    }

    /// How far every measure has shifted of which there are enough notes.
    pub(crate) fn drifts(&self, config: &Config) -> Vec<Retraining> {
        let notes = config.retraining.drift_notes;
        let Some((_, model)) = &self.serving else { return Vec::new() };
        let mut drifts = Vec::new();
        for (group, measures) in &self.groups {
            let mut add = |measure: Measure, task: Option<Task>, shift: Option<Shift>| {
                let Some(Shift { psi, chance, means }) = shift else { return };
                let Group { note_type, site } = group.clone();
                let [psi, chance] = [psi, chance].map(|index| rounded(index, 1e3));
                let [before, now] = means.map_or([None; 2], |means| means.map(|mean| Some(rounded(mean, 1e4))));
                drifts.push(Retraining {
                    key: RetrainingKey { about: About::Drift, task, measure: Some(measure), note_type, site },
                    balance: None,
                    drift: Some(Drift { model: model.clone(), notes: notes as u64, psi, chance, before, now }),
                });
            };
            for (task, series) in Task::ALL.into_iter().zip(&measures.tagged_words) {
                add(Measure::TaggedWords, Some(task), series.shift(notes));
            }
            add(Measure::WordPieces, None, measures.word_pieces.shift(notes));
            add(Measure::Entities, None, measures.entities.shift(notes));
        }
        drifts
    }

    /// Takes in a record of either topic.
    fn read(&mut self, record: Record, config: &Config, format: &dyn WireFormat) {
        let Record { topic, position, value, .. } = record;
        self.next.entry(topic.to_string()).or_default().insert(position.partition, position.offset + 1);
        let Some(value) = value else { return };
        let notes = config.retraining.drift_notes;
        let is_state = *topic == *config.engine.topics.state;
        let read = match is_state {
            true => self.read_state(&value, position.partition, notes),
            false => format.to_json(&topic, &value).ok().and_then(|json| self.read_extraction(&json, notes)),
        };
        if read.is_none() {
            let (partition, offset) = (position.partition, position.offset);
            tracing::warn!(
                "{topic}/{partition} offset {offset} is no {}",
                if is_state { "state" } else { "extraction" }
            );
        }
    }

    /// Takes in what is remembered of a note, if it is that.
    fn read_state(&mut self, value: &[u8], partition: u32, notes: usize) -> Option<()> {
        let state: NoteState = serde_json::from_slice(value).ok()?;
        let is_new = self.newest.get(&partition).is_none_or(|newest| state.offset > *newest);
        if is_new {
            self.newest.insert(partition, state.offset);
        }
        let Some(prediction) = state.prediction.filter(|prediction| self.is_serving(&prediction.model)) else {
            return Some(());
        };
        if !is_new {
            self.again.insert(digest(&state.note_id, state.revision, &prediction.text_hash));
            return Some(());
        }
        let Prediction { note_type, site, words, spans, .. } = prediction;
        let words = Words::from_bytes(&words)?;
        if words.is_empty() {
            return Some(());
        }
        let of = |task: Task| spans.iter().filter(move |span| span.task == task);
        let tagged = |task| words.inside(of(task)).into_iter().filter(|is_inside| *is_inside).count();
        let shares = Task::ALL.map(|task| tagged(task) as f32 / words.len() as f32);
        let entities: Entities = Task::ALL.map(|task| of(task).count() as u32);
        for measures in self.measures_of((note_type, site)) {
            measures.tagged_words.iter_mut().zip(shares).for_each(|(series, share)| series.push(share, notes));
            measures.entities.push(entities, notes);
        }
        Some(())
    }

    /// Takes in the entities of a note, if it is that.
    fn read_extraction(&mut self, json: &[u8], notes: usize) -> Option<()> {
        let extraction: Extraction = serde_json::from_slice(json).ok()?;
        let Coverage { words, word_pieces, .. } = extraction.coverage;
        if words == 0 || !self.is_serving(&extraction.model) {
            return Some(());
        }
        if self.again.remove(&digest(&extraction.note_id, extraction.revision, &extraction.text_hash)) {
            return Some(());
        }
        let pieces = word_pieces as f32 / words as f32;
        for measures in self.measures_of((extraction.note_type, extraction.site)) {
            measures.word_pieces.push(pieces, notes);
        }
        Some(())
    }

    fn is_serving(&self, model: &ModelId) -> bool {
        self.serving.as_ref().is_some_and(|(_, serving)| serving == model)
    }

    /// The measures of the groups that a note of this type and site is in, as far as they are followed.
    fn measures_of(&mut self, (note_type, site): (Option<String>, Option<String>)) -> Vec<&mut Measures> {
        let of_type = note_type.map(|note_type| Group { note_type: Some(note_type), site: None });
        let of_site = site.map(|site| Group { note_type: None, site: Some(site) });
        let groups: Vec<Group> = [Some(Group::default()), of_type, of_site].into_iter().flatten().collect();
        for group in &groups {
            if self.groups.len() < GROUPS_MAX && !self.groups.contains_key(group) {
                self.groups.insert(group.clone(), Measures::default());
            }
        }
        self.groups.iter_mut().filter(|(group, _)| groups.contains(group)).map(|(_, measures)| measures).collect()
    }
}

/// The measure that has drifted most, if one has by so much, and by more than chance makes it.
pub(crate) fn worst(drifts: &[Retraining], drift_psi: f64) -> Option<Drifted> {
    let drifted = drifts.iter().filter_map(|Retraining { key, drift, .. }| {
        let (drift, measure) = (drift.as_ref()?, key.measure?);
        let RetrainingKey { task, note_type, site, .. } = key.clone();
        let is_drift = drift.psi >= drift_psi && drift.psi > drift.chance;
        is_drift.then_some(Drifted { measure, task, note_type, site, psi: drift.psi })
    });
    drifted.max_by(|one, other| one.psi.total_cmp(&other.psi))
}

/// What stands for a revision of a note.
fn digest(note_id: &str, revision: u64, text_hash: &TextHash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (note_id, revision, &text_hash.0).hash(&mut hasher);
    hasher.finish()
}

/// A number to so many parts of one.
fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

#[cfg(test)]
pub(crate) mod tests;
