//! The files as a database would see them.

use super::*;
use crate::testing;
use std::collections::BTreeMap;
use stillroom_schemas::{Assertion, Certainty, Code, Concept, Cue, Experiencer, OffsetUnit, Task, Tier};
use time::macros::{date, datetime};

/// The rows of a file, each by the names of its columns.
fn read(folder: &Path, name: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join(name)).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn config() -> OmopConfig {
    OmopConfig::at(datetime!(2026-12-01 01:30 +02:00))
}

fn write(folder: &Path, config: &OmopConfig, notes: &[(Note, Extraction)]) {
    let mut writer = Box::new(OmopWriter::create(folder, config).unwrap());
    for (note, extraction) in notes {
        writer.write(note, extraction).unwrap();
    }
    writer.finish().unwrap();
}

/// A note whose mother has no rash, in UTF-16.
fn family() -> (Note, Extraction) {
    let note = testing::note("n/1\n", "\u{1f912} mother: no rash");
    let mut entity = testing::entity(Task::Symptom, [14, 18], "rash");
    entity.assertion = Some(Assertion {
        certainty: Certainty::Negated,
        experiencer: Experiencer::Family,
        cues: vec![Cue { says: "negated".into(), trigger: "no".into(), start: 11, end: 13 }],
        ..Assertion::default()
    });
    entity.section = Some("family_history".to_owned());
    let code = Code { vocabulary: "snomed_ct".into(), code: "271807003".into() };
    let (version, name) = ("2026-09".to_owned(), "Eruption".to_owned());
    entity.concept = Some(Concept { code, version, name, tier: Tier::Exact, score: 1.0, ingredients: Vec::new() });
    let mut extraction = testing::extraction(&note, vec![entity]);
    extraction.offset_unit = OffsetUnit::Utf16;
    extraction.interpretation = Some("assertion@0123456789ab".to_owned());
    (note, extraction)
}

#[test]
fn a_mention_in_the_specifications_words_and_in_ours() {
    let folder = tempfile::tempdir().unwrap();
    let concepts = tempfile::NamedTempFile::new().unwrap();
    let columns = "concept_id\tvocabulary_id\tconcept_code\tstandard_concept";
    std::fs::write(concepts.path(), format!("{columns}\n77\tSNOMED\t271807003\tS\n")).unwrap();
    let config = OmopConfig { concepts: Some(concepts.path().to_owned()), ..config() };
    write(folder.path(), &config, &[family()]);
    let note = &read(folder.path(), "note.csv")[0];
    assert_eq!((&*note["note_date"], &*note["note_datetime"]), ("2026-11-27", "2026-11-27 23:30:00"));
    assert_eq!((&*note["note_text"], &*note["note_source_value"]), ("\u{1f912} mother: no rash", "progress_note"));
    let mention = &read(folder.path(), "note_nlp.csv")[0];
    assert_eq!(mention["note_id"], note["note_id"]);
    let expected = [
        ("section_concept_id", "0"),
        ("snippet", "\u{1f912} mother: no rash"),
        ("offset", "13"),
        ("lexical_variant", "rash"),
        ("note_nlp_concept_id", "77"),
        ("note_nlp_source_concept_id", "77"),
        ("nlp_date", "2026-11-30"),
        ("nlp_datetime", "2026-11-30 23:30:00"),
        ("term_exists", "N"),
        ("term_temporal", "present"),
        ("term_modifiers", "Negation=true;Uncertain=false;Subject=family;History=false;Conditional=false"),
    ];
    for (column, value) in expected {
        assert_eq!(mention[column], value, "{column}");
    }
    assert!(mention["nlp_system"].starts_with("stillroom ") && mention["nlp_system"].ends_with("tiny@0123456789ab"));
    let beside = &read(folder.path(), "note_nlp_stillroom.csv")[0];
    assert_eq!((&beside["note_nlp_id"], &beside["note_id"]), (&mention["note_nlp_id"], &note["note_id"]));
    let expected = [
        ("start_offset", "13"),
        ("end_offset", "17"),
        ("experiencer", "family"),
        ("cues", r#"[{"says":"negated","trigger":"no","start":10,"end":12}]"#),
        ("section", "family_history"),
        ("vocabulary", "snomed_ct"),
        ("match_tier", "exact"),
        ("ingredients", ""),
        ("dosage", ""),
    ];
    for (column, value) in expected {
        assert_eq!(beside[column], value, "{column}");
    }
    let source = &read(folder.path(), "note_stillroom.csv")[0];
    assert_eq!((&*source["source_note_id"], &*source["patient_id"], &*source["words"]), ("n/1\n", "p1", "7"));
    assert_eq!(source["interpretation"], "assertion@0123456789ab");
}

#[test]
fn a_note_that_came_again_is_there_once_as_it_came_last() {
    for first_id in [None, Some(100)] {
        let folder = tempfile::tempdir().unwrap();
        let revised = |revision: u64, words: &[&str]| {
            let mut note = testing::note("n1", &words.join(" "));
            note.revision = revision;
            let mut start = 0;
            let entities = words.iter().map(|word| {
                let entity = testing::entity(Task::Symptom, [start, start + word.len() as u32], word);
                start += word.len() as u32 + 1;
                entity
            });
            let entities = entities.collect();
            let extraction = testing::extraction(&note, entities);
            (note, extraction)
        };
        let other = {
            let note = testing::note("n2", "itch");
            let found = testing::extraction(&note, vec![testing::entity(Task::Symptom, [0, 4], "itch")]);
            (note, found)
        };
        let notes = [revised(0, &["rash", "fever"]), other, revised(1, &[]), revised(2, &["cough"])];
        write(folder.path(), &OmopConfig { first_id, ..config() }, &notes);
        let texts: Vec<String> = read(folder.path(), "note.csv").iter().map(|row| row["note_text"].clone()).collect();
        assert_eq!(texts, ["itch", "cough"]);
        let found: Vec<String> =
            read(folder.path(), "note_nlp.csv").iter().map(|row| row["lexical_variant"].clone()).collect();
        assert_eq!(found, ["itch", "cough"]);
        let besides = read(folder.path(), "note_nlp_stillroom.csv").len();
        let revisions =
            read(folder.path(), "note_stillroom.csv").iter().map(|row| row["revision"].clone()).collect::<Vec<_>>();
        assert_eq!((besides, revisions), (2, vec!["0".to_owned(), "2".to_owned()]));
    }
}

#[test]
fn a_note_without_a_date_is_refused_or_gets_the_one_that_was_said() {
    for none in [None, Some("27.11.2026".to_owned())] {
        let (mut note, _) = family();
        note.signed_at = none;
        note.patient_id = None;
        let extraction = testing::extraction(&note, Vec::new());
        let folder = tempfile::tempdir().unwrap();
        let mut writer = OmopWriter::create(folder.path(), &config()).unwrap();
        let said = writer.write(&note, &extraction).unwrap_err().to_string();
        assert!(said.contains("has no date in signed_at") && said.contains("--omop-undated"), "{said}");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "what was begun is removed");
        let config = OmopConfig { undated: Some(date!(1970 - 01 - 01)), ..config() };
        write(folder.path(), &config, &[(note, extraction)]);
        let row = &read(folder.path(), "note.csv")[0];
        assert_eq!((&*row["note_date"], &*row["note_datetime"], &*row["person_id"]), ("1970-01-01", "", "0"));
    }
}

#[test]
fn no_column_is_longer_than_it_may_be() {
    let word = "\u{1f912}".repeat(200);
    let mut note = testing::note(&"n".repeat(1000), &format!("{word} {word} \0 {word}"));
    note.note_type = Some("\u{e9}".repeat(300));
    let mut extraction = testing::extraction(&note, vec![testing::entity(Task::Symptom, [201, 401], &word)]);
    extraction.model.0 = "m".repeat(1000);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &config(), &[(note, extraction)]);
    let note = &read(folder.path(), "note.csv")[0];
    assert_eq!(note["note_source_value"].len(), 50);
    assert!(note["note_text"].contains('\u{fffd}') && !note["note_text"].contains('\0'));
    let mention = &read(folder.path(), "note_nlp.csv")[0];
    for column in ["snippet", "lexical_variant", "nlp_system"] {
        assert!((248..=250).contains(&mention[column].len()), "{column}: {}", mention[column].len());
    }
}

#[test]
fn an_empty_run_and_an_empty_note_are_files_for_copy() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &config(), &[]);
    let names = ["note.csv", "note_nlp.csv", "note_stillroom.csv", "note_nlp_stillroom.csv"];
    for name in names {
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap().lines().count(), 1);
    }
    let ddl = std::fs::read_to_string(folder.path().join("omop.sql")).unwrap();
    assert!(ddl.contains("note_id bigint not null") && !ddl.contains("{id"));
    assert!(matches!(OmopWriter::create(folder.path(), &config()), Err(FormatError::NotEmpty { .. })));

    let folder = tempfile::tempdir().unwrap();
    let note = testing::note("empty", "");
    let extraction = testing::extraction(&note, Vec::new());
    write(folder.path(), &OmopConfig { first_id: Some(5), ..config() }, &[(note, extraction)]);
    let line = "5,5,\"2026-11-27\",\"2026-11-27 23:30:00\",32831,0,,\"\",32678,4180186,,,,\"progress_note\",,";
    assert_eq!(std::fs::read_to_string(folder.path().join("note.csv")).unwrap().lines().nth(1), Some(line));
    assert!(std::fs::read_to_string(folder.path().join("omop.sql")).unwrap().contains("note_id integer not null"));
}

#[test]
fn the_tables_of_the_script_are_those_of_the_files() {
    let ddl = ddl(Fresh::Hashed);
    let tables = [
        ("note", &rows::NOTE[..]),
        ("note_nlp", &rows::NOTE_NLP[..]),
        ("note_stillroom", &rows::NOTE_STILLROOM[..]),
        ("note_nlp_stillroom", &rows::NOTE_NLP_STILLROOM[..]),
    ];
    for (table, columns) in tables {
        let (_, body) = ddl.split_once(&format!("create table {table} (")).unwrap();
        let (body, _) = body.split_once(");").unwrap();
        let lines = body.lines().map(str::trim).filter(|line| !line.is_empty());
        let said = lines.filter(|line| !line.starts_with("--") && !line.starts_with("constraint"));
        let said: Vec<&str> = said.map(|line| line.split(' ').next().unwrap().trim_matches('"')).collect();
        assert_eq!(said, columns, "{table}");
    }
}
