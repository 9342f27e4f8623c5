//! Texts, times and codes as FHIR takes them.

use crate::dates::Signed;
use crate::lines::percent_encoded;
use std::collections::BTreeMap;
use time::format_description::well_known::Rfc3339;

/// The furthest from UTC, in seconds, that a time of FHIR may be.
const OFFSET_SECONDS_MAX: i32 = 14 * 3600;

/// `text` with single spaces between its words and none around them; nothing where it has none.
///
/// FHIR's strings have no control characters, and the specification's JSON Schema, read as JavaScript reads it, takes no white space but
/// the plain one. Its codes have no more than one space in a row.
pub(super) fn plain(text: &str) -> Option<String> {
    // JavaScript counts a byte order mark as white space, and Unicode does not.
    let is_space = |character: char| character.is_whitespace() || character.is_control() || character == '\u{feff}';
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// When a note was signed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct When {
    /// To the second, with the distance from UTC: FHIR's `instant`.
    pub(super) instant: Option<String>,
    /// The same, or the day alone where no more is known: FHIR's `dateTime`.
    pub(super) date_time: Option<String>,
}

impl When {
    /// What FHIR can hold of `text`, which is RFC 3339 or what sites send in its place.
    pub(super) fn of(text: &str) -> When {
        let Some(signed) = Signed::of(text) else { return When::default() };
        let moment = signed.moment().filter(|at| at.offset().whole_seconds().abs() <= OFFSET_SECONDS_MAX);
        let instant = moment.and_then(|at| at.format(&Rfc3339).ok());
        let (year, month, day) = signed.date.to_calendar_date();
        let date = format!("{year:04}-{:02}-{day:02}", u8::from(month));
        When { date_time: Some(instant.clone().unwrap_or(date)), instant }
    }
}

/// The URI of the code system that is called `vocabulary` here: as `given`, as FHIR names the ones that are well known
/// (<http://hl7.org/fhir/R4/terminologies-systems.html>), and else a URN of the name.
pub(super) fn system_of(vocabulary: &str, given: &BTreeMap<String, String>) -> String {
    if let Some(system) = given.get(vocabulary) {
        return system.clone();
    }
    let name: String = vocabulary.chars().filter(char::is_ascii_alphanumeric).collect();
    let known = match name.to_ascii_lowercase().as_str() {
        "rxnorm" => "http://www.nlm.nih.gov/research/umls/rxnorm",
        "snomed" | "snomedct" => "http://snomed.info/sct",
        "loinc" => "http://loinc.org",
        "icd10" => "http://hl7.org/fhir/sid/icd-10",
        "icd10cm" => "http://hl7.org/fhir/sid/icd-10-cm",
        "icd9cm" => "http://hl7.org/fhir/sid/icd-9-cm",
        "ndc" => "http://hl7.org/fhir/sid/ndc",
        "atc" => "http://www.whocc.no/atc",
        _ => {
            let name = percent_encoded(vocabulary, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
            return format!("urn:stillroom:vocabulary:{name}");
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_words_and_single_spaces() {
        let check = |text: &str, expected: Option<&str>| assert_eq!(plain(text).as_deref(), expected, "{text:?}");
        check(" type\u{a0}2\r\n\tdiabetes\u{0}\u{feff}", Some("type 2 diabetes"));
        check("\u{1f912}", Some("\u{1f912}"));
        check("\u{2003}\u{1}", None);
        check("", None);
    }

    #[test]
    fn times_are_those_of_fhir_or_none() {
        let check = |text: &str, instant: Option<&str>, date_time: Option<&str>| {
            let when = When::of(text);
            assert_eq!((when.instant.as_deref(), when.date_time.as_deref()), (instant, date_time), "{text:?}");
        };
        let summer = "2026-07-01T09:30:00+02:00";
        check(summer, Some(summer), Some(summer));
        check("2026-07-01 09:30:00z", Some("2026-07-01T09:30:00Z"), Some("2026-07-01T09:30:00Z"));
        check("2026-07-01T09:30:00.250Z", Some("2026-07-01T09:30:00.25Z"), Some("2026-07-01T09:30:00.25Z"));
        check("2026-07-01T09:30:00", None, Some("2026-07-01"));
        check("0099-07-01", None, Some("0099-07-01"));
        check("2026-07-01T09:30:00+18:00", None, Some("2026-07-01"));
        check("yesterday", None, None);
    }

    #[test]
    fn vocabularies_have_their_systems() {
        let given = BTreeMap::from([("local".to_owned(), "urn:oid:1.2.3".to_owned())]);
        let check = |vocabulary: &str, system: &str| assert_eq!(system_of(vocabulary, &given), system);
        check("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm");
        check("SNOMED_CT", "http://snomed.info/sct");
        check("icd-10-cm", "http://hl7.org/fhir/sid/icd-10-cm");
        check("local", "urn:oid:1.2.3");
        check("our list", "urn:stillroom:vocabulary:our%20list");
    }
}
