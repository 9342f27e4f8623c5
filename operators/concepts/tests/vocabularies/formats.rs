//! What is taken of each format, and which version stands in the codes.

use crate::files::{Files, check, code_of, codes};
use std::path::Path;
use stillroom_concepts::Concepts;
use stillroom_schemas::{Task, Tier};

/// Lines of `RXNCONSO.RRF`, of code, term type and name.
fn rxnconso(rows: &[(&str, &str, &str)]) -> String {
    let row = |(code, kind, name): &(&str, &str, &str)| {
        format!("{code}|ENG||||||1|1|{code}||RXNORM|{kind}|{code}|{name}||N|4096|\n")
    };
    rows.iter().map(row).collect()
}

/// Lines of `RXNREL.RRF`: what the first concept is to the second.
fn rxnrel(rows: &[(&str, &str, &str)]) -> String {
    let row = |(of, kind, to): &(&str, &str, &str)| format!("{to}||CUI|RO|{of}||CUI|{kind}|1||RXNORM|RXNORM|||||\n");
    rows.iter().map(row).collect()
}

fn rxnorm() -> (Files, Concepts) {
    let mut files = Files::new();
    let names = rxnconso(&[
        ("6809", "IN", "metformin"),
        ("235743", "PIN", "metformin hydrochloride"),
        ("593411", "IN", "sitagliptin"),
        ("151827", "BN", "Glucophage"),
        ("638596", "BN", "Janumet"),
        ("316255", "SCDC", "metformin hydrochloride 500 MG"),
        ("861007", "SCD", "metformin hydrochloride 500 MG Oral Tablet"),
        ("861007", "PSN", "metformin HCl 500 MG Oral Tablet"),
        ("861010", "SBD", "metformin hydrochloride 500 MG Oral Tablet [Glucophage]"),
        ("317541", "DF", "Oral Tablet"),
    ]);
    let relations = rxnrel(&[
        ("151827", "tradename_of", "6809"),
        ("6809", "has_tradename", "151827"),
        ("638596", "tradename_of", "6809"),
        ("638596", "tradename_of", "593411"),
        ("235743", "form_of", "6809"),
        ("316255", "has_precise_ingredient", "235743"),
        ("316255", "has_ingredient", "6809"),
        ("861007", "consists_of", "316255"),
        ("861010", "tradename_of", "861007"),
        ("861010", "has_ingredient", "151827"),
        ("861007", "has_dose_form", "317541"),
    ]);
    files.write("rrf/RXNREL.RRF", &relations);
    files.write("rrf/RXNSAB.RRF", "C1|C2|RXNORM_20AA_251006F|RXNORM|RxNorm|RXNORM|20AA_251006F|||||\n");
    files.add("rxnorm", Task::Medication, ("rrf/RXNCONSO.RRF", &names));
    let concepts = files.load();
    (files, concepts)
}

#[test]
fn brands_and_products_have_ingredients() {
    let (_files, concepts) = rxnorm();
    check(
        &concepts,
        Task::Medication,
        "Glucophage => exact rxnorm:151827 Glucophage of rxnorm:6809
        JANUMET => exact rxnorm:638596 Janumet of rxnorm:6809 rxnorm:593411
        metformin => exact rxnorm:6809 metformin
        Metformin Hydrochloride => exact rxnorm:235743 metformin hydrochloride of rxnorm:6809
        metformin hcl 500 mg oral tablet => exact rxnorm:861007 metformin hydrochloride 500 MG Oral Tablet of rxnorm:6809
        metformin hydrochloride 500 mg => exact rxnorm:316255 metformin hydrochloride 500 MG of rxnorm:6809
        oral tablet => unknown",
    );
    assert_eq!(concepts.find(Task::Disease, "metformin"), None);
    assert_eq!(concepts.find(Task::Medication, "Glucophage").unwrap().version, "20AA_251006F");
}

#[test]
fn everything_that_is_made_of_an_ingredient_is_below_it() {
    let (_files, concepts) = rxnorm();
    let [metformin, sitagliptin, tablet] = ["6809", "593411", "861010"].map(|code| code_of("rxnorm", code));
    let below = ["151827", "235743", "316255", "638596", "6809", "861007", "861010"];
    assert_eq!(codes(concepts.descendants(&metformin)), below);
    assert_eq!(concepts.descendants(&metformin).next(), Some(metformin.clone()));
    assert_eq!(codes(concepts.descendants(&sitagliptin)), ["593411", "638596"]);
    assert_eq!(codes(concepts.ancestors(&tablet)), ["151827", "235743", "316255", "6809", "861007", "861010"]);
    assert_eq!(concepts.name(&metformin), Some("metformin"));
    let stats = &concepts.vocabularies()[0];
    // The two rows about Glucophage and metformin are one relation; that to the dose form leads nowhere.
    assert_eq!((stats.names, stats.concepts, stats.relations, stats.cyclic), (9, 8, 9, 0));
    assert_eq!(stats.relations_report.as_ref().unwrap().relations, 10);
}

const DESCRIPTIONS: &str =
    "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId";
const RELATIONSHIPS: &str = "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\t\
                             characteristicTypeId\tmodifierId";
const CONCEPTS: &str = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId";

/// A folder of SNOMED CT: descriptions (concept, whether fully specified, term), relationships (source, type, destination), and
/// concepts that are retired.
fn snomed(tasks: &[Task]) -> (Files, Concepts) {
    let description = |(concept, kind, term): (&str, &str, &str)| {
        let kind = if kind == "FSN" { "900000000000003001" } else { "900000000000013009" };
        format!("1\t20250101\t1\tm\t{concept}\ten\t{kind}\t{term}\tc\r\n")
    };
    let descriptions = [
        ("64572001", "FSN", "Disease (disorder)"),
        ("38341003", "FSN", "Hypertensive disorder, systemic arterial (disorder)"),
        ("38341003", "SYN", "HTN - Hypertension"),
        ("38341003", "SYN", "Hypertension"),
        ("24700007", "FSN", "Multiple sclerosis (disorder)"),
        ("24700007", "SYN", "MS - Multiple sclerosis"),
        ("79619009", "FSN", "Mitral valve stenosis (disorder)"),
        ("79619009", "SYN", "MS - Mitral stenosis"),
        ("25064002", "FSN", "Headache (finding)"),
        ("25064002", "SYN", "Cephalgia"),
        ("111111111", "FSN", "Old disease (disorder)"),
        ("387458008", "FSN", "Aspirin (substance)"),
        ("7947003", "FSN", "Product containing aspirin (medicinal product)"),
    ];
    let relationship = |(from, kind, to): (&str, &str, &str)| {
        format!("1\t20250101\t1\tm\t{from}\t{to}\t0\t{kind}\t900000000000011006\t900000000000451002\r\n")
    };
    let relationships = [
        ("38341003", "116680003", "64572001"),
        ("24700007", "116680003", "118940003"),
        ("118940003", "116680003", "64572001"),
        ("7947003", "127489000", "387458008"),
    ];
    let mut files = Files::new();
    let rows: String = descriptions.into_iter().map(description).collect();
    let text = format!("{DESCRIPTIONS}\r\n{rows}");
    files.add("snomed_ct", Task::Disease, ("sct2_Description_Snapshot-en_INT_20250101.txt", &text)).tasks =
        tasks.to_vec();
    let rows: String = relationships.into_iter().map(relationship).collect();
    files.write("sct2_Relationship_Snapshot_INT_20250101.txt", &format!("{RELATIONSHIPS}\r\n{rows}"));
    let concept =
        |(code, _, _): (&str, &str, &str)| format!("{code}\t20250101\t{}\tm\td\r\n", u8::from(code != "111111111"));
    let rows: String = descriptions.into_iter().map(concept).collect();
    files.write("sct2_Concept_Snapshot_INT_20250101.txt", &format!("{CONCEPTS}\r\n{rows}"));
    let concepts = files.load();
    (files, concepts)
}

#[test]
fn snomed_is_read_with_what_lies_beside_it() {
    let (_files, concepts) = snomed(&[Task::Disease]);
    check(
        &concepts,
        Task::Disease,
        "hypertension => exact snomed_ct:38341003 Hypertensive disorder, systemic arterial
        htn => abbreviation snomed_ct:38341003 Hypertensive disorder, systemic arterial
        old disease => unknown
        headache => unknown
        MS => unknown",
    );
    let disease = code_of("snomed_ct", "64572001");
    assert_eq!(codes(concepts.descendants(&disease)), ["118940003", "24700007", "38341003", "64572001"]);
    // A concept of another tag stands on the way, and has no name here.
    assert_eq!(concepts.name(&code_of("snomed_ct", "118940003")), None);
    assert_eq!(concepts.vocabularies()[0].version, "20250101");
}

#[test]
fn a_vocabulary_serves_the_tasks_that_it_is_named_for() {
    let (_files, concepts) = snomed(&[Task::Symptom, Task::Medication]);
    check(&concepts, Task::Symptom, "cephalgia => exact snomed_ct:25064002 Headache\nhypertension => unknown");
    check(
        &concepts,
        Task::Medication,
        "product containing aspirin => exact snomed_ct:7947003 Product containing aspirin of snomed_ct:387458008
        aspirin => exact snomed_ct:387458008 Aspirin",
    );
}

#[test]
fn obo_has_is_a_with_diamonds_and_cycles() {
    let term = |(code, name, parents): (&str, &str, &[&str])| {
        let parents: String = parents.iter().map(|parent| format!("is_a: {parent} ! above\n")).collect();
        format!("[Term]\nid: {code}\nname: {name}\n{parents}\n")
    };
    let terms: [(&str, &str, &[&str]); 7] = [
        ("D:1", "disease", &[]),
        ("D:2", "lung disease", &["D:1"]),
        ("D:3", "cancer", &["D:1"]),
        ("D:4", "lung cancer", &["D:2", "D:3"]),
        ("D:5", "one", &["D:6"]),
        ("D:6", "other", &["D:5"]),
        ("D:7", "small cell lung cancer", &["D:4"]),
    ];
    let mut files = Files::new();
    let text = terms.into_iter().map(term).collect::<String>();
    let text = format!("format-version: 1.2\ndata-version: releases/2025-06-27\n\n{text}");
    files.add("doid", Task::Disease, ("doid.obo", &text));
    let concepts = files.load();
    assert_eq!(codes(concepts.descendants(&code_of("doid", "D:1"))), ["D:1", "D:2", "D:3", "D:4", "D:7"]);
    assert_eq!(codes(concepts.ancestors(&code_of("doid", "D:7"))), ["D:1", "D:2", "D:3", "D:4", "D:7"]);
    assert_eq!(codes(concepts.descendants(&code_of("doid", "D:5"))), ["D:5", "D:6"]);
    let stats = &concepts.vocabularies()[0];
    assert_eq!((stats.cyclic, stats.cyclic_first.join(" ")), (2, "D:5 D:6".to_owned()));
    assert_eq!(concepts.find(Task::Disease, "lung cancers").unwrap().version, "releases/2025-06-27");
}

#[test]
fn an_unknown_code_is_alone() {
    let (_files, concepts) = rxnorm();
    for unknown in [code_of("rxnorm", "1"), code_of("doid", "6809")] {
        assert!(concepts.descendants(&unknown).eq([unknown.clone()]));
        assert_eq!((concepts.ancestors(&unknown).count(), concepts.name(&unknown)), (1, None));
    }
}

#[test]
fn tsv_has_preferred_names_parents_and_ingredients() {
    let mut files = Files::new();
    files.add_tsv(
        "mine",
        Task::Medication,
        "id\tsynonym\tpreferred_name\tparents\tingredients",
        "1 | acetylsalicylic acid | aspirin |  | \n2 | ecotrin | Ecotrin | 3 | 1\n3 | tablets | tablets |  | ",
    );
    let concepts = files.load();
    check(
        &concepts,
        Task::Medication,
        "acetylsalicylic acid => exact mine:1 aspirin
        aspirin => exact mine:1 aspirin
        ECOTRIN => exact mine:2 Ecotrin of mine:1",
    );
    assert_eq!(codes(concepts.descendants(&code_of("mine", "3"))), ["2", "3"]);
    assert_eq!(concepts.find(Task::Medication, "aspirin").unwrap().version, "1");
}

#[test]
fn a_version_is_told_or_the_hash_of_the_file() {
    let mut files = Files::new();
    files.add("mine", Task::Disease, ("mine.tsv", "id\tsynonym\n1\tgout\n"));
    let version = |files: &Files| files.load().find(Task::Disease, "gout").unwrap().version;
    let hash = version(&files);
    assert!(hash.starts_with("sha256:") && hash.len() == 19, "{hash}");
    files.write("mine.tsv", "id\tsynonym\n1\tgout\n2\tscurvy\n");
    assert_ne!(version(&files), hash);
    files.config.vocabularies[0].version = Some("March".to_owned());
    assert_eq!(version(&files), "March");
}

#[test]
fn the_public_vocabularies_are_read_where_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vocab");
    if !folder.exists() {
        println!("skipped: there are no vocabularies at {}", folder.display());
        return;
    }
    let mut files = Files::new();
    for (name, task, file) in [
        ("doid", Task::Disease, "disease_doid.tsv"),
        ("rxnorm", Task::Medication, "medication_rxnorm_prescribable_partial.tsv"),
        ("symp", Task::Symptom, "symptom_symp.tsv"),
    ] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        files.add(name, task, (file, &text));
    }
    let concepts = files.load();
    let tier = |task: Task, words: &str| concepts.find(task, words).map(|concept| (concept.tier, concept.name));
    let of = |tier: Tier, name: &str| Some((tier, name.to_owned()));
    assert_eq!(tier(Task::Disease, "Asthma"), of(Tier::Exact, "asthma"));
    let diabetes = "type 2 diabetes mellitus";
    assert_eq!(tier(Task::Disease, "diabetes mellitus, type II"), of(Tier::Normalised, diabetes));
    assert_eq!(tier(Task::Disease, "T2DM"), of(Tier::Abbreviation, diabetes));
    assert_eq!(tier(Task::Medication, "metforman"), of(Tier::Fuzzy, "metformin"));
    assert_eq!(tier(Task::Symptom, "a nice cup of tea"), None);
}
