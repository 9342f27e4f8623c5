//! Triggers and their scopes.

use crate::check;

#[test]
fn forward_triggers_reach_over_enumerations() {
    check(
        "Denies [s:fever], [s:chills] or [s:cough].",
        r#"fever negated by "denies"; chills negated by "denies"; cough negated by "denies""#,
    );
    check("CXR is negative for [d:pneumonia].", r#"pneumonia negated by "is negative for""#);
    check("No evidence of [d:DVT].", r#"DVT negated by "no evidence of""#);
    check("He was ruled out for [d:MI].", r#"MI negated by "was ruled out for""#);
    check("W/o [s:edema]", r#"edema negated by "w/o""#);
    check("She doesn\u{2019}t have [d:gout].", r#"gout negated by "doesn't have""#);
}

#[test]
fn backward_triggers_reach_over_their_enumeration_alone() {
    check("[d:PE] was excluded.", r#"PE negated by "was excluded""#);
    check(
        "[s:Fever], [s:chills] and [s:cough] were denied.",
        r#"Fever negated by "were denied"; chills negated by "were denied"; cough negated by "were denied""#,
    );
    check(
        "CT for [s:chest pain] showed an [s:infiltrate] which was treated, and [d:PE] was excluded.",
        r#"chest pain affirmed; infiltrate affirmed; PE negated by "was excluded""#,
    );
    check("[s:Cough] (+), [s:hemoptysis] (-)", r#"Cough affirmed; hemoptysis negated by "(-)""#);
}

#[test]
fn new_clauses_end_scopes() {
    check("Denies [s:fever] but has [s:cough].", r#"fever negated by "denies"; cough affirmed"#);
    check("No [s:pain], however [s:edema] is there.", r#"pain negated by "no"; edema affirmed"#);
    check("Not [d:pneumonia] but [d:bronchitis].", r#"pneumonia negated by "not"; bronchitis affirmed"#);
    check("Negative for [d:DVT]; he has [d:cellulitis].", r#"DVT negated by "negative for"; cellulitis affirmed"#);
    check("No complaints except for [s:headache].", "headache affirmed");
    check("Denies [s:nausea], reports [s:dizziness].", r#"nausea negated by "denies"; dizziness affirmed"#);
    check("No [s:fever] on [m:Tylenol].", r#"fever negated by "no"; Tylenol affirmed"#);
    check(
        "History of [d:stroke], presents with [s:aphasia].",
        r#"stroke historical by "history of"; aphasia affirmed"#,
    );
}

#[test]
fn a_trigger_takes_over_from_the_one_before() {
    check("Denies [s:fever], possible [s:chills].", r#"fever negated by "denies"; chills uncertain by "possible""#);
    check("Possible [d:PE] was excluded.", r#"PE negated by "was excluded""#);
    check(
        "If [s:fever] recurs: history of [d:sepsis].",
        r#"fever hypothetical by "if"; sepsis historical by "history of""#,
    );
}

#[test]
fn double_negations_negate_nothing() {
    check("Cannot exclude [d:pneumonia].", r#"pneumonia uncertain by "cannot exclude""#);
    check("[d:Abscess] cannot be ruled out.", r#"Abscess uncertain by "cannot be ruled out""#);
    check("She is not without [s:pain].", "pain affirmed");
    check("He does not deny [s:cough].", "cough affirmed");
}

#[test]
fn what_only_looks_like_a_trigger_is_none() {
    check("No increase in [s:dyspnea].", "dyspnea affirmed");
    check("Not only [s:fever] but also [s:rigors].", "fever affirmed; rigors affirmed");
    check("Gram negative [d:bacteremia].", "bacteremia affirmed");
    check("History of present illness: [s:cough].", "cough affirmed");
    check("A noble man with [s:cough], nose [s:pain].", "cough affirmed; pain affirmed");
}

#[test]
fn a_trigger_within_an_entity_acts_on_nothing() {
    check("[s:no appetite], [s:fever]", "no appetite affirmed; fever affirmed");
    check("Has [d:history of falls] and [d:gout].", "history of falls affirmed; gout affirmed");
    check("No [d:history of falls].", r#"history of falls negated by "no""#);
}

#[test]
fn a_trigger_crosses_no_sentence() {
    check("No fever. [s:Cough] today.", "Cough affirmed");
    check("- no pain\n- [s:edema]", "edema affirmed");
    check("No pain\n\n[s:Edema]", "Edema affirmed");
    check("[s:Edema]\nIs denied by nobody.", "Edema affirmed");
    check("Denies fever, chills or\n[s:cough]", r#"cough negated by "denies""#);
    check("Seen by Dr. Doe, who found no [s:rash].", r#"rash negated by "no""#);
}

#[test]
fn what_leads_to_a_list_acts_on_its_items() {
    check("Denies:\n- [s:fever]\n- [s:chills]", r#"fever negated by "denies"; chills negated by "denies""#);
    check(
        "No history of the following:\n1. [d:Stroke]\n2. [d:Gout]",
        r#"Stroke negated by "no", historical by "history of"; Gout negated by "no""#,
    );
    check(
        "Call if you have:\n- [s:fever]\n- [s:chills]",
        r#"fever hypothetical by "call if"; chills hypothetical by "call if""#,
    );
    check("ROS: denies:\n- [s:fever], but has [s:cough]", r#"fever negated by "denies"; cough affirmed"#);
    check("Denies:\n- possible [s:fever]", r#"fever uncertain by "possible""#);
    check("Denies:\n- [s:fever]\n\n- [s:edema]", r#"fever negated by "denies"; edema affirmed"#);
    check("Denies:\n- [s:fever]\nHas [s:edema]", r#"fever negated by "denies"; edema affirmed"#);
    check("Denies:\n- [s:fever]\nReports:\n- [s:edema]", r#"fever negated by "denies"; edema affirmed"#);
    check("Denies pain. Problems:\n- [d:gout]", "gout affirmed");
    check("He did not bring the list of all of his pills:\n- [m:aspirin]", "aspirin affirmed");
    check("Symptoms:\n- no [s:fever]\n- [s:cough]", r#"fever negated by "- no"; cough affirmed"#);
}

#[test]
fn triggers_are_for_their_tasks() {
    check("Allergic to [m:penicillin].", r#"penicillin negated by "allergic to""#);
    check("Not on [m:warfarin].", r#"warfarin negated by "not on""#);
    check("Stopped [m:metformin].", r#"metformin historical by "stopped""#);
    check(
        "[m:Lisinopril] was discontinued for [s:cough].",
        r#"Lisinopril historical by "was discontinued"; cough affirmed"#,
    );
    check("[m:Tylenol] as needed for [s:pain].", r#"Tylenol affirmed; pain hypothetical by "as needed for""#);
    check("Consider starting [m:methotrexate].", r#"methotrexate hypothetical by "consider starting""#);
}

#[test]
fn time_and_person() {
    check("History of [d:stroke].", r#"stroke historical by "history of""#);
    check("History of [d:type 2 diabetes].", "type 2 diabetes affirmed");
    check("[d:Pneumonia] in 2010.", r#"Pneumonia historical by "in ####""#);
    check("[d:Shingles] 3 years ago.", r##"Shingles historical by "# years ago""##);
    check(
        "Return if [s:fever] or [s:chills].",
        r#"fever hypothetical by "return if"; chills hypothetical by "return if""#,
    );
    check("Mother had [d:lupus].", r#"lupus family by "mother had""#);
    check("Mother denies [s:fever].", r#"fever negated by "mother denies""#);
    check("No family history of [d:colon cancer].", r#"colon cancer negated by "no", family by "family history of""#);
    check("Denies history of [d:stroke].", r#"stroke negated by "denies", historical by "history of""#);
    check("The donor had [d:hepatitis C].", r#"hepatitis C other by "the donor""#);
    check("His father has [d:gout]; patient has [s:cough].", r#"gout family by "his father"; cough affirmed"#);
}

#[test]
fn boxes_and_answers() {
    check("[ ] [s:fever]  [x] [s:cough]", r#"fever negated by "[ ]"; cough affirmed"#);
    check("[s:Fever]: no\n[s:Cough]: yes", r#"Fever negated by ": no"; Cough affirmed"#);
    check("[s:Rash]? No. [s:Cough]? Yes.", r#"Rash negated by "? no"; Cough affirmed"#);
    check("[d:Gout]: no [s:flare] today", r#"Gout affirmed; flare negated by ": no""#);
    check("[s:Pain]: [ ] yes [x] no", r#"Pain negated by "[ ] yes [x] no""#);
}

#[test]
fn spans_that_are_no_words_are_affirmed() {
    use stillroom_schemas::{Span, Task};
    let spans = [(0, 0), (2, 3), (90, 99), (3, 1), (u32::MAX, u32::MAX)];
    let spans = spans.map(|(start, end)| Span { task: Task::Disease, start, end });
    let asserted = crate::CONTEXT.assert("no gout", &spans);
    assert!(asserted.iter().all(|asserted| *asserted == Default::default()));
    assert!(crate::CONTEXT.assert("", &[]).is_empty());
}
