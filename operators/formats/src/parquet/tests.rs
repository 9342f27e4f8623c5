//! What is written comes back from the crate's reader.

use super::part::Part;
use super::table::Row;
use super::*;
use crate::testing;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch, StructArray};
use std::collections::BTreeMap;
use std::fs;
use stillroom_schemas::{
    Assertion, Certainty, Code, Concept, Cue, Dosage, Experiencer, Stated, Task, Temporality, Tier,
};

/// The files below `folder`, by their paths within it.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), path);
            }
        }
    }
    found
}

/// The rows of a file, in one batch a row group or more.
fn read(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

fn text<'a>(batch: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(column).unwrap().as_string::<i32>().iter().collect()
}

/// Text `row` of a field that is a text.
fn text_of<'a>(values: &'a StructArray, field: &str, row: usize) -> &'a str {
    values.column_by_name(field).unwrap().as_string::<i32>().value(row)
}

fn number_of(values: &StructArray, field: &str, row: usize) -> u32 {
    values.column_by_name(field).unwrap().as_primitive::<UInt32Type>().value(row)
}

fn write(folder: &Path, notes: &[(Note, Extraction)]) {
    let mut writer = Box::new(ParquetWriter::create(folder).unwrap());
    for (note, extraction) in notes {
        writer.write(note, extraction).unwrap();
    }
    writer.finish().unwrap();
}

/// A note with an entity of which nothing is known, and one of which everything is.
fn everything() -> (Note, Extraction) {
    let mut note = testing::note("n/1\n", "mother: no metformin 500 mg, rash");
    note.revision = u64::MAX;
    let bare = testing::entity(Task::Symptom, [29, 33], "rash");
    let mut full = testing::entity(Task::Medication, [11, 20], "metformin");
    let cue = |says: &str, trigger: &str, start, end| Cue { says: says.into(), trigger: trigger.into(), start, end };
    full.assertion = Some(Assertion {
        certainty: Certainty::Negated,
        temporality: Temporality::Historical,
        experiencer: Experiencer::Family,
        cues: vec![cue("family", "mother", 0, 6), cue("negated", "no", 8, 10)],
    });
    full.section = Some("family_history".to_owned());
    let code = |code: &str| Code { vocabulary: "rxnorm".to_owned(), code: code.to_owned() };
    full.concept = Some(Concept {
        code: code("860975"),
        version: "2026-11".to_owned(),
        name: "metformin 500 MG".to_owned(),
        tier: Tier::Fuzzy,
        score: 0.875,
        ingredients: vec![code("6809")],
    });
    let strength = Stated { start: 21, end: 27, text: "500 mg".to_owned() };
    full.dosage = Some(Dosage { strength: Some(strength), ..Dosage::default() });
    let mut extraction = testing::extraction(&note, vec![full, bare]);
    extraction.interpretation = Some("assertion@0123456789ab".to_owned());
    (note, extraction)
}

#[test]
fn every_field_of_an_entity_is_a_column() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[everything()]);
    let files = files(folder.path());
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "_SUCCESS",
        "entities/signed_date=2026-11-27/part-00000.parquet",
        "notes/signed_date=2026-11-27/part-00000.parquet",
    ];
    assert_eq!(names, expected);
    let rows = &read(&files[expected[1]])[0];
    assert_eq!(rows.num_rows(), 2);
    assert_eq!(text(rows, "note_id"), [Some("n/1\n"); 2]);
    assert_eq!(text(rows, "interpretation"), [Some("assertion@0123456789ab"); 2]);
    assert_eq!(text(rows, "task"), [Some("medication"), Some("symptom")]);
    assert_eq!(text(rows, "text"), [Some("metformin"), Some("rash")]);
    assert_eq!(text(rows, "certainty"), [Some("negated"), None]);
    assert_eq!(text(rows, "temporality"), [Some("historical"), None]);
    assert_eq!(text(rows, "experiencer"), [Some("family"), None]);
    assert_eq!(text(rows, "section"), [Some("family_history"), None]);
    let is_present: Vec<_> = rows.column_by_name("is_present").unwrap().as_boolean().iter().collect();
    assert_eq!(is_present, [Some(false), None]);
    let revisions = rows.column_by_name("revision").unwrap().as_primitive::<UInt64Type>();
    assert_eq!(revisions.value(0), u64::MAX);
    let signed = rows.column_by_name("signed_at").unwrap().as_primitive::<TimestampMicrosecondType>();
    let moment = time::macros::datetime!(2026-11-28 04:30 UTC).unix_timestamp() * 1_000_000;
    assert_eq!((signed.value(0), signed.timezone()), (moment, Some("UTC")));

    let cues = rows.column_by_name("cues").unwrap().as_list::<i32>();
    assert!(cues.is_null(1));
    let cues = cues.value(0);
    let cues = cues.as_struct();
    assert_eq!([0, 1].map(|row| text_of(cues, "says", row)), ["family", "negated"]);
    assert_eq!((text_of(cues, "trigger", 1), number_of(cues, "start", 1), number_of(cues, "end", 1)), ("no", 8, 10));

    let concept = rows.column_by_name("concept").unwrap().as_struct();
    assert!(concept.is_valid(0) && concept.is_null(1));
    let said = ["vocabulary", "code", "version", "name", "tier"].map(|field| text_of(concept, field, 0));
    assert_eq!(said, ["rxnorm", "860975", "2026-11", "metformin 500 MG", "fuzzy"]);
    assert_eq!(concept.column_by_name("score").unwrap().as_primitive::<Float64Type>().value(0), 0.875);
    let ingredients = concept.column_by_name("ingredients").unwrap().as_list::<i32>().value(0);
    assert_eq!(text_of(ingredients.as_struct(), "code", 0), "6809");

    let dosage = rows.column_by_name("dosage").unwrap().as_struct();
    assert!(dosage.is_valid(0) && dosage.is_null(1));
    let strength = dosage.column_by_name("strength").unwrap().as_struct();
    assert_eq!((text_of(strength, "text", 0), number_of(strength, "start", 0)), ("500 mg", 21));
    assert!(dosage.column_by_name("route").unwrap().is_null(0));
}

#[test]
fn a_note_without_entities_and_one_without_a_date_are_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (mut note, _) = everything();
    note.signed_at = Some("../../etc, last week".to_owned());
    let empty = testing::extraction(&note, Vec::new());
    write(folder.path(), &[(note.clone(), empty)]);
    let files = files(folder.path());
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "_SUCCESS",
        "entities/signed_date=1970-01-01/part-00000.parquet",
        "notes/signed_date=1970-01-01/part-00001.parquet",
        "notes/signed_date=__HIVE_DEFAULT_PARTITION__/part-00000.parquet",
    ];
    assert_eq!(names, expected);
    let notes = &read(&files[expected[3]])[0];
    assert_eq!(text(notes, "signed_at_as_written"), [note.signed_at.as_deref()]);
    assert!(notes.column_by_name("signed_at").unwrap().is_null(0));
    let counts = ["words", "word_pieces", "windows", "entities"]
        .map(|column| notes.column_by_name(column).unwrap().as_primitive::<UInt32Type>().value(0));
    assert_eq!(counts, [7, 9, 1, 0]);
    for empty in [expected[1], expected[2]] {
        let file = ParquetRecordBatchReaderBuilder::try_new(File::open(&files[empty]).unwrap()).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), 0);
        assert!(file.schema().field_with_name("note_id").is_ok(), "the columns of a file without rows can be read");
    }
}

#[test]
fn a_run_of_no_notes_has_both_tables() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[]);
    assert_eq!(files(folder.path()).len(), 3);
    let second = ParquetWriter::create(folder.path());
    assert!(matches!(second, Err(FormatError::NotEmpty { .. })));
}

/// Notes of `dates` days, which come in turn.
fn in_turn(notes: usize, dates: usize) -> Vec<(Option<time::Date>, Arc<NoteRow>)> {
    let first = time::macros::date!(2026 - 01 - 01);
    let row = |index: usize| {
        let note = testing::note(&format!("n{index}"), "");
        let day = first + time::Duration::days((index * 7 % dates) as i64);
        (Some(day), Arc::new(NoteRow::of(&testing::extraction(&note, Vec::new()), None)))
    };
    (0..notes).map(row).collect()
}

#[test]
fn rows_come_back_once_and_in_order_whatever_the_bounds() {
    let notes = in_turn(300, 11);
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, (date, _)) in notes.iter().enumerate() {
        expected.entry(format!("signed_date={}", date.unwrap())).or_default().push(format!("n{index}"));
    }
    let bytes = notes[0].1.bytes();
    for (rows_max, open_max) in [(1, 1), (20, 3), (20, 64), (1000, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::small(folder.path().to_owned(), rows_max * bytes, open_max);
        for (date, row) in &notes {
            table.push(*date, row.clone()).unwrap();
            let begun = files(folder.path()).into_keys().filter(|name| name.ends_with(".tmp")).count();
            assert!(begun <= open_max, "{begun} files are open");
        }
        table.finish().unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, path) in files(folder.path()) {
            let (date, part) = name.split_once('/').unwrap();
            assert!(part.starts_with("part-") && part.ends_with(".parquet"), "{part}");
            let file = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            assert!(file.metadata().num_row_groups() <= 2);
            for batch in read(&path) {
                let ids = text(&batch, "note_id").into_iter().map(|id| id.unwrap().to_owned());
                found.entry(date.to_owned()).or_default().extend(ids);
            }
        }
        assert_eq!(found, expected, "{rows_max} rows, {open_max} files");
    }
}

#[test]
fn what_is_not_finished_is_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = Table::small(folder.path().to_owned(), 1, 64);
    for (date, row) in in_turn(5, 5) {
        table.push(date, row).unwrap();
    }
    let begun = files(folder.path());
    assert_eq!(begun.len(), 5);
    assert!(begun.keys().all(|name| name.contains("/.part-") && name.ends_with(".parquet.tmp")), "{begun:?}");
    drop(table);
    assert!(files(folder.path()).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join(".part-00000.parquet.tmp")).unwrap();
    let schema = super::columns::schema_of(&<Arc<NoteRow> as Row>::columns(&[]));
    let part = Part::create(folder.path().join("part-00000.parquet"), schema).unwrap();
    let error = part.complete().unwrap_err();
    assert!(matches!(&error, FormatError::File { action: "write", .. }), "{error:?}");
    let causes = std::error::Error::source(&error).unwrap().to_string();
    assert!(causes.contains("No space left on device"), "{causes}");
    assert!(files(folder.path()).is_empty());
}
