//! Which of several concepts a name is that of.

use crate::files::{Files, check};
use stillroom_schemas::Task;

#[test]
fn the_concept_that_prefers_the_name() {
    let mut files = Files::new();
    let rows = "1 | lupus | systemic lupus erythematosus\n2 | Lupus | lupus\n0 | LUPUS | lupus vulgaris";
    files.add_tsv("mine", Task::Disease, "id\tsynonym\tpreferred_name", rows);
    check(&files.load(), Task::Disease, "lupus => exact mine:2 lupus");
}

#[test]
fn then_the_one_for_which_it_is_an_exact_synonym() {
    let term = |code: &str, name: &str, scope: &str| {
        format!("[Term]\nid: D:{code}\nname: {name}\nsynonym: \"flu\" {scope} []\n\n")
    };
    let terms =
        [term("1", "virus infection", "RELATED"), term("2", "influenza", "EXACT"), term("3", "grippe", "NARROW")];
    let mut files = Files::new();
    files.add("doid", Task::Disease, ("doid.obo", &format!("format-version: 1.2\n\n{}", terms.concat())));
    check(&files.load(), Task::Disease, "flu => exact doid:D:2 influenza");
}

#[test]
fn then_the_one_of_the_first_term_type() {
    let row = |code: &str, kind: &str, name: &str| {
        format!("{code}|ENG||||||1|1|{code}||RXNORM|{kind}|{code}|{name}||N|4096|\n")
    };
    let rows = [
        row("100", "BN", "Thymol"),
        row("500", "IN", "thymol"),
        row("300", "PIN", "thymol"),
        row("50", "SCD", "thymol"),
        row("60", "SBD", "senna"),
        row("70", "SCD", "senna"),
    ];
    let mut files = Files::new();
    files.add("rxnorm", Task::Medication, ("RXNCONSO.RRF", &rows.concat()));
    check(&files.load(), Task::Medication, "thymol => exact rxnorm:500 thymol\nSenna => exact rxnorm:70 senna");
}

#[test]
fn then_the_one_of_the_first_semantic_tag() {
    let header = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId";
    let row = |code: &str, term: &str| format!("1\t20250101\t1\tm\t{code}\ten\t900000000000003001\t{term}\tc\n");
    let text = format!("{header}\n{}{}", row("11", "Wheezing (finding)"), row("99", "Wheezing (disorder)"));
    let mut files = Files::new();
    let both = files.add("snomed_ct", Task::Disease, ("sct2_Description_Snapshot.txt", &text));
    both.tags = vec!["disorder".to_owned(), "finding".to_owned()];
    check(&files.load(), Task::Disease, "wheezing => exact snomed_ct:99 Wheezing");
    files.config.vocabularies[0].tags.reverse();
    check(&files.load(), Task::Disease, "wheezing => exact snomed_ct:11 Wheezing");
}

#[test]
fn then_the_smallest_code() {
    let mut files = Files::new();
    files.add_tsv("mine", Task::Disease, "id\tsynonym", "10 | gout\n9 | Gout\n11 | GOUT");
    check(&files.load(), Task::Disease, "gout => exact mine:9 Gout");
}

#[test]
fn of_normalised_names_one_in_the_same_order_goes_first() {
    let mut files = Files::new();
    let rows = "1 | lung cancer with brain metastasis\n2 | brain cancer with lung metastasis";
    files.add_tsv("mine", Task::Disease, "id\tsynonym", rows);
    check(
        &files.load(),
        Task::Disease,
        "brain cancer, with lung metastasis => normalised mine:2 brain cancer with lung metastasis
        lung cancer, with brain metastasis => normalised mine:1 lung cancer with brain metastasis",
    );
}

#[test]
fn of_fuzzy_names_the_nearest_then_as_ever() {
    let mut files = Files::new();
    let rows = "1 | carbamazepine\n2 | carbamazepina\n3 | Carbamazepina";
    files.add_tsv("mine", Task::Medication, "id\tsynonym", rows);
    check(
        &files.load(),
        Task::Medication,
        "carbamazepinea => fuzzy mine:1 carbamazepine 0.9231
        carbamazepinaa => fuzzy mine:2 carbamazepina 0.9231",
    );
}
