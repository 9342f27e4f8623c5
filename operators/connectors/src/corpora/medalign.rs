//! The EHRs of MedAlign in XML, a patient a file, in both published shapes:
//!
//! - `record` / `visit` / `day` / `note type start`, of the sample in the project's repository
//!   (<https://github.com/som-shahlab/medalign>, `data/sample-ehr-clean.xml`);
//! - `eventstream person_id` / `encounter` / `events` / `entry timestamp` / `event type="note" name note_id`, LUMIA's.
//!
//! A note's text is that of its element, without the white space around it, which is the file's indentation. Other events are not read.

use super::list::CorpusFile;
use super::{CorpusItem, CorpusProblem};
use crate::LogError;
use crate::disk::failed;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use std::fs::File;
use std::io::BufReader;
use stillroom_schemas::Note;

/// The notes of a file.
pub(super) struct Records {
    file: CorpusFile,
    reader: Reader<BufReader<File>>,
    person_id: String,
    /// The note whose end has not been read, and how many elements are open within it.
    open: Option<(Note, u32)>,
    notes: u64,
    is_at_end: bool,
}

impl Records {
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(file: &CorpusFile) -> Result<Records, LogError> {
        let inner = File::open(&file.path).map_err(failed("open", &file.path))?;
        let mut reader = Reader::from_reader(BufReader::new(inner));
        // Texts of notes have bare ampersands where somebody wrote XML by hand.
        reader.config_mut().allow_dangling_amp = true;
        let person_id = file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Records { file: file.clone(), reader, person_id, open: None, notes: 0, is_at_end: false })
    }

    fn begin(&mut self, element: &BytesStart<'_>) {
        if let Some((_, depth)) = &mut self.open {
            *depth += 1;
            return;
        }
        let name = element.name();
        let is_note = match name.as_ref() {
            "note" => true,
            "event" => attribute(element, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("note")),
            "eventstream" => {
                self.person_id = attribute(element, "person_id").unwrap_or_else(|| self.person_id.clone());
                false
            }
            _ => false,
        };
        if is_note {
            self.notes += 1;
            let note_type = if name.as_ref() == "note" { "type" } else { "name" };
            let number = || format!("{}/{}", self.person_id, self.notes);
            let note = Note {
                note_id: attribute(element, "note_id").unwrap_or_else(number),
                patient_id: Some(self.person_id.clone()),
                revision: 0,
                note_type: attribute(element, note_type),
                site: None,
                // The times are local ones, without their offset from UTC.
                signed_at: None,
                text: String::new(),
            };
            self.open = Some((note, 0));
        }
    }

    /// The note that ends here, if any does.
    fn end(&mut self) -> Option<CorpusItem> {
        match &mut self.open {
            Some((_, depth @ 1..)) => {
                *depth -= 1;
                None
            }
            Some(_) => {
                let (mut note, _) = self.open.take()?;
                note.text = note.text.trim().to_owned();
                match note.text.is_empty() {
                    false => Some(CorpusItem::Note(note)),
                    true => Some(self.problem(&format!("the note {} has no text; left out", note.note_id))),
                }
            }
            None => None,
        }
    }

    fn append(&mut self, text: &str) {
        if let Some((note, _)) = &mut self.open {
            note.text.push_str(text);
        }
    }

    fn problem(&self, what: &str) -> CorpusItem {
        CorpusItem::Problem(CorpusProblem { path: self.file.path.clone(), line: None, what: what.to_owned() })
    }

    /// What an event brings to an end.
    fn take(&mut self, event: Event<'_>) -> Option<CorpusItem> {
        match event {
            Event::Start(element) => self.begin(&element),
            Event::Empty(element) => {
                self.begin(&element);
                return self.end();
            }
            Event::End(_) => return self.end(),
            Event::Text(text) => self.append(&text.xml10_content()),
            Event::CData(text) => self.append(&text.xml10_content()),
            Event::GeneralRef(reference) => self.append(&meant_by(&reference)),
            Event::Eof => self.is_at_end = true,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        // An end of the file within a note ends what can be read; the note is not whole.
        let is_cut = self.is_at_end && self.open.take().is_some();
        is_cut.then(|| self.problem("ends within a note, which is left out"))
    }
}

impl Iterator for Records {
    type Item = Result<CorpusItem, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut buffer = Vec::new();
        while !self.is_at_end {
            buffer.clear();
            let found = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => self.take(event.into_owned()),
                Err(quick_xml::Error::Io(error)) => {
                    self.is_at_end = true;
                    let error = std::io::Error::new(error.kind(), error.to_string());
                    return Some(Err(failed("read", &self.file.path)(error)));
                }
                Err(_) => {
                    self.is_at_end = true;
                    let byte = self.reader.error_position();
                    Some(self.problem(&format!("is not XML from byte {byte} on; what follows is left out")))
                }
            };
            if let Some(item) = found {
                return Some(Ok(item));
            }
        }
        None
    }
}

/// The value of an attribute that says something.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok().flatten()?;
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
    let value = value.trim();
    (!value.is_empty() && value != "NULL").then(|| value.to_owned())
}

/// The characters that a reference stands for; an unknown one stands for itself.
fn meant_by(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return character.to_string();
    }
    let name: &str = reference;
    quick_xml::escape::resolve_predefined_entity(name).map_or_else(|| format!("&{name};"), str::to_owned)
}
