//! The ensembles that were chosen, in a file.

use crate::TeacherError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use stillroom_dataflow::ensemble::{Ensemble, merge_tasks, share_tasks};
use stillroom_dataflow::{SoftSpans, Words};
use stillroom_schemas::{Span, Task, TaskSet};

/// The ensemble of each task, as TOML.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choice(pub BTreeMap<Task, Chosen>);

/// An ensemble and why it was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its F1 in words against people, on the documents that it was chosen on.
    pub f1: f64,
    /// The interval that holds the F1 of 95 % of bootstrap samples of these documents.
    pub interval: (f64, f64),
    /// How many they were.
    pub documents: i64,
    /// Teachers and rule.
    #[serde(flatten)]
    pub ensemble: Ensemble,
}

impl Choice {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or a rule is not one of its teachers.
    pub fn load(path: &Path) -> Result<Choice, TeacherError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| TeacherError::File { path: path.to_owned(), source })?;
        let refused =
            |reason: String| TeacherError::Config { object: format!("the choice {}", path.display()), reason };
        let choice: Choice = toml::from_str(&text).map_err(|error| {
            refused(format!("cannot be read: {}; make it anew by teachers select", error.message()))
        })?;
        for (task, chosen) in &choice.0 {
            let teachers = chosen.ensemble.teachers.len();
            if teachers == 0 || teachers > super::TEACHERS_MAX || !chosen.ensemble.rule.fits(teachers) {
                let task = task.name();
                return Err(refused(format!("has a rule for {task} that is not one of its teachers; make it anew")));
            }
        }
        Ok(choice)
    }

    /// The text of the file.
    ///
    /// # Panics
    /// Never: what is in it can be written as TOML.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("names and numbers can be written as TOML")
    }

    /// All teachers, each once.
    pub fn teachers(&self) -> Vec<String> {
        let mut teachers: Vec<String> = Vec::new();
        for teacher in self.0.values().flat_map(|chosen| &chosen.ensemble.teachers) {
            if !teachers.contains(teacher) {
                teachers.push(teacher.clone());
            }
        }
        teachers
    }

    /// What the ensembles say of a text: the tasks for which each of their teachers gave a label, and the spans, by task and position.
    /// `label_of` a teacher that was not asked for a task is nothing: it did not say that there is none.
    pub fn merge<'a>(
        &self,
        words: &Words,
        label_of: impl Fn(&str, Task) -> Option<&'a [Span]>,
    ) -> (TaskSet, Vec<Span>) {
        merge_tasks(self.ensembles(), words, label_of)
    }

    /// The shares of the teachers behind what [`Choice::merge`] says.
    pub fn shares<'a>(&self, words: &Words, label_of: impl Fn(&str, Task) -> Option<&'a [Span]>) -> SoftSpans {
        share_tasks(self.ensembles(), words, label_of)
    }

    fn ensembles(&self) -> impl Iterator<Item = (Task, &Ensemble)> {
        self.0.iter().map(|(task, chosen)| (*task, &chosen.ensemble))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_dataflow::ensemble::{LabelModel, Rule};

    fn chosen(teachers: &[&str], rule: Rule) -> Chosen {
        let teachers = teachers.iter().map(|teacher| (*teacher).to_owned()).collect();
        Chosen { f1: 0.5, interval: (0.25, 0.75), documents: 25, ensemble: Ensemble { teachers, rule } }
    }

    #[test]
    fn what_is_written_is_read() {
        let model = LabelModel { prior: 0.5, sensitivity: vec![0.5; 3], specificity: vec![1.0 / 3.0; 3] };
        let choice = Choice(BTreeMap::from([
            (Task::Disease, chosen(&["a", "b", "c"], Rule::LabelModel(model))),
            (Task::Medication, chosen(&["a", "d"], Rule::AtLeast { least: 2 })),
            (Task::Symptom, chosen(&["b"], Rule::Union)),
        ]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ensemble.toml");
        std::fs::write(&path, choice.to_text()).unwrap();
        assert_eq!(Choice::load(&path).unwrap(), choice);
        assert_eq!(choice.teachers(), ["a", "b", "c", "d"]);
        let check = |from: &str, to: &str, expected: &str| {
            std::fs::write(&path, choice.to_text().replacen(from, to, 1)).unwrap();
            let said = Choice::load(&path).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        };
        check("[\"a\", \"d\"]", "[\"a\"]", "has a rule for medication that is not one of its teachers");
        check("union", "unions", "ensemble.toml cannot be read");
    }

    #[test]
    fn a_task_without_the_label_of_a_teacher_is_left_out() {
        let choice = Choice(BTreeMap::from([
            (Task::Disease, chosen(&["a", "b"], Rule::Intersection)),
            (Task::Symptom, chosen(&["a", "late"], Rule::Union)),
        ]));
        let span = |task, start, end| Span { task, start, end };
        let words = Words(vec![0..1, 2..3, 4..5]);
        let a = [span(Task::Disease, 0, 3), span(Task::Symptom, 4, 5)];
        let b = [span(Task::Disease, 2, 5)];
        let merged = choice.merge(&words, |teacher, _| match teacher {
            "a" => Some(&a[..]),
            "b" => Some(&b[..]),
            _ => None,
        });
        assert_eq!(merged, (TaskSet::from([Task::Disease]), vec![span(Task::Disease, 2, 3)]));
    }
}
