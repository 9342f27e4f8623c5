//! A broker that goes away and comes back.

use crate::site::{Broker, Site, root};
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

#[test]
fn a_run_outlives_its_broker() {
    let Some(_) = Broker::shared() else { return };
    let own = OwnBroker::start();
    let (whole, site) = (Site::new(&own.broker, 2), Site::new(&own.broker, 2));
    whole.fill(600);
    whole.finish(1);
    site.fill(600);
    let mut running = site.start(2);
    running.hear("committed");
    own.run(&["stop", "--kill"]);
    // Longer than a transaction may last on these pipelines, so the broker takes back what was open.
    std::thread::sleep(Duration::from_secs(30));
    own.run(&["start"]);
    site.wait_for_end();
    let output = running.terminate();
    assert!(output.status.success(), "{}", crate::support::stderr(&output));
    assert_eq!(site.committed(), whole.committed());
}
