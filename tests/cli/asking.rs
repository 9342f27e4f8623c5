//! Teachers that `stillroom run` asks while notes flow, on a folder.

mod figures;
mod kills;
mod refusals;
mod trouble;

use crate::running::Running;
use crate::site::Site;
use crate::vendor::{Reply, Vendor};
use figures::{figures, recomputed};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, mpsc};
use stillroom_dataflow::reference_key;
use stillroom_schemas::{
    Comparison, Counts, Extraction, Label, Level, Progress, Quality, Reference, Span, Task, TextHash,
};

/// A note's text. The last words are looked for where no text may be.
fn text(number: usize) -> String {
    format!("Note {number}: fever and chills under a zebrastripe.")
}

fn put(site: &Site, id: &str, revision: u64, text: &str) {
    let (note_type, site_name) = (["report", "letter"][id.len() % 2], "north");
    let note = json!({ "note_id": id, "revision": revision, "text": text, "note_type": note_type, "site": site_name });
    site.append(&site.topics.notes, [(id.as_bytes(), Some(note.to_string().as_bytes()))]);
}

fn withdraw(site: &Site, id: &str) {
    site.append(&site.topics.notes, [(id.as_bytes(), None)]);
}

/// What people say of a text: its fever is a symptom, and there is nothing else.
fn annotate(site: &Site, id: &str, text: &str) {
    let start = text.find("fever").unwrap() as u32;
    let reference = Reference {
        note_id: id.to_owned(),
        annotator: "people".to_owned(),
        text_hash: TextHash::of(text),
        tasks: Task::ALL.into(),
        spans: vec![Span { task: Task::Symptom, start, end: start + 5 }],
    };
    let (key, value) = (reference_key(id, "people"), serde_json::to_vec(&reference).unwrap());
    site.append(&site.topics.references, [(&key[..], Some(&value[..]))]);
}

/// Labels that came back and are counted.
pub(crate) fn labels_read(site: &Site, progress: &Progress) -> u64 {
    progress.inputs.get(&site.topics.labels).map_or(0, |offsets| offsets.values().sum())
}

fn labels(site: &Site) -> Vec<Label> {
    site.records(&site.topics.labels).map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap()).collect()
}

/// Teacher, note and text.
fn labelled(site: &Site) -> BTreeSet<(String, String, TextHash)> {
    labels(site)
        .into_iter()
        .map(|label| label.reference)
        .map(|said| (said.annotator, said.note_id, said.text_hash))
        .collect()
}

/// The revisions whose entities are written and that have words.
fn extracted(site: &Site) -> BTreeSet<(String, TextHash)> {
    let extractions = site.records(&site.topics.extractions).filter_map(|record| record.value);
    let extractions = extractions.map(|value| serde_json::from_slice::<Extraction>(&value).unwrap());
    extractions.filter(|one| one.coverage.words > 0).map(|one| (one.note_id, one.text_hash)).collect()
}

/// The counts of a figure over all types and sites.
fn count(site: &Site, comparison: Comparison, (model, reference): (&str, &str)) -> Option<Counts> {
    let figures = figures(site).into_iter();
    let mut of = figures.filter(|(key, _)| {
        key.rollup
            && (key.task, key.level, key.comparison) == (Task::Symptom, Level::Word, comparison)
            && (key.model.0.starts_with(model), key.reference.as_str()) == (true, reference)
    });
    of.next().map(|(_, counts)| counts)
}

#[test]
fn every_revision_is_labelled_and_all_comparisons_count_the_same_notes() {
    const NOTES: usize = 40;
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let mut site = Site::new(2);
    let ensemble = site.folder.path().join("ensemble.toml");
    let chosen = "[symptom]\nf1 = 0.9\ninterval = [0.8, 1.0]\ndocuments = 9\nteachers = ['names', 'mine']\nrule = 'intersection'\n";
    fs::write(&ensemble, chosen).unwrap();
    site.extra = vendor.teachers(site.folder.path(), &format!("ask = ['mine', 'names']\nensemble = {ensemble:?}"));
    for number in 0..NOTES {
        put(&site, &format!("n{number}"), 0, &text(number));
        if number % 2 == 0 {
            annotate(&site, &format!("n{number}"), &text(number));
        }
    }
    // Amended; the reference is for what it was.
    put(&site, "n2", 1, &text(102));
    put(&site, "n3", 1, &text(103));
    annotate(&site, "n3", &text(103));
    withdraw(&site, "n4");
    put(&site, "blank", 0, " \n");
    put(&site, "twin", 0, &text(7));

    let mut command = site.command(2);
    command.env("STILLROOM_LOG", "trace");
    let running = Running::start(command);
    let all = 2 * (NOTES as u64 + 3);
    site.wait(|progress| site.is_done(progress) && labels_read(&site, progress) == all);
    let output = running.terminate();
    assert!(output.status.success());

    let of_both = extracted(&site)
        .into_iter()
        .flat_map(|(note, text)| ["mine", "names"].map(|teacher| (teacher.to_owned(), note.clone(), text.clone())));
    assert_eq!(labelled(&site), of_both.collect::<BTreeSet<_>>());
    assert_eq!(vendor.asked().len(), NOTES + 2, "a text that two notes have is asked about once");
    assert!(vendor.asked().values().all(|times| *times == 1), "{:?}", vendor.asked());

    assert_eq!(figures(&site), recomputed(&site));
    // Live notes with a reference of their text: 20 annotated, less one amended and one withdrawn, and one that was amended before.
    let perfect = count(&site, Comparison::TeachersReference, ("mine", "people")).unwrap();
    assert_eq!(perfect, Counts { notes: 19, tp: 19, fp: 0, fn_: 0 });
    assert_eq!(count(&site, Comparison::TeachersReference, ("ensemble", "people")), Some(perfect));
    let names = count(&site, Comparison::TeachersReference, ("names", "people"));
    assert_eq!(names, Some(Counts { fp: 19, ..perfect }), "it takes chills for a symptom too");
    let of_student = |comparison, reference| count(&site, comparison, ("", reference)).unwrap();
    assert_eq!(of_student(Comparison::StudentReference, "people").notes, 19);
    let reviewed = of_student(Comparison::FalsePositivesReviewed, "people");
    assert_eq!((reviewed.notes, reviewed.tp), (19, 0), "people find what the ensemble finds");
    let live = NOTES as i64;
    assert_eq!(of_student(Comparison::StudentTeacher, "mine").notes, live, "one withdrawn, one twin, and no blank");
    assert_eq!(of_student(Comparison::StudentEnsemble, "ensemble"), of_student(Comparison::StudentTeacher, "mine"));
    for value in site.log.last_values(&site.topics.quality).unwrap().values() {
        let is_absent = !String::from_utf8_lossy(value).contains("\"comparison\"");
        let quality: Quality = serde_json::from_slice(value).unwrap();
        assert_eq!(is_absent, quality.key.comparison == Comparison::StudentReference, "{:?}", quality.key);
        assert_eq!((quality.f1, quality.recall), (quality.counts.f1(), quality.counts.recall()));
    }

    let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("zebrastripe");
    assert!([&output.stdout, &output.stderr].iter().all(|said| !holds(said)), "text of a note is in the log");
    assert!(String::from_utf8_lossy(&output.stderr).contains("labels written"), "the log was not at work");
    assert!(!holds(&fs::read(site.folder.path().join("labels.redb")).unwrap()), "text of a note is in the store");
    let topics = &site.topics;
    for topic in [&topics.labels, &topics.quality, &topics.state, &topics.extractions] {
        for record in site.records(topic) {
            assert!(!holds(&record.key.unwrap_or_default()) && record.headers.is_empty(), "{topic}");
            assert!(topic == &topics.extractions || !holds(&record.value.unwrap_or_default()), "{topic}");
        }
    }
}

#[test]
fn a_late_answer_about_an_earlier_revision_counts_nowhere() {
    let (release, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let vendor = Vendor::start(move |text| {
        if text.starts_with("Note 1:") {
            // Until it is released, or the test has ended.
            let _released = gate.lock().unwrap().recv();
        }
        Reply::Fever("stop")
    });
    let mut site = Site::new(1);
    site.extra = vendor.teachers(site.folder.path(), "ask = ['mine']");
    let running = site.start(1);
    // What is marked in one is nothing in the other.
    let [first, second] = [text(1), format!("A day later. {}", text(2))];
    put(&site, "n", 0, &first);
    site.wait(|_| vendor.asked().contains_key(&first));
    put(&site, "n", 1, &second);
    annotate(&site, "n", &second);
    site.wait(|progress| site.is_done(progress) && labels_read(&site, progress) == 1);
    let of_second = figures(&site);
    let one = Counts { notes: 1, tp: 1, fp: 0, fn_: 0 };
    assert_eq!(count(&site, Comparison::TeachersReference, ("mine", "people")), Some(one));

    release.send(()).unwrap();
    site.wait(|progress| labels_read(&site, progress) == 2);
    let texts: Vec<TextHash> = labels(&site).into_iter().map(|label| label.reference.text_hash).collect();
    assert_eq!(texts, [TextHash::of(&second), TextHash::of(&first)], "the late one is kept");
    assert_eq!(figures(&site), of_second);

    // The text of the first comes back, and its label with it; a restart knows it too.
    assert!(running.terminate().status.success());
    let running = site.start(1);
    put(&site, "n", 2, &first);
    site.wait(|progress| site.is_done(progress) && labels_read(&site, progress) == 3);
    assert_eq!(count(&site, Comparison::StudentTeacher, ("", "mine")).map(|counts| counts.notes), Some(1));
    assert_eq!(count(&site, Comparison::TeachersReference, ("mine", "people")), None, "of a text without a reference");
    annotate(&site, "n", &first);
    site.wait(|progress| site.is_done(progress));
    assert_eq!(
        count(&site, Comparison::TeachersReference, ("mine", "people")),
        Some(one),
        "each text has its own label"
    );
    assert_eq!(vendor.asked()[&first], 1, "it was kept");

    withdraw(&site, "n");
    site.wait(|progress| site.is_done(progress));
    assert!(running.terminate().status.success());
    assert_eq!(figures(&site), [].into(), "figures of a withdrawn note are withdrawn");
    assert_eq!(labels(&site).len(), 3);
}
