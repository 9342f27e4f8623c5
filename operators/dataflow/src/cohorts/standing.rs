//! How a patient stands to a cohort.
//!
//! Pure: from the notes that meet its criteria, whether the patient is in it, and by which notes.

use crate::cohorts::definition::Clause;
use crate::cohorts::kept::{KeptNote, Term};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{CriterionList, Day, Evidence, EvidenceNote};

/// A cohort and a patient.
pub(crate) type PatientKey = (Arc<str>, Arc<str>);

/// A note meets a criterion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Match {
    pub(crate) clause: Arc<Clause>,
    pub(crate) note: Arc<KeptNote>,
    /// The first mention that does.
    pub(crate) mention: u32,
}

impl Match {
    /// Whether a note that has a term meets a criterion that has it.
    pub(crate) fn of(term: Term, note: &Arc<KeptNote>, clause: &Arc<Clause>) -> Option<(PatientKey, Match)> {
        let patient = note.patient.clone()?;
        let mention = clause.first_with(term, note)?;
        let key = (clause.cohort.clone(), patient);
        Some((key, Match { clause: clause.clone(), note: note.clone(), mention }))
    }
}

/// The notes that meet a criterion, the earliest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) clause: Arc<Clause>,
    pub(crate) notes: Vec<(Arc<KeptNote>, u32)>,
}

/// How a patient who meets `all` and `any` of a cohort stands to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Of the definition.
    pub(crate) digits: Arc<str>,
    /// What speaks for it; nothing where something speaks against it.
    pub(crate) held: Vec<Held>,
    /// What speaks against it.
    pub(crate) against: Vec<Held>,
}

impl Standing {
    /// Whether the patient is in the cohort.
    pub(crate) fn is_member(&self) -> bool {
        self.against.is_empty()
    }
}

/// How a patient stands to a cohort, by all notes that meet criteria of it, sorted; nothing without what `all` and `any` ask for.
pub(crate) fn standing_of(matches: &[(&Match, isize)]) -> Option<Standing> {
    let (first, _) = matches.first()?;
    let (of_all, of_any) = first.clause.lengths;
    let digits = first.clause.digits.clone();
    let (mut held, mut against, mut all, mut any) = (Vec::new(), Vec::new(), 0, 0);
    for of_clause in matches.chunk_by(|(one, _), (other, _)| one.clause == other.clause) {
        let Some(found) = held_by(of_clause) else { continue };
        match found.clause.list {
            CriterionList::All => all += 1,
            CriterionList::Any => any += 1,
            CriterionList::None => {
                against.push(found);
                continue;
            }
        }
        held.push(found);
    }
    if all < of_all || (of_any > 0 && any == 0) {
        return None;
    }
    if !against.is_empty() {
        held = Vec::new();
    }
    Some(Standing { digits, held, against })
}

/// The earliest notes that meet a criterion, as many as it asks for, so that more notes of the same change nothing.
fn held_by(matches: &[(&Match, isize)]) -> Option<Held> {
    let (first, _) = matches.first()?;
    let (clause, count) = (first.clause.clone(), first.clause.count());
    // A note that has several terms of a criterion is there with each; its first mention comes first.
    let mut notes: Vec<&Match> = matches.iter().map(|(found, _)| *found).collect();
    notes.dedup_by(|later, kept| {
        (&later.note.note_id, later.note.partition) == (&kept.note.note_id, kept.note.partition)
    });
    if notes.len() < count {
        return None;
    }
    notes.sort_by(|one, other| order(&one.note).cmp(&order(&other.note)));
    let notes = notes.into_iter().take(count).map(|found| (found.note.clone(), found.mention)).collect();
    Some(Held { clause, notes })
}

/// By day, notes without one last.
fn order(note: &KeptNote) -> (bool, Option<Day>, &str, u32) {
    (note.day.is_none(), note.day, &*note.note_id, note.partition)
}

/// A mention in a note as it stands in evidence.
pub(crate) fn witness(note: &KeptNote, mention: u32) -> EvidenceNote {
    let mention = &note.mentions[mention as usize];
    EvidenceNote {
        note_id: note.note_id.to_string(),
        partition: note.partition,
        revision: note.revision,
        signed_on: note.day,
        task: mention.task,
        start: mention.start,
        end: mention.end,
        code: mention.code().cloned(),
    }
}

/// The evidence as it stands in records.
pub(crate) fn evidence_of(held: &[Held]) -> Vec<Evidence> {
    let of_clause = |held: &Held| Evidence {
        list: held.clause.list,
        index: held.clause.index,
        notes: held.notes.iter().map(|(note, mention)| witness(note, *mention)).collect(),
    };
    held.iter().map(of_clause).collect()
}
