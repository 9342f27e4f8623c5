//! What a base is called: a folder, a model of the study, or an id of the hub.

use crate::HubError;
use std::fmt;
use std::path::PathBuf;

/// The published study's bases, and two more that are asked for by their short names.
const ALIASES: [(&str, &str); 4] = [
    ("bert-base-cased", "google-bert/bert-base-cased"),
    ("bert-base-uncased", "google-bert/bert-base-uncased"),
    ("biobert", "dmis-lab/biobert-base-cased-v1.2"),
    ("bioclinbert", "emilyalsentzer/Bio_ClinicalBERT"),
];

/// Where a training starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A folder that is there.
    Folder(PathBuf),
    /// A model of the hub.
    Model(ModelName),
}

/// A model of the hub in one of its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    /// The id, `owner/name`.
    pub id: String,
    /// A branch, a tag, or a commit's 40 digits.
    pub revision: String,
}

impl Base {
    /// The base of a name: an existing folder; `bert-base-cased`, `bert-base-uncased`, `biobert`, `bioclinbert`; or an id of the hub.
    /// The latter two may end in `@` and a revision, which is `main` by default.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(name: &str) -> Result<Base, HubError> {
        let folder = PathBuf::from(name);
        if folder.is_dir() {
            return Ok(Base::Folder(folder));
        }
        let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
        let id = ALIASES.iter().find(|(alias, _)| *alias == id).map_or(id, |(_, id)| id);
        match id.split('/').collect::<Vec<_>>()[..] {
            [owner, name] if is_plain(owner) && is_plain(name) && revision.split('/').all(is_plain) => {
                Ok(Base::Model(ModelName { id: id.to_owned(), revision: revision.to_owned() }))
            }
            _ => Err(HubError::Name { name: name.to_owned() }),
        }
    }
}

/// Whether a part of an id or of a revision is one, and would not lead out of the cache as a part of a path.
fn is_plain(part: &str) -> bool {
    let of_letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    of_letters && !part.is_empty() && !part.starts_with('.') && !part.contains("..") && !part.contains("--")
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.id, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &str) {
        let shown = match Base::parse(name) {
            Ok(Base::Folder(path)) => format!("folder {}", path.display()),
            Ok(Base::Model(model)) => model.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected), "{name}: {shown}");
    }

    #[test]
    fn names() {
        check("biobert", "dmis-lab/biobert-base-cased-v1.2@main");
        check("bioclinbert@v1", "emilyalsentzer/Bio_ClinicalBERT@v1");
        check("made/up", "made/up@main");
        check("made/up.v1@refs/pr/3", "made/up.v1@refs/pr/3");
        check("src", "folder src");
        let folder = env!("CARGO_MANIFEST_DIR");
        check(folder, &format!("folder {folder}"));
        for none in ["", "bert", "a/b/c", "/nonexistent/x", "../up", "a/..", "a/b@", "a/b@../c", "a/b c", "a/b@c@d"] {
            check(none, "is neither a folder nor the name of a base");
        }
    }
}
