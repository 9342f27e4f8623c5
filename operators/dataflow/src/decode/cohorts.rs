//! From bytes to definitions of cohorts and to what was published of them.
//!
//! In: [`Input`]s. Out: definitions, memberships of earlier runs, dead letters, and all inputs that are neither, in their order. State:
//! none. Emits at once.

use super::{DecodeError, check_names, json_of, key_of};
use crate::output::{Fork, dead_letter, fork};
use crate::{CohortUpsert, Epoch, Input, MembershipUpsert, Output, Record};
use std::sync::Arc;
use stillroom_schemas::{Cohort, Membership, Stage};
use timely::dataflow::StreamVec;

/// The topics of cohorts.
#[derive(Clone, Debug)]
pub struct CohortTopics {
    /// Of definitions.
    pub cohorts: Arc<str>,
    /// Of memberships, as earlier runs wrote them.
    pub memberships: Arc<str>,
}

/// What `DecodeCohorts` hands on.
pub struct DecodedCohorts<'scope> {
    /// To `Decode`.
    pub inputs: StreamVec<'scope, Epoch, Input>,
    /// To `Cohorts`.
    pub definitions: StreamVec<'scope, Epoch, CohortUpsert>,
    /// To `Cohorts`.
    pub published: StreamVec<'scope, Epoch, MembershipUpsert>,
    /// To the sink.
    pub outputs: StreamVec<'scope, Epoch, Output>,
}

/// Decodes what is about cohorts.
pub trait DecodeCohorts<'scope> {
    /// Decodes definitions and memberships, and their tombstones, which are plain JSON. A definition that cannot be decoded, or cannot be
    /// meant, leaves as a dead letter, and the one before it stays; a membership that cannot be decoded counts as if it had not been
    /// published.
    fn decode_cohorts(self, topics: CohortTopics) -> DecodedCohorts<'scope>;
}

impl<'scope> DecodeCohorts<'scope> for StreamVec<'scope, Epoch, Input> {
    fn decode_cohorts(self, topics: CohortTopics) -> DecodedCohorts<'scope> {
        let (records, inputs) = fork(self, "DecodeCohorts", move |input| match input {
            Input::Record(record) if record.topic == topics.cohorts => Fork::On(definition_or_letter(&record)),
            Input::Record(record) if record.topic == topics.memberships => match decode_membership(&record) {
                Ok(membership) => Fork::On(OfCohorts::Published(membership)),
                Err(_) => Fork::Neither,
            },
            input => Fork::Off(input),
        });
        let (definitions, records) = fork(records, "SplitDefinitions", |record| match record {
            OfCohorts::Definition(definition) => Fork::On(definition),
            record => Fork::Off(record),
        });
        let (published, outputs) = fork(records, "SplitMemberships", |record| match record {
            OfCohorts::Published(membership) => Fork::On(membership),
            OfCohorts::Letter(letter) => Fork::Off(letter),
            OfCohorts::Definition(_) => Fork::Neither,
        });
        DecodedCohorts { inputs, definitions, published, outputs }
    }
}

/// What a record says.
enum OfCohorts {
    Definition(CohortUpsert),
    Published(MembershipUpsert),
    Letter(Output),
}

fn definition_or_letter(record: &Record) -> OfCohorts {
    match decode_definition(record) {
        Ok(definition) => OfCohorts::Definition(definition),
        Err(error) => {
            let letter = dead_letter(record, Stage::Decode, error.to_string());
            OfCohorts::Letter(Output::DeadLettered { letter, is_note: false, state: None })
        }
    }
}

/// The definition that a record of the topic of cohorts holds: in the first partition, under its name; nothing for a tombstone. What
/// holds none is a dead letter, and whoever reads the topic passes over it.
pub fn definition_of(record: &Record) -> Option<CohortUpsert> {
    decode_definition(record).ok()
}

/// What a record of the topic of memberships says, and of whom.
pub fn membership_of(record: &Record) -> Option<MembershipUpsert> {
    decode_membership(record).ok()
}

fn decode_definition(record: &Record) -> Result<CohortUpsert, DecodeError> {
    if record.position.partition != 0 {
        return Err(DecodeError::CohortPartition);
    }
    let name = key_of(record)?;
    check_names([("the key", Some(name))])?;
    let cohort = record.value.as_deref().map(json_of::<Cohort>).transpose()?;
    if let Some(cohort) = &cohort {
        if cohort.name != name {
            return Err(DecodeError::CohortKey);
        }
        cohort.check()?;
    }
    Ok((name.to_owned(), (record.position.offset, cohort)))
}

fn decode_membership(record: &Record) -> Result<MembershipUpsert, DecodeError> {
    let (cohort, patient_id) = serde_json::from_str(key_of(record)?).map_err(|_| DecodeError::MembershipKey)?;
    let membership = record.value.as_deref().map(json_of::<Membership>).transpose()?;
    Ok(((cohort, patient_id), (record.position.offset, membership)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;
    use stillroom_schemas::membership_key;

    fn record(partition: u32, key: &str, value: Option<&str>) -> Record {
        let position = Position { partition, offset: 7 };
        Record { position, key: Some(key.into()), value: value.map(Into::into), ..Record::default() }
    }

    #[test]
    fn a_definition_that_cannot_be_meant_says_why() {
        let good = r#"{"name":"c","all":[{"task":"disease"}]}"#;
        assert!(matches!(decode_definition(&record(0, "c", Some(good))), Ok((name, (7, Some(_)))) if name == "c"));
        assert_eq!(definition_of(&record(0, "c", None)), Some(("c".to_owned(), (7, None))));
        let check = |partition, key: &str, value: &str, expected: &str| {
            let error = decode_definition(&record(partition, key, Some(value))).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("zebra"), "{value}: {error}");
        };
        check(1, "c", good, "partition 0");
        check(0, "d", good, "the key of a cohort must be its name");
        check(0, "c", r#"{"name":"c","none":[{"words":["zebra"]}]}"#, "put what its patients have into all or any");
        check(0, "c", r#"{"name":"c","all":[{"words":["zebra"],"zebra":1}]}"#, "a name that is not known");
        check(0, "c", r#"{"name":"c","all":[{"task":"zebra"}]}"#, "wrong type, or a name that is not known");
        check(0, "c", "zebra", "not JSON");
        check(0, &"c".repeat(2000), good, "shorten it");
    }

    #[test]
    fn a_membership_is_found_by_its_key() {
        let key = String::from_utf8(membership_key("c", "p 1")).unwrap();
        let whose = ("c".to_owned(), "p 1".to_owned());
        assert_eq!(membership_of(&record(0, &key, None)), Some((whose, (7, None))));
        let value = r#"{"cohort":"c","patient_id":"p 1","definition":"0123456789ab","evidence":[]}"#;
        assert!(matches!(membership_of(&record(0, &key, Some(value))), Some((_, (7, Some(_))))));
        assert_eq!(membership_of(&record(0, "c", None)), None);
    }
}
