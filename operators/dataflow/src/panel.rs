//! The teachers that are asked while notes flow, as `Score` sees them.
//!
//! Pure: what the labels of one text come to, beside what a reference says of it. Every subset of the teachers is counted under every
//! rule that has no parameters, so that counts of notes add up; rules whose parameters are fitted to a corpus take part as the chosen
//! ensemble, with the parameters that were chosen.

use crate::ensemble::{Ensemble, NoteVotes, Pattern, Rule, members, merge_tasks, project, share_tasks};
use crate::{SoftSpans, Words};
use std::collections::BTreeMap;
use stillroom_schemas::{Counts, ModelId, Span, Task, TaskSet};

/// The name under which the chosen ensemble stands.
pub const ENSEMBLE: &str = "ensemble";

/// The teachers that are asked, and the ensemble that was chosen for each task.
#[derive(Clone, Debug, Default)]
pub struct TeacherPanel {
    /// By task.
    tasks: BTreeMap<Task, PanelOfTask>,
    chosen: BTreeMap<Task, Ensemble>,
    /// Whether what the ensembles say is also wanted in shares.
    is_soft: bool,
}

#[derive(Clone, Debug)]
struct PanelOfTask {
    teachers: Vec<String>,
    subsets: Vec<Subset>,
}

/// Some of the teachers under a rule.
#[derive(Clone, Debug)]
struct Subset {
    model: ModelId,
    members: Vec<usize>,
    rule: Rule,
}

impl TeacherPanel {
    /// Teachers at most: 31 subsets, 80 with their rules, are counted for every note that has a reference.
    pub const TEACHERS_MAX: usize = 5;

    /// The panel of teachers that are asked for these tasks.
    ///
    /// # Panics
    /// With more than [`TeacherPanel::TEACHERS_MAX`] teachers.
    pub fn new(asked: &[(String, TaskSet)], chosen: BTreeMap<Task, Ensemble>) -> TeacherPanel {
        assert!(asked.len() <= TeacherPanel::TEACHERS_MAX, "{} teachers are too many to count subsets", asked.len());
        let of_task = |task: Task| {
            let able = asked.iter().filter(|(_, tasks)| tasks.contains(&task));
            let teachers: Vec<String> = able.map(|(name, _)| name.clone()).collect();
            (task, PanelOfTask { subsets: subsets(&teachers), teachers })
        };
        TeacherPanel { tasks: Task::ALL.map(of_task).into(), chosen, is_soft: false }
    }

    /// The same, whose ensembles also say by which share of their teachers: for [`Examples`](crate::Examples).
    pub fn with_shares(self) -> TeacherPanel {
        TeacherPanel { is_soft: true, ..self }
    }

    /// The ensemble that was chosen for each task.
    pub fn ensembles(&self) -> &BTreeMap<Task, Ensemble> {
        &self.chosen
    }

    /// What the chosen ensembles say of a text: the tasks that each teacher of the task's ensemble has labelled, and the spans.
    pub(crate) fn merge(&self, words: &Words, labels: &[LabelOf<'_>]) -> (TaskSet, Vec<Span>) {
        let chosen = self.chosen.iter().map(|(task, ensemble)| (*task, ensemble));
        merge_tasks(chosen, words, |teacher, task| spans_of(teacher, task, labels))
    }

    /// The shares of the teachers behind what [`TeacherPanel::merge`] says; nothing where they are not wanted.
    pub(crate) fn shares(&self, words: &Words, labels: &[LabelOf<'_>]) -> SoftSpans {
        let chosen = self.chosen.iter().filter(|_| self.is_soft).map(|(task, ensemble)| (*task, ensemble));
        share_tasks(chosen, words, |teacher, task| spans_of(teacher, task, labels))
    }

    /// The counts of words of every subset and of the chosen ensemble against the spans of a reference, for one task: of those whose
    /// teachers have all labelled the text.
    pub(crate) fn against(
        &self,
        words: &Words,
        task: Task,
        labels: &[LabelOf<'_>],
        reference: &[Span],
    ) -> Vec<(ModelId, Counts)> {
        let mut counted = Vec::new();
        if let Some(panel) = self.tasks.get(&task) {
            let spans: Vec<_> = panel.teachers.iter().map(|teacher| spans_of(teacher, task, labels)).collect();
            let given: Vec<&[Span]> = spans.iter().map(|spans| spans.unwrap_or_default()).collect();
            let votes = NoteVotes::count(words, task, &given, reference);
            let whole = |subset: &&Subset| subset.members.iter().all(|member| spans[*member].is_some());
            let whole = panel.subsets.iter().filter(whole);
            counted.extend(whole.map(|subset| (subset.model.clone(), subset.counts(&votes))));
        }
        if let Some(chosen) = self.chosen.get(&task)
            && let Some(spans) = spans_of_all(&chosen.teachers, task, labels)
        {
            let votes = NoteVotes::count(words, task, &spans, reference);
            let counts = votes.counts(|pattern| chosen.rule.marks(pattern, chosen.teachers.len()));
            counted.push((ModelId(ENSEMBLE.to_owned()), counts));
        }
        counted
    }
}

/// Every subset of the teachers under every rule without parameters.
fn subsets(teachers: &[String]) -> Vec<Subset> {
    let of_subset = |subset: Pattern| {
        let members = members(subset, teachers.len());
        Rule::plain(members.len()).into_iter().map(move |rule| {
            let names = members.iter().map(|member| teachers[*member].clone()).collect();
            let model = ModelId(Ensemble { teachers: names, rule: rule.clone() }.name());
            Subset { model, members: members.clone(), rule }
        })
    };
    (1..(1 as Pattern) << teachers.len()).flat_map(of_subset).collect()
}

impl Subset {
    fn counts(&self, votes: &NoteVotes) -> Counts {
        votes.counts(|pattern| self.rule.marks(project(pattern, &self.members), self.members.len()))
    }
}

/// What one teacher said of a text.
#[derive(Clone, Copy)]
pub(crate) struct LabelOf<'a> {
    pub(crate) teacher: &'a str,
    pub(crate) tasks: &'a TaskSet,
    pub(crate) spans: &'a [Span],
}

/// The spans of a teacher, if it was asked for the task.
fn spans_of<'a>(teacher: &str, task: Task, labels: &[LabelOf<'a>]) -> Option<&'a [Span]> {
    let label = labels.iter().find(|label| label.teacher == teacher && label.tasks.contains(&task));
    label.map(|label| label.spans)
}

/// The spans of these teachers, in their order, if each was asked for the task.
fn spans_of_all<'a>(teachers: &[String], task: Task, labels: &[LabelOf<'a>]) -> Option<Vec<&'a [Span]>> {
    teachers.iter().map(|teacher| spans_of(teacher, task, labels)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score_spans;

    fn span(word: u32) -> Span {
        Span { task: Task::Symptom, start: 2 * word, end: 2 * word + 1 }
    }

    /// Teachers `a` and `b` know symptoms, `c` medications.
    fn panel() -> TeacherPanel {
        let asked = [("a", Task::Symptom), ("b", Task::Symptom), ("c", Task::Medication)];
        let asked = asked.map(|(name, task)| (name.to_owned(), TaskSet::from([task])));
        let weighted = Rule::Weighted { weights: vec![0.9, 0.1] };
        let chosen = Ensemble { teachers: vec!["b".to_owned(), "a".to_owned()], rule: weighted };
        TeacherPanel::new(&asked, [(Task::Symptom, chosen)].into())
    }

    #[test]
    fn a_subset_is_counted_once_all_of_it_have_spoken() {
        let (panel, words) = (panel(), Words((0..4).map(|word| 2 * word..2 * word + 1).collect()));
        let tasks = TaskSet::from([Task::Symptom]);
        let (a, b, people) = ([span(0), span(1)], [span(1), span(2)], [span(1), span(3)]);
        let label = |teacher, spans| LabelOf { teacher, tasks: &tasks, spans };
        let labels = [label("a", &a[..]), label("b", &b[..])];
        let counted = panel.against(&words, Task::Symptom, &labels, &people);
        let found: Vec<_> =
            counted.iter().map(|(model, counts)| (&*model.0, (counts.tp, counts.fp, counts.fn_))).collect();
        let expected = [
            ("a", (1, 1, 1)),
            ("b", (1, 1, 1)),
            ("a + b (union)", (1, 2, 1)),
            ("a + b (intersection)", (1, 0, 1)),
            ("ensemble", (1, 1, 1)),
        ];
        assert_eq!(found, expected);
        let (merged_tasks, merged) = panel.merge(&words, &labels);
        assert_eq!(merged_tasks, tasks);
        assert_eq!(score_spans(&words, Task::Symptom, &merged, &b)[0].fp, 0, "b has the weight: {merged:?}");

        let alone = panel.against(&words, Task::Symptom, &labels[..1], &people);
        assert_eq!(alone, counted[..1], "b is missing");
        assert_eq!(panel.merge(&words, &labels[..1]), (TaskSet::new(), Vec::new()));
        assert_eq!(panel.against(&words, Task::Disease, &labels, &people), [], "nobody knows diseases");
        let c = LabelOf { teacher: "c", tasks: &[Task::Medication].into(), spans: &[] };
        let counted = panel.against(&words, Task::Medication, &[c], &[]);
        assert_eq!(counted, [(ModelId("c".to_owned()), Counts { notes: 1, ..Counts::default() })]);
    }

    #[test]
    fn five_teachers_make_eighty_rows() {
        let asked: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), TaskSet::from(Task::ALL))).into();
        let names: std::collections::BTreeSet<_> = TeacherPanel::new(&asked, BTreeMap::new()).tasks[&Task::Disease]
            .subsets
            .iter()
            .map(|s| s.model.clone())
            .collect();
        assert_eq!(names.len(), 80);
    }
}
