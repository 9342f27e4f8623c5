//! What a `DocumentReference` says (<https://hl7.org/fhir/R4/documentreference.html>).
//!
//! - The note's id is the resource's: it stays the same over the versions that `meta.versionId` counts, and other documents refer to it.
//!   A master identifier is one of a version, by the specification, so it stands in only where a resource has no id. A site whose ids
//!   are identifiers names their system.
//! - The revision is `meta.versionId` where that is a whole number, or else the second of `meta.lastUpdated`. A server does the same
//!   for all versions of a document.
//! - A document that replaces others is a note of its own, and withdraws theirs: which of them was first in a chain is not to be seen
//!   from the last. One that is superseded or was entered in error is withdrawn, whatever the order in which they come.

use super::super::times::{unix_seconds, written};
use super::super::{InputSaid, Inputs};
use super::json::{items, text};
use super::{Bundled, reference_id};
use crate::dates::Signed;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stillroom_schemas::Note;

const NOT_PLAIN: &str = "and only text/plain is read; have the source send that, or convert it before";

/// What `document` says: withdrawals, and then at most one note.
///
/// # Errors
/// Names the field that is wrong, and what to do.
pub(super) fn said(document: &Value, bundled: &Bundled, inputs: &Inputs) -> Result<Vec<InputSaid>, String> {
    let note_id = note_id(document, bundled.full_url, inputs)?;
    if is_withdrawn(document)? {
        return Ok(vec![InputSaid::Withdrawn(note_id)]);
    }
    let note = Note {
        patient_id: patient(document)?,
        revision: revision(document)?,
        note_type: code(document, "/type")?,
        site: site(document)?,
        signed_at: signed_at(document, inputs)?,
        text: body(document)?,
        note_id,
    };
    let mut said = Vec::new();
    for at in 0..items(document, "/relatesTo")?.len() {
        if text(document, &format!("/relatesTo/{at}/code"))? == Some("replaces") {
            let replaced = replaced(document, at, bundled, inputs)?;
            said.extend((replaced != note.note_id).then_some(InputSaid::Withdrawn(replaced)));
        }
    }
    said.push(InputSaid::Note(note));
    Ok(said)
}

/// The note's id of `document`, which a bundle calls `full_url`.
pub(super) fn note_id(document: &Value, full_url: Option<&str>, inputs: &Inputs) -> Result<String, String> {
    if let Some(system) = inputs.note_id_system.as_deref() {
        let identifiers = items(document, "/identifier")?.iter().chain(document.get("masterIdentifier"));
        for identifier in identifiers {
            if text(identifier, "/system")? == Some(system)
                && let Some(value) = text(identifier, "/value")?
            {
                return Ok(value.to_owned());
            }
        }
        return Err(format!(
            "has no identifier of the system {system}, which note_id_system names; correct one of them"
        ));
    }
    let pointers = ["/id", "/masterIdentifier/value", "/identifier/0/value"];
    for pointer in pointers {
        if let Some(id) = text(document, pointer)? {
            return Ok(id.to_owned());
        }
    }
    let of_bundle = full_url.map(reference_id).filter(|id| !id.is_empty());
    of_bundle.map(str::to_owned).ok_or_else(|| "has neither an id nor an identifier; give it one".to_owned())
}

/// The note's id of the document that `relatesTo[at]` refers to.
fn replaced(document: &Value, at: usize, bundled: &Bundled, inputs: &Inputs) -> Result<String, String> {
    let target = format!("/relatesTo/{at}/target");
    let by_identifier = text(document, &format!("{target}/identifier/value"))?;
    if let Some(system) = inputs.note_id_system.as_deref() {
        let is_its = text(document, &format!("{target}/identifier/system"))? == Some(system);
        if let Some(value) = by_identifier.filter(|_| is_its) {
            return Ok(value.to_owned());
        }
    }
    let reference = text(document, &format!("{target}/reference"))?;
    if let Some(note_id) = reference.and_then(|reference| bundled.note_ids.get(reference)) {
        return Ok(note_id.clone());
    }
    let named = match inputs.note_id_system {
        Some(_) => None,
        None => reference.map(reference_id).filter(|id| !id.is_empty()).or(by_identifier),
    };
    named.map(str::to_owned).ok_or_else(|| {
        format!("relatesTo[{at}] replaces a document by another name than note ids have; withdraw that note by itself")
    })
}

fn is_withdrawn(document: &Value) -> Result<bool, String> {
    if text(document, "/docStatus")? == Some("entered-in-error") {
        return Ok(true);
    }
    match text(document, "/status")? {
        Some("current") | None => Ok(false),
        Some("superseded" | "entered-in-error") => Ok(true),
        Some(_) => Err("status is none of current, superseded and entered-in-error; correct it".to_owned()),
    }
}

fn revision(document: &Value) -> Result<u64, String> {
    let version = text(document, "/meta/versionId")?.and_then(|version| version.parse::<i64>().ok());
    if let Some(version) = version.and_then(|version| u64::try_from(version).ok()) {
        return Ok(version);
    }
    match text(document, "/meta/lastUpdated")? {
        None => Ok(0),
        Some(updated) => Signed::of(updated).map(unix_seconds).ok_or_else(|| no_time("meta.lastUpdated")),
    }
}

fn signed_at(document: &Value, inputs: &Inputs) -> Result<Option<String>, String> {
    let Some(date) = text(document, "/date")? else { return Ok(None) };
    let signed = Signed::of(date).ok_or_else(|| no_time("date"))?;
    Ok(Some(written(inputs.times.complete(signed, None))))
}

fn no_time(field: &str) -> String {
    format!("{field} is no instant of FHIR, such as 2026-11-27T08:00:00Z; correct it")
}

/// The patient that the subject refers to; others, as groups and devices, have no patient's id.
fn patient(document: &Value) -> Result<Option<String>, String> {
    let is_patient = |reference: &&str| !reference.starts_with('#') && is_of_type(reference, "Patient");
    let reference = text(document, "/subject/reference")?.filter(is_patient).map(reference_id);
    let named = reference.filter(|id| !id.is_empty()).or(text(document, "/subject/identifier/value")?);
    Ok(named.map(str::to_owned))
}

/// Whether a reference is to a resource of that type, as far as it tells.
fn is_of_type(reference: &str, resource_type: &str) -> bool {
    let mut parts = reference.split("/_history/").next().unwrap_or_default().rsplit('/');
    let (_id, parent) = (parts.next(), parts.next());
    parent.is_none_or(|parent| parent == resource_type)
}

/// The hospital that keeps the document.
fn site(document: &Value) -> Result<Option<String>, String> {
    let reference = text(document, "/custodian/reference")?.filter(|reference| !reference.starts_with('#'));
    let reference = reference.map(reference_id).filter(|id| !id.is_empty());
    let named = match reference {
        Some(reference) => Some(reference),
        None => text(document, "/custodian/identifier/value")?.or(text(document, "/custodian/display")?),
    };
    Ok(named.map(str::to_owned))
}

/// The code of a concept: that of LOINC, or else the first, or else its text.
fn code(document: &Value, pointer: &str) -> Result<Option<String>, String> {
    let codings = items(document, &format!("{pointer}/coding"))?;
    let mut first = None;
    for coding in codings {
        if let Some(code) = text(coding, "/code")? {
            if text(coding, "/system")? == Some("http://loinc.org") {
                return Ok(Some(code.to_owned()));
            }
            first = first.or(Some(code));
        }
    }
    let named = first.or(text(document, &format!("{pointer}/text"))?);
    Ok(named.map(str::to_owned))
}

/// The text of the first content that is plain text and is there: contents are the same document in different formats.
fn body(document: &Value) -> Result<String, String> {
    let contents = items(document, "/content")?;
    let (mut others, mut elsewhere) = (Vec::new(), None);
    for at in 0..contents.len() {
        let attachment = format!("/content/{at}/attachment");
        let content_type = text(document, &format!("{attachment}/contentType"))?.unwrap_or_default().to_lowercase();
        let (media, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
        if media.trim() != "text/plain" {
            others.push(shown_type(media.trim()));
            continue;
        }
        let Some(data) = text(document, &format!("{attachment}/data"))? else {
            let is_elsewhere = text(document, &format!("{attachment}/url"))?.is_some();
            let why = if is_elsewhere { "has its data at a URL, which is not fetched" } else { "has no data" };
            let reason = format!("content[{at}].attachment {why}; have the source put them into the resource");
            elsewhere = elsewhere.or(Some(reason));
            continue;
        };
        return plain(data, parameters).map_err(|what| format!("content[{at}].attachment.data {what}"));
    }
    if let Some(reason) = elsewhere {
        return Err(reason);
    }
    match others.as_slice() {
        [] => Err("content is empty; a note needs an attachment of text/plain".to_owned()),
        others => Err(format!("content is of the type {} {NOT_PLAIN}", others.join(" and "))),
    }
}

/// The text that Base64 holds, with the parameters of its media type.
fn plain(data: &str, parameters: &str) -> Result<String, String> {
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(data).map_err(|_| "is no Base64; get it again".to_owned())?;
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    match charset.map(|charset| charset.trim_matches('"')).unwrap_or("utf-8") {
        "utf-8" | "utf8" | "us-ascii" => String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            format!("is not UTF-8 from its byte {byte} on; convert it, or say its charset in contentType")
        }),
        "iso-8859-1" | "latin1" => Ok(bytes.into_iter().map(char::from).collect()),
        _ => Err("is in a charset that is not read; convert it to UTF-8".to_owned()),
    }
}

/// A media type, if it looks like one.
fn shown_type(media: &str) -> String {
    let is_of_types = |byte: u8| byte.is_ascii_alphanumeric() || b"/.+-".contains(&byte);
    match media {
        "" => "that contentType does not tell".to_owned(),
        _ if media.len() <= 80 && media.bytes().all(is_of_types) => media.to_owned(),
        _ => "that contentType tells".to_owned(),
    }
}
