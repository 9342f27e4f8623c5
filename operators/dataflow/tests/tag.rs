//! `Tag` with real threads: what it says of a note must not depend on batches, threads, workers or other notes, and its student on the
//! note's epoch alone.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use stillroom_dataflow::{
    LoadStudent, NoteRecord, Position, Probabilities, Record, StudentLease, Students, Tag, TagConfig, TaggedNote,
    Tagger, TaggerError, TaggerFactory, TaggerPool, TokenizedNote, TokenizedText, Window, Words,
};
use stillroom_schemas::{Activation, ActivationCause, ModelId, Note, TextHash};
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Input, Inspect, Probe};
use timely::worker::Worker;

/// Says of a word what its number is among a hundred; fails on windows with a 7 in them.
struct Parrot(ModelId);

fn say(id: u32) -> [f32; 3] {
    [id as f32 / 100.0, 0.0, 1.0]
}

impl Tagger for Parrot {
    fn model(&self) -> &ModelId {
        &self.0
    }

    fn thresholds(&self) -> [f32; 3] {
        [0.5; 3]
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        if let Some(window) = windows.iter().find(|window| window.ids.contains(&7)) {
            let cause = format!("a window of {}", window.ids.len());
            return Err(TaggerError { model: self.0.0.clone(), windows: windows.len(), cause });
        }
        Ok(windows.iter().map(|window| window.ids.iter().copied().map(say).collect()).collect())
    }
}

fn parrot() -> TaggerFactory {
    named("parrot".to_owned())
}

fn named(name: String) -> TaggerFactory {
    Box::new(|| Ok(Box::new(Parrot(ModelId(name)))))
}

/// A note of windows of these ids, every piece a word.
fn note(name: usize, windows: &[Vec<u32>]) -> TokenizedNote {
    let note = Note {
        note_id: name.to_string(),
        patient_id: None,
        revision: 0,
        note_type: None,
        site: None,
        signed_at: None,
        text: String::new(),
    };
    let position = Position { partition: 0, offset: name as u64 };
    let record = Arc::new(Record { topic: "notes".into(), position, ..Record::default() });
    let (mut cut, mut words) = (Vec::new(), 0);
    for ids in windows {
        let pieces = (0..=ids.len() as u16).collect();
        cut.push(Window { ids: ids.clone(), words: words..words + ids.len(), pieces });
        words += ids.len();
    }
    let boundaries = Words((0..words as u32).map(|word| 2 * word..2 * word + 1).collect());
    TokenizedNote {
        note: Box::new(NoteRecord { note, text_hash: TextHash::of(""), record, is_again: false }),
        tokenized: TokenizedText { words: boundaries, word_pieces: words as u32, windows: cut },
    }
}

fn expected(windows: &[Vec<u32>]) -> Result<Probabilities, String> {
    match windows.iter().find(|window| window.contains(&7)) {
        Some(window) => Err(format!("student parrot failed on a batch of 1 windows: a window of {}", window.len())),
        None => Ok(windows.iter().flatten().copied().map(say).collect()),
    }
}

/// Epoch and answer of every note, by its number.
type Answers = BTreeMap<usize, (u64, Result<Probabilities, String>)>;

/// Notes an epoch.
const EPOCH: usize = 10;

/// Epochs from an activation to its student.
const DELAY: u64 = 3;

/// Tags notes, each on the worker of its number; activations, by epoch and offset, come in on the first worker. What came out, with
/// its epochs.
fn run(
    notes: &[Vec<Vec<u32>>],
    activations: &[(u64, u64, String)],
    students: (Students, StudentLease),
    (workers, tokens_max): (usize, usize),
) -> Vec<(u64, TaggedNote)> {
    let (sender, answered) = channel::<(u64, TaggedNote)>();
    let (notes, activations, all) = (notes.to_vec(), activations.to_vec(), students.0.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (students, of_worker, sender) = (students.clone(), students.0.clone(), sender.clone());
        let linger_max = Duration::from_millis(1);
        let config = TagConfig { tokens_max, linger_max, activation_epochs: DELAY };
        let ((mut input, mut models), probe) = worker.dataflow(|scope| {
            let (input, notes) = scope.new_input();
            let (models, activations) = scope.new_input::<Vec<(u64, Activation)>>();
            let tagged = notes.tag(activations.broadcast(), students, config).inspect_core(move |event| {
                let Ok((stamp, notes)) = event else { return };
                notes
                    .iter()
                    .for_each(|note: &TaggedNote| sender.send((*stamp.least().unwrap(), note.clone())).unwrap());
            });
            let (probe, _) = tagged.probe();
            ((input, models), probe)
        });
        let (index, peers) = (worker.index(), worker.peers());
        for epoch in 0..notes.len().div_ceil(EPOCH) {
            input.advance_to(epoch as u64);
            models.advance_to(epoch as u64);
            let heard = activations.iter().filter(|(at, ..)| index == 0 && *at == epoch as u64);
            heard.for_each(|(_, offset, name)| models.send((*offset, activation(name))));
            let numbers = (epoch * EPOCH..notes.len().min((epoch + 1) * EPOCH)).filter(|n| n % peers == index);
            for number in numbers {
                input.send(note(number, &notes[number]));
                worker.step();
            }
        }
        input.close();
        models.close();
        while !probe.done() {
            worker.step_or_park(Some(Duration::from_millis(10)));
            assert!(of_worker.failure().is_none(), "a batch is lost");
        }
    });
    guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
    all.join().unwrap();
    answered.try_iter().collect()
}

fn activation(name: &str) -> Activation {
    Activation {
        model: ModelId(name.to_owned()),
        weights_hash: String::new(),
        previous: ModelId("parrot".to_owned()),
        cause: ActivationCause::Promotion,
        activated_at: String::new(),
    }
}

fn number_of(note: &TaggedNote) -> usize {
    note.note.note.note_id.parse().unwrap()
}

/// What one student says, by the number of the note.
fn tag(notes: &[Vec<Vec<u32>>], workers: usize, threads: usize, tokens_max: usize) -> Answers {
    let pool = TaggerPool::start((0..threads).map(|_| parrot()).collect(), 2).unwrap();
    let found = run(notes, &[], Students::only(pool), (workers, tokens_max));
    let total = found.len();
    let found: Answers = found.into_iter().map(|(epoch, note)| (number_of(&note), (epoch, note.answer))).collect();
    assert_eq!(found.len(), total, "no note is answered twice");
    found
}

/// How many students are in memory, and a gate that holds the loading of one.
#[derive(Default)]
struct Loads {
    alive: AtomicUsize,
    loaded: Mutex<Vec<String>>,
    open: (Mutex<bool>, Condvar),
}

/// A student that is counted while it lives.
struct Counted(Parrot, Arc<Loads>);

impl Tagger for Counted {
    fn model(&self) -> &ModelId {
        self.0.model()
    }

    fn thresholds(&self) -> [f32; 3] {
        self.0.thresholds()
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        // The first student's first note lets the others be loaded: no note waits for them that it could have.
        *self.1.open.0.lock().unwrap() = true;
        self.1.open.1.notify_all();
        self.0.tag(windows)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn counted(name: &str, loads: &Arc<Loads>) -> TaggerFactory {
    loads.alive.fetch_add(1, Ordering::SeqCst);
    let student = Counted(Parrot(ModelId(name.to_owned())), Arc::clone(loads));
    Box::new(|| Ok(Box::new(student)))
}

/// The student of every epoch is the last that was activated `DELAY` epochs before it, whatever the number of workers, and however
/// long it is loaded.
#[test]
fn an_epoch_has_one_student_on_every_worker() {
    for seed in 0..12 {
        let mut random = SmallRng::seed_from_u64(seed);
        let notes: Vec<Vec<Vec<u32>>> = (0..150).map(|_| vec![vec![random.random_range(10..100)]]).collect();
        let epochs = notes.len().div_ceil(EPOCH) as u64;
        let mut activations: Vec<(u64, u64, String)> = Vec::new();
        for offset in 0..random.random_range(1..6) {
            let epoch = random.random_range(activations.last().map_or(0, |(epoch, ..)| *epoch)..epochs);
            activations.push((epoch, offset, format!("student-{}", random.random_range(0..3))));
        }
        if seed % 2 == 0 {
            // As after a restart: one of them is told of at once, and it and those before it are read again.
            let (_, offset, name) = activations[random.random_range(0..activations.len())].clone();
            activations.insert(0, (0, offset, name));
        }
        let expected = |epoch: u64| {
            let before = activations.iter().filter(|(at, ..)| at + DELAY <= epoch);
            before.max_by_key(|(_, offset, _)| *offset).map_or("parrot", |(.., name)| name)
        };
        for workers in 1..=3 {
            let loads = Arc::new(Loads::default());
            let of_load = Arc::clone(&loads);
            let load: LoadStudent = Arc::new(move |activation| {
                let is_open = of_load.open.0.lock().unwrap();
                drop(of_load.open.1.wait_while(is_open, |is_open| !*is_open).unwrap());
                of_load.loaded.lock().unwrap().push(activation.model.0.clone());
                Ok(TaggerPool::start(vec![counted(&activation.model.0, &of_load)], 2)?)
            });
            let first = TaggerPool::start(vec![counted("parrot", &loads)], 2).unwrap();
            let found = run(&notes, &activations, Students::new(first, load), (workers, 8));
            assert_eq!(found.len(), notes.len(), "seed {seed}: notes are lost");
            for (epoch, note) in &found {
                let place = format!("seed {seed}, {workers} workers, epoch {epoch}");
                assert_eq!(*epoch, (number_of(note) / EPOCH) as u64, "{place}");
                assert_eq!(note.student.model.0, expected(*epoch), "{place}");
            }
            // Nobody waits for a student that is loaded for nothing.
            let began = Instant::now();
            while loads.alive.load(Ordering::SeqCst) > 0 {
                assert!(began.elapsed() < Duration::from_secs(60), "students stay in memory");
                std::thread::yield_now();
            }
        }
    }
}

/// Steps until something is so.
fn step_until(worker: &mut Worker, what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        worker.step_or_park(Some(Duration::from_millis(1)));
    }
}

/// Notes of epochs before its own do not wait while a student is loaded; once no epoch needs it, the one before goes, while its input
/// is open.
#[test]
fn nothing_waits_for_a_student_before_its_epoch_and_the_one_before_goes_after_it() {
    for workers in 1..=3 {
        let (loads, gate) = (Arc::new(Loads::default()), Arc::new((Mutex::new(false), Condvar::new())));
        let (of_load, is_awaited) = (Arc::clone(&loads), Arc::clone(&gate));
        let load: LoadStudent = Arc::new(move |activation| {
            let is_open = is_awaited.0.lock().unwrap();
            drop(is_awaited.1.wait_while(is_open, |is_open| !*is_open).unwrap());
            Ok(TaggerPool::start(vec![counted(&activation.model.0, &of_load)], 2)?)
        });
        let first = TaggerPool::start(vec![counted("parrot", &loads)], 2).unwrap();
        // Each worker takes its own: one that stayed here would keep the first student.
        let seats = Mutex::new(vec![Students::new(first, load); workers]);
        let (sender, answered) = channel::<(u64, String)>();
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let (students, sender) = (seats.lock().unwrap().pop().unwrap(), sender.clone());
            let config = TagConfig { tokens_max: 8, linger_max: Duration::ZERO, activation_epochs: DELAY };
            let ((mut input, mut models), probe) = worker.dataflow(|scope| {
                let (input, notes) = scope.new_input();
                let (models, activations) = scope.new_input::<Vec<(u64, Activation)>>();
                let tagged = notes.tag(activations.broadcast(), students, config).inspect_core(move |event| {
                    let Ok((stamp, notes)) = event else { return };
                    let epoch = *stamp.least().unwrap();
                    let said = |note: &TaggedNote| sender.send((epoch, note.student.model.0.clone())).unwrap();
                    notes.iter().for_each(said);
                });
                let (probe, _) = tagged.probe();
                ((input, models), probe)
            });
            let index = worker.index();
            if index == 0 {
                models.send((0, activation("second")));
            }
            for epoch in 0..=DELAY {
                input.send(note(index, &[vec![1]]));
                input.advance_to(epoch + 1);
                models.advance_to(epoch + 1);
            }
            step_until(worker, "notes wait for a student that is not theirs", || !probe.less_than(&DELAY));
            *gate.0.lock().unwrap() = true;
            gate.1.notify_all();
            step_until(worker, "notes wait for a student that is loaded", || !probe.less_than(&(DELAY + 1)));
            let alive = || loads.alive.load(Ordering::SeqCst);
            step_until(worker, "a student that nothing needs stays in memory", || alive() <= 1);
            assert_eq!(alive(), 1, "the student that tags from now on is gone");
        });
        guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
        let expected = |epoch: u64| (epoch, if epoch < DELAY { "parrot" } else { "second" }.to_owned());
        let mut found: Vec<(u64, String)> = answered.try_iter().collect();
        found.sort();
        let expected: Vec<_> = (0..=DELAY).flat_map(|epoch| std::iter::repeat_n(expected(epoch), workers)).collect();
        assert_eq!(found, expected, "{workers} workers");
    }
}

#[test]
fn a_student_that_cannot_be_loaded_ends_the_run_when_it_is_needed() {
    let first = TaggerPool::start(vec![parrot()], 2).unwrap();
    let failed = Arc::new(AtomicUsize::new(0));
    let of_load = Arc::clone(&failed);
    let load: LoadStudent = Arc::new(move |_| {
        of_load.fetch_add(1, Ordering::SeqCst);
        Err("there is none".into())
    });
    let (students, lease) = Students::new(first, load);
    let all = students.clone();
    timely::execute_directly(move |worker| {
        let config = TagConfig { tokens_max: 8, linger_max: Duration::ZERO, activation_epochs: 1 };
        let (mut input, mut models) = worker.dataflow(|scope| {
            let (input, notes) = scope.new_input();
            let (models, activations) = scope.new_input::<Vec<(u64, Activation)>>();
            notes.tag(activations, (students, lease), config);
            (input, models)
        });
        models.send((0, activation("broken")));
        models.advance_to(2);
        while failed.load(Ordering::SeqCst) == 0 {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
        // Woken or not, nothing needs the student yet.
        worker.step_or_park(Some(Duration::from_millis(10)));
        assert!(all.failure().is_none(), "no note needs it yet");
        input.advance_to(2);
        input.send(note(0, &[vec![1]]));
        input.flush();
        let failure = loop {
            worker.step_or_park(Some(Duration::from_millis(1)));
            if let Some(failure) = all.failure() {
                break failure;
            }
        };
        assert!(failure.to_string().starts_with("the student broken was activated and cannot be loaded"), "{failure}");
        worker.installed_dataflows().into_iter().for_each(|dataflow| worker.drop_dataflow(dataflow));
    });
}

#[test]
fn answers_depend_on_the_note_alone() {
    for seed in 0..5 {
        let mut random = SmallRng::seed_from_u64(seed);
        let notes: Vec<Vec<Vec<u32>>> = (0..120)
            .map(|_| {
                let windows = random.random_range(0..5);
                let mut window = || (0..random.random_range(1..6)).map(|_| random.random_range(0..100)).collect();
                (0..windows).map(|_| window()).collect()
            })
            .collect();
        let failing = notes.iter().filter(|windows| expected(windows).is_err()).count();
        assert!((3..60).contains(&failing), "{failing} failing notes prove little");
        for (workers, threads, tokens_max) in [(1, 1, 1), (1, 2, 8), (2, 1, 1000), (3, 2, 20)] {
            let answers = tag(&notes, workers, threads, tokens_max);
            assert_eq!(answers.len(), notes.len());
            for (number, windows) in notes.iter().enumerate() {
                let (epoch, answer) = &answers[&number];
                assert_eq!(*epoch, (number / EPOCH) as u64, "note {number} left its epoch");
                assert_eq!(*answer, expected(windows), "note {number}: {windows:?}");
            }
        }
    }
}
