//! What is written of the samples, as a whole: read back, whatever unit their positions come in.

mod samples;

use samples::samples;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use stillroom_connectors::{Corpus, CorpusConfig, CorpusItem, GoldDocument};
use stillroom_formats::{BratWriter, FhirWriter, FormatError, HtmlWriter, PubtatorWriter, Writer};
use stillroom_schemas::{Extraction, Note, OffsetUnit, Span, Task};

/// Begins a writer at a path.
type Create = fn(&Path) -> Result<Box<dyn Writer>, FormatError>;

const WRITERS: [(&str, Create); 4] = [
    ("bundles.ndjson", |path| Ok(Box::new(FhirWriter::create(path)?))),
    ("brat", |path| Ok(Box::new(BratWriter::create(path)?))),
    ("notes.pubtator", |path| Ok(Box::new(PubtatorWriter::create(path)?))),
    ("page.html", |path| Ok(Box::new(HtmlWriter::create(path)?))),
];

fn write(create: Create, path: &Path, notes: &[(Note, Extraction)]) {
    let mut writer = create(path).unwrap();
    for (note, extraction) in notes {
        writer.write(note, extraction).unwrap();
    }
    writer.finish().unwrap();
}

/// The files below `path`, or itself, by name.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(next) = left.pop() {
        if next.is_dir() {
            left.extend(fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = next.strip_prefix(path).unwrap().display().to_string();
            files.insert(name, fs::read(next).unwrap());
        }
    }
    files
}

/// The documents of a corpus, and how many of its annotations are in fragments; there is nothing wrong with it.
fn read(path: &Path, config: &CorpusConfig) -> (BTreeMap<String, GoldDocument>, usize) {
    let corpus = Corpus::open(&[path.to_owned()], config).unwrap();
    let (mut documents, mut in_fragments) = (BTreeMap::new(), 0);
    for item in corpus.items() {
        match item.unwrap() {
            CorpusItem::Document(read) => {
                in_fragments += read.discontinuous;
                documents.insert(read.document.id.clone(), read.document);
            }
            other => panic!("{other:?}"),
        }
    }
    (documents, in_fragments)
}

fn spans(extraction: &Extraction) -> Vec<Span> {
    let span = |entity: &stillroom_schemas::Entity| Span { task: entity.task, start: entity.start, end: entity.end };
    let mut spans: Vec<Span> = extraction.entities.iter().map(span).collect();
    spans.sort_unstable_by_key(|span| (span.start, span.end, span.task));
    spans
}

#[test]
fn the_same_is_written_again_and_whatever_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, create) in WRITERS {
        let mut first = None;
        for unit in [OffsetUnit::CodePoint, OffsetUnit::Byte, OffsetUnit::Utf16, OffsetUnit::CodePoint] {
            let run = tempfile::tempdir_in(folder.path()).unwrap();
            let path = run.path().join(name);
            write(create, &path, &samples(unit));
            let written = files(&path);
            assert!(!written.is_empty());
            assert!(*first.get_or_insert_with(|| written.clone()) == written, "{name} in {unit:?}");
        }
    }
}

#[test]
fn what_is_not_finished_is_not_complete() {
    let folder = tempfile::tempdir().unwrap();
    for (name, create) in WRITERS {
        let path = folder.path().join(name);
        let mut writer = create(&path).unwrap();
        let (note, extraction) = &samples(OffsetUnit::CodePoint)[0];
        writer.write(note, extraction).unwrap();
        drop(writer);
        let complete = if path.is_dir() { path.join("annotation.conf") } else { path };
        assert!(!complete.exists(), "{name}");
    }
}

#[test]
fn an_extraction_of_another_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (note, extraction) = samples(OffsetUnit::CodePoint).swap_remove(0);
    let amended = Note { text: note.text.replace("fever", "zebra"), ..note };
    for (name, create) in WRITERS {
        let mut writer = create(&folder.path().join(name)).unwrap();
        let said = writer.write(&amended, &extraction).unwrap_err().to_string();
        assert!(said.contains("ward/discharge 1") && !said.contains("zebra"), "{said}");
    }
}

#[test]
fn brat_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("annotated");
    let notes = samples(OffsetUnit::CodePoint);
    write(WRITERS[1].1, &path, &notes);
    let (documents, in_fragments) = read(&path, &CorpusConfig::default());
    assert_eq!(documents.len(), notes.len());
    for (note, extraction) in &notes {
        // Ids that are no paths come back as the names of their files.
        let Some(document) = documents.get(&note.note_id) else {
            assert!(note.note_id.contains(".."), "{}", note.note_id);
            continue;
        };
        assert_eq!(document.text, note.text);
        let is_whole = |span: &Span| {
            let words = note.text.chars().skip(span.start as usize).take((span.end - span.start) as usize);
            !words.into_iter().any(|character| character.is_control() || character == '\u{2028}')
        };
        let whole: Vec<Span> = spans(extraction).into_iter().filter(is_whole).collect();
        assert!(whole.iter().all(|span| document.spans.contains(span)), "{}", note.note_id);
    }
    let expected = [("heart", "failure"), ("a\u{a0}rash", "on")];
    assert_eq!(in_fragments, expected.len());
    let words: Vec<String> = documents.values().flat_map(words).collect();
    for part in expected.iter().flat_map(|(one, other)| [one, other]) {
        assert!(words.iter().any(|words| words == part), "{part} in {words:?}");
    }
}

/// The words of a document's spans.
fn words(document: &GoldDocument) -> Vec<String> {
    let words =
        |span: &Span| document.text.chars().skip(span.start as usize).take((span.end - span.start) as usize).collect();
    document.spans.iter().map(words).collect()
}

#[test]
fn pubtator_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.pubtator");
    let notes = samples(OffsetUnit::CodePoint);
    write(WRITERS[2].1, &path, &notes);
    let map = vec![("Symptom".to_owned(), Some(Task::Symptom))];
    let (documents, in_fragments) = read(&path, &CorpusConfig { map, ..CorpusConfig::default() });
    assert_eq!((documents.len(), in_fragments), (notes.len(), 0));
    for (note, extraction) in &notes {
        let Some(document) = documents.get(&note.note_id) else {
            let is_escaped = note.note_id.contains(|character: char| " |\"<>=.'\t".contains(character));
            assert!(is_escaped, "{}", note.note_id);
            continue;
        };
        assert_eq!(document.spans, spans(extraction), "{}", note.note_id);
        // A text of one line gets a space where its abstract would be.
        assert_eq!(document.text.trim_end().chars().count(), note.text.trim_end().chars().count());
    }
    let found: usize = documents.values().map(|document| document.spans.len()).sum();
    assert_eq!(found, notes.iter().map(|(_, extraction)| extraction.entities.len()).sum::<usize>());
}
