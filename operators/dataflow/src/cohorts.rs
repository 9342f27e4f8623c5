//! `Cohorts`: which patients meet the criteria of which cohorts, live.
//!
//! In: what notes say, as upserts keyed by note and partition, definitions of cohorts, keyed by name, and what earlier runs published. Out:
//! who enters and leaves, and the memberships, at the epoch at which something changes; at most one change of each patient and cohort
//! and epoch. Changes come when an epoch is complete, and only for patients that it touched.
//!
//! ```text
//! notes ───► KeepFacts ───► Facts ─┬► ArrangeByTerm ─┐         ┌──────────────────────────────► Stand ─┐
//!                                  │                 ├► Join ──┼► ArrangeByFirstDay ─► Join ──►   ▲    │
//! cohorts ─► KeepDefinitions ─►    │  ┌► ArrangeByTerm┘         └► ArrangeByEndDay ───► Join, less ┘    ▼
//!            Definitions ──────────│──┴──────────────────────────────── ▲ ──────────────────────────► Announce ─► changes
//!                                  ├► Clock ────► ArrangeByDay ─────────┴──────────────────────────────►  ▲ ▲
//!                                  └► Versions ───────────────────────────────────────────────────────────┘ │
//! published ────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Terms.** Every mention of a note stands under the hash of its code, the hash of its words and its task, and every criterion under those
//! that it names, the codes below its concepts included. Notes and criteria meet where they share one, so that a note costs what the
//! criteria take that name something in it, however many cohorts there are, and a definition that comes meets all notes that are
//! there. Of text nothing is arranged: words are hashed before.
//!
//! **Time.** The clock shows the greatest day on which a live note was signed that is not after today by the calendar: a note that is
//! dated in the future does not move it. It depends on the notes that are live and not on when they came, so that a restart or another
//! order of partitions shows the same, and a wrong date goes with the note that has it; when the newest note is withdrawn the clock
//! is put back. A note counts for a criterion of N days from its day to N days later. It stands under both days, and
//! the collection of days up to the clock is joined with either: when a day passes, what begins or ends on it is touched and nothing else.
//! After today has caught up with a note of the future, the clock moves with the next change of any note's day.
//!
//! **State.** For each note its codes, hashes and positions, once behind an `Arc`, and a row for each of its terms; for each patient and cohort the
//! notes that meet criteria, and what speaks for a membership. A withdrawn note leaves its key and a tombstone behind.
//!
//! **Restart.** Before [`CohortsConfig::live`] notes and definitions are restored, and nothing is announced. At that epoch what came of them
//! is compared with what was published: members keep their day of entry, and what is different, because codes or the program are
//! others, is announced.
//!
//! Order: as for [`Score`](crate::Score). Of one key the greatest epoch counts, and in one epoch the greatest `(revision, offset)`, or
//! `offset`; over epochs `LatestNotes` and the order of partitions see to it.

mod announce;
mod clock;
mod definition;
mod epochs;
mod explain;
mod kept;
mod standing;

pub use self::announce::CohortChange;
pub use self::clock::Today;
pub use self::definition::{CohortUpsert, Hierarchy, NoHierarchy};
pub use self::explain::{CriterionFound, explain_cohort};
pub use self::kept::{CohortTally, NoteFactsUpsert};

use self::announce::{Announcer, Told};
use self::clock::{DayShard, Tick, clock};
use self::definition::Definition;
use self::epochs::by_epoch;
use self::kept::{Keeper, KeptNote, shard_of};
use self::standing::{Match, PatientKey, Standing, standing_of};
use crate::upserts::{arrange_upserts, stamp};
use crate::{AsJson, Epoch};
use differential_dataflow::{AsCollection, Hashable, VecCollection};
use std::cell::RefCell;
use std::sync::Arc;
use stillroom_schemas::Membership;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concatenate, Enter, Exchange, Leave};

/// A cohort and a patient, with the offset of the record, and the membership that was published; nothing when it had ended.
pub type MembershipUpsert = ((String, String), (u64, Option<Membership>));

/// What cohorts depend on beside notes and definitions.
#[derive(Clone)]
pub struct CohortsConfig {
    /// What is below a concept.
    pub hierarchy: Arc<dyn Hierarchy>,
    /// The day that it is at an epoch, by the calendar.
    pub today: Today,
    /// The first epoch that is not restored. Nothing else may come at it.
    pub live: Epoch,
    /// Counts notes that cannot count.
    pub tally: Arc<CohortTally>,
}

/// Keeps cohorts.
pub trait Cohorts<'scope> {
    /// Who enters and leaves which cohort as notes come, are amended and withdrawn, as definitions change and as time passes.
    ///
    /// A criterion is met by as many notes of the patient as it asks for, each with a mention that all of its fields admit. A note without a
    /// patient counts nowhere, one without a day for no criterion that looks back some days; [`CohortTally`] says how many there are.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use stillroom_dataflow::{CohortChange, Cohorts, CohortsConfig, NoHierarchy};
    /// use stillroom_schemas::{
    ///     Axes, Cohort, Criterion, Day, LeaveCause, MembershipChange, Mention, NoteFacts, Task, WordsHash,
    /// };
    /// use timely::dataflow::operators::generic::operator::empty;
    /// use timely::dataflow::operators::{Input, Inspect, Probe};
    ///
    /// let criterion = Criterion { words: vec!["migraine".into()], days: Some(30), ..Criterion::default() };
    /// let cohort = Cohort { name: "c".into(), title: None, all: vec![criterion], any: vec![], none: vec![] };
    /// let says = |words: &str, day: u32| NoteFacts {
    ///     patient_id: Some("p".into()),
    ///     note_type: None,
    ///     signed_on: Some(Day::from_number(day)),
    ///     mentions: vec![Mention {
    ///         task: Task::Disease,
    ///         start: 0,
    ///         end: 8,
    ///         words: WordsHash::of(words),
    ///         code: None,
    ///         assertion: Some(Axes::default()),
    ///         section: None,
    ///     }],
    /// };
    /// let (first, later) = (says("Migraine", 20_000), says("Fever", 20_030));
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let seen = told.clone();
    /// timely::execute_directly(move |worker| {
    ///     let (mut notes, mut definitions, probe) = worker.dataflow::<u64, _, _>(|scope| {
    ///         let (notes, facts) = scope.new_input();
    ///         let (definitions, cohorts) = scope.new_input();
    ///         let (hierarchy, today) = (Arc::new(NoHierarchy), Arc::new(|_: u64| Day::LAST));
    ///         let config = CohortsConfig { hierarchy, today, live: 0, tally: Arc::default() };
    ///         let changes = facts.cohorts(cohorts, empty(scope), config);
    ///         let changes = changes.inspect(move |change: &CohortChange| seen.lock().unwrap().push(change.event.clone()));
    ///         (notes, definitions, changes.probe().0)
    ///     });
    ///     notes.advance_to(1);
    ///     definitions.advance_to(1);
    ///     definitions.send(("c".to_string(), (0, Some(cohort))));
    ///     notes.send((("n1".to_string(), 0), (1, 0, Some(first))));
    ///     notes.advance_to(2);
    ///     definitions.advance_to(2);
    ///     worker.step_while(|| probe.less_than(&2));
    ///     notes.send((("n2".to_string(), 0), (1, 1, Some(later)))); // thirty days later
    /// });
    /// let told = told.lock().unwrap();
    /// let events: Vec<_> = told.iter().flatten().map(|event| (event.change, event.why.first().copied())).collect();
    /// assert_eq!(events, [(MembershipChange::Enter, None), (MembershipChange::Leave, Some(LeaveCause::Aged))]);
    /// ```
    fn cohorts(
        self,
        definitions: StreamVec<'scope, Epoch, CohortUpsert>,
        published: StreamVec<'scope, Epoch, MembershipUpsert>,
        config: CohortsConfig,
    ) -> StreamVec<'scope, Epoch, CohortChange>;
}

impl<'scope> Cohorts<'scope> for StreamVec<'scope, Epoch, NoteFactsUpsert> {
    fn cohorts(
        self,
        definitions: StreamVec<'scope, Epoch, CohortUpsert>,
        published: StreamVec<'scope, Epoch, MembershipUpsert>,
        config: CohortsConfig,
    ) -> StreamVec<'scope, Epoch, CohortChange> {
        let outer = self.scope();
        outer.region_named("Cohorts", |region| {
            let CohortsConfig { hierarchy, today, live, tally } = config;
            let keeper = RefCell::new(Keeper::default());
            let notes = stamp(self.enter(region), "KeepFacts", move |upsert| keeper.borrow_mut().keep(upsert));
            let notes = arrange_upserts(notes, "Facts").flat_map_ref(|_, (_, _, note)| note.clone());
            let notes = tally.count(notes);
            let keep = move |upsert| keep_definition(upsert, hierarchy.as_ref());
            let definitions = arrange_upserts(stamp(definitions.enter(region), "KeepDefinitions", keep), "Definitions");
            let definitions = definitions.flat_map_ref(|_, (_, definition)| definition.clone());
            // What is restored is restored on the day on which the run begins.
            let ticks = clock(notes.clone(), Arc::new(move |epoch: Epoch| today(epoch.max(live))));
            let standings = standings(notes.clone(), definitions.clone(), ticks.clone());
            let told = region.concatenate([
                of_patients(
                    standings.inner.map(|((key, standing), epoch, diff)| (Told::Standing(key, standing), epoch, diff)),
                ),
                of_patients(versions(notes)),
                of_patients(published_before(published.enter(region))),
                definitions
                    .inner
                    .map(|(definition, epoch, diff)| (Told::Definition(definition), epoch, diff))
                    .broadcast(),
                ticks.map(|Tick { epoch, to, .. }| (Told::Day(to), epoch, 1)).broadcast(),
            ]);
            let mut announcer = Announcer::new(live);
            let changes =
                by_epoch(told, Pipeline, ("Announce", Some(live)), move |epoch, told| announcer.settle(epoch, told));
            changes.leave(outer)
        })
    }
}

/// How patients stand to cohorts: one row of a patient and cohort at most, and none where `all` and `any` are not met.
fn standings<'scope>(
    notes: VecCollection<'scope, Epoch, Arc<KeptNote>>,
    definitions: VecCollection<'scope, Epoch, Arc<Definition>>,
    ticks: StreamVec<'scope, Epoch, Tick>,
) -> VecCollection<'scope, Epoch, (PatientKey, Standing)> {
    let of_terms = |note: Arc<KeptNote>| note.terms().into_iter().map(move |term| (term, note.clone()));
    let notes = notes.flat_map(of_terms).arrange_by_key_named("ArrangeByTerm");
    let clauses = definitions.flat_map(|definition| definition.by_term().collect::<Vec<_>>());
    let clauses = clauses.arrange_by_key_named("ArrangeByTerm");
    let matches = notes.join_core(clauses, |term, note, clause| Match::of(*term, note, clause));
    let current = within_days(matches, ticks);
    current.reduce_named("Stand", |_, matches: &[(&Match, isize)], standings: &mut Vec<(Standing, isize)>| {
        standings.extend(standing_of(matches).map(|standing| (standing, 1)));
    })
}

/// The matches that count on the day that the clock shows.
fn within_days<'scope>(
    matches: VecCollection<'scope, Epoch, (PatientKey, Match)>,
    ticks: StreamVec<'scope, Epoch, Tick>,
) -> VecCollection<'scope, Epoch, (PatientKey, Match)> {
    let days = ticks.flat_map(Tick::days).as_collection().arrange_by_self_named("ArrangeByDay");
    let always = matches.clone().filter(|(_, found)| !found.clause.is_windowed());
    let first = matches.clone().flat_map(|row| row_of(row, |(first, _)| first));
    let first = first.arrange_by_key_named("ArrangeByFirstDay").join_core(days.clone(), |_, row, _| [row.clone()]);
    let end = matches.flat_map(|row| row_of(row, |(_, end)| end));
    let end = end.arrange_by_key_named("ArrangeByEndDay").join_core(days, |_, row, _| [row.clone()]);
    always.concat(first).concat(end.negate())
}

/// A match under the first or the last of its days; nothing if it has none.
fn row_of(
    (key, found): (PatientKey, Match),
    day_of: impl Fn((u32, u32)) -> u32,
) -> Option<(DayShard, (PatientKey, Match))> {
    let day = found.clause.window(&found.note).map(day_of)?;
    Some(((day, shard_of(&key.1)), (key, found)))
}

type ToldUpdates<'scope> = StreamVec<'scope, Epoch, (Told, Epoch, isize)>;

/// Versions of notes that go, each with the one that takes its place.
fn versions<'scope>(notes: VecCollection<'scope, Epoch, Arc<KeptNote>>) -> ToldUpdates<'scope> {
    by_epoch(notes.inner, Pipeline, ("Versions", None), |epoch, changes: Vec<(Arc<KeptNote>, isize)>| {
        let is_of_one = |(one, _): &(Arc<KeptNote>, isize), (other, _): &(Arc<KeptNote>, isize)| {
            (&one.note_id, one.partition) == (&other.note_id, other.partition)
        };
        let of_note = |versions: &[(Arc<KeptNote>, isize)]| {
            let find =
                |sign: isize| versions.iter().find(|(_, diff)| diff.signum() == sign).map(|(note, _)| note.clone());
            let old = find(-1).filter(|old| old.patient.is_some())?;
            Some((Told::Version(old, find(1)), epoch, 1))
        };
        changes.chunk_by(is_of_one).filter_map(of_note).collect()
    })
}

/// What earlier runs published.
fn published_before<'scope>(published: StreamVec<'scope, Epoch, MembershipUpsert>) -> ToldUpdates<'scope> {
    stamp(published, "KeepPublished", keep_published).flat_map(|(key, said, epoch)| {
        said.map(|(offset, membership)| (Told::Published(key, offset, membership), epoch, 1))
    })
}

fn keep_published(
    ((cohort, patient), (offset, membership)): MembershipUpsert,
) -> (PatientKey, (u64, Option<AsJson<Membership>>)) {
    ((cohort.into(), patient.into()), (offset, membership.map(AsJson)))
}

fn keep_definition(
    (name, (offset, cohort)): CohortUpsert,
    hierarchy: &dyn Hierarchy,
) -> (Arc<str>, (u64, Option<Arc<Definition>>)) {
    (name.into(), (offset, cohort.map(|cohort| Arc::new(Definition::of(&cohort, hierarchy)))))
}

/// To the worker that announces what becomes of the patient.
fn of_patients<'scope>(told: ToldUpdates<'scope>) -> ToldUpdates<'scope> {
    told.exchange(|(told, _, _): &(Told, Epoch, isize)| match told {
        Told::Standing((_, patient), _) | Told::Published((_, patient), ..) => patient.hashed(),
        Told::Version(old, _) => old.patient.as_ref().map_or(0, |patient| patient.hashed()),
        Told::Day(_) | Told::Definition(_) => 0,
    })
}
