//! What sections say.

use crate::{CONTEXT, check};
use stillroom_assertion::Marked;

/// The sections of the entities of a marked text.
fn check_sections(source: &str, expected: &[Option<&str>]) {
    let Marked { text, spans } = Marked::read(source);
    let asserted = CONTEXT.assert(&text, &spans);
    let sections: Vec<Option<&str>> = asserted.iter().map(|asserted| asserted.section.as_deref()).collect();
    assert_eq!(sections, expected, "{text}");
}

#[test]
fn sections_speak_where_no_trigger_does() {
    check("FAMILY HISTORY: [d:gout]", r#"gout family by "family history""#);
    check(
        "Family History:\n[d:Gout], no [d:lupus]",
        r#"Gout family by "family history"; lupus family by "family history", negated by "no""#,
    );
    check("Allergies: [m:sulfa], causes [s:hives]", r#"sulfa negated by "allergies"; hives historical by "allergies""#);
    check(
        "PMH:\n1. [d:Hypertension]\n2. [d:Pneumonia]\n3. possible [d:gout]",
        r#"Hypertension affirmed; Pneumonia historical by "pmh"; gout uncertain by "possible""#,
    );
    check("Return precautions: [s:fever]", r#"fever hypothetical by "return precautions""#);
    check("Plan: [m:vancomycin]", "vancomycin affirmed");
}

#[test]
fn the_next_heading_ends_a_section() {
    check("FH: gout\nPE: [s:wheezes]", "wheezes affirmed");
    check("FH: gout\n\nTRAVEL HISTORY\nnone, [s:cough]", "cough affirmed");
    check("FH: gout. SOCIAL HISTORY: [d:alcoholism]", "alcoholism affirmed");
    check("FH: gout.\n\n[d:Lupus]", r#"Lupus family by "fh""#);
}

#[test]
fn a_body_system_ends_a_history_and_no_examination() {
    check("FAMILY HISTORY: CAD.\nHEENT: [d:conjunctivitis]", "conjunctivitis affirmed");
    check("PMH: gout\nLungs: [d:pneumonia]\nSkin: no [s:rash]", r#"pneumonia affirmed; rash negated by ": no""#);
    check("Allergies: none\n\nNeck: [s:stiffness]", "stiffness affirmed");
    check_sections("FH: gout\nHEENT: [d:conjunctivitis]\nCV: [s:murmur]", &[Some("body_system"); 2]);
    check_sections("ROS: [s:cough]\nGI: [s:nausea]", &[Some("review_of_systems"); 2]);
    check_sections("Exam:\nGeneral: [s:distress]\nAbd: [s:guarding]", &[Some("physical_exam"); 2]);
    check_sections("Lungs: [s:wheezes]", &[None]);
    // Neither without a colon nor within a line, nor where the history itself is told by systems.
    check("FH: gout\nHeart [d:failure]", r#"failure family by "fh""#);
    check("FH: gout. Heart: [d:failure]", r#"failure family by "fh""#);
    check(
        "Family history:\nCardiac: [d:stroke]\nGI: [d:polyps]\n\nGI: [d:ulcer]",
        r#"stroke family by "family history"; polyps family by "family history"; ulcer affirmed"#,
    );
}

#[test]
fn an_item_that_is_called_as_a_section_is_none() {
    check("PMH:\n1. Allergies\n2. [d:Pneumonia]\n3. [d:Asthma]", r#"Pneumonia historical by "pmh"; Asthma affirmed"#);
    check_sections("PMH:\n- Allergies\n- [d:gout]", &[Some("past_medical_history")]);
    check_sections("PMH: gout\n2. ALLERGIES\n[m:Sulfa]", &[Some("allergies")]);
    check_sections("PMH: gout\n## Allergies\n[m:Sulfa]", &[Some("allergies")]);
    check_sections("PMH: gout\n- Allergies: [m:sulfa]", &[Some("allergies")]);
}

#[test]
fn sections_are_named() {
    check_sections(
        "[s:Cough]\nHPI:\n[s:fever]\n\nASSESSMENT AND PLAN\n1. [d:Gout]\n\nCODE STATUS: full, [d:lupus]",
        &[None, Some("history_of_present_illness"), Some("assessment_and_plan"), None],
    );
    check_sections("Past Medical History - [d:gout]", &[Some("past_medical_history")]);
    check_sections("**Plan**: [m:iron]", &[Some("plan")]);
}

#[test]
fn a_heading_is_no_text_and_no_entity() {
    check("[d:PE]: was excluded", r#"PE negated by "was excluded""#);
    check_sections("[d:PE]: was excluded", &[None]);
    check("his family history [d:gout]", r#"gout family by "family history""#);
    check_sections("his family history [d:gout]", &[None]);
}
