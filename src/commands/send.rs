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
use stillroom_connectors::{Appended, Appender, FILES_TOPIC, NoteFiles, Origins, Source};
use stillroom_dataflow::Record;
use stillroom_schemas::Note;

/// Bytes of records that are read, or sent, at once.
const BATCH_BYTES: usize = 4 << 20;

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
        let mut outlet = if self.dry_run { Outlet::Lines } else { Outlet::open(&config)? };
        let (mut sent, origins) = (Sent::default(), files.origins());
        while !files.is_finished() {
            let mut batch = Vec::new();
            for record in files.poll(BATCH_BYTES, Duration::from_millis(100))? {
                batch.extend(sent.check(record, &origins, config.engine.note_bytes_max));
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
    /// The record as it is to be sent; one that would be a dead letter is said and left out.
    fn check(&mut self, record: Record, origins: &Origins, note_bytes_max: usize) -> Option<Appended> {
        let offset = record.position.offset;
        let checked = match (record.key, record.value) {
            (Some(key), None) if !key.is_empty() => Ok((key, None)),
            (_, None) => Err("note_id is empty; give the note an id".to_owned()),
            (_, Some(value)) => match (origins.refusal(offset), serde_json::from_slice::<Note>(&value)) {
                (Some(refusal), _) => Err(refusal),
                (None, _) if value.len() > note_bytes_max => {
                    let bytes = value.len();
                    Err(format!("has {bytes} bytes, more than the {note_bytes_max} of engine.note_bytes_max"))
                }
                (None, Ok(note)) if note.note_id.is_empty() => Err("note_id is empty; give the note an id".to_owned()),
                (None, Ok(note)) => Ok((note.note_id.into_bytes(), Some(value))),
                // What the parser says may quote the text.
                (None, Err(error)) => Err(format!("not a note from column {} on", error.column())),
            },
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

/// Where records go.
enum Outlet {
    /// To stdout.
    Lines,
    /// To the topic of notes.
    Topic(Box<dyn Appender>),
}

impl Outlet {
    /// The topic of notes, which is created where that is allowed.
    fn open(config: &Config) -> Result<Outlet> {
        ensure!(
            config.registry.url.is_empty() || config.registry.accept_plain,
            "notes are sent as plain JSON, which would be dead letters; set [registry] accept_plain = true"
        );
        let log = open_log(config)?;
        let topic = &config.engine.topics.notes;
        let mut plans = plan_topics(config, log.as_ref())?;
        plans.retain(|plan| plan.name == *topic);
        log.prepare(&plans)?;
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
