use super::*;
use serde_json::json;
use std::sync::Arc;
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_dataflow::{Share, SoftSpan, Tokenizer};
use stillroom_schemas::TaskSet;
use stillroom_teachers::ensemble::Chosen;

fn task(name: &str) -> Task {
    Task::ALL.into_iter().find(|task| task.name() == name).unwrap()
}

/// Of `symptom: fever, chills; disease:` the tasks, and where the mentions stand.
fn annotation(text: &str, said: &str) -> (TaskSet, Vec<Span>) {
    let (mut tasks, mut spans) = (TaskSet::new(), Vec::new());
    for (name, mentions) in said.split(';').filter_map(|of_task| of_task.split_once(':')) {
        let task = task(name.trim());
        tasks.insert(task);
        for mention in mentions.split(',').map(str::trim).filter(|mention| !mention.is_empty()) {
            let start = text[..text.find(mention).unwrap()].chars().count() as u32;
            spans.push(Span { task, start, end: start + mention.chars().count() as u32 });
        }
    }
    (tasks, spans)
}

/// `note | teacher | text | annotation`.
fn reference(line: &str) -> Reference {
    let [note_id, annotator, text, said] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
    let (tasks, spans) = annotation(text, said);
    Reference { note_id: note_id.into(), annotator: annotator.into(), text_hash: TextHash::of(text), tasks, spans }
}

/// `task rule teacher teacher …`.
fn choice(ensembles: &[&str]) -> Choice {
    let chosen = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let ensemble: Ensemble = serde_json::from_value(json!({ "rule": words[1], "teachers": words[2..] })).unwrap();
        (task(words[0]), Chosen { f1: 0.5, interval: (0.25, 0.75), documents: 9, ensemble })
    };
    Choice(ensembles.iter().map(chosen).collect())
}

/// `note | text | annotation`.
fn shown(document: &Document) -> String {
    let characters: Vec<char> = document.text.chars().collect();
    let mention = |span: &Span| characters[span.start as usize..span.end as usize].iter().collect::<String>();
    let of_task = |task: &Task| {
        let mentions: Vec<String> = document.spans.iter().filter(|span| span.task == *task).map(mention).collect();
        format!("{}: {}", task.name(), mentions.join(", ")).trim().to_owned()
    };
    let said: Vec<String> = document.tasks.iter().map(of_task).collect();
    format!("{} | {} | {}", document.id, document.text, said.join("; "))
}

/// Documents and outcome, or the error.
fn merged(ensembles: &[&str], labels: &[&str], notes: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/tiny");
    let tokenizer = Tokenizer::load(&folder).unwrap();
    let mut all = Labels::default();
    labels.iter().for_each(|line| all.add(reference(line)));
    let merging = Merging::new(choice(ensembles), Arc::new(move |text: &str| tokenizer.tokenize(text)), all);
    let Ok(mut merging) = merging else { return merging.err().unwrap().to_string() };
    let mut said = Vec::new();
    for line in notes {
        let (note_id, text) = line.split_once(" | ").unwrap();
        let note: Note = serde_json::from_value(json!({ "note_id": note_id, "text": text })).unwrap();
        said.extend(merging.merge(note).unwrap().as_ref().map(shown));
    }
    said.push(merging.finish(0).map_or_else(|error| error.to_string(), |outcome| outcome.to_string()));
    said.join("\n")
}

#[test]
fn each_task_is_merged_by_its_ensemble() {
    let ensembles = ["disease union a c", "symptom intersection a b"];
    let labels = [
        "n1 | a | fièvre 😀 fever, chills and gout | symptom: fever, chills; disease:",
        "n1 | b | fièvre 😀 fever, chills and gout | symptom: chills, gout",
        "n1 | c | fièvre 😀 fever, chills and gout | disease: gout",
        "n2 | a | no pain | symptom:; disease:",
        "n2 | b | no pain | symptom: pain",
        "n2 | c | no pain | disease:",
    ];
    let said = merged(&ensembles, &labels, &["n2 | no pain", "n1 | fièvre 😀 fever, chills and gout"]);
    let expected = [
        "n2 | no pain | disease:; symptom:",
        "n1 | fièvre 😀 fever, chills and gout | disease: gout; symptom: chills",
        "2 of 2 notes became training documents: disease 2, symptom 2",
    ];
    assert_eq!(said, expected.join("\n"));
}

#[test]
fn a_task_that_lacks_a_label_is_unannotated() {
    let ensembles = ["disease union a b", "symptom union a"];
    let labels = [
        "n1 | a | gout, no fever | disease: gout; symptom:",
        "n1 | b | gout, no fever | symptom: fever",
        "n2 | a | asthma | disease: asthma",
        "n3 | b | cough | disease:; symptom: cough",
    ];
    let said = merged(&ensembles, &labels, &["n1 | gout, no fever", "n2 | asthma", "n3 | cough"]);
    let expected = [
        "n1 | gout, no fever | symptom:",
        "1 of 3 notes became training documents: disease 0, symptom 1",
        "notes left out: 2 without all labels of an ensemble",
    ];
    assert_eq!(said, expected.join("\n"));
}

#[test]
fn labels_belong_to_texts_and_the_last_counts() {
    let labels = [
        "n1 | a | fever today | symptom: fever, today",
        "n1 | a | rash today | symptom: rash",
        "n1 | a | fever today | symptom: fever",
        "n2 | a | cough | symptom: cough",
        "n9 | a | pain | symptom: pain",
        "n1 | other | fever today | symptom: today",
        "n9 | other | pain | symptom: pain",
    ];
    // The first note comes in two revisions, and a third that nobody labelled.
    let notes = ["n1 | fever today", "n1 | rash today", "n1 | nausea", "n2 | no cough", "n3 | itch"];
    let expected = [
        "n1 | fever today | symptom: fever",
        "n1 | rash today | symptom: rash",
        "2 of 5 notes became training documents: symptom 2",
        "notes left out: 1 without a label, 2 of which another text was labelled",
        "labels not used: 1 of another text, 1 of a note that is not there, 2 by a teacher in no ensemble",
    ];
    assert_eq!(merged(&["symptom union a"], &labels, &notes), expected.join("\n"));
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let label = "n1 | a | fever | symptom: fever";
    let expected = "the ensemble for symptom has the teacher b, of which there is no label; label the notes with it too, choose among \
                    the teachers that there are, or name other tasks by --task";
    assert_eq!(merged(&["symptom union a b"], &[label], &["n1 | fever"]), expected);
    let expected = [
        "there is no note to learn from: 0 of 2 notes became training documents: symptom 0",
        "notes left out: 1 without a label, 1 of which another text was labelled",
        "labels not used: 1 of another text",
        "label these very notes, each by the teachers a",
    ];
    assert_eq!(merged(&["symptom union a"], &[label], &["n1 | no fever", "n2 | fever"]), expected.join("\n"));
}

#[test]
fn a_line_that_is_no_label_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.jsonl");
    let good = include_str!("../../../schemas/samples/label.v1.jsonl");
    std::fs::write(&path, good).unwrap();
    let mut labels = Labels::default();
    labels.read(&path).unwrap();
    assert_eq!(labels.teachers.into_iter().collect::<Vec<_>>(), ["gpt-4o", "vocabulary"]);
    let check = |line: &str, expected: &str| {
        std::fs::write(&path, format!("{}\n\n{line}\n", good.lines().next().unwrap())).unwrap();
        let said = Labels::default().read(&path).unwrap_err().to_string();
        assert_eq!(said, format!("{}, line 3: {expected}; correct or remove the line", path.display()));
        assert!(!said.contains("gout"), "{said}");
    };
    let line = |spans: &str| {
        format!(r#"{{"note_id":"n","annotator":"a","text_hash":"h","tasks":["disease"],"spans":[{spans}]}}"#)
    };
    check("gout", "not a label from column 1 on");
    check(r#"{"note_id":"n","text":"gout"}"#, "not a label from column 29 on");
    check(&line(r#""gout""#), "not a label from column 82 on");
    let span = r#"{"task":"disease","start":0,"end":4}"#;
    let wrong = "span 1 is empty, or of a task that `tasks` does not list";
    check(&line(&format!(r#"{span},{{"task":"symptom","start":0,"end":4}}"#)), wrong);
    check(&line(&format!(r#"{span},{{"task":"disease","start":4,"end":4}}"#)), wrong);
    let missing = Labels::default().read(&folder.path().join("none.jsonl")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read the labels in ") && missing.ends_with("none.jsonl"), "{missing}");
}

#[test]
fn documents_have_the_shares_of_the_teachers_where_they_are_wanted() {
    let text = "fièvre 😀 fever, chills and gout";
    let labels = [
        format!("n1 | a | {text} | symptom: fever, chills; disease: gout"),
        format!("n1 | b | {text} | symptom: chills, gout"),
    ];
    let merged = |is_soft: bool| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/tiny");
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let mut all = Labels::default();
        labels.iter().for_each(|line| all.add(reference(line)));
        let ensembles = choice(&["disease union a", "symptom intersection a b"]);
        let merging = Merging::new(ensembles, Arc::new(move |text: &str| tokenizer.tokenize(text)), all).unwrap();
        let note: Note = serde_json::from_value(json!({ "note_id": "n1", "text": text })).unwrap();
        merging.softly(is_soft).merge(note).unwrap().unwrap()
    };
    let (hard, soft) = (merged(false), merged(true));
    let place = |word: &str| annotation(text, &format!("symptom: {word}")).1[0];
    let share = |(word, share): (&str, f32)| {
        let Span { start, end, .. } = place(word);
        SoftSpan { start, end, share: Share::new(share).unwrap() }
    };
    let of_symptom = [("fever", 0.5), ("chills", 1.0), ("gout", 0.5)].map(share).to_vec();
    let expected = SoftSpans::from([(Task::Disease, vec![share(("gout", 1.0))]), (Task::Symptom, of_symptom)]);
    assert_eq!(soft.soft, expected);
    assert_eq!(Document { soft: SoftSpans::new(), ..soft }, hard);
}
