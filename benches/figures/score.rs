//! What a changed note costs in live F1, and how much memory a million notes take.
//!
//!     cargo run --release --example figures -- score [NOTES …]
//!
//! `LatestNotes` and `Score` are loaded with notes and one reference each. Then single notes are amended, withdrawn and labelled
//! anew, an epoch each, and the time until the figures of that epoch are out is measured, twice: at first, and again after ten
//! times as many changes, which must make no difference. The first number of notes is measured once more with the labels of as many
//! teachers as a panel may have on every note.

use crate::support;
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stillroom_dataflow::{
    Epoch, LatestNotes, NoteEvent, ReferenceKey, ReferenceUpsert, Score, TeacherPanel, Tokenizer, worker_config,
};
use stillroom_schemas::{ModelId, Note, NoteState, Prediction, Reference, Span, Task, TextHash};
use timely::dataflow::operators::Input;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Map;
use timely::worker::Worker;

/// Notes that are loaded at one epoch, as a restart does it.
const CHUNK: u64 = 10_000;
const CHANGES: u64 = 1_000;

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let sizes = if numbers.is_empty() { &[10_000, 1_000_000] } else { numbers };
    let tokenizer = support::tokenizer()?;
    let samples = support::notes(200).iter().map(|note| sample(note, &tokenizer)).collect::<Result<Vec<_>>>()?;
    let plain = sizes.iter().map(|notes| (*notes, 0));
    for (notes, teachers) in plain.chain([(sizes[0], TeacherPanel::TEACHERS_MAX)]) {
        let samples = samples.clone();
        timely::execute(
            timely::Config { communication: timely::CommunicationConfig::Process(1), worker: worker_config() },
            move |worker| measure(worker, notes, teachers, &samples),
        )
        .and_then(|guards| guards.join().into_iter().collect::<Result<(), _>>())
        .map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// What is remembered of a note of the demo, and the spans of its reference: half of them are right.
fn sample(note: &Note, tokenizer: &Tokenizer) -> Result<(Prediction, Vec<Span>)> {
    let words = tokenizer.tokenize(&note.text)?.words;
    let span = |(index, word): (usize, &std::ops::Range<u32>)| Span {
        task: Task::ALL[index % Task::ALL.len()],
        start: word.start,
        end: word.end,
    };
    let spans = |step: usize| words.0.iter().enumerate().step_by(step).map(span).collect::<Vec<_>>();
    let prediction = Prediction {
        model: ModelId("bench@0123456789ab".into()),
        text_hash: TextHash::of(&note.text),
        note_type: note.note_type.clone(),
        site: note.site.clone(),
        words: words.to_bytes(),
        spans: spans(14),
    };
    Ok((prediction, spans(7)))
}

struct Bench<'a> {
    notes: timely::dataflow::InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<NoteEvent>>>,
    references: timely::dataflow::InputHandle<Epoch, timely::container::CapacityContainerBuilder<Vec<ReferenceUpsert>>>,
    probe: Handle<Epoch>,
    epoch: Epoch,
    samples: &'a [(Prediction, Vec<Span>)],
}

impl Bench<'_> {
    fn note(&mut self, id: u64, revision: u64, is_live: bool) {
        let (prediction, _) = &self.samples[(id % self.samples.len() as u64) as usize];
        let prediction = is_live.then(|| prediction.clone());
        let (note_id, offset) = (format!("note-{id:09}"), self.epoch);
        let state =
            NoteState { note_id, revision, offset, prediction, interpretation: None, facts: None, dead_lettered: None };
        self.notes.send(NoteEvent::Restored { partition: 0, state: Box::new(state) });
    }

    fn reference(&mut self, id: u64) {
        let (prediction, spans) = &self.samples[(id % self.samples.len() as u64) as usize];
        let (note_id, annotator) = (format!("note-{id:09}"), "adjudicated".to_owned());
        let (tasks, text_hash, spans) = (Task::ALL.into(), prediction.text_hash.clone(), spans.clone());
        let reference = Reference { note_id: note_id.clone(), annotator: annotator.clone(), text_hash, tasks, spans };
        let key = ReferenceKey { note_id, annotator, text_hash: None, partition: 0 };
        self.references.send((key, (self.epoch, Some(reference))));
    }

    /// What teachers say of a note: the spans of its reference, of which each leaves out others.
    fn labels(&mut self, id: u64, teachers: &[String]) {
        let (prediction, spans) = &self.samples[(id % self.samples.len() as u64) as usize];
        for (number, teacher) in teachers.iter().enumerate() {
            let (note_id, annotator) = (format!("note-{id:09}"), teacher.clone());
            let (tasks, text_hash) = (Task::ALL.into(), prediction.text_hash.clone());
            let left = spans.iter().enumerate().filter(|(at, _)| at % (number + 2) > 0).map(|(_, span)| *span);
            let key = ReferenceKey {
                note_id: note_id.clone(),
                annotator: annotator.clone(),
                text_hash: Some(text_hash.clone()),
                partition: 0,
            };
            let label = Reference { note_id, annotator, text_hash, tasks, spans: left.collect() };
            self.references.send((key, (self.epoch, Some(label))));
        }
    }

    /// Closes the epoch and waits for its figures.
    fn settle(&mut self, worker: &mut Worker) {
        self.epoch += 1;
        self.notes.advance_to(self.epoch);
        self.references.advance_to(self.epoch);
        worker.step_while(|| self.probe.less_than(&self.epoch));
    }

    /// Amends, withdraws and reinstates notes, and labels them again; the mean time of a change.
    fn change(&mut self, worker: &mut Worker, notes: u64, revision: u64) -> Duration {
        let began = Instant::now();
        for change in 0..CHANGES {
            // Far from each other, as amendments are.
            let id = (change * 7919 + revision) % notes;
            match change % 3 {
                0 => self.note(id, revision, true),
                1 => self.note(id, revision, false),
                _ => self.reference(id),
            }
            self.settle(worker);
        }
        began.elapsed() / CHANGES as u32
    }
}

fn measure(worker: &mut Worker, notes: u64, teachers: usize, samples: &[(Prediction, Vec<Span>)]) {
    let teachers: Vec<String> = (0..teachers).map(|number| format!("teacher-{number}")).collect();
    let asked: Vec<_> = teachers.iter().map(|teacher| (teacher.clone(), Task::ALL.into())).collect();
    let panel = TeacherPanel::new(&asked, BTreeMap::new());
    let (probe, before) = (Handle::new(), support::memory().unwrap_or(0));
    let (note_input, reference_input) = worker.dataflow(|scope| {
        let (note_input, events) = scope.new_input();
        let (reference_input, references) = scope.new_input();
        let (_latest, overtaken) = events.latest_notes();
        let predictions = overtaken.flat_map(|output| output.prediction());
        predictions.score(references, panel).probe_with(&probe);
        (note_input, reference_input)
    });
    let mut bench = Bench { notes: note_input, references: reference_input, probe, epoch: 0, samples };
    for id in 0..notes {
        bench.note(id, 1, true);
        bench.reference(id);
        bench.labels(id, &teachers);
        if id % CHUNK == CHUNK - 1 {
            bench.settle(worker);
        }
    }
    bench.settle(worker);
    let state = support::memory().unwrap_or(0).saturating_sub(before);
    let first = bench.change(worker, notes, 2);
    (3..12).for_each(|revision| {
        bench.change(worker, notes, revision);
    });
    let later = bench.change(worker, notes, 12);
    println!(
        "{notes} notes with a reference each and labels of {} teachers: {:.0} µs a changed note, {:.0} µs after {} more changes; {} MiB, {:.0} bytes a note",
        teachers.len(),
        first.as_secs_f64() * 1e6,
        later.as_secs_f64() * 1e6,
        9 * CHANGES,
        state >> 20,
        state as f64 / notes as f64
    );
}
