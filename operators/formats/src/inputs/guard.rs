//! What a reader of CSV does not tell: a row without end, and a file that ends within a quote.

use std::io::{self, Read};

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

/// Passes bytes on, gives up when a row has too many, and knows whether the file has ended within quotes.
pub(super) struct Guard<R> {
    inner: R,
    delimiter: u8,
    state: State,
    /// Bytes that were passed on.
    read: u64,
    left: usize,
    is_at_end: bool,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(inner: R, delimiter: u8, row_bytes_max: usize) -> Guard<R> {
        Guard { inner, delimiter, state: State::Start, read: 0, left: row_bytes_max, is_at_end: false }
    }

    /// The next row may have so many bytes, and what is read ahead of it.
    pub(super) fn begin_row(&mut self, row_bytes_max: usize) {
        self.left = row_bytes_max;
    }

    /// Whether the file has ended within quotes, and with the byte before `next`: then the row that ends there was cut off.
    pub(super) fn cut_off(&self, next: u64) -> bool {
        self.is_at_end && self.state == State::Quoted && next >= self.read
    }

    fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let ends = byte == self.delimiter || matches!(byte, b'\r' | b'\n');
            self.state = match self.state {
                State::Quoted if byte == b'"' => State::Closing,
                State::Quoted => State::Quoted,
                State::Start | State::Closing if byte == b'"' => State::Quoted,
                State::Start | State::Plain | State::Closing if ends => State::Start,
                // A byte order mark is passed over.
                State::Start if self.read < 3 && "\u{feff}".as_bytes().contains(&byte) => State::Start,
                State::Start | State::Plain | State::Closing => State::Plain,
            };
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
    fn a_row_without_end_is_given_up() {
        let mut guard = Guard::new(io::repeat(b'x'), b',', 100);
        let mut buffer = [0; 64];
        assert_eq!(guard.read(&mut buffer).unwrap(), 64);
        assert_eq!(guard.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        guard.begin_row(100);
        assert_eq!(guard.read(&mut buffer).unwrap(), 64);
    }
}
