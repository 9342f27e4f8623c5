//! The demo's input: a stream of synthetic clinical notes and of references for them.
//!
//! **Everything here is made up.** No patient, clinician or hospital is real; sentences, vocabulary and events come from the tables
//! and templates beside this file, written for the demo. Nothing of it was used to train or tune the student, and figures measured
//! on it say how the stream behaves and not how good a student is on real notes.
//!
//! The references are known by construction: the writer notes where it puts a disease, a medication or a symptom, in code points.
//! Negated, hypothetical and relatives' mentions are among them, as what is extracted is mentions.
//!
//! The same seed gives the same events, byte for byte, in every version of this module's tables. Events of different notes overlap
//! as in a hospital: notes are signed, some are amended, withdrawn, reinstated, sent twice, sent late in an older revision, or
//! broken on the way; references come before their note, with it, long after it, or never; some are corrected or withdrawn, some
//! notes have a second annotator who does not always agree.
mod rng;
mod templates;
mod vocabulary;
mod writer;

#[cfg(test)]
mod tests;

use rng::SplitMix64;
use std::collections::BTreeMap;
use stillroom_dataflow::reference_key;
use stillroom_schemas::{Note, Reference, Span, Task, TaskSet, TextHash};
use vocabulary::SITES;
use writer::Draft;

/// The annotator whose references are known by construction.
pub const GENERATOR: &str = "generator";
/// The annotator who reads some of the notes too, and sometimes errs.
pub const SECOND_READER: &str = "second_reader";

/// The names that the demo's teacher knows, as tab-separated values with the columns `id` and `synonym`: many, and not all that are in
/// the notes.
pub fn teacher_vocabulary(task: Task) -> String {
    let line = |(at, name): (usize, &str)| format!("{}:{at}\t{name}\n", task.name());
    let lines = vocabulary::known_names(task).into_iter().enumerate().map(line);
    ["id\tsynonym\n".to_owned()].into_iter().chain(lines).collect()
}

/// So many notes alone, in their first revision: those of a [`DemoStream`] of the same seed.
pub fn notes(seed: u64, count: u64) -> impl Iterator<Item = Note> {
    (0..count).map(move |index| Story::new(index, &mut SplitMix64::of(seed, index)).note)
}

/// The same notes with every mention in them, in code points: what [`GENERATOR`] says of them when it is not hasty.
pub fn annotated_notes(seed: u64, count: u64) -> impl Iterator<Item = (Note, Vec<Span>)> {
    (0..count).map(move |index| {
        let Story { note, draft } = Story::new(index, &mut SplitMix64::of(seed, index));
        (note, draft.spans)
    })
}

/// Events between a note and what happens to it later, at most. Bounds what the stream holds in memory.
const DELAY_MAX: u64 = 60;
/// One note in so many is sent broken first and whole afterwards.
const BROKEN_EVERY: u64 = 120;
/// The first of them, early enough for a short demo.
const BROKEN_FIRST: u64 = 17;

/// One record as it goes to the log: a key, and a value or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DemoEvent {
    /// For the notes topic: key `note_id`, value `note.v1`, now and then something that is none.
    Note {
        /// The note.
        key: Vec<u8>,
        /// The revision, or nothing to withdraw the note.
        value: Option<Vec<u8>>,
    },
    /// For the references topic: key as [`reference_key`] makes it, value `reference.v1`.
    Reference {
        /// The note and the annotator.
        key: Vec<u8>,
        /// The reference, or nothing to withdraw it.
        value: Option<Vec<u8>>,
    },
}

impl DemoEvent {
    /// Whether it is for the notes topic.
    pub fn is_note(&self) -> bool {
        matches!(self, DemoEvent::Note { .. })
    }

    /// Its key and value.
    pub fn record(&self) -> (&[u8], Option<&[u8]>) {
        let (DemoEvent::Note { key, value } | DemoEvent::Reference { key, value }) = self;
        (key, value.as_deref())
    }
}

/// The events of a number of synthetic notes.
#[derive(Clone, Debug)]
pub struct DemoStream {
    seed: u64,
    notes: u64,
    /// The next note to write.
    next: u64,
    /// What is still to come, by time and order.
    pending: BTreeMap<(u64, u64), DemoEvent>,
    /// Numbers events of the same time.
    scheduled: u64,
}

impl DemoStream {
    /// The events of `notes` notes; those of a longer stream of the same seed begin alike.
    pub fn new(seed: u64, notes: u64) -> DemoStream {
        DemoStream { seed, notes, next: 0, pending: BTreeMap::new(), scheduled: 0 }
    }

    fn at(&mut self, time: u64, event: DemoEvent) {
        self.pending.insert((time, self.scheduled), event);
        self.scheduled += 1;
    }

    fn schedule_note(&mut self, index: u64) {
        let mut rng = SplitMix64::of(self.seed, index);
        let mut story = Story::new(index, &mut rng);
        // A reference can come before its note: the note itself is late then.
        let signed = if rng.chance(6) { index + rng.between(1, 12) } else { index };
        if index % BROKEN_EVERY == BROKEN_FIRST {
            let broken = broken_record(&story.note, index / BROKEN_EVERY);
            self.at(signed, DemoEvent::Note { key: story.key(), value: Some(broken) });
        }
        self.at(signed, story.note_event());
        self.schedule_references(&story, (index, signed), &mut rng);
        if rng.chance(3) {
            self.at(signed + rng.between(0, 3), story.note_event());
        }
        if rng.chance(9) {
            let first = story.note_event();
            let amended = signed + rng.between(0, 30);
            story.amend(&mut rng);
            self.at(amended, story.note_event());
            self.schedule_references(&story, (amended, amended), &mut rng);
            if rng.chance(25) {
                self.at(amended + rng.between(0, 5), first);
            }
        }
        if rng.chance(4) {
            let withdrawn = signed + 31 + rng.below(DELAY_MAX - 31);
            self.at(withdrawn, DemoEvent::Note { key: story.key(), value: None });
            if rng.chance(30) {
                story.amend(&mut rng);
                self.at(withdrawn + rng.between(1, 9), story.note_event());
            }
        }
    }

    /// References of the story's current text: `earliest` is when the text exists, `signed` when the note is out.
    fn schedule_references(&mut self, story: &Story, (earliest, signed): (u64, u64), rng: &mut SplitMix64) {
        let labelled = match rng.below(100) {
            0..12 => return,
            12..40 => earliest,
            40..72 => signed,
            _ => signed + rng.between(5, DELAY_MAX),
        };
        let tasks = if rng.chance(12) { TaskSet::from([rng.pick(&Task::ALL)]) } else { TaskSet::from(Task::ALL) };
        let spans: Vec<Span> = story.draft.spans.iter().filter(|span| tasks.contains(&span.task)).copied().collect();
        if rng.chance(5) {
            // Labelled in haste, corrected later.
            let hasty = spans.iter().filter(|_| !rng.chance(30)).copied().collect();
            self.at(labelled, story.reference_event(GENERATOR, &tasks, hasty));
            self.at(labelled + rng.between(1, 20), story.reference_event(GENERATOR, &tasks, spans.clone()));
        } else {
            self.at(labelled, story.reference_event(GENERATOR, &tasks, spans.clone()));
        }
        if rng.chance(20) {
            let spans = spans.iter().filter_map(|span| second_reading(*span, &story.draft, rng)).collect();
            self.at(labelled + rng.between(1, 30), story.reference_event(SECOND_READER, &tasks, spans));
        }
        if rng.chance(2) {
            let key = reference_key(&story.note.note_id, GENERATOR);
            self.at(labelled + rng.between(21, DELAY_MAX), DemoEvent::Reference { key, value: None });
        }
    }
}

impl Iterator for DemoStream {
    type Item = DemoEvent;

    fn next(&mut self) -> Option<DemoEvent> {
        loop {
            // Whatever is written from now on comes at the time of the next note or later.
            if let Some(entry) = self.pending.first_entry()
                && (self.next == self.notes || entry.key().0 < self.next)
            {
                return Some(entry.remove());
            }
            if self.next == self.notes {
                return None;
            }
            self.schedule_note(self.next);
            self.next += 1;
        }
    }
}

/// One note over its revisions.
struct Story {
    note: Note,
    draft: Draft,
}

impl Story {
    fn new(index: u64, rng: &mut SplitMix64) -> Story {
        let (note_type, draft) = writer::write_note(rng);
        let note = Note {
            note_id: format!("demo-{index:06}"),
            patient_id: rng.chance(95).then(|| format!("patient-{:04}", rng.below(index / 3 + 1))),
            revision: 1,
            note_type: Some(note_type.name.to_string()),
            site: Some(rng.pick(SITES).to_string()),
            signed_at: Some(signed_at(index)),
            text: draft.text.clone(),
        };
        Story { note, draft }
    }

    fn amend(&mut self, rng: &mut SplitMix64) {
        writer::write_addendum(&mut self.draft, rng);
        self.note.revision += 1;
        self.note.text.clone_from(&self.draft.text);
    }

    fn key(&self) -> Vec<u8> {
        self.note.note_id.clone().into_bytes()
    }

    fn note_event(&self) -> DemoEvent {
        let value = serde_json::to_vec(&self.note).expect("a note has a JSON form");
        DemoEvent::Note { key: self.key(), value: Some(value) }
    }

    fn reference_event(&self, annotator: &str, tasks: &TaskSet, spans: Vec<Span>) -> DemoEvent {
        let reference = Reference {
            note_id: self.note.note_id.clone(),
            annotator: annotator.to_string(),
            text_hash: TextHash::of(&self.note.text),
            tasks: tasks.clone(),
            spans,
        };
        let value = serde_json::to_vec(&reference).expect("a reference has a JSON form");
        DemoEvent::Reference { key: reference_key(&self.note.note_id, annotator), value: Some(value) }
    }
}

/// A span as the second reader marks it: mostly the same, now and then missed, or begun one word late.
fn second_reading(span: Span, draft: &Draft, rng: &mut SplitMix64) -> Option<Span> {
    match rng.below(100) {
        0..6 => None,
        6..12 => {
            let mention = draft.text.chars().skip(span.start as usize).take((span.end - span.start) as usize);
            let first_word = mention.take_while(|character| *character != ' ').count() as u32 + 1;
            Some(if span.start + first_word < span.end {
                Span { start: span.start + first_word, ..span }
            } else {
                span
            })
        }
        _ => Some(span),
    }
}

/// What arrives when a note is broken on the way: cut off, not UTF-8, or without its text.
fn broken_record(note: &Note, kind: u64) -> Vec<u8> {
    let mut record = serde_json::to_value(note).expect("a note has a JSON form");
    if kind % 3 == 2 {
        record.as_object_mut().expect("a note is an object").remove("text");
    }
    let mut bytes = record.to_string().into_bytes();
    let middle = bytes.len() / 2;
    match kind % 3 {
        0 => bytes.truncate(middle),
        1 => bytes[middle] = 0xff,
        _ => {}
    }
    bytes
}

/// Eleven minutes after the note before, from 2031 on, in months of 28 days: always a valid RFC 3339 time, always rising.
fn signed_at(index: u64) -> String {
    let minutes = index * 11;
    let (minute, hour, day) = (minutes % 60, minutes / 60 % 24, minutes / 1440);
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:00Z", 2031 + day / 336, 1 + day / 28 % 12, 1 + day % 28)
}
