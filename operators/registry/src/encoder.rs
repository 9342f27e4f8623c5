//! From our records as JSON to framed values.

use crate::frame::header;
use crate::registry::{Registered, Registry, Schema, SchemaKind};
use crate::{Format, RegistryConfig, RegistryError};
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use apache_avro::{types::Value, writer::datum::GenericDatumWriter};
use serde_json::Value as Json;
use stillroom_schemas::{avro, json};

/// An output topic and our schemas of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputTopic {
    /// The topic.
    pub(crate) topic: String,
    /// The record's name, as its schemas' files have it.
    record: &'static str,
    avro: &'static str,
    json: &'static str,
}

impl OutputTopic {
    /// A topic of [`Extraction`](stillroom_schemas::Extraction)s.
    pub fn extractions(topic: impl Into<String>) -> OutputTopic {
        OutputTopic { topic: topic.into(), record: "extraction.v1", avro: avro::EXTRACTION, json: json::EXTRACTION }
    }

    /// A topic of [`Quality`](stillroom_schemas::Quality) figures.
    pub fn quality(topic: impl Into<String>) -> OutputTopic {
        OutputTopic { topic: topic.into(), record: "quality.v1", avro: avro::QUALITY, json: json::QUALITY }
    }

    fn schema(&self, format: Format) -> Schema {
        let text = match format {
            Format::Avro => self.avro,
            Format::JsonSchema => self.json,
        };
        Schema { kind: format.into(), text: text.to_owned() }
    }

    /// Our schema's file, below the folder `schemas`.
    fn file(&self, format: Format) -> String {
        match format {
            Format::Avro => format!("avro/{}.avsc", self.record),
            Format::JsonSchema => format!("json/{}.json", self.record),
        }
    }
}

/// Writes the values of one topic.
#[derive(Debug)]
pub(crate) struct Encoder {
    subject: String,
    id: u32,
    /// None where the datum is JSON.
    avro: Option<apache_avro::Schema>,
}

impl Encoder {
    /// Finds the schema to write with: ours if it is registered or may be, else the latest one if our records fit it.
    pub(crate) fn open(
        registry: &Registry,
        config: &RegistryConfig,
        topic: &OutputTopic,
    ) -> Result<Encoder, RegistryError> {
        let subject = format!("{}-value", topic.topic);
        let (ours, file) = (topic.schema(config.format), topic.file(config.format));
        let id = match registry.look_up(&subject, &ours)? {
            None if config.auto_register => Some(registry.register(&subject, &ours)?),
            id => id,
        };
        let Registered { id, schema } = match id {
            Some(id) => Registered { id, schema: ours.clone() },
            None => match registry.latest(&subject)? {
                Some(latest) => latest,
                None => return Err(RegistryError::NoSchema { subject, file }),
            },
        };
        match parse_fitting(&ours, &schema) {
            Ok(avro) => Ok(Encoder { subject, id, avro }),
            Err(cause) => Err(RegistryError::Unfit { subject, id, cause, file }),
        }
    }

    /// The framed value of a record.
    pub(crate) fn encode(&self, json: &[u8]) -> Result<Vec<u8>, RegistryError> {
        let mut value = header(self.id);
        match &self.avro {
            None => value.extend(json),
            // The causes quote the record.
            Some(schema) => write_datum(schema, json, &mut value)
                .ok_or_else(|| RegistryError::Record { subject: self.subject.clone(), id: self.id })?,
        }
        Ok(value)
    }
}

fn write_datum(schema: &apache_avro::Schema, json: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let record: Json = serde_json::from_slice(json).ok()?;
    let record = Value::try_from(record).ok()?.resolve(schema).ok()?;
    // What was resolved to the schema is valid under it.
    let writer = GenericDatumWriter::builder(schema).validate(false).build().ok()?;
    writer.write_value_ref(to, &record).ok()?;
    Some(())
}

/// The schema to write Avro with, if every record of ours fits it.
fn parse_fitting(ours: &Schema, theirs: &Schema) -> Result<Option<apache_avro::Schema>, String> {
    if ours.kind != theirs.kind {
        return Err("it is of another kind".to_owned());
    }
    if ours.kind == SchemaKind::Json {
        return fits_json(&ours.text, &theirs.text).map(|()| None);
    }
    let parse = |schema: &Schema| apache_avro::Schema::parse_str(&schema.text).map_err(|error| error.to_string());
    let (ours, theirs) = (parse(ours)?, parse(theirs)?);
    match SchemaCompatibility::can_read(&ours, &theirs) {
        Ok(Compatibility::Full) => Ok(Some(theirs)),
        Ok(Compatibility::Partial) => Err("it can hold some of them only".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a JSON Schema demands no field that ours may lack and allows every field that ours has. Only the outermost fields are
/// compared: whoever registers a schema of their own answers for the rest.
fn fits_json(ours: &str, theirs: &str) -> Result<(), String> {
    let parse = |text| serde_json::from_str::<Json>(text).map_err(|_| "it is not JSON".to_owned());
    let (ours, theirs) = (parse(ours)?, parse(theirs)?);
    let required = |schema: &Json| schema["required"].as_array().cloned().unwrap_or_default();
    let always = required(&ours);
    if let Some(field) = required(&theirs).iter().find(|field| !always.contains(field)) {
        return Err(format!("it requires the field {field}"));
    }
    let is_closed = theirs["additionalProperties"] == false;
    let fields = ours["properties"].as_object().into_iter().flat_map(|fields| fields.keys());
    match fields.filter(|_| is_closed).find(|field| theirs["properties"].get(field).is_none()) {
        Some(field) => Err(format!("it allows no field {field}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Our schema of extractions after `change`, as another would have registered it.
    fn check(format: Format, change: fn(&mut Json), expected: &str) {
        let ours = OutputTopic::extractions("t").schema(format);
        let mut theirs = serde_json::from_str(&ours.text).unwrap();
        change(&mut theirs);
        let theirs = Schema { kind: ours.kind, text: theirs.to_string() };
        let outcome = parse_fitting(&ours, &theirs).map_or_else(|cause| cause, |_| "fits".to_owned());
        assert!(outcome.contains(expected), "{outcome}, not {expected}");
    }

    fn without(fields: &mut Json, name: &str) {
        fields.as_array_mut().unwrap().retain(|field| field["name"] != name);
    }

    fn field<'a>(fields: &'a mut Json, name: &str) -> &'a mut Json {
        fields.as_array_mut().unwrap().iter_mut().find(|field| field["name"] == name).unwrap()
    }

    fn add(schema: &mut Json, field: Json) {
        schema["fields"].as_array_mut().unwrap().push(field);
    }

    #[test]
    fn which_avro_schemas_our_records_fit() {
        check(Format::Avro, |_| {}, "fits");
        check(Format::Avro, |schema| schema["namespace"] = "their.own".into(), "fits");
        check(Format::Avro, |schema| without(&mut schema["fields"], "site"), "fits");
        check(Format::Avro, |schema| add(schema, json!({"name": "more", "type": "string"})), "more");
        check(Format::Avro, |schema| add(schema, json!({"name": "more", "type": "string", "default": "d"})), "fits");
        // A unit that the schema does not know would fail at the first record that has it.
        check(
            Format::Avro,
            |schema| field(&mut schema["fields"], "offset_unit")["type"]["symbols"] = json!(["byte"]),
            "some of them",
        );
        check(Format::Avro, |schema| field(&mut schema["fields"], "revision")["type"] = "string".into(), "revision");
    }

    #[test]
    fn entities_may_lack_what_a_schema_does_not_know() {
        fn of_entities(schema: &mut Json) -> &mut Json {
            &mut field(&mut schema["fields"], "entities")["type"]["items"]["fields"]
        }
        for lacking in ["assertion", "concept", "dosage"] {
            let mut theirs = serde_json::from_str(avro::EXTRACTION).unwrap();
            without(of_entities(&mut theirs), lacking);
            let theirs = Schema { kind: Format::Avro.into(), text: theirs.to_string() };
            assert!(parse_fitting(&OutputTopic::extractions("t").schema(Format::Avro), &theirs).is_ok(), "{lacking}");
        }
        check(Format::Avro, |schema| field(of_entities(schema), "dosage")["type"] = "string".into(), "dosage");
    }

    #[test]
    fn which_json_schemas_our_records_fit() {
        check(Format::JsonSchema, |_| {}, "fits");
        check(Format::JsonSchema, |schema| schema["additionalProperties"] = false.into(), "fits");
        check(Format::JsonSchema, |schema| schema["required"] = json!(["site"]), "requires the field \"site\"");
        let closed = |schema: &mut Json| {
            schema["additionalProperties"] = false.into();
            schema["properties"].as_object_mut().unwrap().remove("site");
        };
        check(Format::JsonSchema, closed, "it allows no field site");
    }

    #[test]
    fn what_a_record_says_is_in_no_error() {
        let avro = Some(apache_avro::Schema::parse_str(avro::EXTRACTION).unwrap());
        let encoder = Encoder { subject: "t-value".to_owned(), id: 7, avro };
        for json in [r#"{"note_id":"fever"}"#, r#"["fever"]"#, "fever", r#"{"note_id":["fever"]}"#] {
            let error = encoder.encode(json.as_bytes()).unwrap_err();
            assert!(!format!("{error:?}").contains("fever"), "{error:?}");
            assert!(error.to_string().contains("schema 7 under t-value"), "{error}");
        }
    }
}
