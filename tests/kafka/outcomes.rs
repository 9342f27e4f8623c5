//! What becomes of a run when something is wrong with the input, the topics, or the number of processes.

use crate::running::DEADLINE;
use crate::site::{Broker, Site};
use crate::support::stderr;
use std::time::{Duration, Instant};
use stillroom_connectors::Log;

#[test]
fn a_twin_fences_the_process_that_was_there_before() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    site.put("one", "fever");
    let mut first = site.start(1);
    first.hear("committed");
    let mut second = site.start(1);
    second.hear("records in memory at most");
    site.put("two", "no fever");
    let fenced = first.wait();
    assert_eq!(fenced.status.code(), Some(1));
    assert!(stderr(&fenced).contains("another process has taken the transactional id"), "{}", stderr(&fenced));
    site.wait(|progress| progress.totals.extracted == 2);
    assert!(second.terminate().status.success());
    assert_eq!(site.kcat("extractions", "read_committed").len(), 2, "each note once");
}

/// A key and a value.
type Poison = (Option<&'static [u8]>, Option<&'static [u8]>);

#[test]
fn a_poison_message_in_every_position_is_a_dead_letter() {
    let Some(broker) = Broker::shared() else { return };
    let poison: [Poison; 6] = [
        (Some(b"p0"), Some(b"{\"note_id\":\"p0\",\"text\":\"fev")),
        (None, Some(b"{\"note_id\":\"p1\",\"text\":\"fever\"}")),
        (Some(b"\xff\xfe"), Some(b"{}")),
        (Some(b"p3"), Some(b"\xff\x00\xfe")),
        (None, None),
        (Some(b"p5"), Some(b"")),
    ];
    let site = Site::new(&broker, 1);
    for (index, (key, value)) in poison.iter().enumerate() {
        site.put_bytes(*key, *value);
        site.put(&format!("n{index}"), "fever and chills");
    }
    site.put_bytes(poison[0].0, poison[0].1);
    let totals = site.finish(1).totals;
    assert_eq!((totals.notes, totals.extracted, totals.dead_lettered), (13, 6, 7));
    let letters = site.kcat("dead_letters", "read_committed");
    let offsets: Vec<&str> = letters.iter().map(|letter| header(&letter.headers, "__connect.errors.offset")).collect();
    assert_eq!(offsets, ["0", "2", "4", "6", "8", "10", "12"]);
    assert_eq!(letters[0].payload.as_deref(), Some("{\"note_id\":\"p0\",\"text\":\"fev"));
    assert_eq!((letters[4].key.as_ref(), letters[4].payload.as_ref()), (None, None), "null stays null");
    assert_eq!(header(&letters[0].headers, "__connect.errors.topic"), site.topic("notes"));
    assert_eq!(header(&letters[0].headers, "__connect.errors.stage"), "decode");
    assert_eq!(header(&letters[0].headers, "__connect.errors.exception.class.name"), "stillroom.DecodeError");
    let message = header(&letters[0].headers, "__connect.errors.exception.message");
    assert!(message.contains("not JSON") && !message.contains("fev"), "{message}");
}

fn header<'a>(headers: &'a [String], name: &str) -> &'a str {
    let mut pairs = headers.chunks(2);
    pairs.find_map(|pair| (pair[0] == name).then_some(pair[1].as_str())).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn messages_at_the_brokers_limit_are_read_and_what_cannot_be_written_is_a_dead_letter() {
    let Some(broker) = Broker::shared() else { return };
    let mut site = Site::new(&broker, 1);
    site.extra = "note_bytes_max = 2000000\nrecord_bytes_max = 20000".to_owned();
    // The default of max.message.bytes counts the frame of the batch too.
    let blanks = " ".repeat(1_048_588 - 200);
    site.put("large", &format!("fever{blanks}"));
    site.put("many", &"ab abc abcd ".repeat(4000));
    site.put("small", "fever");
    let totals = site.finish(1).totals;
    assert_eq!((totals.extracted, totals.dead_lettered), (2, 1));
    let letters = site.kcat("dead_letters", "read_committed");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].key.as_deref(), Some("many"));
    assert_eq!(header(&letters[0].headers, "__connect.errors.stage"), "extract");
    assert!(header(&letters[0].headers, "__connect.errors.exception.message").contains("raise record_bytes_max"));

    // With a bound of its own below it, the large one leaves as a letter that is larger than it came.
    let mut site = Site::new(&broker, 1);
    site.extra = "note_bytes_max = 100000".to_owned();
    site.put("large", &format!("fever{blanks}"));
    let totals = site.finish(1).totals;
    assert_eq!((totals.extracted, totals.dead_lettered), (0, 1));
    let letters = site.kcat("dead_letters", "read_committed");
    assert!(letters[0].payload.as_ref().unwrap().len() > 1_048_000);
}

#[test]
fn a_partition_that_is_added_under_load_is_read_from_its_beginning() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 2);
    site.fill(300);
    let mut running = site.start(2);
    running.hear("committed");
    let notes = site.topic("notes");
    broker.tool("org.apache.kafka.tools.TopicCommand", &["--alter", "--topic", &notes, "--partitions", "4"]);
    let began = Instant::now();
    while site.log.partitions(&notes).unwrap() != Some(4) {
        assert!(began.elapsed() < DEADLINE);
    }
    // Before the run has noticed: what is there by then must be read all the same.
    let added = 40;
    site.put_all((0..added).map(|id| format!("later-{id}")), "fever");
    site.wait_for_end();
    let partitions: Vec<u32> = site
        .kcat("extractions", "read_committed")
        .into_iter()
        .filter(|record| record.key.as_ref().is_some_and(|key| key.starts_with("later-")))
        .map(|record| record.partition)
        .collect();
    assert_eq!(partitions.len(), added, "each once");
    assert!(partitions.iter().any(|partition| *partition > 1), "the new partitions were used");
    assert!(running.terminate().status.success());
    // And a restart knows what it knew.
    site.put("last", "fever");
    site.finish(1);
}

#[test]
fn a_topic_that_is_deleted_or_created_anew_halts_the_run() {
    let Some(broker) = Broker::shared() else { return };
    let recreate = |site: &Site, topic: &str| {
        let name = site.topic(topic);
        broker.tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", &name]);
        let began = Instant::now();
        while site.log.partitions(&name).unwrap().is_some() {
            assert!(began.elapsed() < DEADLINE);
        }
        broker.tool("org.apache.kafka.tools.TopicCommand", &["--create", "--topic", &name, "--partitions", "1"]);
    };
    let site = Site::new(&broker, 1);
    site.put_all((0..20).map(|id| format!("n{id}")), "fever");
    let mut running = site.start(1);
    running.hear("committed");
    site.wait_for_end();
    let before = site.progress();
    recreate(&site, "notes");
    let halted = running.wait();
    assert_eq!(halted.status.code(), Some(1));
    let said = stderr(&halted);
    assert!(
        said.contains("was created anew") || said.contains("was deleted") || said.contains("has no topic"),
        "{said}"
    );

    // More records than were read before: offsets alone do not tell it.
    site.put_all((0..30).map(|id| format!("m{id}")), "fever");
    let refused = site.command(&["run"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("was created anew since the last commit"), "{}", stderr(&refused));
    assert_eq!(site.progress(), before, "nothing was committed");

    let site = Site::new(&broker, 1);
    site.put("n", "fever");
    site.finish(1);
    recreate(&site, "state");
    let refused = site.command(&["run"]).output().unwrap();
    assert!(stderr(&refused).contains("was created anew since the last commit"), "{}", stderr(&refused));
}

#[test]
fn records_that_expired_unread_halt_the_run() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    site.put_all((0..10).map(|id| format!("n{id}")), "fever");
    site.finish(1);
    site.put_all((10..20).map(|id| format!("n{id}")), "fever");
    let spec = site.folder.path().join("offsets.json");
    let offsets =
        format!(r#"{{"partitions":[{{"topic":"{}","partition":0,"offset":15}}],"version":1}}"#, site.topic("notes"));
    std::fs::write(&spec, offsets).unwrap();
    broker.tool("org.apache.kafka.tools.DeleteRecordsCommand", &["--offset-json-file", spec.to_str().unwrap()]);
    let refused = site.command(&["run"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("/0 has offsets 15..20, but 10 was asked for"), "{}", stderr(&refused));
}

#[test]
fn a_group_shows_its_lag() {
    let Some(broker) = Broker::shared() else { return };
    let mut site = Site::new(&broker, 1);
    site.properties = "statistics.interval.ms = 100".to_owned();
    site.put_all((0..7).map(|id| format!("n{id}")), "fever");
    let mut running = site.start(1);
    running.hear("kafka_consumer_lag");
    site.wait_for_end();
    assert!(running.terminate().status.success());
    site.put_all((7..10).map(|id| format!("n{id}")), "fever");
    let shown = broker
        .tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &["--describe", "--group", &site.name]);
    let line = shown.lines().find(|line| line.contains(&site.topic("notes"))).unwrap_or_else(|| panic!("{shown}"));
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[3..6], ["7", "10", "3"], "offset, end and lag: {shown}");
}

/// Resident memory of a process in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_flat_under_a_backlog_a_hundred_times_the_bounds() {
    // Of records, of what is queued, of an answer, of what is produced, and of a commit.
    const BOUNDS: [usize; 5] = [128 << 10, 128 << 10, 128 << 10, 256 << 10, 64 << 10];
    let Some(broker) = Broker::shared() else { return };
    let mut site = Site::new(&broker, 1);
    // The student that is shipped, which is far slower than a broker.
    site.student = crate::site::root().join("models/stillroom-minilm-l6");
    // The client's own queue is one of the bounds.
    site.extra = format!("bytes_open_max = {}\nnote_bytes_max = 100000\ncommit_bytes_max = {}", BOUNDS[0], BOUNDS[4]);
    site.properties = "queued.max.messages.kbytes = 128\nfetch.max.bytes = 131072\nfetch.message.max.bytes = 131072\n\
        message.max.bytes = 131072\nqueue.buffering.max.kbytes = 256"
        .to_owned();
    // Words enough to keep it busy, and blanks enough to be large.
    let text = format!("{}{}", "severe angina, no rash. ".repeat(5), " ".repeat(60_000));
    let notes = 100 * BOUNDS.iter().sum::<usize>() / text.len();
    site.put_all((0..notes).map(|note| note.to_string()), &text);
    let running = site.start(1);
    // What is there once all of the program is at work.
    site.wait(|progress| progress.totals.notes as usize > notes / 10);
    let early = resident(running.id());
    let mut most = early;
    site.wait(|progress| {
        most = most.max(resident(running.id()));
        progress.totals.notes as usize == notes
    });
    // A consumer that is assigned its partitions is no member of a group, so that nothing can evict it: it read to the end.
    assert!(running.terminate().status.success());
    let (grown, backlog) = (most - early, notes * text.len());
    assert!(grown < backlog / 8, "{grown} bytes more than early, of a backlog of {backlog}");
}

#[test]
fn a_dry_run_commits_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 2);
    site.put_all((0..10).map(|id| format!("n{id}")), "fever");
    let output = site.command(&["run", "--dry-run", "--limit", "4"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 4);
    assert!(site.log.partitions(&site.topic("extractions")).unwrap().is_none(), "not even a topic");
}

#[test]
fn missing_topics_are_named() {
    let Some(broker) = Broker::shared() else { return };
    let site = Site::new(&broker, 1);
    let refused = site.command(&["run", "--set", "kafka.create_topics=false"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains(&format!("the log has no topic {}", site.topic("labels"))),
        "{}",
        stderr(&refused)
    );
    let check = |arguments: &[&str]| {
        let output = site.command(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_well, said) = check(&["check", "--connect"]);
    assert!(
        !is_well && said.contains("it does not exist; create it with 1 partitions and cleanup.policy=compact"),
        "{said}"
    );
    let (is_well, said) = check(&["check", "--connect", "--create"]);
    assert!(is_well, "{said}");
    let alter = ["--alter", "--entity-type", "topics", "--entity-name", &site.topic("state"), "--add-config"];
    broker.tool("kafka.admin.ConfigCommand", &[&alter[..], &["cleanup.policy=delete"]].concat());
    let began = Instant::now();
    loop {
        let (is_well, said) = check(&["check", "--connect"]);
        if !is_well && said.contains("cleanup.policy is delete and must be compact") {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{said}");
    }
}
