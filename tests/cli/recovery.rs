//! `stillroom run` on the embedded log: what is committed does not depend on workers, kills or restarts.

use crate::support::{stderr, stillroom, tiny};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use stillroom::engine::Topics;
use stillroom::generator::DemoStream;
use stillroom_connectors::{EmbeddedLog, EmbeddedProducer};
use stillroom_dataflow::Record;
use stillroom_schemas::{DeadLetter, Progress, Quality, Totals};

const NOTES: u64 = 400;
const PARTITIONS: u32 = 3;
const DEADLINE: Duration = Duration::from_secs(120);

/// A folder with a log of the demo's events and configurations to run on it.
struct Site {
    folder: tempfile::TempDir,
    log: EmbeddedLog,
    topics: Topics,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path().join("log")).unwrap();
        let topics = Topics::default();
        let events: Vec<_> = DemoStream::new(5, NOTES).collect();
        for topic in [&topics.notes, &topics.references] {
            log.create_topic(topic, PARTITIONS).unwrap();
            let mut producer = EmbeddedProducer::open(&log, topic).unwrap();
            let of_topic = events.iter().filter(|event| event.is_note() == (*topic == topics.notes));
            producer.append(of_topic.map(|event| event.record()).map(|(key, value)| (Some(key), value))).unwrap();
        }
        Site { folder, log, topics }
    }

    fn config(&self, workers: usize) -> PathBuf {
        let path = self.folder.path().join(format!("{workers}.toml"));
        // Small bounds, so that there are many commits to be killed between.
        let text = format!(
            "[log]\ndir = {:?}\n[student]\nfolders = [{:?}]\nthreads = {}\n[engine]\nworkers = {workers}\ntick_ms = 5\n\
             epochs_open_max = 3\nbytes_open_max = 65536\ntokens_max = {}\nlinger_ms_max = 1\n",
            self.log.dir(),
            tiny(),
            1 + workers % 2,
            400 * workers
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn start(&self, workers: usize) -> Running {
        let mut command = stillroom();
        command.arg("run").arg("-c").arg(self.config(workers)).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().unwrap()))
    }

    fn progress(&self) -> Progress {
        self.log.progress().unwrap()
    }

    /// Waits until `is_reached` of the committed progress, or fails.
    fn wait(&self, mut is_reached: impl FnMut(&Progress) -> bool) -> Progress {
        let began = Instant::now();
        loop {
            let progress = self.progress();
            if is_reached(&progress) {
                return progress;
            }
            assert!(began.elapsed() < DEADLINE, "nothing more is committed after {:?}", progress.totals);
            std::thread::yield_now();
        }
    }

    fn is_done(&self, progress: &Progress) -> bool {
        [&self.topics.notes, &self.topics.references].iter().all(|topic| {
            let read = |partition| progress.inputs.get(*topic).and_then(|offsets| offsets.get(partition)).copied();
            self.log.ends(topic).unwrap().iter().all(|(partition, end)| read(partition).unwrap_or(0) == *end)
        })
    }

    /// Runs to the end of the input and stops with SIGTERM.
    fn finish(&self, workers: usize) -> Progress {
        let mut running = self.start(workers);
        self.wait(|progress| self.is_done(progress));
        let output = running.terminate();
        assert!(output.status.success(), "{}", stderr(&output));
        let totals: Totals = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(totals, self.progress().totals, "the last line is the totals");
        self.progress()
    }

    fn committed(&self) -> Committed {
        let records = |topic: &String| {
            let records = self.log.read_topic(topic).unwrap().map(|record| record.unwrap());
            records.map(|record| (record.position.partition, record.key, record.value)).collect::<Vec<Stored>>()
        };
        let letters = self.log.read_topic(&self.topics.dead_letters).unwrap().map(|record| record.unwrap());
        let mut letters: Vec<DeadLetter> = letters.map(letter).collect();
        letters.sort();
        Committed {
            extractions: records(&self.topics.extractions),
            state: records(&self.topics.state),
            letters,
            quality: self.log.last_values(&self.topics.quality).unwrap(),
            totals: self.progress().totals,
        }
    }
}

fn letter(record: Record) -> DeadLetter {
    DeadLetter::from_record(&record.headers, record.key, record.value).unwrap()
}

/// Partition, key and value of a record.
type Stored = (u32, Option<Vec<u8>>, Option<Vec<u8>>);

/// What runs must agree on, in the order in which it stands.
#[derive(Debug, PartialEq)]
struct Committed {
    extractions: Vec<Stored>,
    state: Vec<Stored>,
    /// Letters of notes and of references share a topic, and no order between them is promised.
    letters: Vec<DeadLetter>,
    quality: BTreeMap<Vec<u8>, Vec<u8>>,
    totals: Totals,
}

/// A process that does not outlive the test.
struct Running(Option<Child>);

impl Running {
    /// SIGKILL: nothing is flushed, nothing is said.
    fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn terminate(&mut self) -> std::process::Output {
        let child = self.0.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ended = child.kill();
            let _waited = child.wait();
        }
    }
}

fn adds_up(totals: Totals) {
    assert_eq!(totals.notes, totals.extracted + totals.dead_lettered + totals.superseded + totals.withdrawn);
}

#[test]
fn twelve_kills_leave_the_output_of_an_uninterrupted_run() {
    let whole = Site::new();
    let totals = whole.finish(1).totals;
    adds_up(totals);
    assert!(totals.extracted > NOTES && totals.dead_lettered > 0 && totals.superseded > 0 && totals.withdrawn > 0);

    let site = Site::new();
    let mut random = SmallRng::seed_from_u64(3);
    for kill in 0..12 {
        let running = site.start(1 + kill % 3);
        let notes = site.progress().totals.notes;
        let progress = site.wait(|progress| progress.totals.notes > notes);
        // Anywhere between two commits, or in one.
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        running.kill();
        adds_up(progress.totals);
        assert!(!site.is_done(&site.progress()), "kill {kill} came too late: give the runs more to do");
    }
    site.finish(2);
    assert_eq!(site.committed(), whole.committed());
}

#[test]
fn workers_and_stops_do_not_show_in_the_output() {
    let first = Site::new();
    first.finish(1);
    for workers in [2, 3] {
        let site = Site::new();
        // Half with this many, stopped in good order, the rest with another number.
        let mut running = site.start(workers);
        site.wait(|progress| progress.totals.notes > NOTES / 2);
        assert!(running.terminate().status.success());
        site.finish(5 - workers);
        assert_eq!(site.committed(), first.committed(), "{workers} workers");
    }
}

#[test]
fn the_second_process_on_a_log_is_refused() {
    let site = Site::new();
    let _running = site.start(1);
    site.wait(|progress| progress.totals.notes > 0);
    let second = stillroom().arg("run").arg("-c").arg(site.config(1)).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("is in use by another process; stop that process, or choose another folder"));
}

/// Everything in the folder but the values of extractions and dead letters, which are meant to carry text.
fn files_without_text(log: &EmbeddedLog, topics: &Topics) -> Vec<u8> {
    let mut bytes = fs::read(log.dir().join("progress.json")).unwrap();
    for topic in [&topics.extractions, &topics.dead_letters, &topics.state, &topics.quality] {
        for record in log.read_topic(topic).unwrap() {
            let record = record.unwrap();
            bytes.extend(record.key.unwrap_or_default());
            bytes.extend(record.headers.into_iter().flat_map(|(name, value)| [name.into_bytes(), value]).flatten());
            if ![&topics.dead_letters, &topics.extractions].contains(&topic) {
                bytes.extend(record.value.unwrap_or_default());
            }
        }
    }
    bytes
}

#[test]
fn text_of_notes_is_in_extractions_and_dead_letters_alone() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), "zebrafever");
    let log = EmbeddedLog::open(folder.path().join("log")).unwrap();
    let topics = Topics::default();
    log.create_topic(&topics.notes, 1).unwrap();
    log.create_topic(&topics.references, 1).unwrap();
    let values = [
        format!(r#"{{"note_id":"n","text":"severe {secret} today"}}"#),
        format!(r#"{{"note_id":"n","text":"severe {secret}"#),
        format!(r#"{{"note_id":"n","text":7,"{secret}":"{secret}"}}"#),
        format!(r#"{{"note_id":"n","revision":"{secret}","text":"x"}}"#),
        format!(r#"{{"note_id":"{secret}","text":"another key"}}"#),
    ];
    let mut producer = EmbeddedProducer::open(&log, &topics.notes).unwrap();
    producer.append(values.iter().map(|value| (Some(&b"n"[..]), Some(value.as_bytes())))).unwrap();
    let reference = format!(r#"{{"note_id":"n","annotator":"{secret}","tasks":["{secret}"]}}"#);
    let mut producer = EmbeddedProducer::open(&log, &topics.references).unwrap();
    producer.append([(Some(&br#"["n","a"]"#[..]), Some(reference.as_bytes()))]).unwrap();
    let site = Site { folder, log, topics };

    let mut command = stillroom();
    command.arg("run").arg("-c").arg(site.config(1)).env("STILLROOM_LOG", "trace");
    // To a file: nobody reads a pipe while it runs.
    let told = site.folder.path().join("stderr");
    command.stdout(Stdio::piped()).stderr(fs::File::create(&told).unwrap());
    let mut running = Running(Some(command.spawn().unwrap()));
    site.wait(|progress| site.is_done(progress));
    let output = running.terminate();
    assert_eq!(site.progress().totals.dead_lettered, 4);
    let quiet = [output.stdout, fs::read(told).unwrap(), files_without_text(&site.log, &site.topics)];
    assert!(
        !String::from_utf8_lossy(&quiet[1]).contains("tokenizers::"),
        "the tokenizer logs text, a character a line"
    );
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(quiet.iter().all(|bytes| !holds(bytes)), "text of a note has leaked");
    let log = String::from_utf8_lossy(&quiet[1]);
    assert!(log.contains("stillroom::commands::run") && log.contains("committed"), "the log was not at work: {log}");
    let topic = |topic: &Path| fs::read(topic.join("0/00000000000000000000.jsonl")).unwrap();
    assert!(holds(&topic(&site.log.dir().join("topics").join(&site.topics.extractions))), "it would be found");
}

#[test]
fn quality_is_that_of_the_last_values() {
    let site = Site::new();
    site.finish(2);
    let values = site.log.last_values(&site.topics.quality).unwrap();
    let rollups: Vec<Quality> = values
        .values()
        .map(|value| serde_json::from_slice::<Quality>(value).unwrap())
        .filter(|quality| quality.key.rollup)
        .collect();
    // Three tasks, three levels, two annotators.
    assert_eq!(rollups.len(), 18);
    for rollup in rollups {
        let parts = values.values().map(|value| serde_json::from_slice::<Quality>(value).unwrap());
        let parts = parts.filter(|part| {
            !part.key.rollup
                && (part.key.task, part.key.level) == (rollup.key.task, rollup.key.level)
                && part.key.reference == rollup.key.reference
        });
        let sum = parts.fold((0, 0), |sum, part| (sum.0 + part.counts.tp, sum.1 + part.counts.notes));
        assert_eq!(sum, (rollup.counts.tp, rollup.counts.notes), "{:?}", rollup.key);
    }
}

/// Resident memory of a process in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn resident_memory_is_flat_under_a_backlog_a_hundred_times_the_bound() {
    const BOUND: usize = 512 << 10;
    let folder = tempfile::tempdir().unwrap();
    let (log, topics) = (EmbeddedLog::open(folder.path().join("log")).unwrap(), Topics::default());
    log.create_topic(&topics.notes, 1).unwrap();
    log.create_topic(&topics.references, 1).unwrap();
    // Mostly blanks: they take memory as words do, and no time to tag.
    let text = format!("severe angina{}no rash", " ".repeat(60_000));
    let notes = 128 * BOUND / text.len();
    let mut producer = EmbeddedProducer::open(&log, &topics.notes).unwrap();
    for note in 0..notes {
        let value = serde_json::json!({"note_id": note.to_string(), "text": text}).to_string();
        producer.append([(Some(note.to_string().as_bytes()), Some(value.as_bytes()))]).unwrap();
    }
    let site = Site { folder, log, topics };
    let path = site.config(1);
    let config = fs::read_to_string(&path).unwrap().replace("65536", &BOUND.to_string());
    fs::write(&path, config.replace("epochs_open_max = 3", "epochs_open_max = 64")).unwrap();
    let mut command = stillroom();
    command.arg("run").arg("-c").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(Some(command.spawn().unwrap()));
    let process = running.0.as_ref().unwrap().id();
    // What is there once all of the program is at work.
    site.wait(|progress| progress.totals.notes as usize > notes / 10);
    let early = resident(process);
    let mut most = early;
    site.wait(|progress| {
        most = most.max(resident(process));
        site.is_done(progress)
    });
    assert_eq!(site.progress().totals.extracted as usize, notes);
    assert!(running.terminate().status.success());
    let grown = most - early;
    assert!(grown < 32 * BOUND, "{grown} bytes more than early, of a backlog of {}", notes * text.len());
}
