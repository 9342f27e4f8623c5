//! The engine alone: the embedded log, the extraction topology and the commits, with a student that costs nothing.
//!
//!     cargo run --release --example figures -- engine [NOTES [NOTES_PER_SECOND]]
//!
//! 1. Throughput: a log of notes is read to its end, beside the tokenizer alone, and beside a loop that only reads the same records
//!    and commits as many bytes.
//! 2. Latency: notes are appended at a steady rate, and each is timed from its append to the commit of its entities.
//! 3. Memory: the peak of resident memory over a backlog of more than a hundred times the configured bound.

use crate::support::{self, memory, tokenizer};
use anyhow::{Result, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stillroom::engine::{CohortParts, Committed, EngineConfig, Observer, Parts, Role, Topics, run};
use stillroom::generator::{DemoEvent, DemoStream};
use stillroom_connectors::{
    Appended, Commit, Committer, EmbeddedCommitter, EmbeddedLog, EmbeddedProducer, EmbeddedSource, Log, LogError,
    OutputRecord, Source,
};
use stillroom_dataflow::{
    Output, PlainJson, Probabilities, Students, Tagger, TaggerError, TaggerFactory, TaggerPool, TeacherPanel, Window,
};
use stillroom_schemas::{ModelId, Task};

const PARTITIONS: u32 = 4;

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let at = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (notes, rate) = (at(0, 20_000), at(1, 500));
    throughput(notes)?;
    latency(rate, Duration::from_secs(20))?;
    backlog()
}

/// Tags every tenth word, in no time.
struct EveryTenth(ModelId);

impl Tagger for EveryTenth {
    fn model(&self) -> &ModelId {
        &self.0
    }
    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        [0.5; Task::ALL.len()]
    }
    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let word = |word: usize| [if word.is_multiple_of(10) { 0.9 } else { 0.1 }; Task::ALL.len()];
        Ok(windows.iter().map(|window| window.words.clone().map(word).collect()).collect())
    }
}

/// The topics with as many partitions as the notes.
pub(crate) fn with_partitions(topics: &Topics) -> [&String; 7] {
    let Topics { notes, references, labels, models, extractions, state, dead_letters, .. } = topics;
    [notes, references, labels, models, extractions, state, dead_letters]
}

pub(crate) fn log_in(dir: &Path, config: &EngineConfig) -> Result<EmbeddedLog> {
    let (log, topics) = (EmbeddedLog::open(dir)?, &config.topics);
    for topic in with_partitions(topics) {
        log.create_topic(topic, PARTITIONS)?;
    }
    log.create_topic(&topics.quality, 1)?;
    Ok(log)
}

/// Appends what the demo would write.
pub(crate) fn fill(log: &dyn Log, config: &EngineConfig, notes: u64) -> Result<()> {
    let (of_notes, of_references): (Vec<_>, Vec<_>) = DemoStream::new(1, notes).partition(DemoEvent::is_note);
    for (topic, events) in [(&config.topics.notes, of_notes), (&config.topics.references, of_references)] {
        for chunk in events.chunks(1000) {
            let record = |event: &DemoEvent| {
                let (key, value) = event.record();
                Appended {
                    key: Some(key.to_vec()),
                    value: value.map(<[u8]>::to_vec),
                    headers: Vec::new(),
                    partition: None,
                }
            };
            log.append(topic, &chunk.iter().map(record).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// Opens a source on a log.
type Open = fn(&dyn Log) -> Result<Box<dyn Source>, LogError>;

pub(crate) fn parts(
    log: &dyn Log,
    config: &EngineConfig,
    open: Open,
    observer: impl Observer + 'static,
) -> Result<Parts> {
    let topics = &config.topics;
    let outputs = [&topics.extractions, &topics.quality, &topics.state, &topics.dead_letters].map(String::as_str);
    let tokenizer = tokenizer()?;
    let student =
        || Box::new(|| Ok(Box::new(EveryTenth(ModelId("every-tenth".into()))) as Box<dyn Tagger>)) as TaggerFactory;
    Ok(Parts {
        sources: (0..config.workers).map(|_| open(log)).collect::<Result<_, _>>()?,
        history: log.bounded()?,
        role: Role::Commits { committer: log.committer(&outputs)?, observer: Box::new(observer) },
        wire: Arc::new(PlainJson),
        tokenize: Arc::new(move |text: &str| tokenizer.tokenize(text)),
        students: Students::only(TaggerPool::start(vec![student()], config.batches_open_max)?),
        interpret: None,
        cluster: None,
        ask: None,
        panel: TeacherPanel::default(),
        retag: None,
        cohorts: CohortParts::default(),
    })
}

pub(crate) struct Silent;

impl Observer for Silent {
    fn committed(&mut self, _committed: &Committed<'_>) -> Result<()> {
        Ok(())
    }
}

fn throughput(notes: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for workers in [1, 2] {
        let config = EngineConfig { workers, ..EngineConfig::default() };
        let log = log_in(&folder.path().join(workers.to_string()), &config)?;
        fill(&log, &config, notes)?;
        let parts = parts(&log, &config, |log| log.bounded(), Silent)?;
        let began = Instant::now();
        let progress = run(&config, parts, Arc::new(AtomicBool::new(false)))?;
        let engine = progress.totals.notes as f64 / began.elapsed().as_secs_f64();
        let (records, seconds) = copy(&log, &config)?;
        println!(
            "throughput: {workers} workers, {} notes and {} references: {engine:.0} notes/s; cutting into words alone, on one \
             thread, {:.0} notes/s; reading and committing the records as they are {:.0} records/s",
            progress.totals.notes,
            records - progress.totals.notes,
            cut(2000)?,
            records as f64 / seconds
        );
    }
    Ok(())
}

/// The other baseline: notes a second through the tokenizer.
fn cut(notes: usize) -> Result<f64> {
    let (tokenizer, notes) = (tokenizer()?, support::notes(notes));
    let began = Instant::now();
    for note in &notes {
        tokenizer.tokenize(&note.text)?;
    }
    Ok(notes.len() as f64 / began.elapsed().as_secs_f64())
}

/// A baseline: reads all inputs and commits them as outputs, every tick, without looking at them.
fn copy(log: &EmbeddedLog, config: &EngineConfig) -> Result<(u64, f64)> {
    let copies = "copies";
    log.create_topic(copies, PARTITIONS)?;
    let mut committer = EmbeddedCommitter::open(log, &[copies])?;
    let mut source = EmbeddedSource::bounded(log);
    for topic in [&config.topics.notes, &config.topics.references, &config.topics.labels] {
        (0..PARTITIONS).try_for_each(|partition| source.assign(topic, partition, 0))?;
    }
    let (began, mut records, mut epoch) = (Instant::now(), 0, committer.progress().epoch);
    while !source.is_finished() {
        let outputs: Vec<OutputRecord> = source
            .poll(16 << 20, Duration::ZERO)?
            .into_iter()
            .map(|record| OutputRecord {
                topic: Arc::from(copies),
                partition: record.position.partition,
                key: record.key,
                value: record.value,
                headers: record.headers,
            })
            .collect();
        records += outputs.len() as u64;
        epoch += 1;
        committer.commit(Commit { epoch, outputs, ..Commit::default() })?;
    }
    Ok((records, began.elapsed().as_secs_f64()))
}

/// When each note was appended, by its number, and how long each took.
#[derive(Default)]
struct Times {
    appended: Vec<Instant>,
    took: Vec<Duration>,
}

struct Stopwatch(Arc<Mutex<Times>>);

impl Observer for Stopwatch {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        let now = Instant::now();
        let mut times = self.0.lock().expect("nobody panics with the times");
        for output in committed.outputs {
            if let Output::Extracted { extraction, .. } = output {
                let took = now - times.appended[extraction.note_id.parse::<usize>()?];
                times.took.push(took);
            }
        }
        Ok(())
    }
}

fn latency(rate: u64, length: Duration) -> Result<()> {
    for tick_ms in [50, 100] {
        let folder = tempfile::tempdir()?;
        let config = EngineConfig { tick_ms, ..EngineConfig::default() };
        let log = log_in(folder.path(), &config)?;
        let (times, stop) = (Arc::new(Mutex::new(Times::default())), Arc::new(AtomicBool::new(false)));
        let parts = parts(&log, &config, |log| log.tail(), Stopwatch(Arc::clone(&times)))?;
        let texts: Vec<String> = support::notes(100).into_iter().map(|note| note.text).collect();
        std::thread::scope(|scope| -> Result<()> {
            let producing = scope.spawn(|| produce(&log, &config, &texts, (rate, length), &times));
            let stopping = scope.spawn(|| {
                let appended = producing.join().expect("the producer does not panic");
                // What was appended is read within a few ticks; a stop commits it.
                std::thread::sleep(Duration::from_secs(1));
                stop.store(true, Ordering::SeqCst);
                appended
            });
            run(&config, parts, Arc::clone(&stop))?;
            stopping.join().expect("nor does who waits for it")
        })?;
        let Times { appended, mut took } = std::mem::take(&mut *times.lock().expect("nobody panics with the times"));
        // The slowest would be missing otherwise, and the figures be too good.
        ensure!(took.len() == appended.len(), "{} of {} notes were committed in time", took.len(), appended.len());
        took.sort_unstable();
        let at = |share: f64| took[(took.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "latency: tick {tick_ms} ms, {rate} notes/s, {} notes: p50 {:.0} ms, p99 {:.0} ms from append to commit",
            took.len(),
            at(0.5),
            at(0.99)
        );
    }
    Ok(())
}

/// Appends at a steady rate, ten milliseconds' notes at a time.
fn produce(
    log: &EmbeddedLog,
    config: &EngineConfig,
    texts: &[String],
    (rate, length): (u64, Duration),
    times: &Mutex<Times>,
) -> Result<()> {
    let mut producer = EmbeddedProducer::open(log, &config.topics.notes)?;
    let (began, mut sent) = (Instant::now(), 0usize);
    while began.elapsed() < length {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
        let notes: Vec<(Vec<u8>, Vec<u8>)> = (sent..due)
            .map(|number| {
                let text = &texts[number % texts.len()];
                let value = serde_json::json!({"note_id": number.to_string(), "text": text}).to_string();
                (number.to_string().into_bytes(), value.into_bytes())
            })
            .collect();
        let now = Instant::now();
        times.lock().expect("nobody panics with the times").appended.extend(notes.iter().map(|_| now));
        producer.append(notes.iter().map(|(key, value)| (Some(key.as_slice()), Some(value.as_slice()))))?;
        sent = due;
        // The rate is what is set here, and no sleep is timed: what is due is appended with the next.
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn backlog() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = EngineConfig { bytes_open_max: 1 << 20, ..EngineConfig::default() };
    let log = log_in(folder.path(), &config)?;
    // A few large notes amended again and again, since what is kept of a note is not what is asked here.
    let text = support::notes(60).into_iter().map(|note| note.text).collect::<Vec<_>>().join("\n");
    let mut producer = EmbeddedProducer::open(&log, &config.topics.notes)?;
    let (mut bytes, mut number) = (0, 0);
    while bytes < 110 << 20 {
        let key = (number % 10).to_string();
        let value = serde_json::json!({"note_id": key, "revision": number, "text": text}).to_string();
        producer.append([(Some(key.as_bytes()), Some(value.as_bytes()))])?;
        (bytes, number) = (bytes + value.len(), number + 1);
    }
    let before = memory()?;
    let peak = Arc::new(Mutex::new(Vec::new()));
    let observer = Peak(Arc::clone(&peak));
    run(&config, parts(&log, &config, |log| log.bounded(), observer)?, Arc::new(AtomicBool::new(false)))?;
    let seen = peak.lock().expect("nobody panics with the peak");
    let (early, late) = seen.split_at(seen.len() / 2);
    let most = |part: &[u64]| part.iter().max().map_or(0, |most| most.saturating_sub(before)) >> 20;
    println!(
        "memory: {} MiB in {number} revisions, {} times the bound of 1 MiB: {} MiB above the start in the first half, {} MiB in the second",
        bytes >> 20,
        bytes / config.bytes_open_max,
        most(early),
        most(late)
    );
    Ok(())
}

/// Resident memory at every commit.
struct Peak(Arc<Mutex<Vec<u64>>>);

impl Observer for Peak {
    fn committed(&mut self, _committed: &Committed<'_>) -> Result<()> {
        self.0.lock().expect("nobody panics with the peak").push(memory()?);
        Ok(())
    }
}
