//! How a topic is read from some offset to where it ends now: by all who look at what stands on the log, and do not follow
//! it as the engine does.

use anyhow::Result;
use std::time::Duration;
use stillroom_connectors::{LogError, Source};
use stillroom_dataflow::Record;

/// Bytes of records that are read at once.
const BATCH_BYTES: usize = 4 << 20;

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

/// Gives `take` every record of a topic, by a source that ends: those of a partition in their order.
///
/// # Errors
/// When the log cannot be read or has no such topic, and the first error of `take`.
pub(crate) fn read_topic(
    mut source: Box<dyn Source>,
    topic: &str,
    take: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    for partition in 0..source.partitions(topic)? {
        source.assign(topic, partition, 0)?;
    }
    read_records(source.as_mut(), take)
}

/// The same of one partition.
///
/// # Errors
/// Also when the topic has no such partition.
pub(crate) fn read_partition(
    mut source: Box<dyn Source>,
    (topic, partition): (&str, u32),
    take: impl FnMut(Record) -> Result<()>,
) -> Result<()> {
    source.partitions(topic)?;
    source.assign(topic, partition, 0)?;
    read_records(source.as_mut(), take)
}

/// Gives `take` every record of what a source that ends was assigned.
///
/// # Errors
/// When the log cannot be read, and the first error of `take`.
pub(crate) fn read_records(source: &mut dyn Source, mut take: impl FnMut(Record) -> Result<()>) -> Result<()> {
    read_batches(source, |records| records.into_iter().try_for_each(&mut take).map(|()| true))?;
    Ok(())
}

/// Gives `take` batches of records, some of them empty, until the source ends or `take` says that there is to be no other.
/// Whether it came to the end.
///
/// # Errors
/// When the log cannot be read, and the first error of `take`.
pub(crate) fn read_batches(source: &mut dyn Source, mut take: impl FnMut(Vec<Record>) -> Result<bool>) -> Result<bool> {
    while !source.is_finished() {
        if !take(source.poll(BATCH_BYTES, POLL_WAIT)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_connectors::{Appended, EmbeddedLog, Log};

    /// A log with two partitions of a topic, of these keys.
    fn log(folder: &std::path::Path, partitions: [&[&str]; 2]) -> EmbeddedLog {
        let log = EmbeddedLog::open(folder).unwrap();
        log.create_topic("t", 2).unwrap();
        for (partition, keys) in (0..).zip(partitions) {
            let record = |key: &&str| Appended {
                key: Some(key.as_bytes().into()),
                partition: Some(partition),
                ..Appended::default()
            };
            log.append("t", &keys.iter().map(record).collect::<Vec<Appended>>()).unwrap();
        }
        log
    }

    #[test]
    fn a_topic_is_read_to_its_end_and_an_error_ends_that() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), [&["a", "b", "c"], &["d"]]);
        let mut keys = Vec::new();
        let mut take = |record: Record| -> Result<()> {
            keys.push(String::from_utf8(record.key.unwrap_or_default())?);
            Ok(())
        };
        read_topic(log.bounded().unwrap(), "t", &mut take).unwrap();
        read_partition(log.bounded().unwrap(), ("t", 1), &mut take).unwrap();
        keys[..4].sort();
        assert_eq!(keys, ["a", "b", "c", "d", "d"]);

        let mut taken = 0;
        let failed = read_partition(log.bounded().unwrap(), ("t", 0), |_| {
            taken += 1;
            anyhow::bail!("enough")
        });
        assert_eq!((failed.unwrap_err().to_string().as_str(), taken), ("enough", 1));
        assert!(read_topic(log.bounded().unwrap(), "another", |_| Ok(())).is_err());
    }

    #[test]
    fn what_is_enough_is_told_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), [&["a", "b"], &[]]);
        let is_whole = |is_enough: bool, next: u64| {
            let mut source = log.bounded().unwrap();
            assign_or_first(source.as_mut(), ("t", 0), next).unwrap();
            let mut records = 0;
            let is_whole = read_batches(source.as_mut(), |batch| {
                records += batch.len();
                Ok(!is_enough)
            });
            (is_whole.unwrap(), records)
        };
        assert_eq!([is_whole(false, 0), is_whole(false, 1), is_whole(true, 0)], [(true, 2), (true, 1), (false, 2)]);
        assert_eq!(is_whole(false, 7), (true, 2), "there is no such offset");
        assert_eq!(is_whole(true, 2), (true, 0), "nothing is left");
    }
}
