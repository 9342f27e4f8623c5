//! The embedded committer: outputs and progress together or not at all, whenever it is killed.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use stillroom_connectors::{
    Commit, Committer, EmbeddedCommitter, EmbeddedLog, EmbeddedProducer, LogError, OutputRecord,
};
use stillroom_schemas::{Progress, TopicOffsets, Totals};

const NOTES: &str = "notes";
const OUTPUTS: [&str; 2] = ["extractions", "quality"];
const PARTITIONS: u32 = 2;

fn log_in(dir: &Path) -> EmbeddedLog {
    let log = EmbeddedLog::open(dir).expect("a log").with_segment_bytes_max(120);
    for topic in [NOTES, OUTPUTS[0], OUTPUTS[1]] {
        log.create_topic(topic, PARTITIONS).expect("a topic");
    }
    log
}

fn open(log: &EmbeddedLog) -> EmbeddedCommitter {
    EmbeddedCommitter::open(log, &OUTPUTS).expect("a committer")
}

fn output(topic: &str, partition: u32, key: &str, value: Option<&str>) -> OutputRecord {
    OutputRecord {
        topic: Arc::from(topic),
        partition,
        key: Some(key.into()),
        value: value.map(Into::into),
        headers: Vec::new(),
    }
}

fn commit(epoch: u64, outputs: Vec<OutputRecord>) -> Commit {
    let notes = outputs.len() as u64;
    let totals = Totals { notes, extracted: notes, ..Totals::default() };
    Commit { epoch, inputs: TopicOffsets::from([(NOTES.to_owned(), [(0, epoch)].into())]), outputs, totals }
}

/// The committed records of every output, and the progress.
fn committed(log: &EmbeddedLog) -> (Progress, Vec<OutputRecord>) {
    let mut records = Vec::new();
    for topic in OUTPUTS {
        for record in log.read_topic(topic).expect("a topic") {
            let record = record.expect("a record");
            records.push(OutputRecord {
                topic: record.topic,
                partition: record.position.partition,
                key: record.key,
                value: record.value,
                headers: record.headers,
            });
        }
    }
    (without_ids(&log.progress().expect("a progress")), records)
}

/// Topics get their ids at random.
fn without_ids(progress: &Progress) -> Progress {
    Progress { topic_ids: BTreeMap::new(), ..progress.clone() }
}

/// What [`committed`] must be after `commits`.
fn model(commits: &[Commit]) -> (Progress, Vec<OutputRecord>) {
    let mut progress = Progress::default();
    let mut records: Vec<OutputRecord> = commits.iter().flat_map(|commit| commit.outputs.clone()).collect();
    records.sort_by_key(|record| (record.topic.clone(), record.partition));
    for commit in commits {
        progress.epoch = commit.epoch;
        progress.inputs.extend(commit.inputs.clone());
        progress.totals += commit.totals;
    }
    for topic in OUTPUTS {
        for partition in 0..PARTITIONS {
            let of_partition = |record: &&OutputRecord| &*record.topic == topic && record.partition == partition;
            let count = records.iter().filter(of_partition).count() as u64;
            progress.outputs.entry(topic.to_owned()).or_default().insert(partition, count);
        }
    }
    (if commits.is_empty() { Progress::default() } else { progress }, records)
}

/// Every file below `dir` but the locks, empty segments left out.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension != "lock") {
                let bytes = fs::read(&path).expect("a file");
                if !bytes.is_empty() {
                    files.insert(path.strip_prefix(dir).expect("below").to_owned(), bytes);
                }
            }
        }
    }
    files
}

fn write_files(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
}

/// A copy of the log as a kill leaves it in the middle of a commit: `kept` says how much of each output's growth is there.
fn killed(
    dir: &Path,
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
    kept: &mut dyn FnMut(usize) -> usize,
) {
    for partition in 0..PARTITIONS {
        for topic in [NOTES, OUTPUTS[0], OUTPUTS[1]] {
            fs::create_dir_all(dir.join("topics").join(topic).join(partition.to_string())).expect("a folder");
        }
    }
    write_files(dir, before);
    for (path, bytes) in after {
        let old = before.get(path).map_or(0, Vec::len);
        if path.extension().is_some_and(|extension| extension == "jsonl") && bytes.len() > old {
            write_files(dir, &BTreeMap::from([(path.clone(), bytes[..old + kept(bytes.len() - old)].to_vec())]));
        }
    }
}

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    let value = proptest::option::weighted(0.8, "\\{\"a\":\"[a-z]{0,60}\"\\}");
    let output_strategy = (0usize..2, 0..PARTITIONS, "[a-c]", value)
        .prop_map(|(topic, partition, key, value)| output(OUTPUTS[topic], partition, &key, value.as_deref()));
    prop::collection::vec(prop::collection::vec(output_strategy, 0..6), 1..6).prop_map(|epochs| {
        epochs.into_iter().enumerate().map(|(index, outputs)| commit(10 * (index as u64 + 1), outputs)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Killed anywhere before the progress is replaced, a commit never happened, and happens the same way the next time.
    #[test]
    fn a_commit_is_there_wholly_or_not_at_all(
        commits in commits(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
        has_temporary in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let log = log_in(dir.path());
        let mut committer = open(&log);
        let mut before = files(dir.path());
        for (index, commit) in commits.iter().enumerate() {
            committer.commit(commit.clone()).expect("a commit");
            prop_assert_eq!(without_ids(committer.progress()), model(&commits[..=index]).0);
            prop_assert_eq!(committed(&log), model(&commits[..=index]));
            let after = files(dir.path());

            let other = tempfile::tempdir().expect("a folder");
            let mut cut = 0;
            killed(other.path(), &before, &after, &mut |grown| {
                cut += 1;
                cuts[cut % cuts.len()].index(grown + 1)
            });
            if has_temporary {
                let new = &after[Path::new("progress.json")];
                fs::write(other.path().join("progress.json.tmp"), &new[..new.len() / 2]).expect("a write");
            }
            let log = EmbeddedLog::open(other.path()).expect("a log").with_segment_bytes_max(120);
            prop_assert_eq!(committed(&log), model(&commits[..index]), "readers see nothing of it");
            let mut again = open(&log);
            prop_assert_eq!(committed(&log), model(&commits[..index]));
            fs::remove_file(other.path().join("progress.json.tmp")).ok();
            prop_assert_eq!(files(other.path()), before, "what was not committed is cut off");
            again.commit(commit.clone()).expect("a commit");
            prop_assert_eq!(files(other.path()), after.clone());

            before = after;
        }
        drop(committer);
        open(&log);
        prop_assert_eq!(files(dir.path()), before, "opening changes nothing");
    }
}

#[test]
fn the_second_committer_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let first = open(&log);
    let error = EmbeddedCommitter::open(&log, &OUTPUTS).expect_err("the log is taken");
    assert!(matches!(&error, LogError::InUse { dir: of } if of == dir.path()), "{error:?}");
    drop(first);
    open(&log);
}

#[test]
fn committed_records_that_are_gone_are_noticed() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let outputs = vec![output("quality", 0, "a", Some("1")), output("quality", 0, "b", Some("2"))];
    open(&log).commit(commit(1, outputs)).expect("a commit");
    let segment = log.dir().join("topics/quality/0/00000000000000000000.jsonl");
    let bytes = fs::read(&segment).expect("the segment");
    fs::write(&segment, &bytes[..bytes.len() - 1]).expect("a write");
    let error = EmbeddedCommitter::open(&log, &OUTPUTS).expect_err("a byte is missing").to_string();
    let (path, length) = (segment.display(), bytes.len());
    let expected = format!(
        "{path} is damaged at byte {}: it ends there, but {length} bytes of it were committed; restore it, or start with a new \
         progress",
        length - 1
    );
    assert_eq!(error, expected);
    let records: Vec<_> = log.read_topic("quality").expect("a topic").collect();
    assert!(matches!(records[..], [Ok(_), Err(LogError::Damaged { .. })]), "{records:?}");
    fs::remove_file(&segment).expect("a removal");
    assert!(matches!(EmbeddedCommitter::open(&log, &OUTPUTS), Err(LogError::Damaged { byte: 0, .. })));
}

#[test]
fn a_topic_created_anew_is_noticed() {
    for topic in [NOTES, "quality"] {
        let dir = tempfile::tempdir().expect("a folder");
        let log = log_in(dir.path());
        open(&log).commit(commit(1, vec![])).expect("a commit");
        fs::remove_dir_all(log.dir().join("topics").join(topic)).expect("a removal");
        assert!(matches!(EmbeddedCommitter::open(&log, &OUTPUTS), Err(LogError::NoTopic { .. })));
        log.create_topic(topic, PARTITIONS).expect("a topic");
        let error = EmbeddedCommitter::open(&log, &OUTPUTS).expect_err("another topic").to_string();
        let expected = format!(
            "the topic {topic} was created anew since the last commit; restore it, or start with a new progress"
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn after_a_commit_that_failed_only_a_restart_helps() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let mut committer = open(&log);
    let first = commit(1, vec![output("quality", 0, "a", Some("1"))]);
    committer.commit(first.clone()).expect("a commit");
    // The outputs can be appended, and then the progress cannot be written.
    let obstacle = dir.path().join("progress.json.tmp");
    fs::create_dir(&obstacle).expect("a folder");
    let second = commit(2, vec![output("quality", 0, "b", Some("2"))]);
    assert!(matches!(committer.commit(second.clone()), Err(LogError::Io { action: "create", .. })));
    fs::remove_dir(&obstacle).expect("a removal");
    assert!(matches!(committer.commit(second.clone()), Err(LogError::CommitFailed { .. })));
    assert_eq!(without_ids(committer.progress()), model(std::slice::from_ref(&first)).0);
    drop(committer);
    let mut committer = open(&log);
    assert_eq!(committed(&log), model(std::slice::from_ref(&first)));
    committer.commit(second.clone()).expect("a commit");
    assert_eq!(committed(&log), model(&[first, second]));
}

#[test]
fn outputs_with_nowhere_to_go_are_refused_before_anything_is_written() {
    let check = |bad: OutputRecord, expected: &str| {
        let dir = tempfile::tempdir().expect("a folder");
        let log = log_in(dir.path());
        let mut committer = open(&log);
        let before = files(dir.path());
        let error = committer.commit(commit(1, vec![output("quality", 0, "a", Some("1")), bad])).expect_err(expected);
        assert_eq!(error.to_string(), expected);
        assert_eq!(files(dir.path()), before);
    };
    check(
        output("quality", 2, "a", None),
        "the topic quality has no partition 2, only 2 from 0 on; create it with as many partitions as the topic of the notes",
    );
    check(
        output(NOTES, 0, "a", None),
        "the log has no topic notes; create it, or correct its name in the configuration",
    );
}

#[test]
fn last_values_and_committed_input() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let mut producer = EmbeddedProducer::open(&log, NOTES).expect("a producer");
    producer.append([(None, Some(&b"1"[..])), (None, Some(b"2")), (None, Some(b"3"))]).expect("an append");
    let mut committer = open(&log);
    let outputs = [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("b", None), ("c", Some("null"))];
    let outputs = outputs.map(|(key, value)| output("quality", 1, key, value)).to_vec();
    committer.commit(commit(2, outputs)).expect("a commit");
    let values = log.last_values("quality").expect("a topic");
    assert_eq!(values, BTreeMap::from([(b"a".to_vec(), b"3".to_vec()), (b"c".to_vec(), b"null".to_vec())]));
    let read: Vec<_> = log.read_topic(NOTES).expect("a topic").map(|record| record.expect("a record").value).collect();
    assert_eq!(read, [Some(b"1".to_vec()), Some(b"2".to_vec())], "of an input, what was committed as read");
}

#[test]
#[should_panic(expected = "epoch 3 comes after epoch 3 was committed")]
fn an_epoch_is_never_committed_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut committer = open(&log_in(dir.path()));
    committer.commit(commit(3, vec![])).expect("a commit");
    committer.commit(commit(3, vec![])).ok();
}

/// What the committing process of [`survives_kill_9`] commits in an epoch.
fn commit_of_epoch(epoch: u64) -> Commit {
    let of_index = |index: u64| {
        let value = (!index.is_multiple_of(3))
            .then(|| format!("{{\"epoch\":{epoch},\"text\":\"{}\"}}", "x".repeat(epoch as usize % 50)));
        output(OUTPUTS[index as usize % 2], (index / 2) as u32 % PARTITIONS, &format!("k-{index}"), value.as_deref())
    };
    commit(epoch, (0..epoch % 7).map(of_index).collect())
}

const COMMIT_IN: &str = "STILLROOM_TEST_COMMIT_IN";

/// Not a test of its own: the process that [`survives_kill_9`] kills.
#[test]
fn commits_until_killed() {
    let Some(dir) = std::env::var_os(COMMIT_IN) else { return };
    let mut committer = open(&log_in(Path::new(&dir)));
    loop {
        let epoch = committer.progress().epoch + 1;
        committer.commit(commit_of_epoch(epoch)).expect("a commit");
        println!("committed {epoch}");
    }
}

#[test]
fn survives_kill_9() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log_in(dir.path());
    let mut last = 0;
    for kill in 0..12 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "commits_until_killed", "--nocapture"])
            .env(COMMIT_IN, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        // Kept until the process is dead, which would otherwise end by itself for want of somebody to write to.
        let mut commits = lines.map(|line| line.expect("a line")).filter(|line| line.contains("committed"));
        let seen = commits.by_ref().take(1 + kill % 5).last().expect("a commit");
        // Spreads the kills over the course of a commit; nothing depends on how long it takes.
        (0..kill * 40_000).for_each(|_| std::hint::spin_loop());
        if kill == 0 {
            assert!(
                matches!(EmbeddedCommitter::open(&log, &OUTPUTS), Err(LogError::InUse { .. })),
                "another process has it"
            );
        }
        child.kill().expect("a kill");
        child.wait().expect("its end");

        let committer = open(&log);
        let epoch = committer.progress().epoch;
        let acknowledged = seen.rsplit(' ').next().and_then(|epoch| epoch.parse().ok()).unwrap_or(u64::MAX);
        assert!(epoch >= acknowledged && epoch > last, "epoch {epoch} after {last}, {acknowledged} was acknowledged");
        let commits: Vec<Commit> = (1..=epoch).map(commit_of_epoch).collect();
        assert_eq!(committed(&log), model(&commits));
        last = epoch;
    }
}
