//! What leaves the dataflow, and the one way in which an operator lets a record leave early.

use crate::{CohortChange, Epoch, NoteFactsUpsert, Position, PredictionUpsert, Record};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{Counts, DeadLetter, Extraction, NoteState, QualityKey, Stage, Totals, replays_of};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// What leaves the dataflow. Every record of the notes topic leaves as exactly one of the first four; one that is read again leaves once
/// more, or not at all if its note has changed since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// A revision was read.
    Extracted {
        /// Of the record.
        position: Position,
        /// Its entities.
        extraction: Box<Extraction>,
        /// What is remembered of the note.
        state: NoteState,
        /// Whether the note was read again: this replaces what another student, or another interpretation, said of the same
        /// record.
        is_again: bool,
    },
    /// A note was withdrawn.
    Withdrawn {
        /// Of the tombstone.
        position: Position,
        /// What is remembered of the note.
        state: NoteState,
    },
    /// A revision came too late, or twice.
    Superseded {
        /// Of the record.
        position: Position,
    },
    /// A record could not be processed.
    DeadLettered {
        /// The record.
        letter: Box<DeadLetter>,
        /// Whether this is what became of a record of the notes topic: not of one that is read again, whose entities stay.
        is_note: bool,
        /// What is remembered of the note, if the record got as far as to change that.
        state: Option<NoteState>,
    },
    /// What an earlier run remembered of a note: it changes quality, and is not written again.
    Restored {
        /// The note's partition.
        partition: u32,
        /// What was known.
        state: NoteState,
    },
    /// Everything before offset `next` of an input partition is among the outputs of this epoch or of an earlier one.
    Next {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The next offset to read.
        next: u64,
    },
    /// The counts under a key become (`diff` is 1) or cease to be (`diff` is -1) these.
    Quality {
        /// When: an update may travel ahead of its epoch.
        epoch: Epoch,
        /// What is measured.
        key: QualityKey,
        /// The counts.
        counts: Counts,
        /// 1 or -1.
        diff: isize,
    },
    /// A patient enters or leaves a cohort, or is in it by other evidence.
    Cohort(Box<CohortChange>),
}

impl Output {
    /// What became of the note's record, if this is a note's.
    pub fn outcome(&self) -> Totals {
        let mut totals = Totals::default();
        match self {
            Output::Extracted { is_again: true, .. } => return Totals { retagged: 1, ..totals },
            Output::Extracted { .. } => totals.extracted = 1,
            Output::Withdrawn { .. } => totals.withdrawn = 1,
            Output::Superseded { .. } => totals.superseded = 1,
            Output::DeadLettered { is_note: true, .. } => totals.dead_lettered = 1,
            _ => return totals,
        }
        totals.notes = 1;
        totals
    }

    /// What is now remembered of a note, if that changed.
    pub fn state(&self) -> Option<&NoteState> {
        match self {
            Output::Extracted { state, .. } | Output::Withdrawn { state, .. } | Output::Restored { state, .. } => {
                Some(state)
            }
            Output::DeadLettered { state, .. } => state.as_ref(),
            _ => None,
        }
    }

    /// The partition of the record that this came of; none of quality and cohorts.
    pub fn partition(&self) -> Option<u32> {
        match self {
            Output::Extracted { position, .. }
            | Output::Withdrawn { position, .. }
            | Output::Superseded { position } => Some(position.partition),
            Output::DeadLettered { letter, .. } => Some(letter.partition),
            Output::Restored { partition, .. } | Output::Next { partition, .. } => Some(*partition),
            Output::Quality { .. } | Output::Cohort(_) => None,
        }
    }

    /// The note's prediction as an upsert for `Score`, if it changed.
    pub fn prediction(&self) -> Option<PredictionUpsert> {
        let (state, partition) = (self.state()?, self.partition()?);
        Some(((state.note_id.clone(), partition), (state.revision, state.offset, state.prediction.clone())))
    }

    /// What the note says as an upsert for `Cohorts`, if that changed.
    pub fn facts(&self) -> Option<NoteFactsUpsert> {
        let (state, partition) = (self.state()?, self.partition()?);
        Some(((state.note_id.clone(), partition), (state.revision, state.offset, state.facts.clone())))
    }
}

/// `record` as a dead letter. `error` must not carry text of the note.
pub(crate) fn dead_letter(record: &Record, stage: Stage, error: String) -> Box<DeadLetter> {
    Box::new(DeadLetter {
        topic: record.topic.to_string(),
        partition: record.position.partition,
        offset: record.position.offset,
        stage,
        error,
        key: record.key.clone(),
        value: record.value.clone(),
        replays: replays_of(&record.headers),
    })
}

/// The letter of a note that cannot be read again: what is known of the note stays.
pub(crate) fn letter_of_again(record: &Record, stage: Stage, error: String) -> Output {
    Output::DeadLettered { letter: dead_letter(record, stage, error), is_note: false, state: None }
}

/// A stream in two: what goes on, and what leaves it.
pub(crate) type Forked<'scope, A, B> = (StreamVec<'scope, Epoch, A>, StreamVec<'scope, Epoch, B>);

/// Which way an item goes.
pub(crate) enum Fork<A, B> {
    /// To the next operator.
    On(A),
    /// Off this stream.
    Off(B),
    /// Nowhere.
    Neither,
}

/// Sends each item one of two ways, in the order of arrival.
///
/// Unlike timely's `ok_err` it promises that order, which `LatestNotes` leans on: `for_each_stamp` sorts containers by stamp
/// and may swap two of the same.
pub(crate) fn fork<'scope, D: 'static, A: 'static, B: 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    name: &str,
    mut logic: impl FnMut(D) -> Fork<A, B> + 'static,
) -> Forked<'scope, A, B> {
    let mut builder = OperatorBuilder::new(name.to_owned(), stream.scope());
    let mut input = builder.new_input(stream, Pipeline);
    let (on, ons) = builder.new_output();
    let (off, offs) = builder.new_output();
    let mut on = OutputBuilder::<_, CapacityContainerBuilder<Vec<A>>>::from(on);
    let mut off = OutputBuilder::<_, CapacityContainerBuilder<Vec<B>>>::from(off);
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let (mut on, mut off) = (on.activate(), off.activate());
            input.for_each(|capability, items| {
                let (mut on, mut off) = (on.session(&capability), off.session(&capability));
                for item in items.drain(..) {
                    match logic(item) {
                        Fork::On(item) => on.give(item),
                        Fork::Off(item) => off.give(item),
                        Fork::Neither => {}
                    }
                }
            });
        }
    });
    (ons, offs)
}
