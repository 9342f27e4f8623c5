//! Files and folders of notes as a bounded source.
//!
//! Paths in, records of the topic [`FILES_TOPIC`] out, numbered in input order:
//! - a `.txt` file is one note, whose id is its path without the extension: below the folder when that alone is given, else as given;
//! - a `.jsonl` file holds a `note.v1` a line, passed on byte for byte; blank lines are skipped; a line that has `"withdrawn": true`
//!   is a tombstone of its `note_id`;
//! - `-` is such lines from stdin;
//! - a folder stands for the `.txt` and `.jsonl` files in it and below it, in the order of their names.
//!
//! Others may be read by [`NoteFormats`], which also says which files are taken at all.
//!
//! A line that is no note, and a text that is not UTF-8, is passed on as it is: decoding makes a dead letter of it, and
//! [`Origins`] tells where it came from. So it is with a part of a file in another format that cannot be read: its record has an empty
//! value, and [`Origins::refusal`] tells why. One file is open at a time; of a folder, only the names are kept.

mod formats;
pub(crate) mod lines;
mod origins;
mod walk;
mod withdrawals;

pub use formats::{FileKind, FilePart, FileParts, FileSaid, NoteFormats, PlainNotes};
pub use origins::Origins;
pub use withdrawals::Withdrawals;

use crate::disk::failed;
use crate::{LogError, Source};
use formats::open_found;
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
    formats: Arc<dyn NoteFormats>,
    topic: Arc<str>,
    walk: Walk,
    lines: Option<Lines>,
    /// The file in a format of others that is being read.
    parts: Option<(PathBuf, FileParts)>,
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
        NoteFiles::open_as(paths, Arc::new(PlainNotes))
    }

    /// The notes under `paths`, in whatever `formats` reads.
    ///
    /// # Errors
    /// When a path does not exist or cannot hold notes, or a file that was named is not of its format.
    pub fn open_as(paths: &[PathBuf], formats: Arc<dyn NoteFormats>) -> Result<NoteFiles, LogError> {
        Ok(NoteFiles {
            paths: paths.to_vec(),
            walk: Walk::new(paths, Arc::clone(&formats))?,
            formats,
            topic: Arc::from(FILES_TOPIC),
            lines: None,
            parts: None,
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

    /// Which notes later records of the same files withdraw; `None` where stdin or a pipe is among the paths, which are read once. It
    /// reads all that can withdraw a note.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn withdrawals(&self) -> Result<Option<Withdrawals>, LogError> {
        Withdrawals::read(&self.paths, &self.formats)
    }

    /// The number of records to come, for a progress bar: `None` when stdin, a pipe or a file in a format of others is among the paths,
    /// when there is too much to count quickly (256 MiB of JSON Lines), or when something cannot be read, which polling will report.
    pub fn count(&self) -> Option<u64> {
        let (mut count, mut bytes) = (0, 0);
        for input in Walk::new(&self.paths, Arc::clone(&self.formats)).ok()? {
            match input.ok()? {
                Input::Stdin | Input::Other { .. } => return None,
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
            if let Some((path, mut parts)) = self.parts.take()
                && let Some(part) = parts.next().transpose()?
            {
                let record = self.record_of_part(&path, part);
                self.parts = Some((path, parts));
                return Ok(Next::Record(record));
            }
            match self.lines.as_mut().map(|lines| lines.next(wait)).transpose()? {
                Some(Line::Read { number, value }) => {
                    let path = self.lines.as_ref().map_or(Path::new(""), Lines::path);
                    self.origins.note(self.offset, Place { path, part: Some(("line", number)), refusal: None });
                    let (key, is_withdrawn) = said_by_line(&value);
                    return Ok(Next::Record(self.record(key, Some(value).filter(|_| !is_withdrawn))));
                }
                Some(Line::NotYet) => return Ok(Next::NotYet),
                Some(Line::End) | None => self.lines = None,
            }
            match self.walk.next().transpose()? {
                None => return Ok(Next::End),
                Some(Input::Text { path, note_id }) => {
                    let text = fs::read(&path).map_err(failed("read", &path))?;
                    self.origins.note(self.offset, Place { path: &path, part: None, refusal: None });
                    let record = self.record(Some(note_id.clone().into_bytes()), Some(value_of_text(note_id, text)));
                    return Ok(Next::Record(record));
                }
                Some(Input::Other { path }) => {
                    let parts = open_found(self.formats.as_ref(), &path)?;
                    self.parts = Some((path, parts));
                }
                Some(Input::Lines { path }) => self.lines = Some(Lines::of_file(path)?),
                Some(Input::Stdin) => self.lines = Some(Lines::live("stdin".into(), std::io::stdin())?),
            }
        }
    }

    fn record(&mut self, key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Record {
        let position = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        Record { topic: self.topic.clone(), position, key, value, headers: Vec::new() }
    }

    fn record_of_part(&mut self, path: &Path, part: FilePart) -> Record {
        let (key, value, refusal) = match part.said {
            FileSaid::Note(note) => {
                let value = value_of(&note);
                (Some(note.note_id.into_bytes()), Some(value), None)
            }
            FileSaid::Withdrawn(note_id) => (Some(note_id.into_bytes()), None, None),
            FileSaid::Refused(refusal) => (None, Some(Vec::new()), Some(refusal)),
        };
        self.origins.note(self.offset, Place { path, part: part.place, refusal });
        self.record(key, value)
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
        Ok(text) => value_of(&Note {
            note_id,
            patient_id: None,
            revision: 0,
            note_type: None,
            site: None,
            signed_at: None,
            text,
        }),
        Err(error) => error.into_bytes(),
    }
}

fn value_of(note: &Note) -> Vec<u8> {
    serde_json::to_vec(note).expect("a note is JSON")
}

/// The note's id if the line has one, and whether the line withdraws that note; decoding says what is wrong with a line that has none.
fn said_by_line(line: &[u8]) -> (Option<Vec<u8>>, bool) {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        note_id: Cow<'a, str>,
        // Of any type, as fields that are not a note's are ignored, whatever they hold.
        withdrawn: Option<serde_json::Value>,
    }
    match serde_json::from_slice::<Said>(line) {
        Ok(said) => (Some(said.note_id.into_owned().into_bytes()), said.withdrawn == Some(true.into())),
        Err(_) => (None, false),
    }
}
