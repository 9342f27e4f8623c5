//! Pieces of a stream between two marks, of bounded length.

use std::io::{self, BufRead};

/// A piece, without the mark that ends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its bytes; none where it is too long.
    pub(super) bytes: Vec<u8>,
    /// The mark; none at the end of the stream.
    pub(super) mark: Option<u8>,
    /// Whether it has more bytes than are kept. They were passed over.
    pub(super) is_too_long: bool,
}

/// Reads up to the next byte that `is_mark`, and keeps `bytes_max` bytes at most. Nothing at the end of the stream.
pub(super) fn read_piece(
    reader: &mut impl BufRead,
    is_mark: impl Fn(u8) -> bool,
    bytes_max: usize,
) -> io::Result<Option<Piece>> {
    let mut piece = Piece { bytes: Vec::new(), mark: None, is_too_long: false };
    let mut is_begun = false;
    loop {
        let available = match reader.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(is_begun.then_some(piece));
        }
        is_begun = true;
        let end = available.iter().position(|byte| is_mark(*byte));
        let found = &available[..end.unwrap_or(available.len())];
        if piece.bytes.len() + found.len() > bytes_max {
            piece.is_too_long = true;
            piece.bytes = Vec::new();
        }
        if !piece.is_too_long {
            piece.bytes.extend_from_slice(found);
        }
        piece.mark = end.map(|end| available[end]);
        let used = end.map_or(available.len(), |end| end + 1);
        reader.consume(used);
        if piece.mark.is_some() {
            return Ok(Some(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn pieces(text: &str, bytes_max: usize) -> Vec<(String, Option<u8>, bool)> {
        // A buffer that is smaller than a piece.
        let mut reader = BufReader::with_capacity(3, text.as_bytes());
        let mut pieces = Vec::new();
        while let Some(piece) = read_piece(&mut reader, |byte| byte == b'\n' || byte == b'\r', bytes_max).unwrap() {
            pieces.push((String::from_utf8(piece.bytes).unwrap(), piece.mark, piece.is_too_long));
        }
        pieces
    }

    #[test]
    fn a_piece_ends_at_a_mark_or_with_the_stream() {
        let [n, r] = [Some(b'\n'), Some(b'\r')];
        let piece = |text: &str, mark| (text.to_owned(), mark, false);
        assert_eq!(pieces("", 9), []);
        assert_eq!(
            pieces("one\ntwo\r\nthree", 9),
            [piece("one", n), piece("two", r), piece("", n), piece("three", None)]
        );
        assert_eq!(pieces("one\n", 9), [piece("one", n)]);
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_the_rest_is_read() {
        let too_long = (String::new(), Some(b'\n'), true);
        assert_eq!(pieces("12345\n1234\n", 4), [too_long, ("1234".to_owned(), Some(b'\n'), false)]);
        assert_eq!(pieces("12345678", 4), [(String::new(), None, true)]);
    }
}
