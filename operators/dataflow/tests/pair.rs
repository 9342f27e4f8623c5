//! `Pair` over random histories: at the end of every epoch the pairs are those of what both students read last, whatever the number of
//! workers.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Duration;
use stillroom_dataflow::{Pair, PairUpsert, PredictionPair, PredictionUpsert};
use stillroom_schemas::{ModelId, Prediction, TextHash};
use timely::dataflow::operators::{Inspect, Probe, vec::Input};

const PARTITIONS: u32 = 3;
const EPOCHS: usize = 30;

/// Upserts of one epoch: of the candidate, and of the student that serves.
type Upserts = [Vec<PredictionUpsert>; 2];

type Note = (String, u32);

fn prediction(side: usize, text: u64) -> Prediction {
    Prediction {
        model: ModelId(["b@1", "a@1"][side].to_owned()),
        text_hash: TextHash::of(&text.to_string()),
        note_type: None,
        site: None,
        words: Vec::new(),
        spans: Vec::new(),
    }
}

/// Both students read the same records, one of them later than the other; some cannot be read by one, and some are read again.
fn any_history(seed: u64) -> Vec<Upserts> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut history: Vec<Upserts> = (0..EPOCHS).map(|_| Upserts::default()).collect();
    let mut revisions: BTreeMap<Note, u64> = BTreeMap::new();
    let mut late: BTreeMap<(Note, usize), usize> = BTreeMap::new();
    for offset in 0..150u64 {
        let note = (random.random_range(0..4).to_string(), random.random_range(0..PARTITIONS));
        let revision = revisions.entry(note.clone()).or_default();
        *revision += random.random_range(0..2);
        let (is_withdrawn, text) = (random.random_bool(0.2), random.random_range(0..3));
        for side in [0, 1] {
            let said = (!is_withdrawn && random.random_bool(0.9)).then(|| prediction(side, text));
            // In the order of the partition, so never earlier than what was read of the note before.
            let epoch = late.entry((note.clone(), side)).or_default();
            *epoch = (*epoch).max(offset as usize * EPOCHS / 150).min(EPOCHS - 1);
            *epoch = (*epoch + random.random_range(0..3)).min(EPOCHS - 1);
            history[*epoch][side].push((note.clone(), (*revision, offset, said.clone())));
            if random.random_bool(0.1) {
                history[*epoch][side].push((note.clone(), (*revision, offset, None)));
            }
        }
    }
    history
}

/// The pairs at the end of every epoch, from all that was read until then.
fn expected(history: &[Upserts]) -> Vec<BTreeMap<Note, PredictionPair>> {
    let mut latest: [BTreeMap<Note, Option<Prediction>>; 2] = Default::default();
    let of_epoch = |upserts: &Upserts| {
        for (side, upserts) in upserts.iter().enumerate() {
            for (note, (_, _, said)) in upserts {
                latest[side].insert(note.clone(), said.clone());
            }
        }
        let pair = |(note, candidate): (&Note, &Option<Prediction>)| {
            let (candidate, serving) = (candidate.clone()?, latest[1].get(note)?.clone()?);
            let is_same = candidate.text_hash == serving.text_hash;
            is_same.then(|| (note.clone(), PredictionPair { candidate, serving }))
        };
        latest[0].iter().filter_map(pair).collect()
    };
    history.iter().map(of_epoch).collect()
}

/// What `Pair` says, with the epochs at which it does; the records of a partition come to one worker.
fn run(history: &[Upserts], workers: usize) -> Vec<(u64, PairUpsert)> {
    let (sender, said) = channel::<(u64, PairUpsert)>();
    let history = history.to_vec();
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let sender = sender.clone();
        let (mut candidate, mut serving, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (candidate, candidates) = scope.new_input::<PredictionUpsert>();
            let (serving, served) = scope.new_input::<PredictionUpsert>();
            let pairs = candidates.pair(served).inspect_core(move |event| {
                let Ok((stamp, pairs)) = event else { return };
                let epoch = *stamp.least().unwrap();
                pairs.iter().for_each(|pair: &PairUpsert| sender.send((epoch, pair.clone())).unwrap());
            });
            (candidate, serving, pairs.probe().0)
        });
        let (index, peers) = (worker.index() as u32, worker.peers() as u32);
        for (epoch, [of_candidate, of_serving]) in (1..).zip(&history) {
            let is_here = |upsert: &&PredictionUpsert| upsert.0.1 % peers == index;
            of_candidate.iter().filter(is_here).for_each(|upsert| candidate.send(upsert.clone()));
            of_serving.iter().filter(is_here).for_each(|upsert| serving.send(upsert.clone()));
            candidate.advance_to(epoch);
            serving.advance_to(epoch);
            worker.step();
        }
        candidate.close();
        serving.close();
        while !probe.done() {
            worker.step_or_park(Some(Duration::from_millis(10)));
        }
    });
    guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
    said.try_iter().collect()
}

#[test]
fn pairs_are_those_of_what_both_read_last() {
    for seed in 0..20 {
        let history = any_history(seed);
        let expected = expected(&history);
        assert!(expected.iter().map(BTreeMap::len).sum::<usize>() > EPOCHS, "seed {seed}: few pairs prove little");
        for workers in 1..=3 {
            let said = run(&history, workers);
            let mut current: BTreeMap<Note, PredictionPair> = BTreeMap::new();
            for (epoch, expected) in (0..).zip(&expected) {
                let mut notes: Vec<&Note> = Vec::new();
                for (_, (note, (_, _, pair))) in said.iter().filter(|(at, _)| *at == epoch) {
                    notes.push(note);
                    match pair {
                        Some(pair) => drop(current.insert(note.clone(), pair.clone())),
                        None => assert!(current.remove(note).is_some(), "what was no pair ceases to be one"),
                    }
                }
                notes.sort();
                let count = notes.len();
                notes.dedup();
                assert_eq!(notes.len(), count, "seed {seed}, epoch {epoch}: a note is said twice");
                assert_eq!(current, *expected, "seed {seed}, {workers} workers, epoch {epoch}");
            }
        }
    }
}
