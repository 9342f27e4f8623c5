//! `stillroom concepts`: words, and what they are in vocabularies.

use crate::support::{stderr, stdout, stillroom};
use std::fs;
use std::path::Path;
use std::process::Output;

const DISEASES: &str = "\
id\tsynonym\tparents
D:1\tdisease\t
D:2\tlung disease\tD:1
D:3\tlung cancer\tD:2
broken
";

const MEDICATIONS: &str = "\
id\tsynonym\tpreferred_name\tingredients
1\taspirin\taspirin\t
2\tecotrin\tEcotrin\t1
";

/// A folder with two vocabularies, and a configuration that names them beside something else.
fn vocabularies(folder: &Path) {
    fs::write(folder.join("diseases.tsv"), DISEASES).unwrap();
    fs::write(folder.join("medications.tsv"), MEDICATIONS).unwrap();
    let text = "[log]\ndir = 'elsewhere'\n\n\
        [[concepts.vocabularies]]\nname = 'mine'\ntasks = ['disease']\npath = 'diseases.tsv'\nversion = 'May'\n\n\
        [[concepts.vocabularies]]\nname = 'drugs'\ntasks = ['medication']\npath = 'medications.tsv'\nversion = '7'\n";
    fs::write(folder.join("stillroom.toml"), text).unwrap();
}

fn find(folder: &Path, arguments: &[&str]) -> Output {
    stillroom().current_dir(folder).args(["concepts", "find"]).args(arguments).output().unwrap()
}

/// The lines of an output, with one space between words.
fn lines(output: &Output) -> Vec<String> {
    stdout(output).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn words_are_looked_up_for_every_task() {
    let folder = tempfile::tempdir().unwrap();
    vocabularies(folder.path());
    let found = find(folder.path(), &["Cancers", "of the lung"]);
    assert_eq!(
        lines(&found),
        [
            "disease normalised 1.0000 mine:D:3 lung cancer (May)",
            "under mine:D:2 lung disease",
            "under mine:D:1 disease",
            "medication unknown",
            "symptom unknown",
        ]
    );
    let found = find(folder.path(), &["ECOTRIN", "--task", "medication", "--vocabularies", "stillroom.toml"]);
    let expected = ["medication exact 1.0000 drugs:2 Ecotrin (7)", "made of drugs:1 aspirin"];
    assert_eq!(lines(&found), expected);
}

#[test]
fn what_was_loaded_is_told() {
    let folder = tempfile::tempdir().unwrap();
    vocabularies(folder.path());
    let told = lines(&find(folder.path(), &["--stats"]));
    assert!(told[0].starts_with("mine (May) for disease: 3 names of 3 concepts, 2 relations, "), "{told:?}");
    assert_eq!(told[1], "diseases.tsv: 1 lines are not of its format, first [5]");
    assert!(told[2].starts_with("drugs (7) for medication: 2 names of 2 concepts, 1 relations, "), "{told:?}");
    assert!(told[4].starts_with("all: ") && told.len() == 5, "{told:?}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let output = find(folder.path(), arguments);
        assert!(!output.status.success() && stderr(&output).contains(expected), "{}", stderr(&output));
    };
    refused(&["fever"], "cannot read the vocabularies in stillroom.toml");
    fs::write(folder.path().join("stillroom.toml"), "[log]\n").unwrap();
    refused(&["fever"], "stillroom.toml has no table [concepts]; name the vocabularies there");
    fs::write(folder.path().join("stillroom.toml"), "[concepts]\nvocabulary = 1\n").unwrap();
    refused(&["fever"], "unknown field `vocabulary`");
    refused(&[], "required");
}
