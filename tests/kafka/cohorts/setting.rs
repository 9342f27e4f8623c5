//! One cohort, vocabularies, and notes that speak for and against it; what is committed of who is in it.

use crate::site::{Read, Site, root};
use crate::support::{json_lines, stdout, stillroom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_schemas::{CohortEvent, LeaveCause, Membership, MembershipChange, membership_key};

/// No word of a note is in its name, so that none is in a key.
pub(super) const COHORT: &str = "t2dm-no-ckd";

const DEFINITION: &str = r#"
name = "t2dm-no-ckd"
title = "Type 2 diabetes, on metformin, no chronic kidney disease"
[[all]]
task = "disease"
concepts = [{ vocabulary = "snomed_ct", code = "44054006" }]
[[all]]
task = "medication"
concepts = [{ vocabulary = "rxnorm", code = "6809" }]
days = 365
[[none]]
concepts = [{ vocabulary = "snomed_ct", code = "709044004" }]
"#;

const DISEASES: &str = r#"format-version: 1.2
data-version: 2024-03-01

[Term]
id: 44054006
name: type 2 diabetes mellitus
synonym: "type 2 diabetes" EXACT []

[Term]
id: 359638003
name: obese type 2 diabetes mellitus
is_a: 44054006

[Term]
id: 709044004
name: chronic kidney disease
synonym: "chronic renal failure" EXACT []

[Term]
id: 46177005
name: end stage renal failure
is_a: 709044004
"#;

const DRUGS: &str = "id\tsynonym\tingredients\n6809\tmetformin\t\n235743\tmetformin hydrochloride\t6809\n";

/// Notes that come first: the note, its patient, and what it says.
pub(super) const NOTES: [(&str, &str, &str); 8] = [
    ("a1", "ada", "Type 2 diabetes, well controlled. Takes metformin 500 mg twice daily."),
    ("b1", "ben", "Obese type 2 diabetes mellitus, poorly controlled."),
    ("b2", "ben", "Takes metformin hydrochloride 1000 mg daily."),
    ("c1", "cleo", "Denies type 2 diabetes. Takes metformin 500 mg daily."),
    ("d1", "dora", "Mother had type 2 diabetes. Takes metformin 500 mg daily."),
    ("e1", "eve", "Possibly type 2 diabetes. Takes metformin 500 mg daily."),
    ("f1", "finn", "Type 2 diabetes and chronic renal failure. Takes metformin 500 mg daily."),
    ("g1", "gus", "Type 2 diabetes. Father had chronic renal failure. Takes metformin 500 mg daily."),
];

/// An amendment, and a note that speaks against its patient.
pub(super) const LATER: [(&str, &str, &str); 2] = [
    ("a1", "ada", "Hypertension, well controlled. Takes metformin 500 mg twice daily."),
    ("b3", "ben", "End stage renal failure, on dialysis three times weekly."),
];

/// When notes are signed, unless it matters.
pub(super) const SIGNED: &str = "2024-03-01T08:00:00Z";

/// A line of JSON Lines.
pub(super) fn line((note_id, patient_id, text): (&str, &str, &str), revision: u32, signed_at: &str) -> String {
    let note = json!({
        "note_id": note_id,
        "patient_id": patient_id,
        "revision": revision,
        "signed_at": signed_at,
        "text": text,
    });
    note.to_string() + "\n"
}

/// The student that comes with stillroom.
pub(super) fn student() -> PathBuf {
    root().join("models/stillroom-minilm-l6")
}

/// Writes vocabularies into a folder; the tables that name them.
pub(super) fn vocabularies(folder: &Path) -> String {
    let (diseases, drugs) = (folder.join("diseases.obo"), folder.join("drugs.tsv"));
    fs::write(&diseases, DISEASES).unwrap();
    fs::write(&drugs, DRUGS).unwrap();
    format!(
        "[[concepts.vocabularies]]\nname = 'snomed_ct'\ntasks = ['disease']\npath = {diseases:?}\n\
         [[concepts.vocabularies]]\nname = 'rxnorm'\ntasks = ['medication']\npath = {drugs:?}\n"
    )
}

/// Has a pipeline keep cohorts.
pub(super) fn keep_cohorts(site: &mut Site) {
    site.student = student();
    site.extra = format!("cohorts = true\n{}\n{}", site.extra, vocabularies(site.folder.path()));
}

/// A command on the log of a configuration; what it prints.
pub(super) fn told(config: &Path, arguments: &[&str]) -> String {
    let output = stillroom().args(arguments).arg("-c").arg(config).output().unwrap();
    stdout(&output).to_owned()
}

/// Makes the topics as a user does before a first run; what is said of them.
pub(super) fn make_topics(config: &Path) -> String {
    told(config, &["check", "--connect", "--create"])
}

pub(super) fn define(config: &Path) {
    let path = config.with_file_name("cohort.toml");
    fs::write(&path, DEFINITION).unwrap();
    let added = told(config, &["cohorts", "add", path.to_str().unwrap()]);
    assert!(added.starts_with(&format!("{COHORT} ")), "{added}");
}

/// Sends a file of this name; how many notes and withdrawals were sent.
pub(super) fn send(config: &Path, name: &str, content: &str) -> [u64; 2] {
    let path = config.with_file_name(name);
    fs::write(&path, content).unwrap();
    let sent: Value = json_lines(&told(config, &["send", path.to_str().unwrap()])).remove(0);
    assert_eq!(sent["left_out"], 0, "{sent}");
    ["notes", "withdrawals"].map(|count| sent[count].as_u64().unwrap())
}

/// Who is in the cohort, by the last record of each patient.
pub(super) fn members(site: &Site) -> BTreeMap<String, Membership> {
    let mut members = BTreeMap::new();
    for Read { key, payload, .. } in site.kcat("memberships", "read_committed") {
        let [cohort, patient]: [String; 2] = serde_json::from_str(key.as_deref().unwrap()).unwrap();
        assert_eq!(cohort, COHORT);
        match payload {
            Some(payload) => drop(members.insert(patient, serde_json::from_str::<Membership>(&payload).unwrap())),
            None => assert!(members.remove(&patient).is_some(), "{patient} was not in it and left"),
        }
    }
    members
}

pub(super) fn patients(site: &Site) -> Vec<String> {
    members(site).into_keys().collect()
}

/// The events: of each patient by turns one that enters and one that leaves, down to who is in.
pub(super) fn events(site: &Site) -> Vec<CohortEvent> {
    let (mut events, mut inside) = (Vec::new(), BTreeSet::new());
    for Read { key, payload, .. } in site.kcat("cohort_events", "read_committed") {
        let event: CohortEvent = serde_json::from_str(payload.as_deref().unwrap()).unwrap();
        assert_eq!(key.unwrap().into_bytes(), membership_key(&event.cohort, &event.patient_id));
        let is_news = match event.change {
            MembershipChange::Enter => inside.insert(event.patient_id.clone()),
            MembershipChange::Leave => inside.remove(&event.patient_id),
        };
        assert!(is_news, "said twice: {event:?}");
        events.push(event);
    }
    assert_eq!(inside.into_iter().collect::<Vec<_>>(), patients(site));
    events
}

/// Why, at each change of each patient: nothing where one enters.
pub(super) fn causes(events: &[CohortEvent]) -> BTreeMap<&str, Vec<Vec<LeaveCause>>> {
    let mut causes: BTreeMap<&str, Vec<Vec<LeaveCause>>> = BTreeMap::new();
    for CohortEvent { patient_id, why, .. } in events {
        causes.entry(patient_id).or_default().push(why.iter().copied().collect());
    }
    causes
}
