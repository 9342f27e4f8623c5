//! Files and folders of notes as a bounded source.
//!
//! Paths in, records of the topic [`FILES_TOPIC`] out, numbered in input order:
//! - a `.txt` file is one note, whose id is its path below the given folder, without the extension;
//! - a `.jsonl` file holds a `note.v1` a line, passed on byte for byte; blank lines are skipped;
//! - `-` is such lines from stdin;
//! - a folder stands for the `.txt` and `.jsonl` files in it and below it, in the order of their names.
//!
//! A line that is no note, and a text that is not UTF-8, is passed on as it is: decoding makes a dead letter of it, and
//! [`Origins`] tells where it came from. One file is open at a time; of a folder, only the names are kept.

mod origins;
mod walk;

pub use origins::Origins;

use crate::disk::failed;
use crate::log::size_of;
use crate::{LogError, Source};
use origins::Place;
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stillroom_dataflow::{Position, Record};
use stillroom_schemas::Note;
use walk::{Input, Walk};

/// The topic of the records of a [`NoteFiles`]. It has one partition.
pub const FILES_TOPIC: &str = "files";

/// Lines are read from files in pieces of this size.
const READ_BYTES: usize = 1 << 18;

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

/// A file of lines that is being read.
struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    line: u64,
    /// Whether its writer may let it wait, as stdin's may.
    is_live: bool,
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

    /// The number of records to come, for a progress bar: `None` when stdin is among the paths, when there is too much to count
    /// quickly (256 MiB of JSON Lines), or when something cannot be read, which polling will report.
    pub fn count(&self) -> Option<u64> {
        let (mut count, mut bytes) = (0, 0);
        for input in Walk::new(&self.paths).ok()? {
            match input.ok()? {
                Input::Stdin => return None,
                Input::Text { .. } => count += 1,
                Input::Lines { path } => {
                    bytes += fs::metadata(&path).ok()?.len();
                    if bytes > COUNT_BYTES_MAX {
                        return None;
                    }
                    let (mut reader, mut line) =
                        (BufReader::with_capacity(READ_BYTES, File::open(&path).ok()?), Vec::new());
                    while reader.read_until(b'\n', &mut line).ok()? > 0 {
                        count += u64::from(!line.trim_ascii().is_empty());
                        line.clear();
                    }
                }
            }
        }
        Some(count)
    }

    /// The next record, unless everything was read.
    fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if let Some(lines) = &mut self.lines {
                if let Some(value) = lines.next()? {
                    let place = Place { path: &lines.path, line: Some(lines.line) };
                    self.origins.note(self.offset, place);
                    return Ok(Some(self.record(key_of_line(&value), value)));
                }
                self.lines = None;
            }
            match self.walk.next().transpose()? {
                None => return Ok(None),
                Some(Input::Text { path, note_id }) => {
                    let text = fs::read(&path).map_err(failed("read", &path))?;
                    self.origins.note(self.offset, Place { path: &path, line: None });
                    return Ok(Some(self.record(Some(note_id.clone().into_bytes()), value_of_text(note_id, text))));
                }
                Some(Input::Lines { path }) => {
                    let file = File::open(&path).map_err(failed("open", &path))?;
                    self.lines = Some(Lines::new(path, Box::new(file), false));
                }
                Some(Input::Stdin) => {
                    self.lines = Some(Lines::new(PathBuf::from("stdin"), Box::new(io::stdin()), true));
                }
            }
        }
    }

    fn record(&mut self, key: Option<Vec<u8>>, value: Vec<u8>) -> Record {
        let position = Position { partition: 0, offset: self.offset };
        self.offset += 1;
        Record { topic: self.topic.clone(), position, key, value: Some(value) }
    }

    /// Whether the next record can be read without waiting for whoever writes it.
    fn is_next_at_hand(&self) -> bool {
        self.lines.as_ref().is_none_or(|lines| !lines.is_live || lines.has_line())
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

    /// Files are there, so nothing is waited for but stdin, and that for as long as its writer takes to send one note.
    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        if self.is_paused {
            // Whoever polls a paused source has asked to be kept waiting.
            std::thread::sleep(wait);
            return Ok(Vec::new());
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while !self.is_at_end && (records.is_empty() || self.is_next_at_hand()) {
            let record = match self.waiting.take() {
                Some(record) => Some(record),
                None => self.read()?,
            };
            let Some(record) = record else {
                self.is_at_end = true;
                break;
            };
            if record.position.offset < self.skip_to {
                continue;
            }
            bytes += size_of(&record);
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

impl Lines {
    fn new(path: PathBuf, file: Box<dyn Read + Send>, is_live: bool) -> Lines {
        Lines { path, reader: BufReader::with_capacity(READ_BYTES, file), line: 0, is_live }
    }

    /// The next line that is not blank, without its end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        let mut line = Vec::new();
        while self.reader.read_until(b'\n', &mut line).map_err(failed("read", &self.path))? > 0 {
            self.line += 1;
            if !line.trim_ascii().is_empty() {
                let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| line.ends_with(end)).map_or(0, <[u8]>::len);
                line.truncate(line.len() - end);
                return Ok(Some(line));
            }
            line.clear();
        }
        Ok(None)
    }

    /// Whether a whole line that is not blank was received already.
    fn has_line(&self) -> bool {
        let mut lines = self.reader.buffer().split_inclusive(|&byte| byte == b'\n');
        lines.any(|line| line.ends_with(b"\n") && !line.trim_ascii().is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Hands out one piece a read, as a pipe does whose writer is slow.
    struct Slow(VecDeque<&'static [u8]>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn stdin_is_not_waited_for_while_records_are_at_hand() {
        let pieces = [&b"1\n2\n"[..], b"3", b"\n\n", b"\n4\n\n5"];
        let mut files = NoteFiles::open(&[]).expect("no path is wrong");
        files.lines = Some(Lines::new(PathBuf::from("stdin"), Box::new(Slow(pieces.into())), true));
        let mut polls = Vec::new();
        while !files.is_finished() {
            let records = files.poll(100, Duration::ZERO).expect("a poll");
            polls.push(
                records.iter().map(|record| files.origins.of(record.position.offset)).collect::<Vec<_>>().join("; "),
            );
        }
        assert_eq!(polls, ["stdin, line 1; stdin, line 2", "stdin, line 3", "stdin, line 6", "stdin, line 8", ""]);
    }
}
