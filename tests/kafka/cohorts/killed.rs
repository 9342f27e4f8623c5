//! A process of a cluster that is killed changes no member.

use super::setting::{
    LATER, NOTES, define, events, keep_cohorts, line, make_topics, members, send, student, vocabularies,
};
use crate::cluster::Cluster;
use crate::running::{DEADLINE, Running};
use crate::site::Broker;
use crate::support::{stderr, stdout, stillroom};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;
use stillroom::engine::Topics;
use stillroom_connectors::EmbeddedLog;
use stillroom_schemas::{CohortEvent, Day, LeaveCause, Membership, MembershipChange};

/// Notes and withdrawals of [`history`].
const STEPS: u32 = 480;

/// Notes of forty patients that come, are amended and withdrawn in the course of some years.
fn history() -> String {
    let texts: Vec<&str> = NOTES.iter().chain(&LATER).map(|(_, _, text)| *text).collect();
    let mut random = SmallRng::seed_from_u64(7);
    let record = |step: u32| {
        let number = random.random_range(0..120u32);
        let (note_id, patient_id) = (format!("n{number}"), format!("p{}", number % 40));
        if random.random_bool(0.12) {
            return json!({"note_id": note_id, "withdrawn": true}).to_string() + "\n";
        }
        let (text, signed_on) = (texts.choose(&mut random).unwrap(), Day::from_number(19_000 + 2 * step));
        line((&note_id, &patient_id, text), step, &signed_on.to_string())
    };
    (0..STEPS).map(record).collect()
}

/// Members, whenever they came in: that depends on how partitions interleave.
fn timeless(members: impl IntoIterator<Item = Membership>) -> BTreeMap<String, Membership> {
    let timeless = |membership: Membership| (membership.patient_id.clone(), Membership { since: None, ..membership });
    members.into_iter().map(timeless).collect()
}

/// Who one process finds in the same history on a log in a folder.
fn members_on_a_folder(history: &str) -> BTreeMap<String, Membership> {
    let folder = tempfile::tempdir().unwrap();
    let (dir, config) = (folder.path().join("log"), folder.path().join("stillroom.toml"));
    let (student, vocabularies) = (student(), vocabularies(folder.path()));
    let log = format!("[log]\ndir = {dir:?}\npartitions = 3\n[student]\nfolders = [{student:?}]\n");
    fs::write(&config, format!("{log}[engine]\ncohorts = true\n{vocabularies}")).unwrap();
    make_topics(&config);
    define(&config);
    send(&config, "history.jsonl", history);
    let log = EmbeddedLog::open(&dir).unwrap();
    let mut command = stillroom();
    command.arg("run").arg("-c").arg(&config);
    let (running, began) = (Running::start(command), Instant::now());
    while log.progress().unwrap().totals.notes < u64::from(STEPS) {
        assert!(began.elapsed() < DEADLINE, "not all of the history is committed");
        std::thread::yield_now();
    }
    stdout(&running.terminate());
    let values = log.last_values(&Topics::default().memberships).unwrap().into_values();
    timeless(values.map(|value| serde_json::from_slice(&value).unwrap()))
}

#[test]
fn a_cluster_that_was_killed_ends_with_the_members_of_one_process_on_a_folder() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    // Small bounds, so that there are many transactions to be killed in.
    cluster.site.extra = format!("epochs_open_max = 3\ncommit_bytes_max = 4000\n{}", cluster.site.extra);
    keep_cohorts(&mut cluster.site);
    let (site, config, history) = (&cluster.site, cluster.site.config(1), history());
    make_topics(&config);
    define(&config);
    send(&config, "history.jsonl", &history);

    let [mut first, second] = cluster.start(1);
    first.hear("committed");
    first.kill();
    let ended = second.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", stderr(&ended));
    let committed = site.progress().totals.notes;
    assert!(committed < u64::from(STEPS), "the kill came too late: give the runs more to do");
    let [first, second] = cluster.start(1);
    site.wait_for_end();
    stdout(&second.terminate());
    stdout(&first.wait());

    let members = timeless(members(site).into_values());
    assert_eq!(members, members_on_a_folder(&history));
    let events = events(site);
    let left: Vec<&CohortEvent> = events.iter().filter(|event| event.change == MembershipChange::Leave).collect();
    assert!(members.len() > 3 && left.len() > 3, "too poor: {members:?} {left:?}");
    assert!(left.iter().all(|event| !event.why.contains(&LeaveCause::Reconfigured)), "a restart changed something");
}
