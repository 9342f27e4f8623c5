use super::*;
use crate::testing;
use serde_json::{Value, json};
use stillroom_schemas::{Assertion, Cue, Entity, OffsetUnit, Task};

/// The bundles of the lines that are written of these notes.
fn written(config: &FhirConfig, notes: &[(Note, Extraction)]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundles.ndjson");
    let mut writer = Box::new(FhirWriter::with(&path, config.clone()).unwrap());
    for (note, extraction) in notes {
        writer.write(note, extraction).unwrap();
    }
    assert!(!path.exists(), "what is not finished is not there");
    writer.finish().unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A note about fever, gout and a rash, of which a symptom is past.
fn note() -> (Note, Extraction) {
    let note = testing::note("ward/b", "\u{1f912} fever, gout; had a rash");
    let affirmed = |entity: Entity| Entity { assertion: Some(Assertion::default()), ..entity };
    let cues = vec![Cue { says: "historical".into(), trigger: "had".into(), start: 15, end: 18 }];
    let past = Assertion { temporality: stillroom_schemas::Temporality::Historical, cues, ..Assertion::default() };
    let entities = vec![
        affirmed(testing::entity(Task::Disease, [9, 13], "gout")),
        affirmed(testing::entity(Task::Symptom, [2, 7], "fever")),
        Entity { assertion: Some(past), ..testing::entity(Task::Symptom, [21, 25], "rash") },
    ];
    let extraction = testing::extraction(&note, entities);
    (note, extraction)
}

fn resources<'a>(bundle: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let resources = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
    resources.filter(move |resource| resource["resourceType"] == kind)
}

#[test]
fn every_fact_has_a_provenance_that_says_where_it_stands() {
    let (note, extraction) = note();
    let bundle = &written(&FhirConfig::default(), &[(note.clone(), extraction)])[0];
    let document = resources(bundle, "DocumentReference").next().unwrap();
    let entry = |reference: &Value| {
        let entries = bundle["entry"].as_array().unwrap();
        entries.iter().find(|entry| entry["fullUrl"] == *reference).unwrap_or_else(|| panic!("{reference}"))["resource"]
            .clone()
    };
    let mut found = Vec::new();
    for provenance in resources(bundle, "Provenance") {
        let source = &provenance["entity"][0];
        assert_eq!(&entry(&source["what"]["reference"]), document);
        let fact = entry(&provenance["target"][0]["reference"]);
        let parts = source["extension"][0]["extension"].as_array().unwrap();
        let at = |name: &str| {
            let part = parts.iter().find(|part| part["url"] == name).unwrap();
            part["valueUnsignedInt"].as_u64().unwrap() as usize
        };
        let words: String = note.text.chars().skip(at("start")).take(at("end") - at("start")).collect();
        found.push(format!("{} {words}", fact["resourceType"].as_str().unwrap()));
        assert_eq!(provenance["recorded"], note.signed_at.as_deref().unwrap());
    }
    assert_eq!(found, ["Condition gout", "Observation fever", "Observation rash"]);
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 7);
}

#[test]
fn every_entry_is_put_where_its_id_says() {
    let bundle = &written(&FhirConfig::default(), &[note()])[0];
    assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("transaction")));
    for entry in bundle["entry"].as_array().unwrap() {
        let (id, kind) =
            (entry["resource"]["id"].as_str().unwrap(), entry["resource"]["resourceType"].as_str().unwrap());
        assert_eq!(entry["fullUrl"], format!("urn:uuid:{id}"));
        assert_eq!(entry["request"], json!({"method": "PUT", "url": format!("{kind}/{id}")}));
    }
}

#[test]
fn ids_follow_from_what_a_resource_is_about() {
    let (note, extraction) = note();
    let bundle = |config: &FhirConfig, note: &Note, extraction: &Extraction| {
        written(config, &[(note.clone(), extraction.clone())]).pop().unwrap()
    };
    let usual = FhirConfig::default();
    let first = bundle(&usual, &note, &extraction);
    assert_eq!(bundle(&usual, &note, &extraction), first);
    let mut in_bytes = Extraction { offset_unit: OffsetUnit::Byte, ..extraction.clone() };
    for entity in &mut in_bytes.entities {
        // A character of four bytes stands before all of them.
        (entity.start, entity.end) = (entity.start + 3, entity.end + 3);
        for cue in entity.assertion.iter_mut().flat_map(|assertion| &mut assertion.cues) {
            (cue.start, cue.end) = (cue.start + 3, cue.end + 3);
        }
    }
    assert_eq!(bundle(&usual, &note, &in_bytes), first);

    let ids = |bundle: &Value| -> Vec<String> {
        bundle["entry"].as_array().unwrap().iter().map(|entry| entry["fullUrl"].to_string()).collect()
    };
    let other = Note { note_id: "ward/c".into(), ..note.clone() };
    let of_other = Extraction { note_id: "ward/c".into(), ..extraction.clone() };
    let elsewhere = FhirConfig { note_system: "urn:oid:1.2.3".into(), ..usual.clone() };
    for another in [bundle(&usual, &other, &of_other), bundle(&elsewhere, &note, &extraction)] {
        assert!(ids(&another).iter().all(|id| !ids(&first).contains(id)), "{another}");
    }
    let twice = [extraction.entities.clone(), extraction.entities.clone()].concat();
    assert_eq!(bundle(&usual, &note, &Extraction { entities: twice, ..extraction }), first);
}

/// What an amendment does not say any more would stay on the server as it was.
#[test]
fn of_an_amended_note_the_last_bundle_is_there() {
    let (note, extraction) = note();
    let amended = Note { revision: 1, text: "\u{1f912} fever, no gout".into(), ..note.clone() };
    let of_amended = testing::extraction(&amended, Vec::new());
    let other = Note { note_id: "ward/c".into(), ..note.clone() };
    let of_other = Extraction { note_id: "ward/c".into(), ..extraction.clone() };
    let bundles = written(&FhirConfig::default(), &[(note, extraction), (other, of_other), (amended, of_amended)]);
    let revisions: Vec<&Value> =
        bundles.iter().map(|bundle| &bundle["entry"][0]["resource"]["masterIdentifier"]["value"]).collect();
    assert_eq!(revisions, ["ward/c/0", "ward/b/1"]);
    assert_eq!(resources(&bundles[1], "Condition").count(), 0);
}

#[test]
fn a_note_is_there_without_its_text_unless_asked_for() {
    let (note, extraction) = note();
    let attachment = |with_text: bool| {
        let config = FhirConfig { with_text, ..FhirConfig::default() };
        let bundle = &written(&config, &[(note.clone(), extraction.clone())])[0];
        resources(bundle, "DocumentReference").next().unwrap()["content"][0]["attachment"].clone()
    };
    let (without, with) = (attachment(false), attachment(true));
    assert_eq!((&without["data"], &without["size"]), (&Value::Null, &json!(note.text.len())));
    let text = STANDARD.decode(with["data"].as_str().unwrap()).unwrap();
    assert_eq!((text.as_slice(), &with["hash"]), (note.text.as_bytes(), &without["hash"]));
    // The first four bytes of the hash, as sha1sum prints them.
    let empty = testing::note("n", "");
    let nothing = testing::extraction(&empty, Vec::new());
    let bundle = &written(&FhirConfig { with_text: true, ..FhirConfig::default() }, &[(empty, nothing)])[0];
    let attachment = &resources(bundle, "DocumentReference").next().unwrap()["content"][0]["attachment"];
    let hash = STANDARD.decode(attachment["hash"].as_str().unwrap()).unwrap();
    assert_eq!((&hash[..4], &attachment["data"]), (&[0xda, 0x39, 0xa3, 0xee][..], &Value::Null));
}

#[test]
fn what_is_not_known_is_said() {
    let (mut note, mut extraction) = note();
    (note.patient_id, note.signed_at) = (Some("\u{0}".into()), None);
    extraction.signed_at = None;
    let bundle = &written(&FhirConfig::default(), &[(note, extraction)])[0];
    let unknown = json!([{
        "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "valueCode": "unknown",
    }]);
    assert_eq!(resources(bundle, "Condition").next().unwrap()["subject"]["extension"], unknown);
    for provenance in resources(bundle, "Provenance") {
        assert_eq!((&provenance["recorded"], &provenance["_recorded"]["extension"]), (&Value::Null, &unknown));
    }
    assert_eq!(resources(bundle, "Observation").count(), 1, "a past symptom without a time is left out");
}

#[test]
fn settings_are_checked_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |config: FhirConfig, field: &str| match FhirWriter::with(&folder.path().join("x"), config) {
        Err(error) => assert!(error.to_string().starts_with(field), "{error}"),
        Ok(_) => panic!("{field} was taken"),
    };
    let usual = FhirConfig::default();
    refused(FhirConfig { patient_system: Some("mrn".into()), ..usual.clone() }, "patient_system");
    refused(FhirConfig { note_system: "urn: x".into(), ..usual.clone() }, "note_system");
    refused(FhirConfig { systems: BTreeMap::from([("a".into(), ":".into())]), ..usual.clone() }, "systems");
    refused(FhirConfig { recorded: Some("2026-11-27".into()), ..usual.clone() }, "recorded");
    assert!(serde_json::from_value::<FhirConfig>(json!({"with_texts": true})).is_err());

    let recorded = "2026-11-28T01:02:03Z";
    let config: FhirConfig =
        serde_json::from_value(json!({"patient_system": "urn:oid:1.2.3", "recorded": recorded})).unwrap();
    let bundle = &written(&config, &[note()])[0];
    assert!(resources(bundle, "Provenance").all(|provenance| provenance["recorded"] == recorded));
    let subject = &resources(bundle, "Condition").next().unwrap()["subject"];
    assert_eq!(subject["identifier"], json!({"system": "urn:oid:1.2.3", "value": "p1"}));
}
