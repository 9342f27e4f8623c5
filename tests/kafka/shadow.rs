//! A student that reads along beside a pipeline, before it serves.

use crate::annotated::{DISEASE, MEDICATION, Words, id, note, said, text, words_of};
use crate::cluster::Cluster;
use crate::running::Running;
use crate::site::{Broker, Site};
use crate::students::two_students;
use crate::support::{json_lines, stdout, stillroom};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::process::Output;
use stillroom_dataflow::reference_key;
use stillroom_schemas::{Comparison, Counts, Level, Quality, Task};

/// Notes that were there before the student began.
const BEFORE: usize = 6;

/// Notes that come while it reads along: more than are needed to compare two students.
const COMING: usize = 24;

/// What is annotated in every note.
const MARKED: [(Task, usize); 2] = [(Task::Disease, DISEASE), (Task::Medication, MEDICATION)];

/// By student and task.
type Figures = BTreeMap<(String, Task), Counts>;

/// Appends notes after their references, so that who has read a note can know what people say of it.
fn put(site: &Site, numbers: Range<usize>) {
    let marked = MARKED.map(|(task, word)| (task, [word]));
    let says = [0, 1].map(|index| (marked[index].0, &marked[index].1[..]));
    let reference =
        |number| (reference_key(&id(number), "dr"), Some(said(number, "dr", &says).to_string().into_bytes()));
    site.append("references", numbers.clone().map(reference));
    site.append("notes", numbers.map(|number| note(number, 0, &text(number))));
}

/// What a student in a folder says of notes by itself, held to what is annotated, in words.
fn counted(site: &Site, folder: &str, numbers: Range<usize>) -> BTreeMap<Task, Counts> {
    let path = site.folder.path().join("notes.jsonl");
    let line = |number: usize| json!({ "note_id": id(number), "text": text(number) }).to_string() + "\n";
    fs::write(&path, numbers.clone().map(line).collect::<String>()).unwrap();
    let mut command = stillroom();
    command.arg("extract").arg(path).args(["--precision", "f32", "--model"]).arg(site.folder.path().join(folder));
    let lines = json_lines(stdout(&command.output().unwrap()));
    assert_eq!(lines.len(), numbers.len());
    let mut counted = BTreeMap::new();
    for (number, line) in numbers.zip(&lines) {
        for (task, marked) in MARKED {
            let of_task = line["entities"].as_array().unwrap().iter().filter(|entity| entity["task"] == task.name());
            let found: Words = of_task.flat_map(|entity| words_of(&text(number), entity)).collect();
            let (tp, found) = (i64::from(found.contains(&marked)), found.len() as i64);
            *counted.entry(task).or_default() += Counts { notes: 1, tp, fp: found - tp, fn_: 1 - tp };
        }
    }
    counted
}

/// Both students, each by its folder.
fn expected(site: &Site, models: &[String; 2], numbers: Range<usize>) -> Figures {
    let of_each = ["first", "second"].into_iter().zip(models);
    let of_each = of_each.map(|(folder, model)| (model, counted(site, folder, numbers.clone())));
    of_each.flat_map(|(model, of)| of.into_iter().map(move |(task, counts)| ((model.clone(), task), counts))).collect()
}

/// What a client that is not ours reads on the topic of the shadow, in words and over all notes.
fn published(site: &Site) -> Figures {
    let last: BTreeMap<Option<String>, Option<String>> =
        site.kcat("shadow", "read_committed").into_iter().map(|record| (record.key, record.payload)).collect();
    let figures = last.into_values().flatten().map(|figure| serde_json::from_str::<Quality>(&figure).unwrap());
    let is_shown = |figure: &Quality| {
        let key = &figure.key;
        (key.level, key.comparison, key.rollup) == (Level::Word, Comparison::StudentReference, true)
    };
    let mut published = Figures::new();
    for Quality { key, counts, f1, .. } in figures.filter(is_shown) {
        assert!(key.reference == "dr" && (f1 - counts.f1()).abs() < 1e-9, "{key:?}: {f1}");
        published.insert((key.model.0, key.task), counts);
    }
    published
}

/// What `models shadow` reports, of the same figures.
fn reported(report: &Value) -> Figures {
    let mut reported = Figures::new();
    for figure in report["references"]["dr"].as_array().unwrap() {
        let task: Task = serde_json::from_value(figure["task"].clone()).unwrap();
        for side in ["serving", "candidate"] {
            let counts = serde_json::from_value(figure[side].clone()).unwrap();
            reported.insert((report[side].as_str().unwrap().to_owned(), task), counts);
        }
    }
    reported
}

fn report(output: &Output) -> Value {
    json_lines(stdout(output)).remove(0)
}

/// The group's offsets, as people's tools show them.
fn shown(site: &Site) -> Vec<String> {
    let tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    let shown = site.broker.tool(tool, &["--describe", "--group", &site.name]);
    let mut lines: Vec<String> = shown.lines().filter(|line| line.contains(&site.name)).map(str::to_owned).collect();
    lines.sort();
    assert!(lines.iter().any(|line| line.contains(&site.topic("notes"))), "{shown}");
    lines
}

#[test]
fn a_student_is_measured_beside_a_cluster_and_changes_nothing_of_it() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    let models = two_students(&mut cluster.site);
    let site = &cluster.site;
    put(site, 0..BEFORE);
    let [first, other] = cluster.start(1);
    site.wait_for_end();
    let coming = BEFORE..BEFORE + COMING;
    let mut along =
        Running::start(site.command(&["models", "shadow", "second", "--share", "1", "--notes", &COMING.to_string()]));
    along.hear("reads along with");
    put(site, coming.clone());
    let report_along = report(&along.wait());
    site.wait_for_end();
    // Neither was fenced.
    stdout(&other.terminate());
    stdout(&first.wait());

    assert_eq!(report_along["notes"], COMING, "notes from before it began count nowhere: {report_along}");
    assert_eq!([&report_along["serving"], &report_along["candidate"]].map(|model| model.as_str().unwrap()), models);
    let of_coming = expected(site, &models, coming);
    assert_eq!((published(site), reported(&report_along)), (of_coming.clone(), of_coming.clone()));
    let differ =
        MARKED.iter().any(|(task, _)| of_coming[&(models[0].clone(), *task)] != of_coming[&(models[1].clone(), *task)]);
    assert!(differ && of_coming.values().any(|counts| counts.tp > 0), "the texts are too poor: {of_coming:?}");

    let mut alone = Site::new(&broker, 3);
    (alone.student, alone.precision) = (site.student.clone(), site.precision);
    put(&alone, 0..BEFORE);
    put(&alone, BEFORE..BEFORE + COMING);
    alone.finish(1);
    let committed = site.committed();
    assert_eq!(committed, alone.committed());

    // What is there is read by a student that moves no offset.
    let (progress, offsets) = (site.progress(), shown(site));
    let whole = site.command(&["models", "shadow", "second", "--share", "1", "--from-beginning"]).output().unwrap();
    let whole = report(&whole);
    assert_eq!(whole["notes"], BEFORE + COMING, "{whole}");
    let of_all = expected(site, &models, 0..BEFORE + COMING);
    assert_eq!((published(site), reported(&whole)), (of_all.clone(), of_all));
    assert_eq!((site.progress(), shown(site)), (progress, offsets));
    assert_eq!(site.committed(), committed);
    assert!(site.kcat("models", "read_committed").is_empty(), "who reads along does not serve");
}
