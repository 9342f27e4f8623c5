//! Live notes that are tagged again after another student has taken over, or what tells of their entities has changed.

mod changing;
mod compacted;

use super::interpreting::SECOND;
use super::students::activation;
use super::*;
use crate::engine::{OpenSource, RetagSources};
use stillroom_dataflow::{LoadStudent, StudentLease};

/// Tags otherwise than [`MODEL`].
const NEW: &str = "shifted@111111111111";

/// As [`NEW`], and fails on words of [`LONG`] letters.
const PICKY: &str = "picky@222222222222";

const LONG: usize = 12;

/// Tags a word as [`ByLength`] tags one that is a letter longer.
struct Shifted(ByLength);

impl Tagger for Shifted {
    fn model(&self) -> &ModelId {
        self.0.model()
    }

    fn thresholds(&self) -> [f32; 3] {
        self.0.thresholds()
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        self.0.tag(windows)?;
        let model = &self.0.0.0;
        if model == PICKY && windows.iter().any(|window| window.ids.contains(&(LONG as u32))) {
            return Err(TaggerError { model: model.clone(), windows: windows.len(), cause: "too long".to_owned() });
        }
        let shifted = |window: &&Window| window.ids.iter().map(|id| id + 1).collect::<Vec<u32>>();
        Ok(windows.iter().map(|window| probabilities(&shifted(window))).collect())
    }
}

fn student(model: &str) -> TaggerFactory {
    if model == MODEL {
        return named(model);
    }
    let model = ModelId(model.to_owned());
    Box::new(|| Ok(Box::new(Shifted(ByLength(model))) as Box<dyn Tagger>))
}

/// The students of a run that begins with this one, and finds every student.
fn students_from(model: &str) -> (Students, StudentLease) {
    let load: LoadStudent = Arc::new(|activation| Ok(TaggerPool::start(vec![student(&activation.model.0)], 2)?));
    Students::new(TaggerPool::start(vec![student(model)], 2).unwrap(), load)
}

/// Stops the run once something is committed.
struct Until {
    adding: Adding,
    is_reached: Box<dyn Fn(&Progress) -> bool + Send>,
    stop: Arc<AtomicBool>,
}

impl Observer for Until {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        self.adding.committed(committed)?;
        if (self.is_reached)(committed.progress) {
            self.stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Runs on a log, tagging live notes again, until `is_reached`.
fn run_until(
    log: &MemoryLog,
    shape: (usize, u64, &'static str),
    fault: Fault,
    is_reached: impl Fn(&Progress) -> bool + Send + 'static,
) -> Result<Progress> {
    let stop = Arc::new(AtomicBool::new(false));
    let (adding, is_reached) = (Adding::default(), Box::new(is_reached));
    let observer = Until { adding, is_reached, stop: Arc::clone(&stop) };
    run_observed(log, shape, fault, (Box::new(observer), stop))
}

/// Runs on a log, tagging live notes again, until the observer or somebody else says so.
fn run_observed(
    log: &MemoryLog,
    (workers, seed, rule): (usize, u64, &'static str),
    fault: Fault,
    (observer, stop): (Box<dyn Observer>, Arc<AtomicBool>),
) -> Result<Progress> {
    let config = EngineConfig { retag_notes_per_second: 100_000, activation_ms: 0, ..config(workers, seed) };
    let open = |is_bounded| -> OpenSource {
        let log = log.clone();
        Box::new(move || Ok(log.source(seed, is_bounded, usize::MAX)))
    };
    let parts = Parts {
        // So little ahead of what is committed that notes change while others are tagged again.
        sources: (0..workers).map(|worker| log.source(seed + worker as u64, false, 4)).collect(),
        history: log.source(seed, true, usize::MAX),
        role: Role::Commits { committer: log.committer(fault), observer },
        wire: Arc::new(PlainJson),
        tokenize: Arc::new(tokenize),
        students: students_from(MODEL),
        interpret: by_digit(rule),
        cluster: None,
        ask: None,
        panel: panel(&TEACHERS, Rule::Intersection),
        retag: Some(RetagSources { bounded: open(true), tail: open(false) }),
        cohorts: CohortParts::default(),
    };
    run(&config, parts, stop)
}

/// Whether every input is read, and [`NEW`] has tagged every live note.
fn all_is_new(log: &MemoryLog, progress: &Progress) -> bool {
    let topics = Topics::default();
    let is_read = |topic: &&String| {
        let read = |partition| progress.inputs.get(*topic).and_then(|offsets| offsets.get(&partition)).copied();
        let records = log.records(topic);
        (0..).zip(&records).all(|(partition, records)| read(partition).unwrap_or(0) == records.len() as u64)
    };
    let is_new = |state: &Option<Vec<u8>>| {
        let state: NoteState = serde_json::from_slice(state.as_deref().unwrap()).unwrap();
        state.prediction.is_none_or(|said| said.model.0 == NEW)
    };
    topics.inputs().iter().all(is_read) && last_values(log, &topics.state).values().all(is_new)
}

/// The last value of every key, by partition.
fn last_values(log: &MemoryLog, topic: &str) -> BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>> {
    let key = |record: &Record| (record.position.partition, record.key.clone().unwrap());
    log.records(topic).concat().into_iter().map(|record| (key(&record), record.value)).collect()
}

/// What is known in the end of every note, and of all of them.
type Outcome = [BTreeMap<(u32, Vec<u8>), Option<Vec<u8>>>; 2];

fn outcome(log: &MemoryLog) -> (Outcome, BTreeMap<QualityKey, Counts>) {
    let topics = Topics::default();
    ([&topics.extractions, &topics.state].map(|topic| last_values(log, topic)), snapshot(log).quality)
}

/// The outcome of a whole history by [`NEW`] alone.
fn outcome_of_new_alone(history: &History) -> (Outcome, BTreeMap<QualityKey, Counts>) {
    outcome_alone(history, NEW, FIRST)
}

/// The outcome of a whole history by one student and one rule.
fn outcome_alone(history: &History, model: &str, rule: &'static str) -> (Outcome, BTreeMap<QualityKey, Counts>) {
    let log = history.log.copy();
    let parts = Parts {
        sources: vec![log.source(0, true, usize::MAX)],
        history: log.source(0, true, usize::MAX),
        role: Role::Commits { committer: log.committer(Fault::None), observer: Box::new(Adding::default()) },
        wire: Arc::new(PlainJson),
        tokenize: Arc::new(tokenize),
        students: students_from(model),
        interpret: by_digit(rule),
        cluster: None,
        ask: None,
        panel: panel(&TEACHERS, Rule::Intersection),
        retag: None,
        cohorts: CohortParts::default(),
    };
    run(&config(1, 0), parts, Arc::new(AtomicBool::new(false))).unwrap();
    outcome(&log)
}

/// A log on which [`MODEL`] has tagged all of a history, or the beginning of it, and [`NEW`] is activated.
fn log_of(history: &History, seed: u64, is_whole: bool) -> MemoryLog {
    let log = history.log.copy();
    if is_whole {
        Run::new(&log, 2, seed).run(Fault::None).unwrap();
    } else {
        let run = Run { is_bounded: false, ahead_max: 4, ..Run::new(&log, 2, seed) };
        let stop = Arc::clone(&run.stop);
        run.run(Fault::StopsAt(3, stop)).unwrap();
        assert!(log.progress().totals.notes < history.totals().notes, "nothing is left to happen meanwhile");
    }
    log.append(&Topics::default().models, 0, NEW.as_bytes(), Some(activation(NEW)));
    log
}

#[test]
fn all_live_notes_become_what_the_new_student_says_of_them() {
    for seed in 0..3 {
        let history = History::random(seed, 200, 5, &Topics::default());
        let alone = outcome_of_new_alone(&history);
        for workers in [1, 2, 3] {
            let log = log_of(&history, seed, true);
            let seen = log.clone();
            let is_reached = move |progress: &Progress| all_is_new(&seen, progress);
            let progress = run_until(&log, (workers, seed, FIRST), Fault::None, is_reached).unwrap();
            let live = history.live().count() as u64;
            assert!(live > 0);
            let expected = Totals { retagged: live, ..history.totals() };
            assert_eq!(progress.totals, expected, "seed {seed}, {workers} workers: each once");
            assert_eq!(outcome(&log), alone, "seed {seed}, {workers} workers");
        }
    }
}

#[test]
fn notes_that_change_while_others_are_tagged_again_end_as_they_are() {
    let mut retagged = 0;
    for seed in 0..6 {
        let history = History::random(seed, 300, 5, &Topics::default());
        let log = log_of(&history, seed, false);
        let seen = log.clone();
        let is_reached = move |progress: &Progress| all_is_new(&seen, progress);
        let workers = 1 + seed as usize % 3;
        // A slow log, so that notes are tagged again before all that happens is read.
        let slow = Fault::Slow(Duration::from_millis(4));
        let progress = run_until(&log, (workers, seed, FIRST), slow, is_reached).unwrap();
        retagged += progress.totals.retagged;
        let expected = Totals { retagged: progress.totals.retagged, ..history.totals() };
        assert_eq!(progress.totals, expected, "seed {seed}, {workers} workers");
        assert_eq!(outcome(&log), outcome_of_new_alone(&history), "seed {seed}, {workers} workers");
    }
    assert!(retagged > 0, "no note was tagged again");
}

#[test]
fn a_run_that_is_killed_goes_on_with_what_is_left() {
    let mut kills = 0;
    for seed in 0..3 {
        let history = History::random(seed, 200, 5, &Topics::default());
        let (log, mut attempt) = (log_of(&history, seed, true), 0);
        loop {
            let seen = log.clone();
            let is_reached = move |progress: &Progress| all_is_new(&seen, progress);
            // Of the seeds with the same bounds, small ones.
            let shape = (1 + attempt as usize % 3, seed + 9 * attempt, FIRST);
            let result = run_until(&log, shape, Fault::FailsAt(2 + attempt % 2), is_reached);
            attempt += 1;
            if !is_killed(&result).unwrap() {
                break;
            }
            kills += 1;
        }
        let expected = Totals { retagged: history.live().count() as u64, ..history.totals() };
        assert_eq!(log.progress().totals, expected, "seed {seed}: each once, whatever was killed");
        assert_eq!(outcome(&log), outcome_of_new_alone(&history), "seed {seed}");
    }
    assert!(kills >= 3, "{kills} kills prove little");
}

#[test]
fn what_the_new_student_cannot_read_stays() {
    let (log, topics) = (empty_log(), Topics::default());
    append_note(&log, "a", "xxx");
    append_note(&log, "b", &"x".repeat(LONG));
    // A window is a batch of its own, so that a failure is of one note.
    Run::new(&log, 1, 0).run(Fault::None).unwrap();
    log.append(&topics.models, 0, PICKY.as_bytes(), Some(activation(PICKY)));
    let seen = log.clone();
    let letters = move || seen.records(&Topics::default().dead_letters).concat();
    let has_letter = letters.clone();
    let is_reached = move |progress: &Progress| progress.totals.retagged == 1 && has_letter().len() == 1;
    let progress = run_until(&log, (1, 0, FIRST), Fault::None, is_reached).unwrap();
    let expected = Totals { notes: 2, extracted: 2, retagged: 1, ..Totals::default() };
    assert_eq!(progress.totals, expected);
    let (topic, partition, offset, stage, ..) = letter(&letters()[0]);
    assert_eq!((topic, partition, offset, stage), (topics.notes, 0, 1, Stage::Tag));
    let students: Vec<String> = last_values(&log, &topics.extractions)
        .into_values()
        .map(|value| serde_json::from_slice::<Extraction>(value.as_deref().unwrap()).unwrap().model.0)
        .collect();
    assert_eq!(students, [PICKY, MODEL]);
}

#[test]
fn live_notes_become_what_another_rule_says_of_them() {
    for (seed, workers) in [(0, 1), (1, 3)] {
        let history = History::random(seed, 200, 5, &Topics::default());
        let log = history.log.copy();
        Run::new(&log, 2, seed).run(Fault::None).unwrap();
        let states = log.clone();
        let is_reached = move |_: &Progress| {
            let is_told = |state: &Option<Vec<u8>>| {
                let state: NoteState = serde_json::from_slice(state.as_deref().unwrap()).unwrap();
                state.prediction.is_none() || state.interpretation.as_deref() == Some(SECOND)
            };
            last_values(&states, &Topics::default().state).values().all(is_told)
        };
        let progress = run_until(&log, (workers, seed, SECOND), Fault::None, is_reached).unwrap();
        let live = history.live().count() as u64;
        assert!(live > 0);
        assert_eq!(progress.totals, Totals { retagged: live, ..history.totals() }, "seed {seed}: each once");
        assert_eq!(outcome(&log), outcome_alone(&history, MODEL, SECOND), "seed {seed}");
        assert_ne!(outcome(&log).0, outcome_alone(&history, MODEL, FIRST).0, "the rules say the same");
    }
}
