//! Teachers that are asked, and what becomes of their labels.

use super::history::{History, TEACHERS};
use super::memory::{Fault, MemoryLog, append_note};
use super::{Run, snapshot};
use crate::engine::Topics;
use std::sync::Arc;
use stillroom_dataflow::ensemble::{Ensemble, Rule};
use stillroom_dataflow::{AskConfig, Sampling, TeacherPanel, TeacherQuestion, label_key};
use stillroom_schemas::{Comparison, Extraction, Level, Reference, Task, TextHash};

/// Teachers that are asked for all tasks, and the ensemble that merges them.
pub(super) fn panel(teachers: &[&str], rule: Rule) -> TeacherPanel {
    let names: Vec<String> = teachers.iter().map(|teacher| (*teacher).to_owned()).collect();
    let asked: Vec<_> = names.iter().map(|name| (name.clone(), Task::ALL.into())).collect();
    TeacherPanel::new(&asked, [(Task::Symptom, Ensemble { teachers: names, rule })].into())
}

#[test]
fn other_teachers_and_another_ensemble_are_measured_from_the_next_start_on() {
    let mut changed = 0;
    for seed in 10..30 {
        let history = History::random(seed, 150, 3, &Topics::default());
        let with = |log: &MemoryLog, panel: TeacherPanel| {
            Run { panel, ..Run::new(log, 2, seed) }.run(Fault::None).unwrap();
            snapshot(log).quality
        };
        let (log, fresh) = (history.log.copy(), history.log.copy());
        let first = with(&log, panel(&TEACHERS, Rule::Intersection));
        // What was published for the panel before is published anew, also when nothing comes.
        if seed % 2 == 0 {
            append_note(&log, "one more", "xxx");
            append_note(&fresh, "one more", "xxx");
        }
        let second = with(&log, panel(&TEACHERS[..1], Rule::Union));
        let anew = with(&fresh, panel(&TEACHERS[..1], Rule::Union));
        assert_eq!(second, anew, "seed {seed}");
        changed += first.keys().filter(|key| !second.contains_key(key)).count();
    }
    assert!(changed > 10, "the histories are too poor: {changed} figures were withdrawn");
}

#[test]
fn what_teachers_say_comes_back_as_input_and_holds_up_nothing() {
    let topics = Topics::default();
    let history = History::random(3, 200, 3, &topics);
    let log = history.log.copy();
    let of_ask = log.clone();
    let ask = move |question: TeacherQuestion| {
        let TeacherQuestion { note_id, text, text_hash } = question;
        assert_eq!(TextHash::of(&text), text_hash);
        let key = label_key(&note_id, "asked", &text_hash);
        let (annotator, tasks) = ("asked".to_owned(), Task::ALL.into());
        let said = Reference { note_id, annotator, text_hash, tasks, spans: Vec::new() };
        of_ask.append(&Topics::default().labels, 0, &key, Some(serde_json::to_vec(&said).unwrap()));
    };
    let sampling = Sampling { rate: 1.0, ..Sampling::default() };
    let ask = AskConfig { sampling, ask: Arc::new(ask) };
    Run { ask: Some(ask), ..Run::new(&log, 2, 3) }.run(Fault::None).unwrap();
    // A run that reads to an end does not see labels that come behind it.
    Run::new(&log, 2, 4).run(Fault::None).unwrap();
    let values = |topic: &str| -> Vec<Vec<u8>> {
        log.records(topic).concat().into_iter().filter_map(|record| record.value).collect()
    };
    let said = values(&topics.labels).into_iter().filter_map(|value| serde_json::from_slice::<Reference>(&value).ok());
    let mut asked: Vec<_> =
        said.filter(|said| said.annotator == "asked").map(|said| (said.note_id, said.text_hash)).collect();
    let read =
        values(&topics.extractions).into_iter().map(|value| serde_json::from_slice::<Extraction>(&value).unwrap());
    let mut read: Vec<_> =
        read.filter(|read| read.coverage.words > 0).map(|read| (read.note_id, read.text_hash)).collect();
    asked.sort();
    read.sort();
    assert_eq!(asked, read, "every revision is asked about once");
    let live = history.live().filter(|(note, _)| !note.text.trim().is_empty()).count() as i64;
    let notes: Vec<i64> = snapshot(&log)
        .quality
        .into_iter()
        .filter(|(key, _)| key.reference == "asked" && key.rollup && key.level == Level::Word)
        .map(|(key, counts)| {
            assert_eq!(key.comparison, Comparison::StudentTeacher);
            counts.notes
        })
        .collect();
    assert_eq!(notes, [live; 3], "labels of earlier revisions are kept, and not joined");
}
