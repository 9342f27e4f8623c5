//! Notes in, facts out; and how what tells is called.

use super::*;
use std::fs;
use stillroom_schemas::{Certainty, Dosage, Experiencer, Stated};

const NOTE: &str =
    "\u{1f912} Denies fever. Mother had asthma. Metformin 500 mg by mouth twice daily, aspirin 81 mg once daily.";

/// Where words stand in [`NOTE`].
fn span(task: Task, words: &str) -> Span {
    let start = NOTE[..NOTE.find(words).unwrap()].chars().count() as u32;
    Span { task, start, end: start + words.chars().count() as u32 }
}

/// By task, then by position, as they come.
fn spans() -> Vec<Span> {
    vec![
        span(Task::Disease, "asthma"),
        span(Task::Medication, "Metformin"),
        span(Task::Medication, "aspirin"),
        span(Task::Symptom, "fever"),
    ]
}

/// The words at two positions of [`NOTE`].
fn at(start: u32, end: u32) -> String {
    NOTE.chars().skip(start as usize).take((end - start) as usize).collect()
}

/// A vocabulary of diseases in a folder.
fn vocabulary(folder: &Path, lines: &str) -> ConceptsConfig {
    let path = folder.join("diseases.tsv");
    fs::write(&path, format!("id\tsynonym\n{lines}")).unwrap();
    let vocabularies = vec![VocabularyConfig::new("doid", Task::Disease, path)];
    ConceptsConfig { vocabularies, ..ConceptsConfig::default() }
}

/// How what tells by two settings is called; empty where there is none.
fn name(assertion: &AssertionConfig, concepts: &ConceptsConfig) -> String {
    load(assertion, concepts).unwrap().interpret.map_or(String::new(), |interpreter| interpreter.name().to_owned())
}

#[test]
fn a_note_is_told_of_in_the_order_of_its_spans() {
    let folder = tempfile::tempdir().unwrap();
    let concepts = vocabulary(folder.path(), "DOID:2841\tasthma\n");
    let interpreter = load(&AssertionConfig::default(), &concepts).unwrap().interpret.unwrap();
    let facts = interpreter.interpret(NOTE, &spans());
    let [asthma, metformin, aspirin, fever] = &facts[..] else { panic!("{facts:?}") };

    let meant = |fact: &Fact| {
        let assertion = fact.assertion.clone().unwrap();
        let cues: Vec<String> = assertion.cues.iter().map(|cue| at(cue.start, cue.end)).collect();
        (assertion.certainty, assertion.experiencer, cues)
    };
    let (certainty, experiencer, cues) = meant(asthma);
    assert_eq!((certainty, experiencer), (Certainty::Affirmed, Experiencer::Family));
    assert!(cues[0].starts_with("Mother"), "{cues:?}");
    let (certainty, experiencer, cues) = meant(fever);
    assert_eq!((certainty, experiencer, &*cues[0]), (Certainty::Negated, Experiencer::Patient, "Denies"));
    assert!(metformin.assertion.as_ref().unwrap().is_present());

    let code = asthma.concept.as_ref().map(|concept| (&*concept.code.vocabulary, &*concept.code.code));
    assert_eq!(code, Some(("doid", "DOID:2841")));
    assert!([metformin, aspirin, fever].iter().all(|fact| fact.concept.is_none()), "no vocabulary knows them");

    let strength = |fact: &Fact| {
        let Some(Dosage { strength: Some(Stated { start, end, text }), .. }) = fact.dosage.clone() else {
            panic!("{fact:?}")
        };
        assert_eq!(at(start, end), text);
        text
    };
    assert_eq!([strength(metformin), strength(aspirin)], ["500 mg", "81 mg"], "what stands beside each");
    assert!(asthma.dosage.is_none() && fever.dosage.is_none());
    assert_eq!(interpreter.interpret(NOTE, &spans()), facts, "the same once more");
}

#[test]
fn a_medication_with_its_strength_is_told_by_name_and_strength() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drugs.tsv");
    fs::write(&path, "id\tsynonym\n6809\tmetformin\n").unwrap();
    let vocabularies = vec![VocabularyConfig::new("mine", Task::Medication, path)];
    let concepts = ConceptsConfig { vocabularies, ..ConceptsConfig::default() };
    let interpreter = load(&AssertionConfig::default(), &concepts).unwrap().interpret.unwrap();
    let facts = interpreter.interpret(NOTE, &[span(Task::Medication, "Metformin 500 mg")]);
    assert_eq!(facts[0].concept.as_ref().map(|concept| concept.code.code.as_str()), Some("6809"));
    let strength = facts[0].dosage.as_ref().and_then(|dosage| dosage.strength.as_ref()).unwrap();
    assert_eq!((at(strength.start, strength.end).as_str(), strength.text.as_str()), ("500 mg", "500 mg"));
}

#[test]
fn what_is_off_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let off = AssertionConfig { enabled: false, ..AssertionConfig::default() };
    assert!(load(&off, &ConceptsConfig::default()).unwrap().interpret.is_none());
    let concepts = vocabulary(folder.path(), "DOID:2841\tasthma\n");
    let coded = load(&off, &concepts).unwrap().interpret.unwrap().interpret(NOTE, &spans());
    assert!(coded.iter().all(|fact| fact.assertion.is_none() && fact.section.is_none()));
    assert!(coded[0].concept.is_some() && coded[1].dosage.is_some());
    let asserted = load(&AssertionConfig::default(), &ConceptsConfig::default()).unwrap().interpret.unwrap();
    assert!(asserted.interpret(NOTE, &spans()).iter().all(|fact| fact.assertion.is_some() && fact.concept.is_none()));
}

#[test]
fn the_name_follows_what_is_in_the_files_and_not_where_they_are() {
    let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let off = AssertionConfig { enabled: false, ..AssertionConfig::default() };
    let lines = "DOID:2841\tasthma\n";
    let first = name(&off, &vocabulary(here.path(), lines));
    assert!(first.starts_with("concepts@") && first.len() == "concepts@".len() + 12, "{first}");
    assert_eq!(name(&off, &vocabulary(there.path(), lines)), first);
    // As many names, and a version that the configuration gives.
    let pinned = |lines| {
        let mut config = vocabulary(there.path(), lines);
        config.vocabularies[0].version = Some("1".to_owned());
        name(&off, &config)
    };
    assert_ne!(pinned(lines), pinned("DOID:2841\tasthmo\n"));
    let strict = ConceptsConfig { fuzzy_score_min: 1.0, ..vocabulary(here.path(), lines) };
    assert_ne!(name(&off, &strict), first);

    let alone = name(&AssertionConfig::default(), &ConceptsConfig::default());
    assert!(alone.starts_with("assertion@") && !alone.contains(' '), "{alone}");
    let lexicon = here.path().join("ours.toml");
    let own = |says: &str| {
        let trigger = format!("[[triggers]]\nsays = \"{says}\"\ndirection = \"forward\"\ntexts = [\"zilch of\"]\n");
        fs::write(&lexicon, trigger).unwrap();
        name(
            &AssertionConfig { lexicons: vec![lexicon.clone()], ..AssertionConfig::default() },
            &vocabulary(here.path(), lines),
        )
    };
    let (negated, uncertain) = (own("negated"), own("uncertain"));
    assert!(negated != uncertain && negated.starts_with("assertion@") && negated.ends_with(&first), "{negated}");
    assert!(!negated.starts_with(&alone));
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let check = |error: anyhow::Error, expected: &[&str]| {
        let said = format!("{error:#}");
        assert!(expected.iter().all(|expected| said.contains(expected)), "{said}");
    };
    let lexicon = AssertionConfig { lexicons: vec![absent], ..AssertionConfig::default() };
    check(load(&lexicon, &ConceptsConfig::default()).err().unwrap(), &["absent.toml", "[assertion]"]);
    let mut concepts = vocabulary(folder.path(), "");
    concepts.vocabularies[0].path = folder.path().join("absent.tsv");
    check(load(&AssertionConfig::default(), &concepts).err().unwrap(), &["absent.tsv", "[concepts]"]);
}
