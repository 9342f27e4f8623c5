//! What of FHIR an entity is.
//!
//! Nothing that a note denies, doubts, remembers or supposes may be counted as there by a reader that looks at the usual elements alone:
//! - A disease is a `Condition`: active, or inactive where it is past; confirmed, unconfirmed or refuted. A refuted one has no clinical
//!   status, as there is nothing that could be active. A hypothetical one is left out: a condition was at least thought to be there.
//! - A medication is a `MedicationStatement`: active, completed where it is past, intended where it is hypothetical, not taken where it is
//!   negated, and unknown where it is uncertain.
//! - A symptom is an `Observation` whose value is yes or no (HL7 v2's table 0136): not `valueBoolean`, since a note may leave it open, and
//!   then there is no value and the reason is said. It is preliminary, as no person has looked at it. A past one was so some time before
//!   the note was signed, and is left out where it is not known when that was. A hypothetical one was not observed and is left out.
//! - A disease or symptom of a relative is a `FamilyMemberHistory` of some member of the family. It cannot say that something is doubted,
//!   denied or supposed, so that this is left out, and so are medications of relatives and what is said of others.
//!
//! Where assertions are not told, nothing is affirmed.

use super::dosage::dosage;
use super::resources::{Condition, FamilyCondition, FamilyMemberHistory, MedicationStatement, Observation, Resource};
use super::types::{CodeableConcept, Coding, Period, Reference};
use super::words::{plain, system_of};
use std::collections::BTreeMap;
use stillroom_schemas::{Assertion, Certainty, Entity, Experiencer, Task, Temporality};

const CLINICAL_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
const VERIFICATION_STATUS: &str = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
const DATA_ABSENT_REASON: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
const YES_NO: &str = "http://terminology.hl7.org/CodeSystem/v2-0136";
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";

/// What the facts of a note have in common.
pub(super) struct About<'a> {
    /// Of whom they are.
    pub(super) subject: Reference,
    /// When the note was signed.
    pub(super) date_time: Option<String>,
    /// The systems of vocabularies, by name.
    pub(super) systems: &'a BTreeMap<String, String>,
}

impl About<'_> {
    /// The resource that `entity` is, whose id `id_of` makes of its type; nothing where FHIR has no place for it.
    pub(super) fn resource(&self, entity: &Entity, id_of: impl FnOnce(&str) -> String) -> Option<Resource> {
        let not_told = || Assertion { certainty: Certainty::Uncertain, ..Assertion::default() };
        let assertion = entity.assertion.clone().unwrap_or_else(not_told);
        let code = self.code(entity)?;
        Some(match (assertion.experiencer, entity.task) {
            (Experiencer::Patient, Task::Disease) => {
                let (clinical, verification) = condition(&assertion)?;
                Resource::Condition(Condition {
                    id: id_of("Condition"),
                    clinical_status: clinical.map(|code| CodeableConcept::of(CLINICAL_STATUS, code)),
                    verification_status: CodeableConcept::of(VERIFICATION_STATUS, verification),
                    code,
                    subject: self.subject.clone(),
                    recorded_date: self.date_time.clone(),
                })
            }
            (Experiencer::Patient, Task::Medication) => Resource::MedicationStatement(MedicationStatement {
                id: id_of("MedicationStatement"),
                status: medication(&assertion),
                medication_codeable_concept: code,
                subject: self.subject.clone(),
                date_asserted: self.date_time.clone(),
                dosage: entity.dosage.iter().filter_map(dosage).collect(),
            }),
            (Experiencer::Patient, Task::Symptom) => {
                let (effective_date_time, effective_period) = self.effective(assertion.temporality)?;
                let value = symptom(assertion.certainty);
                Resource::Observation(Observation {
                    id: id_of("Observation"),
                    status: "preliminary",
                    code,
                    subject: self.subject.clone(),
                    effective_date_time,
                    effective_period,
                    value_codeable_concept: value.map(|code| CodeableConcept::of(YES_NO, code)),
                    data_absent_reason: value.is_none().then(|| CodeableConcept::of(DATA_ABSENT_REASON, "unknown")),
                })
            }
            (Experiencer::Family, Task::Disease | Task::Symptom) => {
                if assertion.certainty != Certainty::Affirmed || assertion.temporality == Temporality::Hypothetical {
                    return None;
                }
                Resource::FamilyMemberHistory(FamilyMemberHistory {
                    id: id_of("FamilyMemberHistory"),
                    status: "partial",
                    patient: self.subject.clone(),
                    date: self.date_time.clone(),
                    relationship: CodeableConcept::of(ROLE, "FAMMEMB"),
                    condition: [FamilyCondition { code }],
                })
            }
            (Experiencer::Family, Task::Medication) | (Experiencer::Other, _) => return None,
        })
    }

    /// The entity's words, and its concept.
    fn code(&self, entity: &Entity) -> Option<CodeableConcept> {
        let coding = entity.concept.iter().filter_map(|concept| {
            Some(Coding {
                system: system_of(&concept.code.vocabulary, self.systems),
                version: plain(&concept.version),
                code: plain(&concept.code.code)?,
                display: plain(&concept.name),
            })
        });
        Some(CodeableConcept { coding: coding.collect(), text: Some(plain(&entity.text)?) })
    }

    /// When a symptom was there; nothing where FHIR has no way to say so.
    fn effective(&self, temporality: Temporality) -> Option<(Option<String>, Option<Period>)> {
        match temporality {
            Temporality::Recent => Some((self.date_time.clone(), None)),
            Temporality::Historical => Some((None, Some(Period { end: self.date_time.clone()? }))),
            Temporality::Hypothetical => None,
        }
    }
}

/// The clinical status, if it has one, and the verification status of a disease that is not hypothetical.
fn condition(assertion: &Assertion) -> Option<(Option<&'static str>, &'static str)> {
    let clinical = match assertion.temporality {
        Temporality::Recent => "active",
        Temporality::Historical => "inactive",
        Temporality::Hypothetical => return None,
    };
    Some(match assertion.certainty {
        Certainty::Affirmed => (Some(clinical), "confirmed"),
        Certainty::Uncertain => (Some(clinical), "unconfirmed"),
        Certainty::Negated => (None, "refuted"),
    })
}

/// The status of a medication.
fn medication(assertion: &Assertion) -> &'static str {
    match (assertion.certainty, assertion.temporality) {
        (Certainty::Negated, _) => "not-taken",
        (Certainty::Uncertain, _) => "unknown",
        (Certainty::Affirmed, Temporality::Recent) => "active",
        (Certainty::Affirmed, Temporality::Historical) => "completed",
        (Certainty::Affirmed, Temporality::Hypothetical) => "intended",
    }
}

/// Whether a symptom is there, if the note says so.
fn symptom(certainty: Certainty) -> Option<&'static str> {
    match certainty {
        Certainty::Affirmed => Some("Y"),
        Certainty::Negated => Some("N"),
        Certainty::Uncertain => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::{Value, json};

    const SIGNED: &str = "2026-11-27T23:30:00-05:00";

    /// The resource of an entity that is meant so, as JSON; null where it is none.
    fn resource(task: Task, assertion: Option<Assertion>, signed: Option<&str>) -> Value {
        let entity = Entity { assertion, ..testing::entity(task, [0, 4], "word") };
        let systems = BTreeMap::new();
        let date_time = signed.map(str::to_owned);
        let about = About { subject: Reference::default(), date_time, systems: &systems };
        serde_json::to_value(about.resource(&entity, str::to_owned)).unwrap()
    }

    fn all() -> Vec<Assertion> {
        let mut all = Vec::new();
        for certainty in [Certainty::Affirmed, Certainty::Uncertain, Certainty::Negated] {
            for temporality in [Temporality::Recent, Temporality::Historical, Temporality::Hypothetical] {
                for experiencer in [Experiencer::Patient, Experiencer::Family, Experiencer::Other] {
                    all.push(Assertion { certainty, temporality, experiencer, cues: Vec::new() });
                }
            }
        }
        all
    }

    /// What a reader counts as there now and the patient's who knows nothing of stillroom.
    fn is_counted(resource: &Value) -> bool {
        let code = |field: &str| resource[field]["coding"][0]["code"].as_str();
        match resource["resourceType"].as_str() {
            Some("Condition") => {
                (code("clinicalStatus"), code("verificationStatus")) == (Some("active"), Some("confirmed"))
            }
            Some("MedicationStatement") => resource["status"] == "active",
            Some("Observation") => code("valueCodeableConcept") == Some("Y") && resource["effectivePeriod"].is_null(),
            _ => false,
        }
    }

    #[test]
    fn what_is_counted_as_there_is_what_is_present_and_nothing_else() {
        for task in Task::ALL {
            for assertion in all() {
                let found = resource(task, Some(assertion.clone()), Some(SIGNED));
                assert_eq!(is_counted(&found), assertion.is_present(), "{} {assertion:?}: {found}", task.name());
            }
            for signed in [Some(SIGNED), None] {
                assert!(!is_counted(&resource(task, None, signed)), "{}", task.name());
            }
        }
    }

    #[test]
    fn what_is_the_patients_own_is_of_no_relative() {
        for task in Task::ALL {
            for assertion in all() {
                let found = resource(task, Some(assertion.clone()), Some(SIGNED));
                let of_family = found["resourceType"] == "FamilyMemberHistory";
                let is_stated = assertion.certainty == Certainty::Affirmed
                    && assertion.temporality != Temporality::Hypothetical
                    && task != Task::Medication;
                assert_eq!(of_family, assertion.experiencer == Experiencer::Family && is_stated, "{found}");
                assert!(assertion.experiencer == Experiencer::Patient || of_family || found.is_null(), "{found}");
            }
        }
    }

    #[test]
    fn a_past_symptom_was_there_before_the_note() {
        let past = Assertion { temporality: Temporality::Historical, ..Assertion::default() };
        let found = resource(Task::Symptom, Some(past.clone()), Some(SIGNED));
        assert_eq!((&found["effectivePeriod"], &found["effectiveDateTime"]), (&json!({"end": SIGNED}), &Value::Null));
        assert_eq!(resource(Task::Symptom, Some(past), None), Value::Null);
    }

    #[test]
    fn an_open_symptom_says_why_it_has_no_value() {
        let open = Assertion { certainty: Certainty::Uncertain, ..Assertion::default() };
        let found = resource(Task::Symptom, Some(open), Some(SIGNED));
        let reason = &found["dataAbsentReason"]["coding"][0]["code"];
        assert_eq!((&found["valueCodeableConcept"], reason), (&Value::Null, &json!("unknown")));
    }
}
