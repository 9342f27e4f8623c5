//! Where a student comes from: the block `training` of its entry, which a run of retraining reports as it stands there.

use crate::entry::is_sha256;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use stillroom_schemas::{Counts, ModelId, Task};

/// What a student learned from, what that took, and how well it did before it was put into the registry. What is not
/// known is absent, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Training {
    /// SHA-256 of what a run of retraining chose to learn from, to choose by and to measure by, as 64 lower-case
    /// hexadecimal digits. Absent where no such run trained it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// By what that was chosen, so that it can be chosen again. Absent where no such run trained it, or one of an earlier
    /// version did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen_by: Option<ChosenBy>,
    /// The documents that it learned from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<LearnedData>,
    /// Who said what was to be learned, by task.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<Task, TaskExamples>,
    /// What the labels of teachers cost that it learned from, in US dollars. Absent where there are none, and where one
    /// does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels_usd: Option<f64>,
    /// What the machine cost that trained it, in US dollars: its price an hour, as a run of retraining was told it, times the
    /// wall time. Absent where either is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_usd: Option<f64>,
    /// Wall time of the training in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Word pieces a second while it learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// The most that the process which trained it had in memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Who served when a run of retraining measured it, or would have: its parent may be another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<ModelId>,
    /// How it did beside that student on the notes that were held out; absent where it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<Vec<TaskFigure>>,
}

/// By what a snapshot is chosen: from a log that has all records before these offsets still, and by the same ensembles of
/// teachers, the same is chosen again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChosenBy {
    /// The next offset to read of each partition, in their order, by topic: what stands before it was read.
    pub offsets: BTreeMap<String, Vec<u64>>,
    /// The share of the patients who were held out, above 0 and below 1.
    pub held_out: f64,
    /// The share of the other patients by whose notes passes and thresholds were chosen, above 0 and below 1.
    pub dev: f64,
    /// Notes at most that were learned from, and that were measured on.
    pub notes_max: u64,
    /// Whether the shares of the teachers were learned.
    pub soft: bool,
    /// Bytes that the texts of all these notes might have together: those that did not fit were left out. Absent in an
    /// entry of an earlier version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_bytes_max: Option<u64>,
}

impl ChosenBy {
    /// Whether both shares are such.
    fn is_possible(&self) -> bool {
        [self.held_out, self.dev].into_iter().all(|share| share > 0.0 && share < 1.0)
    }
}

/// A file of documents, or notes that became documents by their labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedData {
    /// Its name; of notes their paths, and the file of the ensembles that merged their labels.
    pub name: String,
    /// SHA-256 of its bytes, or of what was learned from the notes, as 64 lower-case hexadecimal digits.
    pub hash: String,
    /// Documents in it.
    pub documents: u64,
}

/// Examples of a task, each a note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskExamples {
    /// By people, to learn from or to choose by.
    pub human: u64,
    /// By teachers, to learn from or to choose by.
    pub teachers: u64,
    /// Who these teachers are, and the rule that merged them, as `a + b (union)`, or the one teacher; absent where
    /// there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<String>,
    /// Mentions in these: where there are next to none, there is little to learn.
    pub mentions: u64,
    /// By people, to measure by.
    pub held_out: u64,
}

/// How two students do on the documents that were annotated for a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskFigure {
    /// The task.
    pub task: Task,
    /// The documents.
    pub documents: usize,
    /// Words that the serving student tagged.
    pub serving: Counts,
    /// Words that the candidate tagged.
    pub candidate: Counts,
    /// F1 of the candidate less that of the serving student, both of the same samples of the documents.
    pub difference: Estimate,
    /// F1 of the candidate. Absent without a document, and in an entry of an earlier version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_f1: Option<Estimate>,
}

/// What the interval of a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It lies above 0.
    Better,
    /// It lies below 0.
    Worse,
    /// It has 0 in it: the documents do not tell the two apart.
    Level,
}

impl TaskFigure {
    /// Whether the candidate is better or worse, beyond what chance would give.
    pub fn standing(&self) -> Standing {
        match self.difference {
            Estimate { low, .. } if low > 0.0 => Standing::Better,
            Estimate { high, .. } if high < 0.0 => Standing::Worse,
            _ => Standing::Level,
        }
    }

    /// Whether these can be the figures of documents.
    fn is_possible(&self) -> bool {
        let TaskFigure { serving, candidate, difference, candidate_f1, .. } = self;
        let are_counts =
            [serving, candidate].iter().all(|counts| [counts.tp, counts.fp, counts.fn_].iter().all(|n| *n >= 0));
        are_counts && difference.is_from(-1.0) && candidate_f1.is_none_or(|f1| f1.is_from(0.0))
    }
}

/// A figure and the interval that holds it for 95 % of bootstrap samples of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// Whether all of it lies from `least` to 1, and the ends of the interval are in order.
    fn is_from(&self, least: f64) -> bool {
        let Estimate { value, low, high } = self;
        // What is no number is in no range.
        low <= high && [value, low, high].into_iter().all(|figure| (least..=1.0).contains(figure))
    }
}

/// For people: the figure to three decimals, and its interval.
impl Display for Estimate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Estimate { value, low, high } = self;
        write!(formatter, "{value:.3} ({low:.3} to {high:.3})")
    }
}

impl Training {
    /// Refuses what cannot be where a student comes from.
    ///
    /// # Errors
    /// Says what is wrong, in words that go on after "a block that".
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.snapshot.as_ref().is_some_and(|snapshot| !is_sha256(snapshot)) {
            return Err("has a snapshot that is no SHA-256".to_owned());
        }
        if self.chosen_by.as_ref().is_some_and(|chosen_by| !chosen_by.is_possible()) {
            return Err("has shares of patients in chosen_by that are not above 0 and below 1".to_owned());
        }
        if let Some(data) = self.data.iter().find(|data| !is_sha256(&data.hash)) {
            return Err(format!("has no SHA-256 of {:?}", data.name));
        }
        let amounts = [
            ("labels_usd", self.labels_usd),
            ("machine_usd", self.machine_usd),
            ("seconds", self.seconds),
            ("tokens_per_second", self.tokens_per_second),
        ];
        let is_amount = |amount: f64| amount.is_finite() && amount >= 0.0;
        for (name, amount) in amounts {
            if let Some(amount) = amount.filter(|amount| !is_amount(*amount)) {
                return Err(format!("has {amount} as {name}"));
            }
        }
        match self.figures.iter().flatten().find(|figure| !figure.is_possible()) {
            Some(figure) => Err(format!("has figures for {} that no documents give", figure.task.name())),
            None => Ok(()),
        }
    }
}

/// Reads the block, and names it where it cannot be read: an entry has many fields.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Training>, D::Error> {
    let block = Option::<Training>::deserialize(deserializer);
    block.map_err(|error| D::Error::custom(format_args!("its block `training` cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;
    use serde_json::{Value, json};

    /// A block that has everything, in numbers that are the same whoever reads them.
    fn whole() -> Training {
        let counts = |tp| Counts { notes: 20, tp, fp: 3, fn_: 5 };
        let figure = TaskFigure {
            task: Task::Symptom,
            documents: 20,
            serving: counts(8),
            candidate: counts(16),
            difference: Estimate { value: 0.125, low: -0.0625, high: 0.25 },
            candidate_f1: Some(Estimate { value: 0.75, low: 0.625, high: 0.875 }),
        };
        let examples = TaskExamples {
            human: 30,
            teachers: 12,
            ensemble: Some("a + b (union)".to_owned()),
            mentions: 57,
            held_out: 20,
        };
        let offsets = [("notes".to_owned(), vec![7, 0, 12])].into();
        let chosen_by = ChosenBy {
            offsets,
            held_out: 0.25,
            dev: 0.125,
            notes_max: 20_000,
            soft: true,
            text_bytes_max: Some(1 << 28),
        };
        let data = LearnedData { name: "train.jsonl".to_owned(), hash: "0c".repeat(32), documents: 42 };
        Training {
            snapshot: Some("5a".repeat(32)),
            chosen_by: Some(chosen_by),
            data: vec![data],
            tasks: [(Task::Symptom, examples)].into(),
            labels_usd: Some(0.375),
            machine_usd: Some(0.0625),
            seconds: Some(90.5),
            tokens_per_second: Some(2048.0),
            memory_bytes: Some(1 << 30),
            serving: Some(ModelId("weak@0123".to_owned())),
            figures: Some(vec![figure]),
        }
    }

    fn model() -> ModelId {
        ModelId(format!("mine@{}", "a1".repeat(6)))
    }

    /// An entry as it was before it told where a student comes from.
    fn entry() -> Value {
        let hash = "a1".repeat(32);
        json!({
            "model": model(), "weights_hash": hash, "parent": null,
            "added_at": "2026-01-02T03:04:05Z", "stillroom": "0.1.0",
            "files": { "model.safetensors": { "bytes": 7, "sha256": hash } },
        })
    }

    /// What is read of an entry with this block.
    fn read(training: &Value) -> Result<Entry, String> {
        let mut entry = entry();
        entry["training"] = training.clone();
        Entry::parse(entry.to_string().as_bytes(), &model())
    }

    #[test]
    fn an_entry_without_the_block_is_read_and_written_without_it() {
        let old = Entry::parse(entry().to_string().as_bytes(), &model()).unwrap();
        assert_eq!(old.training, None);
        let text: Value = serde_json::from_slice(&old.text()).unwrap();
        assert_eq!(text, entry());
    }

    #[test]
    fn the_block_is_read_as_it_was_written() {
        for training in [whole(), Training { figures: Some(Vec::new()), ..Training::default() }, Training::default()] {
            let entry = read(&json!(training)).unwrap();
            assert_eq!(entry.training, Some(training));
            assert_eq!(Entry::parse(&entry.text(), &model()), Ok(entry));
        }
    }

    #[test]
    fn what_is_not_known_is_absent() {
        assert_eq!(json!(Training::default()), json!({}));
        assert_eq!(json!(TaskExamples::default()).get("ensemble"), None);
    }

    #[test]
    fn a_damaged_block_is_refused_and_named() {
        let check = |change: &dyn Fn(&mut Value), expected: &str| {
            let mut block = json!(whole());
            change(&mut block);
            let refused = read(&block).unwrap_err();
            assert!(refused.contains("block `training` ") && refused.contains(expected), "{refused}");
        };
        check(
            &|block| *block = json!("none"),
            "is not an entry: its block `training` cannot be read: invalid type: string",
        );
        check(&|block| block["seconds"] = json!("long"), "cannot be read: invalid type: string");
        check(&|block| block["tasks"]["symptom"]["human"] = json!(-1), "cannot be read: invalid value");
        check(&|block| block["tasks"]["gender"] = json!({}), "cannot be read: unknown variant `gender`");
        check(
            &|block| _ = block["figures"][0].as_object_mut().unwrap().remove("difference"),
            "missing field `difference`",
        );
        check(&|block| block["snapshot"] = json!("5a"), "has a snapshot that is no SHA-256");
        check(&|block| block["data"][0]["hash"] = json!("../x"), "has no SHA-256 of \"train.jsonl\"");
        check(&|block| block["chosen_by"]["dev"] = json!(1.0), "has shares of patients in chosen_by");
        check(&|block| block["labels_usd"] = json!(-0.5), "has -0.5 as labels_usd");
        check(&|block| block["machine_usd"] = json!(-0.5), "has -0.5 as machine_usd");
        check(
            &|block| block["figures"][0]["candidate"]["fn"] = json!(-1),
            "has figures for symptom that no documents give",
        );
        check(&|block| block["figures"][0]["difference"]["low"] = json!(0.5), "has figures for symptom");
        check(&|block| block["figures"][0]["difference"]["value"] = json!(1.5), "has figures for symptom");
        check(&|block| block["figures"][0]["candidate_f1"]["low"] = json!(-0.5), "has figures for symptom");
    }

    #[test]
    fn what_is_no_number_is_not_written() {
        let not_a_number = Estimate { value: f64::NAN, low: 0.0, high: 0.0 };
        let mut of_figure = whole();
        of_figure.figures.as_mut().unwrap()[0].difference = not_a_number;
        for (training, expected) in [
            (of_figure, "has figures for symptom that no documents give"),
            (Training { seconds: Some(f64::INFINITY), ..whole() }, "has inf as seconds"),
            (Training { labels_usd: Some(f64::NAN), ..whole() }, "has NaN as labels_usd"),
        ] {
            assert_eq!(training.check(), Err(expected.to_owned()));
        }
        assert_eq!(whole().check(), Ok(()));
    }
}
