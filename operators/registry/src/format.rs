//! From framed values to the JSON that `Decode` reads.

use crate::Registry;
use crate::cache::WriterSchema;
use crate::datum::datum_to_json;
use crate::frame::{Frame, unframe};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use stillroom_dataflow::{Record, WireError, WireFormat};

/// Values of some topics are framed; those of all others are plain JSON.
///
/// A datum in Avro is read with the schema that it was written with. What `Decode` then does with the JSON is Avro's schema
/// resolution as far as our records need it: a field that it does not know is passed over, one that is missing gets its default.
/// Times and dates stand in the JSON as the numbers that they are made of.
#[derive(Debug)]
pub struct RegistryFormat {
    registry: Arc<Registry>,
    topics: BTreeSet<String>,
    accept_plain: bool,
}

impl RegistryFormat {
    /// The format of `topics`. With `accept_plain`, a value there that is not framed passes as it stands.
    pub fn new(
        registry: Arc<Registry>,
        topics: impl IntoIterator<Item = impl Into<String>>,
        accept_plain: bool,
    ) -> RegistryFormat {
        RegistryFormat { registry, topics: topics.into_iter().map(Into::into).collect(), accept_plain }
    }

    /// The schemas.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The ids that `records` name and that must be asked for before the records can be read.
    pub(crate) fn lacking(&self, records: &[Record]) -> BTreeSet<u32> {
        let framed = records.iter().filter(|record| self.topics.contains(&*record.topic));
        let ids = framed.filter_map(|record| match unframe(record.value.as_deref()?) {
            Frame::Framed { id, .. } => Some(id),
            Frame::Cut | Frame::Plain => None,
        });
        ids.filter(|&id| self.registry.lacks(id)).collect()
    }

    fn datum_to_json<'a>(&self, id: u32, datum: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        let Some(schema) = self.registry.known(id) else {
            let urls = self.registry.urls();
            return Err(format!(
                "the value names schema {id}, which the schema registry at {urls} does not have; \
                 write it with a schema that is registered there"
            ));
        };
        match &*schema {
            WriterSchema::Json => Ok(Cow::Borrowed(datum)),
            WriterSchema::Avro(shape) => match datum_to_json(shape, datum) {
                Ok(json) => Ok(Cow::Owned(json)),
                Err(error) => Err(format!("{error}; write it anew with schema {id}")),
            },
            WriterSchema::Unusable(why) => Err(why.clone()),
        }
    }
}

impl WireFormat for RegistryFormat {
    fn to_json<'a>(&self, topic: &str, value: &'a [u8]) -> Result<Cow<'a, [u8]>, WireError> {
        if !self.topics.contains(topic) {
            return Ok(Cow::Borrowed(value));
        }
        let json = match unframe(value) {
            Frame::Framed { id, datum } => self.datum_to_json(id, datum),
            Frame::Plain if self.accept_plain => Ok(Cow::Borrowed(value)),
            Frame::Plain => Err("the value does not begin with a zero byte and the id of a schema; write it with a \
                                 serializer of the schema registry, or set accept_plain = true"
                .to_owned()),
            Frame::Cut => {
                Err(format!("the value has {} bytes, and the id of its schema needs 5; write it anew", value.len()))
            }
        };
        json.map_err(WireError)
    }
}
