//! What language models are told to do.

use crate::TeacherError;
use sha2::{Digest, Sha256};
use std::path::Path;
use stillroom_schemas::{Task, TaskSet};

/// Instructions with a name and a hash. The name carries a version: a file that changes gets a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// `disease.v1`, or a path.
    pub name: String,
    /// The instructions.
    pub text: String,
}

/// The prompts that come with the program: one for each task, in the order of [`Task::ALL`], and one for all.
const BUILT_IN: [(&str, &str); 4] = [
    ("disease.v1", include_str!("../prompts/disease.v1.txt")),
    ("medication.v1", include_str!("../prompts/medication.v1.txt")),
    ("symptom.v1", include_str!("../prompts/symptom.v1.txt")),
    ("all.v1", include_str!("../prompts/all.v1.txt")),
];

impl Prompt {
    /// The prompt for these tasks: the one of its own for a single task, else the one for all.
    pub fn built_in(tasks: &TaskSet) -> Prompt {
        let single = if tasks.len() == 1 { tasks.first().map(|task| task.index()) } else { None };
        let (name, text) = BUILT_IN[single.unwrap_or(Task::ALL.len())];
        Prompt { name: name.to_owned(), text: text.to_owned() }
    }

    /// A prompt from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is empty.
    pub fn load(path: &Path) -> Result<Prompt, TeacherError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TeacherError::File { path: path.to_owned(), source })?;
        if text.trim().is_empty() {
            let object = format!("the prompt {}", path.display());
            return Err(TeacherError::Config { object, reason: "is empty; write what is to be found".to_owned() });
        }
        Ok(Prompt { name: path.display().to_string(), text })
    }

    /// The first 12 hexadecimal digits of the SHA-256 of the instructions.
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(self.text.as_bytes()))[..12].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_alone_has_a_prompt_of_its_own() {
        let prompt = |tasks: &[Task]| Prompt::built_in(&tasks.iter().copied().collect()).name;
        assert_eq!(Task::ALL.map(|task| prompt(&[task])), ["disease.v1", "medication.v1", "symptom.v1"]);
        assert_eq!(prompt(&Task::ALL), "all.v1");
        assert_eq!(prompt(&[Task::Disease, Task::Symptom]), "all.v1");
        for (name, text) in BUILT_IN {
            assert!(text.contains("verbatim") && text.contains("before"), "{name}");
        }
    }

    #[test]
    fn an_empty_prompt_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.txt");
        std::fs::write(&path, " \n").unwrap();
        assert!(Prompt::load(&path).unwrap_err().to_string().contains("mine.txt is empty"));
        std::fs::write(&path, "find").unwrap();
        assert_eq!(Prompt::load(&path).unwrap().hash(), "e6640de835ad", "the hash names the text");
    }
}
