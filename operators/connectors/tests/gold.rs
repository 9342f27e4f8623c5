//! Annotated documents.

use std::fs;
use std::path::Path;
use stillroom_connectors::{GoldDocument, GoldDocuments};
use stillroom_dataflow::{Share, SoftSpan, SoftSpans};
use stillroom_schemas::{Span, Task, TaskSet};

fn read(text: &str) -> Result<Vec<GoldDocument>, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("gold.jsonl");
    fs::write(&path, text).expect("a file");
    let read: Result<Vec<_>, _> = GoldDocuments::open(&path).expect("the file exists").collect();
    read.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn reads_what_was_annotated() {
    let line = r#"{"id":"d-1","source":"made up","tasks":["symptom","disease"],"text":"Fièvre 😀 du foie","entities":[{"task":"symptom","start":0,"end":6,"text":"Fièvre","label_original":"Sign"},{"task":"disease","start":12,"end":16,"text":"foie"}]}"#;
    let expected = GoldDocument {
        id: "d-1".to_owned(),
        text: "Fièvre 😀 du foie".to_owned(),
        tasks: TaskSet::from([Task::Disease, Task::Symptom]),
        spans: vec![Span { task: Task::Symptom, start: 0, end: 6 }, Span { task: Task::Disease, start: 12, end: 16 }],
        soft: SoftSpans::new(),
    };
    assert_eq!(read(&format!("{line}\n\n{line}")), Ok(vec![expected.clone(), expected]));
    assert_eq!(read(""), Ok(vec![]));
}

#[test]
fn mistakes_are_told_by_file_and_line() {
    let good = r#"{"id":"d","tasks":[],"text":"","entities":[]}"#;
    let check = |line: &str, expected: &str| {
        let error = read(&format!("\n{good}\n{line}\n")).expect_err(expected);
        assert_eq!(error, format!("FILE, line 3: {expected}; correct or remove the line"));
        assert!(!error.contains("gout"), "{error}");
    };
    let entity = |task: &str, start: u32, end: u32, text: &str| {
        let entity = format!(r#"{{"task":"{task}","start":{start},"end":{end},"text":"{text}"}}"#);
        let before = r#"{"task":"disease","start":0,"end":4,"text":"gout"}"#;
        format!(r#"{{"id":"d","tasks":["disease"],"text":"gout é","entities":[{before},{entity}]}}"#)
    };
    check("gout", "not a document from column 1 on");
    check(r#"{"id":"d","text":"gout","tasks":"gout","entities":[]}"#, "not a document from column 38 on");
    check(r#"{"id":"d","text":"gout","tasks":[]}"#, "missing field `entities`");
    check(
        r#"{"id":"d","text":"","tasks":["drug"],"entities":[]}"#,
        "unknown task \"drug\", expected disease, medication or symptom",
    );
    check(&entity("drug", 0, 4, "gout"), "entity 1: unknown task \"drug\", expected disease, medication or symptom");
    check(&entity("symptom", 0, 4, "gout"), "entity 1 is a symptom, but `tasks` does not list that");
    check(&entity("disease", 5, 7, "é"), "entity 1 is at 5..7, but the text has 6 code points");
    check(&entity("disease", 4, 4, ""), "entity 1 is at 4..4, but the text has 6 code points");
    check(&entity("disease", 1, 5, "gout"), "entity 1: its `text` is not what stands at 1..5, counted in code points");
    assert!(read(&entity("disease", 5, 6, "é")).is_ok());
    let soft =
        |spans: &str| format!(r#"{{"id":"d","tasks":["disease"],"text":"gout é","entities":[],"soft":{{{spans}}}}}"#);
    check(&soft(r#""drug":[]"#), "`soft`: unknown task \"drug\", expected disease, medication or symptom");
    check(&soft(r#""symptom":[]"#), "`soft` has symptom, but `tasks` does not list that");
    let of_disease = |second: &str| soft(&format!(r#""disease":[[0,4,0.5],[{second}]]"#));
    check(&of_disease("5,7,0.5"), "soft disease 1 is at 5..7, but the text has 6 code points");
    check(&of_disease("4,4,0.5"), "soft disease 1 is at 4..4, but the text has 6 code points");
    for share in ["0", "-0.5", "1.5"] {
        let expected = format!("soft disease 1 has the share {share}; write a number above 0 and at most 1");
        check(&of_disease(&format!("5,6,{share}")), &expected);
    }
    let refused = read(&of_disease("5,6")).expect_err("a share is missing");
    assert!(refused.contains("not a document from column "), "{refused}");
    assert!(read(&of_disease("5,6,1")).is_ok());
}

#[test]
fn soft_labels_are_written_as_they_are_read() {
    let line = r#"{"id":"d","text":"gout é fever","tasks":["disease","symptom"],"entities":[],"soft":{"disease":[[0,4,0.6666667],[5,6,1.0]],"symptom":[]}}"#;
    let [document] = <[GoldDocument; 1]>::try_from(read(line).unwrap()).unwrap();
    let span = |start, end, share| SoftSpan { start, end, share: Share::new(share).unwrap() };
    let of_disease = vec![span(0, 4, 2.0 / 3.0), span(5, 6, 1.0)];
    assert_eq!(document.soft, SoftSpans::from([(Task::Disease, of_disease), (Task::Symptom, vec![])]));
    assert_eq!(document.to_line(), line);
}

/// The corpora are not part of the project: without them this test says so and proves nothing.
#[test]
fn reads_the_corpora() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/corpora");
    if !corpora.is_dir() {
        eprintln!("skipped: no corpora at {}", corpora.display());
        return;
    }
    let check = |file: &str, documents: usize, disease: usize, medication: usize, symptom: usize| {
        let read: Result<Vec<_>, _> = GoldDocuments::open(&corpora.join(file)).expect("a corpus").collect();
        let read = read.expect("the corpora hold what they promise");
        let count = |task| read.iter().flat_map(|document| &document.spans).filter(|span| span.task == task).count();
        let counts = (read.len(), count(Task::Disease), count(Task::Medication), count(Task::Symptom));
        assert_eq!(counts, (documents, disease, medication, symptom), "{file}");
    };
    check("ncbi_disease/train.jsonl", 592, 5134, 0, 0);
    check("ncbi_disease/dev.jsonl", 100, 787, 0, 0);
    check("bc5cdr/train.jsonl", 500, 4182, 5203, 0);
    check("bc5cdr/dev.jsonl", 500, 4244, 5347, 0);
    check("maccrobat/train.jsonl", 140, 943, 763, 2365);
    check("maccrobat/dev.jsonl", 20, 109, 120, 389);
}
