//! The gate of a promotion: whether a candidate is better than the student that serves, beyond what chance would give.

use crate::estimate::{Estimate, difference, f1_of};
use crate::evaluation::{Extracted, extract_gold};
use crate::runtime::StudentConfig;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use stillroom_connectors::GoldDocument;
use stillroom_dataflow::{Bootstrap, score_spans};
use stillroom_models::{Standing, TaskFigure};
use stillroom_schemas::{Counts, Entity, Span, Task};
use stillroom_student::Student;

/// The fewest documents that tell two students apart on a task: of one alone every bootstrap sample is the same, and any difference
/// would be beyond chance.
pub(crate) const DOCUMENTS_MIN: usize = 20;

/// The figures of a candidate beside those of the serving student, for each task that the serving student has a head for, whether
/// documents were annotated for it or not, and each other one that the candidate has one for and documents were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gate(Vec<TaskFigure>);

impl Gate {
    /// Lets both students read the documents, each from its folder, where and how the configured one runs.
    ///
    /// # Errors
    /// When a student cannot be loaded, or a document not be read.
    pub(crate) fn measure(
        config: &StudentConfig,
        (serving, candidate): (&Path, &Path),
        documents: &[GoldDocument],
    ) -> Result<Gate> {
        let (served, learned) = (Student::load(serving)?, Student::load(candidate)?);
        let counts = |folder: &Path| word_counts(config, folder, documents);
        let mut pairs: BTreeMap<Task, Vec<(Counts, Counts)>> =
            served.tasks().iter().map(|task| (*task, Vec::new())).collect();
        for (serving, candidate) in counts(serving)?.into_iter().zip(counts(candidate)?) {
            for ((task, serving), (_, candidate)) in serving.into_iter().zip(candidate) {
                if served.tasks().contains(&task) || learned.tasks().contains(&task) {
                    pairs.entry(task).or_default().push((candidate, serving));
                }
            }
        }
        Ok(Gate::of(pairs))
    }

    /// The figures of the counts of each document, those of the candidate first, by task.
    pub(crate) fn of(pairs: BTreeMap<Task, Vec<(Counts, Counts)>>) -> Gate {
        Gate(pairs.into_iter().map(|(task, pairs)| figure(task, &pairs)).collect())
    }

    /// The tasks that have [`DOCUMENTS_MIN`] documents, so that the two may be told apart.
    pub(crate) fn decided(&self) -> Vec<Task> {
        self.0.iter().filter(|figure| figure.documents >= DOCUMENTS_MIN).map(|figure| figure.task).collect()
    }

    /// Of these, the tasks on which the candidate is worse.
    pub(crate) fn worse(&self) -> Vec<Task> {
        let decided = self.0.iter().filter(|figure| figure.documents >= DOCUMENTS_MIN);
        decided.filter(|figure| figure.standing() == Standing::Worse).map(|figure| figure.task).collect()
    }

    /// Why these documents cannot decide; nothing if they can: if each task has [`DOCUMENTS_MIN`] of them. What is not measured might
    /// have become worse.
    pub(crate) fn too_few(&self) -> Option<String> {
        let few = self.0.iter().filter(|figure| figure.documents < DOCUMENTS_MIN);
        let few: Vec<String> = few
            .map(|TaskFigure { task, documents, .. }| match documents {
                0 => format!("no document is annotated for {}", task.name()),
                1 => format!("1 document is annotated for {}", task.name()),
                documents => format!("{documents} documents are annotated for {}", task.name()),
            })
            .collect();
        (!few.is_empty()).then(|| format!("{}, and {DOCUMENTS_MIN} are needed of each task", few.join(", ")))
    }

    /// Why the candidate is not to serve, of documents that are enough; nothing if it is: if it is better on a task and worse on none.
    pub(crate) fn refusal(&self) -> Option<String> {
        let names = |standing: Standing| -> Vec<&str> {
            let of_standing = self.0.iter().filter(|figure| figure.standing() == standing);
            of_standing.map(|figure| figure.task.name()).collect()
        };
        let (better, worse) = (names(Standing::Better), names(Standing::Worse));
        match () {
            () if !worse.is_empty() => Some(format!("it is worse on {}", worse.join(" and "))),
            () if better.is_empty() => Some("it is better on no task, as far as these documents tell".to_owned()),
            () => None,
        }
    }

    /// A line for each task, below a head.
    pub(crate) fn table(&self) -> Vec<String> {
        table(&self.0)
    }

    /// The figures themselves.
    pub(crate) fn into_figures(self) -> Vec<TaskFigure> {
        self.0
    }
}

/// A line for each task, below a head.
pub(crate) fn table(figures: &[TaskFigure]) -> Vec<String> {
    let head = "task        documents   serving  candidate  difference  95 %";
    let row = |figure: &TaskFigure| {
        let TaskFigure { task, documents, serving, candidate, difference, .. } = figure;
        let Estimate { value, low, high } = difference;
        let standing = match figure.standing() {
            Standing::Better => "better",
            Standing::Worse => "worse",
            Standing::Level => "not told apart",
        };
        let (task, serving, candidate) = (task.name(), serving.f1(), candidate.f1());
        format!(
            "{task:<11} {documents:>9} {serving:>9.4} {candidate:>10.4} {value:>+11.4}  {low:+.4} to {high:+.4}  {standing}"
        )
    };
    std::iter::once(head.to_owned()).chain(figures.iter().map(row)).collect()
}

/// The figure of a task from the counts of each document, those of the candidate first.
fn figure(task: Task, pairs: &[(Counts, Counts)]) -> TaskFigure {
    let (mut candidate, mut serving) = (Counts::default(), Counts::default());
    for (of_candidate, of_serving) in pairs {
        candidate += *of_candidate;
        serving += *of_serving;
    }
    let difference = difference(pairs, Bootstrap::default());
    let of_candidate: Vec<Counts> = pairs.iter().map(|(of_candidate, _)| *of_candidate).collect();
    let candidate_f1 = (!pairs.is_empty()).then(|| f1_of(&of_candidate, Bootstrap::default()));
    TaskFigure { task, documents: pairs.len(), serving, candidate, difference, candidate_f1 }
}

/// Counts in words of each document, for every task that it was annotated for.
///
/// # Errors
/// When the student cannot be loaded, or a document not be read.
pub(crate) fn word_counts(
    config: &StudentConfig,
    folder: &Path,
    documents: &[GoldDocument],
) -> Result<Vec<BTreeMap<Task, Counts>>> {
    let student = StudentConfig { folders: vec![folder.to_owned()], ..config.clone() };
    let Extracted { tokenize, entities, .. } = extract_gold(&student, documents)?;
    let of_document = |(document, entities): (&GoldDocument, &Vec<Entity>)| -> Result<BTreeMap<Task, Counts>> {
        let words = tokenize(&document.text)?.words;
        let span = |&Entity { task, start, end, .. }: &Entity| Span { task, start, end };
        let spans: Vec<Span> = entities.iter().map(span).collect();
        let counts = |&task: &Task| {
            let [in_words, ..] = score_spans(&words, task, &spans, &document.spans);
            (task, in_words)
        };
        Ok(document.tasks.iter().map(counts).collect())
    };
    documents.iter().zip(&entities).map(of_document).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A figure of documents that are enough: of the ten words of each the candidate finds as many as `found` says, and the serving
    /// student five.
    fn of_found(task: Task, found: impl Fn(i64) -> i64) -> TaskFigure {
        of_documents(task, DOCUMENTS_MIN, found)
    }

    fn of_documents(task: Task, documents: usize, found: impl Fn(i64) -> i64) -> TaskFigure {
        let counts = |tp: i64| Counts { notes: 1, tp, fp: 0, fn_: 10 - tp };
        let pairs = (0..documents as i64).map(|document| (counts(found(document)), counts(5)));
        figure(task, &pairs.collect::<Vec<(Counts, Counts)>>())
    }

    #[test]
    fn better_on_one_task_and_worse_on_none_passes() {
        let better = of_found(Task::Disease, |document| 6 + document % 3);
        let worse = of_found(Task::Medication, |document| 4 - document % 3);
        let level = of_found(Task::Symptom, |document| 4 + document % 3);
        let check = |figures: &[&TaskFigure], expected: Option<&str>| {
            let gate = Gate(figures.iter().map(|figure| (*figure).clone()).collect());
            let refusal = gate.refusal();
            assert_eq!(refusal.as_deref(), expected, "{:#?}", gate.table());
        };
        check(&[&better], None);
        check(&[&better, &level], None);
        check(&[&better, &worse], Some("it is worse on medication"));
        check(&[&worse, &level], Some("it is worse on medication"));
        check(&[&level], Some("it is better on no task, as far as these documents tell"));
        check(&[], Some("it is better on no task, as far as these documents tell"));
    }

    #[test]
    fn a_task_with_too_few_documents_is_not_decided() {
        let check = |documents: [usize; 3], expected: Option<&str>| {
            let figures = Task::ALL.into_iter().zip(documents);
            let gate = Gate(figures.map(|(task, documents)| of_documents(task, documents, |_| 9)).collect());
            let expected = expected.map(|few| format!("{few}, and {DOCUMENTS_MIN} are needed of each task"));
            assert_eq!(gate.too_few(), expected, "{:#?}", gate.table());
        };
        check([DOCUMENTS_MIN; 3], None);
        check([DOCUMENTS_MIN, 1, DOCUMENTS_MIN], Some("1 document is annotated for medication"));
        let nothing = "no document is annotated for medication, 19 documents are annotated for symptom";
        check([DOCUMENTS_MIN, 0, DOCUMENTS_MIN - 1], Some(nothing));
        // The reason for the bound: one document, and nothing that chance could have made otherwise.
        assert_eq!(of_documents(Task::Disease, 1, |_| 6).standing(), Standing::Better);
        assert_eq!(of_documents(Task::Disease, 0, |_| 6).standing(), Standing::Level);
    }

    #[test]
    fn what_is_worse_of_too_few_documents_is_not_decided() {
        let worse = |task, documents| of_documents(task, documents, |document| 4 - document % 3);
        let gate = Gate(vec![worse(Task::Disease, DOCUMENTS_MIN), worse(Task::Symptom, DOCUMENTS_MIN - 1)]);
        assert_eq!(gate.0[1].standing(), Standing::Worse, "{:#?}", gate.table());
        assert_eq!((gate.decided(), gate.worse()), (vec![Task::Disease], vec![Task::Disease]));
        let better = Gate(vec![of_found(Task::Disease, |document| 6 + document % 3)]);
        assert_eq!((better.decided(), better.worse()), (vec![Task::Disease], Vec::new()));
    }

    #[test]
    fn a_candidate_has_an_interval_of_its_own() {
        let figure = of_found(Task::Disease, |document| 4 + document % 3);
        let Estimate { value, low, high } = figure.candidate_f1.unwrap();
        assert_eq!(value, figure.candidate.f1());
        assert!(low < value && value < high, "{low} {value} {high}");
        assert_eq!(of_documents(Task::Disease, 0, |_| 6).candidate_f1, None);
    }

    #[test]
    fn a_student_is_never_better_than_itself() {
        let same = of_found(Task::Disease, |_| 5);
        assert_eq!(same.difference, Estimate { value: 0.0, low: 0.0, high: 0.0 });
        assert!(Gate(vec![same]).refusal().is_some());
    }
}
