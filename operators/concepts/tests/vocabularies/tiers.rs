//! How words come to a concept.

use crate::files::{Files, check};
use stillroom_schemas::Task;

const DISEASES: &str = "\
1 | asthma
2 | type 2 diabetes mellitus
2 | NIDDM
3 | chronic obstructive pulmonary disease
4 | hypertension
5 | myocardial infarction
6 | hypothyroidism
7 | hepatitis B
8 | Crohn's disease
9 | iron deficiency anemia
10 | nausea and vomiting
11 | renal failure (RF)
12 | RF - rheumatic fever
13 | Left ventricular failure (LVF)";

fn diseases() -> Files {
    let mut files = Files::new();
    files.add_tsv("mine", Task::Disease, "id\tsynonym", DISEASES);
    files
}

#[test]
fn exact_but_for_case_and_white_space() {
    check(
        &diseases().load(),
        Task::Disease,
        "ASTHMA => exact mine:1 asthma
        Type  2 Diabetes\u{a0}mellitus => exact mine:2 type 2 diabetes mellitus
        niddm => exact mine:2 type 2 diabetes mellitus
        CROHN'S disease => exact mine:8 Crohn's disease",
    );
}

#[test]
fn normalised_in_plural_spelling_punctuation_order_and_stop_words() {
    check(
        &diseases().load(),
        Task::Disease,
        "Diabetes mellitus, type II => normalised mine:2 type 2 diabetes mellitus
        Crohn disease => normalised mine:8 Crohn's disease
        Crohns' diseases => normalised mine:8 Crohn's disease
        iron-deficiency anaemias => normalised mine:9 iron deficiency anemia
        failure of the left ventricular LVF => normalised mine:13 Left ventricular failure (LVF)
        vomiting/nausea => normalised mine:10 nausea and vomiting",
    );
}

#[test]
fn abbreviations_of_the_program_of_users_and_of_the_vocabulary() {
    let mut files = diseases();
    let mine = files.write("mine.abbreviations", "IDA\tiron deficiency anemia\nasth\tasthma\tsymptom\n");
    files.config.abbreviations = vec![mine];
    let concepts = files.load();
    check(
        &concepts,
        Task::Disease,
        "HTN => abbreviation mine:4 hypertension
        T2DM => abbreviation mine:2 type 2 diabetes mellitus
        type 2 diabetes => abbreviation mine:2 type 2 diabetes mellitus
        diabetes type II => abbreviation mine:2 type 2 diabetes mellitus
        C.O.P.D. => abbreviation mine:3 chronic obstructive pulmonary disease
        MIs => abbreviation mine:5 myocardial infarction
        IDA => abbreviation mine:9 iron deficiency anemia
        LVF => abbreviation mine:13 Left ventricular failure (LVF)
        asth => unknown
        CKD => unknown
        RF => unknown",
    );
    files.config.own_abbreviations = false;
    files.config.abbreviations.clear();
    let concepts = files.load();
    check(&concepts, Task::Disease, "HTN => unknown\nLVF => abbreviation mine:13 Left ventricular failure (LVF)");
}

#[test]
fn fuzzy_by_a_letter_in_seven() {
    let mut files = diseases();
    check(
        &files.load(),
        Task::Disease,
        "hypertention => fuzzy mine:4 hypertension 0.9167
        hypertesnion => fuzzy mine:4 hypertension 0.9167
        chronic obstuctive pulmonary diseas => fuzzy mine:3 chronic obstructive pulmonary disease 0.9459
        hyperthyroidism => unknown
        hepatitis C => unknown
        astma => unknown
        astmha => unknown",
    );
    files.config.fuzzy_score_min = 0.8;
    check(&files.load(), Task::Disease, "asthna => fuzzy mine:1 asthma 0.8333\nhepatitis C => unknown");
    files.config.fuzzy_score_min = 1.0;
    check(&files.load(), Task::Disease, "hypertention => unknown\nhypertensions => normalised mine:4 hypertension");
}

#[test]
fn unknown_stays_unknown() {
    let concepts = diseases().load();
    let long = "a".repeat(5000);
    for words in ["", "  ", "...", "of the", "broken leg", "\u{1f600}", long.as_str(), "disease"] {
        assert_eq!(concepts.find(Task::Disease, words), None, "{words}");
    }
    assert_eq!(concepts.find(Task::Symptom, "asthma"), None);
    assert_eq!(Files::new().load().find(Task::Disease, "asthma"), None);
}

#[test]
fn the_tier_goes_before_the_vocabulary_and_the_vocabulary_before_the_rest() {
    let mut files = Files::new();
    files.add_tsv("first", Task::Symptom, "id\tsynonym", "2 | fevers\n3 | chill");
    files.add_tsv("second", Task::Symptom, "id\tsynonym", "1 | fever\n1 | fevers");
    let concepts = files.load();
    check(
        &concepts,
        Task::Symptom,
        "fevers => exact first:2 fevers
        fever => exact second:1 fever
        feveres => unknown
        Chills => normalised first:3 chill",
    );
}

#[test]
fn a_name_of_another_task_is_no_misspelling() {
    let mut files = Files::new();
    files.add_tsv("findings", Task::Symptom, "id\tsynonym", "1 | renal calcification");
    check(&files.load(), Task::Symptom, "renal calcifications => normalised findings:1 renal calcification");
    check(&files.load(), Task::Symptom, "renal calcificution => fuzzy findings:1 renal calcification 0.9474");
    files.add_tsv("disorders", Task::Disease, "id\tsynonym", "2 | renal calcificution");
    let concepts = files.load();
    check(&concepts, Task::Symptom, "renal calcificution => unknown\nrenal calcificutions => unknown");
    check(&concepts, Task::Symptom, "renal calcificatiom => fuzzy findings:1 renal calcification 0.9474");
    check(&concepts, Task::Disease, "renal calcificution => exact disorders:2 renal calcificution");
}

#[test]
fn a_medication_is_found_without_its_strength_and_form() {
    let mut files = diseases();
    let rows = "1 | levothyroxine\n2 | Lipitor\n3 | metformin\n4 | metformin 500 mg tablets\n5 | vitamin D";
    files.add_tsv("drugs", Task::Medication, "id\tsynonym", rows);
    let concepts = files.load();
    check(
        &concepts,
        Task::Medication,
        "Levothyroxine 88 mcg => normalised drugs:1 levothyroxine
        Lipitor 20mg => normalised drugs:2 Lipitor
        Lipitor (20 mg) => normalised drugs:2 Lipitor
        metformin 500 mg tablets => exact drugs:4 metformin 500 mg tablets
        metformin 850 mg tablets => normalised drugs:3 metformin
        vitamin D 50,000 units => normalised drugs:5 vitamin D
        levothyroxime 88 mcg => fuzzy drugs:1 levothyroxine 0.9231
        vitamin E 400 units => unknown
        500 mg tablets => unknown",
    );
    check(&concepts, Task::Disease, "asthma => exact mine:1 asthma\nasthma 5 mg => unknown");
}

#[test]
fn it_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&diseases().load());
}
