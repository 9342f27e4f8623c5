//! `stillroom review`: what is listed on Kafka, and what people say of it.

use crate::annotated::{
    DISEASE, Keyed, LABELS, NOTES, ensembles, id, judged, labels, note, notes, said, text, words_of,
};
use crate::asking::wait_for_labels;
use crate::cluster::Cluster;
use crate::site::{Broker, Site};
use crate::support::{json_lines, stdout, stillroom, tiny};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use stillroom::engine::Topics;
use stillroom_connectors::{Appended, Cleanup, EmbeddedLog, Log, TopicPlan};
use stillroom_dataflow::reference_key;
use stillroom_schemas::{Comparison, Counts, Quality, Task};

const WITHDRAWN: usize = 0;

/// Since it was labelled.
const AMENDED: usize = 1;

/// By a person, for diseases.
const ANNOTATED: usize = 2;

/// All medications are judged to be some; to be none.
const YES: usize = 4;
const NO: usize = 5;

/// What stands on the topics of a log: notes, references and labels.
fn records() -> [Vec<Keyed>; 3] {
    let mut notes = notes();
    notes.push((id(WITHDRAWN).into_bytes(), None));
    notes.push(note(AMENDED, 1, &text(AMENDED + NOTES)));
    let reference = said(ANNOTATED, "dr", &[(Task::Disease, &[DISEASE])]).to_string();
    [notes, vec![(reference_key(&id(ANNOTATED), "dr"), Some(reference.into_bytes()))], labels()]
}

/// A log in a folder with these records, and these tables in its configuration, which is returned.
fn on_a_folder(folder: &Path, tables: &str) -> PathBuf {
    let (dir, config, topics) = (folder.join("log"), folder.join("folder.toml"), Topics::default());
    let log = EmbeddedLog::open(&dir).unwrap();
    for (topic, records) in [&topics.notes, &topics.references, &topics.labels].into_iter().zip(records()) {
        log.create_topic(topic, 2).unwrap();
        let appended = |(key, value): Keyed| Appended { key: Some(key), value, ..Appended::default() };
        log.append(topic, &records.into_iter().map(appended).collect::<Vec<_>>()).unwrap();
    }
    fs::write(&config, format!("[log]\ndir = {dir:?}\n[student]\nfolders = [{:?}]\n{tables}", tiny())).unwrap();
    config
}

/// The same records on Kafka.
fn on_kafka(site: &Site) {
    let labels =
        TopicPlan { name: site.topic("labels"), partitions: 3, cleanup: Cleanup::Keep, record_bytes_max: None };
    site.log.prepare(&[labels]).unwrap();
    for (topic, records) in ["notes", "references", "labels"].into_iter().zip(records()) {
        site.append(topic, records);
    }
}

/// Everything that there is to judge.
fn list(config: &Path) -> Vec<Value> {
    let mut command = stillroom();
    command.args(["review", "list", "--confidence", "0", "--limit", "100000", "-c"]).arg(config);
    json_lines(stdout(&command.output().unwrap()))
}

fn is_of(row: &Value, number: usize) -> bool {
    row["note_id"] == id(number) && row["task"] == "medication"
}

/// Whether a row's words are mentions.
fn verdict(row: &Value) -> Option<bool> {
    if is_of(row, YES) { Some(true) } else { is_of(row, NO).then_some(false) }
}

/// Words that only the student takes for medications.
fn of_student_alone(rows: &[Value], number: usize) -> i64 {
    let of = rows.iter().filter(|row| is_of(row, number) && row["student"] == true);
    of.map(|row| words_of(&text(number), row).len() as i64).sum()
}

/// Applies the verdicts; what is said of it.
fn apply(site: &Site, rows: &[Value]) -> Value {
    let path = site.folder.path().join("judged.jsonl");
    fs::write(&path, judged(rows, verdict)).unwrap();
    let applied = site.command(&["review", "apply", path.to_str().unwrap(), "--annotator", "ada"]).output().unwrap();
    json_lines(stdout(&applied)).remove(0)
}

fn take_back(site: &Site, number: usize) {
    site.append("references", [(reference_key(&id(number), "ada"), None)]);
}

/// The figure, once all that was appended is committed, of what only the student takes for medications, by her references.
fn reviewed(site: &Site) -> Option<Counts> {
    site.wait_for_end();
    let figures = site.committed().quality.into_values();
    let mut figures = figures.map(|figure| serde_json::from_str::<Quality>(&figure).unwrap()).filter(|figure| {
        (figure.key.comparison, figure.key.task) == (Comparison::FalsePositivesReviewed, Task::Medication)
            && figure.key.reference == "ada"
    });
    figures.next().map(|figure| figure.counts)
}

#[test]
fn rows_are_those_of_a_folder_and_verdicts_count_until_they_are_taken_back() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    let folder = cluster.site.folder.path().to_owned();
    let (ensemble, registry) = (folder.join("ensemble.toml"), folder.join("registry"));
    fs::write(&ensemble, ensembles()).unwrap();
    let tables = format!("[teachers]\nensemble = {ensemble:?}\n[models]\nregistry = {registry:?}\n");
    cluster.site.extra = format!("{}\n{tables}", cluster.site.extra);
    let site = &cluster.site;
    on_kafka(site);
    let rows = list(&site.config(1));
    assert_eq!(rows, list(&on_a_folder(&folder, &tables)));
    assert!([WITHDRAWN, AMENDED].iter().all(|number| rows.iter().all(|row| row["note_id"] != id(*number))), "{rows:?}");
    let [yes, no] = [YES, NO].map(|number| of_student_alone(&rows, number));
    assert!(yes > 0 && no > 0, "the texts are too poor: {rows:?}");

    let [first, second] = cluster.start(1);
    wait_for_labels(site, LABELS);
    assert_eq!(reviewed(site), None);
    let applied = apply(site, &rows);
    assert_eq!((&applied["references"], &applied["left_out"]), (&json!(2), &json!(0)), "{applied}");
    assert_eq!(reviewed(site), Some(Counts { notes: 2, tp: yes, fp: no, fn_: 0 }));
    let left: Vec<Value> = rows.iter().filter(|row| verdict(row).is_none()).cloned().collect();
    assert_eq!(list(&site.config(1)), left, "who was judged is not listed again");
    take_back(site, YES);
    assert_eq!(reviewed(site), Some(Counts { notes: 1, tp: 0, fp: no, fn_: 0 }));
    stdout(&second.terminate());
    stdout(&first.wait());

    // A restart knows what was said, and takes it back too.
    take_back(site, NO);
    site.finish(2);
    assert_eq!(reviewed(site), None);
    assert_eq!(list(&site.config(1)), rows);
}
