//! Students that take over in a cluster of processes.

use crate::cluster::Cluster;
use crate::running::DEADLINE;
use crate::site::{Broker, Site};
use crate::support::{stdout, stillroom, tiny};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Instant;
use stillroom_schemas::Extraction;

/// Notes of one round: enough that every partition gets some.
const NOTES: usize = 60;

/// Trains a student on one document, at this rate; a folder of this name.
fn train(site: &Site, name: &str, rate: &str) -> PathBuf {
    let path = |name: &str| site.folder.path().join(name);
    let document = r#"{"id":"1","text":"fever","tasks":["disease","medication","symptom"],"entities":[]}"#;
    std::fs::write(path("one.jsonl"), format!("{document}\n")).unwrap();
    let mut command = stillroom();
    command.args(["train", "--epochs", "1", "--rate", rate, "--base"]).arg(tiny()).arg("--out").arg(path(name));
    let files = [("--train", "one.jsonl"), ("--dev", "one.jsonl")];
    for (option, file) in files {
        command.arg(option).arg(path(file));
    }
    stdout(&command.output().unwrap());
    path(name)
}

/// `stillroom models` on the pipeline; the last line of its output.
pub(crate) fn models(site: &Site, arguments: &[&str]) -> String {
    let output = site.command(&[&["models"], arguments].concat()).output().unwrap();
    stdout(&output).lines().last().unwrap_or_default().to_owned()
}

/// Gives the pipeline of a cluster a registry and two students, the folders `first`, which serves, and `second`; their ids.
pub(crate) fn two_students(site: &mut Site) -> [String; 2] {
    site.student = train(site, "first", "1e-5");
    // In the precision of golden notes, as networks as small as this are at the mercy of 8 bits.
    site.precision = "f32";
    let engine = site.extra.replacen("[cluster]", "activation_ms = 300\n[cluster]", 1);
    site.extra = format!("{engine}\n[models]\nregistry = {:?}\n", site.folder.path().join("registry"));
    let second = train(site, "second", "1e-2");
    let second = models(site, &["add", second.to_str().unwrap()]);
    let listed: Value = serde_json::from_str(&models(site, &["list", "--json"])).unwrap();
    [listed["serving"].as_str().unwrap().to_owned(), second]
}

/// The students of every partition's extractions, in the order of commits, and how many there are.
fn students(site: &Site) -> (Vec<Vec<String>>, usize) {
    let (mut students, records) = (vec![Vec::new(); 3], site.kcat("extractions", "read_committed"));
    for record in &records {
        let extraction: Extraction = serde_json::from_str(record.payload.as_deref().unwrap()).unwrap();
        students[record.partition as usize].push(extraction.model.0);
    }
    students.iter_mut().for_each(|students: &mut Vec<String>| students.dedup());
    (students, records.len())
}

/// Puts notes until the last note of every partition is tagged by this student.
fn put_until(site: &Site, round: &str, model: &str) -> usize {
    let (began, mut notes) = (Instant::now(), 0);
    loop {
        site.put_all((0..NOTES).map(|number| format!("{round}-{}", notes + number)), "no fever, on metformin");
        notes += NOTES;
        site.wait_for_end();
        if students(site).0.iter().all(|students| students.last().is_some_and(|last| last == model)) {
            return notes;
        }
        assert!(began.elapsed() < DEADLINE, "{model} tags nothing");
    }
}

/// Every process changes over at the same epoch: no partition, whichever process reads it, goes back to a student that another has
/// followed, also when a process is killed.
#[test]
fn two_processes_have_one_student() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    let [first, second] = two_students(&mut cluster.site);

    let [first_process, other] = cluster.start(1);
    let mut notes = put_until(&cluster.site, "first", &first);
    models(&cluster.site, &["promote", "second", "--force"]);
    notes += put_until(&cluster.site, "second", &second);
    models(&cluster.site, &["rollback"]);
    other.kill();
    first_process.wait();
    let [first_process, other] = cluster.start(1);
    notes += put_until(&cluster.site, "third", &first);
    stdout(&other.terminate());
    first_process.wait();

    let (students, extracted) = students(&cluster.site);
    for students in students {
        assert_eq!(students, [first.clone(), second.clone(), first.clone()], "students out of order");
    }
    assert_eq!(extracted, notes, "a note is lost or extracted twice");
}
