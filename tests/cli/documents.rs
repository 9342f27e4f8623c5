//! Documents that a tiny student can learn by heart.

use serde_json::{Value, json};
use std::ops::Range;

const WORDS: [(&str, [&str; 5]); 3] = [
    ("disease", ["asthma", "gout", "angina", "sepsis", "migraine"]),
    ("medication", ["aspirin", "metformin", "heparin", "digoxin", "insulin"]),
    ("symptom", ["fever", "cough", "nausea", "rash", "pain"]),
];

/// Lines of documents that a tiny student can learn by heart, in the mixtures of these numbers, of which the first 75 differ.
pub(crate) fn documents(numbers: Range<usize>) -> String {
    let document = |number: usize| {
        let [disease, medication, symptom] =
            [(0, 1), (1, 5), (2, 3)].map(|(task, by): (usize, usize)| WORDS[task].1[number / by % 5]);
        let text = format!("the patient has {disease} and {symptom} , on {medication} today");
        let entity = |(task, word): (&str, &str)| {
            let start = text.find(word).unwrap();
            json!({ "task": task, "start": start, "end": start + word.len(), "text": word })
        };
        let tasks = WORDS.map(|(task, _)| task);
        let entities = tasks.into_iter().zip([disease, medication, symptom]).map(entity).collect::<Vec<Value>>();
        json!({ "id": number.to_string(), "text": text, "tasks": tasks, "entities": entities }).to_string() + "\n"
    };
    numbers.map(document).collect()
}
