//! The parts of an export, as a reader takes them in.

use crate::support::json_lines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of all parts, in their order.
pub(crate) fn parts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_part = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("part-");
    let mut parts: Vec<PathBuf> = paths.filter(is_part).collect();
    parts.sort();
    parts
}

/// The lines of a file of a part.
pub(crate) fn lines(part: &Path, name: &str) -> Vec<Value> {
    json_lines(&fs::read_to_string(part.join(name)).unwrap())
}

/// What a part says of itself.
pub(crate) fn manifest(part: &Path) -> Value {
    serde_json::from_slice(&fs::read(part.join("export.json")).unwrap()).unwrap()
}

/// What is so after all parts of JSON Lines: the last extraction of each note, less those that were withdrawn. No part may
/// begin elsewhere than where the one before ends.
pub(crate) fn read_back(folder: &Path) -> BTreeMap<String, Value> {
    let (mut notes, mut reached) = (BTreeMap::new(), serde_json::json!({}));
    for part in parts(folder) {
        let manifest = manifest(&part);
        assert_eq!(manifest["from"], reached, "{} begins elsewhere", part.display());
        reached = manifest["to"].clone();
        let [extracted, withdrawn] = ["extractions.jsonl", "withdrawn.jsonl"].map(|name| lines(&part, name));
        let counts = ["notes", "withdrawn"].map(|count| manifest["counts"][count].as_u64().unwrap() as usize);
        assert_eq!(counts, [extracted.len(), withdrawn.len()]);
        let id = |line: &Value| line["note_id"].as_str().unwrap().to_owned();
        for line in &withdrawn {
            notes.remove(&id(line));
        }
        for line in extracted {
            notes.insert(id(&line), line);
        }
    }
    notes
}
