//! Every record against its JSON Schema in `json/` and its golden samples in `samples/`.
//!
//! After a change that is meant, write the schemas anew with
//! `STILLROOM_WRITE_SCHEMAS=1 cargo test -p stillroom-schemas --test records`.

use proptest::prelude::*;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;
use stillroom_schemas::{
    Activation, Cohort, CohortEvent, DeadLetter, Extraction, Label, Membership, Note, NoteState, Prediction, Progress,
    Quality, Reference, Retraining, Stage, TextHash,
};

/// A record with its type erased.
struct Case {
    name: &'static str,
    schema: Value,
    /// Reads a line and writes it again.
    round_trip: fn(&str) -> Result<String, serde_json::Error>,
}

fn case<T: JsonSchema + Serialize + DeserializeOwned>(name: &'static str) -> Case {
    let mut schema = schema_for!(T);
    schema.insert("title".to_owned(), json!(name));
    Case {
        name,
        schema: schema.to_value(),
        round_trip: |line| serde_json::to_string(&serde_json::from_str::<T>(line)?),
    }
}

fn cases() -> Vec<Case> {
    vec![
        case::<Note>("note.v1"),
        case::<Extraction>("extraction.v1"),
        case::<Reference>("reference.v1"),
        case::<Label>("label.v1"),
        case::<Quality>("quality.v1"),
        case::<DeadLetter>("dead_letter.v1"),
        case::<Progress>("progress.v1"),
        case::<Activation>("model.v1"),
        case::<NoteState>("state.v1"),
        case::<Retraining>("retraining.v1"),
        case::<Cohort>("cohort.v1"),
        case::<CohortEvent>("cohort_event.v1"),
        case::<Membership>("membership.v1"),
    ]
}

fn path(folder: &str, name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.{extension}"))
}

fn samples(name: &str) -> Vec<String> {
    let path = path("samples", name, "jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.ends_with('\n'), "{name}: the last sample is cut");
    text.lines().map(str::to_owned).collect()
}

/// Calls `visit` with every object of `value` and the part of the schema that describes it.
fn visit_objects(root: &Value, schema: &Value, value: &Value, visit: &mut dyn FnMut(&Value, &Map<String, Value>)) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(&reference[1..]).expect("a reference within the schema"),
        None => schema,
    };
    if let Some(either) = schema["anyOf"].as_array() {
        let described = either.iter().find(|schema| schema["type"] != "null").expect("something that is not null");
        return visit_objects(root, described, value, visit);
    }
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            visit(schema, fields);
            for (name, field) in fields {
                visit_objects(root, &schema["properties"][name], field, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit_objects(root, &schema["items"], item, visit)),
        _ => {}
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().map(|names| names.iter().map(|name| name.as_str().expect("a name")).collect()).unwrap_or_default()
}

#[test]
fn json_schemas_are_up_to_date() {
    for Case { name, schema, .. } in cases() {
        let path = path("json", name, "json");
        let generated = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::env::var_os("STILLROOM_WRITE_SCHEMAS").is_some() {
            fs::write(&path, &generated).expect("the schema can be written");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == generated,
            "schemas/json/{name}.json is not what the code says; if the change is meant and old readers stay able to read, \
             run: STILLROOM_WRITE_SCHEMAS=1 cargo test -p stillroom-schemas --test records"
        );
    }
    let kept = fs::read_dir(path("json", "note.v1", "json").parent().expect("a folder")).expect("the folder").count();
    assert_eq!(kept, cases().len(), "schemas/json/ holds a file that belongs to no record");
}

#[test]
fn samples_round_trip_byte_for_byte() {
    for Case { name, round_trip, .. } in cases() {
        for (index, line) in samples(name).iter().enumerate() {
            let written = round_trip(line).unwrap_or_else(|error| panic!("{name}, sample {}: {error}", index + 1));
            assert_eq!(&written, line, "{name}, sample {}", index + 1);
        }
    }
}

#[test]
fn samples_show_every_field_and_no_other() {
    for Case { name, schema, .. } in cases() {
        let mut shown = std::collections::BTreeSet::new();
        for line in samples(name) {
            let value = serde_json::from_str(&line).expect("a sample is JSON");
            visit_objects(&schema, &schema, &value, &mut |schema, fields| {
                shown.extend(fields.keys().cloned());
                for field in fields.keys() {
                    assert!(schema["properties"][field].is_object(), "{name}: the schema has no {field}");
                }
                for field in names(&schema["required"]) {
                    assert!(fields.contains_key(field), "{name}: a sample lacks {field}");
                }
            });
        }
        let defined = schema["$defs"].as_object().into_iter().flat_map(Map::values);
        for properties in defined.chain([&schema]).filter_map(|schema| schema["properties"].as_object()) {
            for field in properties.keys() {
                assert!(shown.contains(field), "{name}: no sample has {field}");
            }
        }
    }
}

#[test]
fn required_fields() {
    let check = |name: &str, pointer: &str, expected: &str| {
        let case = cases().into_iter().find(|case| case.name == name).expect("a record");
        let schema = case.schema.pointer(pointer).expect("a part of the schema");
        assert_eq!(names(&schema["required"]).join(" "), expected, "{name}{pointer}");
    };
    check("note.v1", "", "note_id text");
    check("extraction.v1", "", "note_id revision text_hash model offset_unit coverage entities");
    check("extraction.v1", "/$defs/Entity", "task start end text score");
    check("extraction.v1", "/$defs/Coverage", "words word_pieces windows");
    check("extraction.v1", "/$defs/Assertion", "");
    check("extraction.v1", "/$defs/Cue", "says trigger start end");
    check("extraction.v1", "/$defs/Concept", "vocabulary code version name tier score");
    check("extraction.v1", "/$defs/Code", "vocabulary code");
    check("extraction.v1", "/$defs/Dosage", "");
    check("extraction.v1", "/$defs/Stated", "start end text");
    check("reference.v1", "", "note_id annotator text_hash tasks spans");
    check("reference.v1", "/$defs/Span", "task start end");
    check("quality.v1", "", "task level model reference rollup notes tp fp fn precision recall f1");
    check("dead_letter.v1", "", "topic partition offset stage error");
    check("progress.v1", "", "epoch inputs totals");
    check("progress.v1", "/$defs/Totals", "notes extracted dead_lettered superseded withdrawn");
    check("model.v1", "", "model weights_hash previous cause activated_at");
    check("state.v1", "", "note_id revision offset");
    check("retraining.v1", "", "about");
    check("retraining.v1", "/$defs/Balance", "human teachers mentions held_out new");
    check("retraining.v1", "/$defs/Drift", "model notes psi chance");
    check("state.v1", "/$defs/Prediction", "model text_hash words spans");
    check("state.v1", "/$defs/NoteFacts", "mentions");
    check("state.v1", "/$defs/Mention", "task start end words");
    check("cohort.v1", "", "name");
    check("cohort.v1", "/$defs/Criterion", "");
    check("cohort_event.v1", "", "cohort patient_id change definition evidence");
    check("membership.v1", "", "cohort patient_id definition evidence");
    check("membership.v1", "/$defs/EvidenceNote", "note_id partition revision task start end");
}

#[test]
fn a_missing_field_is_named_exactly_when_it_is_required() {
    for Case { name, schema, round_trip } in cases() {
        let full: Value = serde_json::from_str(&samples(name)[0]).expect("a sample is JSON");
        for field in schema["properties"].as_object().expect("a record has fields").keys() {
            let mut without = full.clone();
            without.as_object_mut().expect("a record is an object").remove(field);
            let read = round_trip(&without.to_string());
            if names(&schema["required"]).contains(&field.as_str()) {
                let error = read.expect_err(&format!("{name} without {field}")).to_string();
                assert!(error.contains(&format!("missing field `{field}`")), "{name} without {field}: {error}");
            } else {
                read.unwrap_or_else(|error| panic!("{name} without {field}: {error}"));
            }
        }
    }
}

#[test]
fn a_newer_writers_fields_are_ignored() {
    for Case { name, schema, round_trip } in cases() {
        for line in samples(name) {
            let mut newer: Value = serde_json::from_str(&line).expect("a sample is JSON");
            let mut objects = 0;
            visit_objects(&schema, &schema, &newer.clone(), &mut |_, _| objects += 1);
            add_unknown(&schema, &schema, &mut newer);
            if name == "cohort.v1" {
                // What an older reader does not know would be a restriction that it leaves out.
                let error =
                    round_trip(&newer.to_string()).expect_err("a cohort that is understood in part").to_string();
                assert!(error.contains("unknown field `a_later_field`"), "{error}");
                continue;
            }
            assert_eq!(newer.to_string().matches("a_later_field").count(), objects, "{name}");
            assert_eq!(round_trip(&newer.to_string()).expect(name), line, "{name}");
        }
    }
}

/// Adds an unknown field to every object that has named fields.
fn add_unknown(root: &Value, schema: &Value, value: &mut Value) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => &root.pointer(&reference[1..]).expect("a reference within the schema").clone(),
        None => schema,
    };
    if let Some(either) = schema["anyOf"].as_array() {
        let described = either.iter().find(|schema| schema["type"] != "null").expect("something that is not null");
        return add_unknown(root, described, value);
    }
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            for (name, field) in fields.iter_mut() {
                add_unknown(root, &schema["properties"][name], field);
            }
            fields.insert("a_later_field".to_owned(), json!({"with": ["anything", 1, null]}));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| add_unknown(root, &schema["items"], item)),
        _ => {}
    }
}

#[test]
fn what_is_not_base64_is_refused_without_being_quoted() {
    let line = r#"{"topic":"t","partition":0,"offset":0,"stage":"decode","error":"e","value_base64":"zebra!"}"#;
    let error = serde_json::from_str::<DeadLetter>(line).expect_err("not Base64").to_string();
    assert!(error.contains("not a Base64 string"), "{error}");
    assert!(!error.contains("zebra") && !error.contains('!'), "{error}");
}

proptest! {
    #[test]
    fn bytes_come_back_as_they_went_in(key in any::<Option<Vec<u8>>>(), value in any::<Vec<u8>>()) {
        let letter = DeadLetter {
            topic: "t".to_owned(), partition: 1, offset: 2, stage: Stage::Decode, error: "e".to_owned(),
            replays: 3, key, value: Some(value.clone()),
        };
        let (key, value_read) = (letter.key.clone(), letter.value.clone());
        prop_assert_eq!(DeadLetter::from_record(&letter.headers(), key, value_read), Some(letter.clone()));
        let json = serde_json::to_string(&letter).expect("a record is JSON");
        prop_assert_eq!(serde_json::from_str::<DeadLetter>(&json).expect("it was written"), letter);

        let model = stillroom_schemas::ModelId("m".to_owned());
        let text_hash = TextHash::of("");
        let prediction = Prediction { model, text_hash, note_type: None, site: None, words: value, spans: vec![] };
        let json = serde_json::to_string(&prediction).expect("a record is JSON");
        prop_assert_eq!(serde_json::from_str::<Prediction>(&json).expect("it was written"), prediction);
    }
}
