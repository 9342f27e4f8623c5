//! What messages say of notes: documents (MDM) and reports (ORU^R01).
//!
//! A document is called by its number, TXA-12, with the namespace where it has one (`1234^EPIC`), as numbers of two systems may be the
//! same. Later messages on it have the same number: an edit (T08), and a cancellation (T11), which withdraws it. A replacement (T10) has a
//! number of its own and withdraws the one that TXA-13 names; an addendum (T06) is a note of its own. A report is called by its filler's
//! number, OBR-3.
//!
//! Messages do not count revisions, so the second at which a message was sent (MSH-7) is that of its note: later ones are higher.

use super::super::times::{offset, unix_seconds, written};
use super::super::{InputSaid, Times};
use super::message::{Message, Segment};
use crate::dates::Signed;
use stillroom_schemas::Note;
use time::{Date, Month, Time, UtcOffset};

/// Types of values that are text: lines, formatted lines, and strings.
const TEXT_TYPES: [&str; 3] = ["TX", "FT", "ST"];

/// What stands in the header for all notes of a message.
struct Sent<'t> {
    times: &'t Times,
    /// The zone of times that do not tell theirs.
    zone: Option<UtcOffset>,
    revision: u64,
    site: Option<String>,
}

/// What `message` says: withdrawals and notes, in its order.
///
/// # Errors
/// Names the field that is wrong, and what to do.
pub(super) fn said(message: &Message, times: &Times) -> Result<Vec<InputSaid>, String> {
    let header = message.header();
    let kind = message.component(header, 9, 1)?.unwrap_or_default();
    let event = match (message.component(header, 9, 2)?, message.segment("EVN")) {
        (Some(event), _) => event,
        (None, Some(event)) => message.component(event, 1, 1)?.unwrap_or_default(),
        (None, None) => String::new(),
    };
    let sent_at = time_of(message, header, 7)?;
    let zone = sent_at.and_then(|at| at.offset);
    let revision = sent_at.map_or(0, |at| unix_seconds(times.complete(at, None)));
    let sent = Sent { times, zone, revision, site: message.component(header, 4, 1)? };
    match (&*kind, &*event) {
        ("MDM", "T02" | "T04" | "T06" | "T08" | "T10" | "T11") => document(message, &event, &sent),
        ("ORU", "R01") => reports(message, &sent),
        _ => Err(format!(
            "is of the type {}^{} in MSH-9, which has no text of a note; MDM^T02, T04, T06, T08, T10 and T11 and ORU^R01 are read",
            shown(&kind),
            shown(&event)
        )),
    }
}

fn document(message: &Message, event: &str, sent: &Sent) -> Result<Vec<InputSaid>, String> {
    let of_document = message.segment("TXA").ok_or("has no segment TXA; a document has one")?;
    let note_id = number(message, of_document, 12)?.ok_or("has no document number in TXA-12; give it one")?;
    if event == "T11" {
        return Ok(vec![InputSaid::Withdrawn(note_id)]);
    }
    let values: Vec<&Segment> = message.segments.iter().filter(|segment| segment.is("OBX")).collect();
    let note = Note {
        patient_id: patient(message, message.segment("PID"))?,
        revision: sent.revision,
        note_type: message.component(of_document, 2, 1)?,
        site: sent.site.clone(),
        // When it was authenticated is in the fifteenth component of who did.
        signed_at: signed_at(message, of_document, (&[(22, 15), (4, 1), (6, 1), (7, 1)], sent))?,
        text: body(message, &values)?.ok_or_else(|| no_text(message, &values))?,
        note_id,
    };
    let parent = if event == "T10" { number(message, of_document, 13)? } else { None };
    let replaced = parent.filter(|parent| *parent != note.note_id).map(InputSaid::Withdrawn);
    Ok(replaced.into_iter().chain([InputSaid::Note(note)]).collect())
}

/// The reports of a message that have texts; one that was cancelled is withdrawn.
fn reports(message: &Message, sent: &Sent) -> Result<Vec<InputSaid>, String> {
    let mut said = Vec::new();
    let mut of_patient = None;
    for (at, segment) in message.segments.iter().enumerate() {
        if segment.is("PID") {
            of_patient = Some(segment);
        }
        if !segment.is("OBR") {
            continue;
        }
        let rest = message.segments[at + 1..].iter().take_while(|segment| !segment.is("OBR") && !segment.is("PID"));
        let values: Vec<&Segment> = rest.filter(|segment| segment.is("OBX")).collect();
        let is_cancelled = message.component(segment, 25, 1)?.as_deref() == Some("X");
        let text = body(message, &values)?;
        if text.is_none() && !is_cancelled {
            continue;
        }
        let of_filler = number(message, segment, 3)?;
        let note_id = match of_filler {
            Some(note_id) => note_id,
            None => number(message, segment, 2)?.ok_or("has no order number in OBR-3 or OBR-2; give it one")?,
        };
        let Some(text) = text.filter(|_| !is_cancelled) else {
            said.push(InputSaid::Withdrawn(note_id));
            continue;
        };
        said.push(InputSaid::Note(Note {
            note_id,
            patient_id: patient(message, of_patient)?,
            revision: sent.revision,
            note_type: message.component(segment, 24, 1)?.or(message.component(segment, 4, 1)?),
            site: sent.site.clone(),
            signed_at: signed_at(message, segment, (&[(22, 1), (7, 1)], sent))?,
            text,
        }));
    }
    let values: Vec<&Segment> = message.segments.iter().filter(|segment| segment.is("OBX")).collect();
    if said.is_empty() { Err(no_text(message, &values)) } else { Ok(said) }
}

/// The text in these values, in their order, each from a line of its own; nothing where none of them is text.
fn body(message: &Message, values: &[&Segment]) -> Result<Option<String>, String> {
    let mut lines = Vec::new();
    for value in values {
        let value_type = message.component(value, 2, 1)?.unwrap_or_default();
        let status = message.component(value, 11, 1)?;
        // Deleted, wrong, or not to be had.
        let is_void = matches!(status.as_deref(), Some("D" | "W" | "X"));
        if TEXT_TYPES.contains(&&*value_type) && !is_void {
            lines.push(message.lines(value, 5)?);
        }
    }
    Ok(Some(lines).filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")))
}

fn no_text(message: &Message, values: &[&Segment]) -> String {
    let types = values.iter().filter_map(|value| message.component(value, 2, 1).ok().flatten());
    let mut types: Vec<String> = types.map(|value_type| shown(&value_type)).collect();
    types.sort_unstable();
    types.dedup();
    let there = if types.is_empty() { "none".to_owned() } else { types.join(", ") };
    format!("has no text: of its OBX none is of the type TX, FT or ST and stands; there is {there}")
}

/// The number of an entity, with its namespace where it has one.
fn number(message: &Message, segment: &Segment, field: usize) -> Result<Option<String>, String> {
    let Some(number) = message.component(segment, field, 1)? else { return Ok(None) };
    let namespace = message.component(segment, field, 2)?;
    Ok(Some(namespace.map_or(number.clone(), |namespace| format!("{number}^{namespace}"))))
}

/// The patient's medical record number, or else the first of the patient's numbers.
fn patient<'m>(message: &Message<'m>, of_patient: Option<&Segment<'m>>) -> Result<Option<String>, String> {
    let Some(of_patient) = of_patient else { return Ok(None) };
    let mut first = None;
    for repetition in message.repetitions(of_patient, 3) {
        let number = message.component_of(of_patient, 3, (repetition, 1))?;
        if number.is_some() && message.component_of(of_patient, 3, (repetition, 5))?.as_deref() == Some("MR") {
            return Ok(number);
        }
        first = first.or(number);
    }
    Ok(first)
}

/// The first of some times, each a field and its component, that is there.
fn signed_at(
    message: &Message,
    segment: &Segment,
    (fields, sent): (&[(usize, usize)], &Sent),
) -> Result<Option<String>, String> {
    for &(field, component) in fields {
        if let Some(text) = message.component(segment, field, component)? {
            let signed = timestamp(&text).ok_or_else(|| no_time(segment, field))?;
            return Ok(signed.map(|signed| written(sent.times.complete(signed, sent.zone))));
        }
    }
    Ok(None)
}

fn time_of(message: &Message, segment: &Segment, field: usize) -> Result<Option<Signed>, String> {
    let text = message.component(segment, field, 1)?;
    let time = text.map(|text| timestamp(&text).ok_or_else(|| no_time(segment, field)));
    Ok(time.transpose()?.flatten())
}

fn no_time(segment: &Segment, field: usize) -> String {
    format!("has no time in {}-{field}; write it as YYYYMMDDHHMMSS+ZZZZ", segment.name())
}

/// `YYYY[MM[DD[HH[MM[SS[.S]]]]]][+ZZZZ]`; `None` for what is none, and no date for one that is not known to the day.
fn timestamp(text: &str) -> Option<Option<Signed>> {
    let (local, zone) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let offset = if zone.is_empty() { None } else { Some(offset(zone)?) };
    let (digits, fraction) = local.split_once('.').unwrap_or((local, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14) && (fraction.is_empty() || digits.len() == 14);
    if !is_whole || !are_digits(digits) || !are_digits(fraction) {
        return None;
    }
    let part = |from: usize| digits.get(from..from + 2).map_or(Some(0), |part| part.parse::<u8>().ok());
    if digits.len() < 8 {
        return Some(None);
    }
    let month = Month::try_from(part(4)?).ok()?;
    let year: i32 = digits[..4].parse().ok()?;
    let date = Date::from_calendar_date(year, month, part(6)?).ok().filter(|date| date.year() > 0)?;
    let time = Time::from_hms(part(8)?, part(10)?, part(12)?).ok()?;
    Some(Some(Signed { date, time: (digits.len() > 8).then_some(time), offset }))
}

/// A code, if it looks like one.
fn shown(code: &str) -> String {
    let is_code = (1..=8).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_code { code.to_owned() } else { "?".to_owned() }
}
