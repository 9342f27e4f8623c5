//! A slow teacher and a quick one, and what may wait.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use stillroom_connectors::EmbeddedLog;
use stillroom_schemas::{Label, TextHash};

/// A model that says nothing until it is told to; its address.
fn slow_server(told: std::sync::mpsc::Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut bytes = [0; 4096];
            let read = stream.read(&mut bytes).unwrap();
            request.extend_from_slice(&bytes[..read]);
        }
        told.recv().unwrap();
        let body = r#"{"choices":[{"message":{"content":"{\"findings\":[]}"},"finish_reason":"stop"}]}"#;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    base
}

#[test]
fn no_teacher_waits_for_a_slower_one() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let slow = slow_server(told);
    write("slow.toml", &format!("api = 'openai'\nbase = '{slow}'\nmodel = 'm'\nphi_allowed = true"));
    write("quick.toml", "api = 'vocabulary'\nsources = [{ task = 'symptom', path = 'names.tsv' }]");
    write("names.tsv", "id\tsynonym\n1\tfever\n");
    let config = TeachersConfig {
        profiles: folder.path().to_owned(),
        store: folder.path().join("labels.redb"),
        ask: vec!["slow".to_owned(), "quick".to_owned()],
        ..TeachersConfig::default()
    };
    let log = EmbeddedLog::open(folder.path().join("log")).unwrap();
    log.create_topic("labels", 1).unwrap();
    let asker = Asker::open(&config, true).unwrap().unwrap();
    let asking = asker.start(&config, Arc::new(log.clone()), "labels").unwrap();
    let text = "fever".to_owned();
    (asking.ask.ask)(TeacherQuestion { note_id: "n".to_owned(), text_hash: TextHash::of(&text), text });

    let mut labels = Log::tail(&log).unwrap();
    labels.assign("labels", 0, 0).unwrap();
    let mut next = || loop {
        if let Some(record) = labels.poll(1 << 20, Duration::from_secs(1)).unwrap().pop() {
            return serde_json::from_slice::<Label>(&record.value.unwrap()).unwrap().reference;
        }
    };
    let first = next();
    assert_eq!((&*first.annotator, first.spans.len()), ("quick", 1));
    tell.send(()).unwrap();
    assert_eq!(next().annotator, "slow");
    let said = asking.finish().unwrap();
    assert!(!said.contains("without labels") && !said.contains("not shown"), "{said}");
}

#[test]
fn short_texts_have_a_bound_too() {
    let question = TeacherQuestion { note_id: "n".to_owned(), text: "x".to_owned(), text_hash: TextHash::of("x") };
    let waiting = Waiting { bytes_max: 64 << 10, ..Waiting::default() };
    let admitted = (0..64 << 10).take_while(|_| waiting.admits(question.bytes())).count();
    assert!((100..1000).contains(&admitted), "{admitted}");
    waiting.release(question.bytes());
    assert!(waiting.admits(question.bytes()) && !waiting.admits(question.bytes()));
    assert_eq!(waiting.skipped.load(Ordering::Relaxed), 2);
}
