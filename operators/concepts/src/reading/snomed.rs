//! SNOMED CT, release format 2: names in `sct2_Description_Snapshot…`, relations in `sct2_Relationship_Snapshot…`.
//!
//! A line of names has nine columns (SNOMED CT release file specification, 4.2.2). The fully specified name of a concept ends with its
//! semantic tag, `Asthma (disorder)`, which tells diseases from findings and substances. The file is sorted by description, not by
//! concept, so it is read twice: for the concepts of the tags, then for their names. The name without its tag is the preferred one:
//! which synonym a language prefers stands in another file.
//!
//! A line of relations has ten columns (4.2.3). Those that are taken are is-a and has-active-ingredient, of all concepts, so that
//! the way from one concept to another may lead over those without a tag that is taken.

use super::{Counted, Lines, Name, Reading, RelationKind, Sink, Standing, VOCABULARY};
use crate::ConceptError;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use stillroom_schemas::Task;

const HEADER: &str = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId";
const CONCEPTS_HEADER: &str = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId";
const RELATIONS_HEADER: &str = "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\t\
                                characteristicTypeId\tmodifierId";
const FULLY_SPECIFIED: &str = "900000000000003001";
const SYNONYM: &str = "900000000000013009";
const IS_A: &str = "116680003";
/// Has active ingredient, and has precise active ingredient.
const INGREDIENTS: [&str; 2] = ["127489000", "762949000"];

/// The semantic tags of a task's concepts.
pub fn tags_of(task: Task) -> &'static [&'static str] {
    match task {
        Task::Disease => &["disorder"],
        Task::Symptom => &["finding"],
        Task::Medication => &["product", "medicinal product", "medicinal product form", "clinical drug", "substance"],
    }
}

/// What is read of a line.
struct Row<'a> {
    concept: u64,
    is_fully_specified: bool,
    name: &'a str,
}

/// Reads the names of the concepts whose semantic tag `reading` takes.
pub(super) fn read<S: Sink>(reading: &Reading, lines: &mut Lines, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    let orders = orders(reading)?;
    header(lines, HEADER, "is not the snapshot of descriptions of SNOMED CT (release format 2)")?;
    while let Some(line) = lines.next_line()? {
        match row(line) {
            Ok(Some(row)) => {
                let Some(&order) = orders.get(&row.concept) else { continue };
                let (kind, name, standing) = match row.is_fully_specified {
                    true => ("FSN", split_tag(row.name).map_or(row.name, |(name, _)| name), Standing::Preferred),
                    false => ("SYN", row.name, Standing::Exact),
                };
                if reading.takes(kind, &["FSN", "SYN"]) {
                    let concept = &row.concept.to_string();
                    sink.name(Name { concept, name, standing, order, is_ingredient: false })?;
                }
            }
            Ok(None) => {}
            Err(Malformed) => lines.bad(),
        }
    }
    Ok(())
}

fn header(lines: &mut Lines, expected: &str, refused: &str) -> Result<(), ConceptError> {
    match lines.next_line()? {
        Some(header) if header == expected => Ok(()),
        _ => Err(lines.refused(refused, "give that file, or set the format of the source")),
    }
}

/// The concepts of the tags and where their tag stands among these, without those that are retired where that is known.
fn orders(reading: &Reading) -> Result<HashMap<u64, u8>, ConceptError> {
    let mut orders = HashMap::new();
    let mut lines = Lines::open(&reading.path, VOCABULARY)?;
    while let Some(line) = lines.next_line()? {
        if let Ok(Some(row)) = row(line)
            && row.is_fully_specified
            && let Some((_, tag)) = split_tag(row.name)
            && let Some(order) = reading.tags.iter().position(|taken| taken == tag)
        {
            orders.insert(row.concept, order.min(u8::MAX.into()) as u8);
        }
    }
    if let Some(path) = &reading.concepts {
        let active = active(path)?;
        orders.retain(|concept, _| active.contains(concept));
    }
    Ok(orders)
}

/// The concepts that are not retired.
fn active(path: &Path) -> Result<HashSet<u64>, ConceptError> {
    let mut lines = Lines::open(path, VOCABULARY)?;
    header(&mut lines, CONCEPTS_HEADER, "is not the snapshot of concepts of SNOMED CT (release format 2)")?;
    let mut active = HashSet::new();
    while let Some(line) = lines.next_line()? {
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

/// The fields of a line.
fn fields<const COUNT: usize>(line: &str) -> Result<[&str; COUNT], Malformed> {
    let mut fields = [""; COUNT];
    let mut count = 0;
    for field in line.split('\t') {
        *fields.get_mut(count).ok_or(Malformed)? = field;
        count += 1;
    }
    if count == COUNT { Ok(fields) } else { Err(Malformed) }
}

/// The line's name; none when it is retired, not in English, or a definition.
fn row(line: &str) -> Result<Option<Row<'_>>, Malformed> {
    let [_, _, active, _, concept, language, kind, name, _] = fields::<9>(line)?;
    let (Ok(concept), false) = (concept.parse(), name.trim().is_empty()) else { return Err(Malformed) };
    let is_taken = active == "1" && language == "en" && [FULLY_SPECIFIED, SYNONYM].contains(&kind);
    Ok(is_taken.then_some(Row { concept, is_fully_specified: kind == FULLY_SPECIFIED, name: name.trim() }))
}

/// Reads the relations that are not retired.
pub(super) fn read_relations<S: Sink>(lines: &mut Lines, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    header(lines, RELATIONS_HEADER, "are not the snapshot of relationships of SNOMED CT (release format 2)")?;
    while let Some(line) = lines.next_line()? {
        match fields::<10>(line) {
            Ok([_, _, active, _, from, to, _, kind, _, _]) => {
                let kind = match kind {
                    _ if active != "1" => None,
                    IS_A => Some(RelationKind::Broader),
                    _ if INGREDIENTS.contains(&kind) => Some(RelationKind::Ingredient),
                    _ => None,
                };
                match kind {
                    Some(_) if from.parse::<u64>().is_err() || to.parse::<u64>().is_err() => lines.bad(),
                    Some(kind) => sink.relation(from, to, kind)?,
                    None => {}
                }
            }
            Err(Malformed) => lines.bad(),
        }
    }
    Ok(())
}

/// The latest `effectiveTime` of a snapshot of descriptions, which is the release it belongs to.
pub(super) fn latest_time(path: &Path) -> Result<Option<String>, ConceptError> {
    let mut lines = Lines::open(path, VOCABULARY)?;
    let mut latest: Option<u32> = None;
    while let Some(line) = lines.next_line()? {
        latest = latest.max(line.split('\t').nth(1).and_then(|time| time.parse().ok()));
    }
    Ok(latest.map(|time| time.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::VocabularyFormat;
    use crate::reading::tests::{read_relations, read_text};

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

    fn owned(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| tag.to_string()).collect()
    }

    #[test]
    fn names_of_the_tasks_tags() {
        let of_task = |task: Task| {
            let read = read_text(FILE, example().as_bytes(), |reading| reading.tags = owned(tags_of(task))).unwrap();
            read.0.text()
        };
        assert_eq!(of_task(Task::Disease), "195967001=Bronchial asthma\n195967001=Asthma");
        assert_eq!(of_task(Task::Symptom), "25064002=Headache\n25064002=Cephalgia");
        assert_eq!(of_task(Task::Medication), "387458008=Aspirin");
    }

    #[test]
    fn tags_and_kinds_are_chosen_and_retired_concepts_left_out() {
        let (names, _) = read_text(FILE, example().as_bytes(), |reading| {
            reading.tags = owned(&["finding", "disorder"]);
            reading.kinds = vec!["SYN".to_owned()];
        })
        .unwrap();
        assert_eq!(names.text(), "195967001=Bronchial asthma\n25064002=Cephalgia");
        assert_eq!((names.orders(), names.standings()), (vec![1, 0], vec![Standing::Exact; 2]));
        let folder = tempfile::tempdir().unwrap();
        let concepts = folder.path().join("sct2_Concept_Snapshot.txt");
        let rows = format!("{CONCEPTS_HEADER}\r\n195967001\t20250101\t0\tx\ty\r\n25064002\t20250101\t1\tx\ty\r\n");
        std::fs::write(&concepts, rows).unwrap();
        let (names, _) = read_text(FILE, example().as_bytes(), |reading| {
            reading.tags = owned(&["finding", "disorder"]);
            reading.concepts = Some(concepts.clone());
        })
        .unwrap();
        assert_eq!(names.text(), "25064002=Headache\n25064002=Cephalgia");
    }

    #[test]
    fn bad_lines_are_counted_and_other_files_refused() {
        let tags = |reading: &mut Reading| reading.tags = owned(&["disorder"]);
        let (_, report) = read_text(FILE, format!("{}\r\nx\ty\r\n", example()).as_bytes(), tags).unwrap();
        assert_eq!((report.bad_lines, report.bad_lines_first), (1, vec![10]));
        let error = read_text(FILE, b"id\tterm\n", tags).unwrap_err().to_string();
        assert!(error.contains("is not the snapshot of descriptions of SNOMED CT"), "{error}");
    }

    #[test]
    fn relations_are_is_a_and_ingredients() {
        let row = |active: &str, from: &str, to: &str, kind: &str| {
            format!("1\t20250101\t{active}\tm\t{from}\t{to}\t0\t{kind}\t900000000000011006\t900000000000451002\r\n")
        };
        let rows = [
            row("1", "195967001", "50043002", IS_A),
            row("0", "195967001", "404684003", IS_A),
            row("1", "195967001", "955009", "363698007"),
            row("1", "775872000", "387458008", INGREDIENTS[0]),
            row("1", "x", "387458008", IS_A),
        ];
        let (relations, report) =
            read_relations(VocabularyFormat::Snomed, &format!("{RELATIONS_HEADER}\r\n{}", rows.concat())).unwrap();
        assert_eq!(relations, "195967001>50043002\n775872000>387458008 ingredient");
        assert_eq!((report.relations, report.bad_lines, report.bad_lines_first), (2, 1, vec![6]));
        let error = read_relations(VocabularyFormat::Snomed, "id\n").unwrap_err().to_string();
        assert!(error.contains("are not the snapshot of relationships of SNOMED CT"), "{error}");
    }
}
