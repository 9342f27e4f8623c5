//! What cannot be used is named, with its remedy.

use crate::files::Files;
use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyConfig};
use stillroom_schemas::Task;

/// Why a configuration cannot be used.
fn refused(files: &Files) -> String {
    Concepts::load(&files.config).unwrap_err().to_string()
}

fn gout() -> Files {
    let mut files = Files::new();
    files.add("mine", Task::Disease, ("mine.tsv", "id\tsynonym\n1\tgout\n2\tscurvy\n"));
    files
}

fn check(change: impl Fn(&mut Files), expected: &str) {
    let mut files = gout();
    change(&mut files);
    let error = refused(&files);
    assert!(error.contains(expected), "{error}");
}

#[test]
fn settings_that_cannot_be_used() {
    check(|files| files.config.fuzzy_score_min = 0.5, "concepts.fuzzy_score_min must be from 0.7 to 1; 1 looks for no");
    check(|files| files.config.fuzzy_score_min = f64::NAN, "concepts.fuzzy_score_min must be");
    check(|files| files.config.vocabularies[0].name.clear(), "mine.tsv has no name; set name to what");
    check(|files| files.config.vocabularies[0].tasks.clear(), "mine.tsv has no tasks; name those");
    check(|files| files.config.names_max = 1, "more than 1 names; choose kinds or tags, or raise names_max");
    check(
        |files| {
            let again = files.config.vocabularies[0].clone();
            files.config.vocabularies.push(again);
        },
        "mine.tsv has the name mine of one before",
    );
}

#[test]
fn files_that_cannot_be_used() {
    check(|files| files.config.vocabularies[0].path = "no/such.tsv".into(), "cannot read no/such.tsv");
    check(|files| files.config.vocabularies[0].path = "names.csv".into(), "names.csv has a name that tells no format");
    check(|files| files.config.vocabularies[0].relations = Some("mine.rrf".into()), "cannot read mine.rrf");
    check(
        |files| files.config.vocabularies[0].relations = Some(files.write("relations.tsv", "x")),
        "has its relations beside its names; leave relations out",
    );
    check(|files| files.config.abbreviations = vec!["none.tsv".into()], "cannot read none.tsv");
}

#[test]
fn names_of_all_vocabularies_count() {
    let mut files = gout();
    files.add("more", Task::Disease, ("more.tsv", "id\tsynonym\n1\tscurvy\n"));
    files.config.names_max = 3;
    assert_eq!(files.load().vocabularies().iter().map(|vocabulary| vocabulary.names).sum::<usize>(), 3);
    files.config.names_max = 2;
    assert!(refused(&files).contains("more than 2 names"));
}

#[test]
fn bad_lines_are_left_out_and_counted() {
    let mut files = Files::new();
    files.add("mine", Task::Disease, ("mine.tsv", "id\tsynonym\n1\tgout\nbroken\n2\tscurvy\n"));
    let concepts = files.load();
    let report = &concepts.vocabularies()[0].names_report;
    assert_eq!((report.names, report.bad_lines, &report.bad_lines_first[..]), (2, 1, &[3][..]));
}

fn parse(text: &str) -> Result<ConceptsConfig, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

#[test]
fn a_configuration_is_read_strictly() {
    let config = parse(
        "fuzzy_score_min = 0.9\n\
        [[vocabularies]]\nname = 'rxnorm'\ntasks = ['medication']\npath = 'rrf/RXNCONSO.RRF'\n\
        [[vocabularies]]\nname = 'snomed_ct'\ntasks = ['disease', 'symptom']\npath = 'd.txt'\nformat = 'snomed'",
    )
    .unwrap();
    assert_eq!(config.fuzzy_score_min, 0.9);
    assert_eq!(config.vocabularies[0], VocabularyConfig::new("rxnorm", Task::Medication, "rrf/RXNCONSO.RRF"));
    assert_eq!(config.vocabularies[1].tasks, [Task::Disease, Task::Symptom]);
    assert_eq!(parse("").unwrap(), ConceptsConfig::default());
    assert!(parse("fuzzy = 1").unwrap_err().contains("unknown field `fuzzy`"));
    assert!(
        parse("vocabularies = [{ name = 'a', tasks = [], path = 'b', kind = 'c' }]").unwrap_err().contains("`kind`")
    );
    // Every setting has a default, so that the program knows all of them.
    let defaults = serde_json::to_value(ConceptsConfig::default()).unwrap();
    assert!(defaults.as_object().unwrap().values().all(|value| !value.is_null()));
}
