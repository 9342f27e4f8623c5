//! What all clients of a cluster share: their configuration, what is remembered and logged of their troubles, and how those are
//! told.

use super::KafkaSettings;
use crate::LogError;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cluster may take to answer before a start is given up.
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long to look for the reason that a cluster does not answer.
const DIAGNOSIS_WAIT_MAX: Duration = Duration::from_secs(5);

/// What OpenSSL says of a certificate that it does not trust.
const UNTRUSTED: &str = "certificate verify failed";

/// The same trouble is logged no more often than this.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What a client's callbacks write down.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// The last trouble with brokers in their words, the most telling kept.
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// The first record that was not delivered.
    undelivered: Mutex<Option<KafkaError>>,
    warned: Mutex<Option<Instant>>,
}

impl Troubles {
    pub(super) fn take_undelivered(&self) -> Option<KafkaError> {
        lock(&self.undelivered).take()
    }

    fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        lock(&self.last).clone()
    }

    /// Logs `message`, unless something was logged a moment ago.
    pub(super) fn warn(&self, message: &str) {
        let mut warned = lock(&self.warned);
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!("{message}");
        }
    }
}

/// What was put down whole is good whatever became of the thread.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Troubles {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, "{message}");
            }
            _ => self.warn(&format!("{facility}: {message}")),
        }
    }

    /// The lag under the name that Kafka's exporters give it.
    fn stats(&self, statistics: Statistics) {
        for (topic, of_topic) in &statistics.topics {
            // What was delivered to this client and not yet committed still lags, by no more than what is open.
            for (partition, read) in of_topic.partitions.iter().filter(|(_, read)| read.app_offset >= 0) {
                tracing::info!(topic, partition, kafka_consumer_lag = (read.ls_offset - read.app_offset).max(0));
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error).unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        let mut last = lock(&self.last);
        // That no broker can be reached follows from what was said before, and says less.
        let follows = code == RDKafkaErrorCode::AllBrokersDown && last.is_some();
        if !follows {
            *last = Some((code, reason.to_owned()));
        }
        drop(last);
        self.warn(reason);
    }
}

impl ConsumerContext for Troubles {}

impl ProducerContext for Troubles {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            lock(&self.undelivered).get_or_insert_with(|| error.clone());
        }
    }
}

/// The user's properties, over these defaults and under what stillroom must have.
pub(super) fn client_config(
    settings: &KafkaSettings,
    defaults: &[(&str, &str)],
    ours: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "stillroom");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    for (name, value) in ours {
        config.set(*name, *value);
    }
    // Without this the library prints to stderr by itself.
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// What a new client meets with when it connects.
pub(super) fn diagnose(settings: &KafkaSettings) -> Option<Arc<Troubles>> {
    let created = client_config(settings, &[], &[]).create_with_context(Troubles::default());
    let client: BaseProducer<Troubles> = created.ok()?;
    let began = Instant::now();
    while client.context().last().is_none() && began.elapsed() < DIAGNOSIS_WAIT_MAX {
        client.poll(Duration::from_millis(50));
    }
    // The first trouble may be followed by one that says more.
    client.poll(Duration::from_millis(500));
    Some(Arc::clone(client.client().context()))
}

/// An error of a client whose troubles are known. Neither values of properties nor bytes of records are in it.
pub(super) fn failed(action: impl Into<String>, error: &KafkaError, troubles: Option<&Troubles>) -> LogError {
    let action = action.into();
    if let KafkaError::ClientConfig(_, description, property, _) = error {
        let cause = format!("the property {property} is refused ({})", without_value(description, property));
        return LogError::Kafka { action, cause, remedy: "correct it under [kafka.properties]" };
    }
    let told = troubles.and_then(Troubles::last);
    let code = code_of(error);
    match told {
        // The client only knows that it waited in vain; why, the brokers' connections said.
        Some((why, reason)) if code.is_none_or(is_of_connection) => {
            let is_away = code.is_some_and(|code| !is_refusal(code, "")) && !is_refusal(why, &reason);
            unanswered(action, (remedy(why, &reason), reason), is_away)
        }
        _ => {
            let cause = match error {
                KafkaError::Transaction(error) => error.to_string(),
                error => error.to_string(),
            };
            let remedy = remedy(code.unwrap_or(RDKafkaErrorCode::Unknown), &cause);
            let is_away = code.is_some_and(|code| is_of_connection(code) && !is_refusal(code, &cause));
            unanswered(action, (remedy, cause), is_away)
        }
    }
}

/// What is told of a request without an answer.
fn unanswered(action: String, (remedy, cause): (&'static str, String), is_away: bool) -> LogError {
    match is_away {
        true => LogError::Unreachable { action, cause, remedy },
        false => LogError::Kafka { action, cause, remedy },
    }
}

/// A description may repeat the value after the name.
fn without_value<'a>(description: &'a str, property: &str) -> &'a str {
    if description.contains("No such configuration property") {
        "there is no such property"
    } else if description.contains(property) {
        "its value is not allowed"
    } else {
        description
    }
}

/// The library's code, also of the requests of administration, which the crate leaves out.
pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Whether a client says that it got no answer, which has its reason somewhere else.
pub(super) fn is_of_connection(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::Authentication
            | Code::Resolve
            | Code::SSL
            | Code::TimedOutQueue
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::CoordinatorLoadInProgress
    )
}

/// Whether the brokers, or this client, do not agree to the connection: who waits for it waits without end.
fn is_refusal(code: RDKafkaErrorCode, reason: &str) -> bool {
    use RDKafkaErrorCode as Code;
    // A certificate is refused with the code of whatever that kept from happening.
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) || reason.contains(UNTRUSTED)
}

fn remedy(code: RDKafkaErrorCode, reason: &str) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        _ if reason.contains(UNTRUSTED) => {
            "the broker's certificate is not signed by a CA of ssl.ca.location, or is for another host; give the cluster's CA there"
        }
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "check sasl.username, sasl.password_file and sasl.mechanism, and that the user exists on the cluster"
        }
        Code::SSL => "check security.protocol and the ssl.* properties: this listener may not speak TLS",
        Code::GroupAuthorizationFailed => "an ACL is missing: allow Read on the group of kafka.group_id",
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            "an ACL is missing: allow Describe and Read on the topics, and Write and Alter on those that stillroom writes"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "an ACL is missing: allow Write and Describe on the transactional id"
        }
        Code::Resolve => "correct the host names in bootstrap.servers",
        Code::MessageSizeTooLarge => {
            "raise max.message.bytes of the topic, or lower record_bytes_max; `stillroom check --connect` compares them"
        }
        _ if is_of_connection(code) => {
            "check bootstrap.servers and security.protocol, and that the brokers run and can be reached from here"
        }
        _ => "`stillroom check --connect` looks for the reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_refuses_is_no_outage() {
        use RDKafkaErrorCode as Code;
        let check = |code: Code, troubles: Option<&Troubles>, expected: bool| {
            let error = failed("try", &KafkaError::AdminOp(code), troubles);
            assert_eq!(error.is_outage(), expected, "{code:?}: {error}");
        };
        let of_trouble = |code: Code, reason: &str| {
            let troubles = Troubles::default();
            troubles.error(KafkaError::Global(code), reason);
            troubles
        };
        let away = [(Code::Resolve, "no such host"), (Code::BrokerTransportFailure, "connection refused")];
        let away = away.map(|(code, reason)| of_trouble(code, reason));
        for troubles in [None].into_iter().chain(away.iter().map(Some)) {
            check(Code::OperationTimedOut, troubles, true);
            check(Code::AllBrokersDown, troubles, true);
            check(Code::BrokerTransportFailure, troubles, true);
            check(Code::Resolve, troubles, true);
            check(Code::Authentication, troubles, false);
            check(Code::SaslAuthenticationFailed, troubles, false);
            check(Code::SSL, troubles, false);
            check(Code::TopicAuthorizationFailed, troubles, false);
            check(Code::UnknownTopicOrPartition, troubles, false);
            check(Code::MessageSizeTooLarge, troubles, false);
            // Without a code nothing says that the brokers were waited for.
            assert!(!failed("try", &KafkaError::Canceled, troubles).is_outage());
        }
        // The client only waited in vain, and its connections said why.
        for (code, reason) in [
            (Code::Authentication, "SASL authentication error: no such user"),
            (Code::SaslAuthenticationFailed, "no such user"),
            (Code::SSL, "SSL handshake failed"),
            (Code::BrokerTransportFailure, "SSL handshake failed: certificate verify failed"),
        ] {
            let refused = of_trouble(code, reason);
            for code in [Code::OperationTimedOut, Code::AllBrokersDown, Code::BrokerTransportFailure] {
                check(code, Some(&refused), false);
            }
            let told = failed("try", &KafkaError::AdminOp(Code::OperationTimedOut), Some(&refused)).to_string();
            assert!(told.contains(reason), "{told}");
        }
    }
}
