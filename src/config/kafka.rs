//! The broker's part of the configuration: librdkafka's properties, which of them are secret and which are stillroom's own.

use crate::refused::{Refused, in_range, not_empty};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use stillroom_connectors::Delivery;

/// Where librdkafka's properties stand in the configuration.
pub(crate) const PROPERTIES: &str = "kafka.properties";
/// What is shown of a secret.
pub(crate) const MASK: &str = "****";
/// A property of this ending is read from the file that it names, and set without the ending.
pub(crate) const FILE_SUFFIX: &str = "_file";
/// Bytes that a secret's file holds at most; a larger one is not a secret but a mistake.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The broker. It is used when `bootstrap.servers` is among the properties, otherwise the embedded log is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KafkaConfig {
    /// librdkafka's properties, by its names for them. One that ends in `_file` is read at the start from the file that it names,
    /// relative to the working folder, and set without the ending: a secret is best kept so. Secrets in plain are taken from the
    /// file only. Default: none. Example: `bootstrap.servers = "broker:9092"`, `sasl.password_file = "/run/secrets/kafka"`.
    #[serde(serialize_with = "serialize_masked")]
    pub(crate) properties: BTreeMap<String, String>,
    /// Names the producer to the broker, which shuts out an older process of the same name. One for every topology that runs.
    /// Default `stillroom`.
    pub(crate) transactional_id: String,
    /// The consumer group that the offsets are committed for. Default `stillroom`.
    pub(crate) group_id: String,
    /// `exactly_once`, or `at_least_once` for brokers without transactions. Default `exactly_once`.
    pub(crate) delivery: Delivery,
    /// Replicas of topics that are created, 1 to 32767; -1 is the broker's default. Default -1.
    pub(crate) replication: i32,
    /// Whether topics that are missing are created. Default false.
    pub(crate) create_topics: bool,
    /// Milliseconds after which the broker gives up a transaction, 1000 to 3600000; the broker has a bound of its own,
    /// `transaction.max.timeout.ms`. Default 60000.
    pub(crate) transaction_timeout_ms: u64,
}

impl Default for KafkaConfig {
    fn default() -> KafkaConfig {
        KafkaConfig {
            properties: BTreeMap::new(),
            transactional_id: "stillroom".to_owned(),
            group_id: "stillroom".to_owned(),
            delivery: Delivery::ExactlyOnce,
            replication: -1,
            create_topics: false,
            transaction_timeout_ms: 60_000,
        }
    }
}

/// Shows no secrets, wherever the configuration is printed.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("properties", &masked(&self.properties))
            .field("transactional_id", &self.transactional_id)
            .field("group_id", &self.group_id)
            .field("delivery", &self.delivery)
            .field("replication", &self.replication)
            .field("create_topics", &self.create_topics)
            .field("transaction_timeout_ms", &self.transaction_timeout_ms)
            .finish()
    }
}

/// A property that stillroom sets itself.
struct Own {
    /// librdkafka's name.
    name: &'static str,
    /// The value that may be written all the same, since it is the one that is set.
    allowed: Option<&'static str>,
    /// Why, and what to do.
    reason: &'static str,
}

/// The properties that stillroom sets itself.
const OWN: [Own; 9] = [
    Own {
        name: "enable.auto.commit",
        allowed: Some("false"),
        reason: "loses or repeats notes, since offsets are committed with the outputs; remove it",
    },
    Own {
        name: "isolation.level",
        allowed: Some("read_committed"),
        reason: "shows outputs that were taken back, and is read_committed; remove it",
    },
    Own {
        name: "enable.idempotence",
        allowed: Some("true"),
        reason: "repeats outputs when it is off, and is on; remove it",
    },
    Own {
        name: "auto.offset.reset",
        allowed: None,
        reason: "is set by stillroom, which knows where to read on; remove it",
    },
    Own {
        name: "enable.partition.eof",
        allowed: None,
        reason: "is set by stillroom, which asks for the ends it needs; remove it",
    },
    Own { name: "group.id", allowed: None, reason: "has a setting of its own; write kafka.group_id" },
    Own { name: "transactional.id", allowed: None, reason: "has a setting of its own; write kafka.transactional_id" },
    Own {
        name: "transaction.timeout.ms",
        allowed: None,
        reason: "has a setting of its own; write kafka.transaction_timeout_ms",
    },
    Own { name: "metadata.broker.list", allowed: None, reason: "is another name; write bootstrap.servers" },
];

impl KafkaConfig {
    /// Whether a broker is named; otherwise the embedded log is used.
    pub(crate) fn uses_broker(&self) -> bool {
        ["bootstrap.servers", "bootstrap.servers_file"].iter().any(|name| self.properties.contains_key(*name))
    }

    /// The properties with the secrets read from their files, for librdkafka. The result is not to be printed.
    ///
    /// # Errors
    /// When a file cannot be read, is empty, too large or not UTF-8, or a property is given both in plain and by its file. Names
    /// the property and the path, never the content.
    pub(crate) fn resolved(&self) -> Result<BTreeMap<String, String>> {
        self.check_files()?;
        let resolve = |(name, value): (&String, &String)| match name.strip_suffix(FILE_SUFFIX) {
            None => Ok((name.clone(), value.clone())),
            Some(secret) => Ok((secret.to_owned(), read_secret(name, Path::new(value))?)),
        };
        self.properties.iter().map(resolve).collect()
    }

    /// Refuses properties that stillroom sets itself, and values outside their ranges.
    ///
    /// # Errors
    /// Names the setting and the remedy, and never a secret.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        self.properties.iter().try_for_each(|(name, value)| check_property(name, value))?;
        self.check_files()?;
        not_empty("kafka.transactional_id", self.transactional_id.is_empty(), "name the topology")?;
        not_empty("kafka.group_id", self.group_id.is_empty(), "name a consumer group")?;
        if self.replication != -1 && !(1..=32_767).contains(&self.replication) {
            let reason =
                format!("is {}; choose a value from 1 to 32767, or -1 for the broker's default", self.replication);
            return Err(Refused::new("kafka.replication", reason));
        }
        in_range("kafka.transaction_timeout_ms", self.transaction_timeout_ms, 1_000..=3_600_000)
    }

    /// Refuses a property that is given both in plain and by its file.
    fn check_files(&self) -> Result<(), Refused> {
        for name in self.properties.keys() {
            if let Some(plain) = name.strip_suffix(FILE_SUFFIX).filter(|plain| self.properties.contains_key(*plain)) {
                let reason = format!("is given, and {plain} too; keep one of them");
                return Err(Refused::new(property(name), reason).with(property(plain)));
            }
        }
        Ok(())
    }
}

/// Whether a property's value must not be shown. The address of a token's issuer is none, for all its name.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["password", "passphrase", "secret", "token", "key.pem", "sasl.oauthbearer.config", "sasl.jaas.config"];
    let is_address = name == "sasl.oauthbearer.token.endpoint.url";
    !is_address && !name.ends_with(FILE_SUFFIX) && words.iter().any(|word| name.contains(word))
}

/// The full path of a property.
pub(crate) fn property(name: &str) -> String {
    format!("{PROPERTIES}.{name}")
}

fn check_property(name: &str, value: &str) -> Result<(), Refused> {
    if is_secret(name) && value == MASK {
        let reason = format!("is {MASK}, which stands for a secret that was not shown; write {name}{FILE_SUFFIX}");
        return Err(Refused::new(property(name), reason));
    }
    let by_file = name.strip_suffix(FILE_SUFFIX);
    let own = OWN.iter().find(|own| own.name == by_file.unwrap_or(name));
    let is_allowed = |own: &Own| by_file.is_none() && own.allowed.is_some_and(|is| is.eq_ignore_ascii_case(value));
    match own {
        Some(own) if !is_allowed(own) => Err(Refused::new(property(name), own.reason)),
        _ => Ok(()),
    }
}

/// A secret from its file, without the newline that editors put at its end.
fn read_secret(name: &str, path: &Path) -> Result<String> {
    let about =
        || format!("{} cannot be read from {}; name a file that holds the secret", property(name), path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(about)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).with_context(about)?;
    let at = format!("{}: {}", property(name), path.display());
    let is_small = text.len() as u64 <= SECRET_BYTES_MAX;
    ensure!(is_small, "{at} has more than {SECRET_BYTES_MAX} bytes; name a file that holds the secret alone");
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    ensure!(!secret.is_empty(), "{at} is empty; write the secret into it");
    Ok(secret.to_owned())
}

fn masked(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    properties
        .iter()
        .map(|(name, value)| (name.as_str(), if is_secret(name) { MASK } else { value.as_str() }))
        .collect()
}

fn serialize_masked<S: Serializer>(properties: &BTreeMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    masked(properties).serialize(serializer)
}
