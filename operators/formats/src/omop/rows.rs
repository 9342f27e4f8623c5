//! What the tables say of a note and of a mention.

use super::concepts::ConceptIds;
use super::sheet::Field;
use super::text::{CodePoints, cut, storable};
use crate::dates::Signed;
use crate::names;
use serde::Serialize;
use stillroom_schemas::{Assertion, Certainty, Dosage, Entity, Experiencer, Extraction, Note, Temporality};
use time::{Date, OffsetDateTime, Time};

/// NOTE, as the specification of version 5.4 has it.
pub(super) const NOTE: [&str; 16] = [
    "note_id",
    "person_id",
    "note_date",
    "note_datetime",
    "note_type_concept_id",
    "note_class_concept_id",
    "note_title",
    "note_text",
    "encoding_concept_id",
    "language_concept_id",
    "provider_id",
    "visit_occurrence_id",
    "visit_detail_id",
    "note_source_value",
    "note_event_id",
    "note_event_field_concept_id",
];

/// NOTE_NLP, as the specification of version 5.4 has it.
pub(super) const NOTE_NLP: [&str; 14] = [
    "note_nlp_id",
    "note_id",
    "section_concept_id",
    "snippet",
    "offset",
    "lexical_variant",
    "note_nlp_concept_id",
    "note_nlp_source_concept_id",
    "nlp_system",
    "nlp_date",
    "nlp_datetime",
    "term_exists",
    "term_temporal",
    "term_modifiers",
];

/// What NOTE cannot hold of a note.
pub(super) const NOTE_STILLROOM: [&str; 13] = [
    "note_id",
    "source_note_id",
    "patient_id",
    "revision",
    "note_type",
    "site",
    "signed_at",
    "text_hash",
    "model",
    "interpretation",
    "words",
    "word_pieces",
    "windows",
];

/// What NOTE_NLP cannot hold of a mention.
pub(super) const NOTE_NLP_STILLROOM: [&str; 20] = [
    "note_nlp_id",
    "note_id",
    "task",
    "start_offset",
    "end_offset",
    "score",
    "certainty",
    "temporality",
    "experiencer",
    "cues",
    "section",
    "vocabulary",
    "code",
    "vocabulary_version",
    "concept_name",
    "match_tier",
    "match_score",
    "ingredients",
    "dosage",
    "model",
];

/// "EHR note": notes come from a record of care.
const EHR_NOTE: i64 = 32831;

/// "UTF-8", the only encoding of OMOP.
const UTF_8: i64 = 32678;

/// "English language", which the student reads.
const ENGLISH: i64 = 4180186;

/// OMOP's "No matching concept".
const NO_CONCEPT: i64 = 0;

/// NOTE's row.
pub(super) fn note(note: &Note, [note_id, person_id]: [i64; 2], (date, time): When) -> Vec<Field<'_>> {
    vec![
        Field::Number(note_id),
        Field::Number(person_id),
        Field::from(date.to_string()),
        time.map_or(Field::Null, |time| Field::from(datetime(date, time))),
        Field::Number(EHR_NOTE),
        Field::Number(NO_CONCEPT),
        Field::Null,
        Field::text(&note.text),
        Field::Number(UTF_8),
        Field::Number(ENGLISH),
        Field::Null,
        Field::Null,
        Field::Null,
        note.note_type.as_ref().map_or(Field::Null, |name| short(name, 50)),
        Field::Null,
        Field::Null,
    ]
}

/// The date of a note, and the time of day where it is known.
pub(super) type When = (Date, Option<Time>);

/// When a note was signed; `undated` where that is not known.
pub(super) fn when(extraction: &Extraction, undated: Option<Date>) -> Option<When> {
    let signed = extraction.signed_at.as_deref().and_then(Signed::of);
    signed.map(|signed| (signed.date, signed.time)).or(undated.map(|date| (date, None)))
}

/// The row beside NOTE's.
pub(super) fn note_beside(extraction: &Extraction, note_id: i64) -> Vec<Field<'_>> {
    let coverage = extraction.coverage;
    vec![
        Field::Number(note_id),
        Field::text(&extraction.note_id),
        Field::optional(extraction.patient_id.as_deref()),
        // It may be above what a signed number holds.
        Field::from(extraction.revision.to_string()),
        Field::optional(extraction.note_type.as_deref()),
        Field::optional(extraction.site.as_deref()),
        Field::optional(extraction.signed_at.as_deref()),
        Field::text(&extraction.text_hash.0),
        Field::text(&extraction.model.0),
        Field::optional(extraction.interpretation.as_deref()),
        Field::Number(coverage.words.into()),
        Field::Number(coverage.word_pieces.into()),
        Field::Number(coverage.windows.into()),
    ]
}

/// A mention in its note.
pub(super) struct Mention<'a> {
    pub(super) note_nlp_id: i64,
    pub(super) note_id: i64,
    /// With positions in code points.
    pub(super) entity: &'a Entity,
    pub(super) text: &'a CodePoints<'a>,
    pub(super) concepts: ConceptIds,
    pub(super) model: &'a str,
}

/// NOTE_NLP's row, for a note that was read at `at`, in UTC.
pub(super) fn mention<'a>(mention: &Mention<'a>, at: OffsetDateTime) -> Vec<Field<'a>> {
    let entity = mention.entity;
    let assertion = entity.assertion.as_ref();
    vec![
        Field::Number(mention.note_nlp_id),
        Field::Number(mention.note_id),
        // Of sections only our own names are known.
        entity.section.as_ref().map_or(Field::Null, |_| Field::Number(NO_CONCEPT)),
        Field::from(mention.text.snippet(entity.start, entity.end, 250)),
        Field::from(entity.start.to_string()),
        short(&entity.text, 250),
        Field::Number(mention.concepts.standard.into()),
        Field::Number(mention.concepts.source.into()),
        Field::from(cut(&format!("stillroom {}, {}", env!("CARGO_PKG_VERSION"), mention.model), 250).to_owned()),
        Field::from(at.date().to_string()),
        Field::from(datetime(at.date(), at.time())),
        assertion.map_or(Field::Null, |assertion| Field::text(if exists(assertion) { "Y" } else { "N" })),
        Field::optional(assertion.and_then(|assertion| temporal(assertion.temporality))),
        modifiers(assertion, entity.dosage.as_ref()).map_or(Field::Null, Field::from),
    ]
}

/// The row beside NOTE_NLP's.
pub(super) fn mention_beside<'a>(mention: &Mention<'a>) -> Vec<Field<'a>> {
    let entity = mention.entity;
    let (assertion, concept) = (entity.assertion.as_ref(), entity.concept.as_ref());
    vec![
        Field::Number(mention.note_nlp_id),
        Field::Number(mention.note_id),
        Field::text(entity.task.name()),
        Field::Number(entity.start.into()),
        Field::Number(entity.end.into()),
        Field::Real(entity.score),
        Field::optional(assertion.map(|assertion| names::certainty(assertion.certainty))),
        Field::optional(assertion.map(|assertion| names::temporality(assertion.temporality))),
        Field::optional(assertion.map(|assertion| names::experiencer(assertion.experiencer))),
        json(assertion.map(|assertion| &assertion.cues)),
        Field::optional(entity.section.as_deref()),
        Field::optional(concept.map(|concept| concept.code.vocabulary.as_str())),
        Field::optional(concept.map(|concept| concept.code.code.as_str())),
        Field::optional(concept.map(|concept| concept.version.as_str())),
        Field::optional(concept.map(|concept| concept.name.as_str())),
        Field::optional(concept.map(|concept| names::tier(concept.tier))),
        concept.map_or(Field::Null, |concept| Field::Real(concept.score)),
        json(concept.map(|concept| &concept.ingredients).filter(|ingredients| !ingredients.is_empty())),
        json(entity.dosage.as_ref()),
        Field::text(mention.model),
    ]
}

/// Whether "the patient actually has or had the condition": false for what is negated, not of the patient, conditional or uncertain.
fn exists(assertion: &Assertion) -> bool {
    assertion.certainty == Certainty::Affirmed
        && assertion.experiencer == Experiencer::Patient
        && assertion.temporality != Temporality::Hypothetical
}

/// "Present or just in the past"; what may come one day is neither.
fn temporal(temporality: Temporality) -> Option<&'static str> {
    match temporality {
        Temporality::Recent => Some("present"),
        Temporality::Historical => Some("past"),
        Temporality::Hypothetical => None,
    }
}

/// "All modifiers in one string", by the specification's names for those that it names.
fn modifiers(assertion: Option<&Assertion>, dosage: Option<&Dosage>) -> Option<String> {
    let mut said = Vec::new();
    if let Some(Assertion { certainty, temporality, experiencer, .. }) = assertion {
        said.push(format!("Negation={}", *certainty == Certainty::Negated));
        said.push(format!("Uncertain={}", *certainty == Certainty::Uncertain));
        said.push(format!("Subject={}", names::experiencer(*experiencer)));
        said.push(format!("History={}", *temporality == Temporality::Historical));
        said.push(format!("Conditional={}", *temporality == Temporality::Hypothetical));
    }
    if let Some(Dosage { strength, dose, form, route, frequency, duration }) = dosage {
        let parts = [strength, dose, form, route, frequency, duration];
        let named = ["Strength", "Dose", "Form", "Route", "Frequency", "Duration"].into_iter().zip(parts);
        // In the note's words, which may have what parts modifiers.
        let plain = |text: &str| text.replace([';', '=', '\0'], " ");
        said.extend(named.filter_map(|(name, part)| part.as_ref().map(|part| format!("{name}={}", plain(&part.text)))));
    }
    // Whole modifiers alone, as many as fit.
    while said.iter().map(|modifier| modifier.len() + 1).sum::<usize>() > 2001 {
        said.pop();
    }
    (!said.is_empty()).then(|| said.join(";"))
}

/// A text that fits `bytes_max`.
fn short(text: &str, bytes_max: usize) -> Field<'_> {
    match storable(text) {
        std::borrow::Cow::Borrowed(text) => Field::text(cut(text, bytes_max)),
        std::borrow::Cow::Owned(text) => Field::from(cut(&text, bytes_max).to_owned()),
    }
}

/// As in the record.
fn json<'a>(value: Option<&impl Serialize>) -> Field<'a> {
    let text = value.map(|value| serde_json::to_string(value).expect("records are always JSON"));
    text.map_or(Field::Null, Field::from)
}

/// As SQL writes a timestamp.
fn datetime(date: Date, time: Time) -> String {
    format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::Stated;

    fn check(certainty: &str, temporality: &str, experiencer: &str, expected: &str) {
        let axes = serde_json::json!({"certainty": certainty, "temporality": temporality, "experiencer": experiencer});
        let assertion: Assertion = serde_json::from_value(axes).unwrap();
        let said = format!(
            "{} {} {}",
            if exists(&assertion) { "Y" } else { "N" },
            temporal(assertion.temporality).unwrap_or("null"),
            modifiers(Some(&assertion), None).unwrap()
        );
        assert_eq!(said, expected);
    }

    #[test]
    fn how_a_mention_is_meant() {
        check(
            "affirmed",
            "recent",
            "patient",
            "Y present Negation=false;Uncertain=false;Subject=patient;History=false;Conditional=false",
        );
        check(
            "affirmed",
            "historical",
            "patient",
            "Y past Negation=false;Uncertain=false;Subject=patient;History=true;Conditional=false",
        );
        check(
            "negated",
            "recent",
            "patient",
            "N present Negation=true;Uncertain=false;Subject=patient;History=false;Conditional=false",
        );
        check(
            "uncertain",
            "recent",
            "patient",
            "N present Negation=false;Uncertain=true;Subject=patient;History=false;Conditional=false",
        );
        check(
            "affirmed",
            "hypothetical",
            "patient",
            "N null Negation=false;Uncertain=false;Subject=patient;History=false;Conditional=true",
        );
        check(
            "affirmed",
            "recent",
            "family",
            "N present Negation=false;Uncertain=false;Subject=family;History=false;Conditional=false",
        );
        check(
            "affirmed",
            "recent",
            "other",
            "N present Negation=false;Uncertain=false;Subject=other;History=false;Conditional=false",
        );
    }

    #[test]
    fn dosages_are_modifiers_as_far_as_they_fit() {
        let stated = |text: &str| Some(Stated { start: 0, end: 1, text: text.to_owned() });
        let mut dosage = Dosage { strength: stated("500 mg; x=1"), route: stated("by mouth"), ..Dosage::default() };
        assert_eq!(modifiers(None, Some(&dosage)).unwrap(), "Strength=500 mg  x 1;Route=by mouth");
        dosage.route = stated(&"x".repeat(2000));
        assert_eq!(modifiers(None, Some(&dosage)).unwrap(), "Strength=500 mg  x 1");
        assert_eq!(modifiers(None, None), None);
        assert_eq!(modifiers(None, Some(&Dosage::default())), None);
    }
}
