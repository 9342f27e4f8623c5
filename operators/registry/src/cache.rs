//! What is known of the schemas that messages name.
//!
//! A schema's id never stands for another schema, so what is known stays; the one that was used least lately makes room. That an id
//! is unknown may change any moment, and is remembered for [`UNKNOWN_FOR`] only.

use crate::shape::Shape;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

/// Schemas that are kept at most: far more than the records in flight can name, so that none is dropped between the poll that
/// fetched it and the record that needs it.
pub(crate) const SCHEMAS_MAX: usize = 10_000;

/// Ids that are remembered as unknown at most.
const UNKNOWN_MAX: usize = 10_000;

/// How long an id is remembered as unknown.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// What a message that names a schema can be read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriterSchema {
    /// The datum is binary.
    Avro(Shape),
    /// The datum is JSON.
    Json,
    /// Not at all, and why.
    Unusable(String),
}

/// A cache by id.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: RwLock<Entries>,
    uses: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    known: HashMap<u32, Known>,
    unknown: HashMap<u32, Instant>,
}

#[derive(Debug)]
struct Known {
    schema: Arc<WriterSchema>,
    used: AtomicU64,
}

impl Cache {
    /// What is known of `id`.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<WriterSchema>> {
        let entries = self.entries.read().expect("nothing panics under this lock");
        let known = entries.known.get(&id)?;
        known.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&known.schema))
    }

    /// Whether to ask for `id`: it is not known, and was not found unknown lately.
    pub(crate) fn lacks(&self, id: u32, now: Instant) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        let entries = self.entries.read().expect("nothing panics under this lock");
        entries.unknown.get(&id).is_none_or(|&since| now.duration_since(since) >= UNKNOWN_FOR)
    }

    /// Takes in what the registry said of `id`: none when it has no such schema.
    pub(crate) fn put(&self, id: u32, schema: Option<WriterSchema>, now: Instant) {
        let mut entries = self.entries.write().expect("nothing panics under this lock");
        let Some(schema) = schema else {
            entries.unknown.remove(&id);
            make_room(&mut entries.unknown, UNKNOWN_MAX, |&since| since);
            entries.unknown.insert(id, now);
            return;
        };
        entries.unknown.remove(&id);
        make_room(&mut entries.known, SCHEMAS_MAX, |known| known.used.load(Ordering::Relaxed));
        let used = self.uses.fetch_add(1, Ordering::Relaxed).into();
        entries.known.insert(id, Known { schema: Arc::new(schema), used });
    }
}

/// Leaves room for one more: the least goes.
fn make_room<V, K: Ord>(entries: &mut HashMap<u32, V>, entries_max: usize, key: impl Fn(&V) -> K) {
    if entries.len() >= entries_max {
        let least = entries.iter().min_by_key(|(_, value)| key(value)).map(|(&id, _)| id);
        least.and_then(|id| entries.remove(&id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_ids_are_asked_for_again_after_a_while() {
        let (cache, start) = (Cache::default(), Instant::now());
        assert!(cache.lacks(7, start));
        cache.put(7, None, start);
        assert!(!cache.lacks(7, start + UNKNOWN_FOR - Duration::from_nanos(1)));
        assert!(cache.lacks(7, start + UNKNOWN_FOR));
        assert_eq!(cache.get(7), None);

        cache.put(7, Some(WriterSchema::Json), start);
        assert!(!cache.lacks(7, start + 2 * UNKNOWN_FOR));
        assert_eq!(cache.get(7).as_deref(), Some(&WriterSchema::Json));
    }

    #[test]
    fn the_schema_used_least_lately_makes_room() {
        let (cache, now) = (Cache::default(), Instant::now());
        let count = SCHEMAS_MAX as u32;
        for id in 0..count {
            cache.put(id, Some(WriterSchema::Json), now);
        }
        assert!(cache.get(0).is_some());
        cache.put(count, Some(WriterSchema::Json), now);
        assert!(cache.get(0).is_some() && cache.get(1).is_none() && cache.get(count).is_some());
    }

    #[test]
    fn unknown_ids_have_a_bound() {
        let (cache, now) = (Cache::default(), Instant::now());
        for id in 0..=UNKNOWN_MAX as u32 {
            cache.put(id, None, now + Duration::from_nanos(id.into()));
        }
        assert!(cache.lacks(0, now + UNKNOWN_FOR / 2) && !cache.lacks(1, now + UNKNOWN_FOR / 2));
    }
}
