//! Notes of nine words each, and what people and teachers say of them, as records for whatever log.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use stillroom_dataflow::label_key;
use stillroom_schemas::{Task, TextHash};

/// Notes that teachers have labelled.
pub(crate) const NOTES: usize = 12;

const DISEASES: [&str; 6] = ["asthma", "gout", "angina", "sepsis", "migraine", "eczema"];
const MEDICATIONS: [&str; 5] = ["aspirin", "metformin", "heparin", "digoxin", "insulin"];

/// The words of [`text`] that are a disease and a medication.
pub(crate) const DISEASE: usize = 3;
pub(crate) const MEDICATION: usize = 7;

/// The last word, which one of two teachers takes for a medication.
pub(crate) const TODAY: usize = 8;

/// For medications, by one of two teachers.
pub(crate) const LABELLED_BY_ONE: usize = 3;

/// How many [`labels`] there are.
pub(crate) const LABELS: u64 = 2 * NOTES as u64 - 1;

/// Words by number.
pub(crate) type Words = BTreeSet<usize>;

/// A key, and a value or a tombstone.
pub(crate) type Keyed = (Vec<u8>, Option<Vec<u8>>);

pub(crate) fn id(number: usize) -> String {
    format!("n{number}")
}

pub(crate) fn text(number: usize) -> String {
    format!("the patient has {} and fever on {} today", DISEASES[number % 6], MEDICATIONS[number % 5])
}

/// First and one past the last code point of each word.
pub(crate) fn places(text: &str) -> Vec<(u64, u64)> {
    let ends = text.split(' ').scan(0, |next, word| {
        let start = *next;
        *next += word.len() as u64 + 1;
        Some((start, *next - 1))
    });
    ends.collect()
}

/// The words of a text that something with a start and an end lies on.
pub(crate) fn words_of(text: &str, entity: &Value) -> Words {
    let [start, end] = ["start", "end"].map(|name| entity[name].as_u64().unwrap());
    let places = places(text).into_iter().enumerate();
    places.filter(|(_, place)| place.0 < end && start < place.1).map(|(word, _)| word).collect()
}

/// A revision of a note.
pub(crate) fn note(number: usize, revision: u64, text: &str) -> Keyed {
    let note = json!({ "note_id": id(number), "revision": revision, "text": text });
    (id(number).into_bytes(), Some(note.to_string().into_bytes()))
}

/// What somebody says of a note: tasks with the words that are mentions.
pub(crate) fn said(number: usize, who: &str, says: &[(Task, &[usize])]) -> Value {
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

/// The notes that teachers have labelled.
pub(crate) fn notes() -> Vec<Keyed> {
    (0..NOTES).map(|number| note(number, 0, &text(number))).collect()
}

/// What two teachers say of them: one marks diseases and medications, the other medications and one word more.
pub(crate) fn labels() -> Vec<Keyed> {
    let mut labels = Vec::new();
    for number in 0..NOTES {
        labels.push(label(number, "mine", &[(Task::Disease, &[DISEASE]), (Task::Medication, &[MEDICATION])]));
        if number != LABELLED_BY_ONE {
            labels.push(label(number, "names", &[(Task::Medication, &[MEDICATION, TODAY])]));
        }
    }
    labels
}

fn label(number: usize, who: &str, says: &[(Task, &[usize])]) -> Keyed {
    let key = label_key(&id(number), who, &TextHash::of(&text(number)));
    (key, Some(said(number, who, says).to_string().into_bytes()))
}

/// The file of the ensembles of these teachers: one of them speaks for diseases, and of medications both must be sure.
pub(crate) fn ensembles() -> String {
    let chosen = |task: &str, teachers: &str, rule: &str| {
        format!("[{task}]\nf1 = 0.9\ninterval = [0.8, 1.0]\ndocuments = 9\nteachers = {teachers}\nrule = '{rule}'\n")
    };
    chosen("disease", "['mine']", "union") + &chosen("medication", "['mine', 'names']", "intersection")
}

/// Rows of a list as the lines of a file that is applied, with what a person says of each.
pub(crate) fn judged(rows: &[Value], verdict: impl Fn(&Value) -> Option<bool>) -> String {
    let line = |row: &Value| {
        let mut row = row.clone();
        row["verdict"] = verdict(&row).into();
        row.to_string() + "\n"
    };
    rows.iter().map(line).collect()
}
