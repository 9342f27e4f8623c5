//! Producers of records: how they are made, fed and waited for.

use super::client::{ANSWER_WAIT_MAX, Troubles, client_config, failed};
use super::{Delivery, KafkaLog};
use crate::LogError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

/// A record that was delivered is noticed after no more than this.
const DRAIN_STEP: Duration = Duration::from_millis(1);

/// Bytes of a record that a producer lets pass: what may be written, `record_bytes_max` and the topics bound.
pub(super) const PRODUCED_BYTES_MAX: &str = "134217728";

/// What a producer holds in KiB.
pub(super) const BUFFERED_KBYTES: (&str, &str) = ("queue.buffering.max.kbytes", "262144");

pub(super) type Producing = BaseProducer<Troubles>;

/// A producer that, in transactions, has fenced every other of its id.
pub(super) fn producer(log: &KafkaLog) -> Result<Producing, LogError> {
    let settings = &log.settings;
    let timeout = settings.transaction_timeout_ms.to_string();
    let defaults = [
        ("message.max.bytes", PRODUCED_BYTES_MAX),
        ("topic.metadata.refresh.interval.ms", "5000"),
        ("linger.ms", "1"),
        BUFFERED_KBYTES,
        ("message.timeout.ms", timeout.as_str()),
    ];
    let transactional = [
        ("enable.idempotence", "true"),
        ("transactional.id", settings.transactional_id.as_str()),
        ("transaction.timeout.ms", timeout.as_str()),
    ];
    let ours = if settings.delivery == Delivery::ExactlyOnce { &transactional[..] } else { &transactional[..1] };
    let created = client_config(settings, &defaults, ours).create_with_context(Troubles::default());
    let producer: Producing = created.map_err(|error| failed("connect to Kafka", &error, None))?;
    if settings.delivery == Delivery::ExactlyOnce {
        let fenced = producer.init_transactions(ANSWER_WAIT_MAX);
        fenced.map_err(|error| {
            let action = format!("take the transactional id {}", settings.transactional_id);
            failed(action, &error, Some(producer.context()))
        })?;
    }
    Ok(producer)
}

/// Hands a record to the client, and makes room for it if need be.
pub(super) fn enqueue(producer: &Producing, record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Waits until every record was delivered or given up, which `message.timeout.ms` bounds.
pub(super) fn drain(producer: &Producing) {
    // The crate's own flush polls in steps of 100 ms, whatever comes.
    while producer.in_flight_count() > 0 {
        producer.poll(DRAIN_STEP);
    }
}

/// Waits likewise, and tells of the first record that was not delivered.
pub(super) fn flush(producer: &Producing) -> Result<(), KafkaError> {
    drain(producer);
    producer.context().take_undelivered().map_or(Ok(()), Err)
}
