//! What is to be learned at the moment, and how much of it is new since the last run.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use stillroom_dataflow::{Example, ExampleChange, ExampleKey, ExampleSource};
use stillroom_schemas::{Balance, Task};

/// The current examples, by key, without any text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    current: BTreeMap<ExampleKey, Example>,
    /// What the last run learned from, by [`fingerprint`].
    learned: BTreeSet<u64>,
    /// What the current examples come to, by task: what is to be learned and was not is new.
    balance: BTreeMap<Task, Balance>,
}

impl Book {
    /// A book without examples, for whom the last run learned from these.
    pub(crate) fn new(learned: BTreeSet<u64>) -> Book {
        Book { learned, ..Book::default() }
    }

    /// Takes in all changes of some complete epochs.
    pub(crate) fn apply(&mut self, mut changes: Vec<(u64, ExampleChange)>) {
        // Of one epoch, what a change replaces goes before what replaces it comes.
        changes.sort_by_key(|(epoch, change)| (*epoch, change.diff));
        for (_, ExampleChange { key, example, diff }) in changes {
            let counts = self.counts(&key, &example);
            let balance = self.balance.entry(key.task).or_default();
            if diff < 0 {
                let replaced = self.current.remove(&key);
                debug_assert_eq!(replaced.as_ref(), Some(&example), "what ceases to be current was current");
                zip_counts(balance, &counts, |all, of_example| all - of_example);
            } else {
                zip_counts(balance, &counts, |all, of_example| all + of_example);
                self.current.insert(key, example);
            }
        }
    }

    /// The current examples, sorted by key.
    pub(crate) fn examples(&self) -> impl Iterator<Item = (&ExampleKey, &Example)> {
        self.current.iter()
    }

    /// How many examples are to be learned that the last run did not learn from.
    pub(crate) fn new_examples(&self) -> u64 {
        self.balance.values().map(|balance| balance.new).sum()
    }

    /// What the current examples of a task come to.
    pub(crate) fn balance(&self, task: Task) -> Balance {
        self.balance.get(&task).copied().unwrap_or_default()
    }

    /// What one example comes to.
    fn counts(&self, key: &ExampleKey, example: &Example) -> Balance {
        let held_out = u64::from(example.is_to_be_measured_by());
        if !example.is_to_be_learned() {
            return Balance { held_out, ..Balance::default() };
        }
        let is_human = matches!(example.source, ExampleSource::Human(_));
        Balance {
            human: u64::from(is_human),
            teachers: u64::from(!is_human),
            mentions: example.spans.len() as u64,
            held_out,
            new: u64::from(!self.learned.contains(&fingerprint(key, example))),
        }
    }

    /// What a run that starts now learns from, by [`fingerprint`].
    pub(crate) fn fingerprints(&self) -> BTreeSet<u64> {
        let to_be_learned = self.current.iter().filter(|(_, example)| example.is_to_be_learned());
        to_be_learned.map(|(key, example)| fingerprint(key, example)).collect()
    }

    /// A run starts, or has started, that learns from these.
    pub(crate) fn learn(&mut self, learned: BTreeSet<u64>) {
        self.learned = learned;
        self.balance.values_mut().for_each(|balance| balance.new = 0);
        for (key, example) in &self.current {
            let new = self.counts(key, example).new;
            self.balance.entry(key.task).or_default().new += new;
        }
    }
}

/// Changes every count by that of an example.
fn zip_counts(all: &mut Balance, of_example: &Balance, change: fn(u64, u64) -> u64) {
    let Balance { human, teachers, mentions, held_out, new } = all;
    *human = change(*human, of_example.human);
    *teachers = change(*teachers, of_example.teachers);
    *mentions = change(*mentions, of_example.mentions);
    *held_out = change(*held_out, of_example.held_out);
    *new = change(*new, of_example.new);
}

/// Tells an example from others, and from itself when it says something else of another text, or somebody else says so:
/// the first 64 bits of a SHA-256.
///
/// # Panics
/// Never: names and numbers are JSON.
fn fingerprint(key: &ExampleKey, example: &Example) -> u64 {
    let said = serde_json::to_vec(&(key, &example.text_hash, &example.spans, &example.source));
    let soft = example.soft.as_ref().map(serde_json::to_vec).transpose();
    let digest = Sha256::new().chain_update(said.expect("names and numbers are JSON"));
    // Without shares it is as it was before there were any.
    let digest = digest.chain_update(soft.expect("numbers are JSON").unwrap_or_default()).finalize();
    u64::from_be_bytes(std::array::from_fn(|byte| digest[byte]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use stillroom_schemas::{Span, TextHash};

    /// An example of the diseases of a note: of a patient of its own, in partition 0, with one mention at the place
    /// `start`.
    pub(crate) fn example(note: u64, start: u32, source: ExampleSource, is_held_out: bool) -> (ExampleKey, Example) {
        let key = ExampleKey { note_id: format!("n{note}"), partition: 0, task: Task::Disease };
        let example = Example {
            offset: note,
            text_hash: TextHash::of(&format!("text {note}")),
            patient_id: Some(format!("p{note}")),
            note_type: None,
            site: None,
            spans: vec![Span { task: Task::Disease, start, end: start + 1 }],
            soft: None,
            source,
            is_held_out,
        };
        (key, example)
    }

    pub(crate) fn change(epoch: u64, (key, example): (ExampleKey, Example), diff: isize) -> (u64, ExampleChange) {
        (epoch, ExampleChange { key, example, diff })
    }

    #[test]
    fn what_is_new_is_counted_until_it_is_learned_from() {
        let of = |note, start| example(note, start, ExampleSource::Teachers, false);
        let held_out = example(9, 0, ExampleSource::Human("dr".to_owned()), true);
        let mut book = Book::default();
        book.apply(vec![change(1, of(1, 0), 1), change(1, of(2, 0), 1), change(1, held_out, 1)]);
        assert_eq!((book.new_examples(), book.examples().count()), (2, 3));

        let learned = book.fingerprints();
        book.learn(learned.clone());
        assert_eq!(book.new_examples(), 0);
        // Replaced, with the addition before the retraction, and back to what it was.
        book.apply(vec![change(2, of(1, 5), 1), change(2, of(1, 0), -1)]);
        assert_eq!((book.new_examples(), book.examples().count()), (1, 3));
        book.apply(vec![change(4, of(1, 0), 1), change(4, of(1, 5), -1), change(3, of(2, 0), -1)]);
        assert_eq!((book.new_examples(), book.examples().count()), (0, 2));

        let balance = Balance { teachers: 1, mentions: 1, held_out: 1, ..Balance::default() };
        assert_eq!(book.balance(Task::Disease), balance);
        let human = example(3, 0, ExampleSource::Human("dr".to_owned()), false);
        book.apply(vec![change(5, human, 1)]);
        assert_eq!(book.balance(Task::Disease), Balance { human: 1, mentions: 2, new: 1, ..balance });
        assert_eq!(book.balance(Task::Symptom), Balance::default());

        // After a restart, from the beginning of the topics.
        let mut again = Book::new(learned);
        again.apply(vec![change(1, of(1, 0), 1), change(1, of(3, 0), 1)]);
        assert_eq!(again.new_examples(), 1);
    }
}
