//! `stillroom export --follow` beside a running `run`: its parts come to what is committed.

use crate::parts::{parts, read_back};
use crate::running::{DEADLINE, Running};
use crate::site::{Broker, Site};
use crate::support::stderr;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const NOTES: u64 = 80;

/// The last extraction of each note, as a client that is not ours reads it.
fn committed(site: &Site) -> BTreeMap<String, Value> {
    let mut notes = BTreeMap::new();
    for record in site.kcat("extractions", "read_committed") {
        let note_id = record.key.unwrap();
        match record.payload {
            Some(payload) => notes.insert(note_id, serde_json::from_str::<Value>(&payload).unwrap()),
            None => notes.remove(&note_id),
        };
    }
    notes
}

#[test]
fn parts_come_beside_a_run_and_go_on_after_a_stop() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 2);
    let out = site.folder.path().join("out");
    let start = || {
        let mut command = site.command(&["export", "--format", "jsonl", "--follow", "--every-seconds", "1"]);
        command.args(["--notes-per-part", "20", "-o"]).arg(&out);
        Running::start(command)
    };
    let wait = || {
        let (expected, began) = (committed(&site), Instant::now());
        while read_back(&out) != expected {
            assert!(began.elapsed() < DEADLINE, "the parts do not come to what is committed");
            // Parts appear in a folder, which wakes nobody.
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(expected.len() > 20, "too poor: {}", expected.len());
    };

    site.fill(NOTES);
    let running = site.start(2);
    // The topics are there.
    site.wait(|progress| progress.totals.extracted > 0);
    let mut exporting = start();
    exporting.hear("exporting to");
    site.wait_for_end();
    wait();
    let output = exporting.terminate();
    assert!(output.status.success(), "{}", stderr(&output));
    let before = parts(&out).len();
    assert!(before > 1, "all came in one part");

    // What comes while nobody exports is there when somebody does, and nothing else.
    site.put_all(["late 1", "late 2"].map(str::to_owned), "severe angina , on aspirin");
    site.wait_for_end();
    let mut exporting = start();
    exporting.hear("exporting to");
    wait();
    for stopped in [exporting.terminate(), running.terminate()] {
        assert!(stopped.status.success(), "{}", stderr(&stopped));
    }
    assert_eq!(parts(&out).len(), before + 1, "both are in one part");
}
