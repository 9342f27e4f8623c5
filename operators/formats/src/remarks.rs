//! What is known of an entity besides its place, in words for people.

use crate::names;
use stillroom_schemas::Entity;

/// The score, the section, what decided how the entity is meant, its concept and its dosage, one remark each. A dosage is in words of
/// the note.
pub(crate) fn remarks(entity: &Entity) -> Vec<String> {
    let mut remarks = vec![format!("score {}", entity.score)];
    if let Some(assertion) = &entity.assertion {
        remarks.extend(assertion.cues.iter().map(|cue| format!("{} by {:?}", cue.says, cue.trigger)));
    }
    remarks.extend(entity.section.iter().map(|section| format!("section {section}")));
    if let Some(concept) = &entity.concept {
        let (vocabulary, code) = (&concept.code.vocabulary, &concept.code.code);
        let (name, version, tier) = (&concept.name, &concept.version, names::tier(concept.tier));
        remarks.push(format!("{vocabulary} {code} {name} ({tier}, {version})"));
    }
    if let Some(dosage) = &entity.dosage {
        remarks.extend(dosage.parts().map(|(what, stated)| format!("{what} {}", stated.text)));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use stillroom_schemas::{Assertion, Code, Concept, Cue, Dosage, Stated, Task, Tier};

    #[test]
    fn all_that_is_known_is_said() {
        let mut entity = testing::entity(Task::Medication, [0, 9], "metformin");
        assert_eq!(remarks(&entity), ["score 0.9375"]);
        let cue = |says: &str, trigger: &str| Cue { says: says.into(), trigger: trigger.into(), start: 0, end: 1 };
        let cues = vec![cue("negated", "denies"), cue("historical", "h/o")];
        entity.assertion = Some(Assertion { cues, ..Assertion::default() });
        entity.section = Some("plan".into());
        entity.concept = Some(Concept {
            code: Code { vocabulary: "rxnorm".into(), code: "6809".into() },
            version: "2026-11".into(),
            name: "metformin".into(),
            tier: Tier::Fuzzy,
            score: 0.9,
            ingredients: Vec::new(),
        });
        let stated = |text: &str| Some(Stated { start: 0, end: 1, text: text.into() });
        entity.dosage = Some(Dosage { dose: stated("2 tablets"), route: stated("by mouth"), ..Dosage::default() });
        assert_eq!(
            remarks(&entity),
            [
                "score 0.9375",
                "negated by \"denies\"",
                "historical by \"h/o\"",
                "section plan",
                "rxnorm 6809 metformin (fuzzy, 2026-11)",
                "dose 2 tablets",
                "route by mouth",
            ]
        );
    }
}
