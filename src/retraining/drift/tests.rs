//! Drift as it is found on a log.

use super::*;
use crate::config::LogConfig;
use crate::retraining::RetrainingConfig;
use std::cell::Cell;
use std::path::Path;
use stillroom_connectors::{Appended, EmbeddedLog};
use stillroom_schemas::{Activation, ActivationCause, OffsetUnit, Span};

/// On each side.
pub(crate) const NOTES: usize = 50;

/// Words of a note.
const WORDS: u32 = 20;

/// Where a log is, and what is written there.
pub(crate) struct Ward {
    pub(crate) config: Config,
    pub(crate) log: EmbeddedLog,
    /// Of the next note.
    offset: Cell<u64>,
}

impl Ward {
    pub(crate) fn new(folder: &Path) -> Ward {
        let config = Config {
            log: LogConfig { dir: folder.to_owned(), ..LogConfig::default() },
            retraining: RetrainingConfig { drift_notes: NOTES, ..RetrainingConfig::default() },
            ..Config::default()
        };
        let (log, topics) = (EmbeddedLog::open(folder).unwrap(), &config.engine.topics);
        for topic in [&topics.state, &topics.extractions, &topics.models] {
            log.create_topic(topic, 1).unwrap();
        }
        Ward { config, log, offset: Cell::new(0) }
    }

    pub(crate) fn append(&self, topic: &str, key: &str, value: Vec<u8>) {
        let (key, value) = (Some(key.as_bytes().to_vec()), Some(value));
        self.log.append(topic, &[Appended { key, value, partition: Some(0), ..Appended::default() }]).unwrap();
    }

    fn activate(&self, model: &str) {
        let activation = Activation {
            model: ModelId(model.to_owned()),
            weights_hash: String::new(),
            previous: ModelId("before".to_owned()),
            cause: ActivationCause::Promotion,
            activated_at: String::new(),
        };
        self.append(&self.config.engine.topics.models, model, serde_json::to_vec(&activation).unwrap());
    }

    /// A live note of a site with so many words of a disease, by this student.
    pub(crate) fn tag(&self, model: &str, site: &str, tagged: u32) {
        self.tag_at(self.offset.replace(self.offset.get() + 1), (model, site, tagged));
    }

    /// The same of a note that may have been tagged before.
    fn tag_at(&self, offset: u64, (model, site, tagged): (&str, &str, u32)) {
        let spans = vec![Span { task: Task::Disease, start: 0, end: 2 * tagged }];
        let prediction = Prediction {
            model: ModelId(model.to_owned()),
            text_hash: TextHash::of(""),
            note_type: None,
            site: Some(site.to_owned()),
            words: Words((0..WORDS).map(|word| 2 * word..2 * word + 1).collect()).to_bytes(),
            spans: if tagged > 0 { spans } else { Vec::new() },
        };
        let state = NoteState {
            note_id: "n".to_owned(),
            revision: offset,
            offset,
            prediction: Some(prediction),
            interpretation: None,
            facts: None,
            dead_lettered: None,
        };
        self.append(&self.config.engine.topics.state, "n", serde_json::to_vec(&state).unwrap());
    }

    /// A note that was cut into so many word pieces.
    fn cut(&self, model: &str, revision: u64, word_pieces: u32) {
        let extraction = Extraction {
            note_id: "n".to_owned(),
            patient_id: None,
            revision,
            note_type: Some("letter".to_owned()),
            site: None,
            signed_at: None,
            text_hash: TextHash::of(""),
            model: ModelId(model.to_owned()),
            interpretation: None,
            offset_unit: OffsetUnit::CodePoint,
            coverage: Coverage { words: WORDS, word_pieces, windows: 1 },
            entities: Vec::new(),
        };
        self.append(&self.config.engine.topics.extractions, "n", serde_json::to_vec(&extraction).unwrap());
    }

    /// What is found by reading on.
    fn look(&self, drift: &mut LiveDrift) -> Vec<Retraining> {
        let wire = Wire::open(&self.config).unwrap();
        assert!(drift.look(&self.config, (&self.log, &wire), &AtomicBool::new(false)).unwrap());
        drift.drifts(&self.config)
    }
}

/// The drift of a measure of the notes of a site.
fn of_site<'a>(drifts: &'a [Retraining], measure: Measure, site: &str) -> &'a Drift {
    let is_meant = |key: &RetrainingKey| {
        key.measure == Some(measure)
            && key.task.is_none_or(|task| task == Task::Disease)
            && key.site.as_deref() == Some(site)
    };
    drifts.iter().find(|said| is_meant(&said.key)).unwrap().drift.as_ref().unwrap()
}

#[test]
fn a_site_that_changes_is_told_and_the_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (ward, mut drift) = (Ward::new(folder.path()), LiveDrift::default());
    ward.activate("s@1");
    let halves = 2 * NOTES as u32;
    for note in 0..halves {
        if note == halves - 1 {
            assert!(ward.look(&mut drift).iter().all(|said| said.key.site.is_none()), "a note is missing");
        }
        ward.tag("s@1", "south", note % 10);
        ward.tag("s@1", "north", if note < NOTES as u32 { note % 10 } else { 10 + note % 10 });
        ward.tag("another@1", "west", note % 10);
    }
    let drifts = ward.look(&mut drift);
    let (north, south) =
        (of_site(&drifts, Measure::TaggedWords, "north"), of_site(&drifts, Measure::TaggedWords, "south"));
    assert_eq!((south.psi, south.before, south.now), (0.0, Some(0.225), Some(0.225)));
    assert_eq!((north.before, north.now, north.notes), (Some(0.225), Some(0.725), NOTES as u64));
    assert!(north.psi > north.chance, "{north:?}");
    assert_eq!(of_site(&drifts, Measure::Entities, "north").psi, 0.0, "they are diseases all the same");
    assert!(drifts.iter().all(|said| said.key.site.as_deref() != Some("west")));

    let worst_one = worst(&drifts, 0.25).unwrap();
    assert_eq!(
        (worst_one.site.as_deref(), worst_one.task, worst_one.psi),
        (Some("north"), Some(Task::Disease), north.psi)
    );
    assert_eq!(worst(&drifts, north.psi + 0.1), None);
    let said = worst_one.to_string();
    assert!(said.starts_with("the share of words tagged as disease of notes of the site north has drifted"), "{said}");

    // Read once more from the beginning, it is the same.
    assert_eq!(ward.look(&mut LiveDrift::default()), drifts);
    // Another student is followed from its own first note.
    ward.activate("another@1");
    let another = ward.look(&mut drift);
    assert!(another.iter().all(|said| said.drift.as_ref().unwrap().model.0 == "another@1"), "{another:?}");
    assert_eq!(of_site(&another, Measure::TaggedWords, "west").psi, 0.0);
}

#[test]
fn a_vocabulary_that_does_not_know_the_words_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (ward, mut drift) = (Ward::new(folder.path()), LiveDrift::default());
    ward.activate("s@1");
    for word_pieces in [WORDS + 5, 2 * WORDS] {
        (0..NOTES).for_each(|_| ward.cut("s@1", 0, word_pieces));
    }
    let drifts = ward.look(&mut drift);
    let of_type: Vec<&Retraining> = drifts.iter().filter(|said| said.key.note_type.is_some()).collect();
    assert_eq!(of_type.len(), 1, "{drifts:?}");
    let found = of_type[0].drift.as_ref().unwrap();
    assert_eq!((of_type[0].key.measure, found.before, found.now), (Some(Measure::WordPieces), Some(1.25), Some(2.0)));
    assert!(worst(&drifts, 0.25).is_some_and(|worst| worst.measure == Measure::WordPieces), "{found:?}");
}

#[test]
fn old_notes_that_are_tagged_again_are_no_notes_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let (ward, mut drift) = (Ward::new(folder.path()), LiveDrift::default());
    let notes = NOTES as u64;
    let live = |model: &str, note: u64| {
        ward.tag(model, "south", note as u32 % 10);
        ward.cut(model, note, WORDS + 5);
    };
    (0..notes).for_each(|note| live("before@1", note));
    ward.activate("s@1");
    for note in 0..2 * notes {
        live("s@1", notes + note);
        if let Some(old) = note.checked_sub(notes) {
            ward.tag_at(old, ("s@1", "south", 15));
            ward.cut("s@1", old, 2 * WORDS);
        }
        // Both by one look and by many.
        if note % 7 == 0 && note < notes + 20 {
            ward.look(&mut drift);
        }
    }
    for drift in [&mut drift, &mut LiveDrift::default()] {
        let drifts = ward.look(drift);
        assert!(drifts.iter().any(|said| said.key.measure == Some(Measure::WordPieces)), "{drifts:?}");
        assert!(drifts.iter().all(|said| said.drift.as_ref().unwrap().psi == 0.0), "{drifts:?}");
        assert!(drift.again.is_empty());
    }
}

#[test]
fn groups_are_bounded_and_all_notes_are_always_one() {
    let mut drift = LiveDrift::default();
    for site in 0..2 * GROUPS_MAX {
        let followed = drift.measures_of((None, Some(site.to_string()))).len();
        // All notes, and the site while there is room.
        assert_eq!(followed, if site + 1 < GROUPS_MAX { 2 } else { 1 }, "{site}");
    }
    assert!(drift.groups.len() == GROUPS_MAX && drift.groups.contains_key(&Group::default()));
}

#[test]
fn what_is_off_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ward = Ward::new(folder.path());
    ward.config.retraining.drift_psi = 0.0;
    let mut drift = LiveDrift::default();
    (0..2 * NOTES).for_each(|_| ward.tag("s@1", "north", 1));
    ward.activate("s@1");
    assert!(ward.look(&mut drift).is_empty());
    assert!(drift.next.is_empty());
}
