//! From bytes to notes, references, teachers' labels and activations of students.
//!
//! In: [`Input`]s. Out: what happens to notes, what happens to references and labels, who is to tag, and what leaves at once: dead
//! letters with the original bytes, and offsets. State: none. Emits at once, in order of arrival.

mod cohorts;

pub use self::cohorts::{CohortTopics, DecodeCohorts, DecodedCohorts, definition_of, membership_of};

use crate::output::{Fork, dead_letter, fork, letter_of_again};
use crate::tag::Activations;
use crate::{Epoch, Input, Output, Position, Record, ReferenceKey, ReferenceUpsert, WireError, WireFormat};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use stillroom_schemas::{Activation, CohortError, Note, NoteState, Reference, Stage, Task, TextHash};
use timely::dataflow::StreamVec;

/// Bytes of an id, a type, a site or an annotator at most.
pub const NAME_BYTES_MAX: usize = 1024;

/// What `Decode` must know of the topics.
#[derive(Clone)]
pub struct DecodeConfig {
    /// The topic of notes; what is read from a topic that is not named here is a reference.
    pub notes: Arc<str>,
    /// The topic of teachers' labels.
    pub labels: Arc<str>,
    /// The topic of activations.
    pub models: Arc<str>,
    /// Bytes of a note's record at most; a larger one is a dead letter.
    pub note_bytes_max: usize,
    /// How values stand on the wire.
    pub wire: Arc<dyn WireFormat>,
}

/// A note and the record that it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct NoteRecord {
    /// The note.
    pub note: Note,
    /// Of its text.
    pub text_hash: TextHash,
    /// The original, for a dead letter if a later operator fails.
    pub record: Arc<Record>,
    /// Whether the record was extracted before and is read again, for another student or another interpretation.
    pub is_again: bool,
}

/// What happens to a note.
#[derive(Clone, Debug, PartialEq)]
pub enum NoteEvent {
    /// A revision, which may be the first, or one that is read again.
    Revised(Box<NoteRecord>),
    /// A tombstone.
    Withdrawn {
        /// The note.
        note_id: String,
        /// Of the tombstone.
        position: Position,
    },
    /// What an earlier run knew.
    Restored {
        /// The note's partition.
        partition: u32,
        /// What was known.
        state: Box<NoteState>,
    },
}

/// What `Decode` hands on.
pub struct Decoded<'scope> {
    /// To `LatestNotes`.
    pub notes: StreamVec<'scope, Epoch, NoteEvent>,
    /// To `Score`.
    pub references: StreamVec<'scope, Epoch, ReferenceUpsert>,
    /// To `Tag` on every worker.
    pub activations: Activations<'scope>,
    /// To the sink.
    pub outputs: StreamVec<'scope, Epoch, Output>,
}

/// Decodes records.
pub trait Decode<'scope> {
    /// Decodes notes, references, labels and their tombstones, and activations. A record that cannot be decoded leaves as a dead letter that says
    /// what is wrong and where, in words that carry nothing of its value. An empty text is a note like any other.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stillroom_dataflow::{Decode, DecodeConfig, Input, NoteEvent, Output, PlainJson, Position, Record};
    /// use timely::dataflow::operators::{Capture, ToStream, capture::Extract, vec::Map};
    ///
    /// let (notes, letters) = timely::execute_directly(|worker| {
    ///     worker.dataflow::<u64, _, _>(|scope| {
    ///         let record = |offset, value: &str| Input::Record(Record {
    ///             topic: "notes".into(),
    ///             position: Position { partition: 0, offset },
    ///             key: Some(b"n1".to_vec()),
    ///             value: Some(value.into()),
    ///             ..Record::default()
    ///         });
    ///         let good = record(0, r#"{"note_id":"n1","text":"No fever."}"#);
    ///         let bad = record(1, r#"{"note_id":"n1"}"#);
    ///         let wire = Arc::new(PlainJson);
    ///         let (notes, labels, models) = ("notes".into(), "labels".into(), "models".into());
    ///         let config = DecodeConfig { notes, labels, models, note_bytes_max: 1000, wire };
    ///         let decoded = [good, bad].to_stream(scope).container::<Vec<_>>().decode(config);
    ///         let notes = decoded.notes.map(|note| matches!(note, NoteEvent::Revised(_)));
    ///         let letters = decoded.outputs.map(|output| match output {
    ///             Output::DeadLettered { letter, .. } => letter.error,
    ///             other => unreachable!("{other:?}"),
    ///         });
    ///         (notes.capture(), letters.capture())
    ///     })
    /// });
    /// assert_eq!(notes.extract(), [(0, vec![true])]);
    /// assert_eq!(letters.extract(), [(0, vec!["the field text is missing; add it".to_owned()])]);
    /// ```
    fn decode(self, config: DecodeConfig) -> Decoded<'scope>;
}

impl<'scope> Decode<'scope> for StreamVec<'scope, Epoch, Input> {
    fn decode(self, config: DecodeConfig) -> Decoded<'scope> {
        let (events, outputs) = fork(self, "Decode", move |input| match input {
            Input::Record(record) => decode_or_letter(record, &config),
            Input::Again(record) => decode_again(record, &config),
            Input::Restored { partition, state } => {
                Fork::On(Event::Of(OfNote::Note(NoteEvent::Restored { partition, state })))
            }
            Input::Next { topic, partition, next } => Fork::Off(Output::Next { topic, partition, next }),
        });
        let (activations, events) = fork(events, "SplitActivations", |event| match event {
            Event::Activation(activation) => Fork::On(activation),
            Event::Of(event) => Fork::Off(event),
        });
        let (notes, references) = fork(events, "SplitReferences", |event| match event {
            OfNote::Note(note) => Fork::On(note),
            OfNote::Reference(reference) => Fork::Off(reference),
        });
        Decoded { notes, references, activations, outputs }
    }
}

/// What a record says.
enum Event {
    Activation((u64, Activation)),
    Of(OfNote),
}

/// What a record says of a note.
enum OfNote {
    Note(NoteEvent),
    Reference(ReferenceUpsert),
}

/// The key of a reference's record: a JSON array of the note and the annotator, so that a tombstone can name both.
pub fn reference_key(note_id: &str, annotator: &str) -> Vec<u8> {
    serde_json::json!([note_id, annotator]).to_string().into_bytes()
}

/// The key of a label's record: a JSON array of the note, the teacher and the text, so that what was said of an earlier revision stays.
pub fn label_key(note_id: &str, teacher: &str, text_hash: &TextHash) -> Vec<u8> {
    serde_json::json!([note_id, teacher, text_hash]).to_string().into_bytes()
}

fn decode_or_letter(record: Record, config: &DecodeConfig) -> Fork<Event, Output> {
    let is_note = record.topic == config.notes;
    let record = Arc::new(record);
    let event = if is_note {
        decode_note(&record, config).map(|note| Event::Of(OfNote::Note(note)))
    } else if record.topic == config.models {
        decode_activation(&record).map(|activation| Event::Activation((record.position.offset, activation)))
    } else {
        decode_reference(&record, config).map(|reference| Event::Of(OfNote::Reference(reference)))
    };
    match event {
        Ok(event) => Fork::On(event),
        Err(error) => {
            let letter = dead_letter(&record, Stage::Decode, error.to_string());
            Fork::Off(Output::DeadLettered { letter, is_note, state: None })
        }
    }
}

/// A note that is read again. One that cannot be decoded any more, since bounds or schemas have changed, keeps its entities, and a
/// letter says why.
fn decode_again(record: Record, config: &DecodeConfig) -> Fork<Event, Output> {
    let record = Arc::new(record);
    match decode_note(&record, config) {
        Ok(NoteEvent::Revised(mut note)) => {
            note.is_again = true;
            Fork::On(Event::Of(OfNote::Note(NoteEvent::Revised(note))))
        }
        Ok(NoteEvent::Withdrawn { .. } | NoteEvent::Restored { .. }) => Fork::Neither,
        Err(error) => Fork::Off(letter_of_again(&record, Stage::Decode, error.to_string())),
    }
}

/// What is wrong with a record. No message carries anything of its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum DecodeError {
    #[error("the record has no key; write it under the key of its topic")]
    NoKey,
    #[error("the key is not valid UTF-8 from byte {0} on; write it as UTF-8")]
    KeyNotUtf8(usize),
    #[error("the key is empty; write the note under its note_id")]
    EmptyKey,
    #[error("the key differs from note_id; write the note under its own note_id")]
    KeyDiffers,
    #[error("the key of a reference must be the JSON array [note_id, annotator] of the reference")]
    ReferenceKey,
    #[error("the key of a label must be the JSON array [note_id, annotator, text_hash] of the label")]
    LabelKey,
    #[error("the key of an activation must be its model; write it under that")]
    ActivationKey,
    #[error("activations stand in partition 0, so that they are in one order; write it there")]
    ActivationPartition,
    #[error("the key of a cohort must be its name; write it under that")]
    CohortKey,
    #[error("cohorts stand in partition 0, so that their definitions are in one order; write it there")]
    CohortPartition,
    #[error(transparent)]
    Cohort(#[from] CohortError),
    #[error("the key of a membership must be the JSON array [cohort, patient_id] of the membership")]
    MembershipKey,
    #[error("an activation cannot be taken back; activate another student")]
    NoActivation,
    #[error("the record has {bytes} bytes, more than the {bytes_max} allowed; raise note_bytes_max or split the note")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("{field} has {bytes} bytes, more than the {NAME_BYTES_MAX} that ids and names may have; shorten it")]
    NameTooLong { field: &'static str, bytes: usize },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the value is not valid UTF-8 from byte {0} on; write it as UTF-8")]
    NotUtf8(usize),
    #[error("the value is not JSON: corrupt at line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    #[error("the field {0} is missing; add it")]
    MissingField(String),
    #[error("a field has a value of the wrong type, or a name that is not known, at line {line}, column {column}")]
    WrongValue { line: usize, column: usize },
    #[error("span {0} ends where it starts or before; correct its start and end")]
    EmptySpan(usize),
    #[error("span {index} is of the task {}, which tasks does not list as annotated; add it there", .task.name())]
    TaskNotListed { index: usize, task: Task },
}

fn decode_note(record: &Arc<Record>, config: &DecodeConfig) -> Result<NoteEvent, DecodeError> {
    if record.key.is_none() && record.value.is_some() {
        // A file's line has its key from its value, so what is wrong with the value says more.
        value_of::<Note>(record, config)?;
    }
    let key = key_of(record)?;
    if key.is_empty() {
        return Err(DecodeError::EmptyKey);
    }
    check_names([("the key", Some(key))])?;
    let Some(note) = value_of::<Note>(record, config)? else {
        return Ok(NoteEvent::Withdrawn { note_id: key.to_owned(), position: record.position });
    };
    if note.note_id != key {
        return Err(DecodeError::KeyDiffers);
    }
    let names = [
        ("patient_id", note.patient_id.as_deref()),
        ("note_type", note.note_type.as_deref()),
        ("site", note.site.as_deref()),
    ];
    check_names(names)?;
    let text_hash = TextHash::of(&note.text);
    Ok(NoteEvent::Revised(Box::new(NoteRecord { note, text_hash, record: Arc::clone(record), is_again: false })))
}

fn decode_reference(record: &Record, config: &DecodeConfig) -> Result<ReferenceUpsert, DecodeError> {
    let offset = record.position.offset;
    let is_label = record.topic == config.labels;
    let key = if is_label { label_key_of(record)? } else { reference_key_of(record)? };
    let text_hash = key.text_hash.as_ref().map(|text_hash| text_hash.0.as_str());
    check_names([("note_id", Some(&*key.note_id)), ("annotator", Some(&*key.annotator)), ("text_hash", text_hash)])?;
    let Some(reference) = value_of::<Reference>(record, config)? else { return Ok((key, (offset, None))) };
    let is_its_own = reference.note_id == key.note_id
        && reference.annotator == key.annotator
        && key.text_hash.as_ref().is_none_or(|text_hash| *text_hash == reference.text_hash);
    if !is_its_own {
        return Err(if is_label { DecodeError::LabelKey } else { DecodeError::ReferenceKey });
    }
    check_names([("text_hash", Some(reference.text_hash.0.as_str()))])?;
    for (index, span) in reference.spans.iter().enumerate() {
        if span.start >= span.end {
            return Err(DecodeError::EmptySpan(index));
        }
        if !reference.tasks.contains(&span.task) {
            return Err(DecodeError::TaskNotListed { index, task: span.task });
        }
    }
    Ok((key, (offset, Some(reference))))
}

/// The activation that a record of the topic of models holds: in the first partition, under its model, as plain JSON. What holds none
/// is a dead letter, and whoever reads the topic passes over it.
pub fn activation_of(record: &Record) -> Option<Activation> {
    decode_activation(record).ok()
}

/// What a record of the topics of references and labels says, and whose it is. What says nothing is a dead letter, and whoever
/// reads the topics passes over it.
pub fn reference_of(record: &Record, config: &DecodeConfig) -> Option<ReferenceUpsert> {
    decode_reference(record, config).ok()
}

fn decode_activation(record: &Record) -> Result<Activation, DecodeError> {
    if record.position.partition != 0 {
        return Err(DecodeError::ActivationPartition);
    }
    let activation: Activation = json_of(record.value.as_deref().ok_or(DecodeError::NoActivation)?)?;
    check_names([("model", Some(&*activation.model.0))])?;
    if activation.model.0 != key_of(record)? {
        return Err(DecodeError::ActivationKey);
    }
    Ok(activation)
}

fn reference_key_of(record: &Record) -> Result<ReferenceKey, DecodeError> {
    let (note_id, annotator) = serde_json::from_str(key_of(record)?).map_err(|_| DecodeError::ReferenceKey)?;
    Ok(ReferenceKey { note_id, annotator, text_hash: None, partition: record.position.partition })
}

fn label_key_of(record: &Record) -> Result<ReferenceKey, DecodeError> {
    let (note_id, annotator, text_hash) = serde_json::from_str(key_of(record)?).map_err(|_| DecodeError::LabelKey)?;
    Ok(ReferenceKey { note_id, annotator, text_hash: Some(text_hash), partition: record.position.partition })
}

/// Ids and names come back in keys and in every record that is written.
fn check_names<const N: usize>(names: [(&'static str, Option<&str>); N]) -> Result<(), DecodeError> {
    let too_long = names.into_iter().find_map(|(field, name)| {
        let bytes = name.map_or(0, str::len);
        (bytes > NAME_BYTES_MAX).then_some(DecodeError::NameTooLong { field, bytes })
    });
    too_long.map_or(Ok(()), Err)
}

fn key_of(record: &Record) -> Result<&str, DecodeError> {
    let key = record.key.as_deref().ok_or(DecodeError::NoKey)?;
    std::str::from_utf8(key).map_err(|error| DecodeError::KeyNotUtf8(error.valid_up_to()))
}

/// What the record holds; nothing if it is a tombstone.
fn value_of<T: DeserializeOwned>(record: &Record, config: &DecodeConfig) -> Result<Option<T>, DecodeError> {
    let Some(value) = record.value.as_deref() else { return Ok(None) };
    let (bytes, bytes_max) = (value.len(), config.note_bytes_max);
    if bytes > bytes_max {
        return Err(DecodeError::TooLarge { bytes, bytes_max });
    }
    json_of(&config.wire.to_json(&record.topic, value)?).map(Some)
}

fn json_of<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(json).map_err(|error| DecodeError::NotUtf8(error.valid_up_to()))?;
    serde_json::from_str(text).map_err(|error| without_values(&error))
}

/// `serde_json` quotes the offending value in some of its messages, so only positions are taken from them, and names of fields
/// that are ours.
fn without_values(error: &serde_json::Error) -> DecodeError {
    let (line, column) = (error.line(), error.column());
    if !error.is_data() {
        return DecodeError::NotJson { line, column };
    }
    let message = error.to_string();
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match field {
        Some(field) => DecodeError::MissingField(field.to_owned()),
        None => DecodeError::WrongValue { line, column },
    }
}

#[cfg(test)]
mod tests;
