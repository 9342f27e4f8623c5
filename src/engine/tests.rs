//! The engine over a log in memory, with a student that tags words by their length.

mod cohorts;
mod history;
mod interpreting;
mod memory;
mod observers;
mod replay;
mod retag;
mod students;
mod teachers;

use crate::engine::{CohortParts, Committed, EngineConfig, Observer, Parts, Role, Topics, run};
use anyhow::Result;
use history::{History, TEACHERS, UNLUCKY, tokenize};
use interpreting::{FIRST, by_digit};
use memory::{Fault, MemoryLog, append_note, empty_log, is_killed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stillroom_dataflow::ensemble::Rule;
use stillroom_dataflow::{
    AskConfig, Output, PlainJson, Probabilities, Record, Students, Tagger, TaggerError, TaggerFactory, TaggerPool,
    TeacherPanel, Window, score_spans, spans_of,
};
use stillroom_schemas::{
    Comparison, Counts, DeadLetter, Extraction, Level, ModelId, NoteState, Progress, Quality, QualityKey, Span, Stage,
    Task, Totals,
};
use teachers::panel;

const MODEL: &str = "by-length@000000000000";

/// Tags a word as the task whose index is the word's length modulo 3; fails on [`UNLUCKY`] ones, and panics at 99.
struct ByLength(ModelId);

fn probabilities(ids: &[u32]) -> Probabilities {
    ids.iter().map(|id| Task::ALL.map(|task| if *id as usize % 3 == task.index() { 0.9 } else { 0.1 })).collect()
}

impl Tagger for ByLength {
    fn model(&self) -> &ModelId {
        &self.0
    }

    fn thresholds(&self) -> [f32; 3] {
        [0.5; 3]
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let has = |length: usize| windows.iter().any(|window| window.ids.contains(&(length as u32)));
        assert!(!has(99), "the student's thread is to die");
        if has(UNLUCKY) {
            return Err(TaggerError { model: self.0.0.clone(), windows: windows.len(), cause: "unlucky".to_owned() });
        }
        Ok(windows.iter().map(|window| probabilities(&window.ids)).collect())
    }
}

fn by_length() -> TaggerFactory {
    named(MODEL)
}

fn named(model: &str) -> TaggerFactory {
    let model = ModelId(model.to_owned());
    Box::new(|| Ok(Box::new(ByLength(model)) as Box<dyn Tagger>))
}

/// Adds up what it is told, and checks that it is told what is committed.
#[derive(Default)]
struct Adding {
    seen: Totals,
    before: Option<Totals>,
}

impl Observer for Adding {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        let mut after = *self.before.get_or_insert_with(|| {
            // What earlier runs committed is not told again.
            let (all, new) = (committed.progress.totals, committed.totals);
            Totals {
                notes: all.notes - new.notes,
                extracted: all.extracted - new.extracted,
                dead_lettered: all.dead_lettered - new.dead_lettered,
                superseded: all.superseded - new.superseded,
                withdrawn: all.withdrawn - new.withdrawn,
                retagged: all.retagged - new.retagged,
            }
        });
        for output in committed.outputs {
            self.seen += output.outcome();
        }
        after += self.seen;
        assert_eq!(after, committed.progress.totals);
        Ok(())
    }
}

fn config(workers: usize, seed: u64) -> EngineConfig {
    EngineConfig {
        workers,
        // Every run cuts the input into other epochs, and the windows into other batches.
        tick_ms: 1 + seed % 3,
        epochs_open_max: 1 + seed as usize % 5,
        epoch_bytes_max: [100, 2000, 64 << 10][seed as usize / 3 % 3],
        bytes_open_max: 64 << 10,
        tokens_max: [1, 5, 40][seed as usize % 3],
        linger_ms_max: seed % 2,
        ..EngineConfig::default()
    }
}

struct Run {
    log: MemoryLog,
    config: EngineConfig,
    seed: u64,
    is_bounded: bool,
    /// See [`MemoryLog::source`].
    ahead_max: usize,
    ask: Option<AskConfig>,
    panel: TeacherPanel,
    stop: Arc<AtomicBool>,
}

impl Run {
    fn new(log: &MemoryLog, workers: usize, seed: u64) -> Run {
        let stop = Arc::new(AtomicBool::new(false));
        let (config, panel) = (config(workers, seed), panel(&TEACHERS, Rule::Intersection));
        Run { log: log.clone(), config, seed, is_bounded: true, ahead_max: usize::MAX, ask: None, panel, stop }
    }

    fn run(self, fault: Fault) -> Result<Progress> {
        let workers = self.config.workers;
        let students = (0..1 + self.seed as usize % 2).map(|_| by_length()).collect();
        let source = |worker: usize| self.log.source(self.seed + worker as u64, self.is_bounded, self.ahead_max);
        let parts = Parts {
            sources: (0..workers).map(source).collect(),
            history: self.log.source(self.seed, true, usize::MAX),
            role: Role::Commits { committer: self.log.committer(fault), observer: Box::new(Adding::default()) },
            wire: Arc::new(PlainJson),
            tokenize: Arc::new(tokenize),
            students: students::any_of(TaggerPool::start(students, self.config.batches_open_max)?),
            interpret: by_digit(FIRST),
            cluster: None,
            ask: self.ask,
            panel: self.panel,
            retag: None,
            cohorts: CohortParts::default(),
        };
        run(&self.config, parts, self.stop)
    }
}

/// What is committed, in the form in which runs must agree.
#[derive(Debug, PartialEq)]
struct Snapshot {
    extractions: Vec<Vec<Record>>,
    state: Vec<Vec<Record>>,
    /// Notes' and references' letters have one topic, and no order between them.
    letters: Vec<(String, u32, u64, Stage, String, Vec<u8>)>,
    quality: BTreeMap<QualityKey, Counts>,
    totals: Totals,
    inputs: Vec<(String, BTreeMap<u32, u64>)>,
}

fn snapshot(log: &MemoryLog) -> Snapshot {
    let topics = Topics::default();
    let mut letters: Vec<_> = log.records(&topics.dead_letters).iter().flatten().map(letter).collect();
    letters.sort();
    let mut quality = BTreeMap::new();
    for record in log.records(&topics.quality).concat() {
        let key: QualityKey = serde_json::from_slice(record.key.as_deref().unwrap()).unwrap();
        match record.value.map(|value| serde_json::from_slice::<Quality>(&value).unwrap()) {
            Some(now) => assert_ne!(quality.insert(key, now.counts), Some(now.counts), "nothing is published twice"),
            None => assert!(quality.remove(&key).is_some(), "only what was published is withdrawn"),
        }
    }
    let progress = log.progress();
    Snapshot {
        extractions: log.records(&topics.extractions),
        state: log.records(&topics.state),
        letters,
        quality,
        totals: progress.totals,
        inputs: progress.inputs.into_iter().collect(),
    }
}

fn letter(record: &Record) -> (String, u32, u64, Stage, String, Vec<u8>) {
    let letter = DeadLetter::from_record(&record.headers, record.key.clone(), record.value.clone()).unwrap();
    assert_eq!(letter.partition, record.position.partition);
    (letter.topic, letter.partition, letter.offset, letter.stage, letter.error, letter.value.unwrap_or_default())
}

/// The quality of the notes and references that are left in the end, counted anew.
fn quality_of(history: &History) -> BTreeMap<QualityKey, Counts> {
    let mut rows: BTreeMap<QualityKey, Counts> = BTreeMap::new();
    for (note, references) in history.live() {
        let text = tokenize(&note.text).unwrap();
        let tagged: Probabilities = text.windows.iter().flat_map(|window| probabilities(&window.ids)).collect();
        let spans: Vec<Span> = spans_of(&text.words, &tagged, &[0.5; 3]).into_iter().map(|(span, _)| span).collect();
        for (is_label, reference) in references {
            let comparison = if is_label { Comparison::StudentTeacher } else { Comparison::StudentReference };
            for &task in &reference.tasks {
                let scores = score_spans(&text.words, task, &spans, &reference.spans);
                for (level, counts) in Level::ALL.into_iter().zip(scores) {
                    let (model, reference) = (ModelId(MODEL.to_owned()), reference.annotator.clone());
                    let (note_type, site, rollup) = (None, None, true);
                    let all = QualityKey { task, level, comparison, model, reference, note_type, site, rollup };
                    let (note_type, site) = (note.note_type.clone(), note.site.clone());
                    let one = QualityKey { note_type, site, rollup: false, ..all.clone() };
                    for key in [all, one] {
                        let row = rows.entry(key).or_default();
                        *row += counts;
                    }
                }
            }
        }
    }
    rows
}

#[test]
fn every_record_has_its_outcome_for_any_number_of_workers() {
    let mut of_panel = 0;
    for seed in 0..6 {
        let history = History::random(seed, 400, 5, &Topics::default());
        let mut first = None;
        for workers in [1, 2, 3] {
            let log = history.log.copy();
            let progress = Run::new(&log, workers, seed + workers as u64).run(Fault::None).unwrap();
            assert_eq!(progress, log.progress());
            assert_eq!(progress.totals, history.totals(), "seed {seed}, {workers} workers");
            let now = snapshot(&log);
            let (of_records, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                now.quality.clone().into_iter().partition(|(key, _)| key.comparison.is_of_records());
            assert_eq!(of_records, quality_of(&history), "seed {seed}, {workers} workers");
            of_panel += others.len();
            let lost_of = |topic: &str| -> Vec<(u32, u64)> {
                now.letters.iter().filter(|letter| letter.0 == topic).map(|letter| (letter.1, letter.2)).collect()
            };
            assert_eq!(lost_of("clinical.notes.v1"), history.lost_notes());
            let mut lost = history.lost_references.clone();
            lost.sort();
            assert_eq!(lost_of("clinical.references.v1"), lost);
            assert_eq!(first.get_or_insert_with(|| snapshot(&log)), &now, "seed {seed}, {workers} workers");
        }
    }
    assert!(of_panel > 100, "the histories are too poor: {of_panel} figures of teachers");
}

#[test]
fn a_run_killed_anywhere_resumes_to_the_same_output() {
    for seed in 0..4 {
        let history = History::random(seed, 250, 4, &Topics::default());
        let whole = history.log.copy();
        Run::new(&whole, 2, seed).run(Fault::None).unwrap();
        let (log, mut kills, mut attempt) = (history.log.copy(), 0, 0);
        loop {
            let workers = 1 + (seed + attempt) as usize % 3;
            let at = 1 + (seed + 3 * attempt) % 4;
            // So little a commit that there are many to be killed at, however slow the machine.
            let run = Run { ahead_max: 4, ..Run::new(&log, workers, seed + attempt) };
            let result = run.run(Fault::FailsAt(at));
            attempt += 1;
            if !is_killed(&result).unwrap() {
                break;
            }
            kills += 1;
        }
        assert!(kills >= 5, "seed {seed}: {kills} kills prove little");
        assert_eq!(snapshot(&log), snapshot(&whole), "seed {seed}, {kills} kills");
    }
}

#[test]
fn a_run_that_is_stopped_commits_what_it_read() {
    let history = History::random(7, 300, 4, &Topics::default());
    let whole = history.log.copy();
    Run::new(&whole, 2, 1).run(Fault::None).unwrap();
    let log = history.log.copy();
    let run = Run { is_bounded: false, ahead_max: 4, ..Run::new(&log, 2, 4) };
    let stop = Arc::clone(&run.stop);
    let stopped = run.run(Fault::StopsAt(3, stop)).unwrap();
    assert!(stopped.totals.notes > 0 && stopped.totals.notes < history.totals().notes);
    Run::new(&log, 3, 5).run(Fault::None).unwrap();
    assert_eq!(snapshot(&log), snapshot(&whole));
}

#[test]
fn a_slow_committer_slows_the_sources() {
    let topics = Topics::default();
    let log = MemoryLog::new(
        [&topics.notes, &topics.references, &topics.labels, &topics.models, &topics.extractions, &topics.state],
        2,
    );
    let value = |id: usize| format!(r#"{{"note_id":"n{id}","text":"{}"}}"#, "xxxx ".repeat(400));
    for id in 0..1500 {
        log.append(&topics.notes, id as u32 % 2, format!("n{id}").as_bytes(), Some(value(id).into_bytes()));
    }
    let run = Run::new(&log, 2, 2);
    let run = Run { config: EngineConfig { tokens_max: 4096, ..run.config.clone() }, ..run };
    let (bound, all) = (run.config.record_bytes_max_in_memory(), 1500 * value(0).len());
    assert!(all > 10 * bound, "{all} bytes are no backlog for a bound of {bound}");
    let progress = run.run(Fault::Slow(Duration::from_millis(3))).unwrap();
    assert_eq!(progress.totals.extracted, 1500);
    assert!(log.ahead_max() <= bound, "{} bytes were open, more than {bound}", log.ahead_max());
}

#[test]
fn a_failing_revision_takes_the_one_before_with_it() {
    let (log, topics) = (empty_log(), Topics::default());
    let (good, bad) = ("xxx xxx x", format!("xxx xxx xxx xxx xxx {}", "x".repeat(UNLUCKY)));
    append_note(&log, "n", good);
    append_note(&log, "n", &bad);
    append_note(&log, "n", &bad);
    append_note(&log, "m", "");
    Run::new(&log, 1, 0).run(Fault::None).unwrap();

    let extractions = log.records(&topics.extractions).concat();
    let read = |value: &Vec<u8>| serde_json::from_slice::<Extraction>(value).unwrap();
    let found: Vec<_> = extractions.iter().map(|record| record.value.as_ref().map(read)).collect();
    let first: Vec<_> = found[0].iter().flat_map(|note| &note.entities).map(|e| (e.task, &*e.text, e.score)).collect();
    assert_eq!(first, [(Task::Disease, "xxx xxx", 0.9), (Task::Medication, "x", 0.9)]);
    assert_eq!(found[1], None, "the entities of the first revision no longer hold");
    let empty = found[2].as_ref().unwrap();
    assert_eq!((&*empty.note_id, empty.entities.len(), empty.coverage.windows), ("m", 0, 0));
    let (letters, state) = (log.records(&topics.dead_letters).concat(), log.records(&topics.state).concat());
    assert_eq!(letters.len(), 1, "the same text is not tried twice");
    let (.., stage, error, value) = letter(&letters[0]);
    assert_eq!((stage, value), (Stage::Tag, log.records(&topics.notes)[0][1].value.clone().unwrap()));
    assert_eq!(error, format!("student {MODEL} failed on a batch of 1 windows: unlucky"));
    let last: NoteState = serde_json::from_slice(state[1].value.as_deref().unwrap()).unwrap();
    assert!(last.prediction.is_none() && last.dead_lettered.is_some());
    append_note(&log, "n", &bad);
    let progress = Run::new(&log, 1, 0).run(Fault::None).unwrap();
    let expected = Totals { notes: 5, extracted: 2, dead_lettered: 1, superseded: 2, ..Totals::default() };
    assert_eq!(progress.totals, expected, "nor after a restart");
}

#[test]
fn a_damaged_log_is_not_built_upon() {
    let history = History::random(3, 200, 2, &Topics::default());
    let topics = Topics::default();
    Run::new(&history.log, 2, 3).run(Fault::None).unwrap();
    let check = |topic: &str, change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let log = history.log.copy();
        log.tamper(topic, change);
        let error = Run::new(&log, 2, 3).run(Fault::None).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
        assert_eq!(log.progress(), history.log.progress());
    };
    let count_one_more = |value: &mut Vec<u8>| {
        let mut quality: Quality = serde_json::from_slice(value).unwrap();
        quality.counts.tp += 1;
        *value = serde_json::to_vec(&quality).unwrap();
    };
    check(&topics.quality, &count_one_more, "quality restored from the state differs from what was published under {");
    check(&topics.quality, &|value| value.truncate(5), "clinical.quality.v1/0 holds at offset");
    check(&topics.state, &|value| value.truncate(5), "clinical.state.v1/0 holds at offset");
}

#[test]
fn a_student_that_dies_ends_the_run() {
    let log = empty_log();
    append_note(&log, "n", "xxx");
    append_note(&log, "m", &"x".repeat(99));
    let error = Run { is_bounded: false, ..Run::new(&log, 1, 0) }.run(Fault::None).unwrap_err();
    assert!(error.to_string().contains("a student's thread ended"), "{error:#}");
    assert!(log.progress().totals.notes <= 1, "what it held is not committed");
}

#[test]
fn a_missing_topic_ends_the_run() {
    let log = MemoryLog::new([&Topics::default().notes], 1);
    append_note(&log, "n", "xxx");
    let error = Run { is_bounded: false, ..Run::new(&log, 3, 0) }.run(Fault::None).unwrap_err();
    assert!(error.to_string().contains("no topic clinical.labels.v1"), "{error:#}");
}
