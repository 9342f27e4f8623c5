//! Runs that start by what a log says: figures that have fallen, notes that have drifted, and time.

use super::*;
use crate::retraining::drift::tests::{NOTES, Ward};
use crate::retraining::live::tests::publish;
use crate::retraining::triggers::{History, Kind};
use crate::serving::Serving;
use serde_json::json;
use std::path::Path;
use stillroom_dataflow::reference_key;
use stillroom_schemas::{Reference, Span, Task, TextHash};

/// Notes that people annotated, of a patient each.
const ANNOTATED: usize = 20;

/// The tiny student serves.
fn serve_tiny(config: &mut Config) {
    config.student.folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/tiny")];
}

/// Its id.
fn serving() -> String {
    let mut config = Config::default();
    serve_tiny(&mut config);
    Serving::of(&config, &[]).unwrap().model.0
}

/// A log with something new to learn on it.
fn ward(folder: &Path) -> Ward {
    let mut ward = Ward::new(&folder.join("log"));
    serve_tiny(&mut ward.config);
    ward.config.models.registry = folder.join("registry").to_str().unwrap().to_owned();
    let retraining = &mut ward.config.retraining;
    (retraining.dir, retraining.labels_min, retraining.every_hours) = (folder.join("retraining"), 0, 24);
    // No text fits, so that a run ends when its documents are to be written, before anything is trained.
    retraining.text_bytes_max = 1;
    let topics = &ward.config.engine.topics;
    for topic in [&topics.notes, &topics.references, &topics.quality] {
        ward.log.create_topic(topic, 1).unwrap();
    }
    for number in 0..ANNOTATED {
        let (note_id, text) = (format!("n{number}"), format!("fever {number}"));
        let note = json!({ "note_id": note_id, "patient_id": format!("p{number}"), "text": text });
        ward.append(&topics.notes, &note_id, note.to_string().into_bytes());
        let spans = vec![Span { task: Task::Disease, start: 0, end: 5 }];
        let (annotator, tasks) = ("dr".to_owned(), [Task::Disease].into());
        let key = String::from_utf8(reference_key(&note_id, &annotator)).unwrap();
        let reference = Reference { note_id, annotator, text_hash: TextHash::of(&text), tasks, spans };
        ward.append(&topics.references, &key, serde_json::to_vec(&reference).unwrap());
    }
    ward
}

/// Looks once; why a run starts, if one does.
fn look(driver: &mut Driver<'_>, followed: &mut Followed) -> Option<Cause> {
    let mut running: Option<Running> = None;
    let mut tell = |_: Told<'_>| -> Result<()> { panic!("nothing came to pass") };
    driver.act(followed, &mut running, &mut tell).unwrap();
    let Running { work, thread } = running?;
    let ended = format!("{:#}", thread.join().unwrap().unwrap_err());
    assert!(ended.contains("nothing is left to learn from"), "{ended}");
    Some(work.under_way.cause)
}

/// Why a run starts once something has happened on the log, or to what is remembered of runs; before it none does.
fn cause_of(before: impl Fn(&Ward, &mut History), happens: impl Fn(&Ward, &mut History)) -> Cause {
    let (folder, stop) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
    let ward = ward(folder.path());
    let mut driver = Driver::open(&ward.config, Arc::new(ward.log.clone()), &stop).unwrap();
    let mut followed = Followed::default();
    before(&ward, &mut driver.place.state.history);
    assert_eq!(look(&mut driver, &mut followed), None);
    assert!(driver.book.new_examples() > 0, "there is nothing to learn");
    happens(&ward, &mut driver.place.state.history);
    look(&mut driver, &mut followed).expect("no run starts")
}

#[test]
fn a_figure_that_falls_starts_a_run() {
    let serving = serving();
    let say = |ward: &Ward, tp: i64| {
        publish(&ward.log, &ward.config.engine.topics.quality, &[(serving.as_str(), 60, tp)]);
    };
    let cause = cause_of(|ward, _| say(ward, 950), |ward, _| say(ward, 500));
    assert_eq!(cause.kind(), Kind::F1, "{cause}");
    assert!(cause.to_string().starts_with("F1 of disease against dr was "), "{cause}");
}

#[test]
fn notes_that_drift_start_a_run() {
    let serving = serving();
    let tag = |ward: &Ward, least: u32| {
        (0..NOTES as u32).for_each(|note| ward.tag(&serving, "north", least + note % 10));
    };
    // As many on each side as are compared, first alike; what came last is what counts.
    let cause = cause_of(|ward, _| [0, 0].into_iter().for_each(|least| tag(ward, least)), |ward, _| tag(ward, 10));
    assert_eq!(cause.kind(), Kind::Drift, "{cause}");
    assert!(cause.to_string().starts_with("the share of words tagged as disease "), "{cause}");
}

#[test]
fn time_starts_a_run() {
    let ended_before = |history: &mut History, hours: u64| history.ended_at = Some(now() - 3600 * hours);
    let cause = cause_of(|_, history| ended_before(history, 23), |_, history| ended_before(history, 25));
    assert_eq!(cause, Cause::Hours { hours: 25 });
}
