//! `stillroom run` on the embedded log: what is committed does not depend on workers, kills or restarts.

use crate::running::Running;
use crate::site::{Kills, Site, Source};
use crate::support::stderr;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use std::time::Duration;
use stillroom::engine::Topics;
use stillroom::generator::teacher_vocabulary;
use stillroom_connectors::EmbeddedLog;
use stillroom_schemas::{Extraction, Quality, Task, Totals};

const NOTES: u64 = 400;

/// Kills that come while there is more to do.
const KILLS: usize = 12;

fn adds_up(totals: Totals) {
    assert_eq!(totals.notes, totals.extracted + totals.dead_lettered + totals.superseded + totals.withdrawn);
}

#[test]
fn twelve_kills_leave_the_output_of_an_uninterrupted_run() {
    let (site, mut source) = (Site::with_events(&[]), Source::new());
    let mut random = SmallRng::seed_from_u64(3);
    let mut kills = Kills::default();
    while kills.counted < KILLS {
        let running = site.start(1 + kills.all() % 3);
        let notes = site.progress().totals.notes;
        let progress = site.wait(|progress| {
            source.keep_ahead(&site, progress);
            progress.totals.notes > notes
        });
        // Anywhere between two commits, or in one.
        std::thread::sleep(Duration::from_micros(random.random_range(0..20_000)));
        running.kill();
        adds_up(progress.totals);
        kills.count(&site);
    }
    let totals = site.finish(2).totals;
    adds_up(totals);
    assert!(totals.extracted > 0 && totals.dead_lettered > 0 && totals.superseded > 0 && totals.withdrawn > 0);
    let whole = Site::with_events(&source.put);
    whole.finish(1);
    assert_eq!(site.committed(), whole.committed());
}

/// The demo's events, and vocabularies that know some of what is in its notes.
fn with_vocabularies() -> Site {
    let mut site = Site::with_demo(NOTES);
    for task in Task::ALL {
        let (name, path) = (task.name(), site.folder.path().join(format!("{}.tsv", task.name())));
        fs::write(&path, teacher_vocabulary(task)).unwrap();
        site.extra += &format!("[[concepts.vocabularies]]\nname = {name:?}\ntasks = [{name:?}]\npath = {path:?}\n");
    }
    site
}

/// Entities that are said not to be present, that have a concept and that have a dosage, among those that are committed.
fn told(site: &Site) -> [usize; 3] {
    let mut told = [0; 3];
    for value in site.records(&site.topics.extractions).filter_map(|record| record.value) {
        let extraction: Extraction = serde_json::from_slice(&value).unwrap();
        let name = extraction.interpretation.unwrap();
        assert!(name.starts_with("assertion@") && name.contains(" concepts@"), "{name}");
        for entity in extraction.entities {
            let is = [!entity.assertion.unwrap().is_present(), entity.concept.is_some(), entity.dosage.is_some()];
            told.iter_mut().zip(is).for_each(|(count, is)| *count += usize::from(is));
        }
    }
    told
}

#[test]
fn workers_and_stops_do_not_show_in_the_output() {
    let first = with_vocabularies();
    first.finish(1);
    let [absent, coded, dosed] = told(&first);
    assert!(absent > 20 && coded + dosed > 0, "{absent} not present, {coded} codes and {dosed} dosages prove little");
    for workers in [2, 3] {
        let site = with_vocabularies();
        // Half with this many, stopped in good order, the rest with another number.
        let running = site.start(workers);
        site.wait(|progress| progress.totals.notes > NOTES / 2);
        assert!(running.terminate().status.success());
        site.finish(5 - workers);
        assert_eq!(site.committed(), first.committed(), "{workers} workers");
    }
}

#[test]
fn the_second_process_on_a_log_is_refused() {
    let site = Site::with_demo(NOTES);
    let _running = site.start(1);
    site.wait(|progress| progress.totals.notes > 0);
    let second = site.command(1).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("is in use by another process; stop that process, or choose another folder"));
}

/// Everything in the folder but the values of extractions and dead letters, which are meant to carry text.
fn files_without_text(log: &EmbeddedLog, topics: &Topics) -> Vec<u8> {
    let mut bytes = fs::read(log.dir().join("progress.json")).unwrap();
    for topic in [&topics.extractions, &topics.dead_letters, &topics.state, &topics.quality] {
        for record in log.read_topic(topic).unwrap() {
            let record = record.unwrap();
            bytes.extend(record.key.unwrap_or_default());
            bytes.extend(record.headers.into_iter().flat_map(|(name, value)| [name.into_bytes(), value]).flatten());
            if ![&topics.dead_letters, &topics.extractions].contains(&topic) {
                bytes.extend(record.value.unwrap_or_default());
            }
        }
    }
    bytes
}

#[test]
fn text_of_notes_is_in_extractions_and_dead_letters_alone() {
    let (site, secret) = (Site::new(1), "zebrafever");
    let values = [
        format!(r#"{{"note_id":"n","text":"severe {secret} today"}}"#),
        format!(r#"{{"note_id":"n","text":"severe {secret}"#),
        format!(r#"{{"note_id":"n","text":7,"{secret}":"{secret}"}}"#),
        format!(r#"{{"note_id":"n","revision":"{secret}","text":"x"}}"#),
        format!(r#"{{"note_id":"{secret}","text":"another key"}}"#),
    ];
    site.append(&site.topics.notes, values.iter().map(|value| (&b"n"[..], Some(value.as_bytes()))));
    let reference = format!(r#"{{"note_id":"n","annotator":"{secret}","tasks":["{secret}"]}}"#);
    site.append(&site.topics.references, [(&br#"["n","a"]"#[..], Some(reference.as_bytes()))]);

    let mut command = site.command(1);
    command.env("STILLROOM_LOG", "trace");
    let running = Running::start(command);
    site.wait(|progress| site.is_done(progress));
    let output = running.terminate();
    assert_eq!(site.progress().totals.dead_lettered, 4);
    let quiet = [output.stdout, output.stderr, files_without_text(&site.log, &site.topics)];
    assert!(
        !String::from_utf8_lossy(&quiet[1]).contains("tokenizers::"),
        "the tokenizer logs text, a character a line"
    );
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(quiet.iter().all(|bytes| !holds(bytes)), "text of a note has leaked");
    let log = String::from_utf8_lossy(&quiet[1]);
    assert!(log.contains("stillroom::commands::run") && log.contains("committed"), "the log was not at work: {log}");
    let topic = |topic: &Path| fs::read(topic.join("0/00000000000000000000.jsonl")).unwrap();
    assert!(holds(&topic(&site.log.dir().join("topics").join(&site.topics.extractions))), "it would be found");
}

#[test]
fn quality_is_that_of_the_last_values() {
    let site = Site::with_demo(NOTES);
    site.finish(2);
    let values = site.log.last_values(&site.topics.quality).unwrap();
    let rollups: Vec<Quality> = values
        .values()
        .map(|value| serde_json::from_slice::<Quality>(value).unwrap())
        .filter(|quality| quality.key.rollup)
        .collect();
    // Three tasks, three levels, two annotators.
    assert_eq!(rollups.len(), 18);
    for rollup in rollups {
        let parts = values.values().map(|value| serde_json::from_slice::<Quality>(value).unwrap());
        let parts = parts.filter(|part| {
            !part.key.rollup
                && (part.key.task, part.key.level) == (rollup.key.task, rollup.key.level)
                && part.key.reference == rollup.key.reference
        });
        let sum = parts.fold((0, 0), |sum, part| (sum.0 + part.counts.tp, sum.1 + part.counts.notes));
        assert_eq!(sum, (rollup.counts.tp, rollup.counts.notes), "{:?}", rollup.key);
    }
}

/// Resident memory of a process in bytes.
#[cfg(target_os = "linux")]
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn resident_memory_is_flat_under_a_backlog_a_hundred_times_the_bound() {
    const BOUND: usize = 512 << 10;
    let site = Site::new(1);
    // Mostly blanks: they take memory as words do, and no time to tag.
    let text = format!("severe angina{}no rash", " ".repeat(60_000));
    let notes = 128 * BOUND / text.len();
    let ids: Vec<String> = (0..notes).map(|note| note.to_string()).collect();
    let value = |id: &String| serde_json::json!({ "note_id": id, "text": text }).to_string();
    let values: Vec<String> = ids.iter().map(value).collect();
    let records = ids.iter().zip(&values).map(|(id, value)| (id.as_bytes(), Some(value.as_bytes())));
    site.append(&site.topics.notes, records);
    let command = site.command(1);
    let path = site.config(1);
    let config = fs::read_to_string(&path).unwrap().replace("65536", &BOUND.to_string());
    fs::write(&path, config.replace("epochs_open_max = 3", "epochs_open_max = 64")).unwrap();
    let running = Running::start(command);
    let process = running.id();
    // What is there once all of the program is at work.
    site.wait(|progress| progress.totals.notes as usize > notes / 10);
    let early = resident(process);
    let mut most = early;
    site.wait(|progress| {
        most = most.max(resident(process));
        site.is_done(progress)
    });
    assert_eq!(site.progress().totals.extracted as usize, notes);
    assert!(running.terminate().status.success());
    let grown = most - early;
    assert!(grown < 32 * BOUND, "{grown} bytes more than early, of a backlog of {}", notes * text.len());
}
