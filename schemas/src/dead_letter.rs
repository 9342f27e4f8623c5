//! What could not be processed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A header of a record: its name and its value.
pub type Header = (String, Vec<u8>);

/// How often a record was replayed from the dead letters.
pub const REPLAYS_HEADER: &str = "stillroom.replays";

/// `dead_letter.v1`: a record that could not be processed, as `stillroom dlq show` prints it. On its topic it is the original
/// record, key and value byte for byte, with the headers of [`DeadLetter::headers`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The topic that it was read from.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Where it failed.
    pub stage: Stage,
    /// What was wrong, without any text of the note.
    pub error: String,
    /// How often it was replayed before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replays: u32,
    /// The original key; Base64 in JSON.
    #[serde(
        rename = "key_base64",
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::base64_bytes::option"
    )]
    #[schemars(with = "Option<String>", extend("contentEncoding" = "base64"))]
    pub key: Option<Vec<u8>>,
    /// The original value; Base64 in JSON.
    #[serde(
        rename = "value_base64",
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::base64_bytes::option"
    )]
    #[schemars(with = "Option<String>", extend("contentEncoding" = "base64"))]
    pub value: Option<Vec<u8>>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The operator at which a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The bytes are not a record.
    Decode,
    /// The text could not be cut into windows.
    Tokenize,
    /// The student failed on this note alone.
    Tag,
    /// What was found in the note is larger than a record may be.
    Extract,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 4] = [Stage::Decode, Stage::Tokenize, Stage::Tag, Stage::Extract];

    /// The name in records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Tokenize => "tokenize",
            Stage::Tag => "tag",
            Stage::Extract => "extract",
        }
    }

    /// What takes the place of the exception's class, which Kafka Connect has there.
    fn error_name(self) -> &'static str {
        match self {
            Stage::Decode => "stillroom.DecodeError",
            Stage::Tokenize => "stillroom.TokenizerError",
            Stage::Tag => "stillroom.TaggerError",
            Stage::Extract => "stillroom.ExtractError",
        }
    }
}

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const STAGE: &str = "__connect.errors.stage";
const CLASS: &str = "__connect.errors.exception.class.name";
const MESSAGE: &str = "__connect.errors.exception.message";

impl DeadLetter {
    /// The headers that tell of the failure, named as Kafka Connect's dead letter queues name them
    /// (`org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter`).
    pub fn headers(&self) -> Vec<Header> {
        let mut headers: Vec<Header> = [
            (TOPIC, self.topic.clone()),
            (PARTITION, self.partition.to_string()),
            (OFFSET, self.offset.to_string()),
            (STAGE, self.stage.name().to_owned()),
            (CLASS, self.stage.error_name().to_owned()),
            (MESSAGE, self.error.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value.into_bytes()))
        .into();
        headers.extend((self.replays > 0).then(|| (REPLAYS_HEADER.to_owned(), self.replays.to_string().into_bytes())));
        headers
    }

    /// The letter that a record of the dead letters' topic is; nothing if it lacks the headers, as one that others wrote there.
    pub fn from_record(headers: &[Header], key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Option<DeadLetter> {
        let text = |name| header(headers, name);
        let stage = text(STAGE)?;
        Some(DeadLetter {
            topic: text(TOPIC)?.to_owned(),
            partition: text(PARTITION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
            stage: Stage::ALL.into_iter().find(|known| known.name() == stage)?,
            error: text(MESSAGE)?.to_owned(),
            replays: replays_of(headers),
            key,
            value,
        })
    }
}

/// How often the record with these headers was replayed.
pub fn replays_of(headers: &[Header]) -> u32 {
    header(headers, REPLAYS_HEADER).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The last header of that name, as Kafka's clients read it, if it is text.
fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().rfind(|(known, _)| known == name)?;
    str::from_utf8(value).ok()
}
