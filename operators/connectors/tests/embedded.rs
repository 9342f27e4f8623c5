//! Producers and sources on one embedded log.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillroom_connectors::{EmbeddedLog, EmbeddedProducer, EmbeddedSource, LogError, Source, partition_of};
use stillroom_dataflow::Record;

const TOPIC: &str = "clinical.notes.v1";

/// Long enough that only a mistake waits for its end.
const WAIT: Duration = Duration::from_secs(60);

type KeyValue = (Option<Vec<u8>>, Option<Vec<u8>>);

fn log_in(dir: &Path, partitions: u32, segment_bytes_max: u64) -> EmbeddedLog {
    let log = EmbeddedLog::open(dir).expect("a log").with_segment_bytes_max(segment_bytes_max);
    log.create_topic(TOPIC, partitions).expect("a topic");
    log
}

fn append(producer: &mut EmbeddedProducer, records: &[KeyValue]) -> BTreeMap<u32, u64> {
    producer.append(records.iter().map(|(key, value)| (key.as_deref(), value.as_deref()))).expect("an append")
}

fn append_text(log: &EmbeddedLog, key: &str, values: &[&str]) {
    let mut producer = EmbeddedProducer::open(log, TOPIC).expect("a producer");
    let records = values.iter().map(|value| (Some(key.as_bytes()), Some(value.as_bytes())));
    producer.append(records).expect("an append");
}

fn values(records: &[Record]) -> String {
    let value = |record: &Record| String::from_utf8(record.value.clone().expect("a value")).expect("text");
    records.iter().map(value).collect::<Vec<_>>().join(" ")
}

fn first_segment(log: &EmbeddedLog) -> PathBuf {
    log.dir().join("topics").join(TOPIC).join("0").join("00000000000000000000.jsonl")
}

fn size(record: &Record) -> usize {
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len)
}

fn records() -> impl Strategy<Value = Vec<Vec<KeyValue>>> {
    let key = prop_oneof![3 => "[a-e]".prop_map(String::into_bytes), 1 => any::<Vec<u8>>()];
    let value = prop_oneof![
        3 => "\\{\"text\":\"[a-zé ]{0,40}\"\\}".prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
        1 => Just(b"null".to_vec()),
    ];
    let record = (proptest::option::weighted(0.9, key), proptest::option::weighted(0.9, value));
    prop::collection::vec(prop::collection::vec(record, 0..8), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is appended, in whatever batches by whichever of two producers, comes out of any source in order and unchanged.
    #[test]
    fn what_goes_in_comes_out(
        batches in records(),
        partitions in 1u32..4,
        segment_bytes_max in 1u64..400,
        bytes_max in 1usize..200,
        start in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let log = log_in(dir.path(), partitions, segment_bytes_max);
        let mut producers = [0, 1].map(|_| EmbeddedProducer::open(&log, TOPIC).expect("a producer"));
        let mut tail = EmbeddedSource::tail(&log);
        (0..partitions).for_each(|partition| tail.assign(TOPIC, partition, 0).expect("offset 0 exists"));
        let mut expected: BTreeMap<u32, Vec<KeyValue>> = (0..partitions).map(|partition| (partition, vec![])).collect();
        let mut read: BTreeMap<u32, Vec<KeyValue>> = expected.clone();
        for (index, batch) in batches.iter().enumerate() {
            let before = expected.clone();
            for (key, value) in batch {
                let partition = key.as_ref().map_or(0, |key| partition_of(key, partitions));
                expected.get_mut(&partition).expect("a partition").push((key.clone(), value.clone()));
            }
            let appended = append(&mut producers[index % 2], batch);
            for partition in 0..partitions {
                let grown = expected[&partition].len() - before[&partition].len();
                prop_assert_eq!(appended.get(&partition).copied().unwrap_or(0), grown as u64);
            }
            loop {
                let records = tail.poll(bytes_max, Duration::ZERO).expect("a poll");
                prop_assert!(records.len() <= 1 || records.iter().map(size).sum::<usize>() <= bytes_max);
                if records.is_empty() {
                    break;
                }
                for record in records {
                    let of_partition = read.get_mut(&record.position.partition).expect("a partition");
                    prop_assert_eq!(record.position.offset, of_partition.len() as u64);
                    of_partition.push((record.key, record.value));
                }
            }
            prop_assert_eq!(&read, &expected);
        }
        let ends: BTreeMap<u32, u64> = expected.iter().map(|(&partition, records)| (partition, records.len() as u64)).collect();
        prop_assert_eq!(log.ends(TOPIC).expect("ends"), ends);

        let (partition, start) = (0, start.index(expected[&0].len() + 1));
        let mut bounded = EmbeddedSource::bounded(&log);
        bounded.assign(TOPIC, partition, start as u64).expect("the offset exists");
        let mut rest = Vec::new();
        while !bounded.is_finished() {
            rest.extend(bounded.poll(bytes_max, WAIT).expect("a poll").into_iter().map(|record| (record.key, record.value)));
        }
        prop_assert_eq!(&rest[..], &expected[&partition][start..]);
    }
}

#[test]
fn tails_while_another_thread_appends() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 2, 500);
    let mut source = EmbeddedSource::tail(&log);
    (0..2).for_each(|partition| source.assign(TOPIC, partition, 0).expect("offset 0 exists"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = EmbeddedProducer::open(&log, TOPIC).expect("a producer");
            for index in 0..60 {
                append(&mut producer, &[(Some(format!("n-{index}").into_bytes()), Some(b"{}".to_vec()))]);
            }
        });
        let mut keys = Vec::new();
        while keys.len() < 60 {
            let records = source.poll(100, WAIT).expect("a poll");
            assert!(!records.is_empty(), "nothing came in time");
            keys.extend(records.into_iter().map(|record| String::from_utf8(record.key.expect("a key")).expect("text")));
        }
        keys.sort_by_key(|key| key[2..].parse::<u32>().expect("a number"));
        assert_eq!(keys, (0..60).map(|index| format!("n-{index}")).collect::<Vec<_>>());
    });
}

#[test]
fn every_partition_has_its_turn() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 2, 1 << 20);
    let key = |partition| (b'a'..).map(|key| vec![key]).find(|key| partition_of(key, 2) == partition).expect("a key");
    let mut producer = EmbeddedProducer::open(&log, TOPIC).expect("a producer");
    let busy: Vec<KeyValue> = (0..100).map(|_| (Some(key(0)), Some(b"1234567".to_vec()))).collect();
    append(&mut producer, &busy);
    // A record that is larger than its partition's share, and one that is larger than any poll.
    append(&mut producer, &[(Some(key(1)), Some(vec![b'x'; 12])), (Some(key(1)), Some(vec![b'x'; 100]))]);
    let mut source = EmbeddedSource::tail(&log);
    (0..2).for_each(|partition| source.assign(TOPIC, partition, 0).expect("offset 0 exists"));
    let polls: Vec<String> = (0..6)
        .map(|_| {
            let records = source.poll(16, Duration::ZERO).expect("a poll");
            records.iter().map(|record| record.position.partition.to_string()).collect()
        })
        .collect();
    assert_eq!(polls, ["0", "1", "0", "1", "0", "00"]);
}

#[test]
fn a_paused_source_delivers_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 1 << 20);
    append_text(&log, "a", &["1"]);
    let mut source = EmbeddedSource::bounded(&log);
    source.assign(TOPIC, 0, 0).expect("offset 0 exists");
    source.pause();
    assert_eq!(source.poll(100, Duration::from_millis(5)).expect("a poll"), []);
    assert!(!source.is_finished());
    source.resume();
    assert_eq!(values(&source.poll(100, WAIT).expect("a poll")), "1");
    assert!(source.is_finished());
    append_text(&log, "a", &["2"]);
    assert_eq!(source.poll(100, WAIT).expect("a poll"), [], "it ends where the topic ended when it was assigned");
}

#[test]
fn an_unfinished_line_is_ignored_and_then_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 1 << 20);
    append_text(&log, "a", &["1"]);
    let mut source = EmbeddedSource::tail(&log);
    source.assign(TOPIC, 0, 0).expect("offset 0 exists");
    let mut producer = EmbeddedProducer::open(&log, TOPIC).expect("a producer");
    append(&mut producer, &[(Some(b"a".to_vec()), Some(b"2".to_vec()))]);

    // Another producer is killed in the middle of a line.
    let whole = fs::read_to_string(first_segment(&log)).expect("the segment");
    let mut file = OpenOptions::new().append(true).open(first_segment(&log)).expect("the segment");
    file.write_all(br#"{"offset":2,"key":"a","val"#).expect("a write");
    assert_eq!(values(&source.poll(100, WAIT).expect("a poll")), "1 2");
    assert_eq!(source.poll(100, Duration::ZERO).expect("a poll"), []);
    assert_eq!(log.ends(TOPIC).expect("ends"), BTreeMap::from([(0, 2)]));

    append(&mut producer, &[(Some(b"a".to_vec()), Some(b"3".to_vec()))]);
    assert_eq!(values(&source.poll(100, WAIT).expect("a poll")), "3");
    let text = fs::read_to_string(first_segment(&log)).expect("the segment");
    assert_eq!(text, whole + "{\"offset\":2,\"key\":\"a\",\"value\":3}\n");
}

#[test]
fn an_unfinished_first_line_does_not_lose_the_readers() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 1 << 20);
    fs::write(first_segment(&log), "{\"offset\"").expect("a write");
    let mut source = EmbeddedSource::tail(&log);
    source.assign(TOPIC, 0, 0).expect("offset 0 exists");
    assert_eq!(source.poll(100, Duration::ZERO).expect("a poll"), []);
    append_text(&log, "a", &["1"]);
    assert_eq!(values(&source.poll(100, WAIT).expect("a poll")), "1");
}

#[test]
fn a_line_longer_than_any_buffer() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 1 << 10);
    let long = format!("\"{}\"", "é".repeat(3 << 20));
    append_text(&log, "a", &["1", &long, "2"]);
    let mut source = EmbeddedSource::bounded(&log);
    source.assign(TOPIC, 0, 0).expect("offset 0 exists");
    let mut polls = Vec::new();
    while !source.is_finished() {
        polls.push(values(&source.poll(1000, WAIT).expect("a poll")));
    }
    assert!(polls == ["1".to_owned(), long, "2".to_owned()], "lengths: {:?}", polls.iter().map(String::len));
}

#[test]
fn offsets_that_do_not_exist_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 1);
    let assign = |next| EmbeddedSource::tail(&log).assign(TOPIC, 0, next).map_err(|error| error.to_string());
    let refused = |next, range| {
        Err(format!(
            "{TOPIC}/0 has offsets {range}, but {next} was asked for: the topic was cut or created anew; restore it, or start \
             with a new progress"
        ))
    };
    assert_eq!(assign(0), Ok(()));
    assert_eq!(assign(1), refused(1, "0..0"));
    append_text(&log, "a", &["1", "2", "3"]);
    assert_eq!(assign(3), Ok(()));
    assert_eq!(assign(4), refused(4, "0..3"));

    fs::remove_file(first_segment(&log)).expect("old input is dropped");
    assert_eq!(assign(4), refused(4, "1..3"));
    let mut source = EmbeddedSource::bounded(&log);
    source.assign(TOPIC, 0, 0).expect("0 is where the partition begins");
    assert_eq!(values(&source.poll(100, WAIT).expect("a poll")), "2 3");
    append_text(&log, "a", &["4"]);
    assert_eq!(log.ends(TOPIC).expect("ends"), BTreeMap::from([(0, 4)]));
}

#[test]
fn a_hole_between_segments_is_noticed() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 60);
    append_text(&log, "a", &["1", "2", "3"]);
    assert!(first_segment(&log).with_file_name("00000000000000000002.jsonl").exists());
    let text = fs::read_to_string(first_segment(&log)).expect("the segment");
    let (first, _) = text.split_once('\n').expect("two lines");
    fs::write(first_segment(&log), format!("{first}\n")).expect("a write");
    let mut source = EmbeddedSource::tail(&log);
    source.assign(TOPIC, 0, 0).expect("offset 0 exists");
    let error = source.poll(100, WAIT).expect_err("offset 1 is missing").to_string();
    assert!(error.ends_with("is damaged at byte 33: it ends before the next segment starts"), "{error}");
}

#[test]
fn damage_is_told_by_place_and_not_by_content() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 1 << 20);
    let check = |text: &str, expected: &str| {
        fs::write(first_segment(&log), text).expect("a write");
        let mut source = EmbeddedSource::tail(&log);
        source.assign(TOPIC, 0, 0).expect("offset 0 exists");
        let error = source.poll(1000, WAIT).expect_err("damage").to_string();
        assert_eq!(error, format!("{} is damaged at {expected}", first_segment(&log).display()));
    };
    let good = "{\"offset\":0,\"key\":\"a\",\"value\":1}\n";
    check("secret\n", "byte 0: not JSON from column 1 on");
    check(&format!("{good}{good}"), "byte 33: offset 0 stands where 1 is due");
    check(
        &format!("{good}{{\"offset\":1,\"key\":7,\"value\":\"secret\"}}\n"),
        "byte 33: column 19 is not what a record has there",
    );
}

#[test]
fn topics() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 3, 1 << 20);
    let check = |result: Result<(), LogError>, expected: &str| {
        assert_eq!(result.expect_err(expected).to_string(), expected);
    };
    log.create_topic(TOPIC, 3).expect("the topic is there already");
    assert_eq!(log.partitions(TOPIC).expect("a topic"), 3);
    check(
        log.create_topic(TOPIC, 4),
        "the topic clinical.notes.v1 has 3 partitions and cannot get 4, because keys would change their partition; \
         configure 3 partitions, or copy the topic into a new one",
    );
    check(
        log.partitions("nothing").map(|_| ()),
        "the log has no topic nothing; create it, or correct its name in the configuration",
    );
    check(
        EmbeddedSource::tail(&log).assign(TOPIC, 3, 0),
        "the topic clinical.notes.v1 has no partition 3, only 3 from 0 on; create it with as many partitions as the topic of \
         the notes",
    );
    for name in ["", ".", "..", "a/b", "a b", "é", &"a".repeat(250)] {
        assert!(matches!(log.create_topic(name, 1), Err(LogError::TopicName { .. })), "{name}");
    }
    std::thread::scope(|scope| {
        let creations = [(); 8].map(|()| scope.spawn(|| log.create_topic("raced", 2)));
        creations.into_iter().for_each(|creation| creation.join().expect("a thread").expect("one was first"));
    });
    let topics = fs::read_dir(log.dir().join("topics")).expect("a folder").count();
    assert_eq!(topics, 2, "nothing half made is left over");
}

#[test]
fn producers_do_not_step_on_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path(), 1, 200);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let log = &log;
            scope.spawn(move || {
                let mut producer = EmbeddedProducer::open(log, TOPIC).expect("a producer");
                for index in 0..20 {
                    append(&mut producer, &[(Some(name.into()), Some(index.to_string().into_bytes()))]);
                }
            });
        }
    });
    let mut source = EmbeddedSource::bounded(&log);
    source.assign(TOPIC, 0, 0).expect("offset 0 exists");
    let records = source.poll(1 << 20, WAIT).expect("a poll");
    for name in ["a", "b", "c"] {
        let of_name = records.iter().filter(|record| record.key.as_deref() == Some(name.as_bytes()));
        let expected = (0..20).map(|index| index.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(values(&of_name.cloned().collect::<Vec<_>>()), expected);
    }
}
