//! The calls of the registry's API that are needed, and the schemas that messages name.
//!
//! The API: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

use crate::cache::{Cache, WriterSchema};
use crate::http::{Http, Request, TRIES_MAX};
use crate::shape::Shape;
use crate::{Format, RegistryConfig, RegistryError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A client of a schema registry, and a cache of its schemas by id. It is shared by all that read.
///
/// A call that meets no connection, an answer of 5xx or 429 is tried again at the next URL, and at all of them a few times with
/// growing pauses.
pub struct Registry {
    http: Http,
    cache: Cache,
}

/// The language of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaKind {
    /// Avro, which is meant where nothing is said.
    #[default]
    Avro,
    /// JSON Schema.
    Json,
    /// Protobuf or another, with which nothing can be read here.
    #[serde(other)]
    Other,
}

/// A schema as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The language.
    #[serde(rename = "schemaType", default)]
    pub kind: SchemaKind,
    /// The text.
    #[serde(rename = "schema")]
    pub text: String,
}

/// A schema that is registered under a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub id: u32,
    /// The schema.
    pub schema: Schema,
}

/// A schema with what it refers to.
#[derive(Deserialize)]
struct Answer {
    #[serde(flatten)]
    schema: Schema,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    subject: String,
}

/// Where only the id matters.
#[derive(Deserialize)]
struct Id {
    id: u32,
}

#[derive(Deserialize)]
struct AnswerWithId {
    id: u32,
    #[serde(flatten)]
    answer: Answer,
}

impl From<Format> for SchemaKind {
    fn from(format: Format) -> SchemaKind {
        match format {
            Format::Avro => SchemaKind::Avro,
            Format::JsonSchema => SchemaKind::Json,
        }
    }
}

impl Answer {
    fn into_schema(self, name: impl FnOnce() -> String) -> Result<Schema, RegistryError> {
        match self.references.into_iter().next() {
            None => Ok(self.schema),
            Some(Reference { subject }) => Err(RegistryError::References { schema: name(), subject }),
        }
    }
}

impl Registry {
    /// A client for `config`, with the password that belongs to `config.user`. Nothing is asked of the registry yet.
    ///
    /// # Errors
    /// When a field of the configuration cannot be used, or `ca_location` cannot be read.
    pub fn new(config: &RegistryConfig, password: Option<String>) -> Result<Registry, RegistryError> {
        config.check()?;
        Ok(Registry { http: Http::new(config, password)?, cache: Cache::default() })
    }

    /// The schema with this id, if there is one. It is asked for, whether it is in the cache or not.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or when the schema refers to others.
    pub fn schema(&self, id: u32) -> Result<Option<Schema>, RegistryError> {
        self.schema_within(id, TRIES_MAX)
    }

    /// The latest version under a subject, if it has any.
    ///
    /// # Errors
    /// As of [`Registry::schema`].
    pub fn latest(&self, subject: &str) -> Result<Option<Registered>, RegistryError> {
        let path = ["subjects", subject, "versions", "latest"];
        let answer: Option<AnswerWithId> = self.http.call(&Request { path: &path, body: None, tries: TRIES_MAX })?;
        let Some(AnswerWithId { id, answer }) = answer else { return Ok(None) };
        let schema = answer.into_schema(|| format!("schema {id} under {subject}"))?;
        Ok(Some(Registered { id, schema }))
    }

    /// The id of `schema`, if it is registered under a subject.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn look_up(&self, subject: &str, schema: &Schema) -> Result<Option<u32>, RegistryError> {
        self.post(&["subjects", subject], schema)
    }

    /// Registers `schema` under a subject and gives its id, which is the one that it has if it was there.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses: the schema may not be compatible with the versions before it.
    pub fn register(&self, subject: &str, schema: &Schema) -> Result<u32, RegistryError> {
        let id = self.post(&["subjects", subject, "versions"], schema)?;
        id.ok_or_else(|| RegistryError::NotARegistry { url: self.urls() })
    }

    /// The base URLs, for messages.
    pub(crate) fn urls(&self) -> String {
        self.http.urls()
    }

    /// What is known of a schema, from the cache alone.
    pub(crate) fn known(&self, id: u32) -> Option<Arc<WriterSchema>> {
        self.cache.get(id)
    }

    /// Whether [`Registry::fetch`] would tell more of a schema.
    pub(crate) fn lacks(&self, id: u32) -> bool {
        self.cache.lacks(id, Instant::now())
    }

    /// Takes a schema, or that there is none, into the cache. Every URL is tried once.
    pub(crate) fn fetch(&self, id: u32) -> Result<(), RegistryError> {
        let schema = match self.schema_within(id, 1) {
            Ok(schema) => schema.map(|schema| writer_schema(id, &schema)),
            Err(error @ RegistryError::References { .. }) => Some(WriterSchema::Unusable(error.to_string())),
            Err(error) => return Err(error),
        };
        self.cache.put(id, schema, Instant::now());
        Ok(())
    }

    fn schema_within(&self, id: u32, tries: u32) -> Result<Option<Schema>, RegistryError> {
        let path = ["schemas", "ids", &id.to_string()];
        let answer: Option<Answer> = self.http.call(&Request { path: &path, body: None, tries })?;
        answer.map(|answer| answer.into_schema(|| format!("schema {id}"))).transpose()
    }

    fn post(&self, path: &[&str], schema: &Schema) -> Result<Option<u32>, RegistryError> {
        let body: Value = serde_json::to_value(schema).expect("a schema is JSON");
        let id: Option<Id> = self.http.call(&Request { path, body: Some(body), tries: TRIES_MAX })?;
        Ok(id.map(|Id { id }| id))
    }
}

fn writer_schema(id: u32, schema: &Schema) -> WriterSchema {
    match schema.kind {
        SchemaKind::Json => WriterSchema::Json,
        SchemaKind::Avro => match Shape::of(&schema.text) {
            Ok(shape) => WriterSchema::Avro(shape),
            Err(cause) => WriterSchema::Unusable(format!("schema {id} cannot be used: {cause}")),
        },
        SchemaKind::Other => {
            let what = "is neither Avro nor JSON Schema; write with a schema that is, Protobuf is not supported";
            WriterSchema::Unusable(format!("schema {id} {what}"))
        }
    }
}

/// Without the password.
impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_struct("Registry").field("urls", &self.urls()).finish_non_exhaustive()
    }
}
