//! How a medication is taken, from the words that stand beside it.

use super::types::{CodeableConcept, Dosage, Dose, Quantity, Range, Timing};
use super::words::plain;
use serde_json::Number;
use std::cmp::Reverse;
use stillroom_schemas::Stated;

/// The dosage as FHIR has it: its words in their order, the frequency and the route by themselves, and how much is taken at once where
/// that is a number. A strength is how much a unit holds, so that it is no dose. Nothing where no words are stated.
pub(super) fn dosage(stated: &stillroom_schemas::Dosage) -> Option<Dosage> {
    let mut parts: Vec<&Stated> = stated.parts().map(|(_, stated)| stated).collect();
    parts.sort_by_key(|stated| (stated.start, Reverse(stated.end)));
    let (mut words, mut end) = (Vec::new(), 0);
    for part in parts {
        // The form may stand within the dose.
        if words.is_empty() || part.start >= end {
            words.push(part.text.as_str());
            end = part.end;
        }
    }
    let text = plain(&words.join(" "))?;
    let concept = |stated: &Option<Stated>| Some(CodeableConcept::text(plain(&stated.as_ref()?.text)?));
    Some(Dosage {
        text: Some(text),
        timing: concept(&stated.frequency).map(|code| Timing { code }),
        route: concept(&stated.route),
        dose_and_rate: stated.dose.iter().filter_map(|stated| dose(&stated.text)).collect(),
    })
}

/// A number and its unit, or two numbers between which the dose is.
fn dose(text: &str) -> Option<Dose> {
    let text = plain(text)?;
    let (first, rest) = number(&text)?;
    let second = ["-", "\u{2013}", "to "].iter().find_map(|between| number(rest.strip_prefix(between)?.trim_start()));
    match second {
        Some((second, rest)) if second > first => {
            Some(Dose::Range(Range { low: quantity(first, rest)?, high: quantity(second, rest)? }))
        }
        Some(_) => None,
        None => Some(Dose::Quantity(quantity(first, rest)?)),
    }
}

/// The number that `text` begins with, and what comes after it. A fraction or a number with separators is none: its parts would be
/// taken for numbers of their own.
fn number(text: &str) -> Option<(f64, &str)> {
    let length = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(length);
    let number = number.starts_with(|first: char| first.is_ascii_digit()).then(|| number.parse().ok())??;
    (!rest.starts_with(['/', ',', '\u{2044}'])).then_some((number, rest.trim_start()))
}

/// An amount of what `unit` names; nothing where that is no unit.
fn quantity(value: f64, unit: &str) -> Option<Quantity> {
    let is_of_unit = |character: char| character.is_alphabetic() || matches!(character, ' ' | '%' | '/' | '(' | ')');
    if !unit.chars().all(is_of_unit) {
        return None;
    }
    // A whole number is written as one.
    let whole = value as u64;
    let value = if whole as f64 == value { Number::from(whole) } else { Number::from_f64(value)? };
    let code = ucum(unit);
    let system = code.map(|_| "http://unitsofmeasure.org");
    Some(Quantity { value, unit: plain(unit), system, code })
}

/// The unit in UCUM, of those that are written in one way alone.
fn ucum(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "mg" => "mg",
        "g" => "g",
        "mcg" | "ug" | "\u{b5}g" | "\u{3bc}g" => "ug",
        "ml" | "mL" => "mL",
        "mmol" => "mmol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The dose that `text` states, as JSON; null where it is none.
    fn check(text: &str, expected: serde_json::Value) {
        assert_eq!(serde_json::to_value(dose(text)).unwrap(), expected, "{text:?}");
    }

    #[test]
    fn a_dose_is_a_number_and_its_unit() {
        check("2 tablets", json!({"doseQuantity": {"value": 2, "unit": "tablets"}}));
        let milligrams = json!({"value": 0.5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"});
        check("0.5mg", json!({"doseQuantity": milligrams}));
        check("1", json!({"doseQuantity": {"value": 1}}));
        let tablets = |value: u32| json!({"value": value, "unit": "tablets"});
        for between in ["-", " - ", "\u{2013}", " to "] {
            let range = json!({"doseRange": {"low": tablets(1), "high": tablets(2)}});
            check(&format!("1{between}2 tablets"), range);
        }
    }

    #[test]
    fn what_may_be_read_otherwise_is_no_dose() {
        for text in
            ["two tablets", "1/2 tablet", "1,000 units", "2-1 tablets", "1.2.3 mg", "5-HT", "", ".5 mg", "2 x 5"]
        {
            check(text, serde_json::Value::Null);
        }
    }

    #[test]
    fn words_stand_in_their_order_and_once() {
        let stated =
            |start: u32, text: &str| Some(Stated { start, end: start + text.len() as u32, text: text.to_owned() });
        let found = dosage(&stillroom_schemas::Dosage {
            strength: stated(10, "500 mg"),
            dose: stated(17, "2\ntablets"),
            form: stated(19, "tablets"),
            route: stated(27, "by mouth"),
            frequency: stated(36, "twice daily"),
            duration: None,
        });
        let expected = json!({
            "text": "500 mg 2 tablets by mouth twice daily",
            "timing": {"code": {"text": "twice daily"}},
            "route": {"text": "by mouth"},
            "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "tablets"}}],
        });
        assert_eq!(serde_json::to_value(found).unwrap(), expected);
        assert_eq!(dosage(&stillroom_schemas::Dosage::default()), None);
    }
}
