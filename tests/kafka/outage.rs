//! A broker that goes away and comes back.

use crate::cluster::Cluster;
use crate::site::{Broker, Site, root};
use crate::support::stderr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A broker of one test, which it may stop.
struct OwnBroker {
    broker: Broker,
    folder: PathBuf,
}

impl OwnBroker {
    const PORT: &str = "19192";

    fn start() -> OwnBroker {
        let folder = root().join("target/kafka-outage");
        let own = OwnBroker { broker: Broker { servers: format!("127.0.0.1:{}", OwnBroker::PORT) }, folder };
        own.run(&["start", "--port", OwnBroker::PORT]);
        own
    }

    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(root().join("scripts/kafka"));
        let status = command.args(arguments).arg("--dir").arg(&self.folder).status().unwrap();
        assert!(status.success(), "scripts/kafka {arguments:?}");
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.run(&["clean"]);
    }
}

const NOTES: u64 = 2000;

#[test]
fn a_process_and_a_cluster_outlive_their_broker() {
    let Some(_) = Broker::shared() else { return };
    let own = OwnBroker::start();
    let whole = Site::new(&own.broker, 3);
    whole.fill(NOTES);
    whole.finish(1);
    let (mut alone, cluster) = (Site::new(&own.broker, 3), Cluster::new(&own.broker));
    alone.extra = "epoch_bytes_max = 2000".to_owned();
    alone.fill(NOTES);
    cluster.site.fill(NOTES);
    let (mut process, mut processes) = (alone.start(2), cluster.start(1));
    process.hear("committed");
    processes[0].hear("committed");
    for site in [&alone, &cluster.site] {
        assert!(site.progress().totals.notes < NOTES, "the outage comes too late: give the runs more to do");
    }
    own.run(&["stop", "--kill"]);
    // Longer than a transaction may last on these pipelines, so the broker takes back what was open.
    std::thread::sleep(Duration::from_secs(30));
    own.run(&["start"]);
    alone.wait_for_end();
    cluster.site.wait_for_end();
    let [first, second] = processes;
    for output in [process.terminate(), first.terminate(), second.wait()] {
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(alone.committed(), whole.committed());
    assert_eq!(cluster.site.committed(), whole.committed());
}
