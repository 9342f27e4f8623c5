//! From files to messages.
//!
//! A file has messages one after another, each from its `MSH` on. Segments end with CR, as the standard has it, or with LF or both, as
//! files have. The frames of MLLP (VT before a message; FS and CR after it) and the segments of batches (FHS, BHS, BTS, FTS) stand
//! between messages. In a frame a message that is not ended was cut off; VT and FS elsewhere are text.

use super::super::bounded::read_piece;
use std::collections::VecDeque;
use std::io::{self, BufRead};

/// Begins a frame of MLLP.
const START_BLOCK: u8 = 0x0b;

/// Ends a frame of MLLP.
const END_BLOCK: u8 = 0x1c;

/// What a file has at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// A message, with the ends of its segments.
    Message(Vec<u8>),
    /// A message that is too long. It was passed over.
    TooLong,
    /// A message whose frame does not end.
    CutOff,
    /// Something that is no message, up to the next one.
    Stray,
}

/// What is being read.
enum Open {
    Nothing,
    Message(Vec<u8>),
    TooLong,
    /// It was told.
    Stray,
}

/// The messages of a file.
pub(super) struct Messages<R> {
    reader: R,
    bytes_max: usize,
    open: Open,
    is_in_frame: bool,
    is_begun: bool,
    /// The mark after the piece that was read last.
    mark: Option<u8>,
    is_at_end: bool,
    ready: VecDeque<Framed>,
}

impl<R: BufRead> Messages<R> {
    pub(super) fn new(reader: R, bytes_max: usize) -> Messages<R> {
        let (open, ready) = (Open::Nothing, VecDeque::new());
        Messages { reader, bytes_max, open, is_in_frame: false, is_begun: false, mark: None, is_at_end: false, ready }
    }

    /// The next message; nothing at the end.
    pub(super) fn read(&mut self) -> io::Result<Option<Framed>> {
        while self.ready.is_empty() && !self.is_at_end {
            let is_mark = |byte| matches!(byte, b'\r' | b'\n' | START_BLOCK | END_BLOCK);
            match read_piece(&mut self.reader, is_mark, self.bytes_max)? {
                Some(piece) if piece.is_too_long => {
                    self.open = Open::TooLong;
                    self.mark = piece.mark;
                    self.end_of_frame();
                }
                Some(piece) => {
                    // Some editors begin a file with a byte order mark.
                    let is_first = !std::mem::replace(&mut self.is_begun, true);
                    let bytes = piece.bytes.strip_prefix("\u{feff}".as_bytes()).filter(|_| is_first);
                    self.add(bytes.unwrap_or(&piece.bytes));
                    self.mark = piece.mark;
                    self.end_of_frame();
                }
                None => {
                    self.is_at_end = true;
                    self.complete(self.is_in_frame);
                }
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Adds a piece behind the mark before it.
    fn add(&mut self, piece: &[u8]) {
        let begins_frame = self.mark == Some(START_BLOCK);
        let is_segment = |names: &[&[u8]]| {
            names.iter().any(|name| piece.starts_with(name)) && piece.get(3).is_none_or(u8::is_ascii_punctuation)
        };
        if is_segment(&[b"MSH"]) {
            self.complete(self.is_in_frame && begins_frame);
            self.is_in_frame |= begins_frame;
            self.open = Open::Message(piece.to_vec());
        } else if is_segment(&[b"FHS", b"BHS", b"BTS", b"FTS"]) {
            self.complete(self.is_in_frame && begins_frame);
            self.is_in_frame |= begins_frame;
        } else {
            match &mut self.open {
                Open::Message(message) => {
                    message.extend(self.mark);
                    message.extend_from_slice(piece);
                    if message.len() > self.bytes_max {
                        self.open = Open::TooLong;
                    }
                }
                Open::Nothing if !piece.trim_ascii().is_empty() => {
                    self.open = Open::Stray;
                    self.ready.push_back(Framed::Stray);
                }
                Open::Nothing | Open::TooLong | Open::Stray => {}
            }
        }
    }

    /// A mark that ends the frame ends its message.
    fn end_of_frame(&mut self) {
        if self.is_in_frame && self.mark == Some(END_BLOCK) {
            self.is_in_frame = false;
            self.complete(false);
            self.mark = None;
        }
    }

    fn complete(&mut self, is_cut_off: bool) {
        let ended = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing | Open::Stray => None,
            Open::Message(_) if is_cut_off => Some(Framed::CutOff),
            Open::Message(message) => Some(Framed::Message(message)),
            Open::TooLong => Some(Framed::TooLong),
        };
        self.ready.extend(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &[u8], expected: &[&str]) {
        let mut messages = Messages::new(file, 1 << 20);
        let mut shown = Vec::new();
        while let Some(framed) = messages.read().unwrap() {
            shown.push(match framed {
                Framed::Message(message) => message.escape_ascii().to_string(),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(shown, expected, "{}", file.escape_ascii());
    }

    #[test]
    fn messages_begin_with_their_headers() {
        check(b"", &[]);
        check(b"\r\n\n", &[]);
        check(b"MSH|1\rPID|1\r", &[r"MSH|1\rPID|1"]);
        check(b"MSH|1\rPID|1\rMSH|2\r\r\n\nMSH|3", &[r"MSH|1\rPID|1", r"MSH|2\r\r\n", "MSH|3"]);
        check(b"\nMSH|1\nOBX|1\nMSHX\nMSH|2\n", &[r"MSH|1\nOBX|1\nMSHX", "MSH|2"]);
    }

    #[test]
    fn frames_and_batches_stand_between_messages() {
        check(b"\x0bMSH|1\rPID|1\r\x1c\r\x0bMSH|2\r\x1c\r", &[r"MSH|1\rPID|1\r", r"MSH|2\r"]);
        check(b"\x0bMSH|1\r\x1c\x0bMSH|2\r\x1c", &[r"MSH|1\r", r"MSH|2\r"]);
        check(b"FHS|^~\\&\rBHS|^~\\&\rMSH|1\rPID|1\rMSH|2\rBTS|2\rFTS|1\r", &[r"MSH|1\rPID|1", "MSH|2"]);
        check(b"\x0bFHS|\r\x1c\r\x0bMSH|1\r\x1c\r", &[r"MSH|1\r"]);
    }

    #[test]
    fn in_a_frame_a_message_may_be_cut_off() {
        check(b"\x0bMSH|1\rPID|1\r\x0bMSH|2\r\x1c\r", &["CutOff", r"MSH|2\r"]);
        check(b"\x0bMSH|1\r\x1c\r\x0bMSH|2\rPID|", &[r"MSH|1\r", "CutOff"]);
        check(b"\x0bMSH|1\r\x1c", &[r"MSH|1\r"]);
        check(b"MSH|1\r", &["MSH|1"]);
    }

    #[test]
    fn marks_of_frames_elsewhere_are_text() {
        check(b"MSH|1\rOBX|a\x0bb\x1cc\r", &[r"MSH|1\rOBX|a\x0bb\x1cc"]);
        check(b"\x0bMSH|1\rOBX|a\x0bb\r\x1c\r", &[r"MSH|1\rOBX|a\x0bb\r"]);
    }

    #[test]
    fn what_is_no_message_is_told_once() {
        check(b"note_id,text\nn1,x\nMSH|1\n", &["Stray", "MSH|1"]);
        check(b"\xef\xbb\xbfMSH|1\n\xef\xbb\xbfMSH|2", &[r"MSH|1\n\xef\xbb\xbfMSH|2"]);
        check(b"\0\0\0", &["Stray"]);
    }

    #[test]
    fn a_message_that_is_too_long_is_passed_over() {
        let file =
            [&b"MSH|1\rOBX|"[..], &[b'x'; 50], b"\rOBX|x\rMSH|2\r", &b"OBX|\r".repeat(12)[..], b"MSH|3\r"].concat();
        let mut messages = Messages::new(&file[..], 40);
        let mut read = || messages.read().unwrap();
        assert_eq!([read(), read()], [Some(Framed::TooLong), Some(Framed::TooLong)]);
        assert_eq!([read(), read()], [Some(Framed::Message(b"MSH|3".to_vec())), None]);
    }
}
