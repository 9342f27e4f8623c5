//! Cohorts on Kafka: from notes that are sent to who enters and leaves, and why, by the student that users have.

mod killed;
mod lexicon;
mod setting;

use self::setting::{
    COHORT, LATER, NOTES, SIGNED, causes, define, events, keep_cohorts, line, make_topics, members, patients, send,
    told,
};
use crate::cluster::Cluster;
use crate::site::{Broker, Read, Site};
use crate::support::stdout;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillroom_schemas::{CohortEvent, LeaveCause, Membership};

/// A message of HL7 on the one document of patient hana, sent at this minute.
fn message(event: &str, minute: u32) -> String {
    let text = NOTES[0].2;
    format!(
        "MSH|^~\\&|EPIC|north|||2024030109{minute:02}00+0000||MDM^{event}|MSG{minute}|P|2.5\rPID|1||hana\r\
         TXA|1|PN|TX|20240301080000+0000||||||||4711^EPIC\rOBX|1|TX|||{text}\r"
    )
}

/// The notes, words and codes that the evidence of an event points at.
fn pointed_at(event: &CohortEvent) -> Vec<[String; 3]> {
    let notes = event.evidence.iter().flat_map(|evidence| &evidence.notes);
    let pointed_at = notes.map(|note| {
        let (_, _, text) = NOTES.iter().chain(&LATER).find(|(id, ..)| *id == note.note_id).unwrap();
        let words = text.chars().skip(note.start as usize).take((note.end - note.start) as usize).collect();
        [note.note_id.clone(), words, note.code.clone().unwrap().code]
    });
    pointed_at.collect()
}

/// Words of notes that stand in keys, headers or values of a topic.
fn words_in(site: &Site, topic: &str) -> BTreeSet<String> {
    let said = |Read { key, payload, headers, .. }: Read| format!("{key:?} {payload:?} {headers:?}").to_lowercase();
    let records: String = site.kcat(topic, "read_uncommitted").into_iter().map(said).collect();
    assert!(!records.is_empty(), "{topic} has no records");
    let texts = NOTES.iter().chain(&LATER).map(|(_, _, text)| text.to_lowercase());
    let words_of = |text: String| text.split(|c: char| !c.is_alphabetic()).map(str::to_owned).collect::<Vec<_>>();
    // Shorter ones may stand in a hash.
    texts.flat_map(words_of).filter(|word| word.len() > 3 && records.contains(word.as_str())).collect()
}

/// Who is there, and who is not, is listed and explained.
fn check_commands(config: &Path, gus: &Membership) {
    let listed = told(config, &["cohorts", "list"]);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&row[..3], [COHORT, "1", gus.definition.as_str()], "{listed}");
    let explained = told(config, &["cohorts", "explain", "gus", COHORT]);
    let heading = format!("gus is in {COHORT} since {}\n1 live notes", gus.since.unwrap());
    let expected = [
        heading.as_str(),
        "all[0] met: 1 notes of 1\n  g1 revision 0, 2024-03-01: disease at 0 to 15 snomed_ct 44054006\n",
        "all[1] met: 1 notes of 1\n",
        "none[0] not met: 0 notes of 1\n",
    ];
    expected.iter().for_each(|expected| assert!(explained.contains(expected), "{expected}: {explained}"));
    let explained = told(config, &["cohorts", "explain", "ben", COHORT]);
    assert!(explained.starts_with(&format!("ben is not in {COHORT}\n3 live notes")), "{explained}");
    assert!(explained.contains("none[0] met: 1 notes of 1\n  b3 revision 1"), "{explained}");
}

#[test]
fn patients_enter_and_leave_while_a_cluster_runs_and_no_word_of_a_note_is_told() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    keep_cohorts(&mut cluster.site);
    let (site, config) = (&cluster.site, cluster.site.config(1));
    let made = make_topics(&config);
    for (topic, policy) in [("cohorts", "compact"), ("cohort_events", "delete"), ("memberships", "compact")] {
        let name = site.topic(topic);
        assert!(made.contains(&format!("pass  topic {name}: 1 partitions")), "{made}");
        assert_eq!(site.log.topic_config(&name).unwrap()["cleanup.policy"], policy, "{topic}");
    }

    let [first, second] = cluster.start(1);
    assert_eq!(send(&config, "first.jsonl", &NOTES.map(|note| line(note, 0, SIGNED)).concat()), [8, 0]);
    site.wait_for_end();
    define(&config);
    let cohorts = site.topic("cohorts");
    site.wait(|progress| progress.inputs.get(&cohorts).is_some_and(|offsets| offsets.get(&0) == Some(&1)));
    assert_eq!(patients(site), ["ada", "ben", "gus"]);
    assert_eq!(send(&config, "document.hl7", &message("T02", 10)), [1, 0]);
    site.wait_for_end();
    assert_eq!(patients(site), ["ada", "ben", "gus", "hana"]);
    assert_eq!(send(&config, "later.jsonl", &LATER.map(|note| line(note, 1, SIGNED)).concat()), [2, 0]);
    assert_eq!(send(&config, "cancelled.hl7", &message("T11", 20)), [0, 1]);
    site.wait_for_end();
    let members = members(site);
    check_commands(&config, &members["gus"]);
    stdout(&second.terminate());
    stdout(&first.wait());

    let events = events(site);
    let expected = [
        ("ada", vec![vec![], vec![LeaveCause::Amended]]),
        ("ben", vec![vec![], vec![LeaveCause::Excluded]]),
        ("gus", vec![vec![]]),
        ("hana", vec![vec![], vec![LeaveCause::Withdrawn]]),
    ];
    assert_eq!(causes(&events), BTreeMap::from(expected));
    let of = |patient: &str| events.iter().filter(move |event| event.patient_id == patient).collect::<Vec<_>>();
    let (gus, [entered, left]) = (of("gus")[0], <[&CohortEvent; 2]>::try_from(of("ben")).unwrap());
    let Membership { since, definition, evidence, .. } = &members["gus"];
    assert_eq!((since, definition, evidence), (&gus.day, &gus.definition, &gus.evidence));
    let held = [["b1", "Obese type 2 diabetes mellitus", "359638003"], ["b2", "metformin hydrochloride", "235743"]];
    assert_eq!(pointed_at(entered), held);
    assert_eq!(pointed_at(left), [&held[..], &[["b3", "End stage renal failure", "46177005"]]].concat());
    for topic in ["memberships", "cohort_events"] {
        assert_eq!(words_in(site, topic), BTreeSet::new(), "{topic} has text of notes");
    }
    assert!(words_in(site, "extractions").contains("metformin"), "it would be found");
}
