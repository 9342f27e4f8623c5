//! What was extracted since a part: of each note the last.

use crate::cohorts::NoteKey;
use crate::export::folder::Offsets;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use stillroom_dataflow::{Record, WireFormat};
use stillroom_schemas::Extraction;

/// Bytes of extractions, as they stand on their topic, from which on a part is full.
const BYTES_MAX: usize = 64 << 20;

/// Notes by what became of them last.
#[derive(Default)]
pub(super) struct Changes {
    notes: BTreeMap<NoteKey, Change>,
    bytes: usize,
    to: Offsets,
}

/// What became of a note.
enum Change {
    Extracted(Box<Extraction>),
    /// It has no entities any more, and was of this patient, where that is known.
    Withdrawn(Option<String>),
}

/// What changed, in two.
pub(super) struct Split {
    /// Notes with what was extracted from them.
    pub(super) extracted: BTreeMap<NoteKey, Extraction>,
    /// Notes that have no entities any more, each with its patient, where that is known.
    pub(super) withdrawn: Vec<(String, Option<String>)>,
    /// Where each partition is read on from.
    pub(super) to: Offsets,
}

impl Changes {
    /// Nothing yet, after these offsets.
    pub(super) fn after(to: Offsets) -> Changes {
        Changes { to, ..Changes::default() }
    }

    /// Where each partition is read on from.
    pub(super) fn to(&self) -> &Offsets {
        &self.to
    }

    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Whether so many notes changed, or so much that memory is to be spared.
    pub(super) fn is_full(&self, notes_max: usize) -> bool {
        self.notes.len() >= notes_max || self.bytes >= BYTES_MAX
    }

    /// Takes in the next record of the topic of extractions.
    ///
    /// # Errors
    /// When it is no extraction.
    pub(super) fn take(&mut self, record: &Record, format: &dyn WireFormat) -> Result<()> {
        let position = record.position;
        // What a parser says may quote the text.
        let unreadable = || {
            format!(
                "{}/{} offset {} is no extraction; export with the version of stillroom that wrote it, or later",
                record.topic, position.partition, position.offset
            )
        };
        let note_id = String::from_utf8(record.key.clone().unwrap_or_default()).ok().with_context(unreadable)?;
        let key = (position.partition, note_id);
        let change = match &record.value {
            Some(value) => {
                let json = format.to_json(&record.topic, value).with_context(unreadable)?;
                let extraction: Extraction = serde_json::from_slice(&json).ok().with_context(unreadable)?;
                Change::Extracted(Box::new(extraction))
            }
            None => Change::Withdrawn(self.notes.remove(&key).and_then(Change::patient_id)),
        };
        self.bytes += record.bytes();
        self.notes.insert(key, change);
        self.to.insert(position.partition, position.offset + 1);
        Ok(())
    }

    /// What changed, by what became of it.
    pub(super) fn split(self) -> Split {
        let (mut extracted, mut withdrawn) = (BTreeMap::new(), Vec::new());
        for (key, change) in self.notes {
            match change {
                Change::Extracted(extraction) => drop(extracted.insert(key, *extraction)),
                Change::Withdrawn(patient_id) => withdrawn.push((key.1, patient_id)),
            }
        }
        Split { extracted, withdrawn, to: self.to }
    }
}

impl Change {
    fn patient_id(self) -> Option<String> {
        match self {
            Change::Extracted(extraction) => extraction.patient_id,
            Change::Withdrawn(patient_id) => patient_id,
        }
    }
}
