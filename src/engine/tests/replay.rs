//! Epochs around a change of students, killed after their outputs were written and before they were committed, on the log in a
//! folder: they are replayed to the bytes of a run that was not killed.

use super::memory::killed;
use super::students::{activation, any_of};
use super::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Instant;
use stillroom_connectors::{Appended, Commit, Committer, EmbeddedLog, Log, LogError, OutputRecord};

/// The student that takes over.
const SECOND: &str = "second";

/// Notes before it does, and as many after.
const NOTES: u64 = 40;

const PARTITIONS: u32 = 2;

/// How long nothing may happen.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The most that there is, far longer than a test takes.
const ACTIVATION_MS_MAX: u64 = 600_000;

/// What a commit is lost by.
type IsLost = fn(&OutputRecord) -> bool;

/// Loses the first commit that has such an output when all of it was written but the progress, which makes it one.
struct Losing {
    inner: Box<dyn Committer>,
    is_lost: IsLost,
    /// The file of the progress.
    path: PathBuf,
}

/// Whether it is by [`SECOND`].
fn is_by_second(output: &OutputRecord) -> bool {
    output.value.as_deref().is_some_and(|value| String::from_utf8_lossy(value).contains(SECOND))
}

/// Whether it is of a note that came after [`SECOND`] was activated.
fn is_of_later_note(output: &OutputRecord) -> bool {
    let id = output.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let number = id.and_then(|id| id.strip_prefix('n')?.parse::<u64>().ok());
    number.is_some_and(|number| number >= NOTES)
}

impl Committer for Losing {
    fn progress(&self) -> &Progress {
        self.inner.progress()
    }

    fn commit(&mut self, commit: Commit) -> Result<(), LogError> {
        if !commit.outputs.iter().any(self.is_lost) {
            return self.inner.commit(commit);
        }
        let before = fs::read(&self.path).unwrap();
        self.inner.commit(commit)?;
        fs::write(&self.path, before).unwrap();
        Err(killed())
    }
}

/// An engine that runs on a thread of its own.
struct Engine {
    thread: JoinHandle<Result<Progress>>,
    stop: Arc<AtomicBool>,
}

impl Engine {
    fn start(log: &EmbeddedLog, workers: usize, activation_ms: u64, is_lost: Option<IsLost>) -> Engine {
        let stop = Arc::new(AtomicBool::new(false));
        let (log, of_run) = (log.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let config = EngineConfig { activation_ms, ..config(workers, 0) };
            let Topics { extractions, quality, state, dead_letters, .. } = &config.topics;
            let inner = log.committer(&[extractions, quality, state, dead_letters])?;
            let committer: Box<dyn Committer> = match is_lost {
                Some(is_lost) => Box::new(Losing { inner, is_lost, path: log.dir().join("progress.json") }),
                None => inner,
            };
            let parts = Parts {
                sources: (0..workers).map(|_| log.tail()).collect::<Result<_, _>>()?,
                history: log.bounded()?,
                role: Role::Commits { committer, observer: Box::new(Adding::default()) },
                wire: Arc::new(PlainJson),
                tokenize: Arc::new(tokenize),
                students: any_of(TaggerPool::start(vec![by_length()], config.batches_open_max)?),
                interpret: by_digit(FIRST),
                cluster: None,
                ask: None,
                panel: TeacherPanel::default(),
                retag: None,
                cohorts: CohortParts::default(),
            };
            run(&config, parts, of_run)
        });
        Engine { thread, stop }
    }

    /// Lets notes come before and after another student takes over.
    fn change(&self, log: &EmbeddedLog) {
        let models = Topics::default().models;
        append_notes(log, 0..NOTES);
        wait_until(log, |progress| progress.totals.extracted == NOTES);
        let record = Appended { key: Some(SECOND.into()), value: Some(activation(SECOND)), ..Appended::default() };
        log.append(&models, &[record]).unwrap();
        // Its epoch is over then, and what comes is of later ones.
        wait_until(log, |progress| progress.inputs.get(&models).is_some_and(|offsets| offsets.get(&0) == Some(&1)));
        append_notes(log, NOTES..2 * NOTES);
    }

    /// Waits until all notes are committed.
    fn finish(self, log: &EmbeddedLog) {
        wait_until(log, |progress| progress.totals.extracted == 2 * NOTES);
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap().unwrap();
    }

    /// Waits until a commit is lost.
    fn lose(self) {
        assert!(is_killed(&self.thread.join().unwrap()).unwrap(), "no commit was lost");
    }
}

fn new_log(folder: &Path) -> EmbeddedLog {
    let (log, topics) = (EmbeddedLog::open(folder).unwrap(), Topics::default());
    let Topics { notes, references, labels, extractions, quality, state, dead_letters, .. } = &topics;
    for topic in [notes, references, labels, extractions, quality, state, dead_letters] {
        log.create_topic(topic, PARTITIONS).unwrap();
    }
    log.create_topic(&topics.models, 1).unwrap();
    log
}

fn append_notes(log: &EmbeddedLog, numbers: std::ops::Range<u64>) {
    let record = |number: u64| {
        let (id, text) = (format!("n{number}"), format!("{} xxx x", "x".repeat(number as usize % 7 + 1)));
        let note = serde_json::json!({ "note_id": id, "text": text }).to_string();
        let partition = Some(number as u32 % PARTITIONS);
        Appended { key: Some(id.into_bytes()), value: Some(note.into_bytes()), partition, ..Appended::default() }
    };
    log.append(&Topics::default().notes, &numbers.map(record).collect::<Vec<_>>()).unwrap();
}

fn wait_until(log: &EmbeddedLog, is_reached: impl Fn(&Progress) -> bool) {
    let began = Instant::now();
    loop {
        let progress = log.progress().unwrap();
        if is_reached(&progress) {
            return;
        }
        assert!(began.elapsed() < WAIT_MAX, "nothing more is committed after {progress:?}");
        // Nothing tells that a commit has come.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The files of extractions and states as they are, partition by partition.
fn files(log: &EmbeddedLog) -> Vec<String> {
    let Topics { extractions, state, .. } = Topics::default();
    let file = |topic: &str, partition: u32| {
        let folder = log.dir().join("topics").join(topic).join(partition.to_string());
        fs::read_to_string(folder.join("00000000000000000000.jsonl")).unwrap()
    };
    [extractions, state].iter().flat_map(|topic| (0..PARTITIONS).map(move |partition| file(topic, partition))).collect()
}

/// What a run makes of the notes, of which the later half is the second student's, when nothing is lost.
fn uninterrupted(folder: &Path, workers: usize) -> Vec<String> {
    let log = new_log(folder);
    // The epoch after that of the activation is the second student's.
    let engine = Engine::start(&log, workers, 0, None);
    engine.change(&log);
    engine.finish(&log);
    let students = |file: &String| {
        let of_line = |line: &str| if line.contains(SECOND) { SECOND } else { MODEL };
        let mut students: Vec<&str> = file.lines().map(of_line).collect();
        students.dedup();
        students
    };
    let files = files(&log);
    assert!(files.iter().all(|file| students(file) == [MODEL, SECOND]), "{files:?}");
    files
}

#[test]
fn the_epoch_at_which_the_student_changes_is_replayed_to_the_same_bytes() {
    for workers in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let expected = uninterrupted(&folder.path().join("whole"), workers);
        let interrupted = new_log(&folder.path().join("interrupted"));
        let engine = Engine::start(&interrupted, workers, 0, Some(is_by_second));
        engine.change(&interrupted);
        engine.lose();
        for kill in 0..2 {
            let written = files(&interrupted);
            let totals = interrupted.progress().unwrap().totals;
            assert_eq!(totals.extracted, NOTES, "what was written is not committed");
            assert!(written.iter().any(|file| file.contains(SECOND)), "kill {kill} came before anything was written");
            let is_begun = |(whole, written): (&String, &String)| whole.starts_with(written);
            assert!(expected.iter().zip(&written).all(is_begun), "{workers} workers, kill {kill}: {written:?}");
            if kill == 0 {
                Engine::start(&interrupted, workers, 0, Some(is_by_second)).lose();
            }
        }
        Engine::start(&interrupted, workers, 0, None).finish(&interrupted);
        assert_eq!(files(&interrupted), expected, "{workers} workers");
    }
}

/// Until its epoch comes an activation changes nothing, and the student before tags on. What it tagged then and no run committed is
/// tagged by the student that was activated once the run starts again: nobody sees the one answer before the other.
#[test]
fn what_was_not_committed_before_the_change_is_the_new_students_after_a_restart() {
    for workers in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let expected = uninterrupted(&folder.path().join("whole"), workers);
        let interrupted = new_log(&folder.path().join("interrupted"));
        let engine = Engine::start(&interrupted, workers, ACTIVATION_MS_MAX, Some(is_of_later_note));
        engine.change(&interrupted);
        engine.lose();
        let (written, extractions) = (files(&interrupted), Topics::default().extractions);
        assert!(!written.iter().any(|file| file.contains(SECOND)), "{workers} workers: its epoch has not come");
        let lines: usize = written.iter().map(|file| file.lines().count()).sum();
        assert!(lines as u64 > 2 * NOTES, "{workers} workers: nothing was written that was not committed");
        let committed = interrupted.read_topic(&extractions).unwrap().map(Result::unwrap).count() as u64;
        assert_eq!(committed, NOTES, "{workers} workers: who reads the log sees what was not committed");
        Engine::start(&interrupted, workers, ACTIVATION_MS_MAX, None).finish(&interrupted);
        assert_eq!(files(&interrupted), expected, "{workers} workers");
    }
}
