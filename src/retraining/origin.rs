//! Where examples come from: how far the topics were read, who merged what teachers said, and what their labels cost.

use crate::reading::read_batches;
use crate::retraining::snapshot::ChosenNote;
use crate::wire::Wire;
use anyhow::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::Log;
use stillroom_dataflow::Record;
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_models::ChosenBy;
use stillroom_schemas::{Task, TextHash, TopicOffsets};

/// What the examples of a book come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// How far every partition was read.
    pub(crate) offsets: TopicOffsets,
    /// By what a choice is made of them; it tells the offsets when it is made.
    pub(crate) chosen_by: ChosenBy,
    /// By whom teachers are merged.
    pub(crate) ensembles: BTreeMap<Task, Ensemble>,
    /// The topic of labels.
    pub(crate) labels: String,
}

/// A label, by note, teacher and text: the key of its record.
type LabelKey = (String, String, TextHash);

/// What a record of the topic of labels says of its cost.
#[derive(Deserialize)]
struct Spent {
    #[serde(default)]
    usd: Option<f64>,
}

impl Origin {
    /// By what the choice is made: the offsets, too.
    pub(crate) fn chosen_by(&self) -> ChosenBy {
        let all = |ends: &BTreeMap<u32, u64>| -> Vec<u64> {
            let partitions = ends.last_key_value().map_or(0, |(last, _)| last + 1);
            (0..partitions).map(|partition| ends.get(&partition).copied().unwrap_or_default()).collect()
        };
        let offsets = self.offsets.iter().map(|(topic, ends)| (topic.clone(), all(ends))).collect();
        ChosenBy { offsets, ..self.chosen_by.clone() }
    }

    /// What the labels cost that these notes are learned by, in US dollars: of a teacher's labels of one text the last,
    /// as that is learned by. Nothing where there are none, where one does not say, or when `stop` is set meanwhile.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn labels_usd<'a>(
        &self,
        notes: impl Iterator<Item = &'a ChosenNote>,
        (log, wire): (&dyn Log, &Wire),
        stop: &AtomicBool,
    ) -> Result<Option<f64>> {
        let mut labels: BTreeMap<LabelKey, Option<f64>> =
            notes.flat_map(|note| self.labels_of(note)).map(|key| (key, None)).collect();
        let Some(ends) = self.offsets.get(&self.labels).filter(|_| !labels.is_empty()) else { return Ok(None) };
        let mut source = wire.source(log.bounded()?);
        source.partitions(&self.labels)?;
        for partition in ends.keys() {
            source.assign(&self.labels, *partition, 0)?;
        }
        let is_whole = read_batches(source.as_mut(), |records| {
            for record in records {
                // What came since the notes were chosen is learned by in another run.
                let is_before = ends.get(&record.position.partition).is_some_and(|end| record.position.offset < *end);
                let key = record.key.as_deref().and_then(|key| serde_json::from_slice::<LabelKey>(key).ok());
                if let Some(usd) = key.filter(|_| is_before).and_then(|key| labels.get_mut(&key)) {
                    *usd = spent(&record, wire);
                }
            }
            Ok(!stop.load(Ordering::SeqCst))
        })?;
        if !is_whole {
            return Ok(None);
        }
        let sum: Option<f64> = labels.into_values().sum();
        // Costs are counted in billionths of a dollar, and a sum of binary fractions has more digits.
        Ok(sum.map(|usd| (usd * 1e9).round() / 1e9).filter(|usd| usd.is_finite()))
    }

    /// The labels that what is learned of a note was merged from.
    fn labels_of(&self, note: &ChosenNote) -> impl Iterator<Item = LabelKey> {
        let by_teachers = note.tasks.difference(&note.by_people).filter_map(move |task| self.ensembles.get(task));
        let teachers = by_teachers.flat_map(|ensemble| &ensemble.teachers);
        teachers.map(move |teacher| (note.note_id.clone(), teacher.clone(), note.text_hash.clone()))
    }
}

/// What a label cost, if it says so.
fn spent(record: &Record, wire: &Wire) -> Option<f64> {
    let format = wire.format();
    let json = format.to_json(&record.topic, record.value.as_deref()?).ok()?;
    let Spent { usd } = serde_json::from_slice(&json).ok()?;
    usd.filter(|usd| *usd >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retraining::RetrainingConfig;
    use crate::retraining::book::Book;
    use crate::retraining::book::tests::{change, example};
    use crate::retraining::snapshot::Choice;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;
    use stillroom_connectors::{Appended, EmbeddedLog};
    use stillroom_dataflow::ensemble::Rule;
    use stillroom_dataflow::{ExampleSource, label_key};

    const TOPIC: &str = "labels";

    /// Notes of a patient each: the first two by teachers, the third by people.
    fn choice() -> Choice {
        let of = |note: u64| {
            let source = if note < 2 { ExampleSource::Teachers } else { ExampleSource::Human("dr".to_owned()) };
            change(1, example(note, 0, source, false), 1)
        };
        let mut book = Book::default();
        book.apply((0..3).map(of).collect());
        Choice::of(&book, &RetrainingConfig::default()).unwrap()
    }

    /// A label of the text that a note has in the book.
    fn label(note: u64, teacher: &str, text: &str, cost: Value) -> Appended {
        let (note_id, text_hash) = (format!("n{note}"), TextHash::of(text));
        let mut label =
            json!({ "note_id": note_id, "annotator": teacher, "text_hash": text_hash, "tasks": ["disease"] });
        label.as_object_mut().unwrap().extend(cost.as_object().cloned().unwrap_or_default());
        let key = Some(label_key(&note_id, teacher, &text_hash));
        Appended { key, value: Some(label.to_string().into_bytes()), partition: Some(0), ..Appended::default() }
    }

    fn of(note: u64, teacher: &str, cost: Value) -> Appended {
        label(note, teacher, &format!("text {note}"), cost)
    }

    fn usd(usd: f64) -> Value {
        json!({ "usd": usd })
    }

    /// What is said to have been spent where these labels were read, and `since` came after that.
    fn check(labels: &[Appended], since: &[Appended], expected: Option<f64>) {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path()).unwrap();
        log.create_topic(TOPIC, 1).unwrap();
        log.append(TOPIC, labels).unwrap();
        log.append(TOPIC, since).unwrap();
        let ensemble = Ensemble { teachers: vec!["a".to_owned(), "b".to_owned()], rule: Rule::Union };
        let origin = Origin {
            offsets: [(TOPIC.to_owned(), [(0, labels.len() as u64)].into())].into(),
            ensembles: [(Task::Disease, ensemble.clone()), (Task::Symptom, ensemble)].into(),
            labels: TOPIC.to_owned(),
            ..Origin::default()
        };
        let choice = choice();
        let notes = || choice.train.iter().chain(&choice.dev);
        let spent =
            |is_stopped: bool| origin.labels_usd(notes(), (&log, &Wire::Plain), &AtomicBool::new(is_stopped)).unwrap();
        assert_eq!((spent(false), spent(true)), (expected, None));
        let by_people = notes().filter(|note| !note.by_people.is_empty());
        assert_eq!(origin.labels_usd(by_people, (&log, &Wire::Plain), &AtomicBool::new(false)).unwrap(), None);
    }

    #[test]
    fn what_labels_cost_is_that_of_those_that_are_learned_by() {
        let [a, b] = [0.1, 0.2];
        let all = [of(0, "a", usd(a)), of(0, "b", usd(b)), of(1, "a", usd(a)), of(1, "b", usd(0.0))];
        check(&all, &[], Some(0.4));
        let others = [
            of(2, "a", usd(8.0)),
            of(3, "a", usd(8.0)),
            of(0, "c", usd(8.0)),
            label(0, "a", "an earlier text", usd(8.0)),
            Appended { key: Some(b"[]".to_vec()), value: Some(b"{".to_vec()), ..Appended::default() },
        ];
        check(&[&others[..], &all].concat(), &[], Some(0.4));
        check(&all, &[of(0, "a", usd(8.0))], Some(0.4));
        // Of a teacher's labels of one text the last counts.
        check(&[&all[..], &[of(1, "b", usd(0.3))]].concat(), &[], Some(0.7));
        check(&[&[of(0, "a", json!({}))][..], &all].concat(), &[], Some(0.4));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let all = |last: Value| [of(0, "a", usd(0.1)), of(0, "b", usd(0.1)), of(1, "a", usd(0.1)), of(1, "b", last)];
        check(&all(usd(0.1)), &[], Some(0.4));
        check(&all(usd(0.1))[..3], &[of(1, "b", usd(0.1))], None);
        check(&all(json!({})), &[], None);
        check(&all(json!({ "usd": null })), &[], None);
        check(&all(usd(-0.1)), &[], None);
        check(&all(usd(f64::MAX)), &[], None);
        check(&[], &[], None);
    }

    #[test]
    fn labels_are_those_of_the_tasks_that_people_did_not_annotate() {
        let choice = choice();
        let mut note = choice.train[0].clone();
        note.tasks = Task::ALL.into();
        note.by_people = [Task::Disease].into();
        let of = |teachers: &[&str]| Ensemble {
            teachers: teachers.iter().map(|teacher| (*teacher).to_owned()).collect(),
            rule: Rule::Union,
        };
        let ensembles =
            [(Task::Disease, of(&["a", "b"])), (Task::Medication, of(&["c"])), (Task::Symptom, of(&["c", "d"]))];
        let origin = Origin { ensembles: ensembles.into(), ..Origin::default() };
        let teachers: BTreeSet<String> = origin.labels_of(&note).map(|(_, teacher, _)| teacher).collect();
        assert_eq!(teachers, ["c", "d"].map(str::to_owned).into());
    }
}
