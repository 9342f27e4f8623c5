//! Files and folders of notes as a source.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stillroom_connectors::{
    FILES_TOPIC, FileKind, FilePart, FileParts, FileSaid, LogError, NoteFiles, NoteFormats, PlainNotes, Source,
};
use stillroom_dataflow::Record;
use stillroom_schemas::Note;

/// A folder with the given files in it.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    dir
}

fn open(paths: &[PathBuf]) -> NoteFiles {
    let mut files = NoteFiles::open(paths).expect("the paths exist");
    files.assign(FILES_TOPIC, 0, 0).expect("its topic");
    files
}

fn read_all(files: &mut NoteFiles, bytes_max: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while !files.is_finished() {
        let polled = files.poll(bytes_max, Duration::ZERO).expect("a poll");
        let bytes =
            |record: &Record| record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
        assert!(polled.len() <= 1 || polled.iter().map(bytes).sum::<usize>() <= bytes_max);
        records.extend(polled);
    }
    records
}

/// One line a record: origin, key, value.
fn shown(files: &mut NoteFiles, root: &Path) -> String {
    let origins = files.origins();
    let records = read_all(files, 64);
    let mut lines = String::new();
    for (index, record) in records.iter().enumerate() {
        assert_eq!((&*record.topic, record.position.partition, record.position.offset), ("files", 0, index as u64));
        let origin = origins.of(record.position.offset).replace(&format!("{}/", root.display()), "");
        let key = record.key.as_ref().map_or("-".into(), |key| String::from_utf8_lossy(key));
        let value = record.value.as_ref().expect("a value").escape_ascii();
        lines += &format!("{origin} | {key} | {value}\n");
    }
    lines
}

#[test]
fn folders_in_order() {
    let dir = folder(&[
        ("b.txt", b"second \"note\"\n"),
        ("a/2.txt", b""),
        ("a/10.TXT", b"x"),
        ("a/deep/er/n.v1.txt", b"y"),
        ("a.jsonl", b"{\"note_id\":\"l-1\",\"text\":\"t\"}\n\n  \r\nnot json\r\n{\"note_id\":\"l\\u002d2\" }\n{\"text\":\"no id\"}"),
        ("ignored.md", b"no note"),
        ("c.txt", b"\xff\xfe"),
    ]);
    let note = |id: &str, text: &str| format!("{{\"note_id\":\"{id}\",\"revision\":0,\"text\":\"{text}\"}}");
    let expected = [
        format!("a/10.TXT | a/10 | {}", note("a/10", "x").escape_default()),
        format!("a/2.txt | a/2 | {}", note("a/2", "").escape_default()),
        format!("a/deep/er/n.v1.txt | a/deep/er/n.v1 | {}", note("a/deep/er/n.v1", "y").escape_default()),
        format!("a.jsonl, line 1 | l-1 | {}", "{\"note_id\":\"l-1\",\"text\":\"t\"}".escape_default()),
        "a.jsonl, line 4 | - | not json".to_owned(),
        format!("a.jsonl, line 5 | l-2 | {}", "{\"note_id\":\"l\\u002d2\" }".escape_default()),
        format!("a.jsonl, line 6 | - | {}", "{\"text\":\"no id\"}".escape_default()),
        format!("b.txt | b | {}", note("b", "second \\\"note\\\"\\n").escape_default()),
        "c.txt | c | \\xff\\xfe".to_owned(),
    ];
    let mut files = open(&[dir.path().to_owned()]);
    assert_eq!(files.count(), Some(9));
    assert_eq!(shown(&mut files, dir.path()), expected.join("\n") + "\n");
}

#[test]
fn notes_of_several_paths_keep_them_in_their_ids() {
    let dir = folder(&[("one/a.txt", b"x"), ("two/a.txt", b"x"), ("two/deep/b.txt", b"y")]);
    let at = |path: &str| dir.path().join(path);
    let ids = |paths: &[PathBuf]| -> Vec<String> {
        let keys = read_all(&mut open(paths), 1 << 20).into_iter().map(|record| record.key.unwrap());
        keys.map(|key| String::from_utf8(key).unwrap().replace(&format!("{}/", dir.path().display()), "")).collect()
    };
    assert_eq!(ids(&[at("one/a.txt"), at("two/a.txt")]), ["one/a", "two/a"]);
    assert_eq!(ids(&[at("one"), at("two/")]), ["one/a", "two/a", "two/deep/b"]);
    assert_eq!(ids(&[at("two")]), ["a", "deep/b"]);
}

#[test]
fn a_text_is_a_note_with_the_very_same_text() {
    let text = "\u{feff}Fièvre\r\n\t\"quoted\" \\ \u{1f600}\u{2028}\0";
    let dir = folder(&[("n.txt", text.as_bytes())]);
    let records = read_all(&mut open(&[dir.path().join("n.txt")]), 1 << 20);
    let note: Note = serde_json::from_slice(records[0].value.as_ref().expect("a value")).expect("a note");
    assert_eq!((note.note_id.as_str(), note.text.as_str()), ("n", text));
}

#[test]
fn paths_are_looked_at_before_anything_is_read() {
    let dir = folder(&[("a.txt", b"x"), ("b.pdf", b"x")]);
    let open = |name: &str| NoteFiles::open(&[dir.path().join("a.txt"), dir.path().join(name)]).map(|_| ());
    let error = open("missing").expect_err("it is missing");
    assert_eq!(error.to_string(), format!("cannot read {}", dir.path().join("missing").display()));
    let error = open("b.pdf").expect_err("no notes").to_string();
    let expected = "is neither a folder nor a .txt or .jsonl file; rename it, or give - to read JSON Lines from stdin";
    assert_eq!(error, format!("{} {expected}", dir.path().join("b.pdf").display()));
}

#[test]
fn an_empty_folder_has_no_notes() {
    let dir = folder(&[]);
    let mut files = open(&[dir.path().to_owned()]);
    assert_eq!(files.count(), Some(0));
    assert_eq!(read_all(&mut files, 100), []);
}

#[cfg(unix)]
#[test]
fn links_to_files_are_followed_and_links_to_folders_are_not() {
    let dir = folder(&[("sub/a.txt", b"x")]);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop")).expect("a link");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop.txt")).expect("a link");
    std::os::unix::fs::symlink(dir.path().join("sub/a.txt"), dir.path().join("z.txt")).expect("a link");
    let keys: Vec<_> = read_all(&mut open(&[dir.path().to_owned()]), 1).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, [Some(b"sub/a".to_vec()), Some(b"z".to_vec())]);
}

#[test]
fn starts_where_it_is_told() {
    let dir = folder(&[("a.jsonl", b"1\n\n2\n3\n")]);
    let mut files = open(&[dir.path().to_owned()]);
    files.assign(FILES_TOPIC, 0, 2).expect("its topic");
    let records = files.poll(100, Duration::ZERO).expect("a poll");
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].position.offset, records[0].value.as_deref()), (2, Some(&b"3"[..])));
    assert_eq!(files.origins().of(2), format!("{}, line 4", dir.path().join("a.jsonl").display()));

    let mut files = open(&[dir.path().to_owned()]);
    files.assign(FILES_TOPIC, 0, 4).expect("its topic");
    let error = files.poll(100, Duration::ZERO).expect_err("there are only three");
    assert!(matches!(error, LogError::OffsetOutOfRange { next: 4, high: 3, .. }), "{error:?}");
    assert!(matches!(files.assign("notes", 0, 0), Err(LogError::NoTopic { .. })));
    assert!(matches!(files.assign(FILES_TOPIC, 1, 0), Err(LogError::NoPartition { .. })));
}

#[test]
fn a_paused_source_delivers_nothing() {
    let dir = folder(&[("a.jsonl", b"1\n")]);
    let mut files = open(&[dir.path().to_owned()]);
    files.pause();
    assert_eq!(files.poll(100, Duration::ZERO).expect("a poll"), []);
    assert!(!files.is_finished());
    files.resume();
    assert_eq!(read_all(&mut files, 100).len(), 1);
}

/// Files of `.words` have a note a word; `!id` withdraws a note, and `?` cannot be read. A file that begins with `-` is none.
struct Words;

impl NoteFormats for Words {
    fn kind_of(&self, path: &Path, is_named: bool) -> Option<FileKind> {
        let is_its = path.extension().is_some_and(|extension| extension == "words");
        if is_its { Some(FileKind::Other) } else { PlainNotes.kind_of(path, is_named) }
    }

    fn open(&self, path: &Path) -> Result<FileParts, LogError> {
        let text = fs::read_to_string(path).expect("a file");
        if text.starts_with('-') {
            return Err(LogError::NotItsFormat { path: path.to_owned(), cause: "begins with -".to_owned() });
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Ok(Box::new(words.into_iter().zip(1..).map(|(word, number)| {
            let said = match word.strip_prefix('!') {
                Some(note_id) => FileSaid::Withdrawn(note_id.to_owned()),
                None if word == "?" => FileSaid::Refused("is a question".to_owned()),
                None => {
                    FileSaid::Note(serde_json::from_value(serde_json::json!({"note_id": word, "text": "t"})).unwrap())
                }
            };
            Ok(FilePart { place: Some(("word", number)), said })
        })))
    }

    fn known(&self) -> &'static str {
        ".words"
    }
}

#[test]
fn other_formats_are_read_between_text_and_lines() {
    let dir = folder(&[
        ("a.txt", b"x"),
        ("b.words", b"n1 ? n2 !n1"),
        ("c.jsonl", b"{\"note_id\":\"n3\",\"withdrawn\":true,\"text\":\"t\"}\n{\"note_id\":\"n4\",\"withdrawn\":\"no\",\"text\":\"t\"}"),
    ]);
    let mut files = NoteFiles::open_as(&[dir.path().to_owned()], Arc::new(Words)).expect("a folder");
    files.assign(FILES_TOPIC, 0, 0).expect("its topic");
    assert_eq!(files.count(), None);
    let origins = files.origins();
    let shown: Vec<String> = read_all(&mut files, 1 << 20)
        .into_iter()
        .map(|record| {
            let offset = record.position.offset;
            let origin = origins.of(offset).replace(&format!("{}/", dir.path().display()), "");
            let key = record.key.map_or("-".to_owned(), |key| String::from_utf8(key).unwrap());
            let length = record.value.map_or("none".to_owned(), |value| (value.len() > 1).to_string());
            format!("{origin} | {key} | {length} | {}", origins.refusal(offset).unwrap_or_default())
        })
        .collect();
    let expected = [
        "a.txt | a | true | ",
        "b.words, word 1 | n1 | true | ",
        "b.words, word 2 | - | false | is a question",
        "b.words, word 3 | n2 | true | ",
        "b.words, word 4 | n1 | none | ",
        "c.jsonl, line 1 | n3 | none | ",
        "c.jsonl, line 2 | n4 | true | ",
    ];
    assert_eq!(shown, expected);
    let withdrawals = files.withdrawals().expect("they can be read").expect("they are files");
    let withdrawn = |note_id: &str, offset: u64| withdrawals.withdraws(note_id, offset);
    assert!(
        withdrawn("n1", 1) && withdrawn("n1", 3) && !withdrawn("n1", 4) && !withdrawn("n2", 3) && withdrawn("n3", 0)
    );
}

#[test]
fn a_file_that_is_not_of_its_format_is_refused_before_anything_is_read() {
    let dir = folder(&[("a.txt", b"x"), ("b.words", b"- -")]);
    let opened = NoteFiles::open_as(&[dir.path().join("a.txt"), dir.path().join("b.words")], Arc::new(Words));
    let error = opened.map(|_| ()).expect_err("it is none");
    assert_eq!(error.to_string(), format!("{} begins with -", dir.path().join("b.words").display()));
    // One that a folder has is left out, and says why.
    let mut files = NoteFiles::open_as(&[dir.path().to_owned()], Arc::new(Words)).expect("a folder");
    files.assign(FILES_TOPIC, 0, 0).expect("its topic");
    assert_eq!(read_all(&mut files, 1 << 20).len(), 2);
    let (origin, refusal) = (files.origins().of(1), files.origins().refusal(1));
    assert_eq!((origin, refusal), (dir.path().join("b.words").display().to_string(), Some("begins with -".to_owned())));
    let error =
        NoteFiles::open_as(&[dir.path().join("a.pdf")], Arc::new(Words)).map(|_| ()).expect_err("it is missing");
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[cfg(unix)]
#[test]
fn what_a_pipe_withdraws_is_not_known_beforehand() {
    let dir = folder(&[("a.jsonl", b"{\"note_id\":\"n\",\"withdrawn\":true}")]);
    let named = open(&[dir.path().join("a.jsonl")]);
    assert!(named.withdrawals().expect("a file").is_some_and(|withdrawals| !withdrawals.withdraws("n", 0)));
    let piped = open(&[dir.path().join("a.jsonl"), PathBuf::from("-")]);
    assert_eq!(piped.withdrawals().expect("a file"), None);
}
