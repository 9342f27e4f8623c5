//! Texts that a student is chosen by or measured on, and so must not learn from: what `train` and `study` refuse of notes.

use crate::teaching::notes::Notes;
use anyhow::{Result, ensure};
use std::collections::HashMap;
use std::path::PathBuf;
use stillroom_schemas::{Note, TextHash};

/// So many refused notes are told one by one.
const NOTES_SHOWN_MAX: usize = 20;

/// Texts that are held out, and where each stands, such as in `n2c2 dev`.
pub(crate) struct HeldOut(HashMap<TextHash, String>);

impl HeldOut {
    /// Of texts and their places.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = (&'a str, String)>) -> HeldOut {
        HeldOut(texts.into_iter().map(|(text, place)| (hash(text), place)).collect())
    }

    /// Whether a text is held out.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.0.contains_key(&hash(text))
    }

    /// Gives the notes of files to `learn`, one by one; how many lines were no note.
    ///
    /// # Errors
    /// Those of `learn`; when a file cannot be read, or notes have texts that are held out: names file, note and place of each.
    pub(crate) fn learn(&self, paths: &[PathBuf], mut learn: impl FnMut(Note) -> Result<()>) -> Result<u64> {
        let (mut notes, mut shown, mut refused) = (Notes::open(paths, crate::inputs::usual()?)?, String::new(), 0);
        while let Some(note) = notes.read()? {
            let Some(place) = self.0.get(&hash(&note.text)) else {
                learn(note)?;
                continue;
            };
            refused += 1;
            if refused <= NOTES_SHOWN_MAX {
                shown += &format!("\n{}: note {} is in {place}", notes.origin(), note.note_id);
            }
        }
        if refused > NOTES_SHOWN_MAX {
            shown += &format!("\nand {} more", refused - NOTES_SHOWN_MAX);
        }
        ensure!(
            refused == 0,
            "students would be chosen by or measured on the texts of {refused} notes that they learn from; take these notes out:{shown}"
        );
        Ok(notes.unreadable())
    }
}

/// Formats differ in the blanks that they leave around a text.
fn hash(text: &str) -> TextHash {
    TextHash::of(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_held_out_whatever_blanks_are_around_it() {
        let held_out = HeldOut::new([("fever and cough\n", "corpus dev".to_owned())]);
        assert!(held_out.has("fever and cough") && held_out.has(" fever and cough"));
        assert!(!held_out.has("fever") && !held_out.has(""));
    }

    #[test]
    fn of_many_notes_that_are_held_out_the_first_are_told_and_all_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.jsonl");
        let check = |held_out: usize| {
            let text = |number: usize| format!("secret {number}");
            let line = |number: usize| {
                serde_json::json!({ "note_id": number.to_string(), "text": format!("{}\n", text(number)) }).to_string()
            };
            let count = NOTES_SHOWN_MAX + 2;
            std::fs::write(&path, (0..count).map(|number| line(number) + "\n").collect::<String>()).unwrap();
            let texts: Vec<String> = (0..held_out).map(text).collect();
            let held_out = HeldOut::new(texts.iter().map(|text| (text.as_str(), "corpus dev".to_owned())));
            let mut learned = Vec::new();
            let refused = held_out.learn(std::slice::from_ref(&path), |note| {
                learned.push(note.note_id);
                Ok(())
            });
            let expected: Vec<String> = (texts.len()..count).map(|number| number.to_string()).collect();
            assert_eq!(learned, expected);
            refused.map_err(|error| error.to_string())
        };
        assert_eq!(check(0), Ok(0));
        let one = check(1).unwrap_err();
        assert!(one.ends_with(&format!("{}, line 1: note 0 is in corpus dev", path.display())), "{one}");
        let all = check(NOTES_SHOWN_MAX + 2).unwrap_err();
        assert_eq!(all.matches(" is in corpus dev").count(), NOTES_SHOWN_MAX, "{all}");
        assert!(
            all.contains(&format!("the texts of {} notes ", NOTES_SHOWN_MAX + 2)) && all.ends_with("and 2 more"),
            "{all}"
        );
        assert!(!all.contains("secret"), "{all}");
    }
}
