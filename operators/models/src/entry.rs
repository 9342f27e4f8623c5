//! `entry.json`: who a student is, and what its files must be.

use crate::Training;
use crate::training::read;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use stillroom_schemas::ModelId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The file that makes a student's files an entry.
pub(crate) const ENTRY: &str = "entry.json";

/// The file that an entry must have: its hash is what the student's version begins.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// The fewest digits that a version is told by.
pub(crate) const DIGITS_MIN: usize = 4;

/// A student of the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name and version.
    pub model: ModelId,
    /// SHA-256 of `model.safetensors`, as 64 lower-case hexadecimal digits.
    pub weights_hash: String,
    /// The student that it was trained from, or in whose place it was trained.
    pub parent: Option<ModelId>,
    /// When it was added, UTC, as in RFC 3339.
    pub added_at: String,
    /// The version of stillroom that added it, with the commit that it was built from where that was known.
    pub stillroom: String,
    /// Where it comes from; absent in an entry of a version that did not say so.
    #[serde(default, deserialize_with = "read", skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Its files by name.
    pub files: BTreeMap<String, StoredFile>,
}

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, as 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What is said of a student that is added; the registry reads off its files what they are.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// Its name and version, as `name@digits`: the beginning of `weights_hash`, four digits or more.
    pub model: ModelId,
    /// SHA-256 of `model.safetensors`, as 64 lower-case hexadecimal digits.
    pub weights_hash: String,
    /// The student that it was trained from, or in whose place it was trained.
    pub parent: Option<ModelId>,
    /// When it is added, UTC, as in RFC 3339.
    pub added_at: String,
    /// The version of stillroom that adds it, with the commit that it was built from where that is known.
    pub stillroom: String,
    /// Where it comes from, as far as that is known.
    pub training: Option<Training>,
}

impl NewEntry {
    /// The entry of a student that has these files.
    pub(crate) fn with(self, files: BTreeMap<String, StoredFile>) -> Entry {
        let NewEntry { model, weights_hash, parent, added_at, stillroom, training } = self;
        Entry { model, weights_hash, parent, added_at, stillroom, training, files }
    }
}

impl Entry {
    /// Reads what an `entry.json` in the folder of `model` says.
    ///
    /// # Errors
    /// Says what is wrong with it, in words that go on after the name of the file.
    pub(crate) fn parse(bytes: &[u8], model: &ModelId) -> Result<Entry, String> {
        let entry: Entry = serde_json::from_slice(bytes).map_err(|error| format!("is not an entry: {error}"))?;
        if entry.model != *model {
            return Err(format!("is that of {:?}", entry.model.0));
        }
        entry.check()?;
        Ok(entry)
    }

    /// What `entry.json` says, in lines.
    ///
    /// # Panics
    /// Never: an entry is JSON, as its maps have names as keys.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("an entry is JSON, as its maps have names as keys");
        text.push(b'\n');
        text
    }

    /// Refuses what cannot be the entry of a student.
    ///
    /// # Errors
    /// Says what is wrong, in words that go on after the name of the file.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(name) = self.files.keys().find(|name| !is_file_name(name)) {
            return Err(format!("names the file {name:?}, which may lie elsewhere"));
        }
        if let Some((name, _)) = self.files.iter().find(|(_, file)| !is_sha256(&file.sha256)) {
            return Err(format!("has no SHA-256 of {name}"));
        }
        match self.files.get(WEIGHTS) {
            None => return Err(format!("names no {WEIGHTS}")),
            Some(weights) if weights.sha256 != self.weights_hash => {
                return Err(format!("has another hash for {WEIGHTS} than for the weights"));
            }
            Some(_) => {}
        }
        if !version_of(&self.model).is_some_and(|version| self.weights_hash.starts_with(version)) {
            return Err("has weights of another version than the student's".to_owned());
        }
        if self.moment().is_none() {
            return Err(format!("has {:?} as added_at, which is no time", self.added_at));
        }
        let training = self.training.as_ref().map_or(Ok(()), Training::check);
        training.map_err(|reason| format!("has a block `training` that {reason}"))
    }

    /// When it was added; nothing if it does not say.
    pub(crate) fn moment(&self) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(&self.added_at, &Rfc3339).ok()
    }
}

/// The version in a student's id; nothing for an id that cannot be the name of a folder, or is none.
pub(crate) fn version_of(model: &ModelId) -> Option<&str> {
    let (name, version) = model.0.split_once('@')?;
    let is_version = (DIGITS_MIN..=64).contains(&version.len()) && is_lower_hex(version);
    (is_file_name(name) && is_version).then_some(version)
}

/// Whether a name is that of a file in its folder, on every system and in every bucket, and not that of the entry.
pub(crate) fn is_file_name(name: &str) -> bool {
    let of_letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte));
    of_letters && (1..=128).contains(&name.len()) && !name.starts_with('.') && name != ENTRY
}

/// Whether all are digits of a lower-case hexadecimal number.
pub(crate) fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether it is a SHA-256 as 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_students_are_names_of_folders() {
        for (id, version) in [("a@0123", Some("0123")), ("stillroom-minilm.l6@ec1b4f7b7286", Some("ec1b4f7b7286"))] {
            assert_eq!(version_of(&ModelId(id.to_owned())), version);
        }
        for none in [
            "",
            "a",
            "a@",
            "@0123",
            "a@012",
            "a@012G",
            "a@ABCD",
            "a@b@0123",
            "../a@0123",
            ".a@0123",
            "a/b@0123",
            "a b@0123",
        ] {
            assert_eq!(version_of(&ModelId(none.to_owned())), None, "{none}");
        }
    }

    #[test]
    fn names_of_files_stay_in_their_folder() {
        assert!(["config.json", "model.safetensors", "a", "A_b-c+d.1"].into_iter().all(is_file_name));
        let long = "a".repeat(129);
        for none in ["", ".", "..", ".hidden", "../x", "a/b", "a\\b", "C:x", "a b", "é", "a\0", "entry.json", &long] {
            assert!(!is_file_name(none), "{none:?}");
        }
    }
}
