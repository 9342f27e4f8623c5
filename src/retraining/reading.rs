//! How topics are read while students are retrained.

use std::time::Duration;
use stillroom_connectors::{LogError, Source};

/// Bytes of records that are read at once.
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// How long a poll waits for the log.
pub(crate) const POLL_WAIT: Duration = Duration::from_millis(100);

/// Reads a partition from an offset, or from its first record where the log has no such offset: records have expired,
/// or what was not committed when it was read was cut off.
///
/// # Errors
/// When the log cannot be reached, or has no such partition.
pub(crate) fn assign_or_first(
    source: &mut dyn Source,
    (topic, partition): (&str, u32),
    next: u64,
) -> Result<(), LogError> {
    match source.assign(topic, partition, next) {
        Err(LogError::OffsetOutOfRange { .. }) => source.assign(topic, partition, 0),
        assigned => assigned,
    }
}
