//! A page for people: notes with their entities highlighted, in one file that needs nothing else.
//!
//! A page is written note by note, so that a run of any length takes the memory of its largest note. The first half of the page goes out
//! when it is begun, the second when it is finished. Of a text nothing is ever markup: all is escaped, control characters are shown as
//! pictures of themselves, and a content security policy admits the page's own script and style alone, by their hashes.

mod entities;
mod pieces;

use crate::draft::Draft;
use crate::places::place;
use crate::{FormatError, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::{STATUSES, Status, draw, shown};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pieces::pieces;
use sha2::{Digest, Sha256};
use std::path::Path;
use stillroom_schemas::{Extraction, Note, Task};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Stands where the notes go; nothing that is escaped holds it.
const NOTES: &str = "<!--notes-->";

/// Writes all notes to a page. A note that comes again stands there again, with its revision.
pub struct HtmlWriter {
    draft: Draft,
    notes: u64,
    entities: u64,
}

impl HtmlWriter {
    /// Begins the page `path`, which appears when it is finished.
    ///
    /// # Errors
    /// When no file can be created there.
    pub fn create(path: &Path) -> Result<HtmlWriter, FormatError> {
        let mut draft = Draft::create(path)?;
        draft.write(halves(0, 0).0.as_bytes())?;
        Ok(HtmlWriter { draft, notes: 0, entities: 0 })
    }
}

impl Writer for HtmlWriter {
    fn write(&mut self, note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        let placed = place(note, extraction)?;
        let text = draw(&pieces(&note.text, &placed));
        self.notes += 1;
        self.entities += placed.len() as u64;
        self.draft.write(article(self.notes, note, extraction, text).into_string().as_bytes())
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        self.draft.write(halves(self.notes, self.entities).1.as_bytes())?;
        self.draft.finish()
    }
}

/// What comes before the notes, and what comes after them.
fn halves(notes: u64, entities: u64) -> (String, String) {
    let page = page(notes, entities).into_string();
    let (before, after) = page.split_once(NOTES).expect("the page has a place for notes");
    (before.to_owned(), after.to_owned())
}

fn page(notes: u64, entities: u64) -> Markup {
    let hash = |content: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)));
    let policy = format!("default-src 'none'; style-src {}; script-src {}", hash(STYLE), hash(SCRIPT));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Entities in notes" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Entities in notes" }
                    (filters())
                }
                main { (PreEscaped(NOTES)) }
                footer { p { (notes) " notes, " (entities) " entities" } }
                output id="told" {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The legend, whose examples are drawn as entities are, with a box for each kind of them.
fn filters() -> Markup {
    html! {
        form id="filters" autocomplete="off" {
            fieldset {
                legend { "Tasks" }
                @for task in Task::ALL {
                    label {
                        input type="checkbox" value=(task.name()) checked autocomplete="off";
                        " " span class={ "mark " (task.name()) } { (task.name()) }
                    }
                }
            }
            fieldset {
                legend { "How the note means it" }
                @for Status { name, meaning } in STATUSES {
                    label title=(meaning) {
                        input type="checkbox" value=(name) checked autocomplete="off";
                        " " span class={ "mark " (name) } data-how=[(name != "present").then_some(name)] { (meaning) }
                    }
                }
            }
        }
    }
}

fn article(number: u64, note: &Note, extraction: &Extraction, text: Markup) -> Markup {
    let heading = format!("note-{number}");
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| (name.to_owned(), value.clone()));
    let about = [
        named("patient", &note.patient_id),
        named("type", &note.note_type),
        named("site", &note.site),
        named("signed", &note.signed_at),
        Some(("revision".to_owned(), note.revision.to_string())),
        Some(("read by".to_owned(), extraction.model.0.clone())),
        named("told by", &extraction.interpretation),
    ];
    html! {
        article aria-labelledby=(heading) {
            h2 id=(heading) { (shown(&note.note_id)) }
            ul class="about" {
                @for (name, value) in about.into_iter().flatten() { li { (name) " " b { (shown(&value)) } } }
            }
            div class="text" dir="auto" { (text) }
        }
        "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use stillroom_schemas::{Code, Concept, Tier};

    /// The page of these notes.
    fn written(notes: &[(Note, Extraction)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        let mut writer = Box::new(HtmlWriter::create(&path).unwrap());
        for (note, extraction) in notes {
            writer.write(note, extraction).unwrap();
        }
        assert!(!path.exists(), "a page that is not finished is not there");
        writer.finish().unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn whatever_a_record_holds_stays_text() {
        let evil = "</div><script>alert(1)</script>\"onfocus=\"x' & <!--notes--> --> \u{0}";
        let mut note = testing::note(evil, &format!("a {evil} b"));
        for field in [&mut note.patient_id, &mut note.note_type, &mut note.site, &mut note.signed_at] {
            *field = Some(evil.to_owned());
        }
        let points = evil.chars().count() as u32;
        let mut entity = testing::entity(Task::Disease, [2, 2 + points], evil);
        entity.section = Some(evil.to_owned());
        entity.concept = Some(Concept {
            code: Code { vocabulary: evil.into(), code: evil.into() },
            version: evil.into(),
            name: evil.into(),
            tier: Tier::Exact,
            score: 1.0,
            ingredients: Vec::new(),
        });
        let mut extraction = testing::extraction(&note, vec![entity]);
        extraction.model.0 = evil.to_owned();
        let (empty, page) = (written(&[]), written(&[(note, extraction)]));
        for of_markup in ["<script", "</div>", "\"onfocus", "<!--"] {
            let allowed = empty.matches(of_markup).count() + usize::from(of_markup == "</div>");
            assert_eq!(page.matches(of_markup).count(), allowed, "{of_markup} in {page}");
        }
        assert!(!page.contains('\0') && page.contains("a <mark"), "{page}");
    }

    #[test]
    fn a_page_has_all_notes_and_says_how_many() {
        let note = testing::note("n1", "No gout.");
        let mut extraction = testing::extraction(&note, vec![testing::entity(Task::Disease, [3, 7], "gout")]);
        extraction.interpretation = Some("assertion@0123456789ab".to_owned());
        let page = written(&[(note.clone(), extraction.clone()), (note, extraction)]);
        assert_eq!(page.matches("told by <b>assertion@0123456789ab</b>").count(), 2, "{page}");
        assert_eq!(page.matches("<article").count(), 2);
        assert!(page.contains("2 notes, 2 entities") && page.ends_with("</html>"), "{page}");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = written(&[]);
        for elsewhere in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }
}
