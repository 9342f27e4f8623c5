//! Notes that teachers have labelled.

use crate::site::Site;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use stillroom_dataflow::label_key;
use stillroom_schemas::{Task, TextHash};

pub(super) const NOTES: usize = 12;

pub(super) const DISEASES: [&str; 6] = ["asthma", "gout", "angina", "sepsis", "migraine", "eczema"];
pub(super) const MEDICATIONS: [&str; 5] = ["aspirin", "metformin", "heparin", "digoxin", "insulin"];

/// The words of [`text`] that the ensembles mark.
pub(super) const DISEASE: usize = 3;
pub(super) const MEDICATION: usize = 7;

/// The last word, which one of two teachers takes for a medication.
pub(super) const TODAY: usize = 8;

pub(super) const WITHDRAWN: usize = 0;

/// Since it was labelled.
pub(super) const AMENDED: usize = 1;

/// By a person, for diseases.
pub(super) const ANNOTATED: usize = 2;

/// For medications, by one of two teachers.
pub(super) const LABELLED_BY_ONE: usize = 3;

/// All medications are judged to be some; to be none; nobody judges.
pub(super) const YES: usize = 4;
pub(super) const NO: usize = 5;
pub(super) const OPEN: usize = 6;

/// Words by number.
pub(super) type Words = BTreeSet<usize>;

pub(super) fn id(number: usize) -> String {
    format!("n{number}")
}

pub(super) fn text(number: usize) -> String {
    format!("the patient has {} and fever on {} today", DISEASES[number % 6], MEDICATIONS[number % 5])
}

/// First and one past the last code point of each word.
pub(super) fn places(text: &str) -> Vec<(u64, u64)> {
    let ends = text.split(' ').scan(0, |next, word| {
        let start = *next;
        *next += word.len() as u64 + 1;
        Some((start, *next - 1))
    });
    ends.collect()
}

/// The words of a text that something with a start and an end lies on.
pub(super) fn words_of(text: &str, entity: &Value) -> Words {
    let [start, end] = ["start", "end"].map(|name| entity[name].as_u64().unwrap());
    let places = places(text).into_iter().enumerate();
    places.filter(|(_, place)| place.0 < end && start < place.1).map(|(word, _)| word).collect()
}

pub(super) fn put(site: &Site, number: usize, revision: u64, text: &str) {
    let note = json!({ "note_id": id(number), "revision": revision, "text": text });
    site.append(&site.topics.notes, [(id(number).as_bytes(), Some(note.to_string().as_bytes()))]);
}

/// What somebody says of a note: tasks with the words that are mentions.
pub(super) fn said(number: usize, who: &str, says: &[(Task, &[usize])]) -> Value {
    let (text, tasks) = (text(number), says.iter().map(|(task, _)| *task).collect::<Vec<Task>>());
    let spans = says.iter().flat_map(|(task, words)| words.iter().map(move |word| (task, *word)));
    let spans: Vec<Value> = spans
        .map(|(task, word)| {
            let (start, end) = places(&text)[word];
            json!({ "task": task, "start": start, "end": end })
        })
        .collect();
    json!({
        "note_id": id(number), "annotator": who, "text_hash": TextHash::of(&text), "tasks": tasks, "spans": spans,
    })
}

pub(super) fn label(site: &Site, number: usize, who: &str, says: &[(Task, &[usize])]) {
    let key = label_key(&id(number), who, &TextHash::of(&text(number)));
    site.append(&site.topics.labels, [(&key[..], Some(said(number, who, says).to_string().as_bytes()))]);
}

/// Notes that two teachers have labelled: one marks diseases and medications, the other medications and one word more, and of
/// medications both must be sure.
pub(super) fn labelled() -> Site {
    let mut site = Site::new(2);
    site.log.create_topic(&site.topics.labels, 2).unwrap();
    let folder = site.folder.path();
    let (ensemble, registry) = (folder.join("ensemble.toml"), folder.join("registry"));
    let chosen = |task: &str, teachers: &str, rule: &str| {
        format!("[{task}]\nf1 = 0.9\ninterval = [0.8, 1.0]\ndocuments = 9\nteachers = {teachers}\nrule = '{rule}'\n")
    };
    let both = chosen("medication", "['mine', 'names']", "intersection");
    fs::write(&ensemble, chosen("disease", "['mine']", "union") + &both).unwrap();
    site.extra = format!("[teachers]\nensemble = {ensemble:?}\n[models]\nregistry = {registry:?}\n");
    for number in 0..NOTES {
        put(&site, number, 0, &text(number));
        label(&site, number, "mine", &[(Task::Disease, &[DISEASE]), (Task::Medication, &[MEDICATION])]);
        if number != LABELLED_BY_ONE {
            label(&site, number, "names", &[(Task::Medication, &[MEDICATION, TODAY])]);
        }
    }
    site
}

/// How many labels [`labelled`] writes.
pub(super) const LABELS: u64 = 2 * NOTES as u64 - 1;
