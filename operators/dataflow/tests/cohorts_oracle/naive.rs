//! Who is in which cohort, from the beginning and by the letter of the definitions.

use crate::history::{Inputs, NoteKey, Said, SaidMention, Version, day_of, is_below};
use std::collections::{BTreeMap, BTreeSet};
use stillroom_schemas::{Cohort, Criterion, CriterionList};

/// All that is live after some epochs.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) notes: BTreeMap<NoteKey, Version>,
    pub(crate) cohorts: BTreeMap<String, Cohort>,
    /// The greatest day of a live note that is not after today, as of the last epoch in which any note's day changed.
    pub(crate) clock: Option<u32>,
}

/// A note as evidence: its key, revision, and where the mention begins.
pub(crate) type Witness = (NoteKey, u64, u32);

/// Of each criterion that is met the list, the index and the witnesses.
pub(crate) type Speaks = Vec<(CriterionList, u32, Vec<Witness>)>;

impl World {
    /// The world after one more epoch.
    pub(crate) fn advance(&mut self, epoch: u64, inputs: &Inputs) {
        let mut latest: BTreeMap<&NoteKey, &Version> = BTreeMap::new();
        for (key, version) in &inputs.notes {
            let kept = latest.entry(key).or_insert(version);
            if (version.0, version.1) > (kept.0, kept.1) {
                *kept = version;
            }
        }
        let mut is_moved = false;
        let day = |version: &Version| version.2.as_ref().and_then(|said| said.day);
        for (key, version) in latest {
            let before = self.notes.insert(key.clone(), version.clone());
            let is_same = before.as_ref() == Some(version);
            is_moved |= !is_same && (before.as_ref().and_then(day).is_some() || day(version).is_some());
        }
        for (name, (_, cohort)) in &inputs.definitions {
            match cohort {
                Some(cohort) => drop(self.cohorts.insert(name.clone(), cohort.clone())),
                None => drop(self.cohorts.remove(name)),
            }
        }
        if is_moved {
            self.clock = self.notes.values().filter_map(day).filter(|day| *day <= day_of(epoch)).max();
        }
    }

    fn live(&self) -> impl Iterator<Item = (&NoteKey, u64, &Said)> {
        self.notes.iter().filter_map(|(key, (revision, _, said))| Some((key, *revision, said.as_ref()?)))
    }

    /// Whether a note counts for a criterion today.
    pub(crate) fn is_in_window(&self, criterion: &Criterion, said: &Said) -> bool {
        let Some(days) = criterion.days else { return true };
        said.day.zip(self.clock).is_some_and(|(day, clock)| day <= clock && clock < day + days)
    }

    /// The witnesses for a criterion, if there are enough.
    pub(crate) fn met(&self, patient: u32, criterion: &Criterion) -> Option<Vec<Witness>> {
        let mut found: Vec<_> = self
            .live()
            .filter(|(_, _, said)| said.patient == Some(patient) && self.is_in_window(criterion, said))
            .filter_map(|(key, revision, said)| Some((said.day, key, revision, first(criterion, said)?)))
            .collect();
        let count = criterion.count as usize;
        found.sort_by_key(|(day, key, ..)| (day.unwrap_or(u32::MAX), (*key).clone()));
        let witness = |(_, key, revision, start): (_, &NoteKey, u64, u32)| (key.clone(), revision, start);
        (found.len() >= count).then(|| found.into_iter().take(count).map(witness).collect())
    }

    /// What speaks for a patient in a cohort, and against; nothing where `all` and `any` are not met.
    pub(crate) fn standing(&self, patient: u32, cohort: &Cohort) -> Option<(Speaks, Speaks)> {
        let met = |list: CriterionList, criteria: &[Criterion]| -> Speaks {
            let all = (0..).zip(criteria);
            all.filter_map(|(index, criterion)| Some((list, index, self.met(patient, criterion)?))).collect()
        };
        let (all, any) = (met(CriterionList::All, &cohort.all), met(CriterionList::Any, &cohort.any));
        let is_met = all.len() == cohort.all.len() && (cohort.any.is_empty() || !any.is_empty());
        let speaks_for = all.into_iter().chain(any).collect();
        is_met.then(|| (speaks_for, met(CriterionList::None, &cohort.none)))
    }

    /// All members, by cohort and patient, with the definition and what speaks for them.
    pub(crate) fn members(&self) -> BTreeMap<(String, String), (String, Speaks)> {
        let patients: BTreeSet<u32> = self.live().filter_map(|(_, _, said)| said.patient).collect();
        let mut members = BTreeMap::new();
        for (name, cohort) in &self.cohorts {
            for patient in &patients {
                if let Some((speaks_for, against)) = self.standing(*patient, cohort)
                    && against.is_empty()
                {
                    members.insert((name.clone(), format!("p{patient}")), (cohort.definition(), speaks_for));
                }
            }
        }
        members
    }
}

/// Where the first mention begins that a criterion means, whatever the day.
pub(crate) fn first(criterion: &Criterion, said: &Said) -> Option<u32> {
    let is_of_type = |note_type: &str| criterion.note_types.contains(note_type);
    if !criterion.note_types.is_empty() && !said.note_type.is_some_and(is_of_type) {
        return None;
    }
    said.mentions.iter().position(|mention| means(criterion, mention)).map(|index| 10 * index as u32)
}

fn means(criterion: &Criterion, mention: &SaidMention) -> bool {
    let fold = |words: &str| words.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let is_named = |code: &stillroom_schemas::Code| {
        let named: u32 = code.code.parse().unwrap();
        mention.code.is_some_and(|code| code == named || criterion.descendants && is_below(code, named))
    };
    let is_anything = criterion.concepts.is_empty() && criterion.words.is_empty();
    let is_said = criterion.words.iter().any(|words| fold(words) == fold(mention.words));
    let filter = &criterion.assertion;
    let is_meant = filter.any
        || mention.meant.is_some_and(|axes| {
            filter.certainty.contains(&axes.certainty)
                && filter.temporality.contains(&axes.temporality)
                && filter.experiencer.contains(&axes.experiencer)
        });
    (is_anything || is_said || criterion.concepts.iter().any(is_named))
        && criterion.task.is_none_or(|task| task == mention.task)
        && is_meant
        && (criterion.sections.is_empty() || mention.section.is_some_and(|name| criterion.sections.contains(name)))
        && !mention.section.is_some_and(|name| criterion.sections_not.contains(name))
}
