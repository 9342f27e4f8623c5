//! The form of a model's answer, from one type in the dialects of both vendors.

use crate::Mention;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Value, json};
use stillroom_schemas::{Task, TaskSet};

/// What a model answers. The descriptions of the fields are read by the model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Findings {
    /// Every mention in the text, in the order of the text; empty if there is none.
    pub(crate) findings: Vec<Finding>,
}

/// One mention.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finding {
    /// What kind of mention it is.
    pub(crate) task: Task,
    /// The mention exactly as it stands in the text.
    pub(crate) text: String,
    /// The few words of the text directly before the mention, exactly as they stand there; empty at the start of the text.
    pub(crate) before: String,
}

impl From<Finding> for Mention {
    fn from(finding: Finding) -> Mention {
        Mention { task: finding.task, text: finding.text, before: finding.before }
    }
}

/// The name under which the form is sent.
pub(crate) const NAME: &str = "findings";

/// JSON schema as OpenAI's strict mode takes it: every property required and no others allowed.
pub(crate) fn strict(tasks: &TaskSet) -> Value {
    let mut schema = described(tasks);
    for_each_object(&mut schema, &|object| {
        object.remove("title");
        if let Some(properties) = object.get("properties").and_then(Value::as_object) {
            let names: Vec<_> = properties.keys().cloned().collect();
            object.insert("required".to_owned(), json!(names));
            object.insert("additionalProperties".to_owned(), json!(false));
        }
    });
    schema
}

/// The subset of OpenAPI that Gemini takes: types in upper case, and nothing said of other properties, which it never adds.
pub(crate) fn openapi(tasks: &TaskSet) -> Value {
    let mut schema = strict(tasks);
    for_each_object(&mut schema, &|object| {
        object.remove("additionalProperties");
        if let Some(Value::String(kind)) = object.get_mut("type") {
            kind.make_ascii_uppercase();
        }
    });
    schema
}

/// What the type itself says, with the tasks that are asked for.
fn described(tasks: &TaskSet) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Findings>().to_value();
    let names: Vec<_> = tasks.iter().map(|task| task.name()).collect();
    let task = schema.pointer_mut("/properties/findings/items/properties/task").expect("a finding has a task");
    *task = json!({ "type": "string", "enum": names, "description": task["description"] });
    schema
}

/// Calls `change` on every schema within `schema`, itself included.
fn for_each_object(schema: &mut Value, change: &impl Fn(&mut serde_json::Map<String, Value>)) {
    let Value::Object(object) = schema else { return };
    change(object);
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            // The keys below are names of properties, not words of the schema.
            "properties" => {
                let properties = value.as_object_mut().expect("properties are an object");
                properties.values_mut().for_each(|property| for_each_object(property, change));
            }
            "items" => for_each_object(value, change),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> TaskSet {
        [Task::Disease, Task::Symptom].into()
    }

    #[test]
    fn the_strict_dialect_requires_everything_and_allows_nothing_else() {
        let expected = json!({
            "type": "object",
            "description": "What a model answers. The descriptions of the fields are read by the model.",
            "properties": {
                "findings": {
                    "type": "array",
                    "description": "Every mention in the text, in the order of the text; empty if there is none.",
                    "items": {
                        "type": "object",
                        "description": "One mention.",
                        "properties": {
                            "task": {
                                "type": "string",
                                "enum": ["disease", "symptom"],
                                "description": "What kind of mention it is.",
                            },
                            "text": {
                                "type": "string",
                                "description": "The mention exactly as it stands in the text.",
                            },
                            "before": {
                                "type": "string",
                                "description": "The few words of the text directly before the mention, exactly as they stand \
                                                there; empty at the start of the text.",
                            },
                        },
                        "required": ["before", "task", "text"],
                        "additionalProperties": false,
                    },
                },
            },
            "required": ["findings"],
            "additionalProperties": false,
        });
        let mut schema = strict(&two());
        // The order of required names says nothing.
        let required = schema.pointer_mut("/properties/findings/items/required").unwrap().as_array_mut().unwrap();
        required.sort_by_key(|name| name.to_string());
        assert_eq!(schema, expected);
    }

    #[test]
    fn both_dialects_describe_the_same() {
        for tasks in [TaskSet::new(), two(), Task::ALL.into()] {
            let mut translated = openapi(&tasks);
            let text = translated.to_string();
            assert!(!text.contains("additionalProperties") && !text.contains('$'), "{text}");
            for_each_object(&mut translated, &|object| {
                let Some(Value::String(kind)) = object.get_mut("type") else { panic!("a schema without a type") };
                assert_eq!(*kind, kind.to_ascii_uppercase());
                kind.make_ascii_lowercase();
                if kind == "object" {
                    object.insert("additionalProperties".to_owned(), json!(false));
                }
            });
            assert_eq!(translated, strict(&tasks));
        }
    }

    #[test]
    fn what_the_schema_allows_is_what_is_read() {
        let read = |text: &str| serde_json::from_str::<Findings>(text).is_ok();
        assert!(read(r#"{"findings":[{"task":"disease","text":"a","before":"b"}]}"#));
        assert!(!read(r#"{"findings":[{"task":"disease","text":"a"}]}"#), "every property is required");
        assert!(!read(r#"{"findings":[],"more":1}"#), "no other is allowed");
        assert!(!read(r#"{"findings":[{"task":"Disease","text":"a","before":"b"}]}"#), "a task is one of the enum");
    }
}
