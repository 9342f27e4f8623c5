//! Which notes are to be read again.

use std::collections::{BTreeMap, HashMap};
use stillroom_schemas::{ModelId, NoteState, TextHash};

/// What a state says of the record of a live note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Of the note.
    pub(super) revision: u64,
    /// Where the record stands, or stood.
    pub(super) offset: u64,
    /// Of the text.
    pub(super) text_hash: TextHash,
}

/// A note that is to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The note.
    pub(super) note_id: String,
    /// Its record.
    pub(super) known: Known,
}

/// Notes by partition, and by the offset in the topic of notes that is to be read: that of their record, or of a copy of it.
pub(super) type Places = BTreeMap<u32, BTreeMap<u64, Wanted>>;

/// Live notes whose last state names another student or another interpretation, or lacks what it must have.
pub(super) struct Stale {
    /// Whether a state must say what its note says of the patient.
    needs_facts: bool,
    partitions: BTreeMap<u32, HashMap<String, Known>>,
}

impl Stale {
    pub(super) fn new(needs_facts: bool) -> Stale {
        Stale { needs_facts, partitions: BTreeMap::new() }
    }

    /// Takes note of a state; those of one note come in the order in which they were committed.
    pub(super) fn see(&mut self, partition: u32, state: NoteState, (model, by): (&ModelId, Option<&str>)) {
        let NoteState { note_id, revision, offset, prediction, interpretation, facts, .. } = state;
        let is_otherwise = interpretation.as_deref() != by || self.needs_facts && facts.is_none();
        let notes = self.partitions.entry(partition).or_default();
        match prediction {
            Some(said) if said.model != *model || is_otherwise => {
                notes.insert(note_id, Known { revision, offset, text_hash: said.text_hash });
            }
            // Withdrawn, dead-lettered, or as a note is read now.
            _ => {
                notes.remove(&note_id);
            }
        }
    }

    /// Where they are, and how many.
    pub(super) fn into_places(self) -> (Places, usize) {
        let wanted = |(note_id, known): (String, Known)| (known.offset, Wanted { note_id, known });
        let of_partition = |(partition, notes): (u32, HashMap<String, Known>)| {
            (partition, notes.into_iter().map(wanted).collect::<BTreeMap<u64, Wanted>>())
        };
        let places: Places = self.partitions.into_iter().map(of_partition).collect();
        let notes = places.values().map(BTreeMap::len).sum();
        (places, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{NoteFacts, Prediction};

    /// States as `note offset student`, with what it was interpreted by, without a student of notes that are not live.
    #[test]
    fn the_last_state_of_a_note_counts() {
        let stale_of = |states: &str| {
            let mut stale = Stale::new(false);
            for state in states.split(';') {
                let mut words = state.split_whitespace();
                let (note_id, offset) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
                let prediction = words.next().map(|model| Prediction {
                    model: ModelId(model.to_owned()),
                    text_hash: TextHash::of(""),
                    note_type: None,
                    site: None,
                    words: Vec::new(),
                    spans: Vec::new(),
                });
                let interpretation = words.next().map(str::to_owned);
                let state = NoteState {
                    note_id,
                    revision: 0,
                    offset,
                    prediction,
                    interpretation,
                    facts: None,
                    dead_lettered: None,
                };
                stale.see(0, state, (&ModelId("b".to_owned()), Some("new")));
            }
            let (places, notes) = stale.into_places();
            let offsets: Vec<u64> = places.into_values().flat_map(BTreeMap::into_keys).collect();
            assert_eq!(offsets.len(), notes);
            offsets
        };
        assert_eq!(stale_of("x 4 a new; y 2 a new; z 3 b new"), [2, 4]);
        assert_eq!(stale_of("x 0 a new; x 5 a new; y 1 a new; y 6 b new"), [5], "amended");
        assert_eq!(stale_of("x 0 a new; x 7; y 1 a new"), [1], "withdrawn");
        assert_eq!(stale_of("x 0 a new; x 0 b new; y 1 b new; y 1 a new"), [1], "tagged again, and back");
        assert_eq!(stale_of("x 0 b old; y 1 b; z 2 b new"), [0, 1], "another lexicon, or none");
        assert_eq!(stale_of("x 0 b old; x 0 b new; y 1 b new"), [0; 0]);
    }
    #[test]
    fn a_note_that_cohorts_cannot_count_is_read_again() {
        let state = |offset, facts| {
            let prediction = Prediction {
                model: ModelId("b".to_owned()),
                text_hash: TextHash::of(""),
                note_type: None,
                site: None,
                words: Vec::new(),
                spans: Vec::new(),
            };
            let (note_id, prediction) = (u64::to_string(&offset), Some(prediction));
            NoteState { note_id, revision: 0, offset, prediction, interpretation: None, facts, dead_lettered: None }
        };
        let offsets = |needs_facts| -> Vec<u64> {
            let mut stale = Stale::new(needs_facts);
            let states = [state(1, None), state(2, Some(NoteFacts::default())), state(3, None)];
            states.into_iter().for_each(|state| stale.see(0, state, (&ModelId("b".to_owned()), None)));
            stale.into_places().0.into_values().flat_map(BTreeMap::into_keys).collect()
        };
        assert_eq!((offsets(true), offsets(false)), (vec![1, 3], vec![]));
    }
}
