//! The rows that a prediction and what was said of its text belong to, recomputed.

use super::{Said, panel};
use std::collections::BTreeMap;
use stillroom_dataflow::ensemble::{Ensemble, Rule};
use stillroom_dataflow::{ENSEMBLE, Words, score_spans};
use stillroom_schemas::{Comparison, Counts, Level, ModelId, Prediction, QualityKey, Reference, Span, Task};

/// What is said of the text of one prediction: teachers' labels, of one that stands in two partitions once, and references.
pub(crate) struct OfNote<'a> {
    prediction: &'a Prediction,
    words: Words,
    of_teachers: BTreeMap<&'a str, &'a Reference>,
    references: &'a [&'a Said<'a>],
}

impl<'a> OfNote<'a> {
    pub(crate) fn new(
        prediction: &'a Prediction,
        labels: &[&'a Said<'a>],
        references: &'a [&'a Said<'a>],
    ) -> OfNote<'a> {
        let mut of_teachers: BTreeMap<&str, &Reference> = BTreeMap::new();
        for (key, said) in labels {
            let kept = of_teachers.entry(&key.annotator).or_insert(said);
            if (&said.tasks, &said.spans) < (&kept.tasks, &kept.spans) {
                *kept = said;
            }
        }
        OfNote { prediction, words: Words::from_bytes(&prediction.words).unwrap(), of_teachers, references }
    }

    /// What an ensemble says, if all of its teachers said something of the task.
    fn merged(&self, ensemble: &Ensemble, task: Task) -> Option<Vec<Span>> {
        let of = |teacher: &String| {
            let said = self.of_teachers.get(teacher.as_str()).filter(|said| said.tasks.contains(&task));
            said.map(|said| &said.spans[..])
        };
        let spans: Vec<&[Span]> = ensemble.teachers.iter().map(of).collect::<Option<_>>()?;
        Some(ensemble.merge(&self.words, task, &spans))
    }

    /// Rows of the student against a teacher, an annotator or the ensemble.
    pub(crate) fn add_student(&self, counts: &mut BTreeMap<QualityKey, Counts>) {
        let mut add = |comparison, task, reference: &str, spans: &[Span]| {
            let scores = score_spans(&self.words, task, &self.prediction.spans, spans);
            for (level, scored) in Level::ALL.into_iter().zip(scores) {
                let rollup = row(task, (level, comparison), &self.prediction.model, reference);
                let (note_type, site) = (self.prediction.note_type.clone(), self.prediction.site.clone());
                *counts.entry(QualityKey { note_type, site, rollup: false, ..rollup.clone() }).or_default() += scored;
                *counts.entry(rollup).or_default() += scored;
            }
        };
        for (teacher, said) in &self.of_teachers {
            said.tasks.iter().for_each(|&task| add(Comparison::StudentTeacher, task, teacher, &said.spans));
        }
        for (key, said) in self.references {
            said.tasks.iter().for_each(|&task| add(Comparison::StudentReference, task, &key.annotator, &said.spans));
        }
        let (_, chosen) = panel();
        for (&task, ensemble) in &chosen {
            if let Some(spans) = self.merged(ensemble, task) {
                add(Comparison::StudentEnsemble, task, ENSEMBLE, &spans);
            }
        }
    }

    /// Rows of the ensemble and of any teachers against an annotator, and of the words that the student alone marks.
    pub(crate) fn add_teachers(&self, counts: &mut BTreeMap<QualityKey, Counts>) {
        let (asked, chosen) = panel();
        for (reference, said) in self.references {
            for &task in &said.tasks {
                let mut add = |comparison, model: &ModelId, scored: Counts| {
                    let row = row(task, (Level::Word, comparison), model, &reference.annotator);
                    *counts.entry(row).or_default() += scored;
                };
                let scored = |spans: &[Span]| score_spans(&self.words, task, spans, &said.spans)[0];
                if let Some(spans) = chosen.get(&task).and_then(|ensemble| self.merged(ensemble, task)) {
                    let sides = [&self.prediction.spans[..], &spans[..], &said.spans[..]];
                    let reviewed = only_student(&self.words, task, sides);
                    add(Comparison::FalsePositivesReviewed, &self.prediction.model, reviewed);
                    add(Comparison::TeachersReference, &ModelId(ENSEMBLE.to_owned()), scored(&spans));
                }
                let able = asked.iter().filter(|(_, tasks)| tasks.contains(&task)).map(|(name, _)| name.clone());
                for ensemble in ensembles_of(&able.collect::<Vec<String>>()) {
                    if let Some(spans) = self.merged(&ensemble, task) {
                        add(Comparison::TeachersReference, &ModelId(ensemble.name()), scored(&spans));
                    }
                }
            }
        }
    }
}

/// Every ensemble of some of these teachers.
fn ensembles_of(teachers: &[String]) -> Vec<Ensemble> {
    let of_subset = |subset: u32| {
        let chosen = (0..teachers.len()).filter(|at| subset & (1 << at) != 0).map(|at| teachers[at].clone());
        let chosen: Vec<String> = chosen.collect();
        let rules = match chosen.len() {
            1 => vec![Rule::Union],
            2 => vec![Rule::Union, Rule::Intersection],
            _ => vec![Rule::Union, Rule::Intersection, Rule::AtLeast { least: 2 }],
        };
        rules.into_iter().map(move |rule| Ensemble { teachers: chosen.clone(), rule }).collect::<Vec<Ensemble>>()
    };
    (1..1u32 << teachers.len()).flat_map(of_subset).collect()
}

/// The row over all notes.
fn row(task: Task, (level, comparison): (Level, Comparison), model: &ModelId, reference: &str) -> QualityKey {
    QualityKey {
        task,
        level,
        comparison,
        model: model.clone(),
        reference: reference.to_owned(),
        note_type: None,
        site: None,
        rollup: true,
    }
}

/// Of the words that the student marks and the ensemble does not, those that the reference marks and those that it does not,
/// code point by code point.
fn only_student(words: &Words, task: Task, [student, ensemble, reference]: [&[Span]; 3]) -> Counts {
    let mut counts = Counts { notes: 1, ..Counts::default() };
    for word in &words.0 {
        let is_marked = |spans: &[Span]| {
            let mut of_task = spans.iter().filter(|span| span.task == task);
            of_task.any(|span| word.clone().any(|place| (span.start..span.end).contains(&place)))
        };
        match (is_marked(student) && !is_marked(ensemble), is_marked(reference)) {
            (true, true) => counts.tp += 1,
            (true, false) => counts.fp += 1,
            (false, _) => {}
        }
    }
    counts
}
