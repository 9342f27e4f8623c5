//! Retraining beside a cluster: people annotate notes while they flow, and a better student takes over.

use crate::checkpoint::wait_for_checkpoint;
use crate::cluster::Cluster;
use crate::documents::documents;
use crate::running::{DEADLINE, Running};
use crate::site::{Broker, Site};
use crate::students::{check_turns, first_student, models, put_until};
use crate::support::{json_lines, stdout};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use stillroom_dataflow::{HeldOut, reference_key};
use stillroom_schemas::{Activation, ActivationCause, Task, TextHash};

/// Notes with texts of their own, three of each patient, that people annotate.
const NOTES: usize = 75;

/// The share of the patients who are held out: more than the 20 notes that a promotion takes.
const HELD_OUT: HeldOut = HeldOut { share: 0.3 };

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

fn note(number: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let text = document(number)["text"].clone();
    let note = json!({ "note_id": id(number), "patient_id": patient(number), "text": text });
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
        "text_hash": TextHash::of(document["text"].as_str().unwrap()),
        "tasks": document["tasks"],
        "spans": spans,
    });
    (reference_key(&id(number), "dr"), Some(reference.to_string().into_bytes()))
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

/// The run starts by the number of references, goes on though its process is killed in the middle of the training, and the student
/// that it makes takes over on both processes of the cluster, by each of them at the same epoch.
#[test]
fn what_people_annotate_becomes_a_student_that_takes_over_on_a_cluster() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    first_student(&mut cluster.site);
    let (retraining, weak) = (cluster.site.folder.path().join("retraining"), cluster.site.student.clone());
    let is_held_out = |number: &usize| HELD_OUT.is_held_out(Some(&patient(*number)), &id(*number));
    let (held_out, learned): (Vec<usize>, Vec<usize>) = (0..NOTES).partition(is_held_out);
    cluster.site.extra.push_str(&format!(
        "[retraining]\ndir = {retraining:?}\nlabels_min = {}\nheld_out = {}\nthreads = 1\npatience = 40\ndrift_psi = 0.0\n\
         look_every_seconds = 1\nkeep_snapshots = true\n[retraining.recipe]\nrate = 3e-3\nepochs = 40\nlinear_decay = true\n",
        Task::ALL.len() * learned.len(),
        HELD_OUT.share,
    ));
    let site = &cluster.site;
    let first = models(site, &["add", weak.to_str().unwrap()]);
    let [first_process, other] = cluster.start(1);
    put_until(site, "before", &first);

    let retrain = || Running::start(site.command(&["run", "--topology", "retraining"]));
    let mut following = retrain();
    following.hear("0 examples to learn from");
    site.append("notes", (0..NOTES).map(note));
    // By whom students are measured is known before the run starts.
    site.append("references", held_out.into_iter().map(reference));
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
    put_until(site, "after", &candidate);
    stdout(&other.terminate());
    stdout(&first_process.wait());

    let strong = retraining.join(&reports[0]["snapshot"].as_str().unwrap()[..12]).join("student");
    let turns: [(&str, &Path); 2] = [(&first, &weak), (&candidate, &strong)];
    check_turns(site, &turns);
    assert_eq!(activations(site).len(), 1);
}
