//! How one patient's notes meet the criteria of a cohort, for people.
//!
//! Pure: the same criteria as those of `Cohorts`, on notes that are at hand.

use crate::cohorts::definition::{Definition, Hierarchy};
use crate::cohorts::kept::{Keeper, NoteFactsUpsert};
use crate::cohorts::standing::witness;
use stillroom_schemas::{Cohort, CriterionList, Day, EvidenceNote};

/// How a patient's notes meet a criterion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriterionFound {
    /// The list of the criterion.
    pub list: CriterionList,
    /// Where in the list, from 0.
    pub index: u32,
    /// Notes that the criterion asks for.
    pub count: usize,
    /// All notes that meet it.
    pub notes: Vec<EvidenceNote>,
    /// Notes that would meet it on another day.
    pub on_other_days: Vec<EvidenceNote>,
}

impl CriterionFound {
    /// Whether there are notes enough.
    pub fn is_met(&self) -> bool {
        self.notes.len() >= self.count
    }
}

/// How a patient's notes meet the criteria of a cohort on a day, the clock's; in the order of the definition, notes in the order given.
///
/// ```
/// use stillroom_dataflow::{NoHierarchy, explain_cohort};
/// use stillroom_schemas::{Axes, Certainty, Cohort, Mention, NoteFacts, Task, WordsHash};
///
/// let cohort = r#"{"name": "c", "all": [{"task": "symptom", "words": ["fever"]}]}"#;
/// let cohort: Cohort = serde_json::from_str(cohort).unwrap();
/// let note = |id: &str, certainty| {
///     let mention = Mention {
///         task: Task::Symptom,
///         start: 3,
///         end: 8,
///         words: WordsHash::of("Fever"),
///         code: None,
///         assertion: Some(Axes { certainty, ..Axes::default() }),
///         section: None,
///     };
///     let facts = NoteFacts { patient_id: Some("p".into()), mentions: vec![mention], ..NoteFacts::default() };
///     ((id.to_string(), 0), (1, 0, Some(facts)))
/// };
/// let notes = vec![note("n1", Certainty::Negated), note("n2", Certainty::Affirmed)];
/// let found = explain_cohort(&cohort, notes, None, &NoHierarchy);
/// assert!(found[0].is_met());
/// assert_eq!(found[0].notes.iter().map(|note| &*note.note_id).collect::<Vec<_>>(), ["n2"]);
/// ```
pub fn explain_cohort(
    cohort: &Cohort,
    notes: Vec<NoteFactsUpsert>,
    today: Option<Day>,
    hierarchy: &dyn Hierarchy,
) -> Vec<CriterionFound> {
    let mut keeper = Keeper::default();
    let notes: Vec<_> = notes.into_iter().filter_map(|note| keeper.keep(note).1.2).collect();
    let definition = Definition::of(cohort, hierarchy);
    let found = definition.clauses().map(|(clause, terms)| {
        let mut found = CriterionFound {
            list: clause.list,
            index: clause.index,
            count: clause.count(),
            notes: Vec::new(),
            on_other_days: Vec::new(),
        };
        for note in &notes {
            let Some(mention) = clause.first_among(terms, note) else { continue };
            let is_current = clause.counts_on(today, note);
            let side = if is_current { &mut found.notes } else { &mut found.on_other_days };
            side.push(witness(note, mention));
        }
        found
    });
    found.collect()
}
