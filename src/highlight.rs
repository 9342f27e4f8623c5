//! Notes on the terminal, with their entities in colour.

use std::fmt::Write;
use stillroom_schemas::{Assertion, Certainty, Entity, Experiencer, Task, Temporality};

const RESET: &str = "\x1b[0m";

/// Black on a colour of the task's own; what is not present, faint in that colour, and struck through if it is negated.
fn style(entity: &Entity) -> String {
    let colour = match entity.task {
        Task::Disease => 3,
        Task::Medication => 6,
        Task::Symptom => 5,
    };
    match entity.assertion.as_ref().filter(|assertion| !assertion.is_present()) {
        None => format!("\x1b[30;10{colour}m"),
        Some(Assertion { certainty: Certainty::Negated, .. }) => format!("\x1b[2;9;9{colour}m"),
        Some(_) => format!("\x1b[2;9{colour}m"),
    }
}

/// Why an entity is not present, in a word each; empty where it is, or where that is not told.
fn absence(entity: &Entity) -> Vec<&'static str> {
    let Some(Assertion { certainty, temporality, experiencer, .. }) = &entity.assertion else { return Vec::new() };
    let certainty = match certainty {
        Certainty::Affirmed => None,
        Certainty::Uncertain => Some("uncertain"),
        Certainty::Negated => Some("negated"),
    };
    let temporality = match temporality {
        Temporality::Recent => None,
        Temporality::Historical => Some("historical"),
        Temporality::Hypothetical => Some("hypothetical"),
    };
    let experiencer = match experiencer {
        Experiencer::Patient => None,
        Experiencer::Family => Some("family"),
        Experiencer::Other => Some("other"),
    };
    [certainty, temporality, experiencer].into_iter().flatten().collect()
}

/// The text with every entity in the colour of its task, and behind it the task's name and why the entity is not present,
/// if it is not. Where entities of several tasks overlap the one that begins first is shown. Control characters other than
/// line breaks are left out: a note must not steer a terminal.
pub(crate) fn text(text: &str, entities: &[Entity]) -> String {
    let mut ordered: Vec<&Entity> = entities.iter().collect();
    ordered.sort_by_key(|entity| (entity.start, entity.end));
    let (mut shown, mut open, mut next) = (String::new(), None::<&Entity>, ordered.into_iter().peekable());
    for (at, character) in text.chars().enumerate() {
        let at = at as u32;
        if let Some(entity) = open.take_if(|entity| entity.end <= at) {
            close(&mut shown, entity);
        }
        while let Some(entity) = next.next_if(|entity| entity.start <= at) {
            if open.is_none() && entity.start == at {
                shown.push_str(&style(entity));
                open = Some(entity);
            }
        }
        if character == '\n' || !character.is_control() {
            shown.push(character);
        }
    }
    if let Some(entity) = open {
        close(&mut shown, entity);
    }
    shown
}

/// A name or mention without control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// An entity by itself, such as in a list, with why it is not present.
pub(crate) fn entity(entity: &Entity, is_coloured: bool) -> String {
    let (text, absence) = (plain(&entity.text), absence(entity).join(","));
    let absence = if absence.is_empty() { absence } else { format!("({absence})") };
    if is_coloured {
        format!("{} {text} {RESET}{absence}", style(entity))
    } else {
        format!("{}:{text}{absence}", entity.task.name())
    }
}

fn close(shown: &mut String, entity: &Entity) {
    let said: Vec<&str> = std::iter::once(entity.task.name()).chain(absence(entity)).collect();
    let _infallible = write!(shown, "{RESET}\u{2039}{}\u{203a}", said.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::Span;

    fn check(note: &str, spans: &[(Task, u32, u32)], expected: &str) {
        let entity =
            |&(task, start, end): &(Task, u32, u32)| Entity::mention(Span { task, start, end }, String::new(), 1.0);
        let shown = text(note, &spans.iter().map(entity).collect::<Vec<_>>());
        let plain = shown.replace("\x1b[30;103m", "[").replace("\x1b[30;106m", "[").replace("\x1b[30;105m", "[");
        assert_eq!(plain.replace(RESET, "]"), expected);
    }

    #[test]
    fn entities_are_marked_where_they_stand() {
        check("no fever", &[(Task::Symptom, 3, 8)], "no [fever]‹symptom›");
        check("Fièvre, DM2", &[(Task::Symptom, 0, 6), (Task::Disease, 8, 11)], "[Fièvre]‹symptom›, [DM2]‹disease›");
        check("ab", &[(Task::Disease, 0, 1), (Task::Symptom, 1, 2)], "[a]‹disease›[b]‹symptom›");
        check("abc", &[(Task::Disease, 0, 3), (Task::Symptom, 1, 2)], "[abc]‹disease›");
        check("a\x1b[2Jb\nc", &[], "a[2Jb\nc");
    }

    /// An entity of two letters of which a note says this.
    fn meant(certainty: Certainty, temporality: Temporality, experiencer: Experiencer) -> Entity {
        let assertion = Assertion { certainty, temporality, experiencer, cues: Vec::new() };
        let mention = Entity::mention(Span { task: Task::Symptom, start: 0, end: 2 }, "hi".to_owned(), 1.0);
        Entity { assertion: Some(assertion), ..mention }
    }

    #[test]
    fn what_is_not_present_is_seen_at_once() {
        let check = |meant: Entity, expected: &str| {
            let shown = text("hi", std::slice::from_ref(&meant));
            let as_text = shown.replace("\x1b[30;105m", "[").replace("\x1b[2;9;95m", "[-").replace("\x1b[2;95m", "[~");
            let listed = entity(&meant, false);
            assert_eq!(format!("{} {listed}", as_text.replace(RESET, "]")), expected);
        };
        let now = (Temporality::Recent, Experiencer::Patient);
        check(meant(Certainty::Affirmed, now.0, now.1), "[hi]\u{2039}symptom\u{203a} symptom:hi");
        let negated = "[-hi]\u{2039}symptom, negated\u{203a} symptom:hi(negated)";
        check(meant(Certainty::Negated, now.0, now.1), negated);
        let uncertain = "[~hi]\u{2039}symptom, uncertain, family\u{203a} symptom:hi(uncertain,family)";
        check(meant(Certainty::Uncertain, now.0, Experiencer::Family), uncertain);
        let past = "[~hi]\u{2039}symptom, historical, other\u{203a} symptom:hi(historical,other)";
        check(meant(Certainty::Affirmed, Temporality::Historical, Experiencer::Other), past);
        let hypothetical = "[~hi]\u{2039}symptom, hypothetical\u{203a} symptom:hi(hypothetical)";
        check(meant(Certainty::Affirmed, Temporality::Hypothetical, now.1), hypothetical);
        assert_eq!(entity(&meant(Certainty::Negated, now.0, now.1), true), "\x1b[2;9;95m hi \x1b[0m(negated)");
    }
}
