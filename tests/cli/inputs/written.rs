//! The same notes, as systems of hospitals write them.

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use std::sync::Arc;
use stillroom_schemas::Note;

/// 07:30 on 27 November 2026, UTC: revisions are seconds, as messages have no others.
const SECOND: u64 = 1_795_764_600;

/// Three notes, with what formats need to escape.
pub(super) fn notes() -> Vec<Note> {
    let texts = [
        "severe angina , on \"aspirin\"\nand nausea; 5 mg | 2^nd & \\ ~ rash",
        "\u{1f912} fi\u{e8}vre , severe asthma",
        "no fever , or cough\n\non warfarin",
    ];
    let note = |(number, text): (u64, &str)| Note {
        note_id: format!("doc-{number}"),
        patient_id: Some(format!("p{number}")),
        revision: SECOND + number,
        note_type: Some("DS".to_owned()),
        site: Some("north".to_owned()),
        signed_at: Some("2026-11-27T07:00:00Z".to_owned()),
        text: text.to_owned(),
    };
    (1..).zip(texts).map(note).collect()
}

/// A line a note.
pub(super) fn jsonl(notes: &[Note]) -> String {
    notes.iter().map(|note| serde_json::to_string(note).unwrap() + "\n").collect()
}

/// With columns that a site has named.
pub(super) fn csv(notes: &[Note]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["BODY", "NOTE_KEY", "PAT", "VERSION", "KIND", "WARD", "SIGNED"]).unwrap();
    for note in notes {
        let of = |value: &Option<String>| value.clone().unwrap_or_default();
        let [patient, kind, site, signed] = [&note.patient_id, &note.note_type, &note.site, &note.signed_at].map(of);
        let revision = note.revision.to_string();
        writer.write_record([&note.text, &note.note_id, &patient, &revision, &kind, &site, &signed]).unwrap();
    }
    writer.into_inner().unwrap()
}

/// With the usual columns.
pub(super) fn parquet(notes: &[Note]) -> Vec<u8> {
    let texts = |of: fn(&Note) -> Option<&str>| Arc::new(notes.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let revisions = UInt64Array::from_iter_values(notes.iter().map(|note| note.revision));
    let columns = [
        ("note_id", texts(|note| Some(&note.note_id))),
        ("text", texts(|note| Some(&note.text))),
        ("patient_id", texts(|note| note.patient_id.as_deref())),
        ("note_type", texts(|note| note.note_type.as_deref())),
        ("site", texts(|note| note.site.as_deref())),
        ("signed_at", texts(|note| note.signed_at.as_deref())),
        ("revision", Arc::new(revisions) as ArrayRef),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn document(note: &Note) -> Value {
    json!({
        "resourceType": "DocumentReference",
        "id": note.note_id,
        "meta": {"versionId": note.revision.to_string()},
        "status": "current",
        "type": {"coding": [{"code": note.note_type}]},
        "subject": {"reference": format!("Patient/{}", note.patient_id.as_deref().unwrap())},
        "custodian": {"reference": format!("Organization/{}", note.site.as_deref().unwrap())},
        "date": note.signed_at,
        "content": [{"attachment": {"contentType": "text/plain", "data": STANDARD.encode(&note.text)}}],
    })
}

/// A document a line.
pub(super) fn ndjson(notes: &[Note]) -> String {
    notes.iter().map(|note| document(note).to_string() + "\n").collect()
}

/// All in one bundle.
pub(super) fn bundle(notes: &[Note]) -> String {
    let entries: Vec<Value> = notes.iter().map(|note| json!({"resource": document(note)})).collect();
    serde_json::to_string_pretty(&json!({"resourceType": "Bundle", "type": "collection", "entry": entries})).unwrap()
}

/// A message on the note's document.
pub(super) fn message(event: &str, note: &Note) -> String {
    let second = note.revision - SECOND;
    let mut message = format!(
        "MSH|^~\\&|EPIC|{}|||20261127073{second:03}+0000||MDM^{event}|MSG{second}|P|2.5\r\
         PID|1||{}\r\
         TXA|1|{}|TX|20261127070000+0000||||||||{}\r",
        note.site.as_deref().unwrap(),
        note.patient_id.as_deref().unwrap(),
        note.note_type.as_deref().unwrap(),
        note.note_id,
    );
    for (line, number) in note.text.split('\n').zip(1..) {
        // The escape character first, as the others are written with it.
        let escaped = [('\\', 'E'), ('|', 'F'), ('^', 'S'), ('&', 'T'), ('~', 'R')];
        let escaped = escaped.into_iter().fold(line.to_owned(), |line, (delimiter, name)| match delimiter {
            '\\' => line.replace('\\', "\\E\\"),
            _ => line.replace(delimiter, &format!("\\{name}\\")),
        });
        message += &format!("OBX|{number}|TX|||{escaped}\r");
    }
    message
}
