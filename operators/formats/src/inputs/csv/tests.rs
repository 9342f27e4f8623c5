use super::super::testing::{refused, said};
use super::super::{InputConfig, InputFormat, InputSaid, Inputs, NoteField};
use super::CsvNotes;
use crate::FormatError;
use std::io::Read;
use std::path::Path;

fn check_with(config: &InputConfig, csv: &[u8], expected: &[&str]) {
    assert_eq!(said(InputFormat::Csv, config, csv), expected, "{}", csv.escape_ascii());
}

fn check(csv: &str, expected: &[&str]) {
    check_with(&InputConfig::default(), csv.as_bytes(), expected);
}

#[test]
fn a_row_is_a_note() {
    check(
        "note_id,patient_id,revision,note_type,site,signed_at,text\n\
         n1,p1,3,discharge_summary,north,2026-11-27T08:00:00Z,\"Fever, no \"\"rash\"\".\nOn aspirin.\"\r\n\
         n2,,,,,,\n",
        &[
            "row 1: n1 r3 p=p1 type=discharge_summary site=north at=2026-11-27T08:00:00Z | Fever, no \"rash\".\nOn aspirin.",
            "row 2: n2 r0 | ",
        ],
    );
    // A byte order mark, white space around ids and not around texts, no line end at the end.
    check(
        "\u{feff}\"note_id\", TEXT\n n1 , \u{1f912} \r\n\r\nn2,x",
        &["row 1: n1 r0 |  \u{1f912} ", "row 2: n2 r0 | x"],
    );
    check("note_id,text\n", &[]);
    // What OMOP calls them.
    check("note_id,person_id,note_date,note_text\n7,9,2026-11-27,x\n", &["row 1: 7 r0 p=9 at=2026-11-27 | x"]);
}

#[test]
fn columns_delimiters_and_times_are_those_of_the_site() {
    let mut config = InputConfig::default();
    for (field, column) in
        [(NoteField::NoteId, "NOTE_KEY"), (NoteField::Text, "NOTE_TEXT"), (NoteField::SignedAt, "SIGNED")]
    {
        config.columns.set(field, column.to_owned());
    }
    config.csv.delimiter = Some(";".to_owned());
    config.dates.formats = vec!["%d.%m.%Y %H:%M".to_owned()];
    config.dates.utc_offset = Some("+01:00".to_owned());
    check_with(
        &config,
        b"SIGNED;NOTE_TEXT;NOTE_KEY;text\n27.11.2026 08:30;a, b;n1;other\n",
        &["row 1: n1 r0 at=2026-11-27T08:30:00+01:00 | a, b"],
    );
    config.columns.set(NoteField::SignedAt, String::new());
    check_with(&config, b"signed_at;NOTE_TEXT;NOTE_KEY\nsoon;a;n1\n", &["row 1: n1 r0 | a"]);
}

#[test]
fn a_row_that_is_wrong_says_why_and_the_others_are_read() {
    let rows: &[&[u8]] = &[
        b"note_id,signed_at,revision,text",
        b"n1,,,zebrafever",
        b",,,zebrafever",
        b"n3,tomorrow,,zebrafever",
        b"n4,,-1,zebrafever",
        b"n5,,zebrafever",
        b"n6,,,zebra\xe9fever",
        b"n7,,,\xc3\xa9",
    ];
    let config = InputConfig::default();
    let said = said(InputFormat::Csv, &config, &rows.join(&b'\n'));
    let expected = [
        "row 1: n1 r0 | zebrafever",
        "row 2: refused, note_id is empty",
        "row 3: refused, signed_at is no time; write it as RFC 3339",
        "row 4: refused, revision is no whole number from 0 on",
        "row 5: refused, has 3 columns and the header 4",
        "row 6: refused, text is not UTF-8 from its byte 5 on",
        "row 7: n7 r0 | \u{e9}",
    ];
    assert_eq!(said.len(), expected.len());
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said} is not {expected}");
        assert!(!said.contains("refused") || !said.contains("fever"), "{said}");
    }
}

/// The notes of two patients must not become one.
#[test]
fn a_row_whose_quote_is_open_is_refused_with_what_it_swallows() {
    let behind = |row: u32| {
        format!(
            "row {row}: refused, goes on behind a closing quote; is a quote open? Put texts in quotes, and write those within them twice"
        )
    };
    let csv = "note_id,text\nn1,\"zebra\nn2,nausea\nn3,\"ok\"\nn4,\"a \"\"b\"\"\"\nn5,\"say \\\"a\\\"\"\nn6,6\" long\n";
    check(csv, &[&behind(1), "row 2: n4 r0 | a \"b\"", &behind(3), "row 4: n6 r0 | 6\" long"]);
    check("\u{feff}\"note_id\" ,text\nn1,a\n", &["row 1: n1 r0 | a"]);
}

#[test]
fn a_file_that_was_cut_off_loses_its_last_row_alone() {
    let whole = "note_id,text\nn1,\"one\ntwo\"\nn2,\"three, four\"\n";
    let cut = |bytes: usize| said(InputFormat::Csv, &InputConfig::default(), &whole.as_bytes()[..bytes]);
    let of_first = "row 1: n1 r0 | one\ntwo";
    assert_eq!(cut(whole.len()), [of_first, "row 2: n2 r0 | three, four"]);
    let last = cut(whole.len() - 4);
    assert_eq!(last[0], of_first);
    assert!(
        last[1].starts_with("row 2: refused, begins at line 4 and ends within quotes: the file was cut off"),
        "{}",
        last[1]
    );
    assert_eq!(last.len(), 2);
}

#[test]
fn a_table_that_is_none_of_notes_is_refused_as_a_whole() {
    let check = |csv: &[u8], expected: &str| {
        let reason = refused(InputFormat::Csv, &InputConfig::default(), csv);
        assert!(reason.starts_with(expected), "{reason}");
    };
    check(
        b"NOTE_KEY,NOTE_TEXT\n1,x\n",
        "has no column called note_id for note_id; it has NOTE_KEY, NOTE_TEXT; say which by",
    );
    check(b"note_id;text\n1;x\n", "has no column called note_id for note_id; it has column 1; say which by");
    check(b"", "has no column called note_id for note_id; it has none;");
    check(b"\xff\xfen\x00o\x00t\x00e\x00", "has a header that is not UTF-8; convert it");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = Path::new("/nowhere/notes.csv");
    let opened = Inputs::new(&InputConfig::default()).unwrap().open(InputFormat::Csv, missing);
    assert!(matches!(opened, Err(FormatError::File { action: "open", path, .. }) if path == missing));
}

/// A quote that nobody closes takes the rest of the file, of which no more than a bound is held.
#[test]
fn a_row_without_end_ends_the_file_and_not_the_run() {
    let begins = "note_id,text\nn1,one\nn2,\"".as_bytes();
    let endless = begins.chain(std::io::repeat(b'x').take(1 << 24));
    let inputs = Inputs::new(&InputConfig::default()).unwrap();
    let mut notes = CsvNotes::over(endless, Path::new("notes.csv"), &inputs, 1 << 20).unwrap();
    assert!(matches!(notes.next().unwrap().unwrap().said, InputSaid::Note(note) if note.text == "one"));
    let InputSaid::Refused(reason) = notes.next().unwrap().unwrap().said else { panic!("it has no end") };
    assert!(reason.starts_with("has over 1048576 bytes: close its quotes"), "{reason}");
    assert!(notes.next().is_none());
}
