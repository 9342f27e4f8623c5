//! What people and teachers say of notes, as `Score` and `Examples` keep it: without text, and behind an `Arc`, so that
//! the arrangements share it and merge it without copying.

use crate::panel::LabelOf;
use crate::upserts::{arrange_upserts, stamp};
use crate::{Epoch, ReferenceKey, ReferenceUpsert};
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{Reference, Span, TaskSet, TextHash};
use timely::dataflow::StreamVec;

/// What is kept of a reference or label: its ids are the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Labels {
    pub(crate) is_of_teacher: bool,
    pub(crate) text_hash: TextHash,
    pub(crate) tasks: TaskSet,
    pub(crate) spans: Vec<Span>,
}

/// Who said it, and what.
pub(crate) type Said = (Arc<str>, Arc<Labels>);

/// What several said of a note, of whichever of its texts, by name.
pub(crate) type NoteLabels = Vec<Said>;

type KeptKey = (Arc<str>, Arc<str>, Option<Arc<str>>, u32);
type KeptReference = (u64, Option<Arc<Labels>>);

/// The latest reference of each note and annotator, and the latest label of each text and teacher, by note.
pub(crate) fn latest_labels<'scope>(
    references: StreamVec<'scope, Epoch, ReferenceUpsert>,
) -> VecCollection<'scope, Epoch, (Arc<str>, Said)> {
    let references = stamp(references, "KeepReferences", keep_reference);
    arrange_upserts(references, "References").flat_map_ref(|(note, annotator, ..), (_, labels)| {
        labels.clone().map(|labels| (note.clone(), (annotator.clone(), labels)))
    })
}

/// All that was said of each note, in one row.
pub(crate) fn labels_of_notes<'scope>(
    said: VecCollection<'scope, Epoch, (Arc<str>, Said)>,
) -> VecCollection<'scope, Epoch, (Arc<str>, Arc<NoteLabels>)> {
    said.reduce_named("LabelsOfNote", |_, said, all: &mut Vec<(Arc<NoteLabels>, isize)>| {
        all.push((Arc::new(said.iter().map(|(said, _)| (*said).clone()).collect()), 1));
    })
}

/// Of labels by name one of each teacher, also where partitions that were added, or another producer, put what it said
/// into two.
pub(crate) fn one_of_each<'a>(labels: impl Iterator<Item = &'a Said>) -> NoteLabels {
    let mut labels: NoteLabels = labels.cloned().collect();
    labels.dedup_by(|later, kept| later.0 == kept.0);
    labels
}

/// As the panel takes them.
pub(crate) fn views(labels: &NoteLabels) -> Vec<LabelOf<'_>> {
    let labels = labels.iter();
    labels.map(|(teacher, said)| LabelOf { teacher, tasks: &said.tasks, spans: &said.spans }).collect()
}

fn keep_reference((key, (offset, reference)): ReferenceUpsert) -> (KeptKey, KeptReference) {
    let ReferenceKey { note_id, annotator, text_hash, partition } = key;
    let is_of_teacher = text_hash.is_some();
    let labels = reference.map(|Reference { text_hash, tasks, mut spans, .. }| {
        spans.shrink_to_fit();
        Arc::new(Labels { is_of_teacher, text_hash, tasks, spans })
    });
    ((note_id.into(), annotator.into(), text_hash.map(|hash| hash.0.into()), partition), (offset, labels))
}
