//! A candidate that reads along on a log.

use super::*;
use crate::flaky::{Flaky, Outages};
use crate::reading::read_partition;
use crossbeam_channel::{Receiver, bounded};
use std::path::Path;
use std::time::SystemTime;
use stillroom_connectors::{Appended, EmbeddedLog};
use stillroom_schemas::Progress;

const TEXT: &str = "fever and flu";

fn topics() -> Topics {
    Topics {
        notes: "notes".to_owned(),
        references: "references".to_owned(),
        labels: "labels".to_owned(),
        models: "models".to_owned(),
        state: "state".to_owned(),
        shadow: "shadow".to_owned(),
        ..Topics::default()
    }
}

/// A log on which the serving student has read so many notes, and somebody has annotated them.
fn log_of(folder: &Path, notes: u64) -> Arc<Flaky> {
    let (log, topics) = (EmbeddedLog::open(folder).unwrap(), topics());
    for topic in [&topics.notes, &topics.references, &topics.labels, &topics.state] {
        log.create_topic(topic, 1).unwrap();
    }
    let append = |topic: &str, key: Vec<u8>, value: serde_json::Value| {
        let (key, value) = (Some(key), Some(value.to_string().into_bytes()));
        log.append(topic, &[Appended { key, value, partition: Some(0), ..Appended::default() }]).unwrap();
    };
    for offset in 0..notes {
        let id = format!("n{offset}");
        let said = serde_json::to_value(reference(&id, TEXT)).unwrap();
        let state = serde_json::to_value(state_by(SERVING, &id, (0, offset), (TEXT, &[]))).unwrap();
        append(&topics.references, reference_key(&id, "dr"), said);
        append(&topics.state, id.clone().into_bytes(), state);
        append(&topics.notes, id.clone().into_bytes(), serde_json::json!({ "note_id": id, "text": TEXT }));
    }
    let inputs = [(topics.notes, [(0, notes)].into())].into();
    let progress = Progress { inputs, ..Progress::default() };
    Arc::new(Flaky { log, progress, outages: Arc::new(Outages::default()) })
}

/// A shadow of all notes of a log.
fn shadow_on(log: &Arc<Flaky>, candidate: TaggerFactory) -> Shadow {
    let (log, topics) = (Arc::clone(log) as Arc<dyn Log>, topics());
    let parts = parts(1.0, candidate);
    let students = parts.candidate.0.clone();
    let mut worker = Worker::new(worker_config(), Allocator::Thread(Thread::default()), Some(Instant::now()));
    let changes = Rc::new(RefCell::new(Changes::default()));
    let (inputs, states, probe) = install(&mut worker, parts, &changes);
    let models = [SERVING, CANDIDATE].map(|model| ModelId(model.to_owned()));
    let publisher = Publisher::open(Arc::clone(&log), &topics.shadow, [&models[0], &models[1]]).unwrap();
    Shadow {
        inputs,
        states,
        probe,
        changes,
        worker,
        students,
        log,
        wire: Wire::Plain,
        topics,
        next: TopicOffsets::new(),
        begin: BTreeMap::new(),
        ledger: Ledger::default(),
        publisher,
        tasks: [Task::Disease].into(),
    }
}

/// Notes that a student was measured on, by what stands on the topic of the shadow.
fn published(log: &Flaky, model: &str) -> i64 {
    let mut notes = 0;
    let take = |record: Record| -> Result<()> {
        let key: QualityKey = serde_json::from_slice(&record.key.unwrap())?;
        if key == row(model) {
            let quality: Option<Quality> = record.value.map(|value| serde_json::from_slice(&value)).transpose()?;
            notes = quality.map_or(0, |quality| quality.counts.notes);
        }
        Ok(())
    };
    read_partition(log.log.bounded().unwrap(), (&topics().shadow, 0), take).unwrap();
    notes
}

#[test]
fn a_log_that_is_away_is_waited_for_and_what_was_read_stays() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of(folder.path(), 30);
    let mut shadow = shadow_on(&log, spotter());
    let outages = &log.outages;
    outages.progress.store(2, Ordering::SeqCst);
    outages.poll.store(5, Ordering::SeqCst);
    outages.append.store(3, Ordering::SeqCst);
    let course = Course { notes: 30, until: None, cut: None, is_bounded: false, look_every: Duration::from_millis(1) };
    let end = shadow.read_along(&|| Ok(true), course, &AtomicBool::new(false)).unwrap();
    assert_eq!((end, shadow.ledger.notes()), (End::Read, 30));
    for left in [&outages.progress, &outages.poll, &outages.append] {
        assert_eq!(left.load(Ordering::SeqCst), 0, "an outage is left");
    }
    assert_eq!([CANDIDATE, SERVING].map(|model| published(&log, model)), [30, 30]);
}

#[test]
fn what_fails_otherwise_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut shadow = shadow_on(&log_of(folder.path(), 1), spotter());
    let course = Course { notes: 2, until: None, cut: None, is_bounded: false, look_every: Duration::from_millis(1) };
    let failed =
        shadow.read_along(&|| Err(anyhow::anyhow!("who serves is not known")), course, &AtomicBool::new(false));
    assert_eq!(failed.unwrap_err().to_string(), "who serves is not known");
}

/// A candidate that gives no answer before it is released.
struct Silent(ModelId, Receiver<()>);

impl Tagger for Silent {
    fn model(&self) -> &ModelId {
        &self.0
    }

    fn thresholds(&self) -> [f32; 3] {
        [0.5; 3]
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let (model, cause) = (self.0.0.clone(), "released".to_owned());
        // Nothing is ever sent: this waits for the other end to go.
        let _released = self.1.recv();
        Err(TaggerError { model, windows: windows.len(), cause })
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Long enough for the looks of these tests; what comes of them is the same where it is not.
const SOON: Duration = Duration::from_secs(1);

/// How reading along ends on a log of three notes, of which more are asked for, and how many were read. What waits longer than it
/// should waits for an hour.
fn check(candidate: TaggerFactory, [until, cut]: [SystemTime; 2], expected: (End, usize)) {
    let folder = tempfile::tempdir().unwrap();
    let mut shadow = shadow_on(&log_of(folder.path(), 3), candidate);
    let course = Course { notes: 10, until: Some(until), cut: Some(cut), is_bounded: false, look_every: HOUR };
    let end = shadow.read_along(&|| Ok(true), course, &AtomicBool::new(false)).unwrap();
    assert_eq!((end, shadow.ledger.notes()), expected);
}

#[test]
fn the_time_ends_it_while_nothing_comes() {
    let now = SystemTime::now();
    check(spotter(), [now + SOON, now + HOUR], (End::Late, 3));
}

#[test]
fn the_time_ends_it_in_the_midst_of_a_look() {
    let (release, released) = bounded(0);
    let model = ModelId(CANDIDATE.to_owned());
    let silent: TaggerFactory = Box::new(move || Ok(Box::new(Silent(model, released))));
    let soon = SystemTime::now() + SOON;
    check(silent, [soon, soon], (End::Late, 0));
    drop(release);
}

#[test]
fn what_goes_on_when_the_time_is_over_reads_what_was_read_before() {
    let now = SystemTime::now();
    check(spotter(), [now, now + HOUR], (End::Late, 3));
    check(spotter(), [now, now], (End::Late, 0));
}
