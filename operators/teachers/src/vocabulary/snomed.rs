//! SNOMED CT's names: `sct2_Description_Snapshot` of release format 2.
//!
//! A line has nine columns (SNOMED CT release file specification, 4.2.2). The fully specified name of a concept ends with its
//! semantic tag, `Asthma (disorder)`, which tells diseases from findings and substances. The file is sorted by description, not by
//! concept, so it is read twice: for the concepts of the tags, then for their names.

use super::lines::Lines;
use super::source::{Sink, VocabularySource};
use crate::TeacherError;
use std::collections::HashSet;
use std::path::Path;
use stillroom_schemas::Task;

const HEADER: &str = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId";
const CONCEPTS_HEADER: &str = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId";
const FULLY_SPECIFIED: &str = "900000000000003001";
const SYNONYM: &str = "900000000000013009";

/// What is read of a line.
struct Row<'a> {
    concept: u64,
    is_fully_specified: bool,
    name: &'a str,
}

/// Reads the names of the concepts whose semantic tag `source` takes.
pub(super) fn read(source: &VocabularySource, lines: &mut Lines, sink: &mut Sink) -> Result<(), TeacherError> {
    let concepts = concepts(source)?;
    header(lines, HEADER, "the snapshot of descriptions of SNOMED CT (release format 2)")?;
    while let Some(line) = lines.next()? {
        match row(line) {
            Ok(Some(row)) if concepts.contains(&row.concept) => {
                let (kind, name) = match row.is_fully_specified {
                    true => ("FSN", split_tag(row.name).map_or(row.name, |(name, _)| name)),
                    false => ("SYN", row.name),
                };
                if source.takes(kind, &["FSN", "SYN"]) {
                    sink.put(&row.concept.to_string(), name)?;
                }
            }
            Ok(_) => {}
            Err(Malformed) => lines.bad(),
        }
    }
    Ok(())
}

fn header(lines: &mut Lines, expected: &str, what: &str) -> Result<(), TeacherError> {
    match lines.next()? {
        Some(header) if header == expected => Ok(()),
        _ => Err(lines.refused(&format!("is not {what}"), "give that file, or set the format of the source")),
    }
}

/// The concepts of the tags, without those that are retired where that is known.
fn concepts(source: &VocabularySource) -> Result<HashSet<u64>, TeacherError> {
    let tags: Vec<&str> = match (source.tags.is_empty(), source.task) {
        (false, _) => source.tags.iter().map(String::as_str).collect(),
        (true, Task::Disease) => vec!["disorder"],
        (true, Task::Symptom) => vec!["finding"],
        (true, Task::Medication) => {
            vec!["product", "medicinal product", "medicinal product form", "clinical drug", "substance"]
        }
    };
    let mut concepts = HashSet::new();
    let mut lines = Lines::open(&source.path)?;
    while let Some(line) = lines.next()? {
        if let Ok(Some(row)) = row(line)
            && row.is_fully_specified
            && split_tag(row.name).is_some_and(|(_, tag)| tags.contains(&tag))
        {
            concepts.insert(row.concept);
        }
    }
    if let Some(path) = &source.concepts {
        let active = active(path)?;
        concepts.retain(|concept| active.contains(concept));
    }
    Ok(concepts)
}

/// The concepts that are not retired.
fn active(path: &Path) -> Result<HashSet<u64>, TeacherError> {
    let mut lines = Lines::open(path)?;
    header(&mut lines, CONCEPTS_HEADER, "the snapshot of concepts of SNOMED CT (release format 2)")?;
    let mut active = HashSet::new();
    while let Some(line) = lines.next()? {
        let mut fields = line.split('\t');
        if let (Some(id), Some(_), Some("1")) = (fields.next(), fields.next(), fields.next()) {
            active.extend(id.parse::<u64>().ok());
        }
    }
    Ok(active)
}

/// A fully specified name and its semantic tag.
fn split_tag(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(')')?.rsplit_once(" (")
}

struct Malformed;

/// The line's name; none when it is retired, not in English, or a definition.
fn row(line: &str) -> Result<Option<Row<'_>>, Malformed> {
    let mut fields = [""; 9];
    let mut count = 0;
    for field in line.split('\t') {
        *fields.get_mut(count).ok_or(Malformed)? = field;
        count += 1;
    }
    let [_, _, active, _, concept, language, kind, name, _] = fields;
    let (Ok(concept), 9, false) = (concept.parse(), count, name.trim().is_empty()) else { return Err(Malformed) };
    let is_taken = active == "1" && language == "en" && [FULLY_SPECIFIED, SYNONYM].contains(&kind);
    Ok(is_taken.then_some(Row { concept, is_fully_specified: kind == FULLY_SPECIFIED, name: name.trim() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::source::read_text;

    const FILE: &str = "sct2_Description_Snapshot-en_INT_20250101.txt";

    /// Lines of active, concept, language, type and term.
    fn text(rows: &[(&str, &str, &str, &str, &str)]) -> String {
        let line = |(active, concept, language, kind, term): &(&str, &str, &str, &str, &str)| {
            format!(
                "1\t20250101\t{active}\t900000000000207008\t{concept}\t{language}\t{kind}\t{term}\t900000000000448009"
            )
        };
        [HEADER.to_owned()].into_iter().chain(rows.iter().map(line)).collect::<Vec<_>>().join("\r\n")
    }

    fn example() -> String {
        text(&[
            ("1", "195967001", "en", SYNONYM, "Bronchial asthma"),
            ("1", "195967001", "en", FULLY_SPECIFIED, "Asthma (disorder)"),
            ("0", "195967001", "en", SYNONYM, "Asthma, old name"),
            ("1", "195967001", "es", SYNONYM, "asma"),
            ("1", "195967001", "en", "900000000000550004", "A definition"),
            ("1", "25064002", "en", FULLY_SPECIFIED, "Headache (finding)"),
            ("1", "25064002", "en", SYNONYM, "Cephalgia"),
            ("1", "387458008", "en", FULLY_SPECIFIED, "Aspirin (substance)"),
        ])
    }

    #[test]
    fn names_of_the_tasks_tags() {
        let of_task = |task: Task| read_text(FILE, example().as_bytes(), |source| source.task = task).unwrap().0;
        assert_eq!(of_task(Task::Disease), "195967001=Bronchial asthma\n195967001=Asthma");
        assert_eq!(of_task(Task::Symptom), "25064002=Headache\n25064002=Cephalgia");
        assert_eq!(of_task(Task::Medication), "387458008=Aspirin");
    }

    #[test]
    fn tags_and_kinds_are_chosen_and_retired_concepts_left_out() {
        let (names, _) = read_text(FILE, example().as_bytes(), |source| {
            source.tags = vec!["finding".to_owned(), "disorder".to_owned()];
            source.kinds = vec!["SYN".to_owned()];
        })
        .unwrap();
        assert_eq!(names, "195967001=Bronchial asthma\n25064002=Cephalgia");
        let folder = tempfile::tempdir().unwrap();
        let concepts = folder.path().join("sct2_Concept_Snapshot.txt");
        let rows = format!("{CONCEPTS_HEADER}\r\n195967001\t20250101\t0\tx\ty\r\n25064002\t20250101\t1\tx\ty\r\n");
        std::fs::write(&concepts, rows).unwrap();
        let (names, _) = read_text(FILE, example().as_bytes(), |source| {
            source.tags = vec!["finding".to_owned(), "disorder".to_owned()];
            source.concepts = Some(concepts.clone());
        })
        .unwrap();
        assert_eq!(names, "25064002=Headache\n25064002=Cephalgia");
    }

    #[test]
    fn bad_lines_are_counted_and_other_files_refused() {
        let (_, report) = read_text(FILE, format!("{}\r\nx\ty\r\n", example()).as_bytes(), |_| {}).unwrap();
        assert_eq!((report.bad_lines, report.bad_lines_first), (1, vec![10]));
        let error = read_text(FILE, b"id\tterm\n", |_| {}).unwrap_err().to_string();
        assert!(error.contains("is not the snapshot of descriptions of SNOMED CT"), "{error}");
    }
}
