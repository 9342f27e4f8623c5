//! Students that are activated: which of them serves after a restart.

use super::*;
use stillroom_dataflow::{LoadStudent, StudentLease};
use stillroom_schemas::{Activation, ActivationCause};

/// A student that nobody can load.
const BROKEN: &str = "broken";

/// The students of a run that finds every student that is activated, but [`BROKEN`].
pub(super) fn any_of(pool: TaggerPool) -> (Students, StudentLease) {
    let load: LoadStudent = Arc::new(|activation| match activation.model.0.as_str() {
        BROKEN => Err("there is none".into()),
        model => Ok(TaggerPool::start(vec![named(model)], 2)?),
    });
    Students::new(pool, load)
}

pub(super) fn activation(model: &str) -> Vec<u8> {
    let activation = Activation {
        model: ModelId(model.to_owned()),
        weights_hash: String::new(),
        previous: ModelId(MODEL.to_owned()),
        cause: ActivationCause::Promotion,
        activated_at: String::new(),
    };
    serde_json::to_vec(&activation).unwrap()
}

/// The student of the last extraction.
fn last_student(log: &MemoryLog) -> String {
    let values = log.records(&Topics::default().extractions).concat();
    let last: Extraction = serde_json::from_slice(values.last().unwrap().value.as_deref().unwrap()).unwrap();
    last.model.0
}

#[test]
fn the_last_activation_serves_after_a_restart_whatever_came_after_it() {
    let models = Topics::default().models;
    for workers in 1..=3 {
        let log = empty_log();
        append_note(&log, "a", "xxx");
        log.append(&models, 0, b"first", Some(activation("first")));
        log.append(&models, 0, b"second", Some(activation("second")));
        Run::new(&log, workers, 0).run(Fault::None).unwrap();
        append_note(&log, "b", "xxx");
        Run::new(&log, workers, 1).run(Fault::None).unwrap();
        assert_eq!(last_student(&log), "second");

        log.append(&models, 0, b"third", Some(b"{".to_vec()));
        log.append(&models, 0, b"second", None);
        log.append(&models, 0, b"fourth", Some(activation("fifth")));
        for (seed, note) in ["c", "d"].into_iter().enumerate() {
            append_note(&log, note, "xxx");
            let progress = Run::new(&log, workers, seed as u64).run(Fault::None).unwrap();
            assert_eq!(last_student(&log), "second", "{workers} workers");
            assert_eq!(progress.totals.dead_lettered, 0, "an activation is no note");
        }
        let letters = log.records(&Topics::default().dead_letters).concat();
        assert_eq!(letters.len(), 3, "every record that is no activation is a dead letter, once");
    }
}

#[test]
fn an_activation_that_no_run_has_read_serves_from_the_first_note_on() {
    let models = Topics::default().models;
    for workers in 1..=3 {
        let log = empty_log();
        for (seed, student) in ["first", "second"].into_iter().enumerate() {
            append_note(&log, student, "xxx");
            log.append(&models, 0, student.as_bytes(), Some(activation(student)));
            Run::new(&log, workers, seed as u64).run(Fault::None).unwrap();
            assert_eq!(last_student(&log), student, "{workers} workers");
        }
    }
}

#[test]
fn after_a_student_that_cannot_be_loaded_a_rollback_and_a_restart_go_on() {
    let (log, models) = (empty_log(), Topics::default().models);
    log.append(&models, 0, BROKEN.as_bytes(), Some(activation(BROKEN)));
    let progress = Run::new(&log, 1, 0).run(Fault::None).unwrap();
    assert_eq!(progress.inputs[&models][&0], 1, "nothing needs it yet");
    append_note(&log, "a", "xxx");
    let error = Run::new(&log, 1, 1).run(Fault::None).unwrap_err().to_string();
    assert!(error.contains("was activated and cannot be loaded"), "{error}");
    log.append(&models, 0, b"second", Some(activation("second")));
    Run::new(&log, 1, 2).run(Fault::None).unwrap();
    assert_eq!(last_student(&log), "second");
}
