//! Notes on the terminal, with their entities in colour.

use std::fmt::Write;
use stillroom_schemas::{Entity, Task};

const RESET: &str = "\x1b[0m";

/// Black on a colour of the task's own.
fn colour(task: Task) -> &'static str {
    match task {
        Task::Disease => "\x1b[30;103m",
        Task::Medication => "\x1b[30;106m",
        Task::Symptom => "\x1b[30;105m",
    }
}

/// The text with every entity in the colour of its task, and the task's name behind it. Where entities of several tasks overlap
/// the one that begins first is shown. Control characters other than line breaks are left out: a note must not steer a terminal.
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
                shown.push_str(colour(entity.task));
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

/// An entity by itself, such as in a list.
pub(crate) fn entity(entity: &Entity, is_coloured: bool) -> String {
    let text = plain(&entity.text);
    if is_coloured {
        format!("{} {text} {RESET}", colour(entity.task))
    } else {
        format!("{}:{text}", entity.task.name())
    }
}

fn close(shown: &mut String, entity: &Entity) {
    let _infallible = write!(shown, "{RESET}\u{2039}{}\u{203a}", entity.task.name());
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
}
