//! Students that take over in a cluster of processes.

use crate::annotated::{note, text};
use crate::cluster::Cluster;
use crate::running::DEADLINE;
use crate::site::{Broker, Read, Site};
use crate::support::{json_lines, stdout, stillroom, tiny};
use crate::turns::{check_together, turns};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;
use stillroom_connectors::Log;
use stillroom_schemas::{Extraction, Progress};

/// Partitions, so that each of two processes with three workers reads some.
const PARTITIONS: u32 = 6;

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

/// Gives the pipeline of a cluster a registry, and a student that serves, the folder `first`.
pub(crate) fn first_student(site: &mut Site) {
    site.student = train(site, "first", "1e-5");
    // In the precision of golden notes, as networks as small as this are at the mercy of 8 bits.
    site.precision = "f32";
    let engine = site.extra.replacen("[cluster]", "activation_ms = 300\n[cluster]", 1);
    site.extra = format!("{engine}\n[models]\nregistry = {:?}\n", site.folder.path().join("registry"));
}

/// The same with two students, the folders `first`, which serves, and `second`; their ids.
pub(crate) fn two_students(site: &mut Site) -> [String; 2] {
    first_student(site);
    let second = train(site, "second", "1e-2");
    let second = models(site, &["add", second.to_str().unwrap()]);
    let listed: Value = serde_json::from_str(&models(site, &["list", "--json"])).unwrap();
    [listed["serving"].as_str().unwrap().to_owned(), second]
}

/// How many partitions notes have.
fn partitions(site: &Site) -> usize {
    site.log.partitions(&site.topic("notes")).unwrap().unwrap() as usize
}

/// The students of every partition's extractions, in the order of commits, and how many there are.
fn students(site: &Site) -> (Vec<Vec<String>>, usize) {
    let (mut students, records) = (vec![Vec::new(); partitions(site)], site.kcat("extractions", "read_committed"));
    for record in &records {
        let extraction: Extraction = serde_json::from_str(record.payload.as_deref().unwrap()).unwrap();
        students[record.partition as usize].push(extraction.model.0);
    }
    students.iter_mut().for_each(|students: &mut Vec<String>| students.dedup());
    (students, records.len())
}

/// Puts notes until the last note of every partition is tagged by this student.
pub(crate) fn put_until(site: &Site, round: &str, model: &str) -> usize {
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

/// Checks that every note on the topic is extracted once, as the student says of it by itself whose turn it was: in every partition
/// the turns, each by the id and the folder of a student, follow each other.
pub(crate) fn check_turns(site: &Site, turns: &[(&str, &Path)]) {
    let notes: Vec<String> =
        site.kcat("notes", "read_committed").into_iter().map(|record| record.payload.unwrap()).collect();
    let path = site.folder.path().join("notes.jsonl");
    std::fs::write(&path, notes.join("\n") + "\n").unwrap();
    let said: BTreeMap<&str, BTreeMap<String, Value>> =
        turns.iter().map(|(model, folder)| (*model, said_by(folder, &path))).collect();
    let (mut seen, mut students) = (BTreeSet::new(), BTreeMap::<u32, Vec<String>>::new());
    for record in site.kcat("extractions", "read_committed") {
        let extraction: Value = serde_json::from_str(record.payload.as_deref().unwrap()).unwrap();
        let [model, note_id] = ["model", "note_id"].map(|name| extraction[name].as_str().unwrap().to_owned());
        let alone = &said.get(model.as_str()).unwrap_or_else(|| panic!("{model} never served"))[&note_id];
        assert_eq!(*alone, extraction, "tagged by a mixture, or another student");
        assert!(seen.insert(note_id.clone()), "{note_id} is extracted twice");
        students.entry(record.partition).or_default().push(model);
    }
    assert_eq!(seen.len(), notes.len(), "a note is lost");
    assert_eq!(students.len(), partitions(site), "a partition has no notes");
    let turns: Vec<&str> = turns.iter().map(|(model, _)| *model).collect();
    for mut students in students.into_values() {
        students.dedup();
        assert_eq!(students, turns, "students out of order");
    }
    check_commits(site);
}

/// Checks that all partitions, whichever process reads them, change students together, by the commit of every note.
fn check_commits(site: &Site) {
    let read = |topic: &str| site.kcat(topic, "read_committed");
    // Compaction leaves the last of several commits, which is as if they were one.
    let progress = |record: Read| -> Progress { serde_json::from_str(record.payload.as_deref().unwrap()).unwrap() };
    let commits: Vec<Progress> = read("progress").into_iter().map(progress).collect();
    let notes = site.topic("notes");
    let offsets: BTreeMap<Option<String>, u64> =
        read("notes").into_iter().map(|record| (record.key, record.offset)).collect();
    let mut records = Vec::new();
    for of_partition in read("extractions").chunk_by(|one, other| one.partition == other.partition) {
        let model = |record: &Read| {
            let extraction: Extraction = serde_json::from_str(record.payload.as_deref().unwrap()).unwrap();
            extraction.model.0
        };
        let students: Vec<String> = of_partition.iter().map(model).collect();
        for (record, turn) in of_partition.iter().zip(turns(students.iter().map(String::as_str))) {
            let offset = offsets[&record.key];
            let next =
                |progress: &Progress| progress.inputs.get(&notes).and_then(|next| next.get(&record.partition)).copied();
            let commit = commits.partition_point(|progress| next(progress).unwrap_or(0) <= offset);
            assert!(commit < commits.len(), "a note was extracted that no commit has");
            records.push((commit, turn));
        }
    }
    check_together(records);
}

/// What a student in a folder says of the notes of a file by itself, by note.
fn said_by(folder: &Path, notes: &Path) -> BTreeMap<String, Value> {
    let mut command = stillroom();
    command.arg("extract").arg(notes).args(["--precision", "f32", "--model"]).arg(folder);
    let said = json_lines(stdout(&command.output().unwrap()));
    said.into_iter().map(|line| (line["note_id"].as_str().unwrap().to_owned(), line)).collect()
}

/// Every process changes over at the same epoch: no partition, whichever process reads it, goes back to a student that another has
/// followed, also when a process is killed.
#[test]
fn two_processes_have_one_student() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::with_partitions(&broker, PARTITIONS);
    let [first, second] = two_students(&mut cluster.site);

    let [first_process, other] = cluster.start(2);
    let mut notes = put_until(&cluster.site, "first", &first);
    models(&cluster.site, &["promote", "second", "--force"]);
    notes += put_until(&cluster.site, "second", &second);
    models(&cluster.site, &["rollback"]);
    other.kill();
    first_process.wait();
    let [first_process, other] = cluster.start(3);
    notes += put_until(&cluster.site, "third", &first);
    stdout(&other.terminate());
    first_process.wait();

    let (students, extracted) = students(&cluster.site);
    for students in students {
        assert_eq!(students, [first.clone(), second.clone(), first.clone()], "students out of order");
    }
    assert_eq!(extracted, notes, "a note is lost or extracted twice");
    check_commits(&cluster.site);
}

/// Notes that come at a time around a change of students.
const COMING: usize = 5;

/// Puts so many times a few notes with texts of their own, from this number on; the number after the last.
fn put_batches(site: &Site, from: usize, batches: usize) -> usize {
    let end = from + COMING * batches;
    for first in (from..end).step_by(COMING) {
        site.append("notes", (first..first + COMING).map(|number| note(number, 0, &text(number))));
    }
    end
}

/// A process is killed at some moment around a change: before the activation is read, while its student is loaded, or when it tags.
/// Those that start then have another number of workers.
#[test]
fn kills_around_a_change_leave_every_note_to_the_student_whose_turn_it_is() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::with_partitions(&broker, PARTITIONS);
    let [first, second] = two_students(&mut cluster.site);
    let (site, mut random) = (&cluster.site, SmallRng::seed_from_u64(6));
    let mut processes = cluster.start(1);
    put_until(site, "before", &first);
    let mut numbers = 0;
    for (workers, (round, change, model)) in [2, 3, 1].into_iter().zip([
        ("first", &["promote", "second", "--force"][..], &second),
        ("second", &["rollback"], &first),
        ("third", &["promote", "second", "--force"], &second),
    ]) {
        numbers = put_batches(site, numbers, 2);
        models(site, change);
        numbers = put_batches(site, numbers, random.random_range(0..16));
        let [one, other] = processes;
        let (victim, left) = if random.random_bool(0.5) { (one, other) } else { (other, one) };
        victim.kill();
        left.wait();
        processes = cluster.start(workers);
        put_until(site, round, model);
    }
    let [one, other] = processes;
    stdout(&other.terminate());
    stdout(&one.wait());
    let [first_folder, second_folder] = ["first", "second"].map(|folder| site.folder.path().join(folder));
    let turns: [(&str, &Path); 4] =
        [(&first, &first_folder), (&second, &second_folder), (&first, &first_folder), (&second, &second_folder)];
    check_turns(site, &turns);
}
