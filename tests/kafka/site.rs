//! A pipeline's topics on the broker, configurations to run on them, and what is committed to them.

use crate::running::{DEADLINE, Running};
use crate::support::{stderr, stillroom, tiny};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stillroom::generator::DemoStream;
use stillroom_connectors::{Appended, Cleanup, KafkaLog, KafkaSettings, Log, TopicPlan};
use stillroom_schemas::{Progress, Totals};

/// A broker that tests may use.
#[derive(Clone)]
pub(crate) struct Broker {
    /// `host:port`, in plain.
    pub(crate) servers: String,
}

impl Broker {
    /// The broker that `./test` started.
    pub(crate) fn shared() -> Option<Broker> {
        let servers = std::env::var("STILLROOM_TEST_KAFKA").ok();
        if servers.is_none() {
            eprintln!(
                "skipped: no broker; run ./test, or scripts/kafka start and set STILLROOM_TEST_KAFKA=127.0.0.1:19092"
            );
        }
        servers.map(|servers| Broker { servers })
    }

    /// Runs one of Kafka's own tools.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(root().join("scripts/kafka"));
        command.args(["tool", class, "--bootstrap-server", &self.servers]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{class} {arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Names that no other test, and no earlier run, has.
fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    format!("t{now}-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// One pipeline.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) name: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) log: KafkaLog,
    /// Lines of the configuration beside those that every test needs.
    pub(crate) extra: String,
    /// The same of librdkafka's properties.
    pub(crate) properties: String,
    /// What a commit promises.
    pub(crate) delivery: &'static str,
    /// The student's folder.
    pub(crate) student: PathBuf,
    /// In what it is multiplied.
    pub(crate) precision: &'static str,
}

impl Site {
    /// Topics with so many partitions, and nothing in them.
    pub(crate) fn new(broker: &Broker, partitions: u32) -> Site {
        let name = new_name();
        let properties = BTreeMap::from([("bootstrap.servers".to_owned(), broker.servers.clone())]);
        let log = KafkaLog::new(KafkaSettings {
            properties,
            transactional_id: name.clone(),
            group_id: name.clone(),
            progress_topic: format!("{name}.progress"),
            replication: -1,
            create_topics: true,
            transaction_timeout_ms: 10_000,
            ..KafkaSettings::default()
        });
        let folder = tempfile::tempdir().unwrap();
        let (extra, properties, student) = (String::new(), String::new(), tiny());
        let (broker, delivery, precision) = (broker.clone(), "exactly_once", "auto");
        let site = Site { broker, name, folder, log, extra, properties, delivery, student, precision };
        let of_input =
            |topic: &str, cleanup| TopicPlan { name: site.topic(topic), partitions, cleanup, record_bytes_max: None };
        let inputs = [of_input("notes", Cleanup::Delete), of_input("references", Cleanup::Keep)];
        site.log.prepare(&inputs).unwrap();
        site
    }

    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    /// Appends the demo's events: notes, amendments, withdrawals, broken ones and references.
    pub(crate) fn fill(&self, notes: u64) {
        let (mut of_notes, mut of_references) = (Vec::new(), Vec::new());
        for event in DemoStream::new(5, notes) {
            let (key, value) = event.record();
            let record = Appended {
                key: Some(key.to_vec()),
                value: value.map(<[u8]>::to_vec),
                headers: Vec::new(),
                partition: None,
            };
            if event.is_note() { of_notes.push(record) } else { of_references.push(record) }
        }
        self.log.append(&self.topic("notes"), &of_notes).unwrap();
        self.log.append(&self.topic("references"), &of_references).unwrap();
    }

    /// Appends records to one of its topics, a key and a value each.
    pub(crate) fn append(&self, topic: &str, records: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) {
        let appended = |(key, value)| Appended { key: Some(key), value, ..Appended::default() };
        self.log.append(&self.topic(topic), &records.into_iter().map(appended).collect::<Vec<_>>()).unwrap();
    }

    /// Appends one note.
    pub(crate) fn put(&self, id: &str, text: &str) {
        self.put_all([id.to_owned()], text);
    }

    /// Appends notes of one text.
    pub(crate) fn put_all(&self, ids: impl IntoIterator<Item = String>, text: &str) {
        let note = |id: String| Appended {
            value: Some(serde_json::json!({ "note_id": &id, "text": text }).to_string().into_bytes()),
            key: Some(id.into_bytes()),
            headers: Vec::new(),
            partition: None,
        };
        let notes: Vec<Appended> = ids.into_iter().map(note).collect();
        self.log.append(&self.topic("notes"), &notes).unwrap();
    }

    pub(crate) fn put_bytes(&self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let record = Appended {
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: Vec::new(),
            partition: None,
        };
        self.log.append(&self.topic("notes"), &[record]).unwrap();
    }

    pub(crate) fn config(&self, workers: usize) -> PathBuf {
        let path = self.folder.path().join(format!("{workers}.toml"));
        let mut text = format!(
            "[kafka]\ntransactional_id = '{0}'\ngroup_id = '{0}'\ndelivery = '{6}'\ncreate_topics = true\ntransaction_timeout_ms = 10000\n\
             [kafka.properties]\nbootstrap.servers = '{1}'\n{5}\n[student]\nfolders = [{2:?}]\nprecision = '{7}'\n[engine]\nworkers = {workers}\n\
             tick_ms = 5\nlinger_ms_max = 1\ntokens_max = {3}\n{4}\n[engine.topics]\n",
            self.name,
            self.broker.servers,
            self.student,
            400 * workers,
            self.extra,
            self.properties,
            self.delivery,
            self.precision,
        );
        let of_engine = ["notes", "references", "labels", "models", "extractions", "quality", "state", "dead_letters"];
        let of_others = ["progress", "retraining", "shadow", "cohorts", "cohort_events", "memberships"];
        for topic in of_engine.into_iter().chain(of_others) {
            writeln!(text, "{topic} = '{}'", self.topic(topic)).unwrap();
        }
        // Another process of the pipeline may be reading it.
        let beside = path.with_extension("partial");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &path).unwrap();
        path
    }

    /// A command of the binary on this pipeline.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stillroom();
        command.args(arguments).arg("-c").arg(self.config(1)).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, workers: usize) -> Running {
        let mut command = stillroom();
        command.arg("run").arg("-c").arg(self.config(workers)).env("STILLROOM_LOG", "stillroom=info");
        Running::start(command)
    }

    pub(crate) fn progress(&self) -> Progress {
        self.log.progress().unwrap()
    }

    /// Runs until all of the input is committed, then stops in good order.
    pub(crate) fn finish(&self, workers: usize) -> Progress {
        let running = self.start(workers);
        self.wait_for_end();
        let output = running.terminate();
        assert!(output.status.success(), "{}", stderr(&output));
        let totals: Totals = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(totals, self.progress().totals, "the last line is the totals");
        self.progress()
    }

    pub(crate) fn wait_for_end(&self) {
        let ends = ["notes", "references"].map(|topic| (self.topic(topic), self.ends(topic)));
        self.wait(|progress| {
            ends.iter().all(|(topic, ends)| {
                let read = |partition| progress.inputs.get(topic).and_then(|offsets| offsets.get(partition)).copied();
                ends.iter().all(|(partition, end)| read(partition).unwrap_or(0) >= *end)
            })
        });
    }

    /// Offsets after the last record of an input topic.
    fn ends(&self, topic: &str) -> BTreeMap<u32, u64> {
        let records = self.kcat(topic, "read_uncommitted");
        records.into_iter().map(|record| (record.partition, record.offset + 1)).collect()
    }

    /// Waits until `is_reached` of the committed progress, or fails.
    pub(crate) fn wait(&self, mut is_reached: impl FnMut(&Progress) -> bool) -> Progress {
        let (mut moved, mut last) = (Instant::now(), Progress::default());
        loop {
            let progress = self.progress();
            if is_reached(&progress) {
                return progress;
            }
            if progress != last {
                (moved, last) = (Instant::now(), progress);
            }
            assert!(moved.elapsed() < DEADLINE, "nothing more is committed after {:?}", last.totals);
            // Asking makes clients of its own, which is work for the broker.
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What a client that is not ours reads, by partition and offset.
    pub(crate) fn kcat(&self, topic: &str, isolation: &str) -> Vec<Read> {
        let mut command = Command::new("kcat");
        command.args(["-C", "-q", "-e", "-J", "-o", "beginning", "-b", &self.broker.servers, "-t", &self.topic(topic)]);
        command.args(["-X", &format!("isolation.level={isolation}"), "-X", "fetch.wait.max.ms=20"]);
        let output = command.output().expect("kcat is installed by ./test");
        assert!(output.status.success(), "{}", stderr(&output));
        // Some notes are meant to be damaged.
        let text = String::from_utf8_lossy(&output.stdout);
        let mut records: Vec<Read> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// What runs must agree on.
    pub(crate) fn committed(&self) -> Committed {
        let records = |topic: &str| {
            let records = self.kcat(topic, "read_committed");
            records.into_iter().map(|record| (record.partition, record.key, record.payload)).collect::<Vec<Stored>>()
        };
        let mut quality = BTreeMap::new();
        for (_, key, value) in records("quality") {
            match value {
                Some(value) => quality.insert(key, value),
                None => quality.remove(&key),
            };
        }
        let (mut letters, totals) = (records("dead_letters"), self.progress().totals);
        letters.sort();
        // The names of topics differ from site to site.
        Committed { extractions: records("extractions"), state: records("state"), letters, quality, totals }
    }
}

/// A record as kcat prints it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Read {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) key: Option<String>,
    pub(crate) payload: Option<String>,
    /// Names and values by turns.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
}

/// Partition, key and value.
type Stored = (u32, Option<String>, Option<String>);

/// What runs must agree on, in the order in which it stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Committed {
    extractions: Vec<Stored>,
    state: Vec<Stored>,
    /// Letters of notes and of references share a topic, and no order between them is promised.
    letters: Vec<Stored>,
    pub(crate) quality: BTreeMap<Option<String>, String>,
    totals: Totals,
}

impl Committed {
    pub(crate) fn extractions(&self) -> usize {
        self.extractions.len()
    }
}
