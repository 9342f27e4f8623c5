//! Records through the registry and back, against the registry that `STILLROOM_TEST_SCHEMA_REGISTRY` names or one of our own.

use crate::support::{Log, TestRegistry, avro, drain, framed, framed_avro, json_schema, samples, unique};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::sync::Arc;
use stillroom_connectors::Committer;
use stillroom_dataflow::WireFormat;
use stillroom_registry::{
    Format, OutputTopic, RegistryCommitter, RegistryConfig, RegistryError, RegistryFormat, RegistrySource,
};
use stillroom_schemas::{Extraction, Note, Quality, Reference};

/// Reads everything of the log's topic as JSON.
fn read(test: &TestRegistry, log: &Log, accept_plain: bool) -> Vec<Result<String, String>> {
    let format = Arc::new(RegistryFormat::new(Arc::clone(&test.registry), [&log.topic], accept_plain));
    let mut source = RegistrySource::new(log.source(), Arc::clone(&format));
    let records = drain(&mut source);
    assert!(records.iter().map(|record| record.position.offset).eq(0..records.len() as u64), "not in order");
    let values = records.into_iter().map(|record| record.value.expect("no tombstone"));
    let json = values.map(|value| format.to_json(&log.topic, &value).map(|json| json.into_owned()));
    json.map(|json| json.map(|json| String::from_utf8(json).expect("JSON is text")).map_err(|error| error.0)).collect()
}

fn check_read<T: DeserializeOwned + PartialEq + Debug>(json: &[Result<String, String>], expected: &[String]) {
    assert_eq!(json.len(), expected.len());
    for (json, expected) in json.iter().zip(expected) {
        let json = json.as_ref().expect("it can be read");
        let parse = |json: &str| serde_json::from_str::<T>(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert_eq!(parse(json), parse(expected));
    }
}

/// What others write reaches us as it was.
fn check_input<T: DeserializeOwned + PartialEq + Debug>(name: &str, avro_text: &str, json_text: &str) {
    let test = TestRegistry::start();
    let samples = samples(name);
    let log = Log::create(&unique(name));
    let subject = format!("{}-value", log.topic);
    let avro_id = test.registry.register(&subject, &avro(avro_text)).expect("it can be registered");
    let json_subject = format!("{}-json-value", log.topic);
    let json_id = test.registry.register(&json_subject, &json_schema(json_text)).expect("it can be registered");
    log.produce(&samples.iter().map(|json| framed_avro(avro_id, avro_text, json)).collect::<Vec<_>>());
    log.produce(&samples.iter().map(|json| framed(json_id, json.as_bytes())).collect::<Vec<_>>());
    check_read::<T>(&read(&test, &log, false), &[&samples[..], &samples].concat());
}

#[test]
fn notes_and_references_are_read() {
    use stillroom_schemas::{avro, json};
    check_input::<Note>("note.v1", avro::NOTE, json::NOTE);
    check_input::<Reference>("reference.v1", avro::REFERENCE, json::REFERENCE);
}

/// What we write can be read as it was.
fn check_output<T: DeserializeOwned + PartialEq + Debug>(name: &str, topic_of: fn(String) -> OutputTopic) {
    for format in [Format::Avro, Format::JsonSchema] {
        let test = TestRegistry::start();
        let config = RegistryConfig { format, auto_register: true, ..test.config.clone() };
        let samples = samples(name);
        let log = Log::create(&unique(name));
        let open = || RegistryCommitter::open(log.committer(), &test.registry, &config, &[topic_of(log.topic.clone())]);
        let values = || samples.iter().map(|json| Some(json.clone().into_bytes()));
        open().expect("our schema is registered").commit(log.commit_of(values())).expect("a commit");
        // A second run finds the schema that the first registered.
        open().expect("our schema is found").commit(log.commit_of(values())).expect("a commit");
        let committed: Vec<_> = log.committed().into_iter().map(|value| value.expect("no tombstone")).collect();
        assert!(committed.iter().all(|value| value[..5] == committed[0][..5]), "one schema for all");

        let copy = Log::create(&log.topic);
        copy.produce(&committed);
        check_read::<T>(&read(&test, &copy, false), &[&samples[..], &samples].concat());
    }
}

#[test]
fn extractions_and_quality_are_written() {
    check_output::<Extraction>("extraction.v1", OutputTopic::extractions);
    check_output::<Quality>("quality.v1", OutputTopic::quality);
}

#[test]
fn tombstones_and_other_topics_pass_as_they_are() {
    let test = TestRegistry::start();
    let config = RegistryConfig { auto_register: true, ..test.config.clone() };
    let log = Log::create(&unique("state"));
    let other = OutputTopic::quality(unique("quality"));
    let mut committer =
        RegistryCommitter::open(log.committer(), &test.registry, &config, &[other]).expect("a committer");
    let values = [Some(b"{\"a\":1}".to_vec()), None];
    committer.commit(log.commit_of(values.clone())).expect("a commit");
    assert_eq!(committer.progress().epoch, 1);
    assert_eq!(log.committed(), values);

    let log = Log::create(&unique("quality"));
    let topic = OutputTopic::quality(&log.topic);
    let mut committer =
        RegistryCommitter::open(log.committer(), &test.registry, &config, &[topic]).expect("a committer");
    committer.commit(log.commit_of([None])).expect("a commit");
    assert_eq!(log.committed(), [None]);
}

/// A note that was written with another schema than ours.
fn check_writer(name: &str, schema: &Value, json: Value, expected: &str) {
    let test = TestRegistry::start();
    let log = Log::create(&unique(name));
    let text = schema.to_string();
    let id = test.registry.register(&format!("{}-value", log.topic), &avro(&text)).expect("it can be registered");
    log.produce(&[framed_avro(id, &text, &json.to_string())]);
    check_read::<Note>(&read(&test, &log, false), &[expected.to_owned()]);
}

#[test]
fn older_and_newer_writers_are_read() {
    let older = json!({"type": "record", "name": "Note", "namespace": "stillroom", "fields": [
        {"name": "text", "type": "string"}, {"name": "note_id", "type": "string"}]});
    check_writer("older", &older, json!({"note_id": "n", "text": "t"}), r#"{"note_id":"n","text":"t"}"#);

    let mut newer: Value = serde_json::from_str(stillroom_schemas::avro::NOTE).expect("a schema is JSON");
    let ward = json!({"type": "record", "name": "Ward", "fields": [{"name": "floor", "type": "int"}]});
    newer["fields"].as_array_mut().expect("fields").insert(1, json!({"name": "ward", "type": ward}));
    let note = json!({"note_id": "n", "ward": {"floor": 3}, "revision": 2, "site": "s", "text": "t"});
    check_writer("newer", &newer, note, r#"{"note_id":"n","revision":2,"site":"s","text":"t"}"#);
}

#[test]
fn what_cannot_be_read_says_why_and_holds_nothing_back() {
    let test = TestRegistry::start();
    let log = Log::create(&unique("damaged"));
    let subject = format!("{}-value", log.topic);
    let id = test.registry.register(&subject, &avro(stillroom_schemas::avro::NOTE)).expect("it can be registered");
    let good = framed_avro(id, stillroom_schemas::avro::NOTE, r#"{"note_id":"n","text":"fever"}"#);
    let values = [
        framed(2_000_000_000, b"fever"),
        good[..good.len() - 1].to_vec(),
        [&good[..], b"fever"].concat(),
        b"{\"text\":\"fever\"}".to_vec(),
        b"\0\0".to_vec(),
        good,
    ];
    log.produce(&values);
    let json = read(&test, &log, false);
    let expected = [
        "the value names schema 2000000000, which the schema registry at",
        "the Avro datum is damaged before byte 8: it ends too early; write it anew with schema",
        "it goes on after its end",
        "the value does not begin with a zero byte and the id of a schema",
        "the value has 2 bytes, and the id of its schema needs 5",
    ];
    for (json, expected) in json.iter().zip(expected) {
        let error = json.as_ref().expect_err(expected);
        assert!(error.contains(expected) && !error.contains("fever"), "{error}");
    }
    check_read::<Note>(&json[5..], &[r#"{"note_id":"n","text":"fever"}"#.to_owned()]);
    assert_eq!(read(&test, &log, true)[3], Ok(r#"{"text":"fever"}"#.to_owned()), "plain JSON is accepted");
}

#[test]
fn without_our_schema_the_latest_is_used_if_it_fits() {
    let test = TestRegistry::start();
    let log = Log::create(&unique("latest"));
    let topics = [OutputTopic::extractions(&log.topic)];
    let subject = format!("{}-value", log.topic);
    let open = || RegistryCommitter::open(log.committer(), &test.registry, &test.config, &topics);

    let error = open().err().expect("there is no schema");
    assert!(matches!(error, RegistryError::NoSchema { .. }), "{error}");
    let expected = "register schemas/avro/extraction.v1.avsc there, or set auto_register = true";
    assert!(error.to_string().contains(expected) && error.to_string().contains(&subject), "{error}");

    let mut theirs: Value = serde_json::from_str(stillroom_schemas::avro::EXTRACTION).expect("a schema is JSON");
    theirs["fields"].as_array_mut().expect("fields").retain(|field| field["name"] != "site");
    let ours_without_site = theirs.to_string();
    test.registry.register(&subject, &avro(&ours_without_site)).expect("it can be registered");
    let sample = samples("extraction.v1").remove(0);
    open().expect("it fits").commit(log.commit_of([Some(sample.clone().into_bytes())])).expect("a commit");
    let copy = Log::create(&log.topic);
    copy.produce(&log.committed().into_iter().flatten().collect::<Vec<_>>());
    check_read::<Extraction>(&read(&test, &copy, false), &[sample.replace(r#""site":"north","#, "")]);

    let field = json!({"name": "ward", "type": "string"});
    theirs["fields"].as_array_mut().expect("fields").push(field);
    let unfit = Log::create(&unique("unfit"));
    let subject = format!("{}-value", unfit.topic);
    test.registry.register(&subject, &avro(&theirs.to_string())).expect("it can be registered");
    let topics = [OutputTopic::extractions(&unfit.topic)];
    let error = RegistryCommitter::open(unfit.committer(), &test.registry, &test.config, &topics).err();
    let error = error.expect("a field of theirs is required").to_string();
    assert!(error.contains(&subject) && error.contains("ward") && error.contains("auto_register"), "{error}");
}

#[test]
fn a_record_that_the_schema_cannot_hold_fails_the_whole_commit() {
    let test = TestRegistry::start();
    let config = RegistryConfig { auto_register: true, ..test.config.clone() };
    let log = Log::create(&unique("unheld"));
    let topics = [OutputTopic::quality(&log.topic)];
    let mut committer =
        RegistryCommitter::open(log.committer(), &test.registry, &config, &topics).expect("a committer");
    let values = [samples("quality.v1").remove(0).into_bytes(), br#"{"task":"fever"}"#.to_vec()];
    let error = committer.commit(log.commit_of(values.map(Some))).expect_err("the second is no quality figure");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(error.to_string().contains(&log.topic) && cause.contains(&log.topic), "{error}: {cause}");
    assert!(!cause.contains("fever"), "{cause}");
    assert_eq!((log.committed(), committer.progress().epoch), (vec![], 0));
}
