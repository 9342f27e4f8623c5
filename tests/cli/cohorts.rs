//! `stillroom cohorts` on a folder: from a file to members, and back.

use crate::site::Site;
use crate::support::{json_lines, stderr, stdout, stillroom};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;
use stillroom_schemas::{CohortEvent, Extraction, LeaveCause, Membership, MembershipChange, Task};

/// Everybody with a mention of a disease, however it is meant: the student of these tests finds them everywhere.
const FILE: &str =
    "name = \"diseased\"\ntitle = \"Any disease\"\n[[all]]\ntask = \"disease\"\nassertion = { any = true }\n";

fn cohorts(site: &Site, arguments: &[&str]) -> Output {
    stillroom().arg("cohorts").args(arguments).arg("-c").arg(site.config(1)).output().unwrap()
}

/// What a command of `cohorts` says against it.
fn refused(site: &Site, arguments: &[&str]) -> String {
    let output = cohorts(site, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    stderr(&output)
}

fn file(site: &Site, name: &str, text: &str) -> String {
    let path = site.folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The patients with a live note that mentions a disease.
fn diseased(site: &Site) -> BTreeSet<String> {
    let extractions = site.log.last_values(&site.topics.extractions).unwrap().into_values();
    let extractions = extractions.map(|value| serde_json::from_slice::<Extraction>(&value).unwrap());
    let diseased = extractions.filter(|note| note.entities.iter().any(|entity| entity.task == Task::Disease));
    diseased.filter_map(|note| note.patient_id).collect()
}

fn members(site: &Site) -> BTreeMap<String, Membership> {
    let values = site.log.last_values(&site.topics.memberships).unwrap().into_values();
    let memberships = values.map(|value| serde_json::from_slice::<Membership>(&value).unwrap());
    memberships.map(|membership| (membership.patient_id.clone(), membership)).collect()
}

fn events(site: &Site) -> Vec<CohortEvent> {
    let records = site.records(&site.topics.cohort_events);
    records.map(|record| serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()).collect()
}

/// Runs until so many records of the topic of cohorts are committed.
fn run_until(site: &Site, definitions: u64) {
    let mut running = site.start(2);
    // Not before it minds a stop.
    running.hear("running on");
    let topic = site.topics.cohorts.clone();
    site.wait(|progress| progress.inputs.get(&topic).is_some_and(|offsets| offsets.get(&0) == Some(&definitions)));
    let output = running.terminate();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn from_a_file_to_members_and_back() {
    let mut site = Site::with_demo(60);
    site.finish(2);
    assert!(refused(&site, &["list"]).contains("set engine.cohorts = true"));
    // The demo's notes are of years to come.
    site.extra = "cohorts = true\ncohorts_trust_dates = true\n".to_owned();
    assert!(refused(&site, &["list"]).contains("has no topic clinical.cohorts.v1"));
    let mut running = site.start(1);
    running.hear("running on");
    assert!(running.terminate().status.success());

    let added = cohorts(&site, &["add", &file(&site, "diseased.toml", FILE)]);
    assert!(stdout(&added).starts_with("diseased "));
    run_until(&site, 1);
    assert_eq!(members(&site), BTreeMap::new(), "what was extracted before says nothing");
    let listed = cohorts(&site, &["list"]);
    assert!(stderr(&listed).contains("live notes were extracted before cohorts were kept"), "{}", stderr(&listed));

    let filled = cohorts(&site, &["backfill", "--rate", "10000"]);
    let last = stdout(&filled).lines().last().unwrap().to_owned();
    let notes = last.strip_suffix(" live notes count now").and_then(|counts| counts.split_once(" of "));
    assert!(notes.is_some_and(|(now, all)| now == all && now != "0"), "{last}");
    let again = cohorts(&site, &["backfill"]);
    assert!(stdout(&again).contains("every live note counts already"));
    let (members_now, expected) = (members(&site), diseased(&site));
    assert!(expected.len() > 3, "too poor: {expected:?}");
    assert_eq!(members_now.keys().cloned().collect::<BTreeSet<_>>(), expected);

    let listed = cohorts(&site, &["list"]);
    let row: Vec<&str> = stdout(&listed).lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], &row[3..]), ("diseased", &*expected.len().to_string(), &["Any", "disease"][..]));
    let defined = json_lines(stdout(&cohorts(&site, &["list", "--json"])));
    assert_eq!(defined[0]["all"][0]["task"], "disease");
    let (patient, membership) = members_now.iter().next().unwrap();
    let explained = cohorts(&site, &["explain", patient, "diseased"]);
    let explained = stdout(&explained).to_owned();
    assert!(explained.starts_with(&format!("{patient} is in diseased since ")), "{explained}");
    assert!(explained.contains("all[0] met: ") && explained.contains(&membership.evidence[0].notes[0].note_id));
    let nobody = cohorts(&site, &["explain", "nobody", "diseased"]);
    assert!(stdout(&nobody).contains("nobody is not in diseased\n0 live notes") && stdout(&nobody).contains("not met"));

    stdout(&cohorts(&site, &["remove", "diseased"]));
    run_until(&site, 2);
    assert_eq!(members(&site), BTreeMap::new());
    let events = events(&site);
    let left: Vec<&CohortEvent> = events.iter().filter(|event| event.change == MembershipChange::Leave).collect();
    assert_eq!((left.len(), events.len()), (expected.len(), 2 * expected.len()));
    assert!(left.iter().all(|event| event.why == BTreeSet::from([LeaveCause::Removed])));
}

#[test]
fn what_cannot_be_kept_is_refused_before_it_is_written() {
    let mut site = Site::with_demo(1);
    site.extra = "cohorts = true\n".to_owned();
    site.finish(1);
    let add = |text: &str| refused(&site, &["add", &file(&site, "c.toml", FILE), &file(&site, "d.toml", text)]);
    let error = add("name = \"d\"\n[[none]]\ntask = \"disease\"\n");
    assert!(error.contains("d.toml") && error.contains("put what its patients have into all or any"), "{error}");
    let error = add("name = \"d\"\n[[all]]\ntask = \"disease\"\nday = 3\n");
    assert!(error.contains("d.toml") && error.contains("unknown field `day`"), "{error}");
    let error = add(&format!("name = \"{}\"\n[[all]]\ntask = \"disease\"\n", "d".repeat(2000)));
    assert!(error.contains("d.toml") && error.contains("has 2000 bytes"), "{error}");
    assert!(refused(&site, &["explain", "p", "d"]).contains("there is no cohort d"));
    assert!(refused(&site, &["remove", "d"]).contains("there is no cohort d"));
    assert_eq!(site.log.ends(&site.topics.cohorts).unwrap().values().sum::<u64>(), 0);
}
