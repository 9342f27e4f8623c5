//! `Score` over random histories of predictions, references, teachers' labels, amendments and withdrawals, against a batch
//! recomputation after every epoch, with 1, 2 and 3 workers.

mod of_note;

use of_note::OfNote;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use stillroom_dataflow::ensemble::{Ensemble, Rule};
use stillroom_dataflow::{PredictionUpsert, ReferenceKey, ReferenceUpsert, Score, TeacherPanel, Words};
use stillroom_schemas::{
    Comparison, Counts, Level, ModelId, Prediction, QualityKey, Reference, Span, Task, TaskSet, TextHash,
};
use timely::dataflow::operators::Input;

/// A change of one row: what, to which counts, at which epoch, added or retracted.
type Update = (QualityKey, Counts, u64, isize);

/// What arrives in one epoch. Nothing may depend on the order within it, nor on the worker that it comes in at.
#[derive(Clone, Default)]
struct Inputs {
    predictions: Vec<PredictionUpsert>,
    references: Vec<ReferenceUpsert>,
}

const NOTES: u64 = 8;
/// As if one had been added and had taken over keys: both hold every note.
const PARTITIONS: u32 = 2;
const ANNOTATORS: [&str; 3] = ["adjudicated", "teacher_a", "second_reader"];
/// The first has the name of an annotator, and is another; the last is not of the panel.
const TEACHERS: [&str; 4] = ["teacher_a", "teacher_b", "vocabulary", "stranger"];

/// Teachers that are asked, the last for one task, and an ensemble for two tasks.
fn panel() -> (Vec<(String, TaskSet)>, BTreeMap<Task, Ensemble>) {
    let all = TaskSet::from(Task::ALL);
    let asked = [(TEACHERS[0], all.clone()), (TEACHERS[1], all), (TEACHERS[2], [Task::Medication].into())];
    let ensemble = |teachers: [&str; 2], rule| Ensemble { teachers: teachers.map(str::to_owned).into(), rule };
    let chosen = [
        (Task::Disease, ensemble([TEACHERS[1], TEACHERS[0]], Rule::Weighted { weights: vec![0.7, 0.3] })),
        (Task::Medication, ensemble([TEACHERS[2], TEACHERS[0]], Rule::Intersection)),
    ];
    (asked.map(|(name, tasks)| (name.to_owned(), tasks)).into(), chosen.into())
}

/// The text of a note at a revision, as far as scoring goes: its hash and its words. Every third revision has the text of the one
/// before, as when only the signature changed.
fn text_of(note: u64, revision: u64) -> (TextHash, Words) {
    let text = note * 100 + revision - revision / 3;
    let mut rng = SmallRng::seed_from_u64(text);
    let mut at = 0;
    let words = (0..rng.random_range(0..15)).map(|_| {
        let start = at + rng.random_range(0..3);
        at = start + rng.random_range(1..6);
        start..at
    });
    (TextHash::of(&text.to_string()), Words(words.collect()))
}

fn any_spans(rng: &mut SmallRng) -> Vec<Span> {
    let span = |rng: &mut SmallRng| {
        let start = rng.random_range(0..50);
        Span { task: *Task::ALL.choose(rng).unwrap(), start, end: start + rng.random_range(0..12) }
    };
    (0..rng.random_range(0..8)).map(|_| span(rng)).collect()
}

fn any_prediction(rng: &mut SmallRng, note: u64, revision: u64, epoch: u64) -> Prediction {
    let (text_hash, words) = text_of(note, revision);
    let label =
        |rng: &mut SmallRng, names: [&str; 2]| rng.random_bool(0.8).then(|| names.choose(rng).unwrap().to_string());
    Prediction {
        model: ModelId(if epoch < 20 { "student@1".into() } else { "student@2".into() }),
        text_hash,
        note_type: label(rng, ["progress_note", "discharge_summary"]),
        site: label(rng, ["north", "south"]),
        words: words.to_bytes(),
        spans: any_spans(rng),
    }
}

fn any_reference(rng: &mut SmallRng, note: u64, annotator: &str, revision: u64) -> Reference {
    Reference {
        note_id: note.to_string(),
        annotator: annotator.to_string(),
        text_hash: text_of(note, revision).0,
        tasks: Task::ALL.into_iter().filter(|_| rng.random_bool(0.7)).collect(),
        spans: any_spans(rng),
    }
}

/// A history whose records come in order, several of one note in one epoch included.
fn any_history(seed: u64, epochs: u64) -> Vec<Inputs> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut revisions = [[1u64; NOTES as usize]; PARTITIONS as usize];
    let mut offset = 0;
    let mut history = Vec::new();
    for epoch in 0..epochs {
        let mut inputs = Inputs::default();
        for _ in 0..rng.random_range(0..10) {
            offset += 1;
            let (note, partition) = (rng.random_range(0..NOTES), rng.random_range(0..PARTITIONS));
            let revision = &mut revisions[partition as usize][note as usize];
            if rng.random_bool(0.5) {
                // Withdrawals carry the revision of what they withdraw; amendments a higher one, or the same again.
                *revision += rng.random_range(0..2);
                let prediction = rng.random_bool(0.8).then(|| any_prediction(&mut rng, note, *revision, epoch));
                inputs.predictions.push(((note.to_string(), partition), (*revision, offset, prediction)));
            } else {
                // Some annotators are late, some are early, for a revision that comes later or never.
                let annotated = (*revision + rng.random_range(0..3)).saturating_sub(1);
                let is_label = rng.random_bool(0.6);
                let annotator = *if is_label { &TEACHERS[..] } else { &ANNOTATORS }.choose(&mut rng).unwrap();
                let reference = any_reference(&mut rng, note, annotator, annotated);
                let text_hash = is_label.then(|| reference.text_hash.clone());
                let (note_id, annotator) = (note.to_string(), annotator.to_string());
                let key = ReferenceKey { note_id, annotator, text_hash, partition };
                inputs.references.push((key, (offset, rng.random_bool(0.8).then_some(reference))));
            }
        }
        inputs.predictions.shuffle(&mut rng);
        inputs.references.shuffle(&mut rng);
        history.push(inputs);
    }
    history
}

/// Runs the operator over `history`, one epoch for each element, inputs dealt out to the workers; its updates, sorted.
fn run(history: &[Inputs], workers: usize) -> Vec<Update> {
    let updates = Arc::new(Mutex::new(Vec::new()));
    let (seen, history) = (updates.clone(), history.to_vec());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let seen = seen.clone();
        let (mut notes, mut labels, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (notes, predictions) = scope.new_input();
            let (labels, references) = scope.new_input();
            let keep = move |((key, counts), epoch, change): &((QualityKey, Counts), u64, isize)| {
                seen.lock().unwrap().push((key.clone(), *counts, *epoch, *change));
            };
            let (asked, chosen) = panel();
            let quality = predictions.score(references, TeacherPanel::new(&asked, chosen));
            (notes, labels, quality.inspect(keep).probe().0)
        });
        for (epoch, inputs) in (0..).zip(&history) {
            let mine = |number: &usize| number % peers == index;
            (0..inputs.predictions.len()).filter(mine).for_each(|i| notes.send(inputs.predictions[i].clone()));
            (0..inputs.references.len()).filter(mine).for_each(|i| labels.send(inputs.references[i].clone()));
            notes.advance_to(epoch + 1);
            labels.advance_to(epoch + 1);
            // Some epochs are only worked on together with those after them.
            if epoch % 5 != 0 {
                worker.step_or_park_while(None, || probe.less_than(&(epoch + 1)));
            }
        }
    });
    guards.unwrap().join().into_iter().for_each(|result| result.unwrap());
    let mut updates = std::mem::take(&mut *updates.lock().unwrap());
    updates.sort();
    updates
}

/// What is live after `history`, and its counts from the beginning.
fn recomputed(history: &[Inputs]) -> BTreeMap<QualityKey, Counts> {
    let mut predictions = BTreeMap::new();
    let mut references = BTreeMap::new();
    for inputs in history {
        for (key, (revision, offset, prediction)) in &inputs.predictions {
            let latest = predictions.entry(key).or_insert((*revision, *offset, prediction));
            if (*revision, *offset) > (latest.0, latest.1) {
                *latest = (*revision, *offset, prediction);
            }
        }
        for (key, (offset, reference)) in &inputs.references {
            let latest = references.entry(key).or_insert((*offset, reference));
            if *offset > latest.0 {
                *latest = (*offset, reference);
            }
        }
    }
    let live: Vec<(&ReferenceKey, &Reference)> =
        references.iter().filter_map(|(key, (_, reference))| Some((*key, reference.as_ref()?))).collect();
    let mut counts = BTreeMap::new();
    for ((note, _), (_, _, prediction)) in &predictions {
        let Some(prediction) = prediction else { continue };
        let of_text = live.iter().filter(|(key, said)| key.note_id == *note && said.text_hash == prediction.text_hash);
        let (labels, references): (Vec<_>, Vec<_>) = of_text.partition(|(key, _)| key.text_hash.is_some());
        let of_note = OfNote::new(prediction, &labels, &references);
        of_note.add_student(&mut counts);
        of_note.add_teachers(&mut counts);
    }
    counts
}

type Said<'a> = (&'a ReferenceKey, &'a Reference);

/// Checks the updates of a history epoch by epoch, and returns how many rows were ever retracted for good.
fn check(history: &[Inputs], updates: &[Update]) -> usize {
    let mut live: BTreeMap<QualityKey, Counts> = BTreeMap::new();
    let mut gone = 0;
    for epoch in 0..history.len() {
        let now: Vec<_> = updates.iter().filter(|update| update.2 == epoch as u64).collect();
        for (key, counts, _, _) in now.iter().filter(|update| update.3 == -1) {
            assert_eq!(live.remove(key), Some(*counts), "a retraction of what is not there, epoch {epoch}");
        }
        for (key, counts, _, _) in now.iter().filter(|update| update.3 == 1) {
            assert_eq!(live.insert(key.clone(), *counts), None, "two rows of one key, epoch {epoch}");
        }
        assert!(now.iter().all(|update| update.3.abs() == 1));
        gone += now.iter().filter(|update| !live.contains_key(&update.0)).count();
        assert_eq!(live, recomputed(&history[..=epoch]), "epoch {epoch}");
    }
    gone
}

#[test]
fn equals_a_batch_recomputation_after_every_epoch() {
    let (mut rows, mut gone, mut compared) = (0, 0, BTreeMap::<Comparison, usize>::new());
    let mut reviewed = Counts::default();
    for seed in 0..18 {
        let history = any_history(seed, 60);
        let updates = run(&history, 1);
        gone += check(&history, &updates);
        rows += recomputed(&history).len();
        for (key, counts, ..) in &updates {
            *compared.entry(key.comparison).or_default() += 1;
            if key.comparison == Comparison::FalsePositivesReviewed {
                reviewed += *counts;
            }
        }
        for workers in 2..=3 {
            assert_eq!(run(&history, workers), updates, "seed {seed}, {workers} workers");
        }
    }
    assert!(rows > 250 && gone > 250, "the histories are too poor: {rows} rows at the end, {gone} withdrawn");
    // For one of these a note needs a student, two teachers and a human, all of one text.
    let few = compared.remove(&Comparison::FalsePositivesReviewed);
    assert!(few.is_some_and(|changes| changes > 15) && reviewed.tp > 5 && reviewed.fp > 5, "too poor: {reviewed:?}");
    assert!(compared.len() == 4 && compared.values().all(|changes| *changes > 250), "too poor: {compared:?}");
}

#[test]
fn an_epoch_that_changes_nothing_emits_nothing() {
    let mut history = any_history(99, 10);
    let last = recomputed(&history);
    assert!(!last.is_empty());
    // Every record once more, as after a restart that reads a changelog twice.
    let mut again = Inputs::default();
    for inputs in &history {
        again.predictions.extend(inputs.predictions.iter().cloned());
        again.references.extend(inputs.references.iter().cloned());
    }
    history.push(again);
    let updates = run(&history, 2);
    assert_eq!(updates.iter().filter(|update| update.2 == 10).count(), 0);
    check(&history, &updates);
}

#[test]
fn a_change_touches_only_its_own_rows() {
    let mut history = any_history(7, 30);
    let note = "a note of its own".to_string();
    let annotator = "an annotator of its own".to_string();
    let mut rng = SmallRng::seed_from_u64(1);
    let prediction = any_prediction(&mut rng, 1, 1, 0);
    let reference = Reference { tasks: Task::ALL.into(), ..any_reference(&mut rng, 1, &annotator, 1) };
    let key = ReferenceKey { note_id: note.clone(), annotator, text_hash: None, partition: 0 };
    history.push(Inputs { references: vec![(key, (1, Some(reference)))], ..Inputs::default() });
    history.push(Inputs { predictions: vec![((note.clone(), 0), (1, 1, Some(prediction)))], ..Inputs::default() });
    history.push(Inputs { predictions: vec![((note, 0), (1, 2, None))], ..Inputs::default() });
    let updates = run(&history, 3);
    let changes = |epoch| updates.iter().filter(|update| update.2 == epoch).map(|update| update.3).sum::<isize>();
    let rows = (2 * Task::ALL.len() * Level::ALL.len()) as isize;
    assert_eq!([changes(30), changes(31), changes(32)], [0, rows, -rows]);
    check(&history, &updates);
}
