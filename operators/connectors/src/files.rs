//! Files and folders of notes as a bounded source.
//!
//! Paths in, records of the topic [`FILES_TOPIC`] out, numbered in input order:
//! - a `.txt` file is one note, whose id is its path without the extension: below the folder when that alone is given, else as given;
//! - a `.jsonl` file holds a `note.v1` a line, passed on byte for byte; blank lines are skipped;
//! - `-` is such lines from stdin;
//! - a folder stands for the `.txt` and `.jsonl` files in it and below it, in the order of their names.
//!
//! A line that is no note, and a text that is not UTF-8, is passed on as it is: decoding makes a dead letter of it, and
//! [`Origins`] tells where it came from. One file is open at a time; of a folder, only the names are kept.

pub(crate) mod lines;
mod origins;
mod walk;

pub use origins::Origins;

use crate::disk::failed;
use crate::{LogError, Source};
use lines::{Line, Lines};
use origins::Place;
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stillroom_dataflow::{Position, Record};
use stillroom_schemas::Note;
use walk::{Input, Walk};

/// The topic of the records of a [`NoteFiles`]. It has one partition.
pub const FILES_TOPIC: &str = "files";

/// Up to this many bytes of `.jsonl` files are read to count the notes before the start.
const COUNT_BYTES_MAX: u64 = 256 << 20;

/// Notes from files, folders and stdin.
pub struct NoteFiles {
    paths: Vec<PathBuf>,
    topic: Arc<str>,
    walk: Walk,
    lines: Option<Lines>,
    /// The offset of the next record that is read.
    offset: u64,
    /// Records before this offset are skipped: they were done before a restart.
    skip_to: u64,
    origins: Origins,
    /// A record that was read and did not fit into the last poll.
    waiting: Option<Record>,
    is_paused: bool,
    is_at_end: bool,
}

/// What reading on gave.
enum Next {
    Record(Record),
    NotYet,
    End,
}

impl NoteFiles {
    /// The notes under `paths`.
    ///
    /// # Errors
    /// When a path does not exist or cannot hold notes.
    pub fn open(paths: &[PathBuf]) -> Result<NoteFiles, LogError> {
        Ok(NoteFiles {
            paths: paths.to_vec(),
            topic: Arc::from(FILES_TOPIC),
            walk: Walk::new(paths)?,
            lines: None,
            offset: 0,
            skip_to: 0,
            origins: Origins::default(),
            waiting: None,
            is_paused: false,
            is_at_end: false,
        })
    }

    /// Tells where a record came from; stays useful after the source has moved to a thread.
    pub fn origins(&self) -> Origins {
        self.origins.clone()
    }

    /// The number of records to come, for a progress bar: `None` when stdin or a pipe is among the paths, when there is too much to count
    /// quickly (256 MiB of JSON Lines), or when something cannot be read, which polling will report.
    pub fn count(&self) -> Option<u64> {
        let (mut count, mut bytes) = (0, 0);
        for input in Walk::new(&self.paths).ok()? {
            match input.ok()? {
                Input::Stdin => return None,
                Input::Text { .. } => count += 1,
                Input::Lines { path } => {
                    let metadata = fs::metadata(&path).ok()?;
                    bytes += metadata.len();
                    // What comes through a pipe can be read only once.
                    if bytes > COUNT_BYTES_MAX || !metadata.is_file() {
                        return None;
                    }
                    let (mut reader, mut line) = (BufReader::new(File::open(&path).ok()?), Vec::new());
                    while reader.read_until(b'\n', &mut line).ok()? > 0 {
                        count += u64::from(!line.trim_ascii().is_empty());
                        line.clear();
                    }
                }
            }
        }
        Some(count)
    }

    /// The next record; waits up to `wait` for whoever writes to stdin.
    fn read(&mut self, wait: Duration) -> Result<Next, LogError> {
        loop {
            match self.lines.as_mut().map(|lines| lines.next(wait)).transpose()? {
                Some(Line::Read { number, value }) => {
                    let path = self.lines.as_ref().map_or(Path::new(""), Lines::path);
                    self.origins.note(self.offset, Place { path, line: Some(number) });
                    return Ok(Next::Record(self.record(key_of_line(&value), value)));
                }
                Some(Line::NotYet) => return Ok(Next::NotYet),
                Some(Line::End) | None => self.lines = None,
            }
            match self.walk.next().transpose()? {
                None => return Ok(Next::End),
                Some(Input::Text { path, note_id }) => {
                    let text = fs::read(&path).map_err(failed("read", &path))?;
                    self.origins.note(self.offset, Place { path: &path, line: None });
                    let record = self.record(Some(note_id.clone().into_bytes()), value_of_text(note_id, text));
                    return Ok(Next::Record(record));
                }
                Some(Input::Lines { path }) => self.lines = Some(Lines::of_file(path)?),
                Some(Input::Stdin) => self.lines = Some(Lines::live("stdin".into(), std::io::stdin())?),
            }
        }
    }

    fn record(&mut self, key: Option<Vec<u8>>, value: Vec<u8>) -> Record {
        let position = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        Record { topic: self.topic.clone(), position, key, value: Some(value), headers: Vec::new() }
    }

    fn is_mine(topic: &str, partition: u32) -> Result<(), LogError> {
        match (topic, partition) {
            (FILES_TOPIC, 0) => Ok(()),
            (FILES_TOPIC, _) => Err(LogError::NoPartition { topic: topic.to_owned(), partition, partitions: 1 }),
            _ => Err(LogError::NoTopic { topic: topic.to_owned() }),
        }
    }
}

impl Source for NoteFiles {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        NoteFiles::is_mine(topic, 0).map(|()| 1)
    }

    /// Only before the first poll: files are read once, from front to back.
    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        self.skip_to = next;
        NoteFiles::is_mine(topic, partition)
    }

    /// Files are there, so nothing is waited for but stdin.
    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        if self.is_paused {
            // Whoever polls a paused source has asked to be kept waiting.
            std::thread::sleep(wait);
            return Ok(Vec::new());
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while !self.is_at_end {
            let next = match self.waiting.take() {
                Some(record) => Next::Record(record),
                None => self.read(if records.is_empty() { wait } else { Duration::ZERO })?,
            };
            let record = match next {
                Next::Record(record) => record,
                Next::NotYet => break,
                Next::End => {
                    self.is_at_end = true;
                    break;
                }
            };
            if record.position.offset < self.skip_to {
                continue;
            }
            bytes += record.bytes();
            if bytes > bytes_max && !records.is_empty() {
                self.waiting = Some(record);
                break;
            }
            records.push(record);
        }
        if self.is_at_end && self.offset < self.skip_to {
            let (next, high) = (self.skip_to, self.offset);
            return Err(LogError::OffsetOutOfRange { topic: FILES_TOPIC.to_owned(), partition: 0, next, low: 0, high });
        }
        Ok(records)
    }

    fn pause(&mut self) {
        self.is_paused = true;
    }

    fn resume(&mut self) {
        self.is_paused = false;
    }

    fn is_finished(&self) -> bool {
        self.is_at_end
    }
}

/// The record for a text file: a `note.v1`, or the bytes themselves when they are no text, for decoding to refuse.
fn value_of_text(note_id: String, text: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(text) {
        Ok(text) => {
            let note =
                Note { note_id, patient_id: None, revision: 0, note_type: None, site: None, signed_at: None, text };
            serde_json::to_vec(&note).expect("a note is JSON")
        }
        Err(error) => error.into_bytes(),
    }
}

/// The note's id if the line has one; decoding says what is wrong with a line that has none.
fn key_of_line(line: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct NoteId<'a> {
        #[serde(borrow)]
        note_id: Cow<'a, str>,
    }
    serde_json::from_slice::<NoteId>(line).ok().map(|note| note.note_id.into_owned().into_bytes())
}
