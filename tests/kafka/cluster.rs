//! Several processes as one.

use crate::running::Running;
use crate::site::{Broker, Site};
use crate::support::{stderr, stillroom};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

const NOTES: u64 = 300;

/// A site with what a cluster needs.
pub(crate) struct Cluster {
    pub(crate) site: Site,
    hosts: PathBuf,
}

impl Cluster {
    pub(crate) fn new(broker: &Broker) -> Cluster {
        Cluster::with_partitions(broker, 3)
    }

    /// With so many partitions of notes.
    pub(crate) fn with_partitions(broker: &Broker, partitions: u32) -> Cluster {
        let mut site = Site::new(broker, partitions);
        let path = |name: &str| site.folder.path().join(name);
        let (hosts, key) = (path("hosts.txt"), path("key"));
        std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
        // Free a moment ago, which is as good as it gets.
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = listeners.map(|listener| listener.local_addr().unwrap().to_string());
        std::fs::write(&hosts, format!("# two of them\n{}\n", addresses.join("\n"))).unwrap();
        site.extra = format!("epoch_bytes_max = 2000\n[cluster]\nkey_file = {key:?}\nstart_ms_max = 20000");
        Cluster { site, hosts }
    }

    /// `run` as one of the processes.
    pub(crate) fn command(&self, process: usize, workers: usize) -> Command {
        let mut command = stillroom();
        command.arg("run").arg("-c").arg(self.site.config(workers)).arg("--processes").arg(&self.hosts);
        command.args(["--process", &process.to_string()]).env("STILLROOM_LOG", "stillroom=info");
        // If teachers are asked: a store belongs to one process.
        command.env("STILLROOM__TEACHERS__STORE", self.site.folder.path().join(format!("labels-{process}.redb")));
        command
    }

    pub(crate) fn start(&self, workers: usize) -> [Running; 2] {
        [0, 1].map(|process| Running::start(self.command(process, workers)))
    }
}

#[test]
fn two_processes_commit_what_one_does_also_after_one_was_killed() {
    let Some(broker) = Broker::shared() else { return };
    let alone = Site::new(&broker, 3);
    alone.fill(NOTES);
    alone.finish(3);

    let cluster = Cluster::new(&broker);
    cluster.site.fill(NOTES);
    for killed in [1, 0] {
        let mut processes = cluster.start(1);
        processes[0].hear("committed");
        let [first, second] = processes;
        let (victim, other) = if killed == 0 { (first, second) } else { (second, first) };
        victim.kill();
        let ended = other.wait();
        assert_eq!(ended.status.code(), Some(1), "{}", stderr(&ended));
        assert!(stderr(&ended).contains("a process of the cluster has ended"), "{}", stderr(&ended));
    }
    let [first, second] = cluster.start(2);
    cluster.site.wait_for_end();
    // A stop of one is a stop of all.
    let second = second.terminate();
    assert!(second.status.success(), "{}", stderr(&second));
    let first = first.wait();
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(cluster.site.committed(), alone.committed());

    // And one process alone goes on from there.
    cluster.site.put("later", "fever");
    cluster.site.finish(2);
}

#[test]
fn a_cluster_that_does_not_come_together_says_who_is_missing() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    cluster.site.extra = cluster.site.extra.replace("20000", "1000");
    for process in [0, 1] {
        let alone = cluster.command(process, 1).output().unwrap();
        assert_eq!(alone.status.code(), Some(1));
        let missing = format!("process {}", 1 - process);
        assert!(
            stderr(&alone).contains(&missing) && stderr(&alone).contains("did not come within 1 s"),
            "{}",
            stderr(&alone)
        );
    }
    let outside = cluster.command(2, 1).output().unwrap();
    assert!(stderr(&outside).contains("process is 2, but there are 2 addresses; give a number from 0 to 1"));
    cluster.site.extra = String::new();
    let keyless = cluster.command(0, 1).output().unwrap();
    assert!(stderr(&keyless).contains("several processes need a key that they share"), "{}", stderr(&keyless));
}
