//! The files of one partition: `<first offset, 20 digits>.jsonl`, each starting where the one before ends.
//!
//! Files are only ever appended to, and only the last one. A line is part of the partition once its newline is there; what
//! follows the last newline was left by a writer that was killed, and is cut off by the next one.

use super::line;
use crate::LogError;
use crate::disk::{failed, sync_dir};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Lines are handed to the operating system in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// Files are searched for newlines in pieces of this size.
const SCAN_BYTES: usize = 1 << 18;

/// Where a partition ends: at byte `bytes` of the segment that starts with offset `segment`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// The offset of the next record. The progress has it too, so it is not written twice.
    #[serde(skip)]
    pub(super) next: u64,
    /// The first offset of the last segment.
    pub(super) segment: u64,
    /// The length of that segment.
    pub(super) bytes: u64,
}

/// The segment of the partition in `dir` that starts with offset `first`.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.jsonl"))
}

/// The first offsets of the segments in `dir`, ascending.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, LogError> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
        let name = entry.map_err(failed("list", dir))?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).filter(|digits| digits.len() == 20);
        firsts.extend(first.and_then(|digits| digits.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Goes over at most `lines_max` complete lines of `file` from `byte` on, and says how many there were and where they end.
pub(super) fn skip_lines(file: &File, byte: u64, lines_max: u64) -> io::Result<(u64, u64)> {
    let mut reader = BufReader::with_capacity(SCAN_BYTES, file);
    reader.seek(SeekFrom::Start(byte))?;
    let (mut lines, mut end, mut at) = (0, byte, byte);
    while lines < lines_max {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        for (index, _) in piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            (lines, end) = (lines + 1, at + index as u64 + 1);
            if lines == lines_max {
                break;
            }
        }
        let length = piece.len();
        at += length as u64;
        reader.consume(length);
    }
    Ok((lines, end))
}

/// Where the partition in `dir` ends now. `known` is an end that it once had, which saves reading what lies before.
pub(super) fn find_end(dir: &Path, known: End) -> Result<End, LogError> {
    let Some(&segment) = list(dir)?.last() else { return Ok(End::default()) };
    let path = path(dir, segment);
    let file = File::open(&path).map_err(failed("open", &path))?;
    let from = if segment == known.segment { known } else { End { next: segment, segment, bytes: 0 } };
    let (lines, bytes) = skip_lines(&file, from.bytes, u64::MAX).map_err(failed("read", &path))?;
    Ok(End { next: from.next + lines, segment, bytes })
}

/// Makes durable what offsets `from..to` of the partition in `dir` hold, whoever wrote it.
pub(super) fn sync(dir: &Path, from: u64, to: u64) -> Result<(), LogError> {
    let firsts = list(dir)?;
    let start = firsts.partition_point(|&first| first <= from).saturating_sub(1);
    for &first in firsts[start..].iter().take_while(|&&first| first < to) {
        let path = path(dir, first);
        File::open(&path).and_then(|file| file.sync_data()).map_err(failed("sync", &path))?;
    }
    sync_dir(dir)
}

/// Appends to one partition. The caller holds the lock of the topic.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    dir: PathBuf,
    segment_bytes_max: u64,
    end: End,
    /// The last segment, unless the partition is empty.
    file: Option<File>,
    /// Lines that are not yet handed to the operating system; `end` counts them.
    buffer: Vec<u8>,
    /// Whether `file` holds bytes that are not yet durable.
    is_dirty: bool,
}

impl SegmentWriter {
    /// Goes on at the end of the partition, after cutting off a line that a killed writer left unfinished.
    pub(super) fn recover(dir: PathBuf, segment_bytes_max: u64, known: End) -> Result<SegmentWriter, LogError> {
        let end = find_end(&dir, known)?;
        SegmentWriter::cut(dir, segment_bytes_max, end)
    }

    /// Goes on at `end`, after cutting off whatever stands behind it.
    pub(super) fn cut(dir: PathBuf, segment_bytes_max: u64, end: End) -> Result<SegmentWriter, LogError> {
        let firsts = list(&dir)?;
        let keep = firsts.partition_point(|&first| first <= end.segment);
        // From the last one back, so that a crash in between leaves no gap.
        for &first in firsts[keep..].iter().rev() {
            let path = path(&dir, first);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        if keep < firsts.len() {
            sync_dir(&dir)?;
        }
        let file = open_cut(&path(&dir, end.segment), end)?;
        Ok(SegmentWriter { dir, segment_bytes_max, end, file, buffer: Vec::new(), is_dirty: false })
    }

    /// Where the partition ends, with what was appended.
    pub(super) fn end(&self) -> End {
        self.end
    }

    /// Whether nothing but this writer has changed the partition since it was synced.
    pub(super) fn is_current(&self) -> Result<bool, LogError> {
        let last = list(&self.dir)?.last().copied();
        match &self.file {
            None => Ok(last.is_none()),
            Some(file) => {
                let path = path(&self.dir, self.end.segment);
                let length = file.metadata().map_err(failed("look at", &path))?.len();
                Ok(last == Some(self.end.segment) && length == self.end.bytes)
            }
        }
    }

    /// Appends a record. It is durable after the next [`SegmentWriter::sync`].
    pub(super) fn append(&mut self, content: line::Content<'_>) -> Result<(), LogError> {
        if self.file.is_none() || self.end.bytes >= self.segment_bytes_max {
            self.roll()?;
        }
        let before = self.buffer.len();
        line::encode(&mut self.buffer, self.end.next, content);
        self.end.next += 1;
        self.end.bytes += (self.buffer.len() - before) as u64;
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Makes everything that was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if let Some(file) = self.file.as_ref().filter(|_| self.is_dirty) {
            file.sync_data().map_err(failed("sync", &path(&self.dir, self.end.segment)))?;
            self.is_dirty = false;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        if let Some(file) = self.file.as_mut().filter(|_| !self.buffer.is_empty()) {
            self.is_dirty = true;
            file.write_all(&self.buffer).map_err(failed("append to", &path(&self.dir, self.end.segment)))?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Starts the next segment. The one before is durable by then, so that there is never a hole between two.
    fn roll(&mut self) -> Result<(), LogError> {
        self.sync()?;
        let path = path(&self.dir, self.end.next);
        let file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(failed("create", &path))?;
        sync_dir(&self.dir)?;
        self.end = End { next: self.end.next, segment: self.end.next, bytes: 0 };
        self.file = Some(file);
        Ok(())
    }
}

/// Opens the last segment for appending at `end`; there may be none if it would be empty. It is cut and not created anew,
/// because readers may have it open.
fn open_cut(path: &Path, end: End) -> Result<Option<File>, LogError> {
    let too_short = |length| LogError::Damaged {
        path: path.to_owned(),
        byte: length,
        cause: format!(
            "it ends there, but {} bytes of it were committed; restore it, or start with a new progress",
            end.bytes
        ),
    };
    let file = match OpenOptions::new().append(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("open", path)(error)),
        Err(_) if end.bytes == 0 => return Ok(None),
        Err(_) => return Err(too_short(0)),
    };
    let length = file.metadata().map_err(failed("look at", path))?.len();
    if length < end.bytes {
        return Err(too_short(length));
    }
    if length > end.bytes {
        file.set_len(end.bytes).map_err(failed("cut", path))?;
    }
    Ok(Some(file))
}
