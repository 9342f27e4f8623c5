//! A source that holds records back, while its registry fails and the engine pauses it.

use crate::server::Server;
use crate::support::{Log, PATIENCE, avro, config_of, connect, drain, framed, framed_avro, misbehaving};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillroom_connectors::Source;
use stillroom_registry::{RegistryFormat, RegistrySource};
use stillroom_schemas::avro::NOTE;

/// A note under a schema that is registered, `count` times, then values under each of `ids`; and a source of all, with its log.
fn source_of(server: &Server, count: usize, ids: &[u32]) -> (Log, RegistrySource) {
    let registry = connect(&config_of(server));
    let id = registry.register("notes-value", &avro(NOTE)).expect("it can be registered");
    let log = Log::create("notes");
    let note = |n| framed_avro(id, NOTE, &format!(r#"{{"note_id":"{n}","text":"t"}}"#));
    let notes = (0..count).map(note);
    log.produce(&notes.chain(ids.iter().map(|&id| framed(id, b""))).collect::<Vec<_>>());
    let format = Arc::new(RegistryFormat::new(registry, ["notes"], false));
    server.state().requests.clear();
    let source = RegistrySource::new(log.source(), format);
    (log, source)
}

/// Polls until so many requests have come to the server, and gets nothing.
fn poll_until(source: &mut RegistrySource, server: &Server, requests: usize) {
    let deadline = Instant::now() + PATIENCE;
    while server.state().requests.len() < requests {
        assert!(Instant::now() < deadline, "the registry is not asked");
        assert_eq!(source.poll(1 << 20, Duration::from_millis(10)).expect("a poll"), []);
    }
}

#[test]
fn a_registry_that_is_down_loses_and_reorders_nothing() {
    let Some(server) = misbehaving() else { return };
    let (_log, mut source) = source_of(&server, 5, &[]);
    server.state().failing = Some(503);
    poll_until(&mut source, &server, 3);
    assert!(!source.is_finished(), "five records are held");

    server.state().failing = None;
    let offsets: Vec<_> = drain(&mut source).iter().map(|record| record.position.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

#[test]
fn a_paused_source_delivers_nothing_and_asks_on() {
    let Some(server) = misbehaving() else { return };
    let (_log, mut source) = source_of(&server, 2, &[]);
    server.state().failing = Some(429);
    poll_until(&mut source, &server, 1);
    source.pause();
    server.state().failing = None;
    let asked = server.state().requests.len();
    poll_until(&mut source, &server, asked + 1);
    // The schema is known by now or will be in a moment; neither matters while the source is paused.
    for _ in 0..5 {
        assert_eq!(source.poll(1 << 20, Duration::from_millis(10)).expect("a poll"), []);
        assert!(!source.is_finished());
    }
    source.resume();
    assert_eq!(drain(&mut source).len(), 2);
}

#[test]
fn each_schema_is_asked_for_once() {
    let Some(server) = misbehaving() else { return };
    let (_log, mut source) = source_of(&server, 3, &[77, 77, 78]);
    assert_eq!(drain(&mut source).len(), 6);
    assert_eq!(server.state().requests, ["GET /schemas/ids/1", "GET /schemas/ids/77", "GET /schemas/ids/78"]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Poll { bytes_max: usize },
    Pause,
    Resume,
    Fail(u16),
    Heal,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1usize..60).prop_map(|bytes_max| Step::Poll { bytes_max }),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => prop::sample::select(vec![401, 429, 503]).prop_map(Step::Fail),
        2 => Just(Step::Heal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever happens on the way, what comes out is what went in.
    #[test]
    fn everything_comes_once_and_in_order(
        count in 0usize..6,
        ids in prop::collection::vec(50u32..54, 0..10),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let Some(server) = misbehaving() else { return Ok(()) };
        let (_log, mut source) = source_of(&server, count, &ids);
        let (mut records, mut is_paused) = (Vec::new(), false);
        for step in steps {
            match step {
                Step::Poll { bytes_max } => {
                    let polled = source.poll(bytes_max, Duration::from_millis(3)).expect("a poll");
                    prop_assert!(!is_paused || polled.is_empty(), "delivered while paused");
                    records.extend(polled);
                }
                Step::Pause => source.pause(),
                Step::Resume => source.resume(),
                Step::Fail(status) => server.state().failing = Some(status),
                Step::Heal => server.state().failing = None,
            }
            is_paused = matches!(step, Step::Pause) || is_paused && !matches!(step, Step::Resume);
        }
        server.state().failing = None;
        source.resume();
        records.extend(drain(&mut source));
        prop_assert!(records.iter().map(|record| record.position.offset).eq(0..(count + ids.len()) as u64));
        let named = records[count..].iter().map(|record| record.value.clone().expect("no tombstone"));
        prop_assert!(named.eq(ids.iter().map(|&id| framed(id, b""))));
    }
}
