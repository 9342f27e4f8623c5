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

/// Connections that may break in a run: under load one does now and then, and more are a defect.
const BROKEN_MAX: u64 = NOTES as u64 / 10;

/// What the figures of two processes are off by at most, as they are printed.
const ROUNDING_USD: f64 = 2e-6;

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
pub(crate) fn wait_for_labels(site: &Site, labels: u64) {
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

/// Checks what the processes of a pipeline have spent in all, if the vendor has refused so many of their requests; how many others
/// had their connections broken. Those were sent again, and count at their worst, as they may be billed: what each label cost, and how
/// many requests it took, stands in the label.
fn check_spent(site: &Site, spent: f64, (vendor, refused): (&Vendor, u64)) -> u64 {
    let labels = site.kcat("labels", "read_committed").into_iter();
    let labels = labels.map(|record| serde_json::from_str::<Label>(&record.payload.unwrap()).unwrap());
    let paid: Vec<Label> = labels.filter(|label| label.reference.annotator == "mine").collect();
    let usd: f64 = paid.iter().map(|label| label.usd.unwrap()).sum();
    assert!((spent - usd).abs() < ROUNDING_USD, "{spent} USD were spent, and {usd} by the labels");
    let (sent, due) = (paid.iter().map(|label| label.requests).sum::<u64>(), NOTES as u64 + refused);
    assert!((due..=due + BROKEN_MAX).contains(&sent), "{sent} requests, and {due} are due");
    let (broken, worst) = (sent - due, vendor.worst_usd());
    let of_broken = spent - NOTES as f64 * ANSWER_USD;
    // The texts are not all of one length.
    let least = broken as f64 * worst.iter().copied().fold(f64::INFINITY, f64::min);
    let most = broken as f64 * worst.iter().copied().fold(0.0, f64::max);
    assert!(
        (least - ROUNDING_USD..=most + ROUNDING_USD).contains(&of_broken),
        "{spent} USD with {broken} requests that broke off, which cost {least} to {most} USD"
    );
    broken
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
    let broken_alone = check_spent(&alone, spent_alone, (&vendor, 1));

    let mut cluster = Cluster::new(&broker);
    let site = &mut cluster.site;
    site.extra = format!("{}\n{}", site.extra, vendor.teachers(site.folder.path(), settings));
    fill(site);
    let [first, second] = cluster.start(1);
    wait_for_labels(&cluster.site, 2 * NOTES as u64);
    let spent = [second.terminate(), first.wait()].map(|output| spent(&output));
    assert!(spent.iter().all(|spent| *spent > 0.0), "each has asked: {spent:?}");
    let broken = broken_alone + check_spent(&cluster.site, spent.iter().sum(), (&vendor, 0));
    assert!(vendor.answers().values().all(|times| *times >= 2), "once by one process, and once by one of the two");
    let (answers, asked) = (vendor.answered(), vendor.asked().values().sum::<u64>());
    let once_each = 2 * NOTES as u64;
    assert!(answers <= once_each + broken, "{answers} answers, of which {broken} may have come to nobody");
    assert!(asked <= once_each + 1 + broken, "{asked} requests, of which one was refused and {broken} broke off");
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
