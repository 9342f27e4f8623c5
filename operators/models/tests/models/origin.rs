//! Where students come from, as their entries say.

use crate::support::{Site, Student, listed, shown};
use std::fs;
use stillroom_models::{Estimate, LearnedData, TaskFigure, Training};
use stillroom_schemas::{Counts, ModelId, Task};

/// In numbers whose decimals are not those of a binary fraction.
fn training() -> Training {
    let counts = |tp| Counts { notes: 20, tp, fp: 3, fn_: 5 };
    let figure = TaskFigure {
        task: Task::Disease,
        documents: 20,
        serving: counts(8),
        candidate: counts(16),
        difference: Estimate { value: 0.4 / 3.0, low: -0.1 / 3.0, high: 0.7 / 3.0 },
        candidate_f1: Some(Estimate { value: 2.3 / 3.0, low: 2.1 / 3.0, high: 2.7 / 3.0 }),
    };
    Training {
        snapshot: Some("5a".repeat(32)),
        data: vec![LearnedData { name: "train.jsonl".to_owned(), hash: "0c".repeat(32), documents: 42 }],
        labels_usd: Some(0.1),
        seconds: Some(9.7),
        serving: Some(ModelId("weak@0123".to_owned())),
        figures: Some(vec![figure]),
        ..Training::default()
    }
}

fn student(site: &Site) -> Student {
    let mut student = site.student("mine", 100);
    student.entry.training = Some(training());
    student
}

#[test]
fn an_entry_tells_where_a_student_comes_from_wherever_it_is_kept() {
    for site in Site::both() {
        let (registry, student) = (site.open(), student(&site));
        let added = student.add(&registry).unwrap();
        assert_eq!(added.training, Some(training()), "{}", site.kind);
        let told = registry.find("mine").unwrap().training.unwrap();
        assert_eq!((&told.snapshot, &told.data), (&training().snapshot, &training().data), "{}", site.kind);
        let [was, is] = [training(), told.clone()].map(|told| told.figures.unwrap().remove(0));
        assert_eq!((was.documents, was.serving, was.candidate), (is.documents, is.serving, is.candidate));
        assert!((was.difference.low - is.difference.low).abs() < 1e-12, "{is:?}");

        // Whatever its decimals are read as, who is had once is had again without being fetched.
        registry.folder(student.id()).unwrap();
        assert_eq!(registry.verify(student.id()).unwrap().training, Some(told), "{}", site.kind);
        assert_eq!(site.cached(student.id(), "entry.json").exists(), site.kind == "bucket");

        // Where it comes from makes no other student, and an entry stays what it is.
        let mut again = student;
        again.entry.training = None;
        assert!(again.add(&registry).unwrap().training.is_some(), "{}", site.kind);
    }
}

#[test]
fn a_damaged_block_is_refused_and_named_and_one_that_is_missing_is_not() {
    for site in Site::both() {
        let (registry, student) = (site.open(), student(&site));
        let whole = student.add(&registry).unwrap();
        let stored = site.stored(student.id(), "entry.json");
        let text = fs::read_to_string(&stored).unwrap();
        for (damaged, expected) in [
            (text.replace("9.7", "\"long\""), "is not an entry: its block `training` cannot be read: "),
            (text.replace("\"notes\": 20", "\"notes\": {}"), "is not an entry: its block `training` cannot be read: "),
            (text.replace(&"5a".repeat(32), "5a"), "has a block `training` that has a snapshot that is no SHA-256"),
            (text.replace(&"0c".repeat(32), "0c"), "has a block `training` that has no SHA-256 of \"train.jsonl\""),
            (text.replace("9.7", "-9.7"), "has a block `training` that has -9.7 as seconds"),
            (text.replace("\"tp\": 16", "\"tp\": -16"), "has a block `training` that has figures for disease that no"),
        ] {
            assert_ne!(damaged, text, "{expected}");
            fs::write(&stored, damaged).unwrap();
            for refused in [
                shown(registry.find(&student.id().0)),
                shown(registry.verify(student.id())),
                shown(student.add(&registry)),
            ] {
                let names_it = refused.contains(&format!("{}/entry.json {expected}", student.id().0));
                assert!(names_it && refused.contains("restore it from a copy"), "{}: {refused}", site.kind);
            }
            assert_eq!(listed(&registry), [], "{expected}");
        }
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        old.as_object_mut().unwrap().remove("training").unwrap();
        fs::write(&stored, old.to_string()).unwrap();
        let read = registry.verify(student.id()).unwrap();
        assert_eq!((read.training, read.files), (None, whole.files), "{}", site.kind);
    }
}

#[test]
fn what_cannot_be_where_a_student_comes_from_is_not_added() {
    let site = Site::folder();
    let mut student = student(&site);
    student.entry.training.as_mut().unwrap().seconds = Some(f64::NAN);
    let refused = shown(student.add(&site.open()));
    assert!(refused.contains("its entry has a block `training` that has NaN as seconds"), "{refused}");
    assert!(!site.root.exists());
}
