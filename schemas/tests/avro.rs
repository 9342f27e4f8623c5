//! Every Avro schema in `avro/` against the JSON Schema of the same record: the same fields with the same documentation, the same
//! ones required, types that hold the same values.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use stillroom_schemas::{avro, json as json_schemas};

/// A record's Avro schema and JSON Schema, with the named types of both.
struct Pair {
    types: BTreeMap<String, Value>,
    root: Value,
}

impl Pair {
    /// The Avro type that `name` stands for, if it is the name of one.
    fn avro<'a>(&'a self, schema: &'a Value) -> &'a Value {
        schema.as_str().and_then(|name| self.types.get(name)).unwrap_or(schema)
    }

    /// The part of the JSON Schema that a reference stands for.
    fn json<'a>(&'a self, schema: &'a Value) -> &'a Value {
        schema["$ref"].as_str().map_or(schema, |at| self.root.pointer(&at[1..]).expect("a reference within the schema"))
    }

    fn check(&self, at: &str, avro: &Value, json: &Value) {
        let (avro, json) = (self.avro(avro), self.json(json));
        match avro["type"].as_str().or(avro.as_str()) {
            Some("record") => self.check_record(at, avro, json),
            Some("enum") => {
                let names: Vec<_> = json["oneOf"].as_array().expect(at).iter().map(|one| &one["const"]).collect();
                assert_eq!(avro["symbols"], json!(names), "{at}");
                assert_eq!(avro["doc"], described(json), "{at}");
            }
            Some("array") => self.check(at, &avro["items"], &json["items"]),
            None if json["anyOf"].is_array() => {
                let branches = avro.as_array().expect(at);
                assert_eq!((branches.len(), &branches[0]), (2, &json!("null")), "{at}");
                assert_eq!(json["anyOf"][1], json!({"type": "null"}), "{at}");
                self.check(at, &branches[1], &json["anyOf"][0]);
            }
            primitive => {
                let (primitive, expected) = match primitive {
                    Some(primitive) => (json!(primitive), json["type"].clone()),
                    None => (avro.clone(), json!(["null", json["type"][0]])),
                };
                let names = primitive.to_string().replace("long", "integer").replace("double", "number");
                assert_eq!(names, expected.to_string(), "{at}");
            }
        }
    }

    fn check_record(&self, at: &str, avro: &Value, json: &Value) {
        assert_eq!(avro["doc"], described(json), "{at}");
        let fields = avro["fields"].as_array().expect("a record has fields");
        let names = |required: bool| -> BTreeSet<&str> {
            let of = fields.iter().filter(|field| !required || field.get("default").is_none());
            of.map(|field| field["name"].as_str().expect("a field has a name")).collect()
        };
        let properties = json["properties"].as_object().expect("an object has properties");
        assert_eq!(names(false), properties.keys().map(String::as_str).collect(), "{at}");
        let required = json["required"].as_array().into_iter().flatten();
        assert_eq!(names(true), required.map(|name| name.as_str().expect("a name")).collect(), "{at}");
        for field in fields {
            let name = field["name"].as_str().expect("a field has a name");
            assert_eq!(field["doc"], described(&properties[name]), "{at}.{name}");
            // What is left out of JSON when it is the default has none there.
            if let Some(default) = properties[name].get("default") {
                assert_eq!(field.get("default"), Some(default), "{at}.{name}");
            }
            self.check(&format!("{at}.{name}"), &field["type"], &properties[name]);
        }
    }
}

/// In Avro the documentation stands in one line.
fn described(json: &Value) -> Value {
    json!(json["description"].as_str().expect("a description").replace('\n', " "))
}

fn collect_named(schema: &Value, types: &mut BTreeMap<String, Value>) {
    if let Some(name) = schema["name"].as_str().filter(|_| schema["type"] == "record" || schema["type"] == "enum") {
        types.insert(name.to_owned(), schema.clone());
    }
    match schema {
        Value::Array(items) => items.iter().for_each(|item| collect_named(item, types)),
        Value::Object(fields) => fields.values().for_each(|field| collect_named(field, types)),
        _ => {}
    }
}

fn check(name: &str, avro: &str, json: &str) {
    let avro: Value = serde_json::from_str(avro).expect("an Avro schema is JSON");
    assert_eq!((avro["name"].as_str(), avro["namespace"].as_str()), (Some(name), Some("stillroom")));
    let mut types = BTreeMap::new();
    collect_named(&avro, &mut types);
    let pair = Pair { types, root: serde_json::from_str(json).expect("a JSON Schema is JSON") };
    pair.check(name, &avro, &pair.root);
}

#[test]
fn avro_schemas_say_what_the_json_schemas_say() {
    check("Note", avro::NOTE, json_schemas::NOTE);
    check("Reference", avro::REFERENCE, json_schemas::REFERENCE);
    check("Extraction", avro::EXTRACTION, json_schemas::EXTRACTION);
    check("Quality", avro::QUALITY, json_schemas::QUALITY);
}
