//! Definitions of cohorts: what is refused, and what is the same; days and hashes of words.

use proptest::prelude::*;
use std::collections::BTreeSet;
use stillroom_schemas::{Axes, Certainty, Cohort, Criterion, Day, Experiencer, Temporality, WordsHash, membership_key};

/// A cohort of whose lists this is the JSON.
fn cohort(lists: &str) -> Cohort {
    serde_json::from_str(&format!(r#"{{"name":"c",{lists}}}"#)).unwrap_or_else(|error| panic!("{lists}: {error}"))
}

/// A cohort with this criterion alone.
fn criterion(fields: &str) -> Criterion {
    cohort(&format!(r#""all":[{{{fields}}}]"#)).all.remove(0)
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_remedy() {
    let check = |lists: &str, expected: &str| {
        let error = cohort(lists).check().unwrap_err().to_string();
        assert!(error.contains(expected), "{lists}: {error}");
    };
    let disease = r#"{"task":"disease"}"#;
    check(r#""all":[]"#, "no criterion; put one into all or any");
    check(
        &format!(r#""none":[{disease}]"#),
        "would hold every other patient; put what its patients have into all or any",
    );
    check(r#""all":[{"days":3}]"#, "all[0]: it names neither task nor concepts nor words");
    check(
        &format!(r#""all":[{disease}],"none":[{disease},{{"words":["a"," "]}}]"#),
        "none[1]: one of its words is empty",
    );
    check(r#""any":[{"concepts":[{"vocabulary":"","code":"1"}]}]"#, "any[0]: a concept has an empty vocabulary");
    check(r#""all":[{"task":"disease","count":0}]"#, "it counts 0 notes; choose from 1 to 100");
    check(r#""all":[{"task":"disease","days":0}]"#, "it looks back 0 days; choose from 1 to 36525");
    check(r#""all":[{"task":"disease","assertion":{"certainty":[]}}]"#, "an axis of its assertion admits nothing");
    check(
        r#""all":[{"task":"disease","assertion":{"any":true,"experiencer":["family"]}}]"#,
        "any, and an axis is told beside it",
    );
    let many = vec![disease; 101].join(",");
    check(&format!(r#""all":[{many}]"#), "has 101 criteria, more than the 100 allowed");
    let counted = [r#"{"task":"disease","count":100}"#; 6].join(",");
    check(&format!(r#""all":[{counted}]"#), "count 600 notes together, more than the 500 allowed");
    let words = |word: &str, count: usize| {
        let list = vec![format!("{word:?}"); count].join(",");
        format!(r#""any":[{{"words":[{list}]}}]"#)
    };
    check(&words("a", 1001), "any[0]: it lists 1001 words, more than the 1000 allowed; share them out");
    check(&words(&"a".repeat(1025), 1), "any[0]: one of its words has 1025 bytes, more than the 1024 allowed");
    assert_eq!(cohort(&words(&"a".repeat(1024), 1000)).check(), Ok(()));
    assert!(Cohort { name: String::new(), ..cohort(&format!(r#""all":[{disease}]"#)) }.check().is_err());
    assert_eq!(cohort(&format!(r#""any":[{disease}],"none":[{disease}]"#)).check(), Ok(()));
}

#[test]
fn a_key_that_is_not_known_is_refused() {
    for line in [
        r#"{"name":"c","al":[]}"#,
        r#"{"name":"c","all":[{"task":"disease","dys":3}]}"#,
        r#"{"name":"c","all":[{"task":"disease","assertion":{"sure":["affirmed"]}}]}"#,
        r#"{"name":"c","all":[{"concepts":[{"vocabulary":"v","code":"1","descendants":false}]}]}"#,
    ] {
        let error = serde_json::from_str::<Cohort>(line).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{line}: {error}");
    }
}

#[test]
fn a_title_is_no_part_of_a_definition_and_all_else_is() {
    let one = cohort(r#""all":[{"task":"disease"}]"#);
    let titled = Cohort { title: Some("Anything".to_owned()), ..one.clone() };
    let spelled_out = cohort(
        r#""all":[{"task":"disease","descendants":true,"count":1,"assertion":{"any":false,"certainty":["affirmed"]}}],"any":[]"#,
    );
    let others = [
        cohort(r#""any":[{"task":"disease"}]"#),
        cohort(r#""all":[{"task":"disease","count":2}]"#),
        cohort(r#""all":[{"task":"disease","descendants":false}]"#),
        Cohort { name: "d".to_owned(), ..one.clone() },
    ];
    assert_eq!([titled.definition(), spelled_out.definition()], [one.definition(), one.definition()]);
    let definitions: BTreeSet<String> = others.iter().chain([&one]).map(Cohort::definition).collect();
    assert_eq!(definitions.len(), 5);
    assert!(definitions.iter().all(|digits| digits.len() == 12));
}

#[test]
fn present_is_affirmed_recent_and_of_the_patient() {
    let present = Axes::default();
    let negated = Axes { certainty: Certainty::Negated, ..present };
    let uncertain = Axes { certainty: Certainty::Uncertain, ..present };
    let historical = Axes { temporality: Temporality::Historical, ..present };
    let family = Axes { experiencer: Experiencer::Family, ..present };
    let check = |fields: &str, expected: [bool; 6]| {
        let filter = criterion(fields).assertion;
        let meant = [Some(present), Some(negated), Some(uncertain), Some(historical), Some(family), None];
        assert_eq!(meant.map(|meant| filter.admits(meant)), expected, "{fields}");
    };
    check(r#""task":"disease""#, [true, false, false, false, false, false]);
    check(r#""assertion":{"certainty":["affirmed","uncertain"]}"#, [true, false, true, false, false, false]);
    check(r#""assertion":{"experiencer":["family"]}"#, [false, false, false, false, true, false]);
    check(r#""assertion":{"temporality":["historical","recent"]}"#, [true, false, false, true, false, false]);
    check(r#""assertion":{"any":true}"#, [true; 6]);
}

#[test]
fn days_are_those_of_utc() {
    let check = |signed_at: &str, expected: Option<&str>| {
        assert_eq!(Day::of(signed_at).map(|day| day.to_string()).as_deref(), expected, "{signed_at}");
    };
    check("2026-11-25T22:30:00-05:00", Some("2026-11-26"));
    check("2026-11-26T00:30:00+01:00", Some("2026-11-25"));
    check("2026-11-26T10:00:00.125Z", Some("2026-11-26"));
    check("2026-11-26", Some("2026-11-26"));
    check(" 2026-11-26 08:15 ", Some("2026-11-26"));
    check("2026-11-26T08:15:00", Some("2026-11-26"));
    check("1970-01-01T00:00:00Z", Some("1970-01-01"));
    check("9999-12-31T23:59:59Z", Some("9999-12-31"));
    for not_a_day in
        ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "2026-02-30", "2026-11-261", "é026-11-26", "soon", ""]
    {
        check(not_a_day, None);
    }
    assert_eq!(Day::of("2000-03-01").map(Day::number), Some(11_017));
    for not_written_so in ["\"2026-11-26T00:00:00Z\"", "\"1969-12-31\"", "20783"] {
        assert!(serde_json::from_str::<Day>(not_written_so).is_err(), "{not_written_so}");
    }
}

#[test]
fn words_are_the_same_whatever_their_case_and_spaces() {
    let words = WordsHash::of("Chest  pain\u{a0}");
    assert_eq!(words, WordsHash::of("chest\npain"));
    assert_ne!(words, WordsHash::of("chestpain"));
    assert_ne!(words, WordsHash::of("chest pains"));
    // `printf 'chest pain' | sha256sum` begins so.
    assert_eq!(serde_json::to_string(&words).unwrap(), "\"1bce3b700f26488e\"");
    for wrong in ["\"12\"", "\"+123456789abcdef\"", "\"x123456789abcdef\"", "12"] {
        assert!(serde_json::from_str::<WordsHash>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_key_names_both() {
    assert_eq!(membership_key("a,b", "p \"1\""), br#"["a,b","p \"1\""]"#);
}

proptest! {
    #[test]
    fn days_and_hashes_come_back(number in 0..=2_932_896u32, bits in any::<u64>()) {
        let day = Day::from_number(number);
        prop_assert_eq!((day.number(), Day::of(&day.to_string())), (number, Some(day)));
        let json = serde_json::to_string(&(day, WordsHash(bits))).unwrap();
        prop_assert_eq!(serde_json::from_str::<(Day, WordsHash)>(&json).unwrap(), (day, WordsHash(bits)));
    }
}
