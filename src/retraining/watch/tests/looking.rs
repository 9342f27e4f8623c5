//! What a look does, where live figures say that a student does worse.

use super::*;
use crate::flaky::{Flaky, Outages};
use crate::retraining::book::tests::{change, example};
use crate::retraining::live::tests::log;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stillroom_connectors::Appended;
use stillroom_dataflow::{Example, ExampleChange, ExampleKey, ExampleSource};
use stillroom_schemas::Progress;
use tempfile::TempDir;

const NOTES: u64 = 50;

/// `s@1` serves in the place of `r@1`, which the registry does not have, and does worse.
struct Ward {
    /// Removed at the end.
    _folder: TempDir,
    config: Config,
    log: Flaky,
    book: Book,
    live: LiveF1,
}

impl Ward {
    /// Every fifth note is held out.
    fn new() -> Ward {
        let folder = tempfile::tempdir().unwrap();
        let config = config_in(folder.path());
        let log = log(&config, &[("r@1", 60, 900), ("s@1", 60, 500)]);
        let topic = &config.engine.topics.notes;
        log.create_topic(topic, 1).unwrap();
        let record = |note: u64| {
            let value =
                serde_json::json!({ "note_id": format!("n{note}"), "text": format!("text {note}") }).to_string();
            Appended { key: Some(format!("n{note}").into()), value: Some(value.into()), ..Appended::default() }
        };
        log.append(topic, &(0..NOTES).map(record).collect::<Vec<_>>()).unwrap();
        let mut book = Book::default();
        book.apply((0..NOTES).map(|note| change(1, of(note, 0), 1)).collect());
        let log = Flaky { log, progress: Progress::default(), outages: Arc::new(Outages::default()) };
        let mut ward = Ward { _folder: folder, config, log, book, live: LiveF1::default() };
        // From here on a look reads the topic of notes alone.
        ward.live.look(&ward.config, (&ward.log, &Wire::Plain)).unwrap();
        ward
    }

    /// A look with a log that is away as soon as notes are read: whether it was, or else whether anybody was rolled
    /// back.
    fn look_without_notes(&mut self) -> (bool, Result<bool>) {
        self.log.outages.poll.store(1, Ordering::SeqCst);
        let rolled_back = self.look();
        (self.log.outages.poll.swap(0, Ordering::SeqCst) == 0, rolled_back)
    }

    /// Whether anybody was rolled back.
    fn look(&mut self) -> Result<bool> {
        let Ward { config, log, book, live, .. } = self;
        look(config, (&*log, &Wire::Plain), live, (&*book, &AtomicBool::new(false)))
            .map(|rolled_back| rolled_back.is_some())
    }
}

fn config_in(folder: &Path) -> Config {
    let mut config = Config::default();
    (config.retraining.dir, config.log.dir) = (folder.join("retraining"), folder.join("log"));
    config.models.registry = folder.join("registry").to_str().unwrap().to_owned();
    config.retraining.dev = 0.5;
    std::fs::create_dir_all(&config.retraining.dir).unwrap();
    config
}

/// What people say of a note, as an example.
fn of(note: u64, start: u32) -> (ExampleKey, Example) {
    example(note, start, ExampleSource::Human("dr".to_owned()), note.is_multiple_of(5))
}

#[test]
fn a_rollback_that_finds_the_log_away_is_tried_again_at_the_next_look_and_others_are_not() {
    let mut ward = Ward::new();
    for _ in 0..2 {
        let (is_away, failed) = ward.look_without_notes();
        let failed = failed.unwrap_err();
        assert!(is_away && is_outage(&failed), "{failed:#}");
    }
    assert!(!ward.look().unwrap(), "the registry does not have the one before");
    let (is_tried, rolled_back) = ward.look_without_notes();
    assert_eq!((is_tried, rolled_back.unwrap()), (false, false), "it waits for the interval");
}

#[test]
fn who_stays_by_what_is_held_out_stays_until_something_else_is() {
    let mut ward = Ward::new();
    let held_out = same_notes::held_out(&ward.book, &ward.config.retraining);
    assert_eq!(held_out.len() as u64, NOTES / 5);
    ward.live.watch().unwrap().stays_by = Some(same_notes::hash(&held_out).unwrap());
    ward.live.keep(&ward.config).unwrap();
    // Each process looks anew, or the interval would have to pass.
    let mut is_tried = |changes: Vec<(u64, ExampleChange)>| {
        ward.book.apply(changes);
        ward.live = LiveF1::default();
        ward.live.look(&ward.config, (&ward.log, &Wire::Plain)).unwrap();
        let (is_tried, outcome) = ward.look_without_notes();
        assert_eq!(is_tried, outcome.is_err());
        is_tried
    };
    assert!(!is_tried(Vec::new()));
    // More to learn from is nothing to measure by.
    assert!(!is_tried(vec![change(2, of(NOTES + 1, 0), 1)]));
    assert!(is_tried(vec![change(3, of(NOTES + 5, 0), 1)]));
    assert!(!is_tried(vec![change(4, of(NOTES + 5, 0), -1)]));
    assert!(is_tried(vec![change(5, of(0, 0), -1), change(5, of(0, 3), 1)]), "something else is said of one");
}
