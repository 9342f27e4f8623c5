//! `Tag` with real threads: what it says of a note must not depend on batches, threads, workers or other notes.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use stillroom_dataflow::{
    NoteRecord, Position, Probabilities, Record, Tag, TagConfig, TaggedNote, Tagger, TaggerError, TaggerFactory,
    TaggerPool, TokenizedNote, TokenizedText, Window, Words,
};
use stillroom_schemas::{ModelId, Note, TextHash};
use timely::dataflow::operators::{Input, Inspect, Probe};

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
    Box::new(|| Ok(Box::new(Parrot(ModelId("parrot".to_owned())))))
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
        note: Box::new(NoteRecord { note, text_hash: TextHash::of(""), record }),
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

/// Tags notes, ten an epoch, each on the worker of its number.
fn tag(notes: &[Vec<Vec<u32>>], workers: usize, threads: usize, tokens_max: usize) -> Answers {
    let pool = TaggerPool::start((0..threads).map(|_| parrot()).collect(), workers, 2).unwrap();
    let (sender, answered) = channel::<(u64, TaggedNote)>();
    let (notes, tagger) = (notes.to_vec(), pool.handle());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (tagger, sender) = (tagger.clone(), sender.clone());
        let config = TagConfig { tokens_max, linger_max: Duration::from_millis(1) };
        let (mut input, probe) = worker.dataflow(|scope| {
            let (input, notes) = scope.new_input();
            let tagged = notes.tag(tagger, config).inspect_core(move |event| {
                let Ok((stamp, notes)) = event else { return };
                notes
                    .iter()
                    .for_each(|note: &TaggedNote| sender.send((*stamp.least().unwrap(), note.clone())).unwrap());
            });
            let (probe, _) = tagged.probe();
            (input, probe)
        });
        let (index, peers) = (worker.index(), worker.peers());
        for (number, windows) in notes.iter().enumerate().filter(|(number, _)| number % peers == index) {
            input.advance_to(number as u64 / 10);
            input.send(note(number, windows));
            worker.step();
        }
        input.close();
        while !probe.done() {
            worker.step_or_park(None);
        }
    });
    guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
    pool.join().unwrap();
    let found: Vec<(u64, TaggedNote)> = answered.try_iter().collect();
    let total = found.len();
    let number = |note: &TaggedNote| note.note.note.note_id.parse().unwrap();
    let found: Answers = found.into_iter().map(|(epoch, note)| (number(&note), (epoch, note.answer))).collect();
    assert_eq!(found.len(), total, "no note is answered twice");
    found
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
                assert_eq!(*epoch, number as u64 / 10, "note {number} left its epoch");
                assert_eq!(*answer, expected(windows), "note {number}: {windows:?}");
            }
        }
    }
}
