//! What a run learns from, chooses by and measures by: a choice of the book's examples at one moment, told from others
//! by its hash.
//!
//! Pure. A patient's notes go to one of three parts: held out, to measure by; to choose passes and thresholds by; to
//! learn from.

use crate::retraining::RetrainingConfig;
use crate::retraining::book::Book;
use crate::retraining::origin::Origin;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_dataflow::{Example, ExampleKey, ExampleSource, SoftSpans};
use stillroom_models::{TaskExamples, Training};
use stillroom_schemas::{Span, Task, TaskSet, TextHash};

/// What is written of a snapshot beside its documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Its hash, by what it was chosen, examples of each task, and what labels cost: as the entry has it of the student that is made of it.
    #[serde(flatten)]
    pub(crate) training: Training,
    /// Notes of each part.
    pub(crate) notes: NoteCounts,
    /// Notes that are in no part.
    pub(crate) left_out: LeftOut,
}

/// Notes of each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoteCounts {
    /// To learn from.
    pub(crate) train: u64,
    /// To choose passes and thresholds by.
    pub(crate) dev: u64,
    /// To measure by.
    pub(crate) held_out: u64,
}

/// Notes that are in no part, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    /// Whose text is also that of a note that is held out, or, of those to learn from, of one to choose by.
    pub(crate) same_text: u64,
    /// Beyond `notes_max` or `text_bytes_max`.
    pub(crate) too_many: u64,
    /// Whose record has expired, or holds another text.
    pub(crate) gone: u64,
    /// With a mention that does not lie in the text.
    pub(crate) outside: u64,
}

/// A note that was chosen, without its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct ChosenNote {
    /// Of its record.
    pub(crate) partition: u32,
    /// Of its record.
    pub(crate) offset: u64,
    /// The note.
    pub(crate) note_id: String,
    /// What its text must have.
    pub(crate) text_hash: TextHash,
    /// The tasks that there is an example of.
    pub(crate) tasks: TaskSet,
    /// The mentions of these tasks, in Unicode code points.
    pub(crate) spans: Vec<Span>,
    /// The shares of the teachers behind those that they and not people say, where shares are learned.
    #[serde(skip_serializing_if = "SoftSpans::is_empty")]
    pub(crate) soft: SoftSpans,
    /// The tasks that people annotated.
    pub(crate) by_people: TaskSet,
    /// The patient, or the note where none is known.
    whose: String,
}

/// The place of a note in the order in which notes stay where there are too many: those that people annotated come
/// first, and a hash decides between equals.
pub(crate) type Rank = (bool, [u8; 32], u32, u64);

impl ChosenNote {
    /// Its place in the order in which notes stay.
    pub(crate) fn rank(&self) -> Rank {
        (self.by_people.is_empty(), draw("limit", &self.note_id), self.partition, self.offset)
    }
}

/// The notes that were chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Choice {
    /// Tells the choice from others.
    pub(crate) hash: String,
    /// To learn from.
    pub(crate) train: Vec<ChosenNote>,
    /// To choose by.
    pub(crate) dev: Vec<ChosenNote>,
    /// To measure by.
    pub(crate) held_out: Vec<ChosenNote>,
    /// Those of the book that were not.
    pub(crate) left_out: LeftOut,
}

impl Choice {
    /// Chooses of a book.
    ///
    /// # Errors
    /// When there is nothing to learn from, or all of it is of one patient or has the same texts.
    pub(crate) fn of(book: &Book, config: &RetrainingConfig) -> Result<Choice> {
        let taken = |is_taken: fn(&Example) -> bool| notes_of(book.examples().filter(|(_, example)| is_taken(example)));
        let (mut held_out, mut notes) = (taken(Example::is_to_be_measured_by), taken(Example::is_to_be_learned));
        // Also those that teachers alone labelled, and those beyond the limit: a later run may measure by them.
        let never = book.examples().map(|(_, example)| example).filter(|example| example.is_held_out);
        let mut same_text = without(&mut notes, &never.map(|example| &example.text_hash).collect());
        let too_many = limit(&mut held_out, config.notes_max) + limit(&mut notes, config.notes_max);
        let chooses = chosen_by(&notes, config.dev)?;
        let (dev, mut train): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| chooses.contains(&note.whose));
        same_text += without(&mut train, &dev.iter().map(|note| &note.text_hash).collect());
        ensure!(
            !train.is_empty(),
            "all notes to learn from have texts of the {} notes that passes and thresholds are chosen by; bring notes \
             with texts of their own",
            dev.len()
        );
        let hash = Sha256::digest(serde_json::to_vec(&[&train, &dev, &held_out])?);
        let left_out = LeftOut { same_text, too_many, ..LeftOut::default() };
        Ok(Choice { hash: format!("{hash:x}"), train, dev, held_out, left_out })
    }

    /// What is written of it; what labels cost is not known here.
    pub(crate) fn snapshot(&self, origin: &Origin) -> Snapshot {
        let count = |notes: &Vec<ChosenNote>| notes.len() as u64;
        let notes = NoteCounts { train: count(&self.train), dev: count(&self.dev), held_out: count(&self.held_out) };
        let mut tasks: BTreeMap<Task, TaskExamples> = BTreeMap::new();
        for note in self.train.iter().chain(&self.dev) {
            for task in &note.tasks {
                let counts = tasks.entry(*task).or_default();
                let is_human = note.by_people.contains(task);
                *(if is_human { &mut counts.human } else { &mut counts.teachers }) += 1;
                counts.mentions += note.spans.iter().filter(|span| span.task == *task).count() as u64;
            }
        }
        for (task, examples) in tasks.iter_mut().filter(|(_, examples)| examples.teachers > 0) {
            examples.ensemble = origin.ensembles.get(task).map(Ensemble::name);
        }
        for task in self.held_out.iter().flat_map(|note| &note.tasks) {
            tasks.entry(*task).or_default().held_out += 1;
        }
        let (snapshot, chosen_by) = (Some(self.hash.clone()), Some(origin.chosen_by()));
        let training = Training { snapshot, chosen_by, tasks, ..Training::default() };
        Snapshot { training, notes, left_out: self.left_out }
    }
}

/// The notes of examples, in the order of their records.
fn notes_of<'a>(examples: impl Iterator<Item = (&'a ExampleKey, &'a Example)>) -> Vec<ChosenNote> {
    let mut notes: BTreeMap<(u32, u64), ChosenNote> = BTreeMap::new();
    for (key, example) in examples {
        let ExampleKey { note_id, partition, task } = key;
        let known = example.patient_id.as_ref().filter(|patient| !patient.is_empty());
        let note = notes.entry((*partition, example.offset)).or_insert_with(|| ChosenNote {
            partition: *partition,
            offset: example.offset,
            note_id: note_id.clone(),
            text_hash: example.text_hash.clone(),
            tasks: TaskSet::new(),
            spans: Vec::new(),
            soft: SoftSpans::new(),
            by_people: TaskSet::new(),
            whose: known.unwrap_or(note_id).clone(),
        });
        note.tasks.insert(*task);
        note.spans.extend(&example.spans);
        note.soft.extend(example.soft.clone().map(|soft| (*task, soft)));
        if matches!(example.source, ExampleSource::Human(_)) {
            note.by_people.insert(*task);
        }
    }
    notes.into_values().collect()
}

/// Leaves the notes with other texts than these; how many go.
fn without(notes: &mut Vec<ChosenNote>, texts: &HashSet<&TextHash>) -> u64 {
    let all = notes.len();
    notes.retain(|note| !texts.contains(&note.text_hash));
    (all - notes.len()) as u64
}

/// Leaves so many notes at most, those that people annotated first; how many go.
fn limit(notes: &mut Vec<ChosenNote>, notes_max: usize) -> u64 {
    let beyond = notes.len().saturating_sub(notes_max);
    if beyond > 0 {
        notes.sort_by_cached_key(ChosenNote::rank);
        notes.truncate(notes_max);
        notes.sort();
    }
    beyond as u64
}

/// Those whose notes passes and thresholds are chosen by: a share of them, drawn by hash, and one at least.
fn chosen_by(notes: &[ChosenNote], share: f64) -> Result<BTreeSet<String>> {
    let mut all: Vec<&String> = notes.iter().map(|note| &note.whose).collect();
    all.sort_unstable();
    all.dedup();
    ensure!(
        all.len() > 1,
        "there are {} notes with references or labels to learn from, of {} patients; two are needed, as passes and \
         thresholds are chosen by other patients' notes",
        notes.len(),
        all.len()
    );
    all.sort_by_cached_key(|whose| draw("dev", whose));
    let wanted = ((all.len() as f64 * share).round() as usize).clamp(1, all.len() - 1);
    Ok(all.into_iter().take(wanted).cloned().collect())
}

/// A place in an order that depends on nothing but a name, and is another for each purpose.
fn draw(purpose: &str, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(purpose).chain_update([0u8]).chain_update(name).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retraining::book::tests::{change, example};
    use stillroom_dataflow::ensemble::Rule;
    use stillroom_dataflow::{Share, SoftSpan};

    /// Of so many notes, a patient each, of whom every fifth is held out.
    fn book(notes: u64) -> Book {
        let mut book = Book::default();
        let human = || ExampleSource::Human("dr".to_owned());
        let of = |note: u64| {
            let is_held_out = note.is_multiple_of(5);
            example(note, 0, if note.is_multiple_of(2) { human() } else { ExampleSource::Teachers }, is_held_out)
        };
        book.apply((0..notes).map(|note| change(1, of(note), 1)).collect());
        book
    }

    fn config() -> RetrainingConfig {
        RetrainingConfig { dev: 0.25, ..RetrainingConfig::default() }
    }

    #[test]
    fn each_patient_is_in_one_part() {
        let choice = Choice::of(&book(50), &config()).unwrap();
        let ensemble = Ensemble { teachers: vec!["a".to_owned(), "b".to_owned()], rule: Rule::Union };
        let ensembles = Task::ALL.map(|task| (task, ensemble.clone())).into();
        let offsets = [("notes".to_owned(), [(1, 7)].into())].into();
        let snapshot = choice.snapshot(&Origin { ensembles, offsets, ..Origin::default() });
        // Ten are held out, of which people annotated five.
        assert_eq!(snapshot.notes, NoteCounts { train: 30, dev: 10, held_out: 5 });
        let ensemble = Some("a + b (union)".to_owned());
        let examples = TaskExamples { human: 20, teachers: 20, ensemble, mentions: 40, held_out: 5 };
        assert_eq!(snapshot.training.tasks, [(Task::Disease, examples)].into());
        let chosen_by = snapshot.training.chosen_by.as_ref().unwrap();
        assert_eq!(chosen_by.offsets, [("notes".to_owned(), vec![0, 7])].into());
        // What is written for the run is read by whoever goes on with it.
        let written = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&written).unwrap(), snapshot);
        assert!(choice.held_out.iter().all(|note| note.offset % 10 == 0));
        let is_learned = |note: &ChosenNote| !note.offset.is_multiple_of(5);
        assert!(choice.train.iter().chain(&choice.dev).all(is_learned));
        let all: BTreeSet<&ChosenNote> = choice.train.iter().chain(&choice.dev).chain(&choice.held_out).collect();
        assert_eq!(all.len(), 45);
    }

    #[test]
    fn the_same_is_chosen_again_and_anything_else_has_another_hash() {
        let chosen = |book: &Book| Choice::of(book, &config()).unwrap();
        let first = chosen(&book(50));
        assert_eq!(chosen(&book(50)), first);
        let of = |start| example(2, start, ExampleSource::Human("dr".to_owned()), false);
        let mut corrected = book(50);
        corrected.apply(vec![change(2, of(0), -1), change(2, of(3), 1)]);
        assert_ne!(chosen(&corrected).hash, first.hash);
        corrected.apply(vec![change(3, of(3), -1), change(3, of(0), 1)]);
        assert_eq!(chosen(&corrected), first);
        assert_ne!(Choice::of(&book(50), &RetrainingConfig::default()).unwrap().hash, first.hash);
    }

    #[test]
    fn a_text_that_is_held_out_is_not_learned_from() {
        // What people annotated, what teachers alone labelled, and what is beyond the limit.
        let beyond = Choice::of(&book(50), &RetrainingConfig { notes_max: 4, ..config() }).unwrap().held_out;
        let beyond = (0..5).map(|nth| 10 * nth).find(|offset| beyond.iter().all(|note| note.offset != *offset));
        for (held_out, notes_max) in [(10, 1000), (5, 1000), (beyond.unwrap(), 4)] {
            let mut book = book(50);
            let human = ExampleSource::Human("dr".to_owned());
            let (key, mut copy) = example(51, 0, human, false);
            copy.text_hash = example(held_out, 0, ExampleSource::Teachers, true).1.text_hash;
            book.apply(vec![change(2, (key, copy), 1)]);
            let choice = Choice::of(&book, &RetrainingConfig { notes_max, ..config() }).unwrap();
            assert_eq!(choice.left_out.same_text, 1, "{held_out}");
            assert!(choice.train.iter().chain(&choice.dev).all(|note| note.note_id != "n51"), "{held_out}");
        }
    }

    #[test]
    fn a_text_that_is_chosen_by_is_not_learned_from() {
        let first = Choice::of(&book(50), &config()).unwrap();
        let mut book = book(50);
        let (learned, chooses) = (&first.train[0], &first.dev[0]);
        let (key, example) = book.examples().find(|(key, _)| key.note_id == learned.note_id).unwrap();
        let (key, example) = (key.clone(), example.clone());
        let copy = Example { text_hash: chooses.text_hash.clone(), ..example.clone() };
        book.apply(vec![change(2, (key.clone(), example), -1), change(2, (key, copy), 1)]);
        let choice = Choice::of(&book, &config()).unwrap();
        assert_eq!(choice.left_out, LeftOut { same_text: 1, ..LeftOut::default() });
        assert_eq!((choice.train, choice.dev), (first.train[1..].to_vec(), first.dev));
    }

    #[test]
    fn another_patient_is_another_choice() {
        let first = Choice::of(&book(50), &config()).unwrap();
        let mut book = book(50);
        let (key, example) = example(1, 0, ExampleSource::Teachers, false);
        let moved = Example { patient_id: Some("p2".to_owned()), ..example.clone() };
        book.apply(vec![change(2, (key.clone(), example), -1), change(2, (key, moved), 1)]);
        assert_ne!(Choice::of(&book, &config()).unwrap().hash, first.hash);
    }

    #[test]
    fn other_shares_are_another_choice_and_new() {
        let mut book = book(50);
        let hard = Choice::of(&book, &config()).unwrap();
        assert!(hard.train.iter().all(|note| !serde_json::to_string(note).unwrap().contains("soft")));
        let learned = book.fingerprints();
        book.learn(learned);
        let (key, mut before) = example(1, 0, ExampleSource::Teachers, false);
        let mut hashes = BTreeSet::from([hard.hash]);
        for (epoch, share) in [(2, 0.5), (3, 0.25)] {
            let soft = Some(vec![SoftSpan { start: 0, end: 1, share: Share::new(share).unwrap() }]);
            let after = Example { soft: soft.clone(), ..before.clone() };
            book.apply(vec![change(epoch, (key.clone(), before), -1), change(epoch, (key.clone(), after.clone()), 1)]);
            let choice = Choice::of(&book, &config()).unwrap();
            let all = choice.train.iter().chain(&choice.dev).flat_map(|note| &note.soft);
            assert_eq!(all.collect::<Vec<_>>(), [(&Task::Disease, soft.as_ref().unwrap())]);
            assert!(hashes.insert(choice.hash), "{share}");
            assert_eq!(book.new_examples(), 1);
            before = after;
        }
    }

    #[test]
    fn of_too_many_those_by_people_stay() {
        let few = RetrainingConfig { notes_max: 25, ..config() };
        let choice = Choice::of(&book(50), &few).unwrap();
        assert_eq!((choice.left_out.too_many, choice.held_out.len()), (15, 5));
        let by_people = choice.train.iter().chain(&choice.dev).filter(|note| !note.by_people.is_empty());
        assert_eq!((choice.train.len() + choice.dev.len(), by_people.count()), (25, 20));
    }

    #[test]
    fn one_patient_is_too_few() {
        let refused = Choice::of(&book(2), &config()).unwrap_err().to_string();
        assert!(refused.starts_with("there are 1 notes"), "{refused}");
        assert!(Choice::of(&book(3), &config()).is_ok());
    }
}
