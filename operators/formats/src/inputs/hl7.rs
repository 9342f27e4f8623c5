//! Messages of HL7 v2 (2.1 to 2.8, in its own encoding of segments and delimiters).
//!
//! The parser is our own, as the crates that there are lose what hospitals send: they read strings, where a message declares its
//! character set and escapes bytes; they stop without a word at what they do not understand, and quote it in their errors.

mod escapes;
mod file;
mod message;
mod notes;

use super::{InputPart, Inputs, PART_BYTES_MAX, Times};
use crate::FormatError;
use file::{Framed, Messages};
use message::Message;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// Characters of a control id that are shown.
const CONTROL_ID_CHARS_MAX: usize = 40;

/// The notes of a file.
pub(super) struct Hl7Notes<R> {
    path: PathBuf,
    messages: Messages<BufReader<R>>,
    times: Times,
    number: u64,
    /// What a message says besides what was given out.
    waiting: VecDeque<InputPart>,
    has_failed: bool,
}

impl Hl7Notes<File> {
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn open(path: &Path, inputs: &Inputs) -> Result<Hl7Notes<File>, FormatError> {
        let file = File::open(path).map_err(FormatError::file("open", path))?;
        Ok(Hl7Notes::over(file, path, inputs, PART_BYTES_MAX))
    }
}

impl<R: Read> Hl7Notes<R> {
    /// The notes of the file `path`, which `reader` reads.
    fn over(reader: R, path: &Path, inputs: &Inputs, bytes_max: usize) -> Hl7Notes<R> {
        Hl7Notes {
            path: path.to_owned(),
            messages: Messages::new(BufReader::with_capacity(BUFFER_BYTES, reader), bytes_max),
            times: inputs.times.clone(),
            number: 0,
            waiting: VecDeque::new(),
            has_failed: false,
        }
    }

    /// What a message says, into what waits.
    fn take(&mut self, framed: &Framed) {
        self.number += 1;
        let place = Some(("message", self.number));
        let said = match framed {
            Framed::Message(message) => said(message, &self.times),
            Framed::TooLong => Err("is too long; split it, or leave out what is not text".to_owned()),
            Framed::CutOff => Err("was cut off: the frame that begins it does not end; get it again".to_owned()),
            Framed::Stray => Err("does not begin with MSH, as messages of HL7 do; remove what stands there".to_owned()),
        };
        match said {
            Ok(said) => self.waiting.extend(said.into_iter().map(|said| InputPart { place, said })),
            Err(reason) => self.waiting.push_back(InputPart::refused(place, reason)),
        }
    }
}

impl<R: Read> Iterator for Hl7Notes<R> {
    type Item = Result<InputPart, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(part) = self.waiting.pop_front() {
                return Some(Ok(part));
            }
            if self.has_failed {
                return None;
            }
            match self.messages.read() {
                Ok(Some(framed)) => self.take(&framed),
                Ok(None) => return None,
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(FormatError::file("read", &self.path)(error)));
                }
            }
        }
    }
}

/// What a message says, or what is wrong with it and what its sender calls it.
fn said(message: &[u8], times: &Times) -> Result<Vec<super::InputSaid>, String> {
    let message = Message::parse(message)?;
    notes::said(&message, times).map_err(|reason| match message.component(message.header(), 10, 1) {
        Ok(Some(control_id)) => {
            let is_shown = |c: &char| c.is_ascii_graphic();
            let control_id: String = control_id.chars().filter(is_shown).take(CONTROL_ID_CHARS_MAX).collect();
            format!("{reason} (its control id is {control_id})")
        }
        Ok(None) | Err(_) => reason,
    })
}

#[cfg(test)]
mod tests;
