//! Rules by which teachers are merged.

use super::{LabelModel, Pattern, patterns};
use crate::{Words, spans_of};
use serde::{Deserialize, Serialize};
use stillroom_schemas::{Span, Task};

/// When a word is marked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// When any teacher marks it.
    Union,
    /// When all do.
    Intersection,
    /// When so many do at least.
    AtLeast {
        /// How many.
        least: u32,
    },
    /// When those that do have half of the weight at least.
    Weighted {
        /// Of each teacher: its own F1.
        weights: Vec<f64>,
    },
    /// When it is more likely than not, by how reliable the teachers seem to be.
    LabelModel(LabelModel),
}

impl Rule {
    /// The rules without parameters by which so many teachers can be merged, each of another meaning.
    pub fn plain(teachers: usize) -> Vec<Rule> {
        let mut rules = vec![Rule::Union];
        if teachers > 1 {
            rules.push(Rule::Intersection);
            rules.extend((2..teachers as u32).map(|least| Rule::AtLeast { least }));
        }
        rules
    }

    /// Whether a word is marked that the teachers of `pattern` mark, of `teachers` in all. What nobody marks is not marked.
    pub fn marks(&self, pattern: Pattern, teachers: usize) -> bool {
        let marking = || (0..teachers).filter(|teacher| pattern & (1 << teacher) != 0);
        pattern != 0
            && match self {
                Rule::Union => true,
                Rule::Intersection => marking().count() == teachers,
                Rule::AtLeast { least } => marking().count() >= *least as usize,
                Rule::Weighted { weights } => {
                    2.0 * marking().map(|teacher| weights[teacher]).sum::<f64>() >= weights.iter().sum()
                }
                Rule::LabelModel(model) => model.posterior(pattern) >= 0.5,
            }
    }

    /// Its name, for people.
    pub fn name(&self) -> String {
        match self {
            Rule::Union => "union".to_owned(),
            Rule::Intersection => "intersection".to_owned(),
            Rule::AtLeast { least } => format!("at least {least}"),
            Rule::Weighted { .. } => "weighted vote".to_owned(),
            Rule::LabelModel(_) => "label model".to_owned(),
        }
    }

    /// Whether its parameters are those of so many teachers.
    pub fn fits(&self, teachers: usize) -> bool {
        match self {
            Rule::Union | Rule::Intersection => true,
            Rule::AtLeast { least } => (1..=teachers).contains(&(*least as usize)),
            Rule::Weighted { weights } => weights.len() == teachers,
            Rule::LabelModel(model) => model.teachers() == teachers,
        }
    }
}

/// Teachers and the rule that merges them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// Their names, in the order in which patterns and the rule's parameters have them.
    pub teachers: Vec<String>,
    /// How they are merged.
    #[serde(flatten)]
    pub rule: Rule,
}

impl Ensemble {
    /// Its name, for people: `a + b (union)`, or that of the one teacher.
    pub fn name(&self) -> String {
        match &self.teachers[..] {
            [alone] => alone.clone(),
            several => format!("{} ({})", several.join(" + "), self.rule.name()),
        }
    }

    /// The spans of `task`: runs of words that the rule marks. `labels` are in the order of the teachers.
    pub fn merge(&self, words: &Words, task: Task, labels: &[&[Span]]) -> Vec<Span> {
        let row = |pattern: Pattern| {
            let mut row = [0.0; Task::ALL.len()];
            row[task.index()] = f32::from(self.rule.marks(pattern, self.teachers.len()));
            row
        };
        let rows: Vec<_> = patterns(words, task, labels).into_iter().map(row).collect();
        spans_of(words, &rows, &[0.5; Task::ALL.len()]).into_iter().map(|(span, _)| span).collect()
    }
}
