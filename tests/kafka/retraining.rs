//! Retraining beside a cluster: people annotate notes while they flow, a teacher has labelled some, and a better student takes over.

use crate::checkpoint::wait_for_checkpoint;
use crate::cluster::Cluster;
use crate::documents::documents;
use crate::running::{DEADLINE, Running};
use crate::site::{Broker, Site};
use crate::students::{check_turns, first_student, models, put_until};
use crate::support::{json_lines, stdout};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use stillroom_dataflow::{HeldOut, label_key, reference_key};
use stillroom_schemas::{Activation, ActivationCause, Balance, Retraining, Task, TextHash};

/// Notes with texts of their own, three of each patient, that people annotate.
const NOTES: usize = 75;

/// The share of the patients who are held out: more than the 20 notes that a promotion takes.
const HELD_OUT: HeldOut = HeldOut { share: 0.3 };

/// Notes that a teacher alone labels, for diseases.
const LABELLED: usize = 6;

/// What the texts of these begin with, so that no other note has them.
const BEFORE: &str = "note : ";

/// The teacher.
const TEACHER: &str = "mine";

/// Notes on each side that drift is measured by: more than twice as many come while the first student serves.
const DRIFT_NOTES: u64 = 50;

/// Notes that come at a time while a student is trained.
const COMING: usize = 6;

fn id(number: usize) -> String {
    format!("n{number}")
}

fn patient(number: usize) -> String {
    format!("p{}", number / 3)
}

fn document(number: usize) -> Value {
    serde_json::from_str(&documents(number..number + 1)).unwrap()
}

fn text(number: usize) -> String {
    let before = if number < NOTES { "" } else { BEFORE };
    before.to_owned() + document(number)["text"].as_str().unwrap()
}

fn note(number: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let note = json!({ "note_id": id(number), "patient_id": patient(number), "text": text(number) });
    (id(number).into_bytes(), Some(note.to_string().into_bytes()))
}

/// What people say of all tasks of a note.
fn reference(number: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let document = document(number);
    let span = |entity: &Value| json!({ "task": entity["task"], "start": entity["start"], "end": entity["end"] });
    let spans: Vec<Value> = document["entities"].as_array().unwrap().iter().map(span).collect();
    let reference = json!({
        "note_id": id(number),
        "annotator": "dr",
        "text_hash": TextHash::of(&text(number)),
        "tasks": document["tasks"],
        "spans": spans,
    });
    (reference_key(&id(number), "dr"), Some(reference.to_string().into_bytes()))
}

/// What the teacher says of the diseases of a note: what there is.
fn label(number: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let (disease, text_hash) = (document(number)["entities"][0].clone(), TextHash::of(&text(number)));
    let [start, end] = ["start", "end"].map(|end| disease[end].as_u64().unwrap() + BEFORE.len() as u64);
    let label = json!({
        "note_id": id(number),
        "annotator": TEACHER,
        "text_hash": text_hash,
        "tasks": ["disease"],
        "spans": [{ "task": "disease", "start": start, "end": end }],
    });
    (label_key(&id(number), TEACHER, &text_hash), Some(label.to_string().into_bytes()))
}

/// Checks what was said on the topic of retraining: at last what there is to learn, of which nothing is new, and meanwhile how far
/// the notes have drifted that the first student tagged.
fn check_said(site: &Site, [held_out, learned]: [usize; 2], first: &str) {
    let (mut balances, mut drifts) = (BTreeMap::new(), 0);
    for record in site.kcat("retraining", "read_committed") {
        // Drift of a student that serves no more is withdrawn.
        let Some(payload) = record.payload.filter(|payload| !payload.is_empty()) else { continue };
        let said: Retraining = serde_json::from_str(&payload).unwrap();
        if let Some(drift) = said.drift.filter(|drift| drift.model.0 == first) {
            assert_eq!(drift.notes, DRIFT_NOTES);
            drifts += 1;
        }
        if let Some(balance) = said.balance {
            balances.insert(said.key.task.unwrap(), balance);
        }
    }
    let of_task = |task: Task| {
        let (human, teachers) = (learned as u64, if task == Task::Disease { LABELLED as u64 } else { 0 });
        (task, Balance { human, teachers, mentions: human + teachers, held_out: held_out as u64, new: 0 })
    };
    assert_eq!(balances, Task::ALL.map(of_task).into());
    assert!(drifts > 0, "nothing is said of drift");
}

/// By which that teacher alone speaks for diseases.
fn ensemble_of(teacher: &str) -> String {
    format!("[disease]\nf1 = 0.9\ninterval = [0.8, 1.0]\ndocuments = 9\nteachers = ['{teacher}']\nrule = 'union'\n")
}

fn activations(site: &Site) -> Vec<Activation> {
    let payloads = site.kcat("models", "read_committed").into_iter().map(|record| record.payload.unwrap());
    payloads.map(|payload| serde_json::from_str(&payload).unwrap()).collect()
}

/// Puts notes, a few at a time, until a student is activated.
fn put_until_activated(site: &Site) -> Activation {
    let (began, mut notes) = (Instant::now(), 0);
    loop {
        site.put_all((notes..notes + COMING).map(|number| format!("meanwhile-{number}")), "cough, on aspirin");
        notes += COMING;
        if let Some(activation) = activations(site).pop() {
            return activation;
        }
        assert!(began.elapsed() < DEADLINE, "nobody takes over");
    }
}

/// The run starts by the number of references and labels, goes on though its process is killed in the middle of the training, and the student
/// that it makes takes over on both processes of the cluster, by each of them at the same epoch.
#[test]
fn what_people_annotate_becomes_a_student_that_takes_over_on_a_cluster() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    first_student(&mut cluster.site);
    let (retraining, weak) = (cluster.site.folder.path().join("retraining"), cluster.site.student.clone());
    let is_held_out = |number: &usize| HELD_OUT.is_held_out(Some(&patient(*number)), &id(*number));
    let (held_out, learned): (Vec<usize>, Vec<usize>) = (0..NOTES).partition(is_held_out);
    let labelled: Vec<usize> = (NOTES..).filter(|number| !is_held_out(number)).take(LABELLED).collect();
    let (parts, ensemble) = ([held_out.len(), learned.len()], cluster.site.folder.path().join("ensemble.toml"));
    std::fs::write(&ensemble, ensemble_of(TEACHER)).unwrap();
    // Drift is measured, and no shift of so few notes is so large that it starts the run before all is there.
    cluster.site.extra.push_str(&format!(
        "[teachers]\nensemble = {ensemble:?}\n\
         [retraining]\ndir = {retraining:?}\nlabels_min = {}\nheld_out = {}\nthreads = 1\npatience = 40\n\
         drift_notes = {DRIFT_NOTES}\ndrift_psi = 10.0\n\
         look_every_seconds = 1\nkeep_snapshots = true\n[retraining.recipe]\nrate = 3e-3\nepochs = 40\nlinear_decay = true\n",
        Task::ALL.len() * learned.len() + LABELLED,
        HELD_OUT.share,
    ));
    let site = &cluster.site;
    let first = models(site, &["add", weak.to_str().unwrap()]);
    let [first_process, other] = cluster.start(1);
    put_until(site, "before", &first);

    let retrain = || Running::start(site.command(&["run", "--topology", "retraining"]));
    let mut following = retrain();
    following.hear("0 examples to learn from");
    site.append("notes", (0..NOTES).chain(labelled.iter().copied()).map(note));
    // By whom students are measured is known before the run starts.
    site.append("references", held_out.into_iter().map(reference));
    site.append("labels", labelled.into_iter().map(label));
    site.append("references", learned.into_iter().map(reference));
    following.hear("examples are new");
    wait_for_checkpoint(&retraining);
    following.kill();
    assert!(activations(site).is_empty(), "the kill came too late: let the training take longer");

    let mut following = retrain();
    following.hear("the run that was under way goes on");
    let activation = put_until_activated(site);
    let candidate = activation.model.0;
    assert_eq!((&activation.previous.0, activation.cause), (&first, ActivationCause::Promotion));
    following.hear("serves in the place of");
    let reports = json_lines(stdout(&following.terminate()));
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!((&reports[0]["candidate"], &reports[0]["is_promoted"]), (&json!(candidate), &json!(true)));
    assert_eq!(reports[0]["tasks"]["disease"]["teachers"], LABELLED, "{reports:?}");
    check_said(site, parts, &first);
    put_until(site, "after", &candidate);
    stdout(&other.terminate());
    stdout(&first_process.wait());

    let strong = retraining.join(&reports[0]["snapshot"].as_str().unwrap()[..12]).join("student");
    let turns: [(&str, &Path); 2] = [(&first, &weak), (&candidate, &strong)];
    check_turns(site, &turns);
    assert_eq!(activations(site).len(), 1);
}
