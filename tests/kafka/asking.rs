//! Teachers that are asked while notes flow.

use crate::cluster::Cluster;
use crate::site::{Broker, Site};
use crate::support::stderr;
use crate::vendor::{ANSWER_USD, OPEN_MAX, Reply, Vendor, spent_today};
use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::{label_key, reference_key};
use stillroom_schemas::{Comparison, Label, Quality, Reference, Span, Task, TextHash};

const NOTES: usize = 60;

fn text(number: usize) -> String {
    format!("Note {number}: fever and chills.")
}

/// Notes, of which every third is annotated.
fn fill(site: &Site) {
    let numbers = 0..NOTES;
    site.log.append(&site.topic("notes"), &numbers.clone().map(note).collect::<Vec<_>>()).unwrap();
    site.log.append(&site.topic("references"), &numbers.step_by(3).map(reference).collect::<Vec<_>>()).unwrap();
}

fn note(number: usize) -> Appended {
    let note_id = format!("n{number}");
    let value = serde_json::json!({ "note_id": note_id, "text": text(number) }).to_string();
    Appended { key: Some(note_id.into_bytes()), value: Some(value.into_bytes()), ..Appended::default() }
}

/// What people say of it: its fever is a symptom, and there is nothing else.
fn reference(number: usize) -> Appended {
    let (note_id, text) = (format!("n{number}"), text(number));
    let start = text.find("fever").unwrap() as u32;
    let key = reference_key(&note_id, "people");
    let reference = Reference {
        note_id,
        annotator: "people".to_owned(),
        text_hash: TextHash::of(&text),
        tasks: Task::ALL.into(),
        spans: vec![Span { task: Task::Symptom, start, end: start + 5 }],
    };
    Appended { key: Some(key), value: Some(serde_json::to_vec(&reference).unwrap()), ..Appended::default() }
}

/// Waits until all notes are committed and so many labels have come back.
fn wait_for_labels(site: &Site, labels: u64) {
    site.wait_for_end();
    let topic = site.topic("labels");
    site.wait(|progress| progress.inputs.get(&topic).is_some_and(|read| read.values().sum::<u64>() == labels));
}

/// Each label as a client that is not ours reads it: teacher, note and text.
fn labelled(site: &Site) -> BTreeSet<(String, String, TextHash)> {
    let records = site.kcat("labels", "read_committed");
    assert_eq!(records.len(), 2 * NOTES, "none is written twice");
    let read = records.into_iter().map(|record| {
        let Label { reference, .. } = serde_json::from_str(&record.payload.unwrap()).unwrap();
        let key = label_key(&reference.note_id, &reference.annotator, &reference.text_hash);
        assert_eq!(record.key.as_deref(), std::str::from_utf8(&key).ok());
        assert!(record.headers.is_empty());
        (reference.annotator, reference.note_id, reference.text_hash)
    });
    read.collect()
}

fn spent(output: &Output) -> f64 {
    assert!(output.status.success(), "{}", stderr(output));
    spent_today(&stderr(output))
}

#[test]
fn two_processes_that_ask_come_to_the_figures_of_one() {
    let Some(broker) = Broker::shared() else { return };
    let is_well = AtomicBool::new(false);
    // One request fails, and is sent again.
    let vendor = Vendor::start(move |_| match is_well.swap(true, Ordering::SeqCst) {
        true => Reply::Fever("stop"),
        false => Reply::Status(503),
    });
    let mut alone = Site::new(&broker, 3);
    let settings = "ask = ['mine', 'names']";
    alone.extra = "epoch_bytes_max = 2000\n".to_owned() + &vendor.teachers(alone.folder.path(), settings);
    fill(&alone);
    let running = alone.start(2);
    wait_for_labels(&alone, 2 * NOTES as u64);
    let spent_alone = spent(&running.terminate());
    let of_each = |teacher: &str| {
        let teacher = teacher.to_owned();
        (0..NOTES).map(move |number| (teacher.clone(), format!("n{number}"), TextHash::of(&text(number))))
    };
    assert_eq!(labelled(&alone), of_each("mine").chain(of_each("names")).collect());
    assert!((spent_alone - NOTES as f64 * ANSWER_USD).abs() < 1e-6, "{spent_alone} USD");

    let mut cluster = Cluster::new(&broker);
    let site = &mut cluster.site;
    site.extra = format!("{}\n{}", site.extra, vendor.teachers(site.folder.path(), settings));
    fill(site);
    let [first, second] = cluster.start(1);
    wait_for_labels(&cluster.site, 2 * NOTES as u64);
    let spent = [second.terminate(), first.wait()].map(|output| spent(&output));
    assert!(spent.iter().all(|spent| *spent > 0.0), "each has asked: {spent:?}");
    assert!((spent.iter().sum::<f64>() - spent_alone).abs() < 1e-6, "{spent:?}");
    assert!(vendor.answers().values().all(|times| *times == 2), "once by one process, and once by one of the two");
    assert_eq!(labelled(&cluster.site), labelled(&alone));
    let (found, expected) = (cluster.site.committed(), alone.committed());
    assert_eq!(found, expected);
    let figures = found.quality.values().map(|value| serde_json::from_str::<Quality>(value).unwrap());
    let figures: Vec<Quality> =
        figures.filter(|figure| figure.key.task == Task::Symptom && figure.key.rollup).collect();
    let notes_of = |comparison| {
        let of = figures.iter().filter(|figure| figure.key.comparison == comparison);
        of.map(|figure| figure.counts.notes).collect::<BTreeSet<i64>>()
    };
    let (all, annotated) = (NOTES as i64, NOTES.div_ceil(3) as i64);
    assert_eq!(notes_of(Comparison::StudentTeacher), [all].into());
    assert_eq!(notes_of(Comparison::StudentReference), [annotated].into());
    assert_eq!(notes_of(Comparison::TeachersReference), [annotated].into());
}

#[test]
fn a_vendor_that_hangs_holds_up_no_process_of_a_cluster() {
    let Some(broker) = Broker::shared() else { return };
    let vendor = Vendor::start(|_| Reply::Nothing);
    let mut cluster = Cluster::new(&broker);
    let site = &mut cluster.site;
    site.extra = format!("{}\n{}", site.extra, vendor.teachers(site.folder.path(), "ask = ['mine']"));
    fill(site);
    let [first, second] = cluster.start(1);
    cluster.site.wait_for_end();
    for output in [second.terminate(), first.wait()] {
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("are without labels"), "{}", stderr(&output));
    }
    assert_eq!(cluster.site.progress().totals.extracted, NOTES as u64);
    assert!(cluster.site.kcat("labels", "read_committed").is_empty());
    assert!(vendor.asked().len() <= 2 * OPEN_MAX, "no more requests than each may have open: {:?}", vendor.asked());
    assert_eq!(vendor.answered(), 0);
}
