//! The lines of a file or of a stream that somebody is still writing.

use crate::LogError;
use crate::disk::failed;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Lines are read in pieces of this size.
const READ_BYTES: usize = 1 << 18;

/// Lines of a stream that are read and not yet asked for, at most.
const LINES_AHEAD_MAX: usize = 64;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines that are not blank.
pub(crate) struct Lines {
    path: PathBuf,
    supply: Supply,
}

/// Where they come from.
enum Supply {
    File(Reader<File>),
    /// A thread, since a read waits for the writer for as long as that takes, and whoever polls has other things to do.
    Thread(Receiver<Result<Line, LogError>>),
}

/// What asking for a line gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end.
    Read {
        /// From 1, blank ones counted.
        number: u64,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// None came in time.
    NotYet,
    /// There is none any more.
    End,
}

impl Lines {
    pub(crate) fn of_file(path: PathBuf) -> Result<Lines, LogError> {
        let file = File::open(&path).map_err(failed("open", &path))?;
        Ok(Lines { supply: Supply::File(Reader::new(path.clone(), file)), path })
    }

    /// Of a stream called `path`. Its thread ends with the stream, or with the next line after these lines are dropped.
    pub(super) fn live(path: PathBuf, stream: impl Read + Send + 'static) -> Result<Lines, LogError> {
        let (sender, receiver) = bounded(LINES_AHEAD_MAX);
        let mut reader = Reader::new(path.clone(), stream);
        let read = move || {
            loop {
                let line = reader.next();
                let is_last = !matches!(line, Ok(Line::Read { .. }));
                if sender.send(line).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("lines".into());
        thread.spawn(read).map_err(failed("start a thread for", &path))?;
        Ok(Lines { path, supply: Supply::Thread(receiver) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next line; of a stream, waits up to `wait` for it.
    pub(crate) fn next(&mut self, wait: Duration) -> Result<Line, LogError> {
        match &mut self.supply {
            Supply::File(reader) => reader.next(),
            Supply::Thread(lines) => match lines.recv_timeout(wait) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => Ok(Line::NotYet),
                Err(RecvTimeoutError::Disconnected) => Ok(Line::End),
            },
        }
    }
}

struct Reader<R> {
    path: PathBuf,
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Reader<R> {
    fn new(path: PathBuf, stream: R) -> Reader<R> {
        Reader { path, reader: BufReader::with_capacity(READ_BYTES, stream), number: 0 }
    }

    /// The next line that is not blank, or the end.
    fn next(&mut self) -> Result<Line, LogError> {
        let mut value = Vec::new();
        while self.reader.read_until(b'\n', &mut value).map_err(failed("read", &self.path))? > 0 {
            self.number += 1;
            // Some editors begin a file with a byte order mark, which is not part of its first line.
            if self.number == 1 && value.starts_with(BYTE_ORDER_MARK) {
                value.drain(..BYTE_ORDER_MARK.len());
            }
            if !value.trim_ascii().is_empty() {
                let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| value.ends_with(end)).map_or(0, <[u8]>::len);
                value.truncate(value.len() - end);
                return Ok(Line::Read { number: self.number, value });
            }
            value.clear();
        }
        Ok(Line::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(60);

    fn line(number: u64, value: &str) -> Line {
        Line::Read { number, value: value.as_bytes().to_vec() }
    }

    #[test]
    fn a_line_is_there_before_its_writer_has_gone() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut lines = Lines::live("stdin".into(), reader).unwrap();
        writer.write_all("\u{feff}1\n\n3\r\n4".as_bytes()).unwrap();
        assert_eq!(lines.next(LONG).unwrap(), line(1, "1"));
        assert_eq!(lines.next(LONG).unwrap(), line(3, "3"));
        assert_eq!(lines.next(Duration::ZERO).unwrap(), Line::NotYet);
        writer.write_all(b"4\n5").unwrap();
        assert_eq!(lines.next(LONG).unwrap(), line(4, "44"));
        drop(writer);
        assert_eq!(lines.next(LONG).unwrap(), line(5, "5"));
        assert_eq!([lines.next(LONG).unwrap(), lines.next(LONG).unwrap()], [Line::End, Line::End]);
    }
}
