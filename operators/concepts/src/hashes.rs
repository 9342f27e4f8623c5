//! Numbers by the hashes of their keys.
//!
//! Eight bytes an entry and no key: who looks something up compares the keys of the few entries that share a hash. A table of a
//! million entries is one block of 8 MB, which is searched in halves.

/// Numbers by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct Hashes(Vec<(u32, u32)>);

impl Hashes {
    /// Takes hashes and numbers in any order.
    pub(crate) fn new(mut entries: Vec<(u32, u32)>) -> Hashes {
        entries.sort_unstable();
        entries.dedup();
        entries.shrink_to_fit();
        Hashes(entries)
    }

    /// The numbers whose keys have this hash, the least first.
    pub(crate) fn of(&self, hash: u32) -> impl Iterator<Item = u32> {
        let from = self.0.partition_point(|entry| entry.0 < hash);
        self.0[from..].iter().take_while(move |entry| entry.0 == hash).map(|entry| entry.1)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_hash() {
        let hashes = Hashes::new(vec![(5, 2), (7, 1), (5, 9), (5, 2), (u32::MAX, 3), (0, 4)]);
        let of = |hash: u32| hashes.of(hash).collect::<Vec<_>>();
        assert_eq!(of(5), [2, 9]);
        assert_eq!(of(0), [4]);
        assert_eq!(of(u32::MAX), [3]);
        assert!(of(6).is_empty());
    }
}
