//! Pieces of a note as elements of a page.

use super::pieces::{Part, Piece};
use crate::names;
use crate::remarks::remarks;
use maud::{Markup, html};
use stillroom_schemas::{Assertion, Certainty, Entity, Experiencer, Temporality};

/// A way in which a note means an entity, which has a class in the page, a box and a drawing.
pub(super) struct Status {
    /// The class.
    pub(super) name: &'static str,
    /// What the legend says.
    pub(super) meaning: &'static str,
}

/// All of them. An entity has the first, or one of each axis that is not as usual.
pub(super) const STATUSES: [Status; 7] = [
    Status { name: "present", meaning: "present, or not told" },
    Status { name: "negated", meaning: "negated" },
    Status { name: "uncertain", meaning: "uncertain" },
    Status { name: "historical", meaning: "historical" },
    Status { name: "hypothetical", meaning: "hypothetical" },
    Status { name: "family", meaning: "of the family" },
    Status { name: "other", meaning: "of somebody else" },
];

/// The statuses of an entity, by name.
fn statuses(entity: &Entity) -> Vec<&'static str> {
    let Some(assertion) = &entity.assertion else { return vec!["present"] };
    let Assertion { certainty, temporality, experiencer, .. } = assertion;
    let axes = [
        (*certainty != Certainty::default()).then(|| names::certainty(*certainty)),
        (*temporality != Temporality::default()).then(|| names::temporality(*temporality)),
        (*experiencer != Experiencer::default()).then(|| names::experiencer(*experiencer)),
    ];
    let statuses: Vec<_> = axes.into_iter().flatten().collect();
    if statuses.is_empty() { vec!["present"] } else { statuses }
}

/// The pieces, entities as `mark` elements with what is known of them for people who point, listen or press keys.
pub(super) fn draw(pieces: &[Piece<'_>]) -> Markup {
    html! {
        @for piece in pieces {
            @match piece {
                Piece::Words(words) => { (shown(words)) }
                Piece::Part(part) => { (mark(part)) }
            }
        }
    }
}

/// A part of an entity. The first says what it is, the last how it is meant.
fn mark(part: &Part<'_>) -> Markup {
    let (task, statuses) = (part.entity.task.name(), statuses(part.entity));
    let classes = format!("{task} {}", statuses.join(" "));
    let how = statuses.iter().filter(|name| **name != "present").copied().collect::<Vec<_>>().join(", ");
    let known: Vec<String> = [task.to_owned(), statuses.join(", ")].into_iter().chain(remarks(part.entity)).collect();
    let told = shown(&known.join("\n"));
    let spoken = part.is_first.then(|| format!("{}: {}", shown(&part.entity.text), told.replace('\n', ", ")));
    html! {
        mark class=(classes) title=(told) role=[part.is_first.then_some("note")] aria-label=[spoken]
            tabindex=[part.is_first.then_some("0")] data-how=[(part.is_last && !how.is_empty()).then_some(how)] {
            (draw(&part.pieces))
        }
    }
}

/// Text as it can be shown: control characters but tabs and usual line breaks as pictures of them, and those that turn the direction of what
/// follows, which would show another text than there is, as the sign of what cannot be shown.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' | '\n' | '\r' => character,
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
            '\u{7f}' => '\u{2421}',
            '\u{2028}' | '\u{2029}' => '\u{2424}',
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            character => character,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::pieces::pieces;
    use crate::places::place;
    use crate::testing;
    use stillroom_schemas::{Cue, Task};

    fn entity(certainty: Certainty, temporality: Temporality, experiencer: Experiencer) -> Entity {
        let cues = vec![Cue { says: "negated".into(), trigger: "no".into(), start: 0, end: 2 }];
        let assertion = Some(Assertion { certainty, temporality, experiencer, cues });
        Entity { assertion, ..testing::entity(Task::Disease, [3, 7], "gout") }
    }

    #[test]
    fn every_status_has_a_box_and_a_drawing() {
        let style = include_str!("page.css");
        for certainty in [Certainty::Affirmed, Certainty::Uncertain, Certainty::Negated] {
            for temporality in [Temporality::Recent, Temporality::Historical, Temporality::Hypothetical] {
                for experiencer in [Experiencer::Patient, Experiencer::Family, Experiencer::Other] {
                    let found = entity(certainty, temporality, experiencer);
                    let statuses = statuses(&found);
                    let is_present = found.assertion.as_ref().is_some_and(Assertion::is_present);
                    assert_eq!(statuses == ["present"], is_present, "{statuses:?}");
                    assert!(statuses.iter().all(|name| STATUSES.iter().any(|status| status.name == *name)));
                }
            }
        }
        // Of somebody else it is by its label alone.
        for drawn in ["negated", "uncertain", "historical", "hypothetical"] {
            assert!(style.contains(&format!(".{drawn}")), "{drawn}");
        }
        for task in Task::ALL {
            assert!(style.contains(&format!(".{}", task.name())));
        }
    }

    #[test]
    fn an_entity_tells_what_is_known() {
        let note = testing::note("n1", "No gout.");
        let gout = entity(Certainty::Negated, Temporality::Historical, Experiencer::Patient);
        let placed = place(&note, &testing::extraction(&note, vec![gout])).unwrap();
        let markup = draw(&pieces(&note.text, &placed)).into_string();
        assert_eq!(
            markup,
            "No <mark class=\"disease negated historical\" \
             title=\"disease\nnegated, historical\nscore 0.9375\nnegated by &quot;no&quot;\" role=\"note\" \
             aria-label=\"gout: disease, negated, historical, score 0.9375, negated by &quot;no&quot;\" \
             tabindex=\"0\" data-how=\"negated, historical\">gout</mark>."
        );
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(
            shown("a\t\r\nb\u{0}\u{1b}\u{7f}\u{2028}\u{85}\u{202e}\u{1f912}"),
            "a\t\r\nb\u{2400}\u{241b}\u{2421}\u{2424}\u{fffd}\u{fffd}\u{1f912}"
        );
    }
}
