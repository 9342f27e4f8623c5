//! `stillroom send` onto the broker: what cannot be sent is told, and the rest is there.

use crate::site::{Broker, Site};
use crate::support::{json_lines, stderr};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use stillroom_connectors::{Cleanup, Log, TopicPlan};

/// Bytes of a record that a topic takes: less than the long note has.
const RECORD_BYTES: usize = 2000;

/// A long note between two short ones, as JSON Lines.
fn notes(site: &Site) -> PathBuf {
    let path = site.folder.path().join("notes.jsonl");
    let line = |(id, text): (&str, &str)| json!({ "note_id": id, "text": text }).to_string() + "\n";
    let long = "fever and chills, ".repeat(200);
    fs::write(&path, [("a", "no fever"), ("long", long.as_str()), ("b", "chills")].map(line).concat()).unwrap();
    path
}

/// Sends the file to a topic of the pipeline, with these settings.
fn send(site: &Site, path: &Path, (topic, settings): (&str, &[&str])) -> Output {
    let mut command = site.command(&["send", path.to_str().unwrap()]);
    command.arg("--set").arg(format!("engine.topics.notes={}", site.topic(topic)));
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    command.output().unwrap()
}

/// The keys of a topic of one partition.
fn keys(site: &Site, topic: &str) -> Vec<String> {
    site.kcat(topic, "read_committed").into_iter().map(|record| record.key.unwrap()).collect()
}

/// Checks that all but the long note is on the topic, that why is told, and where it stands.
fn check_left_out(site: &Site, topic: &str, (output, why): (&Output, &str)) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let sent = json_lines(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(sent, [json!({ "notes": 2, "withdrawals": 0, "left_out": 1 })]);
    assert!(said.contains("notes.jsonl, line 2: left out, ") && said.contains(why), "{said}");
    assert!(!said.contains("chills"), "text of a note is told: {said}");
    assert_eq!(keys(site, topic), ["a", "b"]);
}

#[test]
fn what_cannot_be_sent_is_told_and_the_rest_is_there() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    let path = notes(&site);
    let absent = send(&site, &path, ("absent", &["kafka.create_topics=false"]));
    let expected = format!("the log has no topic {}; create it", site.topic("absent"));
    assert!(absent.status.code() == Some(1) && stderr(&absent).contains(&expected), "{}", stderr(&absent));
    assert_eq!(site.log.partitions(&site.topic("absent")).unwrap(), None, "nothing is made");

    let large = send(&site, &path, ("notes", &["engine.note_bytes_max=1000"]));
    check_left_out(&site, "notes", (&large, "more than the 1000 of engine.note_bytes_max"));

    let small = TopicPlan {
        name: site.topic("small"),
        partitions: 1,
        cleanup: Cleanup::Delete,
        record_bytes_max: Some(RECORD_BYTES),
    };
    site.log.prepare(&[small]).unwrap();
    let large = send(&site, &path, ("small", &[]));
    check_left_out(&site, "small", (&large, "max.message.bytes"));

    // What is repeated takes few bytes once it is compressed, and that is what the topic bounds. Sent again, nothing is lost.
    let compressed = send(&site, &path, ("small", &["kafka.properties.compression.type=lz4"]));
    assert!(compressed.status.success(), "{}", stderr(&compressed));
    assert_eq!(keys(&site, "small"), ["a", "b", "a", "long", "b"]);
}
