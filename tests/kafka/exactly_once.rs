//! What is committed does not depend on kills.

use crate::site::{Broker, Site};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const NOTES: u64 = 3000;
const KILLS: usize = 25;

#[test]
fn any_number_of_workers_commits_the_same() {
    let Some(broker) = Broker::shared() else { return };
    let committed = [1, 2, 3].map(|workers| {
        let mut site = Site::new(&broker, 3);
        site.extra = "epoch_bytes_max = 2000".to_owned();
        site.fill(500);
        site.finish(workers);
        site.committed()
    });
    assert!(committed[0].extractions() > 500);
    assert_eq!(committed[1], committed[0]);
    assert_eq!(committed[2], committed[0]);
}

#[test]
fn at_least_once_commits_the_same_when_nothing_goes_wrong() {
    let Some(broker) = Broker::shared() else { return };
    let [exactly, at_least] = ["exactly_once", "at_least_once"].map(|delivery| {
        let mut site = Site::new(&broker, 2);
        site.extra = "epoch_bytes_max = 2000".to_owned();
        site.delivery = delivery;
        site.fill(200);
        site.finish(2);
        site.put("later", "fever");
        site.finish(1);
        site
    });
    assert_eq!(at_least.committed(), exactly.committed());
    let checked = at_least.command(&["check", "--connect", "--take"]).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && said.contains(&format!("pass  group {}", at_least.name)), "{said}");
    assert!(!said.contains("transactional id"), "{said}");
}

#[test]
fn kills_leave_the_output_of_an_uninterrupted_run() {
    let Some(broker) = Broker::shared() else { return };
    let whole = Site::new(&broker, 3);
    whole.fill(NOTES);
    let totals = whole.finish(1).totals;
    assert_eq!(totals.notes, totals.extracted + totals.dead_lettered + totals.superseded + totals.withdrawn);
    assert!(totals.extracted > NOTES && totals.dead_lettered > 0 && totals.superseded > 0 && totals.withdrawn > 0);

    let mut site = Site::new(&broker, 3);
    // Small bounds, so that there are many transactions to be killed in.
    site.extra =
        "epochs_open_max = 3\nbytes_open_max = 65536\nepoch_bytes_max = 1000\ncommit_bytes_max = 4000".to_owned();
    site.fill(NOTES);
    let mut random = SmallRng::seed_from_u64(3);
    for kill in 0..KILLS {
        let mut running = site.start(1 + kill % 3);
        running.hear("committed");
        // Between two transactions, or in one; every fifth time while it still restores.
        let patience = if kill % 5 == 4 { 0 } else { 150_000 };
        std::thread::sleep(Duration::from_micros(random.random_range(0..=patience)));
        running.kill();
        if kill % 5 == 4 {
            let starting = site.start(1);
            std::thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
            starting.kill();
        }
    }
    let before = site.progress().totals;
    assert!(before.notes < totals.notes, "the kills came too late: give the runs more to do");
    site.finish(2);
    let (committed, expected) = (site.committed(), whole.committed());
    assert!(committed.extractions() as u64 > NOTES);
    assert_eq!(committed, expected);
    let [all, valid] = ["read_uncommitted", "read_committed"].map(|level| site.kcat("extractions", level).len());
    assert!(all > valid, "no kill was inside a transaction: {all} records, {valid} committed");
}
