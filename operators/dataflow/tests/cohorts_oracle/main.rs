//! `Cohorts` over random histories of notes, amendments, withdrawals, passing days and changing definitions, against a recomputation
//! after every epoch, with 1, 2 and 3 workers; and across a restart.

mod history;
mod naive;

use history::{Halves, Inputs, Version, any_history, day_of, upsert_of};
use naive::{Speaks, World, first};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stillroom_dataflow::{
    CohortChange, CohortUpsert, Cohorts, CohortsConfig, Hierarchy, MembershipUpsert, NoHierarchy, NoteFactsUpsert,
};
use stillroom_schemas::{
    Code, Cohort, CohortEvent, Criterion, CriterionList, Day, Evidence, LeaveCause, Membership, MembershipChange,
};
use timely::dataflow::operators::capture::Extract;
use timely::dataflow::operators::{Capture, Input, Probe};

/// The change of an epoch.
type Update = (u64, CohortChange);

/// What is known of members by what was announced.
type Members = BTreeMap<(String, String), Membership>;

/// What comes in at an epoch.
#[derive(Clone, Default)]
struct Step {
    notes: Vec<NoteFactsUpsert>,
    definitions: Vec<CohortUpsert>,
    published: Vec<MembershipUpsert>,
}

/// The epoch of the engine at which the inputs of an epoch of a history come: two apart, so that a restart fits in between.
fn epoch_of(epoch: usize) -> u64 {
    1000 + 2 * epoch as u64
}

fn steps_of(history: &[Inputs], from: usize) -> Vec<(u64, Step)> {
    let step = |(epoch, inputs): (usize, &Inputs)| {
        let notes = inputs.notes.iter().map(upsert_of).collect();
        (epoch_of(epoch), Step { notes, definitions: inputs.definitions.clone(), published: Vec::new() })
    };
    history.iter().enumerate().skip(from).map(step).collect()
}

/// Runs the operator, inputs dealt out to the workers; its changes, sorted.
fn run(steps: &[(u64, Step)], live: u64, workers: usize, hierarchy: &Arc<dyn Hierarchy>) -> Vec<Update> {
    let (steps, hierarchy) = (steps.to_vec(), hierarchy.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let hierarchy = hierarchy.clone();
        let today = Arc::new(|epoch: u64| Day::from_number(day_of(epoch.saturating_sub(1000) / 2)));
        let (mut notes, mut definitions, mut published, probe, changes) = worker.dataflow::<u64, _, _>(|scope| {
            let (notes, facts) = scope.new_input();
            let (definitions, cohorts) = scope.new_input();
            let (published, memberships) = scope.new_input();
            let config = CohortsConfig { hierarchy, today, live, tally: Arc::default() };
            let (probe, changes) = facts.cohorts(cohorts, memberships, config).probe();
            (notes, definitions, published, probe, changes.capture())
        });
        for (number, (epoch, step)) in steps.iter().enumerate() {
            notes.advance_to(*epoch);
            definitions.advance_to(*epoch);
            published.advance_to(*epoch);
            let mine = |number: &usize| number % peers == index;
            (0..step.notes.len()).filter(mine).for_each(|i| notes.send(step.notes[i].clone()));
            (0..step.definitions.len()).filter(mine).for_each(|i| definitions.send(step.definitions[i].clone()));
            (0..step.published.len()).filter(mine).for_each(|i| published.send(step.published[i].clone()));
            // Some epochs are only worked on together with those after them.
            if number % 5 != 0 {
                worker.step_or_park_while(None, || probe.less_than(epoch));
            }
        }
        changes
    });
    let captured = guards.unwrap().join().into_iter().flat_map(|changes| changes.unwrap().extract());
    let of_epoch = |(epoch, changes): (u64, Vec<CohortChange>)| changes.into_iter().map(move |change| (epoch, change));
    let mut updates: Vec<Update> = captured.flat_map(of_epoch).collect();
    updates.sort();
    updates
}

fn halves() -> Arc<dyn Hierarchy> {
    Arc::new(Halves)
}

/// The evidence of a record in the words of the naive count.
fn speaks_of(evidence: &[Evidence]) -> Speaks {
    let of_criterion = |evidence: &Evidence| {
        let notes = evidence.notes.iter();
        let witness = notes.map(|note| ((note.note_id.clone(), note.partition), note.revision, note.start));
        (evidence.list, evidence.index, witness.collect())
    };
    evidence.iter().map(of_criterion).collect()
}

/// A criterion, and a note that met it, before and now.
type Stood<'a> = (&'a Criterion, &'a Version, &'a Version);

/// Checks the causes of an event against what happened between two worlds.
fn check_causes(event: &CohortEvent, before: &World, after: &World) {
    assert!(!event.why.is_empty(), "no cause: {event:?}");
    let patient: u32 = event.patient_id[1..].parse().unwrap();
    let (old, new) = (&before.cohorts[&event.cohort], after.cohorts.get(&event.cohort));
    let spoke_for = before.standing(patient, old).expect("it was a member").0;
    let evidence = speaks_of(&event.evidence);
    assert_eq!(evidence[..spoke_for.len()], spoke_for, "what it stood on: {event:?}");
    let of_list = |list, index: u32| match list {
        CriterionList::All => &old.all[index as usize],
        CriterionList::Any => &old.any[index as usize],
        CriterionList::None => panic!("nothing of none speaks for it"),
    };
    // Each note that it stood on, before and now, with its criterion.
    let of_criterion = |(list, index, notes): &(CriterionList, u32, Vec<naive::Witness>)| -> Vec<Stood<'_>> {
        let criterion = of_list(*list, *index);
        notes.iter().map(|(key, ..)| (criterion, &before.notes[key], &after.notes[key])).collect()
    };
    let notes: Vec<Stood<'_>> = spoke_for.iter().flat_map(of_criterion).collect();
    let says_so = |criterion: &Criterion, version: &Version| {
        let said = version.2.as_ref().filter(|said| said.patient == Some(patient));
        said.is_some_and(|said| first(criterion, said).is_some() && after.is_in_window(criterion, said))
    };
    for cause in &event.why {
        let is_so = match cause {
            LeaveCause::Removed => new.is_none(),
            LeaveCause::Redefined => new.is_some_and(|new| new.definition() != old.definition()),
            LeaveCause::Withdrawn => notes.iter().any(|(_, _, now)| now.2.is_none()),
            LeaveCause::Amended => {
                notes.iter().any(|(criterion, was, now)| now.2.is_some() && now.1 != was.1 && !says_so(criterion, now))
            }
            LeaveCause::ReadAgain => {
                notes.iter().any(|(criterion, was, now)| now.1 == was.1 && now != was && !says_so(criterion, now))
            }
            LeaveCause::Aged => notes.iter().any(|(criterion, _, now)| {
                criterion.days.is_some() && now.2.as_ref().is_some_and(|said| !after.is_in_window(criterion, said))
            }),
            LeaveCause::Excluded => {
                let against = after.standing(patient, old).map(|(_, against)| against).unwrap_or_default();
                !against.is_empty() && evidence[spoke_for.len()..] == against
            }
            LeaveCause::Reconfigured => false,
        };
        assert!(is_so, "{cause:?} is not so: {event:?}");
    }
}

/// What the checks of a history have seen.
#[derive(Default)]
struct Seen {
    causes: BTreeMap<LeaveCause, usize>,
    entered: usize,
    /// Changes of members who stay.
    stayed: usize,
    /// Criteria of members that more than one note speaks for.
    counted: usize,
}

/// Checks the changes of a history epoch by epoch; the members at the end.
fn check(history: &[Inputs], updates: &[Update], seen: &mut Seen) -> Members {
    let (mut world, mut live) = (World::default(), Members::new());
    for (epoch, inputs) in history.iter().enumerate() {
        let before = world.clone();
        world.advance(epoch as u64, inputs);
        let day = world.clock.map(Day::from_number);
        let now: Vec<&CohortChange> = updates.iter().filter(|(at, _)| *at == epoch_of(epoch)).map(|(_, c)| c).collect();
        let keys: BTreeSet<_> = now.iter().map(|change| (&change.cohort, &change.patient_id)).collect();
        assert_eq!(keys.len(), now.len(), "two changes of one patient in a cohort, epoch {epoch}");
        for change in now {
            let key = (change.cohort.clone(), change.patient_id.clone());
            let old = live.remove(&key);
            let told = change.event.as_ref().map(|event| event.change);
            let expected = match (&old, &change.membership) {
                (None, Some(_)) => Some(MembershipChange::Enter),
                (Some(_), None) => Some(MembershipChange::Leave),
                (Some(old), Some(new)) => {
                    seen.stayed += 1;
                    assert_ne!(old, new, "a change of nothing, epoch {epoch}");
                    None
                }
                (None, None) => panic!("a change of nobody: {change:?}"),
            };
            assert_eq!(told, expected, "epoch {epoch}: {change:?}");
            if let Some(event) = &change.event {
                assert_eq!((&event.cohort, &event.patient_id, event.day), (&key.0, &key.1, day));
                if event.change == MembershipChange::Leave {
                    check_causes(event, &before, &world);
                    event.why.iter().for_each(|cause| *seen.causes.entry(*cause).or_default() += 1);
                } else {
                    seen.entered += 1;
                    assert!(event.why.is_empty() && change.membership.as_ref().unwrap().since == day);
                    assert_eq!(event.evidence, change.membership.as_ref().unwrap().evidence);
                }
            }
            if let Some(membership) = &change.membership {
                assert_eq!((&membership.cohort, &membership.patient_id), (&key.0, &key.1));
                assert!(
                    old.is_none_or(|old| old.since == membership.since),
                    "a member since another day: {membership:?}"
                );
                live.insert(key, membership.clone());
            }
        }
        let of_live = |(key, membership): (&(String, String), &Membership)| {
            (key.clone(), (membership.definition.clone(), speaks_of(&membership.evidence)))
        };
        let counted: BTreeMap<_, _> = live.iter().map(of_live).collect();
        seen.counted += counted.values().flat_map(|(_, speaks)| speaks).filter(|(.., notes)| notes.len() > 1).count();
        assert_eq!(counted, world.members(), "epoch {epoch}");
    }
    live
}

#[test]
fn equals_a_recomputation_after_every_epoch() {
    let mut seen = Seen::default();
    for seed in 0..20 {
        let history = any_history(seed, 70, seed % 2 == 0);
        let steps = steps_of(&history, 0);
        let updates = run(&steps, 0, 1, &halves());
        check(&history, &updates, &mut seen);
        for workers in 2..=3 {
            assert_eq!(run(&steps, 0, workers, &halves()), updates, "seed {seed}, {workers} workers");
        }
    }
    let Seen { causes, entered, stayed, counted } = seen;
    assert!(entered > 300 && stayed > 100 && counted > 100, "too poor: {entered} {stayed} {counted}");
    let all = [
        LeaveCause::Withdrawn,
        LeaveCause::Amended,
        LeaveCause::ReadAgain,
        LeaveCause::Aged,
        LeaveCause::Excluded,
        LeaveCause::Redefined,
        LeaveCause::Removed,
    ];
    assert!(all.iter().all(|cause| causes.get(cause).is_some_and(|times| *times > 5)), "too poor: {causes:?}");
}

/// What a restart after so many epochs restores: the latest of every key, in two epochs.
fn restored(history: &[Inputs], members: &Members) -> Vec<(u64, Step)> {
    let (mut notes, mut definitions) = (BTreeMap::new(), BTreeMap::new());
    for inputs in history {
        // In an epoch the greatest revision and offset counts, as the order within is none.
        let mut of_epoch: Vec<_> = inputs.notes.iter().collect();
        of_epoch.sort_by_key(|(_, (revision, offset, _))| (*revision, *offset));
        notes.extend(of_epoch.into_iter().map(|note| (note.0.clone(), upsert_of(note))));
        definitions.extend(inputs.definitions.iter().map(|definition| (definition.0.clone(), definition.clone())));
    }
    let mut notes: Vec<NoteFactsUpsert> = notes.into_values().collect();
    let later = notes.split_off(notes.len() / 2);
    let published = members.iter().map(|(key, membership)| (key.clone(), (1, Some(membership.clone()))));
    let gone = (("c0".to_owned(), "somebody".to_owned()), (7, None));
    let published = published.chain([gone]).collect();
    let first = Step { notes, definitions: Vec::new(), published };
    vec![(1, first), (2, Step { notes: later, definitions: definitions.into_values().collect(), ..Step::default() })]
}

#[test]
fn a_restart_changes_nothing() {
    let mut restarted = 0;
    for seed in 100..112 {
        // With notes of the future the clock may catch up at a restart.
        let history = any_history(seed, 60, false);
        let half = 20 + seed as usize % 20;
        let whole = run(&steps_of(&history, 0), 0, 1, &halves());
        let members = check(&history[..half], &whole, &mut Seen::default());
        let mut steps = restored(&history[..half], &members);
        steps.extend(steps_of(&history, half));
        let expected: Vec<Update> = whole.into_iter().filter(|(epoch, _)| *epoch >= epoch_of(half)).collect();
        for workers in 1..=2 {
            let updates = run(&steps, epoch_of(half) - 1, workers, &halves());
            assert_eq!(updates, expected, "seed {seed}, {workers} workers");
        }
        restarted += members.len();
    }
    assert!(restarted > 20, "too poor: {restarted} members at a restart");
}

#[test]
fn what_another_hierarchy_changes_is_announced_once_after_a_restart() {
    let (mut entered, mut left) = (0, 0);
    for seed in 200..216 {
        let history = any_history(seed, 30, false);
        let whole = run(&steps_of(&history, 0), 0, 1, &halves());
        let before = check(&history, &whole, &mut Seen::default());
        let flat: Arc<dyn Hierarchy> = Arc::new(NoHierarchy);
        let live = epoch_of(history.len()) - 1;
        let updates = run(&restored(&history, &before), live, 2, &flat);
        assert!(updates.iter().all(|(epoch, _)| *epoch == live), "restored epochs are silent");
        let mut after = before.clone();
        for (_, change) in &updates {
            let key = (change.cohort.clone(), change.patient_id.clone());
            match &change.event {
                Some(event) if event.change == MembershipChange::Leave => {
                    left += 1;
                    assert_eq!(event.why, BTreeSet::from([LeaveCause::Reconfigured]));
                    assert_eq!(event.evidence, before[&key].evidence);
                }
                Some(_) => entered += 1,
                None => {}
            }
            match &change.membership {
                Some(membership) => drop(after.insert(key, membership.clone())),
                None => drop(after.remove(&key)),
            }
        }
        let mut world = World::default();
        (0..).zip(&history).for_each(|(epoch, inputs)| world.advance(epoch, inputs));
        world.cohorts.values_mut().for_each(without_descendants);
        let members: BTreeSet<_> = world.members().into_keys().collect();
        assert_eq!(after.into_keys().collect::<BTreeSet<_>>(), members, "seed {seed}");
    }
    assert!(left > 5 && entered > 0, "too poor: {left} left, {entered} entered");
}

/// The same cohort where a code has nothing below it.
fn without_descendants(cohort: &mut Cohort) {
    let lists = [&mut cohort.all, &mut cohort.any, &mut cohort.none];
    lists.into_iter().flatten().for_each(|criterion| criterion.descendants = false);
}

/// A vocabulary may call a concept its own descendant.
struct Itself;

impl Hierarchy for Itself {
    fn descendants(&self, code: &Code) -> Vec<Code> {
        vec![code.clone(), code.clone()]
    }
}

#[test]
fn a_concept_below_itself_counts_once() {
    let history = any_history(7, 30, true);
    let steps = steps_of(&history, 0);
    let (itself, flat): (Arc<dyn Hierarchy>, Arc<dyn Hierarchy>) = (Arc::new(Itself), Arc::new(NoHierarchy));
    let updates = run(&steps, 0, 1, &itself);
    assert!(!updates.is_empty());
    assert_eq!(updates, run(&steps, 0, 1, &flat));
}
