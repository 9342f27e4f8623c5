//! PubTator, for annotators of literature and their tools: title, abstract and mentions of a document, a line each:
//! <https://www.ncbi.nlm.nih.gov/research/pubtator3/>.
//!
//! A note has no title. Its first line stands there, and the rest where the abstract does, since positions count both with one character
//! between them: so they are those of the note, in code points. What would end a line is a space. White space at the end of the first
//! line belongs to the rest, since readers strip the ends of lines. The labels are PubTator's, with `Chemical` for medications and
//! `Symptom` besides; how a note means an entity has no place in the format.

use crate::draft::LastPieces;
use crate::lines::{ends_line, on_one_line, percent_encoded};
use crate::places::{Placed, place};
use crate::{FormatError, Writer};
use std::fmt::Write;
use std::path::Path;
use stillroom_schemas::{Entity, Extraction, Note, Task};

/// Writes all notes to a file, each followed by an empty line.
///
/// An id is written as in URLs but for letters, digits and `_`, `-`, `.`, `/`, since bars and tabs part the columns. Of a note that comes
/// again the last is there, as readers take two documents with one id for an error.
pub struct PubtatorWriter {
    documents: LastPieces,
}

impl PubtatorWriter {
    /// Begins the file `path`, which appears when it is finished.
    ///
    /// # Errors
    /// When no file can be created there.
    pub fn create(path: &Path) -> Result<PubtatorWriter, FormatError> {
        Ok(PubtatorWriter { documents: LastPieces::create(path)? })
    }
}

impl Writer for PubtatorWriter {
    fn write(&mut self, note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        self.documents.write(&note.note_id, document(note, place(note, extraction)?).as_bytes())
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        self.documents.finish()
    }
}

/// The lines of a note, and an empty one.
fn document(note: &Note, mut placed: Vec<Placed>) -> String {
    let is_kept = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '/');
    let id = percent_encoded(&note.note_id, is_kept);
    let line = on_one_line(note.text.split('\n').next().unwrap_or_default());
    let title = line.trim_end();
    let rest: String = on_one_line(&note.text).chars().skip(title.chars().count() + 1).collect();
    let mut lines = format!("{id}|t|{title}\n{id}|a|{rest}\n");
    placed.sort_by_key(|Placed { entity, .. }| (entity.start, entity.end, entity.task));
    for Placed { entity, .. } in placed {
        let Entity { task, start, end, text, .. } = &entity;
        let (words, label, concept) = (on_one_line(text), label(*task), concept_of(&entity));
        // Writing to a string cannot fail.
        let _written = writeln!(lines, "{id}\t{start}\t{end}\t{words}\t{label}\t{concept}");
    }
    lines.push('\n');
    lines
}

fn label(task: Task) -> &'static str {
    match task {
        Task::Disease => "Disease",
        Task::Medication => "Chemical",
        Task::Symptom => "Symptom",
    }
}

/// The concept as `vocabulary:code`; a bar would stand for two concepts. A dash where there is none.
fn concept_of(entity: &Entity) -> String {
    let is_kept = |character: char| character != '|' && !character.is_whitespace() && !ends_line(character);
    let concept = |vocabulary: &str, code: &str| {
        format!("{}:{}", percent_encoded(vocabulary, is_kept), percent_encoded(code, is_kept))
    };
    match &entity.concept {
        Some(found) => concept(&found.code.vocabulary, &found.code.code),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use stillroom_schemas::{Code, Concept, Tier};

    fn check(id: &str, text: &str, entities: Vec<Entity>, expected: &str) {
        let note = testing::note(id, text);
        let placed = place(&note, &testing::extraction(&note, entities)).unwrap();
        assert_eq!(document(&note, placed), expected);
    }

    #[test]
    fn positions_are_those_of_the_note() {
        let mut aspirin = testing::entity(Task::Medication, [15, 22], "aspirin");
        aspirin.concept = Some(Concept {
            code: Code { vocabulary: "rx|norm".into(), code: "1191".into() },
            version: "2026".into(),
            name: "aspirin".into(),
            tier: Tier::Exact,
            score: 1.0,
            ingredients: Vec::new(),
        });
        let failure = testing::entity(Task::Disease, [2, 15], "heart\nfailure");
        check(
            "n1",
            "\u{1f912} heart\nfailureaspirin",
            vec![aspirin, failure],
            "\
n1|t|\u{1f912} heart
n1|a|failureaspirin
n1\t2\t15\theart failure\tDisease\t-
n1\t15\t22\taspirin\tChemical\trx%7Cnorm:1191

",
        );
    }

    #[test]
    fn of_an_amended_note_the_last_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.pubtator");
        let mut writer = Box::new(PubtatorWriter::create(&path).unwrap());
        for (id, text) in [("n1", "gout"), ("n2", "itch"), ("n1", "no gout")] {
            let note = testing::note(id, text);
            writer.write(&note, &testing::extraction(&note, Vec::new())).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "n2|t|itch\nn2|a|\n\nn1|t|no gout\nn1|a|\n\n");
    }

    #[test]
    fn no_text_and_no_id_makes_a_line_or_a_column() {
        check("", "", Vec::new(), "|t|\n|a|\n\n");
        check("a|b\tc/d", "x|y", Vec::new(), "a%7Cb%09c/d|t|x|y\na%7Cb%09c/d|a|\n\n");
        let rash = testing::entity(Task::Symptom, [3, 8], "\trash");
        check("n", "\r\n\u{2028}\trash\u{85}\r\n", vec![rash], "n|t|\nn|a|   rash   \nn\t3\t8\t rash\tSymptom\t-\n\n");
    }
}
