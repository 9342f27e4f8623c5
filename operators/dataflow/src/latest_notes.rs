//! Which revision of a note is the latest.
//!
//! In: what happens to notes. Out: the revisions to read, and what leaves at once: superseded records, withdrawals and what an
//! earlier run knew. A note is a note_id in a partition: under the same note_id another partition has another note, as it is with
//! the keys of a compacted topic. State: for each note ever seen its greatest revision, the offset that carried it and 128 bits of
//! the hash of its text; never the text. Emits at once: what becomes of a record depends on the records before it in its partition, and
//! on nothing else, so it is the same however the input is cut into epochs.

use crate::output::{Fork, Forked, fork};
use crate::{Epoch, NoteEvent, NoteRecord, Output};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU128;
use stillroom_schemas::{NoteState, TextHash};
use timely::dataflow::StreamVec;

/// Lets the latest revision of each note pass.
pub trait LatestNotes<'scope> {
    /// Lets a revision pass if it overtakes what is known of its note. All records of one note must come to one worker, in
    /// offset order: the source reads a partition on one worker, and every edge up to here is first in, first out.
    ///
    /// A higher revision overtakes; so does the same revision at a later offset, unless it is the same text again. A tombstone
    /// keeps the revision that it withdraws: the same or a higher one reinstates the note.
    ///
    /// A record that is read again passes if it is the very record that is known of its note, and is dropped if the note was amended
    /// or withdrawn since, also in the same epoch.
    ///
    /// ```
    /// use stillroom_dataflow::{LatestNotes, NoteEvent, NoteRecord, Position, Record};
    /// use stillroom_schemas::{Note, TextHash};
    /// use timely::dataflow::operators::{Capture, ToStream, capture::Extract, vec::Map};
    ///
    /// let (latest, overtaken) = timely::execute_directly(|worker| {
    ///     worker.dataflow::<u64, _, _>(|scope| {
    ///         let revised = |offset, revision: u64, text: &str| {
    ///             let note = serde_json::json!({"note_id": "n1", "revision": revision, "text": text});
    ///             let note: Note = serde_json::from_value(note).unwrap();
    ///             let position = Position { partition: 0, offset };
    ///             let record = Record { topic: "notes".into(), position, ..Record::default() };
    ///             let text_hash = TextHash::of(text);
    ///             NoteEvent::Revised(Box::new(NoteRecord { note, text_hash, record: record.into(), is_again: false }))
    ///         };
    ///         let history = [revised(0, 1, "Fever."), revised(1, 2, "No fever."), revised(2, 1, "Late.")];
    ///         let (latest, overtaken) = history.to_stream(scope).container::<Vec<_>>().latest_notes();
    ///         let latest = latest.map(|note| note.note.revision);
    ///         let overtaken = overtaken.map(|output| output.outcome().superseded);
    ///         (latest.capture(), overtaken.capture())
    ///     })
    /// });
    /// assert_eq!(latest.extract(), [(0, vec![1, 2])]);
    /// assert_eq!(overtaken.extract(), [(0, vec![1])]);
    /// ```
    fn latest_notes(self) -> Forked<'scope, Box<NoteRecord>, Output>;
}

impl<'scope> LatestNotes<'scope> for StreamVec<'scope, Epoch, NoteEvent> {
    fn latest_notes(self) -> Forked<'scope, Box<NoteRecord>, Output> {
        let mut registers = NoteRegisters::default();
        fork(self, "LatestNotes", move |event| registers.settle(event))
    }
}

/// What is known of every note, by partition.
#[derive(Default)]
struct NoteRegisters {
    partitions: BTreeMap<u32, NoteRegister>,
}

/// What is known of every note of a partition.
#[derive(Default)]
struct NoteRegister {
    notes: HashMap<Box<str>, Known>,
}

/// What is known of one note.
#[derive(Clone, Copy)]
struct Known {
    revision: u64,
    offset: u64,
    /// Absent while the note is withdrawn.
    text: Option<NonZeroU128>,
}

impl NoteRegisters {
    fn of(&mut self, partition: u32) -> &mut NoteRegister {
        self.partitions.entry(partition).or_default()
    }

    /// Either the revision to read or what leaves at once.
    fn settle(&mut self, event: NoteEvent) -> Fork<Box<NoteRecord>, Output> {
        match event {
            NoteEvent::Revised(note) if note.is_again => {
                let position = note.record.position;
                let register = self.of(position.partition);
                let is_known = register.knows(&note.note.note_id, note.note.revision, position.offset, &note.text_hash);
                if is_known { Fork::On(note) } else { Fork::Neither }
            }
            NoteEvent::Revised(note) => {
                let position = note.record.position;
                let register = self.of(position.partition);
                if register.admit(&note.note.note_id, note.note.revision, position.offset, &note.text_hash) {
                    Fork::On(note)
                } else {
                    Fork::Off(Output::Superseded { position })
                }
            }
            NoteEvent::Withdrawn { note_id, position } => {
                let revision = self.of(position.partition).withdraw(&note_id, position.offset);
                let state = NoteState {
                    note_id,
                    revision,
                    offset: position.offset,
                    prediction: None,
                    interpretation: None,
                    facts: None,
                    dead_lettered: None,
                };
                Fork::Off(Output::Withdrawn { position, state })
            }
            NoteEvent::Restored { partition, state } => {
                self.of(partition).restore(&state);
                Fork::Off(Output::Restored { partition, state: *state })
            }
        }
    }
}

impl NoteRegister {
    /// Whether the revision overtakes what is known: a higher one does, and so does the same revision at a later offset if
    /// the text is another or the note was withdrawn.
    fn admit(&mut self, note_id: &str, revision: u64, offset: u64, text: &TextHash) -> bool {
        let text = digest(text);
        let known = self.notes.get(note_id);
        let is_duplicate = known.is_some_and(|known| known.revision == revision && known.text == Some(text));
        let is_later = known.is_none_or(|known| (revision, offset) > (known.revision, known.offset));
        if is_duplicate || !is_later {
            return false;
        }
        self.put(note_id, Known { revision, offset, text: Some(text) });
        true
    }

    /// Whether this very record is what is known of its note.
    fn knows(&self, note_id: &str, revision: u64, offset: u64, text: &TextHash) -> bool {
        let text = Some(digest(text));
        self.notes
            .get(note_id)
            .is_some_and(|known| (known.revision, known.offset, known.text) == (revision, offset, text))
    }

    /// The revision that is withdrawn; 0 if the note was never seen.
    fn withdraw(&mut self, note_id: &str, offset: u64) -> u64 {
        let revision = self.notes.get(note_id).map_or(0, |known| known.revision);
        self.put(note_id, Known { revision, offset, text: None });
        revision
    }

    /// Takes over what an earlier run knew; among several states of one note the latest counts.
    fn restore(&mut self, state: &NoteState) {
        let known = self.notes.get(state.note_id.as_str());
        if known.is_none_or(|known| (state.revision, state.offset) > (known.revision, known.offset)) {
            let text = state.prediction.as_ref().map(|prediction| &prediction.text_hash);
            let text = text.or(state.dead_lettered.as_ref()).map(digest);
            self.put(&state.note_id, Known { revision: state.revision, offset: state.offset, text });
        }
    }

    /// Allocates a key only for a note that is new.
    fn put(&mut self, note_id: &str, known: Known) {
        match self.notes.get_mut(note_id) {
            Some(entry) => *entry = known,
            None => {
                self.notes.insert(note_id.into(), known);
            }
        }
    }
}

/// Half of a SHA-256 tells the texts of one note apart, in a quarter of the memory of its hexadecimal form.
fn digest(hash: &TextHash) -> NonZeroU128 {
    let half = hash.0.get(..32).and_then(|digits| u128::from_str_radix(digits, 16).ok());
    half.and_then(NonZeroU128::new).unwrap_or(NonZeroU128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records of one partition, `id revision text` or `id -`; `restart` makes a new register from the states, and `again 0` reads the
    /// first record again.
    fn check(history: &str, expected: &str) {
        let (mut register, mut states) = (NoteRegister::default(), Vec::new());
        let mut outcomes = Vec::new();
        let steps: Vec<&str> = history.split(';').collect();
        for (offset, step) in steps.iter().enumerate() {
            let offset = offset as u64;
            let words: Vec<&str> = step.split_whitespace().collect();
            outcomes.push(match words[..] {
                ["restart"] => {
                    register = NoteRegister::default();
                    states.iter().for_each(|state| register.restore(state));
                    "restart".to_owned()
                }
                ["again", at] => {
                    let at: usize = at.parse().unwrap();
                    let record: Vec<&str> = steps[at].split_whitespace().collect();
                    let (id, revision, text) = (record[0], record[1].parse().unwrap(), TextHash::of(record[2]));
                    let is_known = register.knows(id, revision, at as u64, &text);
                    if is_known { "passed".to_owned() } else { "dropped".to_owned() }
                }
                [id, "-"] => {
                    let revision = register.withdraw(id, offset);
                    states.push(state_of(id, revision, offset, None));
                    format!("withdrawn{revision}")
                }
                [id, revision, text] => {
                    let revision = revision.parse().unwrap();
                    let hash = TextHash::of(text);
                    let is_admitted = register.admit(id, revision, offset, &hash);
                    if is_admitted {
                        states.push(state_of(id, revision, offset, Some(hash)));
                    }
                    if is_admitted { "admitted".to_owned() } else { "superseded".to_owned() }
                }
                _ => unreachable!("{step} is no step"),
            });
        }
        assert_eq!(outcomes.join(" "), expected, "{history}");
    }

    fn state_of(id: &str, revision: u64, offset: u64, dead_lettered: Option<TextHash>) -> NoteState {
        NoteState {
            note_id: id.to_owned(),
            revision,
            offset,
            prediction: None,
            interpretation: None,
            facts: None,
            dead_lettered,
        }
    }

    #[test]
    fn revisions() {
        check("a 1 x; a 2 y; a 1 x; b 0 x", "admitted admitted superseded admitted");
        check("a 1 x; a 1 x; a 1 y; a 1 x", "admitted superseded admitted admitted");
        check("a 3 x; a 2 y; a 3 x", "admitted superseded superseded");
    }

    #[test]
    fn withdrawals() {
        check("a 2 x; a -; a 1 x; a 2 x; a 2 x", "admitted withdrawn2 superseded admitted superseded");
        check("a -; a -; a 0 x", "withdrawn0 withdrawn0 admitted");
        check("a 2 x; a -; a 3 y; a -", "admitted withdrawn2 admitted withdrawn3");
    }

    #[test]
    fn a_restart_changes_nothing() {
        check("a 1 x; restart; a 1 x; a 2 x", "admitted restart superseded admitted");
        check("a 1 x; a 4 y; a -; restart; a 2 x; a 4 y", "admitted admitted withdrawn4 restart superseded admitted");
    }

    #[test]
    fn what_is_read_again_passes_if_nothing_has_changed() {
        check("a 1 x; again 0; again 0; a 1 x; again 0; again 3", "admitted passed passed superseded passed dropped");
        check("a 1 x; a 2 y; again 0; again 1; a 2 z; again 1", "admitted admitted dropped passed admitted dropped");
        check("a 1 x; a -; again 0; a 1 x; again 0; again 3", "admitted withdrawn1 dropped admitted dropped passed");
        check("a 1 x; restart; again 0; a 1 y; restart; again 0", "admitted restart passed admitted restart dropped");
        check("b 1 x; a 1 x; again 1; again 0", "admitted admitted passed passed");
    }

    #[test]
    fn a_damaged_hash_is_still_a_hash() {
        assert_eq!(digest(&TextHash("not hexadecimal".to_owned())), NonZeroU128::MAX);
        assert_ne!(digest(&TextHash::of("a")), digest(&TextHash::of("b")));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Revise(u8, u64, u8),
        Withdraw(u8),
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0..3u8, 0..4u64, 0..2u8).prop_map(|(id, revision, text)| Step::Revise(id, revision, text)),
            2 => (0..3u8).prop_map(Step::Withdraw),
            1 => Just(Step::Restart),
        ];
        proptest::collection::vec(step, 0..60)
    }

    /// The whole history of one note, read anew for every record: the definition, without a register.
    fn is_admitted(history: &[(u64, Option<u8>)], revision: u64, text: u8) -> bool {
        let greatest = history.iter().map(|(revision, _)| *revision).max();
        let current = history.last().and_then(|(_, text)| *text);
        match greatest {
            None => true,
            Some(greatest) => revision > greatest || revision == greatest && current != Some(text),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(steps in steps()) {
            let (mut register, mut states) = (NoteRegister::default(), Vec::new());
            let mut histories: HashMap<u8, Vec<(u64, Option<u8>)>> = HashMap::new();
            for (offset, step) in steps.into_iter().enumerate() {
                let offset = offset as u64;
                match step {
                    Step::Revise(id, revision, text) => {
                        let history = histories.entry(id).or_default();
                        let expected = is_admitted(history, revision, text);
                        let hash = TextHash::of(&text.to_string());
                        prop_assert_eq!(register.admit(&id.to_string(), revision, offset, &hash), expected);
                        if expected {
                            history.push((revision, Some(text)));
                            states.push(state_of(&id.to_string(), revision, offset, Some(hash)));
                        }
                    }
                    Step::Withdraw(id) => {
                        let history = histories.entry(id).or_default();
                        let revision = register.withdraw(&id.to_string(), offset);
                        prop_assert_eq!(revision, history.last().map_or(0, |(revision, _)| *revision));
                        history.push((revision, None));
                        states.push(state_of(&id.to_string(), revision, offset, None));
                    }
                    Step::Restart => {
                        register = NoteRegister::default();
                        // The changelog is read partition by partition, so the order of states is not the order of time.
                        states.iter().rev().for_each(|state| register.restore(state));
                    }
                }
            }
        }
    }
}
