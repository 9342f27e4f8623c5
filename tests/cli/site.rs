//! A log in a folder, configurations to run on it, and what is committed to it.

use crate::running::{DEADLINE, Running};
use crate::support::{stderr, stillroom, tiny};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use stillroom::engine::Topics;
use stillroom::generator::{DemoEvent, DemoStream};
use stillroom_connectors::{EmbeddedLog, EmbeddedProducer};
use stillroom_dataflow::Record;
use stillroom_schemas::{DeadLetter, Progress, Totals};

const PARTITIONS: u32 = 3;

/// The demo's events, put before a pipeline as it reads them: there is always more to do, however fast or slow the machine.
pub(crate) struct Source {
    events: DemoStream,
    pub(crate) put: Vec<DemoEvent>,
}

impl Source {
    /// Records ahead of the pipeline: many times what it can read in the moment before a kill.
    const AHEAD: u64 = 200;

    pub(crate) fn new() -> Source {
        Source { events: DemoStream::new(5, u64::MAX), put: Vec::new() }
    }

    /// Puts what is missing.
    pub(crate) fn keep_ahead(&mut self, site: &Site, progress: &Progress) {
        let missing = Source::AHEAD.saturating_sub(site.unread(progress)) as usize;
        let from = self.put.len();
        self.put.extend(self.events.by_ref().take(missing));
        site.append_events(&self.put[from..]);
    }
}

/// Kills of a pipeline that reads a [`Source`].
#[derive(Default)]
pub(crate) struct Kills {
    /// Those that came while there was more to do, which alone prove anything.
    pub(crate) counted: usize,
    late: usize,
}

impl Kills {
    /// Kills that may come too late: where the test's thread is held up, a run comes to the end of what was put before it.
    const LATE_MAX: usize = 12;

    /// Counts the kill that has just been; one that came too late is to be repeated.
    pub(crate) fn count(&mut self, site: &Site) {
        if site.is_done(&site.progress()) {
            self.late += 1;
            let Kills { counted, late } = self;
            assert!(*late <= Kills::LATE_MAX, "{late} kills, beside {counted}, came when nothing was under way");
        } else {
            self.counted += 1;
        }
    }

    /// With those that came too late.
    pub(crate) fn all(&self) -> usize {
        self.counted + self.late
    }
}

/// A pipeline.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) log: EmbeddedLog,
    pub(crate) topics: Topics,
    /// Tables of the configuration beside those that every test needs.
    pub(crate) extra: String,
}

impl Site {
    /// Topics with so many partitions, and nothing in them.
    pub(crate) fn new(partitions: u32) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path().join("log")).unwrap();
        let topics = Topics::default();
        for topic in [&topics.notes, &topics.references] {
            log.create_topic(topic, partitions).unwrap();
        }
        Site { folder, log, topics, extra: String::new() }
    }

    /// The demo's events: notes, amendments, withdrawals, broken ones and references.
    pub(crate) fn with_demo(notes: u64) -> Site {
        Site::with_events(&DemoStream::new(5, notes).collect::<Vec<_>>())
    }

    pub(crate) fn with_events(events: &[DemoEvent]) -> Site {
        let site = Site::new(PARTITIONS);
        site.append_events(events);
        site
    }

    fn append_events(&self, events: &[DemoEvent]) {
        for topic in [&self.topics.notes, &self.topics.references] {
            let of_topic = events.iter().filter(|event| event.is_note() == (*topic == self.topics.notes));
            self.append(topic, of_topic.map(|event| event.record()));
        }
    }

    /// Appends records, a key and a value each.
    pub(crate) fn append<'r>(&self, topic: &str, records: impl IntoIterator<Item = (&'r [u8], Option<&'r [u8]>)>) {
        let mut producer = EmbeddedProducer::open(&self.log, topic).unwrap();
        producer.append(records.into_iter().map(|(key, value)| (Some(key), value))).unwrap();
    }

    pub(crate) fn config(&self, workers: usize) -> PathBuf {
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
        fs::write(&path, text + &self.extra).unwrap();
        path
    }

    /// `run` on this pipeline.
    pub(crate) fn command(&self, workers: usize) -> Command {
        let mut command = stillroom();
        command.arg("run").arg("-c").arg(self.config(workers));
        command
    }

    pub(crate) fn start(&self, workers: usize) -> Running {
        Running::start(self.command(workers))
    }

    pub(crate) fn progress(&self) -> Progress {
        self.log.progress().unwrap()
    }

    /// Waits until `is_reached` of the committed progress, or fails.
    pub(crate) fn wait(&self, mut is_reached: impl FnMut(&Progress) -> bool) -> Progress {
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

    /// Whether all notes and references are committed.
    pub(crate) fn is_done(&self, progress: &Progress) -> bool {
        self.unread(progress) == 0
    }

    /// Notes and references that are not committed.
    pub(crate) fn unread(&self, progress: &Progress) -> u64 {
        let of_topic = |topic: &String| {
            let read = |partition| progress.inputs.get(topic).and_then(|offsets| offsets.get(&partition)).copied();
            let ends = self.log.ends(topic).unwrap().into_iter();
            ends.map(|(partition, end)| end - read(partition).unwrap_or(0)).sum::<u64>()
        };
        of_topic(&self.topics.notes) + of_topic(&self.topics.references)
    }

    /// The committed records of a topic.
    pub(crate) fn records(&self, topic: &str) -> impl Iterator<Item = Record> {
        self.log.read_topic(topic).unwrap().map(|record| record.unwrap())
    }

    /// Runs to the end of the input and stops with SIGTERM.
    pub(crate) fn finish(&self, workers: usize) -> Progress {
        let running = self.start(workers);
        self.wait(|progress| self.is_done(progress));
        let output = running.terminate();
        assert!(output.status.success(), "{}", stderr(&output));
        let totals: Totals = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(totals, self.progress().totals, "the last line is the totals");
        self.progress()
    }

    pub(crate) fn committed(&self) -> Committed {
        let records = |topic: &String| {
            let stored = |record: Record| (record.position.partition, record.key, record.value);
            self.records(topic).map(stored).collect::<Vec<Stored>>()
        };
        let mut letters: Vec<DeadLetter> = self.records(&self.topics.dead_letters).map(letter).collect();
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
pub(crate) type Stored = (u32, Option<Vec<u8>>, Option<Vec<u8>>);

/// What runs must agree on, in the order in which it stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Committed {
    pub(crate) extractions: Vec<Stored>,
    pub(crate) state: Vec<Stored>,
    /// Letters of notes and of references share a topic, and no order between them is promised.
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) quality: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) totals: Totals,
}
