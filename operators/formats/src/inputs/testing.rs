//! What the tests of several formats of notes share.

use super::{InputConfig, InputFormat, InputPart, InputSaid, Inputs};
use std::fs;

/// What a file with these bytes says as `format`: a line a part, its place and then the note's fields, or what became of it.
pub(super) fn said(format: InputFormat, config: &InputConfig, bytes: &[u8]) -> Vec<String> {
    parts(format, config, bytes).into_iter().map(shown).collect()
}

/// The parts of a file with these bytes; a file that cannot be opened panics with the reason.
pub(super) fn parts(format: InputFormat, config: &InputConfig, bytes: &[u8]) -> Vec<InputPart> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("notes.{}", format.extensions()[0]));
    fs::write(&path, bytes).unwrap();
    Inputs::new(config).unwrap().open(format, &path).unwrap().map(Result::unwrap).collect()
}

/// Why a file with these bytes cannot be opened, without its name.
pub(super) fn refused(format: InputFormat, config: &InputConfig, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes");
    fs::write(&path, bytes).unwrap();
    let error = Inputs::new(config).unwrap().open(format, &path).map(|_| ()).unwrap_err().to_string();
    error.strip_prefix(&format!("{} ", path.display())).unwrap().to_owned()
}

/// `row 7: n1 r2 p=… type=… site=… at=… | text`; what is not known is left out.
pub(super) fn shown(part: InputPart) -> String {
    let place = part.place.map_or("file".to_owned(), |(what, number)| format!("{what} {number}"));
    match part.said {
        InputSaid::Withdrawn(note_id) => format!("{place}: {note_id} withdrawn"),
        InputSaid::Refused(reason) => format!("{place}: refused, {reason}"),
        InputSaid::Note(note) => {
            let fields =
                [("p", &note.patient_id), ("type", &note.note_type), ("site", &note.site), ("at", &note.signed_at)];
            let known =
                fields.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!(" {name}={value}")));
            format!("{place}: {} r{}{} | {}", note.note_id, note.revision, known.collect::<String>(), note.text)
        }
    }
}
