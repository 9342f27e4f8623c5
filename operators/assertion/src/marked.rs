//! Text with its entities marked in it, as people write examples.

use stillroom_schemas::{Span, Task};

/// A text and its entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Without the marks.
    pub text: String,
    /// By position, in code points of `text`.
    pub spans: Vec<Span>,
}

impl Marked {
    /// Reads `Denies [symptom:fever] on [m:Tylenol]`: an entity stands in brackets behind its task, or the first letter
    /// of that, and a colon. Other brackets are text.
    ///
    /// ```
    /// let marked = stillroom_assertion::Marked::read("[ ] [s:fever]");
    /// assert_eq!(marked.text, "[ ] fever");
    /// assert_eq!((marked.spans[0].start, marked.spans[0].end), (4, 9));
    /// ```
    pub fn read(source: &str) -> Marked {
        let (mut text, mut spans, mut points) = (String::new(), Vec::new(), 0);
        let mut rest = source;
        while !rest.is_empty() {
            let (plain, entity) = match entity_at(rest) {
                Some((task, words, behind)) => {
                    rest = behind;
                    (words, Some(task))
                }
                None => {
                    // The next bracket that may open an entity.
                    let next = rest.char_indices().skip(1).find(|(_, character)| *character == '[');
                    let end = next.map_or(rest.len(), |(at, _)| at);
                    let plain = &rest[..end];
                    rest = &rest[end..];
                    (plain, None)
                }
            };
            let start = points;
            points += plain.chars().count() as u32;
            text.push_str(plain);
            spans.extend(entity.map(|task| Span { task, start, end: points }));
        }
        Marked { text, spans }
    }
}

/// The entity that a text begins with, and what stands behind it.
fn entity_at(text: &str) -> Option<(Task, &str, &str)> {
    let (name, rest) = text.strip_prefix('[')?.split_once(':')?;
    let is_named = |task: &Task| task.name() == name || (name.len() == 1 && task.name().starts_with(name));
    let task = Task::ALL.into_iter().find(is_named)?;
    let (words, behind) = rest.split_once(']')?;
    Some((task, words, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, and each span as its task and words.
    fn check(source: &str, text: &str, entities: &[&str]) {
        let marked = Marked::read(source);
        let characters: Vec<char> = marked.text.chars().collect();
        let show = |span: &Span| {
            let words: String = characters[span.start as usize..span.end as usize].iter().collect();
            format!("{} {words}", span.task.name())
        };
        assert_eq!(marked.text, text);
        assert_eq!(marked.spans.iter().map(show).collect::<Vec<_>>(), entities, "{source}");
    }

    #[test]
    fn entities_stand_in_brackets_behind_their_task() {
        check("No [s:fever].", "No fever.", &["symptom fever"]);
        check("\u{e9}t\u{e9} [disease:gout][m:iron]", "\u{e9}t\u{e9} goutiron", &["disease gout", "medication iron"]);
        check("[x] [s:cough] [at: 5] [", "[x] cough [at: 5] [", &["symptom cough"]);
        check("\u{2610}[d:gout]", "\u{2610}gout", &["disease gout"]);
        check("", "", &[]);
    }
}
