//! `Examples`, behind the operators that the retraining topology has before it, over random histories of notes,
//! amendments, withdrawals, references, labels and corrections, against a plain recomputation after every epoch, with
//! 1, 2 and 3 workers.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use stillroom_dataflow::ensemble::{Ensemble, Rule};
use stillroom_dataflow::{
    Decode, DecodeConfig, Example, ExampleKey, ExampleSource, Examples, HeldOut, Input, LatestNotes, PlainJson,
    Position, Record, TeacherPanel, Tokenize, TokenizedText, TokenizerError, Words, label_key, reference_key,
};
use stillroom_schemas::{Note, Reference, Span, Task, TaskSet, TextHash};
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Input as _};

/// A change of one example: of what, to what, at which epoch, added or retracted.
type Update = (ExampleKey, Example, u64, isize);

/// A record of a topic, before it is written as one.
#[derive(Clone, Debug)]
struct Step {
    partition: u32,
    offset: u64,
    event: Event,
}

#[derive(Clone, Debug)]
enum Event {
    Revised(Note),
    Withdrawn(String),
    /// A revision of a note that nobody can decode.
    Corrupt(String),
    /// Of a note, by an annotator; what was said, or nothing any more.
    Referenced(String, &'static str, Option<Reference>),
    /// Of a note, by a teacher, of a text.
    Labelled(String, &'static str, TextHash, Option<Reference>),
}

const NOTES: u64 = 6;
/// As if one had been added and had taken over keys: both hold every note.
const PARTITIONS: u32 = 2;
const PATIENTS: [&str; 6] = ["p1", "p2", "p3", "p4", "p5", ""];
const HELD_OUT: HeldOut = HeldOut { share: 0.4 };
/// One has the name of a teacher, and is another.
const ANNOTATORS: [&str; 3] = ["second_reader", "adjudicated", "teacher_a"];
/// The last is not of the panel.
const TEACHERS: [&str; 4] = ["teacher_a", "teacher_b", "vocabulary", "stranger"];

/// Ensembles for two of the tasks.
fn chosen() -> BTreeMap<Task, Ensemble> {
    let ensemble = |teachers: [&str; 2], rule| Ensemble { teachers: teachers.map(str::to_owned).into(), rule };
    let weighted = Rule::Weighted { weights: vec![0.7, 0.3] };
    let of_disease = ensemble([TEACHERS[1], TEACHERS[0]], weighted);
    [(Task::Disease, of_disease), (Task::Medication, ensemble([TEACHERS[2], TEACHERS[0]], Rule::Union))].into()
}

fn panel() -> TeacherPanel {
    let asked = TEACHERS[..3].iter().map(|name| (name.to_string(), TaskSet::from(Task::ALL)));
    TeacherPanel::new(&asked.collect::<Vec<_>>(), chosen()).with_shares()
}

/// The text of a note at a revision. Every third revision has the text of the one before, as when only the signature
/// changed, and of some texts `cut` cannot tell the words.
fn text_of(note: u64, revision: u64) -> String {
    let number = note * 100 + revision - revision / 3;
    let mut rng = SmallRng::seed_from_u64(number);
    let words: Vec<&str> =
        (0..rng.random_range(0..12)).map(|_| *["a", "fever", "né"].choose(&mut rng).unwrap()).collect();
    let end = if number % 9 == 4 { " uncut" } else { "" };
    format!("{number} {}{end}", words.join(" "))
}

/// Words between single spaces.
fn cut(text: &str) -> Result<TokenizedText, TokenizerError> {
    if text.ends_with(" uncut") {
        return Err(TokenizerError::Encode { bytes: text.len() });
    }
    let mut start = 0;
    let words = text.split(' ').map(|word| {
        let word = start..start + word.chars().count() as u32;
        start = word.end + 1;
        word
    });
    let words = Words(words.filter(|word| !word.is_empty()).collect());
    Ok(TokenizedText { word_pieces: words.len() as u32, words, windows: Vec::new() })
}

fn any_reference(rng: &mut SmallRng, note_id: &str, annotator: &str, text: &str) -> Reference {
    let tasks: TaskSet = Task::ALL.into_iter().filter(|_| rng.random_bool(0.7)).collect();
    let listed: Vec<Task> = tasks.iter().copied().collect();
    let mut spans = Vec::new();
    for _ in 0..rng.random_range(0..6) {
        let Some(&task) = listed.choose(rng) else { break };
        let start = rng.random_range(0..30);
        spans.push(Span { task, start, end: start + rng.random_range(1..8) });
        // Annotators repeat themselves, and keep no order.
        spans.extend(spans.first().copied().filter(|_| rng.random_bool(0.2)));
    }
    let (note_id, annotator) = (note_id.to_owned(), annotator.to_owned());
    Reference { note_id, annotator, text_hash: TextHash::of(text), tasks, spans }
}

/// A history whose records come in the order of their partitions, several of one note in one epoch included.
fn any_history(seed: u64, epochs: usize) -> Vec<Vec<Step>> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut revisions = [1u64; NOTES as usize];
    let mut offset = 0;
    let mut epoch = |rng: &mut SmallRng| {
        let steps = (0..rng.random_range(0..16)).map(|_| {
            offset += 1;
            let event = any_event(rng, &mut revisions);
            Step { partition: rng.random_range(0..PARTITIONS), offset, event }
        });
        steps.collect()
    };
    (0..epochs).map(|_| epoch(&mut rng)).collect()
}

fn any_event(rng: &mut SmallRng, revisions: &mut [u64; NOTES as usize]) -> Event {
    let note = rng.random_range(0..NOTES);
    let (note_id, revision) = (note.to_string(), &mut revisions[note as usize]);
    // Revisions come late and twice; labels come late, and early, for a revision that comes later or never.
    let near = (*revision + rng.random_range(0..3)).saturating_sub(1);
    match rng.random_range(0..24) {
        0..6 => {
            *revision += rng.random_range(0..2);
            let is_late = rng.random_bool(0.2);
            let revision = if is_late { near.min(*revision) } else { *revision };
            let patient_id = rng.random_bool(0.8).then(|| PATIENTS.choose(rng).unwrap().to_string());
            let site = rng.random_bool(0.5).then(|| "north".to_owned());
            let text = text_of(note, revision);
            Event::Revised(Note { note_id, patient_id, revision, note_type: None, site, signed_at: None, text })
        }
        6 => Event::Withdrawn(note_id),
        7 => Event::Corrupt(note_id),
        8..11 => {
            let annotator = *ANNOTATORS.choose(rng).unwrap();
            let reference = any_reference(rng, &note_id, annotator, &text_of(note, near));
            Event::Referenced(note_id, annotator, rng.random_bool(0.7).then_some(reference))
        }
        _ => {
            let teacher = *TEACHERS.choose(rng).unwrap();
            let labelled = if rng.random_bool(0.7) { *revision } else { near };
            let label = any_reference(rng, &note_id, teacher, &text_of(note, labelled));
            Event::Labelled(note_id, teacher, label.text_hash.clone(), rng.random_bool(0.9).then_some(label))
        }
    }
}

fn record(step: &Step) -> Record {
    let json = |reference: &Option<Reference>| reference.as_ref().map(|said| serde_json::to_vec(said).unwrap());
    let (topic, key, value) = match &step.event {
        Event::Revised(note) => ("notes", note.note_id.clone().into_bytes(), Some(serde_json::to_vec(note).unwrap())),
        Event::Withdrawn(note_id) => ("notes", note_id.clone().into_bytes(), None),
        Event::Corrupt(note_id) => ("notes", note_id.clone().into_bytes(), Some(b"{".to_vec())),
        Event::Referenced(note_id, annotator, said) => ("references", reference_key(note_id, annotator), json(said)),
        Event::Labelled(note_id, teacher, hash, said) => ("labels", label_key(note_id, teacher, hash), json(said)),
    };
    let position = Position { partition: step.partition, offset: step.offset };
    Record { topic: topic.into(), position, key: Some(key), value, headers: Vec::new() }
}

/// Runs the operators over `history`, one epoch for each element, partitions dealt out to the workers; the updates,
/// sorted.
fn run(history: &[Vec<Step>], workers: usize) -> Vec<Update> {
    let updates = Arc::new(Mutex::new(Vec::new()));
    let (seen, history) = (updates.clone(), history.to_vec());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let seen = seen.clone();
        let (mut records, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (records, inputs) = scope.new_input();
            let (notes, labels, models) = ("notes".into(), "labels".into(), "models".into());
            let wire = Arc::new(PlainJson);
            let decoded = inputs.decode(DecodeConfig { notes, labels, models, note_bytes_max: 10_000, wire });
            let (latest, overtaken) = decoded.notes.latest_notes();
            let (tokenized, refused) = latest.tokenize(Arc::new(cut));
            let gone = overtaken.concat(refused).flat_map(|output| output.without_current());
            let notes = tokenized.map(|note| note.into_current()).concat(gone);
            let keep = move |((key, example), epoch, diff): &((ExampleKey, Example), u64, isize)| {
                seen.lock().unwrap().push((key.clone(), example.clone(), *epoch, *diff));
            };
            let examples = notes.examples(decoded.references, panel(), HELD_OUT);
            (records, examples.inspect(keep).probe().0)
        });
        for (epoch, steps) in (0..).zip(&history) {
            let mine = steps.iter().filter(|step| step.partition as usize % peers == index);
            mine.for_each(|step| records.send(Input::Record(record(step))));
            records.advance_to(epoch + 1);
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

/// What is known of a note: its greatest revision, and the revision that is current, unless it was withdrawn.
type Known<'a> = (u64, Option<(&'a Note, u64)>);

/// The examples after `steps`, from the beginning.
fn recomputed<'a>(steps: impl Iterator<Item = &'a Step>) -> BTreeMap<ExampleKey, Example> {
    let mut notes: BTreeMap<(&str, u32), Known<'_>> = BTreeMap::new();
    let mut humans = BTreeMap::new();
    let mut teachers = BTreeMap::new();
    for Step { partition, offset, event } in steps {
        match event {
            Event::Revised(note) => {
                let known = notes.entry((&note.note_id, *partition));
                let (greatest, current) = known.or_insert((note.revision, None));
                let is_again = current.is_some_and(|(current, _)| current.text == note.text);
                if note.revision > *greatest || note.revision == *greatest && !is_again {
                    (*greatest, *current) = (note.revision, Some((note, *offset)));
                }
            }
            Event::Withdrawn(note_id) => notes.entry((note_id, *partition)).or_insert((0, None)).1 = None,
            Event::Corrupt(_) => {}
            Event::Referenced(note_id, annotator, said) => {
                humans.insert((note_id, *annotator, *partition), said.as_ref());
            }
            Event::Labelled(note_id, teacher, text_hash, said) => {
                teachers.insert((note_id, *teacher, text_hash, *partition), said.as_ref());
            }
        }
    }
    let said = humans.values().flatten().copied().collect();
    let labels = teachers.values().flatten().copied().collect();
    let current = notes.into_iter().filter_map(|((_, partition), (_, current))| Some((partition, current?)));
    let of_note = |(partition, (note, offset))| examples_of(note, (partition, offset), &said, &labels);
    current.flat_map(of_note).collect()
}

/// The examples of one note, among all references and all labels.
fn examples_of(
    note: &Note,
    (partition, offset): (u32, u64),
    said: &BTreeSet<&Reference>,
    labels: &BTreeSet<&Reference>,
) -> Vec<(ExampleKey, Example)> {
    let Ok(TokenizedText { words, .. }) = cut(&note.text) else { return Vec::new() };
    let is_of_text = |said: &&&Reference| said.note_id == note.note_id && said.text_hash == TextHash::of(&note.text);
    // Sets of references are in the order of annotators. Of what one says in two partitions the least counts.
    let mut humans: Vec<_> = said.iter().filter(is_of_text).collect();
    humans.sort_by_key(|said| (&said.annotator, &said.tasks, &said.spans));
    let label_of = |teacher: &str, task: Task| {
        let of_teacher = labels.iter().filter(is_of_text).filter(|label| label.annotator == teacher);
        let label = of_teacher.min_by_key(|label| (&label.tasks, &label.spans))?;
        label.tasks.contains(&task).then_some(&label.spans[..])
    };
    let merged = |task: Task| {
        let ensemble = chosen().remove(&task)?;
        let labels: Option<Vec<&[Span]>> = ensemble.teachers.iter().map(|teacher| label_of(teacher, task)).collect();
        let labels = labels?;
        Some((ensemble.merge(&words, task, &labels), ensemble.shares(&words, task, &labels)))
    };
    let of_task = |task: Task| {
        let human = humans.iter().find(|said| said.tasks.contains(&task));
        let (source, spans, soft) = match (human, merged(task)) {
            (Some(said), _) => (ExampleSource::Human(said.annotator.clone()), said.spans.clone(), None),
            (None, merged) => {
                let (spans, soft) = merged?;
                (ExampleSource::Teachers, spans, Some(soft))
            }
        };
        let spans: BTreeSet<Span> = spans.into_iter().filter(|span| span.task == task).collect();
        let example = Example {
            offset,
            text_hash: TextHash::of(&note.text),
            patient_id: note.patient_id.clone(),
            note_type: note.note_type.clone(),
            site: note.site.clone(),
            spans: spans.into_iter().collect(),
            soft,
            source,
            is_held_out: is_held_out(note),
        };
        Some((ExampleKey { note_id: note.note_id.clone(), partition, task }, example))
    };
    Task::ALL.into_iter().filter_map(of_task).collect()
}

fn is_held_out(note: &Note) -> bool {
    let patient = note.patient_id.as_ref().filter(|patient| !patient.is_empty());
    let digits = TextHash::of(patient.unwrap_or(&note.note_id)).0;
    (u64::from_str_radix(&digits[..16], 16).unwrap() as f64) < HELD_OUT.share * 2f64.powi(64)
}

/// Checks one example against the records themselves: it is of a note that was not withdrawn since, of which no higher
/// revision came, and whose patient may be learned from if it is to be learned.
fn check_hygiene<'a>(key: &ExampleKey, example: &Example, steps: impl Iterator<Item = &'a Step>) {
    let mut learned = None;
    for step in steps.filter(|step| step.partition == key.partition) {
        match (&step.event, learned) {
            (Event::Revised(note), None) if step.offset == example.offset => learned = Some(note),
            (Event::Revised(note), Some(learned)) if note.note_id == key.note_id => {
                assert!(note.revision <= learned.revision, "{key:?} is of an old revision");
                let is_replaced = note.revision == learned.revision && note.text != learned.text;
                assert!(!is_replaced, "{key:?} was replaced");
            }
            (Event::Withdrawn(note_id), Some(_)) => assert_ne!(*note_id, key.note_id, "{key:?} was withdrawn"),
            _ => {}
        }
    }
    let learned = learned.unwrap_or_else(|| panic!("{key:?} has no record at its offset"));
    assert_eq!((&learned.note_id, TextHash::of(&learned.text)), (&key.note_id, example.text_hash.clone()));
    assert!(!(example.is_to_be_learned() && is_held_out(learned)), "{key:?} is of a patient who is held out");
    assert!(!example.is_to_be_learned() || !example.is_to_be_measured_by(), "{key:?} is of both sides");
}

/// What the histories held.
#[derive(Debug, Default)]
struct Seen {
    by_humans: usize,
    by_teachers: usize,
    to_be_measured_by: usize,
    gone: usize,
}

/// Checks the updates of a history epoch by epoch.
fn check(history: &[Vec<Step>], updates: &[Update], seen: &mut Seen) {
    let mut live: BTreeMap<ExampleKey, Example> = BTreeMap::new();
    for epoch in 0..history.len() {
        let of_epoch: Vec<_> = updates.iter().filter(|update| update.2 == epoch as u64).collect();
        let distinct: BTreeSet<_> = of_epoch.iter().map(|(key, example, ..)| (key, example)).collect();
        assert_eq!(distinct.len(), of_epoch.len(), "a change and its opposite in epoch {epoch}");
        for (key, example, _, _) in of_epoch.iter().filter(|update| update.3 == -1) {
            assert_eq!(live.remove(key).as_ref(), Some(example), "a retraction of what is not there, epoch {epoch}");
        }
        for (key, example, _, _) in of_epoch.iter().filter(|update| update.3 == 1) {
            assert_eq!(live.insert(key.clone(), example.clone()), None, "two examples of one key, epoch {epoch}");
            match &example.source {
                ExampleSource::Human(_) => seen.by_humans += 1,
                ExampleSource::Teachers => seen.by_teachers += 1,
            }
            seen.to_be_measured_by += usize::from(example.is_to_be_measured_by());
        }
        assert!(of_epoch.iter().all(|update| update.3.abs() == 1));
        seen.gone += of_epoch.iter().filter(|update| !live.contains_key(&update.0)).count();
        let steps = || history[..=epoch].iter().flatten();
        live.iter().for_each(|(key, example)| check_hygiene(key, example, steps()));
        assert_eq!(live, recomputed(steps()), "epoch {epoch}");
    }
}

#[test]
fn equal_a_plain_recomputation_after_every_epoch() {
    let mut seen = Seen::default();
    for seed in 0..8 {
        let history = any_history(seed, 80);
        let updates = run(&history, 1);
        check(&history, &updates, &mut seen);
        for workers in 2..=3 {
            assert_eq!(run(&history, workers), updates, "seed {seed}, {workers} workers");
        }
    }
    let Seen { by_humans, by_teachers, to_be_measured_by, gone } = seen;
    let least = [by_humans, by_teachers, to_be_measured_by, gone].into_iter().min();
    assert!(least > Some(100), "the histories are too poor: {seen:?}");
}

#[test]
fn what_was_known_already_changes_nothing() {
    let mut history = any_history(99, 40);
    let last_offset = history.iter().flatten().map(|step| step.offset).max().unwrap();
    // The last record of every key once more, as a producer sends it that was not sure.
    let mut last = BTreeMap::new();
    for step in history.iter().flatten() {
        let Record { topic, key, .. } = record(step);
        last.insert((topic, key, step.partition), step.clone());
    }
    let again = last.into_values().zip(1..).map(|(step, at)| Step { offset: last_offset + at, ..step });
    history.push(again.collect());
    let updates = run(&history, 2);
    assert!(!recomputed(history.iter().flatten()).is_empty());
    assert_eq!(updates.iter().filter(|update| update.2 == 40).count(), 0);
    check(&history, &updates, &mut Seen::default());
}
