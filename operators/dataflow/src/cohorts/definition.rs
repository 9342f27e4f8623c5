//! What a cohort asks for, with what is below its concepts.

use crate::AsJson;
use crate::cohorts::kept::{KeptMention, KeptNote, SHARDS, Term, term_of_code, term_of_task};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{Code, Cohort, Criterion, CriterionList, Day, WordsHash};

/// The name of a cohort, with the offset of its record and its definition; nothing when it was removed.
pub type CohortUpsert = (String, (u64, Option<Cohort>));

/// What is below a concept, by its vocabulary.
pub trait Hierarchy: Send + Sync {
    /// The codes of all concepts below this one, by is-a. It is asked once for each concept of a definition, when the definition comes.
    fn descendants(&self, code: &Code) -> Vec<Code>;
}

/// No vocabulary: a concept is itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHierarchy;

impl Hierarchy for NoHierarchy {
    fn descendants(&self, _code: &Code) -> Vec<Code> {
        Vec::new()
    }
}

/// A cohort as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) cohort: Arc<str>,
    /// As [`Cohort::definition`] says.
    pub(crate) digits: Arc<str>,
    /// Each criterion with the terms that may meet it, sorted.
    clauses: Vec<(Arc<Clause>, Box<[Term]>)>,
}

/// A criterion and its cohort, without what it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Clause {
    pub(crate) list: CriterionList,
    /// In the list.
    pub(crate) index: u32,
    /// How long the lists `all` and `any` of the cohort are.
    pub(crate) lengths: (u32, u32),
    pub(crate) cohort: Arc<str>,
    pub(crate) digits: Arc<str>,
    /// Whether every mention of the task is meant.
    is_of_task: bool,
    /// Concepts and words are gone into terms.
    criterion: AsJson<Criterion>,
}

impl Definition {
    /// What a cohort asks for.
    pub(crate) fn of(cohort: &Cohort, hierarchy: &dyn Hierarchy) -> Definition {
        let (name, digits): (Arc<str>, Arc<str>) = (cohort.name.as_str().into(), cohort.definition().into());
        let lengths = (cohort.all.len() as u32, cohort.any.len() as u32);
        let clauses = cohort.criteria().map(|(list, index, criterion)| {
            let clause = Clause {
                list,
                index: index as u32,
                lengths,
                cohort: name.clone(),
                digits: digits.clone(),
                is_of_task: criterion.concepts.is_empty() && criterion.words.is_empty(),
                criterion: AsJson(Criterion { concepts: Vec::new(), words: Vec::new(), ..criterion.clone() }),
            };
            (Arc::new(clause), terms_of(criterion, hierarchy).into_boxed_slice())
        });
        let clauses = clauses.collect();
        Definition { cohort: name, digits, clauses }
    }

    /// Every term with the criterion that it may meet.
    pub(crate) fn by_term(&self) -> impl Iterator<Item = (Term, Arc<Clause>)> {
        let of_clause = |(clause, terms): &(Arc<Clause>, Box<[Term]>)| -> Vec<(Term, Arc<Clause>)> {
            terms.iter().map(|term| (*term, clause.clone())).collect()
        };
        self.clauses.iter().flat_map(of_clause)
    }

    /// Every criterion with the terms that may meet it, sorted.
    pub(crate) fn clauses(&self) -> impl Iterator<Item = (&Clause, &[Term])> {
        self.clauses.iter().map(|(clause, terms)| (&**clause, &**terms))
    }

    /// Whether a note meets a criterion of this definition, whatever its day.
    pub(crate) fn is_met_by(&self, (list, index): (CriterionList, u32), note: &KeptNote) -> bool {
        let found = self.clauses().find(|(clause, _)| (clause.list, clause.index) == (list, index));
        found.is_some_and(|(clause, terms)| clause.first_among(terms, note).is_some())
    }
}

/// The terms of a criterion, sorted, each once.
fn terms_of(criterion: &Criterion, hierarchy: &dyn Hierarchy) -> Vec<Term> {
    let mut terms: Vec<Term> = criterion.words.iter().map(|words| WordsHash::of(words).0).collect();
    for code in &criterion.concepts {
        terms.push(term_of_code(code));
        if criterion.descendants {
            terms.extend(hierarchy.descendants(code).iter().map(term_of_code));
        }
    }
    if let (true, Some(task)) = (terms.is_empty(), criterion.task) {
        terms.extend((0..SHARDS as u8).map(|shard| term_of_task(task, shard)));
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

impl Clause {
    /// The index of the first mention that meets the criterion, of those that have this term of it.
    pub(crate) fn first_with(&self, term: Term, note: &KeptNote) -> Option<u32> {
        self.first(note, |mention| mention.has(term))
    }

    /// The same, of those that have any of its terms.
    pub(crate) fn first_among(&self, terms: &[Term], note: &KeptNote) -> Option<u32> {
        self.first(note, |mention| mention.is_among(terms))
    }

    fn first(&self, note: &KeptNote, has_term: impl Fn(&KeptMention) -> bool) -> Option<u32> {
        let note_types = &self.criterion.0.note_types;
        let is_of_type = note.note_type.as_deref().is_some_and(|note_type| note_types.contains(note_type));
        if !note_types.is_empty() && !is_of_type {
            return None;
        }
        let is_meant = |mention: &KeptMention| (self.is_of_task || has_term(mention)) && self.admits(mention);
        note.mentions.iter().position(is_meant).map(|index| index as u32)
    }

    fn admits(&self, mention: &KeptMention) -> bool {
        let AsJson(Criterion { task, assertion, sections, sections_not, .. }) = &self.criterion;
        let section = mention.section.as_deref();
        task.is_none_or(|task| task == mention.task)
            && assertion.admits(mention.meant())
            && (sections.is_empty() || section.is_some_and(|section| sections.contains(section)))
            && section.is_none_or(|section| !sections_not.contains(section))
    }

    /// Notes that must meet it.
    pub(crate) fn count(&self) -> usize {
        self.criterion.0.count as usize
    }

    /// Whether only notes of some days count.
    pub(crate) fn is_windowed(&self) -> bool {
        self.criterion.0.days.is_some()
    }

    /// The first day that a note counts on, and the first that it counts on no more; nothing if it never counts, or always.
    pub(crate) fn window(&self, note: &KeptNote) -> Option<(u32, u32)> {
        let (days, day) = (self.criterion.0.days?, note.day?);
        Some((day.number(), day.number() + days))
    }

    /// Whether a note counts on a day.
    pub(crate) fn counts_on(&self, today: Option<Day>, note: &KeptNote) -> bool {
        if !self.is_windowed() {
            return true;
        }
        let of_today = self.window(note).zip(today);
        of_today.is_some_and(|((first, end), today)| (first..end).contains(&today.number()))
    }
}
