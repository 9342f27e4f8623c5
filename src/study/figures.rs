//! How well the systems of a task do, on what, and what a note takes: from spans to figures.

use crate::estimate::{Estimate, difference};
use crate::study::data::Item;
use crate::study::dataset::Role;
use crate::study::report::{Cost, Difference, Figure, Group, Kind, LevelFigure, Ratio};
use anyhow::Result;
use std::collections::BTreeMap;
use stillroom_connectors::Part;
use stillroom_dataflow::{Bootstrap, ScoredSpan, Scores, TokenizeText, Words, score_spans};
use stillroom_schemas::{Counts, Level, Span, Task};

/// The name of all datasets of the study together.
pub(crate) const ALL: &str = "all";

/// What is measured of a task: the documents and who has read them.
pub(crate) struct Evaluation<'a> {
    /// The task.
    pub(crate) task: Task,
    /// The documents.
    pub(crate) items: Vec<Item<'a>>,
    /// Their words.
    pub(crate) words: Vec<Words>,
    /// Who has read them.
    pub(crate) systems: Vec<System>,
}

/// Somebody who finds mentions.
pub(crate) struct System {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// The system that it learned from, if that is one.
    pub(crate) teacher: Option<String>,
    /// The spans of each document with their probabilities (1 for teachers); nothing where it has not read one.
    pub(crate) spans: Vec<Option<Vec<ScoredSpan>>>,
    /// Seconds and dollars a document; dollars are absent where no price is stated.
    pub(crate) cost: (f64, Option<f64>),
}

impl<'a> Evaluation<'a> {
    /// Nobody has read the documents yet.
    ///
    /// # Errors
    /// When a text cannot be cut into words.
    pub(crate) fn new(task: Task, items: Vec<Item<'a>>, tokenize: &TokenizeText) -> Result<Evaluation<'a>> {
        let words = items.iter().map(|item| Ok(tokenize(&item.document.text)?.words)).collect::<Result<_>>()?;
        Ok(Evaluation { task, items, words, systems: Vec::new() })
    }

    /// The documents of each dataset and part, and where there are several datasets of the study, of all together.
    pub(crate) fn groups(&self) -> Vec<(Group, Vec<usize>)> {
        let mut groups: Vec<(Group, Vec<usize>)> = Vec::new();
        let mut put = |dataset: &str, item: &Item<'_>, index: usize| {
            let group = Group { dataset: dataset.to_owned(), role: item.role, part: item.part.name().to_owned() };
            match groups.iter_mut().find(|(other, _)| *other == group) {
                Some((_, indices)) => indices.push(index),
                None => groups.push((group, vec![index])),
            }
        };
        self.items.iter().enumerate().for_each(|(index, item)| put(item.dataset, item, index));
        for part in [Part::Dev, Part::Test] {
            let of_part = |item: &&Item<'_>| item.role == Role::Study && item.part == part;
            let mut datasets: Vec<&str> = self.items.iter().filter(of_part).map(|item| item.dataset).collect();
            datasets.dedup();
            if datasets.len() > 1 {
                let items = self.items.iter().enumerate().filter(|(_, item)| of_part(item));
                items.for_each(|(index, item)| put(ALL, item, index));
            }
        }
        groups
    }

    /// The group that stands for the task: the test documents of the study if there are any, else dev; of all datasets.
    ///
    /// # Panics
    /// Never: a task of the study has a dev document.
    pub(crate) fn main_group(&self) -> (Group, Vec<usize>) {
        let of_study = self.groups().into_iter().filter(|(group, _)| group.role == Role::Study);
        let rank = |group: &Group| (group.part == Part::Test.name(), group.dataset == ALL);
        let best = of_study.max_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)));
        best.expect("a task of the study has a dev document")
    }

    /// The counts of a system in a document, at every level; nothing where it has not read it.
    pub(crate) fn scores(&self, system: &System, index: usize) -> Option<Scores> {
        let predicted: Vec<Span> = system.spans[index].as_ref()?.iter().map(|(span, _)| *span).collect();
        Some(score_spans(&self.words[index], self.task, &predicted, &self.items[index].document.spans))
    }

    /// Figures of every system in every group, and differences of students and their teachers.
    pub(crate) fn figures(&self, bootstrap: Bootstrap) -> (Vec<Figure>, Vec<Difference>) {
        let (mut figures, mut differences) = (Vec::new(), Vec::new());
        let all: Vec<Vec<Option<Scores>>> = self
            .systems
            .iter()
            .map(|system| (0..self.items.len()).map(|index| self.scores(system, index)).collect())
            .collect();
        for (group, indices) in self.groups() {
            for (system, scores) in self.systems.iter().zip(&all) {
                let read: Vec<usize> = indices.iter().copied().filter(|&index| scores[index].is_some()).collect();
                let of_read: Vec<Scores> = read.iter().filter_map(|&index| scores[index]).collect();
                figures.push(Figure {
                    group: group.clone(),
                    task: self.task,
                    system: system.name.clone(),
                    kind: system.kind,
                    documents: read.len(),
                    words: read.iter().map(|&index| self.words[index].len()).sum(),
                    levels: levels(&of_read, bootstrap),
                });
                let teacher =
                    system.teacher.as_ref().and_then(|name| self.systems.iter().position(|s| s.name == *name));
                if let Some(teacher) = teacher {
                    let of_teacher = &all[teacher];
                    let pair = |&index: &usize| Some((scores[index]?[0], of_teacher[index]?[0]));
                    let pairs: Vec<(Counts, Counts)> = indices.iter().filter_map(pair).collect();
                    differences.push(Difference {
                        group: group.clone(),
                        task: self.task,
                        student: system.name.clone(),
                        teacher: self.systems[teacher].name.clone(),
                        documents: pairs.len(),
                        f1: difference(&pairs, bootstrap),
                    });
                }
            }
        }
        (figures, differences)
    }

    /// What a note takes, and how many times less of it students take.
    pub(crate) fn costs(&self) -> (Vec<Cost>, Vec<Ratio>) {
        let cost = |system: &System| Cost {
            task: self.task,
            system: system.name.clone(),
            kind: system.kind,
            documents: system.spans.iter().flatten().count(),
            seconds: system.cost.0,
            usd: system.cost.1,
        };
        let costs: Vec<Cost> = self.systems.iter().map(cost).collect();
        let (students, teachers): (Vec<&Cost>, Vec<&Cost>) = costs.iter().partition(|cost| cost.kind == Kind::Student);
        let ratio = |student: &Cost, teacher: &Cost| Ratio {
            task: self.task,
            student: student.system.clone(),
            teacher: teacher.system.clone(),
            faster: teacher.seconds / student.seconds,
            cheaper: teacher.usd.zip(student.usd).filter(|(_, usd)| *usd > 0.0).map(|(one, other)| one / other),
        };
        let ratios =
            students.iter().flat_map(|student| teachers.iter().map(|teacher| ratio(student, teacher))).collect();
        (costs, ratios)
    }
}

/// Precision, recall and F1 of documents at every level.
fn levels(documents: &[Scores], bootstrap: Bootstrap) -> BTreeMap<Level, LevelFigure> {
    const LEVELS: usize = Level::ALL.len();
    let sums = |sample: &mut dyn Iterator<Item = usize>| {
        let mut sums = [Counts::default(); LEVELS];
        sample.for_each(|document| sums.iter_mut().zip(documents[document]).for_each(|(sum, counts)| *sum += counts));
        sums
    };
    let figures = |sums: &[Counts; LEVELS]| -> [f64; 3 * LEVELS] {
        std::array::from_fn(|at| match at % 3 {
            0 => sums[at / 3].precision(),
            1 => sums[at / 3].recall(),
            _ => sums[at / 3].f1(),
        })
    };
    let all = sums(&mut (0..documents.len()));
    let values = figures(&all);
    let intervals = bootstrap.intervals(documents.len(), |sample| figures(&sums(&mut sample.iter().copied())));
    let estimate = |at: usize| Estimate { value: values[at], low: intervals[at].0, high: intervals[at].1 };
    let figure = |(at, level): (usize, Level)| {
        let [precision, recall, f1] = [3 * at, 3 * at + 1, 3 * at + 2].map(estimate);
        (level, LevelFigure { counts: all[at], precision, recall, f1 })
    };
    Level::ALL.into_iter().enumerate().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(tp: i64, fp: i64, fn_: i64) -> Counts {
        Counts { notes: 1, tp, fp, fn_ }
    }

    #[test]
    fn every_level_has_its_own_counts_and_intervals_that_hold_them() {
        let documents: Vec<Scores> =
            (0..20).map(|n| [counts(8 + n % 3, n % 4, 2), counts(3, n % 2, 1 + n % 2), counts(4, 0, n % 3)]).collect();
        for (at, (level, figure)) in levels(&documents, Bootstrap::default()).into_iter().enumerate() {
            let mut sum = Counts::default();
            documents.iter().for_each(|document| sum += document[at]);
            assert_eq!((level, figure.counts), (Level::ALL[at], sum));
            for estimate in [figure.precision, figure.recall, figure.f1] {
                assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{level:?}: {estimate:?}");
            }
        }
    }
}
