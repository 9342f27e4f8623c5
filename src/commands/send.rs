//! `stillroom send`: notes of files onto the stream.

use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::config::Config;
use crate::inputs::InputArgs;
use crate::log::{open_log, plan_topics};
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use stillroom_connectors::{Appended, Appender, FILES_TOPIC, Log, NoteFiles, Origins, Source};
use stillroom_dataflow::{NAME_BYTES_MAX, Record};
use stillroom_schemas::Note;

/// Bytes of records that are read, or sent, at once.
const BATCH_BYTES: usize = 4 << 20;

/// What a record takes on Kafka beside its key and its value, in a batch of its own: 61 bytes of the batch and some of lengths.
const RECORD_FRAME_BYTES: usize = 128;

/// Arguments of `send`.
#[derive(Args)]
pub(crate) struct SendNotes {
    /// Folders, .txt files (a note each), .jsonl files (a note a line: {"note_id", "text", …}), .csv, .parquet, .ndjson and .json (FHIR)
    /// and .hl7 files, or - for JSON Lines on stdin.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print what would be sent as JSON Lines, which other commands read, and send nothing. A line with "withdrawn" is a tombstone.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What became of the records of files.
#[derive(Default)]
struct Sent {
    notes: u64,
    withdrawals: u64,
    left_out: u64,
}

impl SendNotes {
    pub(crate) fn run(self) -> Result<ExitCode> {
        self.inputs.check(&self.paths)?;
        let config = self.config.load()?.config;
        let mut files = NoteFiles::open_as(&self.paths, self.inputs.formats()?)?;
        files.assign(FILES_TOPIC, 0, 0)?;
        let mut bounds = Bounds { note_bytes_max: config.engine.note_bytes_max, topic_bytes_max: None };
        let mut outlet = if self.dry_run { Outlet::Lines } else { Outlet::open(&config, &mut bounds)? };
        let (mut sent, origins) = (Sent::default(), files.origins());
        while !files.is_finished() {
            let mut batch = Vec::new();
            for record in files.poll(BATCH_BYTES, Duration::from_millis(100))? {
                batch.extend(sent.check(record, &origins, bounds));
            }
            outlet.send(&batch)?;
        }
        let Sent { notes, withdrawals, left_out } = sent;
        let done = if self.dry_run { "would be sent" } else { "sent" };
        eprintln!("{notes} notes and {withdrawals} withdrawals {done}, {left_out} left out");
        if !self.dry_run {
            print_line(json!({ "notes": notes, "withdrawals": withdrawals, "left_out": left_out }))?;
        }
        Ok(if left_out > 0 { some_dead_lettered() } else { ExitCode::SUCCESS })
    }
}

impl Sent {
    /// The record as it is to be sent; one that would be a dead letter, or that the topic does not take, is said and left out.
    fn check(&mut self, record: Record, origins: &Origins, bounds: Bounds) -> Option<Appended> {
        let offset = record.position.offset;
        let checked = match (origins.refusal(offset), record.value) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(value)) => bounds.key_of(&value).map(|key| (key, Some(value))),
            (None, None) => {
                let key = record.key.unwrap_or_default();
                check_names([("note_id", Some(key.len()))]).map(|()| (key, None))
            }
        };
        match checked {
            Ok((key, value)) => {
                match value {
                    Some(_) => self.notes += 1,
                    None => self.withdrawals += 1,
                }
                Some(Appended { key: Some(key), value, ..Appended::default() })
            }
            Err(reason) => {
                self.left_out += 1;
                eprintln!("{}: left out, {reason}", origins.of(offset));
                None
            }
        }
    }
}

/// Bytes that a note may have.
#[derive(Clone, Copy)]
struct Bounds {
    /// Of its value.
    note_bytes_max: usize,
    /// Of its record, where the topic has a bound that is known.
    topic_bytes_max: Option<usize>,
}

impl Bounds {
    /// The key of the note that a value holds, or why it is not sent.
    fn key_of(self, value: &[u8]) -> Result<Vec<u8>, String> {
        let (bytes, Bounds { note_bytes_max, topic_bytes_max }) = (value.len(), self);
        if bytes > note_bytes_max {
            return Err(format!("has {bytes} bytes, more than the {note_bytes_max} of engine.note_bytes_max"));
        }
        // What the parser says may quote the text.
        let note = serde_json::from_slice::<Note>(value);
        let note = note.map_err(|error| format!("not a note from column {} on", error.column()))?;
        let length = |name: &Option<String>| name.as_ref().map(String::len);
        check_names([
            ("note_id", Some(note.note_id.len())),
            ("patient_id", length(&note.patient_id)),
            ("note_type", length(&note.note_type)),
            ("site", length(&note.site)),
        ])?;
        let of_record = bytes + note.note_id.len() + RECORD_FRAME_BYTES;
        match topic_bytes_max.filter(|bytes_max| of_record > *bytes_max) {
            None => Ok(note.note_id.into_bytes()),
            Some(bytes_max) => Err(format!(
                "has {bytes} bytes, too many for the {bytes_max} of the topic's max.message.bytes; raise that with kafka-configs --alter"
            )),
        }
    }
}

/// Refuses an empty id, and names that are too long, by the length of each that is there.
fn check_names<const N: usize>(names: [(&str, Option<usize>); N]) -> Result<(), String> {
    for (field, bytes) in names {
        match bytes {
            Some(0) if field == "note_id" => return Err("note_id is empty; give the note an id".to_owned()),
            Some(bytes) if bytes > NAME_BYTES_MAX => {
                return Err(format!(
                    "{field} has {bytes} bytes, more than the {NAME_BYTES_MAX} that it may have; shorten it"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of a record that the topic of the notes takes; not known where records are compressed, as it bounds what they come to.
fn topic_bytes_max(config: &Config, log: &dyn Log) -> Result<Option<usize>> {
    let codec = |property: &str| config.kafka.properties.get(property).is_some_and(|codec| codec != "none");
    let is_compressed = ["compression.type", "compression.codec"].into_iter().any(codec);
    if is_compressed { Ok(None) } else { Ok(log.record_bytes_max(&config.engine.topics.notes)?) }
}

/// Where records go.
enum Outlet {
    /// To stdout.
    Lines,
    /// To the topic of notes.
    Topic(Box<dyn Appender>),
}

impl Outlet {
    /// The topic of notes, which is created where that is allowed; `bounds` become those of the topic.
    fn open(config: &Config, bounds: &mut Bounds) -> Result<Outlet> {
        ensure!(
            config.registry.url.is_empty() || config.registry.accept_plain,
            "notes are sent as plain JSON, which would be dead letters; set [registry] accept_plain = true"
        );
        let log = open_log(config)?;
        let topic = &config.engine.topics.notes;
        let mut plans = plan_topics(config, log.as_ref())?;
        plans.retain(|plan| plan.name == *topic);
        log.prepare(&plans)?;
        bounds.topic_bytes_max = topic_bytes_max(config, log.as_ref())?;
        Ok(Outlet::Topic(log.appender(topic)?))
    }

    fn send(&mut self, batch: &[Appended]) -> Result<()> {
        match self {
            Outlet::Topic(_) if batch.is_empty() => Ok(()),
            Outlet::Topic(appender) => appender
                .append(batch)
                .context("some notes may have been sent; send them all again, which changes nothing"),
            Outlet::Lines => batch.iter().try_for_each(|Appended { key, value, .. }| {
                let note_id = String::from_utf8_lossy(key.as_deref().unwrap_or_default());
                match value {
                    Some(value) => print_line(String::from_utf8_lossy(value)),
                    None => print_line(json!({ "note_id": note_id, "withdrawn": true })),
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what is said of a note with an id and a text of so many letters, whose record may have 3000 bytes on the topic.
    fn check((id, text): (usize, usize), note_bytes_max: usize, expected: Option<&str>) {
        let bounds = Bounds { note_bytes_max, topic_bytes_max: Some(3000) };
        let note = json!({ "note_id": "i".repeat(id), "text": "zebra".repeat(text.div_ceil(5)) });
        match (bounds.key_of(note.to_string().as_bytes()), expected) {
            (Ok(key), None) => assert_eq!(key.len(), id),
            (Err(said), Some(expected)) => assert!(said.contains(expected) && !said.contains("zebra"), "{said}"),
            (said, _) => panic!("{said:?} of an id of {id} and a text of {text}, not {expected:?}"),
        }
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        check((1, 5), 10_000, None);
        check((1, 2700), 10_000, None);
        check((1, 3000), 10_000, Some("max.message.bytes"));
        check((1, 2700), 2000, Some("more than the 2000 of engine.note_bytes_max"));
        check((1024, 5), 10_000, None);
        check((1025, 5), 10_000, Some("note_id has 1025 bytes, more than the 1024"));
        check((0, 5), 10_000, Some("give the note an id"));
    }
}
