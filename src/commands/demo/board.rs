//! What a demo shows: what is committed, as it is.

use super::setting::TEACHER;
use crate::engine::{Committed, Observer, Topics};
use crate::generator::{DemoEvent, GENERATOR};
use crate::highlight;
use anyhow::Result;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stillroom_dataflow::Output;
use stillroom_schemas::{Comparison, Level, ModelId, QualityKey, TopicOffsets};

/// Records that a part of the stream, from its beginning, comes to by topic.
#[derive(Clone)]
pub(super) struct Ends {
    topics: [String; 2],
    notes: u64,
    references: u64,
}

/// Those of some events.
pub(super) fn ends_of(topics: &Topics, events: impl Iterator<Item = DemoEvent>) -> Ends {
    let (mut notes, mut references) = (0, 0);
    for event in events {
        *(if event.is_note() { &mut notes } else { &mut references }) += 1;
    }
    Ends { topics: [topics.notes.clone(), topics.references.clone()], notes, references }
}

impl Ends {
    /// Whether so much is read.
    pub(super) fn are_reached(&self, inputs: &TopicOffsets) -> bool {
        let read = |topic: &String| inputs.get(topic).map_or(0, |offsets| offsets.values().sum::<u64>());
        read(&self.topics[0]) >= self.notes && read(&self.topics[1]) >= self.references
    }
}

/// Who tagged the last note that was committed.
#[derive(Clone, Default)]
pub(super) struct Tagging(Arc<Mutex<Option<ModelId>>>);

impl Tagging {
    /// Whether it was this student.
    pub(super) fn is_by(&self, model: &ModelId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(model)
    }

    /// Remembers who tagged; whether it was another one before.
    fn take_over(&self, model: &ModelId) -> bool {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(model.clone());
        before.is_some_and(|before| before != *model)
    }
}

/// Prints what is committed, and ends the run with the last of it.
pub(super) struct Board {
    /// Of the whole stream.
    pub(super) ends: Ends,
    pub(super) is_coloured: bool,
    /// Whether figures say whose they are.
    pub(super) names_students: bool,
    pub(super) tagging: Tagging,
    pub(super) stop: Arc<AtomicBool>,
}

impl Board {
    fn line(&self, output: &Output) -> Option<String> {
        Some(match output {
            Output::Extracted { extraction, .. } => {
                let entities = extraction.entities.iter().map(|entity| highlight::entity(entity, self.is_coloured));
                let kind = highlight::plain(extraction.note_type.as_deref().unwrap_or("note"));
                let revision = if extraction.revision > 1 { " (amended)" } else { "" };
                let swap = match self.tagging.take_over(&extraction.model) {
                    true => format!("       {} tags from here on\n", extraction.model.0),
                    false => String::new(),
                };
                format!(
                    "{swap}{} {kind}{revision}  {}",
                    highlight::plain(&extraction.note_id),
                    entities.collect::<Vec<_>>().join(" ")
                )
            }
            Output::Withdrawn { state, .. } => format!("{} withdrawn", state.note_id),
            Output::DeadLettered { letter, .. } => {
                format!("{}/{} offset {} dead letter: {}", letter.topic, letter.partition, letter.offset, letter.error)
            }
            _ => return None,
        })
    }

    /// The figures of one comparison that changed, a line a student.
    fn figures(
        &self,
        committed: &Committed<'_>,
        (comparison, reference, what): (Comparison, &str, &str),
    ) -> Vec<String> {
        let mut figures: BTreeMap<&ModelId, Vec<String>> = BTreeMap::new();
        for (key, quality) in committed.quality.iter().filter(|(key, _)| is_headline(key, comparison, reference)) {
            if let Some(quality) = quality {
                figures.entry(&key.model).or_default().push(format!("{} {:.3}", key.task.name(), quality.f1));
            }
        }
        let line = |(model, figures): (&ModelId, Vec<String>)| {
            let is_named = self.names_students && comparison != Comparison::TeachersReference;
            let name = model.0.split_once('@').map_or(model.0.as_str(), |(name, _)| name);
            let whose = if is_named { format!("{name}: ") } else { String::new() };
            format!("       {whose}{what}: {}", figures.join(", "))
        };
        figures.into_iter().map(line).collect()
    }
}

impl Observer for Board {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        let mut shown = std::io::stdout().lock();
        for line in committed.outputs.iter().filter_map(|output| self.line(output)) {
            writeln!(shown, "{line}")?;
        }
        let sides = [
            (Comparison::StudentReference, GENERATOR, "F1 against the generator"),
            (Comparison::StudentTeacher, TEACHER, "agreement with the vocabulary"),
            (Comparison::TeachersReference, GENERATOR, "F1 of the vocabulary"),
        ];
        for line in sides.into_iter().flat_map(|side| self.figures(committed, side)) {
            writeln!(shown, "{line}")?;
        }
        if self.ends.are_reached(&committed.progress.inputs) {
            self.stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// A figure that is shown: words, over all note types and sites; of teachers that of the one that is asked, and not the
/// same once more as that of an ensemble.
pub(super) fn is_headline(key: &QualityKey, comparison: Comparison, reference: &str) -> bool {
    let is_shown = comparison != Comparison::TeachersReference || key.model.0 == TEACHER;
    is_shown && key.level == Level::Word && key.rollup && key.comparison == comparison && key.reference == reference
}
