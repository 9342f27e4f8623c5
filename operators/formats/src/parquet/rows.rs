//! The rows of the two tables, and their columns.

use super::columns::{Column, codes, cues, numbers, optional, optional_strings, required, stated, strings, structs};
use super::table::Row;
use crate::names;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, TimestampMicrosecondArray, UInt64Array};
use std::sync::Arc;
use stillroom_schemas::{Assertion, Concept, Coverage, Dosage, Entity, Extraction, OffsetUnit, Stated};
use time::OffsetDateTime;

/// A note, without its text.
pub(super) struct NoteRow {
    note_id: String,
    patient_id: Option<String>,
    revision: u64,
    note_type: Option<String>,
    site: Option<String>,
    signed_at: Option<String>,
    signed_at_micros: Option<i64>,
    text_hash: String,
    model: String,
    interpretation: Option<String>,
    offset_unit: OffsetUnit,
    coverage: Coverage,
    entities: u32,
}

/// An entity of a note.
pub(super) struct EntityRow {
    pub(super) note: Arc<NoteRow>,
    /// Its place among the entities of the note.
    pub(super) ordinal: u32,
    pub(super) entity: Entity,
}

impl NoteRow {
    /// The note of `extraction`, which was signed at `signed`.
    pub(super) fn of(extraction: &Extraction, signed: Option<OffsetDateTime>) -> NoteRow {
        let micros = |at: OffsetDateTime| at.unix_timestamp() * 1_000_000 + i64::from(at.microsecond());
        NoteRow {
            note_id: extraction.note_id.clone(),
            patient_id: extraction.patient_id.clone(),
            revision: extraction.revision,
            note_type: extraction.note_type.clone(),
            site: extraction.site.clone(),
            signed_at: extraction.signed_at.clone(),
            signed_at_micros: signed.map(micros),
            text_hash: extraction.text_hash.0.clone(),
            model: extraction.model.0.clone(),
            interpretation: extraction.interpretation.clone(),
            offset_unit: extraction.offset_unit,
            coverage: extraction.coverage,
            entities: extraction.entities.len() as u32,
        }
    }
}

/// What both tables say of a note.
fn note_columns<'a>(notes: impl Iterator<Item = &'a NoteRow> + Clone) -> Vec<Column> {
    let revisions = UInt64Array::from_iter_values(notes.clone().map(|note| note.revision));
    let signed: TimestampMicrosecondArray = notes.clone().map(|note| note.signed_at_micros).collect();
    vec![
        required("note_id", strings(notes.clone().map(|note| note.note_id.as_str()))),
        required("revision", Arc::new(revisions)),
        optional("patient_id", optional_strings(notes.clone().map(|note| note.patient_id.as_deref()))),
        optional("note_type", optional_strings(notes.clone().map(|note| note.note_type.as_deref()))),
        optional("site", optional_strings(notes.clone().map(|note| note.site.as_deref()))),
        optional("signed_at", Arc::new(signed.with_timezone("UTC"))),
        required("model", strings(notes.clone().map(|note| note.model.as_str()))),
        optional("interpretation", optional_strings(notes.clone().map(|note| note.interpretation.as_deref()))),
        required("offset_unit", strings(notes.map(|note| names::offset_unit(note.offset_unit)))),
    ]
}

impl Row for Arc<NoteRow> {
    fn columns(rows: &[Self]) -> Vec<Column> {
        let notes = rows.iter().map(|note| &**note);
        let mut columns = note_columns(notes.clone());
        columns.extend([
            optional("signed_at_as_written", optional_strings(notes.clone().map(|note| note.signed_at.as_deref()))),
            required("text_hash", strings(notes.clone().map(|note| note.text_hash.as_str()))),
            required("words", numbers(notes.clone().map(|note| note.coverage.words))),
            required("word_pieces", numbers(notes.clone().map(|note| note.coverage.word_pieces))),
            required("windows", numbers(notes.clone().map(|note| note.coverage.windows))),
            required("entities", numbers(notes.map(|note| note.entities))),
        ]);
        columns
    }

    fn bytes(&self) -> usize {
        let optional = [&self.patient_id, &self.note_type, &self.site, &self.signed_at, &self.interpretation];
        let texts = optional.into_iter().flatten().chain([&self.note_id, &self.text_hash, &self.model]);
        size_of::<NoteRow>() + texts.map(String::len).sum::<usize>()
    }
}

impl Row for EntityRow {
    fn columns(rows: &[Self]) -> Vec<Column> {
        let entities = rows.iter().map(|row| &row.entity);
        let scores = Float64Array::from_iter_values(entities.clone().map(|entity| entity.score));
        let mut columns = note_columns(rows.iter().map(|row| &*row.note));
        columns.extend([
            required("ordinal", numbers(rows.iter().map(|row| row.ordinal))),
            required("task", strings(entities.clone().map(|entity| entity.task.name()))),
            required("start", numbers(entities.clone().map(|entity| entity.start))),
            required("end", numbers(entities.clone().map(|entity| entity.end))),
            required("text", strings(entities.clone().map(|entity| entity.text.as_str()))),
            required("score", Arc::new(scores)),
        ]);
        columns.extend(assertion_columns(entities.clone().map(|entity| entity.assertion.as_ref())));
        columns.extend([
            optional("section", optional_strings(entities.clone().map(|entity| entity.section.as_deref()))),
            optional("concept", concepts(&entities.clone().map(|entity| entity.concept.as_ref()).collect::<Vec<_>>())),
            optional("dosage", dosages(&entities.map(|entity| entity.dosage.as_ref()).collect::<Vec<_>>())),
        ]);
        columns
    }

    fn bytes(&self) -> usize {
        let Entity { text, assertion, section, concept, dosage, .. } = &self.entity;
        let cues = assertion.iter().flat_map(|assertion| &assertion.cues);
        let cues: usize = cues.map(|cue| size_of_val(cue) + cue.says.len() + cue.trigger.len()).sum();
        let concept = concept.iter().map(|Concept { code, version, name, ingredients, .. }| {
            let codes = ingredients.iter().map(|code| size_of_val(code) + code.vocabulary.len() + code.code.len());
            code.vocabulary.len() + code.code.len() + version.len() + name.len() + codes.sum::<usize>()
        });
        let dosage = dosage.iter().flat_map(stated_in).flatten().map(|stated| stated.text.len());
        // The note is shared by its entities, and stays as long as one of them waits: the first one bears it.
        let note = if self.ordinal == 0 { self.note.bytes() } else { 0 };
        size_of::<EntityRow>()
            + note
            + text.len()
            + section.as_ref().map_or(0, String::len)
            + cues
            + concept.sum::<usize>()
            + dosage.sum::<usize>()
    }
}

/// How entities are meant: null where that is not told.
fn assertion_columns<'a>(assertions: impl Iterator<Item = Option<&'a Assertion>> + Clone) -> Vec<Column> {
    let all = |name: fn(&Assertion) -> &'static str| {
        optional_strings(assertions.clone().map(move |assertion| assertion.map(name)))
    };
    let is_present: BooleanArray = assertions.clone().map(|assertion| assertion.map(Assertion::is_present)).collect();
    let certainty = all(|assertion| names::certainty(assertion.certainty));
    let temporality = all(|assertion| names::temporality(assertion.temporality));
    let experiencer = all(|assertion| names::experiencer(assertion.experiencer));
    let lists: Vec<_> = assertions.map(|assertion| assertion.map(|assertion| assertion.cues.as_slice())).collect();
    vec![
        optional("certainty", certainty),
        optional("temporality", temporality),
        optional("experiencer", experiencer),
        optional("is_present", Arc::new(is_present)),
        optional("cues", cues(&lists)),
    ]
}

/// What entities name.
fn concepts(concepts: &[Option<&Concept>]) -> ArrayRef {
    let all = |text: fn(&Concept) -> &str| strings(concepts.iter().map(move |concept| concept.map_or("", text)));
    let scores = Float64Array::from_iter_values(concepts.iter().map(|concept| concept.map_or(0.0, |it| it.score)));
    let ingredients: Vec<_> = concepts.iter().map(|concept| concept.map(|it| it.ingredients.as_slice())).collect();
    let columns = vec![
        required("vocabulary", all(|concept| concept.code.vocabulary.as_str())),
        required("code", all(|concept| concept.code.code.as_str())),
        required("version", all(|concept| concept.version.as_str())),
        required("name", all(|concept| concept.name.as_str())),
        required("tier", all(|concept| names::tier(concept.tier))),
        required("score", Arc::new(scores)),
        optional("ingredients", codes(&ingredients)),
    ];
    structs(columns, concepts.iter().map(Option::is_some))
}

/// How medications are to be taken.
fn dosages(dosages: &[Option<&Dosage>]) -> ArrayRef {
    let part = |index: usize| {
        let parts: Vec<Option<&Stated>> =
            dosages.iter().map(|dosage| dosage.and_then(|dosage| stated_in(dosage)[index])).collect();
        stated(&parts)
    };
    let names = ["strength", "dose", "form", "route", "frequency", "duration"];
    let columns = names.into_iter().enumerate().map(|(index, name)| optional(name, part(index))).collect();
    structs(columns, dosages.iter().map(Option::is_some))
}

/// The parts of a dosage, in the order of its columns.
fn stated_in(dosage: &Dosage) -> [Option<&Stated>; 6] {
    let Dosage { strength, dose, form, route, frequency, duration } = dosage;
    [strength, dose, form, route, frequency, duration].map(Option::as_ref)
}
