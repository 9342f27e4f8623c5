//! What holds for any vocabulary.

use crate::files::Files;
use proptest::prelude::*;
use proptest::sample::select;
use stillroom_schemas::{Task, Tier};

/// A name by a second implementation of what exact means.
fn plain(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Names with many near, equal and strange ones among them.
fn names() -> impl Strategy<Value = Vec<(u8, String)>> {
    let pieces = vec![
        "tumor",
        "Tumour",
        "tumors",
        "of",
        "the",
        "lung",
        "lungs",
        "II",
        "2",
        "type",
        "a",
        "-",
        ",",
        "'s",
        "\u{df}",
        "\u{e9}",
        "+",
        "0.5",
        "HTN - Hypertension",
        "%",
    ];
    let (piece, separator) = (select(pieces), select(vec![" ", "  ", "-", ""]));
    let name = proptest::collection::vec((piece, separator), 1..6).prop_map(|pieces| {
        let name: String = pieces.into_iter().map(|(piece, separator)| piece.to_owned() + separator).collect();
        name.trim().to_owned()
    });
    proptest::collection::vec((0u8..6, name), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_name_finds_a_concept_that_has_it(names in names()) {
        let rows: String = names.iter().map(|(code, name)| format!("{code}\t{name}\n")).collect();
        let mut files = Files::new();
        files.add("mine", Task::Disease, ("mine.tsv", &format!("id\tsynonym\n{rows}")));
        let concepts = files.load();
        for (_, name) in &names {
            for words in [name.clone(), name.to_uppercase().to_lowercase(), format!(" {name}\n")] {
                // A letter like the sharp s has no way back from upper case.
                if plain(&words) != plain(name) {
                    continue;
                }
                let concept = concepts.find(Task::Disease, &words);
                let (tier, code) = concept.map(|concept| (concept.tier, concept.code.code)).unzip();
                prop_assert_eq!(tier, Some(Tier::Exact), "{}", words);
                let owners = names.iter().filter(|(_, other)| plain(other) == plain(name));
                // Where several have it and none prefers it, the smallest code has it of those for which it is the first name.
                let first = |code: u8| names.iter().find(|(of, _)| *of == code).map(|(_, name)| plain(name));
                let best = owners.map(|(code, _)| (first(*code) != Some(plain(name)), *code)).min();
                prop_assert_eq!(code, best.map(|(_, code)| code.to_string()), "{}", words);
            }
        }
    }

    #[test]
    fn whatever_is_asked_is_answered(names in names(), words in "\\PC{0,40}") {
        let rows: String = names.iter().map(|(code, name)| format!("{code}\t{name}\n")).collect();
        let mut files = Files::new();
        files.add("mine", Task::Disease, ("mine.tsv", &format!("id\tsynonym\n{rows}")));
        let concepts = files.load();
        if let Some(concept) = concepts.find(Task::Disease, &words) {
            prop_assert!((0.85..=1.0).contains(&concept.score));
            prop_assert_eq!(Some(concept.name.as_str()), concepts.name(&concept.code));
        }
    }
}
