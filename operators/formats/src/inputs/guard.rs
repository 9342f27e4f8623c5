//! What a reader of CSV does not tell: a row without end, a file that ends within a quote, and a row that goes on behind one.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;

/// Where in a row the last byte was. These are the states of the `csv` crate, as far as quotes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first byte of a column.
    Start,
    /// In a column without quotes.
    Plain,
    /// In quotes.
    Quoted,
    /// After a quote within quotes, which closes them or begins a pair.
    Closing,
}

/// Passes bytes on, gives up when a row has too many, and knows whether the file has ended within quotes and which rows go on behind
/// them. Of these it keeps a position each, from where they are read ahead until they are asked about.
pub(super) struct Guard<R> {
    inner: R,
    delimiter: u8,
    state: State,
    /// Bytes that were passed on.
    read: u64,
    left: usize,
    is_at_end: bool,
    /// The first byte of each row that stands behind a closing quote and is no delimiter.
    strays: VecDeque<u64>,
    /// Whether the row of the last byte has one.
    has_stray: bool,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(inner: R, delimiter: u8, row_bytes_max: usize) -> Guard<R> {
        let (state, strays) = (State::Start, VecDeque::new());
        Guard { inner, delimiter, state, read: 0, left: row_bytes_max, is_at_end: false, strays, has_stray: false }
    }

    /// The next row may have so many bytes, and what is read ahead of it.
    pub(super) fn begin_row(&mut self, row_bytes_max: usize) {
        self.left = row_bytes_max;
    }

    /// Whether the file has ended within quotes, and with the byte before `next`: then the row that ends there was cut off.
    pub(super) fn cut_off(&self, next: u64) -> bool {
        self.is_at_end && self.state == State::Quoted && next >= self.read
    }

    /// Whether the row of these bytes goes on behind a closing quote, as one does that has swallowed others because its quote was open.
    /// Rows are asked about in their order, and each once.
    pub(super) fn goes_on_behind_quotes(&mut self, row: Range<u64>) -> bool {
        let ended = self.strays.partition_point(|at| *at < row.end);
        self.strays.drain(..ended).any(|at| at >= row.start)
    }

    fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let ends_row = matches!(byte, b'\r' | b'\n');
            let ends = byte == self.delimiter || ends_row;
            let next = match self.state {
                State::Quoted if byte == b'"' => State::Closing,
                State::Quoted => State::Quoted,
                State::Start | State::Closing if byte == b'"' => State::Quoted,
                State::Start | State::Plain | State::Closing if ends => State::Start,
                // A byte order mark is passed over.
                State::Start if self.read < 3 && "\u{feff}".as_bytes().contains(&byte) => State::Start,
                State::Start | State::Plain | State::Closing => State::Plain,
            };
            if ends_row && next == State::Start {
                self.has_stray = false;
            } else if self.state == State::Closing && next == State::Plain && !self.has_stray {
                self.has_stray = true;
                self.strays.push_back(self.read);
            }
            self.state = next;
            self.read += 1;
        }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.is_at_end = read == 0 && !buffer.is_empty();
        self.follow(&buffer[..read]);
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(text: &str) -> Guard<&[u8]> {
        let mut guard = Guard::new(text.as_bytes(), b',', 1 << 20);
        io::copy(&mut guard, &mut io::sink()).unwrap();
        guard
    }

    #[test]
    fn a_file_that_ends_in_quotes_is_told_from_one_that_has_them() {
        let check = |text: &str, expected: bool| {
            assert_eq!(guarded(text).cut_off(text.len() as u64), expected, "{text:?}");
        };
        check("a,b\n1,\"two\"\n", false);
        check("a,b\n1,\"two", true);
        check("a,b\n1,\"two\"\"", true);
        check("a,b\n1,\"two\"\"\"", false);
        check("a,b\n1,\"two,\r\n", true);
        check("a,b\n1,5\" tall\n", false);
        check("\u{feff}\"a\",b\n", false);
        check("\u{feff}\"a", true);
        check("", false);
    }

    #[test]
    fn only_the_last_row_is_cut_off() {
        let text = "a\n\"1\"\n\"2";
        assert!(!guarded(text).cut_off(6) && guarded(text).cut_off(text.len() as u64));
    }

    #[test]
    fn a_row_that_goes_on_behind_quotes_is_told_from_its_neighbours() {
        let rows = ["a,b\r\n", "\"1\",\"x\"\"y\"\r\n", "2,\"x\ny\"z\"\"\"\n", "3,4\" tall\n", "\"5\" ,x\n", "6,\"7\""];
        let text = rows.concat();
        let mut guard = guarded(&text);
        let mut at = 0;
        let found = rows.map(|row| {
            let start = at;
            at += row.len() as u64;
            guard.goes_on_behind_quotes(start..at)
        });
        assert_eq!(found, [false, false, true, false, true, false]);
        assert!(guard.strays.is_empty());
    }

    #[test]
    fn a_row_without_end_is_given_up() {
        let mut guard = Guard::new(io::repeat(b'x'), b',', 100);
        let mut buffer = [0; 64];
        assert_eq!(guard.read(&mut buffer).unwrap(), 64);
        assert_eq!(guard.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        guard.begin_row(100);
        assert_eq!(guard.read(&mut buffer).unwrap(), 64);
    }
}
