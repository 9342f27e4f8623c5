//! Records as text in, what they say or what is wrong with them as text out.

use super::*;
use crate::PlainJson;

fn record(topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
    Record {
        topic: Arc::from(topic),
        position: Position { partition: 3, offset: 7 },
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        ..Record::default()
    }
}

fn outcome(topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let config = DecodeConfig {
        notes: Arc::from("notes"),
        labels: Arc::from("labels"),
        models: Arc::from("models"),
        note_bytes_max: 200,
        wire: Arc::new(PlainJson),
    };
    match decode_or_letter(record(topic, key, value), &config) {
        Fork::On(Event::Of(OfNote::Note(NoteEvent::Revised(note)))) => {
            format!("note {} r{} {:?}", note.note.note_id, note.note.revision, note.note.text)
        }
        Fork::On(Event::Of(OfNote::Note(NoteEvent::Withdrawn { note_id, position }))) => {
            format!("withdrawn {note_id} at {}", position.offset)
        }
        Fork::On(Event::Of(OfNote::Note(NoteEvent::Restored { .. }))) => unreachable!("records restore nothing"),
        Fork::On(Event::Of(OfNote::Reference((key, (offset, reference))))) => {
            assert_eq!(key.partition, 3);
            let kind = if key.text_hash.is_some() { "label" } else { "reference" };
            let by = format!("{} by {} at {offset}", key.note_id, key.annotator);
            match reference {
                Some(reference) => format!("{kind} {by}, {} spans", reference.spans.len()),
                None => format!("no {kind} {by}"),
            }
        }
        Fork::On(Event::Activation(_)) => unreachable!("activations stand in partition 0"),
        Fork::Off(Output::DeadLettered { letter, state: None, .. }) => {
            assert_eq!((letter.partition, letter.offset, letter.stage), (3, 7, Stage::Decode));
            assert!(!letter.error.contains("fever"), "{} carries text", letter.error);
            assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (key, value), "not the original");
            letter.error
        }
        Fork::Off(other) => unreachable!("{other:?} is no dead letter"),
        Fork::Neither => unreachable!("every record comes to something"),
    }
}

fn check(key: &str, value: &str, expected: &str) {
    assert_eq!(outcome("notes", Some(key.as_bytes()), Some(value.as_bytes())), expected, "{value}");
}

fn check_reference(key: &str, value: &str, expected: &str) {
    assert_eq!(outcome("references", Some(key.as_bytes()), Some(value.as_bytes())), expected, "{value}");
}

#[test]
fn activations() {
    let check = |partition: u32, key: &str, value: Option<&str>, expected: &str| {
        let mut record = record("models", Some(key.as_bytes()), value.map(str::as_bytes));
        record.position.partition = partition;
        let found = decode_activation(&record).map_or_else(|error| error.to_string(), |activation| activation.model.0);
        assert_eq!(found, expected, "{value:?}");
    };
    let activation = concat!(
        r#"{"model":"a@1","weights_hash":"1f","previous":"b@2","cause":"rollback","#,
        r#""activated_at":"2026-11-26T21:00:00Z"}"#
    );
    check(0, "a@1", Some(activation), "a@1");
    let misplaced = "activations stand in partition 0, so that they are in one order; write it there";
    check(1, "a@1", Some(activation), misplaced);
    assert_eq!(outcome("models", Some(b"a@1"), Some(activation.as_bytes())), misplaced);
    check(0, "b@2", Some(activation), "the key of an activation must be its model; write it under that");
    check(0, "a@1", None, "an activation cannot be taken back; activate another student");
    check(0, "a@1", Some(r#"{"model":"a@1"}"#), "the field weights_hash is missing; add it");
    check(0, "a@1", Some("{"), "the value is not JSON: corrupt at line 1, column 1");
}

#[test]
fn notes() {
    check("n", r#"{"note_id":"n","text":"fever"}"#, r#"note n r0 "fever""#);
    check("n", r#"{"note_id":"n","revision":4,"text":"","site":null}"#, r#"note n r4 """#);
    check("n", r#"{"note_id":"n","text":"fever","colour":{"x":[1]}}"#, r#"note n r0 "fever""#);
    assert_eq!(outcome("notes", Some(b"n"), None), "withdrawn n at 7");
}

#[test]
fn damaged_notes() {
    check("n", r#"{"note_id":"n"}"#, "the field text is missing; add it");
    check("n", r#"{"text":"fever"}"#, "the field note_id is missing; add it");
    check("n", r#"{"note_id":"n","text":"fev"#, "the value is not JSON: corrupt at line 1, column 26");
    check("n", "{\n fever", "the value is not JSON: corrupt at line 2, column 2");
    check("n", "", "the value is not JSON: corrupt at line 1, column 0");
    check(
        "m",
        r#"{"note_id":"n","text":"fever"}"#,
        "the key differs from note_id; write the note under its own note_id",
    );
    check("", r#"{"note_id":"","text":"fever"}"#, "the key is empty; write the note under its note_id");
    let wrong = "a field has a value of the wrong type, or a name that is not known, at line 1, column ";
    check("n", r#"{"note_id":"n","revision":"fever","text":""}"#, &format!("{wrong}33"));
    check("n", r#"{"note_id":"n","revision":-1,"text":"fever"}"#, &format!("{wrong}28"));
    check("n", "null", &format!("{wrong}4"));
    let large = format!(r#"{{"note_id":"n","text":"{}"}}"#, "fever ".repeat(40));
    check("n", &large, "the record has 265 bytes, more than the 200 allowed; raise note_bytes_max or split the note");
    let bytes = b"{\"note_id\":\"n\",\"text\":\"fever \xff\"}";
    let expected = "the value is not valid UTF-8 from byte 29 on; write it as UTF-8";
    assert_eq!(outcome("notes", Some(b"n"), Some(bytes)), expected);
    let expected = "the record has no key; write it under the key of its topic";
    assert_eq!(outcome("notes", None, Some(br#"{"note_id":"n","text":"fever"}"#)), expected);
    assert_eq!(outcome("notes", None, Some(b"{}")), "the field note_id is missing; add it");
    assert_eq!(outcome("notes", None, None), expected);
    let expected = "the key is not valid UTF-8 from byte 1 on; write it as UTF-8";
    assert_eq!(outcome("notes", Some(b"n\xff"), None), expected);
}

#[test]
fn names_that_are_too_long() {
    let (long, note) = ("x".repeat(1025), |site: &str| format!(r#"{{"note_id":"n","text":"fever","site":"{site}"}}"#));
    let config = DecodeConfig {
        notes: Arc::from("notes"),
        labels: Arc::from("labels"),
        models: Arc::from("models"),
        note_bytes_max: 5000,
        wire: Arc::new(PlainJson),
    };
    let error = |key: &str, value: Option<&str>| {
        let record = record("notes", Some(key.as_bytes()), value.map(str::as_bytes));
        decode_note(&Arc::new(record), &config).unwrap_err().to_string()
    };
    let reference = |topic: &str, key: String, value: Option<String>| {
        let record = record(topic, Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
        decode_reference(&record, &config).unwrap_err().to_string()
    };
    let expected = "has 1025 bytes, more than the 1024 that ids and names may have; shorten it";
    assert_eq!(reference("labels", format!(r#"["n","a","{long}"]"#), None), format!("text_hash {expected}"));
    assert_eq!(reference("references", format!(r#"["n","{long}"]"#), None), format!("annotator {expected}"));
    let value = format!(r#"{{"note_id":"n","annotator":"a","text_hash":"{long}","tasks":[],"spans":[]}}"#);
    assert_eq!(reference("references", r#"["n","a"]"#.to_owned(), Some(value)), format!("text_hash {expected}"));
    assert_eq!(error("n", Some(&note(&long))), format!("site {expected}"));
    assert_eq!(error(&long, None), format!("the key {expected}"));
}

#[test]
fn references() {
    let value = |tasks: &str, spans: &str| {
        format!(r#"{{"note_id":"n","annotator":"a","text_hash":"h","tasks":[{tasks}],"spans":[{spans}]}}"#)
    };
    let key = r#"["n","a"]"#;
    assert_eq!(reference_key("n", "a"), key.as_bytes());
    let span = r#"{"task":"disease","start":1,"end":2}"#;
    check_reference(key, &value(r#""disease""#, span), "reference n by a at 7, 1 spans");
    check_reference(key, &value("", ""), "reference n by a at 7, 0 spans");
    assert_eq!(outcome("references", Some(key.as_bytes()), None), "no reference n by a at 7");

    let empty = r#"{"task":"disease","start":2,"end":2}"#;
    let spans = format!("{span},{empty}");
    let expected = "span 1 ends where it starts or before; correct its start and end";
    check_reference(key, &value(r#""disease""#, &spans), expected);
    let expected = "span 0 is of the task disease, which tasks does not list as annotated; add it there";
    check_reference(key, &value(r#""symptom""#, span), expected);
    let expected = "a field has a value of the wrong type, or a name that is not known, at line 1, column 66";
    check_reference(key, &value(r#""feverish""#, ""), expected);
    let expected = "the key of a reference must be the JSON array [note_id, annotator] of the reference";
    check_reference("n", &value("", ""), expected);
    check_reference(r#"["n","b"]"#, &value("", ""), expected);
    check_reference(r#"["n","a","h"]"#, &value("", ""), expected);
}

#[test]
fn labels() {
    let value = r#"{"note_id":"n","annotator":"t","text_hash":"h","tasks":["disease"],"spans":[{"task":"disease","start":1,"end":2}],"usd":0.1}"#;
    let key = label_key("n", "t", &TextHash("h".to_owned()));
    assert_eq!(key, br#"["n","t","h"]"#);
    assert_eq!(outcome("labels", Some(&key), Some(value.as_bytes())), "label n by t at 7, 1 spans");
    assert_eq!(outcome("labels", Some(&key), None), "no label n by t at 7");
    let expected = "the key of a label must be the JSON array [note_id, annotator, text_hash] of the label";
    for other in [r#"["n","t"]"#, r#"["n","t","g"]"#, r#"["n","u","h"]"#, r#"["m","t","h"]"#, "n"] {
        assert_eq!(outcome("labels", Some(other.as_bytes()), Some(value.as_bytes())), expected, "{other}");
    }
}
