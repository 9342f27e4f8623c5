//! brat's stand-off format, for annotators: a text, and beside it its annotations, a line each:
//! <https://brat.nlplab.org/standoff.html>.
//!
//! A text bound annotation (`T`) is an entity, in code points of the text as it is, line ends included. How a note means it stands in
//! attributes (`A`), where that is not the plain case; its concept in a normalisation (`N`); the score, the section, what decided how it
//! is meant and the dosage in a remark (`#`). The labels are those of MACCROBAT, which has all three tasks, so that the corpora of
//! stillroom and of others read them without being told.

use crate::files::claim_folder;
use crate::lines::{ends_line, on_one_line, percent_encoded};
use crate::places::{Placed, place};
use crate::remarks::remarks;
use crate::{FormatError, Writer};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_schemas::{Assertion, Certainty, Experiencer, Extraction, Note, Task, Temporality, TextHash};

/// What brat shows and lets annotators choose. brat wants all four sections.
const CONFIGURATION: &str = "[entities]
Disease_disorder
Medication
Sign_symptom

[relations]

[events]

[attributes]
Certainty\tArg:<ENTITY>, Value:Uncertain|Negated
Temporality\tArg:<ENTITY>, Value:Historical|Hypothetical
Experiencer\tArg:<ENTITY>, Value:Family|Other
";

/// Bytes of a file's or folder's name, with an extension, that every usual file system takes.
const NAME_BYTES_MAX: usize = 240;

/// Writes a folder for brat: for each note `ID.txt` and `ID.ann`, and `annotation.conf`, which comes last.
///
/// An id with slashes is a path below the folder, as the ids of notes that were read from a folder are. Characters that a path cannot
/// hold everywhere are written as in URLs, and so is the whole id where a part of it would be hidden, lead elsewhere or get into the way
/// of another file; one that is too long is replaced by its SHA-256. Of a note that comes again the last remains.
pub struct BratWriter {
    folder: PathBuf,
}

impl BratWriter {
    /// Begins the folder `path`.
    ///
    /// # Errors
    /// When it cannot be created, or holds something.
    pub fn create(path: &Path) -> Result<BratWriter, FormatError> {
        claim_folder(path)?;
        Ok(BratWriter { folder: path.to_owned() })
    }
}

impl Writer for BratWriter {
    fn write(&mut self, note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        let annotations = annotations(&note.text, &place(note, extraction)?);
        let name = name_of(&note.note_id);
        if let Some((folders, _)) = name.rsplit_once('/') {
            let folders = self.folder.join(folders);
            fs::create_dir_all(&folders).map_err(FormatError::file("create", &folders))?;
        }
        for (extension, content) in [("txt", &note.text), ("ann", &annotations)] {
            let path = self.folder.join(format!("{name}.{extension}"));
            fs::write(&path, content).map_err(FormatError::file("write", &path))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        let path = self.folder.join("annotation.conf");
        fs::write(&path, CONFIGURATION).map_err(FormatError::file("write", &path))
    }
}

/// The path of a note's files below the folder, without their extension.
fn name_of(note_id: &str) -> String {
    let (folders, _) = note_id.rsplit_once('/').unwrap_or_default();
    let is_hidden_or_empty = |part: &str| part.is_empty() || part.starts_with('.');
    // A folder could have the name of another note's file.
    let is_like_a_file = |part: &str| {
        let part = part.to_ascii_lowercase();
        [".txt", ".ann", ".conf"].iter().any(|extension| part.ends_with(extension))
    };
    let is_path = !note_id.split('/').any(is_hidden_or_empty) && !folders.split('/').any(is_like_a_file);
    let name = percent_encoded(note_id, |character| match character {
        '/' | '.' => is_path,
        '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => false,
        character => !ends_line(character),
    });
    // No escaped id is a percent sign alone, nor begins with a hash.
    match name.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
        true => format!("%{}", TextHash::of(note_id).0),
        false if name.is_empty() => "%".to_owned(),
        false => name,
    }
}

fn label(task: Task) -> &'static str {
    match task {
        Task::Disease => "Disease_disorder",
        Task::Medication => "Medication",
        Task::Symptom => "Sign_symptom",
    }
}

/// The lines of a note's annotations.
fn annotations(text: &str, placed: &[Placed]) -> String {
    let (mut lines, mut attributes) = (String::new(), 0);
    for (number, Placed { entity, bytes }) in (1..).zip(placed) {
        let fragments = fragments(&text[bytes.clone()], entity.start);
        let at: Vec<String> = fragments.iter().map(|(start, end, _)| format!("{start} {end}")).collect();
        let words: Vec<&str> = fragments.iter().map(|(_, _, words)| *words).collect();
        let (label, at, words) = (label(entity.task), at.join(";"), words.join(" "));
        // Writing to a string cannot fail.
        let _written = writeln!(lines, "T{number}\t{label} {at}\t{words}");
        for (name, value) in entity.assertion.iter().flat_map(axes) {
            attributes += 1;
            let _written = writeln!(lines, "A{attributes}\t{name} T{number} {value}");
        }
        if let Some(concept) = &entity.concept {
            let part =
                |part: &str| percent_encoded(part, |character| !character.is_whitespace() && !ends_line(character));
            let (vocabulary, code) = (part(&concept.code.vocabulary), part(&concept.code.code));
            let name = on_one_line(&concept.name);
            let _written = writeln!(lines, "N{number}\tReference T{number} {vocabulary}:{code}\t{name}");
        }
        let remarks = on_one_line(&remarks(entity).join("; "));
        let _written = writeln!(lines, "#{number}\tAnnotatorNotes T{number}\t{remarks}");
    }
    lines
}

/// How a note means an entity: each axis on which that is not the plain case, and where on it.
fn axes(assertion: &Assertion) -> impl Iterator<Item = (&'static str, &'static str)> {
    let certainty = match assertion.certainty {
        Certainty::Affirmed => None,
        Certainty::Uncertain => Some("Uncertain"),
        Certainty::Negated => Some("Negated"),
    };
    let temporality = match assertion.temporality {
        Temporality::Recent => None,
        Temporality::Historical => Some("Historical"),
        Temporality::Hypothetical => Some("Hypothetical"),
    };
    let experiencer = match assertion.experiencer {
        Experiencer::Patient => None,
        Experiencer::Family => Some("Family"),
        Experiencer::Other => Some("Other"),
    };
    let axes = [("Certainty", certainty), ("Temporality", temporality), ("Experiencer", experiencer)];
    axes.into_iter().filter_map(|(axis, value)| Some((axis, value?)))
}

/// The parts of `words`, which begin at the code point `start`, between what would end a line, each with its first position and one past
/// its last. brat marks nothing over the end of a line; it writes the parts with a space between them.
fn fragments(words: &str, start: u32) -> Vec<(u32, u32, &str)> {
    let (mut found, mut at) = (Vec::new(), start);
    for piece in words.split(ends_line) {
        let trimmed = piece.trim_start();
        let begins = at + (piece.chars().count() - trimmed.chars().count()) as u32;
        let trimmed = trimmed.trim_end();
        if !trimmed.is_empty() {
            found.push((begins, begins + trimmed.chars().count() as u32, trimmed));
        }
        at += piece.chars().count() as u32 + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use stillroom_schemas::{Code, Concept, Cue, Tier};

    #[test]
    fn ids_are_paths_as_far_as_they_can_be() {
        let check = |id: &str, name: &str| assert_eq!(name_of(id), name, "{id:?}");
        check("ward/b", "ward/b");
        check("v1.2/n.1", "v1.2/n.1");
        check("a.txt", "a.txt");
        check("a.txt/b", "a%2Etxt%2Fb");
        check("../b", "%2E%2E%2Fb");
        check("/etc/b", "%2Fetc%2Fb");
        check("a//b", "a%2F%2Fb");
        check(".", "%2E");
        check("", "%");
        check("c:\\n?\t%", "c%3A%5Cn%3F%09%25");
        check("\u{e9}t\u{e9} 1", "\u{e9}t\u{e9} 1");
        let long = "n".repeat(300);
        check(&long, &format!("%{}", TextHash::of(&long).0));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for id in ["..", "../../x", "/", "/x", "a/../../x", "a/./x", "", "\\..\\x", "\u{0}"] {
            let name = name_of(id);
            let is_plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
            assert!(Path::new(&name).components().all(is_plain) && !name.is_empty(), "{id:?}: {name:?}");
        }
    }

    #[test]
    fn what_is_over_the_end_of_a_line_is_in_fragments() {
        assert_eq!(fragments("type 2", 7), [(7, 13, "type 2")]);
        assert_eq!(fragments("heart \r\n  failure", 3), [(3, 8, "heart"), (13, 20, "failure")]);
        assert_eq!(fragments("\u{1f912}a\tb\u{2028}", 0), [(0, 2, "\u{1f912}a"), (3, 4, "b")]);
    }

    #[test]
    fn an_entity_is_its_lines() {
        let note = testing::note("n1", "No gout.");
        let mut gout = testing::entity(Task::Disease, [3, 7], "gout");
        let cues = vec![Cue { says: "negated".into(), trigger: "no".into(), start: 0, end: 2 }];
        gout.assertion = Some(Assertion { certainty: Certainty::Negated, cues, ..Assertion::default() });
        gout.concept = Some(Concept {
            code: Code { vocabulary: "do id".into(), code: "DOID:13189".into() },
            version: "2026".into(),
            name: "gout\nfoot".into(),
            tier: Tier::Exact,
            score: 1.0,
            ingredients: Vec::new(),
        });
        let placed = place(&note, &testing::extraction(&note, vec![gout])).unwrap();
        let lines = annotations(&note.text, &placed);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "T1\tDisease_disorder 3 7\tgout",
                "A1\tCertainty T1 Negated",
                "N1\tReference T1 do%20id:DOID:13189\tgout foot",
            ]
        );
        assert!(lines.len() == 4 && lines[3].starts_with("#1\tAnnotatorNotes T1\tscore 0.9375; negated by \"no\""));
    }
}
