//! Documents in FHIR R4: `DocumentReference`, alone, in bundles, or a line each.
//!
//! A file is read line by line where its first line is a whole resource (NDJSON, as bulk exports are), and else as one resource. Of a
//! bundle the entries are taken in their order, and of a history, which has its oldest versions last, from the last to the first; one
//! that was deleted withdraws its note. Resources of other types are passed over; a file that has no document at all says so.

mod document;
mod json;

use super::bounded::{Piece, read_piece};
use super::{InputPart, InputSaid, Inputs, PART_BYTES_MAX};
use crate::FormatError;
use document::note_id;
use json::{items, not_json, text};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 18;

const DOCUMENT: &str = "DocumentReference";

/// The documents of a file.
pub(super) struct FhirNotes<R> {
    path: PathBuf,
    inputs: Inputs,
    reader: BufReader<R>,
    bytes_max: usize,
    rest: Rest,
    /// The line that was read last, from 1.
    line: u64,
    /// What was read and not yet given out.
    waiting: VecDeque<InputPart>,
    /// Whether something was a document, or could not be read.
    has_documents: bool,
}

/// How the rest of the file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// By the first line.
    Unknown,
    ByLine,
    /// There is none.
    Ended,
    /// There is none, and nothing more to tell.
    Told,
}

/// Where a resource comes from.
struct Bundled<'b> {
    /// What its bundle calls it.
    full_url: Option<&'b str>,
    /// The notes' ids of the documents in the bundle, by what it calls them.
    note_ids: &'b HashMap<String, String>,
}

impl FhirNotes<File> {
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn open(path: &Path, inputs: &Inputs) -> Result<FhirNotes<File>, FormatError> {
        let file = File::open(path).map_err(FormatError::file("open", path))?;
        Ok(FhirNotes::over(file, path, inputs, PART_BYTES_MAX))
    }
}

impl<R: Read> FhirNotes<R> {
    /// The documents of the file `path`, which `reader` reads.
    fn over(reader: R, path: &Path, inputs: &Inputs, bytes_max: usize) -> FhirNotes<R> {
        let is_by_line = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ndjson"));
        FhirNotes {
            path: path.to_owned(),
            inputs: inputs.clone(),
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            bytes_max,
            rest: if is_by_line { Rest::ByLine } else { Rest::Unknown },
            line: 0,
            waiting: VecDeque::new(),
            has_documents: false,
        }
    }

    /// Reads a line that is not blank, or the whole file, into what waits.
    fn read(&mut self) -> std::io::Result<()> {
        let Some(Piece { mut bytes, is_too_long, .. }) =
            read_piece(&mut self.reader, |byte| byte == b'\n', self.bytes_max)?
        else {
            self.rest = Rest::Ended;
            return Ok(());
        };
        self.line += 1;
        if self.line == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        let place = Some(("line", self.line));
        if is_too_long {
            self.refuse(place, format!("has over {} bytes; split it", self.bytes_max));
            return Ok(());
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(());
        }
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(resource) => {
                self.rest = Rest::ByLine;
                self.take(&resource, place);
            }
            Err(error) if self.rest == Rest::Unknown && error.is_eof() => self.read_whole(bytes)?,
            Err(error) => {
                self.rest = Rest::ByLine;
                self.refuse(place, not_json(&error));
            }
        }
        Ok(())
    }

    /// Reads what follows after `bytes` as one resource.
    fn read_whole(&mut self, mut bytes: Vec<u8>) -> std::io::Result<()> {
        self.rest = Rest::Ended;
        bytes.push(b'\n');
        let left = (self.bytes_max + 1).saturating_sub(bytes.len());
        self.reader.by_ref().take(left as u64).read_to_end(&mut bytes)?;
        if bytes.len() > self.bytes_max {
            let max = self.bytes_max;
            self.refuse(
                None,
                format!("has over {max} bytes as one resource; write its entries as NDJSON, a line each"),
            );
            return Ok(());
        }
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(resource) => self.take(&resource, None),
            Err(error) => self.refuse(None, not_json(&error)),
        }
        Ok(())
    }

    /// What a resource says.
    fn take(&mut self, resource: &Value, place: Option<(&'static str, u64)>) {
        match text(resource, "/resourceType") {
            Ok(Some(DOCUMENT)) => {
                let bundled = Bundled { full_url: None, note_ids: &HashMap::new() };
                self.add(place, document::said(resource, &bundled, &self.inputs));
            }
            Ok(Some("Bundle")) => self.take_bundle(resource, place),
            Ok(Some(_)) => {}
            Ok(None) => self
                .refuse(place, "has no resourceType, as resources of FHIR have; notes as JSON stand in .jsonl files"),
            Err(reason) => self.refuse(place, reason),
        }
    }

    fn take_bundle(&mut self, bundle: &Value, place: Option<(&'static str, u64)>) {
        let entries = match items(bundle, "/entry") {
            Ok(entries) => entries,
            Err(reason) => return self.refuse(place, reason),
        };
        let mut note_ids = HashMap::new();
        for entry in entries {
            if let (Ok(Some(full_url)), Some(document)) = (text(entry, "/fullUrl"), document_of(entry))
                && let Ok(note_id) = note_id(document, Some(full_url), &self.inputs)
            {
                note_ids.insert(full_url.to_owned(), note_id);
            }
        }
        let mut numbered: Vec<(&Value, u64)> = entries.iter().zip(1..).collect();
        // A withdrawal that came before the version that it is of would withdraw nothing.
        if text(bundle, "/type").is_ok_and(|kind| kind == Some("history")) {
            numbered.reverse();
        }
        for (entry, number) in numbered {
            let place = place.or(Some(("entry", number)));
            if let Some(document) = document_of(entry) {
                let full_url = text(entry, "/fullUrl").unwrap_or_default();
                let bundled = Bundled { full_url, note_ids: &note_ids };
                self.add(place, document::said(document, &bundled, &self.inputs));
            } else if let Some(deleted) = deleted(entry, &self.inputs).transpose() {
                self.add(place, deleted.map(|note_id| vec![InputSaid::Withdrawn(note_id)]));
            }
        }
    }

    fn add(&mut self, place: Option<(&'static str, u64)>, said: Result<Vec<InputSaid>, String>) {
        match said {
            Ok(said) => {
                self.has_documents = true;
                self.waiting.extend(said.into_iter().map(|said| InputPart { place, said }));
            }
            Err(reason) => self.refuse(place, reason),
        }
    }

    fn refuse(&mut self, place: Option<(&'static str, u64)>, reason: impl Into<String>) {
        self.has_documents = true;
        self.waiting.push_back(InputPart::refused(place, reason));
    }
}

impl<R: Read> Iterator for FhirNotes<R> {
    type Item = Result<InputPart, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(part) = self.waiting.pop_front() {
                return Some(Ok(part));
            }
            match self.rest {
                Rest::Unknown | Rest::ByLine => {
                    if let Err(error) = self.read() {
                        self.rest = Rest::Told;
                        return Some(Err(FormatError::file("read", &self.path)(error)));
                    }
                }
                Rest::Ended => {
                    self.rest = Rest::Told;
                    // An export without documents may have an empty file.
                    if !self.has_documents && self.line > 0 {
                        self.refuse(None, "holds no DocumentReference; give the file that has the documents");
                    }
                }
                Rest::Told => return None,
            }
        }
    }
}

/// The document that an entry of a bundle has.
fn document_of(entry: &Value) -> Option<&Value> {
    let resource = entry.get("resource")?;
    let is_document = resource.get("resourceType").is_some_and(|named| named == DOCUMENT);
    is_document.then_some(resource)
}

/// The note of the document that an entry of a bundle deletes, if it does.
fn deleted(entry: &Value, inputs: &Inputs) -> Result<Option<String>, String> {
    if text(entry, "/request/method")? != Some("DELETE") {
        return Ok(None);
    }
    let url = text(entry, "/request/url")?.unwrap_or_default();
    let Some((_, id)) = url.rsplit_once(DOCUMENT) else { return Ok(None) };
    // Histories name the version in which it was deleted.
    let id = id.split("/_history/").next().unwrap_or(id);
    match id.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains('/')) {
        Some(id) if inputs.note_id_system.is_none() => Ok(Some(id.to_owned())),
        _ => Err("request.url deletes a document by another name than note ids have; withdraw that note by itself"
            .to_owned()),
    }
}

/// The id of the resource that `reference` names: of a URL its last part, without the version.
fn reference_id(reference: &str) -> &str {
    if let Some(uuid) = reference.strip_prefix("urn:uuid:") {
        return uuid;
    }
    let versionless = reference.split("/_history/").next().unwrap_or(reference);
    versionless.rsplit('/').next().unwrap_or(versionless)
}

#[cfg(test)]
mod tests;
