//! `stillroom review`: what student and ensemble disagree on, and what people say of it, on a folder.

mod labelled;

use crate::annotated::{
    DISEASE, LABELLED_BY_ONE, LABELS, MEDICATION, NOTES, TODAY, Words, id, judged, places, said, text, words_of,
};
use crate::asking::labels_read;
use crate::site::Site;
use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use labelled::{AMENDED, ANNOTATED, NO, OPEN, WITHDRAWN, YES, labelled, put};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;
use std::time::Duration;
use stillroom_connectors::Log;
use stillroom_dataflow::reference_key;
use stillroom_schemas::{Comparison, Counts, Quality, Reference, Task, TextHash};

/// Words of a note for a task.
type Marks = BTreeMap<(String, String), Words>;

fn review(site: &Site, arguments: &[&str]) -> Output {
    let mut command = stillroom();
    command.arg("review").args(arguments).arg("-c").arg(site.config(1));
    let output = command.output().unwrap();
    assert!(!stderr(&output).contains("patient has"), "text of a note: {}", stderr(&output));
    output
}

fn list(site: &Site, more: &[&str]) -> Vec<Value> {
    json_lines(stdout(&review(site, &[&["list"][..], more].concat())))
}

/// Everything that there is to judge.
fn list_all(site: &Site) -> Vec<Value> {
    list(site, &["--confidence", "0", "--limit", "100000"])
}

/// Applies rows with these verdicts; what is said on stdout.
fn apply(site: &Site, annotator: &str, rows: &[Value], verdict: impl Fn(&Value) -> Option<bool>) -> (Value, Output) {
    let path = site.folder.path().join("judged.jsonl");
    fs::write(&path, judged(rows, verdict)).unwrap();
    let output = review(site, &["apply", path.to_str().unwrap(), "--annotator", annotator]);
    (serde_json::from_slice(&output.stdout).unwrap(), output)
}

fn is_of(row: &Value, number: usize, task: &str) -> bool {
    row["note_id"] == id(number) && row["task"] == task
}

/// What the student tags, as `extract` says it.
fn student(site: &Site) -> Marks {
    let path = site.folder.path().join("notes.jsonl");
    let line = |number: usize| json!({ "note_id": id(number), "text": text(number) }).to_string() + "\n";
    fs::write(&path, (0..NOTES).map(line).collect::<String>()).unwrap();
    let output = stillroom().arg("extract").arg(path).arg("--model").arg(tiny()).output().unwrap();
    let mut marks = Marks::new();
    for (number, line) in json_lines(stdout(&output)).into_iter().enumerate() {
        for task in ["disease", "medication"] {
            let of_task = line["entities"].as_array().unwrap().iter().filter(|entity| entity["task"] == task);
            let words = of_task.flat_map(|entity| words_of(&text(number), entity)).collect();
            marks.insert((id(number), task.to_owned()), words);
        }
    }
    marks
}

/// What the ensemble marks.
fn ensemble(task: &str) -> Words {
    [if task == "disease" { DISEASE } else { MEDICATION }].into()
}

/// How many runs of adjacent words there are.
fn runs(words: &Words) -> usize {
    words.iter().filter(|word| !words.contains(&(*word + 1))).count()
}

/// The words of rows of one kind, and how many rows they are.
fn marks_of(rows: &[Value], is_of_student: bool) -> (Marks, usize) {
    let (mut marks, of_kind) = (Marks::new(), rows.iter().filter(|row| row["student"] == is_of_student));
    let mut count = 0;
    for row in of_kind {
        let [note, task] = ["note_id", "task"].map(|name| row[name].as_str().unwrap().to_owned());
        let number: usize = note[1..].parse().unwrap();
        marks.entry((note, task)).or_default().extend(words_of(&text(number), row));
        count += 1;
    }
    (marks, count)
}

#[test]
fn a_list_has_what_student_and_ensemble_disagree_on() {
    let site = labelled();
    site.append(&site.topics.notes, [(id(WITHDRAWN).as_bytes(), None)]);
    put(&site, AMENDED, 1, &text(AMENDED + NOTES));
    let reference = said(ANNOTATED, "dr", &[(Task::Disease, &[DISEASE])]).to_string();
    site.append(&site.topics.references, [(&reference_key(&id(ANNOTATED), "dr")[..], Some(reference.as_bytes()))]);

    let rows = list_all(&site);
    let (mut of_student, mut of_ensemble) = (student(&site), Marks::new());
    of_student.retain(|(note, task), _| match note[1..].parse::<usize>().unwrap() {
        WITHDRAWN | AMENDED => false,
        ANNOTATED => task == "medication",
        LABELLED_BY_ONE => task == "disease",
        _ => true,
    });
    for ((note, task), words) in &mut of_student {
        of_ensemble.insert((note.clone(), task.clone()), ensemble(task).difference(words).copied().collect::<Words>());
        words.retain(|word| !ensemble(task).contains(word));
    }
    for (is_of_student, mut expected) in [(true, of_student), (false, of_ensemble)] {
        expected.retain(|_, words| !words.is_empty());
        assert!(expected.len() > 3, "the texts are too poor: {expected:?}");
        let count: usize = expected.values().map(runs).sum();
        assert_eq!(marks_of(&rows, is_of_student), (expected, count));
    }
    rows.iter().for_each(check_row);
    let confidences: Vec<f64> = rows.iter().map(|row| row["confidence"].as_f64().unwrap()).collect();
    assert!(confidences.is_sorted_by(|one, other| one >= other), "{confidences:?}");

    let middle = confidences[confidences.len() / 2];
    let sure = list(&site, &["--limit", "100000", "--confidence", &middle.to_string()]);
    let of = |row: &Value| (row["note_id"].to_string(), row["task"].to_string());
    let whole = |surest: &[Value]| -> Vec<Value> {
        let notes: BTreeSet<(String, String)> = surest.iter().map(of).collect();
        rows.iter().filter(|row| notes.contains(&of(row))).cloned().collect()
    };
    let count = confidences.iter().filter(|confidence| **confidence >= middle).count();
    assert_eq!(sure, whole(&rows[..count]));
    assert_eq!(list(&site, &["--confidence", "0", "--limit", "3"]), whole(&rows[..3]));
    let medications = list(&site, &["--confidence", "0", "--limit", "100000", "--task", "medication"]);
    assert_eq!(medications, rows.iter().filter(|row| row["task"] == "medication").cloned().collect::<Vec<_>>());
    let newest = list(&site, &["--confidence", "0", "--limit", "100000", "--notes-max", "1"]);
    let notes: BTreeSet<&str> = newest.iter().map(|row| row["note_id"].as_str().unwrap()).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let only = notes.first().unwrap();
    assert_eq!(newest, rows.iter().filter(|row| row["note_id"] == *only).cloned().collect::<Vec<_>>());
}

/// A row quotes its note, and says who says what.
fn check_row(row: &Value) {
    let number: usize = row["note_id"].as_str().unwrap()[1..].parse().unwrap();
    let quoted: String = ["before", "text", "after"].map(|name| row[name].as_str().unwrap()).concat();
    let words = words_of(&text(number), row);
    let first = places(&text(number))[*words.first().unwrap()].0 as usize;
    assert_eq!(quoted, text(number), "a text shorter than the context");
    assert_eq!(row["before"].as_str().unwrap().len(), first, "{row}");
    assert_eq!(row["text_hash"], json!(TextHash::of(&text(number))));
    assert!(row["student"] != row["ensemble"] && row["verdict"].is_null(), "{row}");
    let is_medication = row["task"] == "medication";
    let mut teachers = Vec::new();
    if words.contains(&if is_medication { MEDICATION } else { DISEASE }) {
        teachers.push("mine");
    }
    if is_medication && (words.contains(&MEDICATION) || words.contains(&TODAY)) {
        teachers.push("names");
    }
    assert_eq!(row["teachers"], json!(teachers), "{row}");
}

/// By note and annotator.
type References = BTreeMap<(String, String), Reference>;

/// What is on the topic of references: the last of each note and annotator.
fn references(site: &Site) -> References {
    let mut source = Log::bounded(&site.log).unwrap();
    for partition in 0..source.partitions(&site.topics.references).unwrap() {
        source.assign(&site.topics.references, partition, 0).unwrap();
    }
    let mut references = References::new();
    while !source.is_finished() {
        for record in source.poll(1 << 20, Duration::ZERO).unwrap() {
            let reference: Reference = serde_json::from_slice(&record.value.unwrap()).unwrap();
            references.insert((reference.note_id.clone(), reference.annotator.clone()), reference);
        }
    }
    references
}

/// The words that a reference marks for a task.
fn marked(reference: &Reference, task: Task) -> Words {
    let number: usize = reference.note_id[1..].parse().unwrap();
    let of_task = reference.spans.iter().filter(|span| span.task == task);
    of_task.flat_map(|span| words_of(&text(number), &json!(span))).collect()
}

/// Runs until all of the log is committed.
fn run(site: &Site) {
    let mut running = site.start(1);
    // Before that a signal ends it at once.
    running.hear("SIGTERM");
    site.wait(|progress| site.is_done(progress) && labels_read(site, progress) == LABELS);
    let output = running.terminate();
    assert!(output.status.success(), "{}", stderr(&output));
}

/// The live figure of what only the student takes for a medication, against somebody's references.
fn reviewed(site: &Site, annotator: &str) -> Option<Counts> {
    let values = site.log.last_values(&site.topics.quality).unwrap();
    let figures = values.values().map(|value| serde_json::from_slice::<Quality>(value).unwrap());
    let mut of = figures.filter(|figure| {
        (figure.key.comparison, figure.key.task) == (Comparison::FalsePositivesReviewed, Task::Medication)
            && figure.key.reference == annotator
    });
    of.next().map(|figure| figure.counts)
}

/// How many notes people have annotated for each task, as retraining sees it.
fn by_people(site: &Site) -> [u64; 2] {
    let mut command = stillroom();
    let output = command.args(["retrain", "--dry-run", "-c"]).arg(site.config(1)).output().unwrap();
    let preview = json_lines(stdout(&output)).remove(0);
    ["disease", "medication"].map(|task| {
        let counts = &preview["tasks"][task];
        counts["human"].as_u64().unwrap() + counts["held_out"].as_u64().unwrap()
    })
}

#[test]
fn verdicts_become_references_that_count_and_teach() {
    let site = labelled();
    let student = student(&site);
    run(&site);
    assert_eq!((by_people(&site), reviewed(&site, "ada")), ([0, 0], None));
    let of_student = |number: usize| &student[&(id(number), "medication".to_owned())];
    let (of_ensemble, rows) = (ensemble("medication"), list_all(&site));
    let alone = |number: usize| of_student(number).difference(&of_ensemble).count() as i64;
    assert!([YES, NO, OPEN].into_iter().all(|number| alone(number) > 0), "the texts are too poor");

    let verdict = |row: &Value| {
        let is_of = |number| is_of(row, number, "medication");
        if is_of(YES) { Some(true) } else { is_of(NO).then_some(false) }
    };
    let (applied, output) = apply(&site, "ada", &rows, verdict);
    let judged = rows.iter().filter(|row| verdict(row).is_some()).count();
    assert_eq!((output.status.code(), &applied["references"], &applied["left_out"]), (Some(0), &json!(2), &json!(0)));
    assert_eq!([&applied["rows"], &applied["unjudged"]], [&json!(judged), &json!(rows.len() - judged)]);
    assert!(stderr(&output).contains("words that nobody judged are taken from the ensemble"), "{}", stderr(&output));
    let written = references(&site);
    let by = |number: usize, who: &str| &written[&(id(number), who.to_owned())];
    assert_eq!(written.len(), 2);
    assert_eq!(by(YES, "ada").tasks, [Task::Medication].into());
    assert_eq!(marked(by(YES, "ada"), Task::Medication), of_student(YES) | &of_ensemble);
    assert_eq!(marked(by(NO, "ada"), Task::Medication), of_student(NO) & &of_ensemble);

    // They count, also after a restart, and teach.
    let expected = Counts { notes: 2, tp: alone(YES), fp: alone(NO), fn_: 0 };
    for _ in 0..2 {
        run(&site);
        assert_eq!(reviewed(&site, "ada"), Some(expected));
    }
    assert_eq!(by_people(&site), [0, 2]);
    let quality = stillroom().args(["quality", "-c"]).arg(site.config(1)).output().unwrap();
    let shown =
        stdout(&quality).split_once("words that only the student tags, of them mentions after all\n").unwrap().1;
    let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    let [words, mentions] = [expected.tp + expected.fp, expected.tp].map(|count| count.to_string());
    assert_eq!([row[0], row[2], row[3], row[4], row[5]], ["medication", "ada", "2", words.as_str(), mentions.as_str()]);

    let left = list_all(&site);
    assert!(left.iter().all(|row| verdict(row).is_none()), "who was judged is not listed again");
    let of_others: Vec<&Value> = rows.iter().filter(|row| verdict(row).is_none()).collect();
    assert_eq!(left.iter().collect::<Vec<_>>(), of_others);
    check_later_verdicts(&site, &rows);
}

/// Another task by the same person, the same task by another, and a text that is not current any more.
fn check_later_verdicts(site: &Site, rows: &[Value]) {
    let before = references(site);
    let by = |references: &References, who: &str| references[&(id(YES), who.to_owned())].clone();
    for references_written in [1, 0] {
        let (applied, _) = apply(site, "ada", rows, |row| is_of(row, YES, "disease").then_some(true));
        assert_eq!(applied["references"], references_written, "the same verdicts again change nothing");
    }
    let after = references(site);
    assert_eq!(by(&after, "ada").tasks, [Task::Disease, Task::Medication].into());
    let [was, is] = [&before, &after].map(|references| marked(&by(references, "ada"), Task::Medication));
    assert_eq!(was, is, "what was said of medications stays");
    assert!(marked(&by(&after, "ada"), Task::Disease).len() > 1, "what only the student tags is added");

    apply(site, "bob", rows, |row| is_of(row, YES, "medication").then_some(false));
    let last = references(site);
    assert!(marked(&by(&last, "bob"), Task::Medication).is_subset(&ensemble("medication")), "he starts anew");
    assert_eq!(by(&last, "ada"), by(&after, "ada"));

    put(site, OPEN, 1, &text(OPEN + NOTES));
    let (applied, output) = apply(site, "ada", rows, |row| is_of(row, OPEN, "medication").then_some(true));
    let of_open = rows.iter().filter(|row| is_of(row, OPEN, "medication")).count();
    assert_eq!((output.status.code(), &applied["references"]), (Some(3), &json!(0)));
    assert_eq!(applied["left_out"], json!(of_open));
    assert!(stderr(&output).contains("not current any more"), "{}", stderr(&output));
    assert_eq!(references(site), last);
}

#[test]
fn what_is_no_row_or_has_no_ensemble_is_refused() {
    let mut site = labelled();
    let path = site.folder.path().join("judged.jsonl");
    fs::write(&path, text(1)).unwrap();
    let refused = review(&site, &["apply", path.to_str().unwrap(), "--annotator", "ada"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("judged.jsonl, line 1: not a row of `review list`"), "{}", stderr(&refused));
    let nameless = review(&site, &["apply", path.to_str().unwrap(), "--annotator", ""]);
    assert!(stderr(&nameless).contains("the annotator's name has 0 bytes"), "{}", stderr(&nameless));
    assert_eq!(references(&site), References::new());

    site.extra.clear();
    let refused = review(&site, &["list"]);
    assert_eq!((refused.status.code(), stdout_of(&refused)), (Some(1), ""));
    assert!(stderr(&refused).contains("no ensemble is chosen"), "{}", stderr(&refused));
}

fn stdout_of(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}
