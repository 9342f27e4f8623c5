//! A registry to test against and a log to read from and write to.

use crate::server::Server;
use apache_avro::Schema as AvroSchema;
use apache_avro::types::Value as AvroValue;
use apache_avro::writer::datum::GenericDatumWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stillroom_connectors::{
    Commit, EmbeddedCommitter, EmbeddedLog, EmbeddedProducer, EmbeddedSource, OutputRecord, Source,
};
use stillroom_dataflow::Record;
use stillroom_registry::{Registry, RegistryConfig, Schema, SchemaKind};
use tempfile::TempDir;

/// As long as a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The registry at `STILLROOM_TEST_SCHEMA_REGISTRY`, or one of our own.
pub(crate) struct TestRegistry {
    pub(crate) config: RegistryConfig,
    pub(crate) registry: Arc<Registry>,
    /// Holds the server, if it is ours, until the test ends.
    _server: Option<Server>,
}

impl TestRegistry {
    pub(crate) fn start() -> TestRegistry {
        let real = std::env::var("STILLROOM_TEST_SCHEMA_REGISTRY").ok().filter(|url| !url.is_empty());
        let server = if real.is_none() { Some(Server::start()) } else { None };
        let url = real.unwrap_or_else(|| server.as_ref().expect("one of both").url());
        let config = RegistryConfig { url, ..RegistryConfig::default() };
        TestRegistry { registry: connect(&config), config, _server: server }
    }
}

/// A server that misbehaves on request; none, with a line that says so, when the tests run against a real registry.
pub(crate) fn misbehaving() -> Option<Server> {
    if std::env::var("STILLROOM_TEST_SCHEMA_REGISTRY").is_ok_and(|url| !url.is_empty()) {
        println!("skipped: a real registry does not misbehave on request");
        return None;
    }
    Some(Server::start())
}

pub(crate) fn config_of(server: &Server) -> RegistryConfig {
    RegistryConfig { url: server.url(), ..RegistryConfig::default() }
}

pub(crate) fn connect(config: &RegistryConfig) -> Arc<Registry> {
    Arc::new(Registry::new(config, config.read_password().expect("a password")).expect("a client"))
}

/// A topic that no other test and no other run has.
pub(crate) fn unique(name: &str) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("stillroom-test-{}-{}-{name}", std::process::id(), since.as_nanos())
}

pub(crate) fn avro(text: &str) -> Schema {
    Schema { kind: SchemaKind::Avro, text: text.to_owned() }
}

pub(crate) fn json_schema(text: &str) -> Schema {
    Schema { kind: SchemaKind::Json, text: text.to_owned() }
}

/// The lines of `schemas/samples/<name>.jsonl`.
pub(crate) fn samples(name: &str) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples");
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect("samples");
    text.lines().map(str::to_owned).collect()
}

/// A value that is framed, whatever the datum.
pub(crate) fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

/// JSON as a framed datum of an Avro schema, written by `apache-avro`.
pub(crate) fn framed_avro(id: u32, schema: &str, json: &str) -> Vec<u8> {
    let schema = AvroSchema::parse_str(schema).expect("a schema");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let value = AvroValue::try_from(json).expect("a value").resolve(&schema).expect("it fits the schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    framed(id, &writer.write_value_to_vec(value).expect("it can be written"))
}

/// An embedded log with one topic of one partition.
pub(crate) struct Log {
    _folder: TempDir,
    pub(crate) log: EmbeddedLog,
    pub(crate) topic: String,
}

impl Log {
    pub(crate) fn create(topic: &str) -> Log {
        let folder = tempfile::tempdir().expect("a folder");
        let log = EmbeddedLog::open(folder.path()).expect("a log");
        log.create_topic(topic, 1).expect("a topic");
        Log { _folder: folder, log, topic: topic.to_owned() }
    }

    pub(crate) fn produce(&self, values: &[Vec<u8>]) {
        let mut producer = EmbeddedProducer::open(&self.log, &self.topic).expect("a producer");
        producer.append(values.iter().map(|value| (Some(&b"k"[..]), Some(&value[..])))).expect("it can be appended");
    }

    pub(crate) fn source(&self) -> Box<dyn Source> {
        let mut source = EmbeddedSource::bounded(&self.log);
        source.assign(&self.topic, 0, 0).expect("it begins at 0");
        Box::new(source)
    }

    pub(crate) fn committer(&self) -> Box<EmbeddedCommitter> {
        Box::new(EmbeddedCommitter::open(&self.log, &[&self.topic]).expect("a committer"))
    }

    /// The next commit.
    pub(crate) fn commit_of(&self, values: impl IntoIterator<Item = Option<Vec<u8>>>) -> Commit {
        let topic = Arc::from(&*self.topic);
        let output = |value| OutputRecord {
            topic: Arc::clone(&topic),
            partition: 0,
            key: Some(b"k".to_vec()),
            value,
            headers: vec![],
        };
        let epoch = self.log.progress().expect("a log").epoch + 1;
        Commit { epoch, outputs: values.into_iter().map(output).collect(), ..Commit::default() }
    }

    /// The committed values.
    pub(crate) fn committed(&self) -> Vec<Option<Vec<u8>>> {
        self.log.read_topic(&self.topic).expect("a topic").map(|record| record.expect("a record").value).collect()
    }
}

/// Polls until the source is finished.
pub(crate) fn drain(source: &mut dyn Source) -> Vec<Record> {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while !source.is_finished() {
        assert!(std::time::Instant::now() < deadline, "{} records, and no more came", records.len());
        records.extend(source.poll(1 << 20, Duration::from_millis(50)).expect("a poll"));
    }
    records
}
