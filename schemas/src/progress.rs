//! What was done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The next offset to read, by topic and partition.
pub type TopicOffsets = BTreeMap<String, BTreeMap<u32, u64>>;

/// `progress.v1`: the authority on what was done. It is committed atomically with the outputs that it speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The last committed epoch.
    pub epoch: u64,
    /// The next input offset to read.
    pub inputs: TopicOffsets,
    /// Records of every output partition that are committed; what lies beyond was never committed. Kafka keeps that itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: TopicOffsets,
    /// The id that the log gave each of these topics when it was created: one that is created anew has another.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topic_ids: BTreeMap<String, String>,
    /// What became of every note record so far.
    pub totals: Totals,
}

/// What became of the records of the notes topic: `notes` is the sum of the four after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Records read from the notes topic.
    pub notes: u64,
    /// Revisions whose entities were extracted.
    pub extracted: u64,
    /// Records that could not be processed and left as dead letters.
    pub dead_lettered: u64,
    /// Records that a higher or equal revision had already overtaken.
    pub superseded: u64,
    /// Tombstones.
    pub withdrawn: u64,
    /// Live notes that were read again and tagged by the student that had taken over: none of the records above, which count once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retagged: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.notes += other.notes;
        self.extracted += other.extracted;
        self.dead_lettered += other.dead_lettered;
        self.superseded += other.superseded;
        self.withdrawn += other.withdrawn;
        self.retagged += other.retagged;
    }
}
