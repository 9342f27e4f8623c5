//! Where texts stand, and what a part has of them.

use super::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use stillroom_connectors::{Appended, EmbeddedLog};
use stillroom_formats::Writer;
use stillroom_schemas::{Extraction, ModelId, NoteState, Prediction, TextHash};

/// A log with a partition of states and of notes.
fn log(folder: &Path) -> EmbeddedLog {
    let log = EmbeddedLog::open(folder.join("log")).unwrap();
    for topic in ["states", "notes"] {
        log.create_topic(topic, 1).unwrap();
    }
    log
}

/// Appends values under the keys of their notes.
fn append(log: &EmbeddedLog, topic: &str, values: &[Value]) {
    let record = |value: &Value| Appended {
        key: Some(value["note_id"].as_str().unwrap().into()),
        value: Some(value.to_string().into()),
        ..Appended::default()
    };
    log.append(topic, &values.iter().map(record).collect::<Vec<_>>()).unwrap();
}

/// The state of a note whose record, at this offset, has this text.
fn state(note_id: &str, text: &str, offset: u64) -> Value {
    let prediction = Prediction {
        model: ModelId("s@1".to_owned()),
        text_hash: TextHash::of(text),
        note_type: None,
        site: None,
        words: Vec::new(),
        spans: Vec::new(),
    };
    let state = NoteState {
        note_id: note_id.to_owned(),
        revision: 0,
        offset,
        prediction: Some(prediction),
        interpretation: None,
        facts: None,
        dead_lettered: None,
    };
    serde_json::to_value(state).unwrap()
}

fn extraction(note_id: &str, text: &str) -> Extraction {
    let record = json!({
        "note_id": note_id, "revision": 0, "text_hash": TextHash::of(text), "model": "s@1", "offset_unit": "code_point",
        "coverage": { "words": 1, "word_pieces": 1, "windows": 1 }, "entities": [],
    });
    serde_json::from_value(record).unwrap()
}

/// Notes by offset, how many are superseded, those that are not known, and from where on is searched next.
type Found = (Vec<(u64, String)>, u64, Vec<String>, u64);

/// Where the texts of notes stand, by states that are searched from here on.
fn found(log: &EmbeddedLog, extracted: &[(&str, &str)], from: u64) -> Found {
    let extracted = extracted.iter().map(|(id, text)| ((0, (*id).to_owned()), extraction(id, text)));
    let stop = AtomicBool::new(false);
    let (from, at_once) = (Offsets::from([(0, from)]), Duration::ZERO);
    let located = locate((log, "states"), extracted.collect(), &from, at_once, &stop).unwrap().unwrap();
    let wanted = located.wanted.into_values().flatten().map(|(offset, extraction)| (offset, extraction.note_id));
    (wanted.collect(), located.superseded, located.unknown, located.states[&0])
}

#[test]
fn the_state_with_the_text_says_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path());
    let states = [state("a", "old", 3), state("b", "b", 4), state("a", "new", 7), state("c", "amended", 9)];
    append(&log, "states", &states);
    let named =
        |notes: &[(u64, &str)]| notes.iter().map(|(offset, id)| (*offset, (*id).to_owned())).collect::<Vec<_>>();
    assert_eq!(found(&log, &[("a", "old")], 0), (named(&[(3, "a")]), 0, vec![], 1));
    assert_eq!(found(&log, &[("a", "new"), ("b", "b")], 1), (named(&[(4, "b"), (7, "a")]), 0, vec![], 3));
    // Of the one a later text is known, and of the other nothing.
    assert_eq!(found(&log, &[("c", "c"), ("b", "b")], 0), (named(&[(4, "b")]), 1, vec![], 2));
    assert_eq!(found(&log, &[("d", "d")], 0), (vec![], 0, vec!["d".to_owned()], 0));
    // The search went on from too far.
    assert_eq!(found(&log, &[("b", "b")], 3), (named(&[(4, "b")]), 0, vec![], 3));
}

#[test]
fn a_state_that_comes_to_be_seen_after_its_extraction_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path());
    append(&log, "states", &[state("a", "old", 3)]);
    let extracted = ["a", "b"].map(|id| ((0, id.to_owned()), extraction(id, "new")));
    let (stop, from) = (AtomicBool::new(false), Offsets::from([(0, 0)]));
    std::thread::scope(|scope| {
        let (topic, from, stop) = ((&log as &dyn Log, "states"), &from, &stop);
        let located = scope.spawn(move || locate(topic, extracted.into(), from, Duration::from_secs(60), stop));
        // Nothing tells that the first look is over; were it not, the test would prove less and not fail.
        std::thread::sleep(Duration::from_millis(300));
        append(&log, "states", &[state("a", "new", 7)]);
        append(&log, "states", &[state("b", "new", 9)]);
        let Located { wanted, superseded, unknown, .. } = located.join().unwrap().unwrap().unwrap();
        assert_eq!(wanted[&0].keys().copied().collect::<Vec<_>>(), [7, 9]);
        assert_eq!((superseded, unknown), (0, Vec::<String>::new()));
    });
}

#[test]
fn no_extraction_is_written_with_another_text() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path());
    let notes = [("a", "zebra a"), ("b", "zebra changed"), ("c", "zebra c")];
    append(&log, "notes", &notes.map(|(id, text)| json!({ "note_id": id, "text": text })));
    let wanted = BTreeMap::from([
        (0, extraction("a", "zebra a")),
        (1, extraction("b", "zebra b")),
        (2, extraction("another", "zebra c")),
        (9, extraction("expired", "zebra d")),
    ]);
    let begin = |path: &Path| -> Result<Box<dyn Writer>> { Ok(Box::new(LinesWriter::create(path)?)) };
    let format = ExportFormat { name: "jsonl", result: "extractions.jsonl", begin: Box::new(begin) };
    let parts = Folder::open(&folder.path().join("out")).unwrap();
    let mut part = Part::begin(parts.begin().unwrap(), &format).unwrap();
    let topic = NotesTopic { log: &log, wire: &Wire::Plain, name: "notes" };
    assert!(part.write(topic, BTreeMap::from([(0, wanted)]), &AtomicBool::new(false)).unwrap());
    let (draft, counts) = part.finish(vec![("w".to_owned(), None)]).unwrap();
    let expected = Counts { notes: 1, withdrawn: 1, left_out: 3, ..Counts::default() };
    assert_eq!(counts, expected);
    let read = |name: &str| fs::read_to_string(draft.path().join(name)).unwrap();
    let ids = |name: &str| -> Vec<String> {
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["note_id"].as_str().unwrap().to_owned();
        read(name).lines().map(id).collect()
    };
    assert_eq!(ids("extractions.jsonl"), ["a"]);
    assert_eq!(ids("left_out.jsonl"), ["another", "b", "expired"]);
    assert_eq!(read("withdrawn.jsonl"), "{\"note_id\":\"w\"}\n");
    assert!(!read("left_out.jsonl").contains("zebra"));
}
