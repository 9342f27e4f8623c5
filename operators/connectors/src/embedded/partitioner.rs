//! Which partition a key belongs to: as Kafka's default partitioner, so that a log that moves to Kafka keeps its partitions.

/// The partition of `key` among `partitions`, as `org.apache.kafka.clients.producer.internals.BuiltInPartitioner` has it.
///
/// # Panics
/// When there is no partition.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// MurmurHash2 of 32 bits with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`, which returns it as an `int`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Kafka counts in `int`: a key of more than 2 GiB cannot exist there.
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_kafka_does() {
        // The vectors of Kafka's own UtilsTest.
        let check = |key: &str, expected: i32| assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check("abc", 479_470_107);
    }

    #[test]
    fn partitions_as_kafka_does() {
        assert_eq!(partition_of(b"21", 5), ((-973_932_308_i32) & 0x7fff_ffff) as u32 % 5);
        assert_eq!(partition_of(b"anything", 1), 0);
    }
}
