//! Students that change in all partitions together, as far as commits tell.

use std::collections::{BTreeMap, BTreeSet};

/// How often the student has changed before each record of a partition, by the students of its records.
pub(crate) fn turns<'a>(students: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = usize> {
    let (mut last, mut turn) = (None, 0);
    students.into_iter().map(move |student| {
        turn += usize::from(last.replace(student).is_some_and(|last| last != student));
        turn
    })
}

/// Checks that no partition is behind another. A commit is of whole epochs, and an epoch has one student, so only the commit with the
/// epoch of a change may have records of two turns: no later one has a record of a turn before one of an earlier commit, whatever their
/// partitions. `records` are commits and turns, in any order.
pub(crate) fn check_together(records: impl IntoIterator<Item = (usize, usize)>) {
    let mut commits: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (commit, turn) in records {
        commits.entry(commit).or_default().insert(turn);
    }
    let mut last = 0;
    for (commit, turns) in &commits {
        let (Some(&first), Some(&end)) = (turns.first(), turns.last()) else { continue };
        assert!(
            first >= last,
            "commit {commit} has a student of turn {first}, and an earlier commit one of turn {last}"
        );
        last = end;
    }
    assert!(commits.len() > last, "{} commits of {} turns prove little", commits.len(), last + 1);
}
