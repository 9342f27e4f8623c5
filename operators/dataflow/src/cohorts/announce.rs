//! Who enters and leaves, and why.
//!
//! In: what changed at an epoch of standings, notes, definitions and the clock, and, before the first live epoch, what earlier runs
//! published. Out: changes of memberships, with their events. State: since when each member is in, and the definitions.

use crate::AsJson;
use crate::Epoch;
use crate::cohorts::definition::Definition;
use crate::cohorts::kept::KeptNote;
use crate::cohorts::standing::{PatientKey, Standing, evidence_of};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use stillroom_schemas::{CohortEvent, Day, LeaveCause, Membership, MembershipChange};

/// What becomes of a patient in a cohort at an epoch: at most one of each patient and cohort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CohortChange {
    /// The cohort.
    pub cohort: String,
    /// The patient.
    pub patient_id: String,
    /// If the patient enters or leaves.
    pub event: Option<CohortEvent>,
    /// How the patient is in the cohort from now on; nothing if not at all.
    pub membership: Option<Membership>,
}

/// What is told of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Told {
    /// The day that it is now.
    Day(Option<Day>),
    /// A definition that comes or goes.
    Definition(Arc<Definition>),
    /// A version of a note that goes, and the one that takes its place; nothing if none does.
    Version(Arc<KeptNote>, Option<Arc<KeptNote>>),
    /// A standing that comes or goes.
    Standing(PatientKey, Standing),
    /// What an earlier run published, with the offset of its record.
    Published(PatientKey, u64, Option<AsJson<Membership>>),
}

/// Tells the changes of the patients that it is told of.
pub(crate) struct Announcer {
    /// The first live epoch: changes before it were announced by an earlier run.
    live: Epoch,
    day: Option<Day>,
    definitions: HashMap<Arc<str>, Arc<Definition>>,
    since: HashMap<PatientKey, Option<Day>>,
    /// Until the first live epoch.
    before: Option<Before>,
}

/// What is known of members before the first live epoch.
#[derive(Default)]
struct Before {
    /// By the restored notes.
    members: BTreeMap<PatientKey, Standing>,
    /// By what was published.
    published: BTreeMap<PatientKey, (u64, Option<Membership>)>,
}

/// What changed at an epoch.
#[derive(Default)]
struct News {
    /// Of definitions that go.
    undefined: BTreeSet<Arc<str>>,
    /// What took the place of a version of a note, by note and partition.
    versions: HashMap<(Arc<str>, u32), Option<Arc<KeptNote>>>,
    /// The standing before and after.
    standings: BTreeMap<PatientKey, (Option<Standing>, Option<Standing>)>,
    published: Vec<(PatientKey, u64, Option<Membership>)>,
}

impl Announcer {
    pub(crate) fn new(live: Epoch) -> Announcer {
        let (definitions, since, before) = (HashMap::new(), HashMap::new(), Some(Before::default()));
        Announcer { live, day: None, definitions, since, before }
    }

    /// The changes at an epoch. The first live epoch must be among those that it is called for.
    pub(crate) fn settle(&mut self, epoch: Epoch, told: Vec<(Told, isize)>) -> Vec<CohortChange> {
        let mut changes = Vec::new();
        if epoch >= self.live
            && let Some(before) = self.before.take()
        {
            changes = self.begin(before);
        }
        let mut news = self.hear(told);
        if let Some(before) = &mut self.before {
            before.remember(news);
            return changes;
        }
        for (key, (old, new)) in std::mem::take(&mut news.standings) {
            changes.extend(self.change(key, (old.as_ref(), new.as_ref()), &news));
        }
        changes
    }

    /// Sorts what is told; from here on the day and the definitions are those of the epoch.
    fn hear(&mut self, told: Vec<(Told, isize)>) -> News {
        let (mut news, mut defined) = (News::default(), Vec::new());
        for (told, diff) in told {
            match told {
                Told::Day(day) => self.day = day,
                Told::Definition(definition) if diff > 0 => defined.push(definition),
                Told::Definition(definition) => {
                    news.undefined.insert(definition.cohort.clone());
                }
                Told::Version(old, new) => {
                    news.versions.insert((old.note_id.clone(), old.partition), new);
                }
                Told::Standing(key, standing) => {
                    let (old, new) = news.standings.entry(key).or_default();
                    *(if diff > 0 { new } else { old }) = Some(standing);
                }
                Told::Published(key, offset, membership) => {
                    news.published.push((key, offset, membership.map(|AsJson(membership)| membership)));
                }
            }
        }
        news.undefined.iter().for_each(|cohort| drop(self.definitions.remove(cohort)));
        self.definitions.extend(defined.into_iter().map(|definition| (definition.cohort.clone(), definition)));
        news
    }

    /// What is different from what earlier runs published, once everything is restored.
    fn begin(&mut self, before: Before) -> Vec<CohortChange> {
        let Before { members, mut published } = before;
        let mut changes = Vec::new();
        for (key, standing) in members {
            let known = published.remove(&key).and_then(|(_, membership)| membership);
            let since = known.as_ref().map_or(self.day, |membership| membership.since);
            let membership = membership_of(&key, since, &standing);
            let event = known.is_none().then(|| self.entered(&key, &standing));
            self.since.insert(key.clone(), since);
            if known.as_ref() != Some(&membership) {
                changes.push(change_of(&key, event, Some(membership)));
            }
        }
        for (key, (_, membership)) in published {
            let Some(Membership { cohort, patient_id, definition, evidence, .. }) = membership else { continue };
            let (change, why) = (MembershipChange::Leave, BTreeSet::from([LeaveCause::Reconfigured]));
            let event = CohortEvent { cohort, patient_id, change, why, definition, day: self.day, evidence };
            changes.push(change_of(&key, Some(event), None));
        }
        changes
    }

    /// What a change of standing comes to.
    fn change(
        &mut self,
        key: PatientKey,
        (old, new): (Option<&Standing>, Option<&Standing>),
        news: &News,
    ) -> Option<CohortChange> {
        let (was, is) = (old.filter(|old| old.is_member()), new.filter(|new| new.is_member()));
        match (was, is) {
            (None, None) => None,
            (None, Some(is)) => {
                self.since.insert(key.clone(), self.day);
                let membership = membership_of(&key, self.day, is);
                Some(change_of(&key, Some(self.entered(&key, is)), Some(membership)))
            }
            (Some(was), Some(is)) => {
                let since = self.since.get(&key).copied().flatten();
                let (before, after) = (membership_of(&key, since, was), membership_of(&key, since, is));
                (before != after).then(|| change_of(&key, None, Some(after)))
            }
            (Some(was), None) => {
                self.since.remove(&key);
                let event = self.left(&key, (was, new), news);
                Some(change_of(&key, Some(event), None))
            }
        }
    }

    fn entered(&self, (cohort, patient): &PatientKey, standing: &Standing) -> CohortEvent {
        CohortEvent {
            cohort: cohort.to_string(),
            patient_id: patient.to_string(),
            change: MembershipChange::Enter,
            why: BTreeSet::new(),
            definition: standing.digits.to_string(),
            day: self.day,
            evidence: evidence_of(&standing.held),
        }
    }

    fn left(&self, key: &PatientKey, (was, now): (&Standing, Option<&Standing>), news: &News) -> CohortEvent {
        let mut evidence = evidence_of(&was.held);
        // What speaks against it by another definition is no evidence for this one.
        evidence
            .extend(now.filter(|now| now.digits == was.digits).into_iter().flat_map(|now| evidence_of(&now.against)));
        CohortEvent {
            cohort: key.0.to_string(),
            patient_id: key.1.to_string(),
            change: MembershipChange::Leave,
            why: self.causes(key, (was, now), news),
            definition: was.digits.to_string(),
            day: self.day,
            evidence,
        }
    }

    /// Why a patient leaves. As evidence is all that a criterion asks for, one that is not met any more has lost some of it: so there
    /// is a cause.
    fn causes(
        &self,
        key: &PatientKey,
        (was, now): (&Standing, Option<&Standing>),
        news: &News,
    ) -> BTreeSet<LeaveCause> {
        let (cohort, patient) = key;
        let definition = self.definitions.get(cohort);
        if news.undefined.contains(cohort) {
            let is_removed = definition.is_none();
            return BTreeSet::from([if is_removed { LeaveCause::Removed } else { LeaveCause::Redefined }]);
        }
        let mut causes: BTreeSet<LeaveCause> = now.map(|_| LeaveCause::Excluded).into_iter().collect();
        for held in &was.held {
            let (clause, place) = (&held.clause, (held.clause.list, held.clause.index));
            for (note, _) in &held.notes {
                let was_current = clause.counts_on(self.day, note);
                let changed = match news.versions.get(&(note.note_id.clone(), note.partition)) {
                    None => (!was_current).then_some(LeaveCause::Aged),
                    Some(None) => Some(LeaveCause::Withdrawn),
                    Some(Some(version)) => {
                        let says_so = version.patient.as_ref() == Some(patient)
                            && definition.is_some_and(|definition| definition.is_met_by(place, version));
                        let is_current = clause.counts_on(self.day, version);
                        match (says_so, is_current, was_current) {
                            (true, true, _) => None,
                            (true, false, false) => Some(LeaveCause::Aged),
                            (true, false, true) => Some(LeaveCause::Amended),
                            (false, ..) if version.offset == note.offset => Some(LeaveCause::ReadAgain),
                            (false, ..) => Some(LeaveCause::Amended),
                        }
                    }
                };
                causes.extend(changed);
            }
        }
        causes
    }
}

impl Before {
    fn remember(&mut self, news: News) {
        for (key, (old, new)) in news.standings {
            match new.filter(Standing::is_member) {
                Some(standing) => drop(self.members.insert(key, standing)),
                None if old.is_some() => drop(self.members.remove(&key)),
                None => {}
            }
        }
        for (key, offset, membership) in news.published {
            let is_later = self.published.get(&key).is_none_or(|(known, _)| *known < offset);
            if is_later {
                self.published.insert(key, (offset, membership));
            }
        }
    }
}

fn membership_of((cohort, patient): &PatientKey, since: Option<Day>, standing: &Standing) -> Membership {
    Membership {
        cohort: cohort.to_string(),
        patient_id: patient.to_string(),
        since,
        definition: standing.digits.to_string(),
        evidence: evidence_of(&standing.held),
    }
}

fn change_of(key: &PatientKey, event: Option<CohortEvent>, membership: Option<Membership>) -> CohortChange {
    CohortChange { cohort: key.0.to_string(), patient_id: key.1.to_string(), event, membership }
}
