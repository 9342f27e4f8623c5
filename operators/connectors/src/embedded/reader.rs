//! Reads one partition in offset order, while it grows.

use super::line;
use super::segments::{self, skip_lines};
use crate::LogError;
use crate::disk::failed;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use stillroom_dataflow::{Position, Record};

/// The least and the most that is read at once; more only for a single line that is longer.
const READ_BYTES: (usize, usize) = (1 << 12, 1 << 18);

/// Reads one partition.
#[derive(Debug)]
pub(super) struct PartitionReader {
    topic: Arc<str>,
    partition: u32,
    dir: PathBuf,
    /// The segment that holds `next`, by its first offset; none until the partition has one.
    segment: Option<(u64, File)>,
    /// Where the line of `next` starts in it.
    byte: u64,
    next: u64,
    /// Where to stop, if anywhere.
    end: Option<u64>,
    buffer: Vec<u8>,
}

impl PartitionReader {
    /// Starts at offset `next` of the partition in `dir`.
    pub(super) fn open(topic: Arc<str>, partition: u32, dir: PathBuf, next: u64) -> Result<Self, LogError> {
        let firsts = segments::list(&dir)?;
        let mut reader =
            PartitionReader { topic, partition, dir, segment: None, byte: 0, next, end: None, buffer: Vec::new() };
        if next == 0 {
            reader.next = firsts.first().copied().unwrap_or(0);
        }
        let next = reader.next;
        let Some(&first) = firsts.iter().rfind(|&&first| first <= next) else {
            return if next == 0 && firsts.is_empty() { Ok(reader) } else { Err(reader.out_of_range(&firsts)) };
        };
        let path = segments::path(&reader.dir, first);
        let file = File::open(&path).map_err(failed("open", &path))?;
        let (lines, byte) = skip_lines(&file, 0, next - first).map_err(failed("read", &path))?;
        if first + lines < next {
            let cause = "it ends before the next segment starts".to_owned();
            let is_last = firsts.last() == Some(&first);
            return Err(if is_last { reader.out_of_range(&firsts) } else { LogError::Damaged { path, byte, cause } });
        }
        (reader.segment, reader.byte) = (Some((first, file)), byte);
        Ok(reader)
    }

    /// Stops before offset `end`.
    pub(super) fn until(mut self, end: u64) -> Self {
        self.end = Some(end);
        self
    }

    /// Whether everything before the end was read.
    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    pub(super) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(super) fn partition(&self) -> u32 {
        self.partition
    }

    /// The error for a partition that has less than it is known to have.
    pub(super) fn ended_early(&self) -> LogError {
        self.damaged(format!(
            "offset {} was committed and is gone; restore it, or start with a new progress",
            self.next
        ))
    }

    fn out_of_range(&self, firsts: &[u64]) -> LogError {
        let high = match segments::find_end(&self.dir, segments::End::default()) {
            Ok(end) => end.next,
            Err(error) => return error,
        };
        let low = firsts.first().copied().unwrap_or(0);
        LogError::OffsetOutOfRange {
            topic: self.topic.to_string(),
            partition: self.partition,
            next: self.next,
            low,
            high,
        }
    }

    /// Moves records that are there to the end of `records`: at most `bytes_max` bytes of them, but one at least if `records`
    /// is empty. Answers with the bytes.
    pub(super) fn read(&mut self, bytes_max: usize, records: &mut Vec<Record>) -> Result<usize, LogError> {
        let (mut bytes, mut want) = (0, bytes_max.clamp(READ_BYTES.0, READ_BYTES.1));
        let mut is_complete = false;
        while !self.is_finished() && (bytes < bytes_max || records.is_empty()) {
            let got = self.fill(want)?;
            let before = self.next;
            if !self.take_lines(bytes_max, &mut bytes, records)? {
                break;
            }
            if self.next > before {
                continue;
            }
            // No complete line: it is longer than what was read, or unfinished, or this segment has no more.
            if got == want {
                want *= 2;
                continue;
            }
            match self.following_segment()? {
                None => break,
                Some(first) if first == self.next => self.open_segment(first)?,
                // A segment is complete before the next one is begun; lines may have come between the two looks.
                Some(_) if !is_complete => is_complete = true,
                Some(_) => return Err(self.damaged("it ends before the next segment starts".to_owned())),
            }
        }
        Ok(bytes)
    }

    /// Reads `want` bytes at the start of the next line. Bytes after the last complete line are never kept for the next time:
    /// a producer may cut them off and write others.
    fn fill(&mut self, want: usize) -> Result<usize, LogError> {
        self.buffer.clear();
        let Some((first, file)) = &mut self.segment else { return Ok(0) };
        let read = |file: &mut File, byte, buffer: &mut Vec<u8>| -> io::Result<usize> {
            file.seek(SeekFrom::Start(byte))?;
            file.take(want as u64).read_to_end(buffer)
        };
        read(file, self.byte, &mut self.buffer).map_err(failed("read", &segments::path(&self.dir, *first)))
    }

    /// Moves the complete lines of the buffer to `records`; answers whether there was room for all.
    fn take_lines(&mut self, bytes_max: usize, bytes: &mut usize, records: &mut Vec<Record>) -> Result<bool, LogError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut has_room = true;
        for line in buffer.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            if self.is_finished() {
                break;
            }
            let record = self.decode(&line[..line.len() - 1])?;
            let size = record.bytes();
            has_room = records.is_empty() || *bytes + size <= bytes_max;
            if !has_room {
                break;
            }
            *bytes += size;
            records.push(record);
            self.byte += line.len() as u64;
            self.next += 1;
        }
        self.buffer = buffer;
        Ok(has_room)
    }

    fn decode(&self, line: &[u8]) -> Result<Record, LogError> {
        let line = line::decode(line).map_err(|cause| self.damaged(cause))?;
        if line.offset != self.next {
            return Err(self.damaged(format!("offset {} stands where {} is due", line.offset, self.next)));
        }
        let position = Position { partition: self.partition, offset: self.next };
        Ok(Record { topic: self.topic.clone(), position, key: line.key, value: line.value, headers: line.headers })
    }

    /// The first offset of the segment after the present one, if it was begun.
    fn following_segment(&self) -> Result<Option<u64>, LogError> {
        let present = self.segment.as_ref().map(|(first, _)| *first);
        Ok(segments::list(&self.dir)?.into_iter().find(|&first| present.is_none_or(|present| first > present)))
    }

    fn open_segment(&mut self, first: u64) -> Result<(), LogError> {
        let path = segments::path(&self.dir, first);
        let file = File::open(&path).map_err(failed("open", &path))?;
        (self.segment, self.byte) = (Some((first, file)), 0);
        Ok(())
    }

    fn damaged(&self, cause: String) -> LogError {
        let path = segments::path(&self.dir, self.segment.as_ref().map_or(0, |(first, _)| *first));
        LogError::Damaged { path, byte: self.byte, cause }
    }
}
