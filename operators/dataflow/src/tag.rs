//! From windows to word probabilities.
//!
//! In: notes with their windows, and activations of students, which come to every worker. Out: notes with a probability for every word,
//! or with the reason why there is none. State: who tags from which epoch on; the notes whose student is not known or not loaded, or
//! whose windows are not all answered, and the capabilities of their epochs. Emits a note when its last answer is in.

use crate::desk::Desk;
use crate::students::{CannotLoad, StudentLease, Students, Tenure};
use crate::{Epoch, NoteRecord, Probabilities, TaggedBy, TokenizedNote, Words};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillroom_schemas::{Activation, Coverage, ModelId};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::SyncActivator;

/// How windows are put into batches, and when a student takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagConfig {
    /// Word pieces of a batch at most; a longer window is a batch of its own.
    pub tokens_max: usize,
    /// How long a window waits for others at most, while the student reads what this worker gave it before. A student that is idle
    /// is given what is there.
    pub linger_max: Duration,
    /// Epochs, at least one, from that of an activation to the first whose notes its student tags. It is loaded meanwhile.
    pub activation_epochs: u64,
}

/// A note that the student has read.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedNote {
    /// The note.
    pub note: Box<NoteRecord>,
    /// Its words.
    pub words: Words,
    /// How much of it was read.
    pub coverage: Coverage,
    /// The student.
    pub student: Arc<TaggedBy>,
    /// A probability for every word and task, or why the student failed on this note.
    pub answer: Result<Probabilities, String>,
}

/// Activations by their offset.
pub type Activations<'scope> = StreamVec<'scope, Epoch, (u64, Activation)>;

/// Has notes read by students.
pub trait Tag<'scope> {
    /// Tags every word of every note: an epoch by the student of the activation with the greatest offset of those that came so many
    /// epochs before it, and until then by that of the lease. The result does not depend on how windows were put into batches, or on
    /// when a student was loaded.
    ///
    /// The operator's state and its credits are a worker's own; see `tests/tag.rs` for a run with threads.
    fn tag(
        self,
        activations: Activations<'scope>,
        students: (Students, StudentLease),
        config: TagConfig,
    ) -> StreamVec<'scope, Epoch, TaggedNote>;
}

impl<'scope> Tag<'scope> for StreamVec<'scope, Epoch, TokenizedNote> {
    fn tag(
        self,
        activations: Activations<'scope>,
        students: (Students, StudentLease),
        config: TagConfig,
    ) -> StreamVec<'scope, Epoch, TaggedNote> {
        let scope = self.scope();
        type Tagged = CapacityContainerBuilder<Vec<TaggedNote>>;
        self.binary_frontier::<_, Tagged, _, _, _, _>(activations, Pipeline, Pipeline, "Tag", move |initial, info| {
            // Kept, it would hold the frontier for good.
            drop(initial);
            let wake = scope.worker().sync_activator_for(info.address.to_vec());
            let alarm = scope.activator_for(info.address);
            let mut roster = Roster::new(students, config, wake);
            let mut open: BTreeMap<Epoch, (Capability<Epoch>, usize)> = BTreeMap::new();
            move |(notes, notes_frontier), (activations, activations_frontier), output| {
                activations.for_each(|capability, activations| {
                    let Some(&epoch) = capability.least() else { return };
                    activations.drain(..).for_each(|(offset, activation)| roster.hear(epoch, offset, activation));
                });
                notes.for_each(|capability, notes| {
                    let capability = capability.retain_least(output.output_index());
                    let Some(capability) = capability else { return };
                    let epoch = *capability.time();
                    open.entry(epoch).or_insert((capability, 0)).1 += notes.len();
                    roster.held.entry(epoch).or_default().append(notes);
                });
                roster.assign(least(activations_frontier));
                let now = Instant::now();
                for (epoch, note) in roster.work(now, |wait| alarm.activate_after(wait)) {
                    let Some((capability, notes)) = open.get_mut(&epoch) else { continue };
                    output.session(capability).give(note);
                    *notes -= 1;
                }
                open.retain(|_, (_, notes)| *notes > 0);
                roster.dismiss(least(notes_frontier));
            }
        })
    }
}

/// The first epoch that is not complete.
fn least(frontier: &MutableAntichain<Epoch>) -> Epoch {
    frontier.frontier().first().copied().unwrap_or(Epoch::MAX)
}

/// Who tags from which epoch on, and the notes that wait for their student.
struct Roster {
    students: Students,
    config: TagConfig,
    wake: SyncActivator,
    /// By first epoch; the first begins with the first epoch.
    terms: BTreeMap<Epoch, Term>,
    /// Notes that are not with a student.
    held: BTreeMap<Epoch, Vec<TokenizedNote>>,
}

/// A student's time.
struct Term {
    model: ModelId,
    /// Of the activation.
    offset: Option<u64>,
    work: Work,
}

enum Work {
    /// Nobody has asked for the student yet.
    Called(Activation),
    /// Nothing was tagged yet.
    Awaited(StudentLease),
    /// The student tags.
    Begun { _lease: StudentLease, desk: Box<Desk> },
}

impl Roster {
    fn new((students, first): (Students, StudentLease), config: TagConfig, wake: SyncActivator) -> Roster {
        let term = Term { model: ModelId(String::new()), offset: None, work: Work::Awaited(first) };
        Roster { students, config, wake, terms: BTreeMap::from([(0, term)]), held: BTreeMap::new() }
    }

    /// Takes note of an activation, unless a later one has been heard that begins no later: at its start a run is told of the last one
    /// first, and reads those before it, and itself, again. Activations come from one worker, so that all hear them in one order.
    fn hear(&mut self, epoch: Epoch, offset: u64, activation: Activation) {
        let begin = epoch.saturating_add(self.config.activation_epochs.max(1));
        let offset = Some(offset);
        let is_overtaken = self.terms.range(..=begin).any(|(_, term)| term.offset >= offset);
        if !is_overtaken {
            let model = activation.model.clone();
            self.students.take_note(Tenure { begin, activation: offset, model: model.clone() });
            self.terms.insert(begin, Term { model, offset, work: Work::Called(activation) });
        }
    }

    /// Gives the notes of every epoch whose student is known and loaded to that student. Every activation before
    /// `activations_known` has been heard.
    fn assign(&mut self, activations_known: Epoch) {
        for term in self.terms.values_mut() {
            if let Work::Called(activation) = &term.work {
                let lease = self.students.lease(activation);
                // Asked for before anybody looks: what is known by then wakes nobody, and is seen below.
                lease.wake_when_known(&self.wake);
                term.work = Work::Awaited(lease);
            }
        }
        let decided = activations_known.saturating_add(self.config.activation_epochs.max(1));
        let undecided = self.held.split_off(&decided);
        for (epoch, notes) in std::mem::replace(&mut self.held, undecided) {
            // The first term begins with the first epoch.
            let Some((_, term)) = self.terms.range_mut(..=epoch).next_back() else { continue };
            match term.desk(&self.config, &self.wake) {
                Ok(Some(desk)) => notes.into_iter().for_each(|note| desk.accept(epoch, note)),
                Ok(None) => drop(self.held.insert(epoch, notes)),
                Err(CannotLoad) => {
                    self.students.fail(&term.model);
                    self.held.insert(epoch, notes);
                }
            }
        }
    }

    /// Takes what the students answered and gives them more; what is done with its epochs.
    fn work(&mut self, now: Instant, mut set_alarm: impl FnMut(Duration)) -> Vec<(Epoch, TaggedNote)> {
        let mut done = Vec::new();
        for term in self.terms.values_mut() {
            if let Work::Begun { desk, .. } = &mut term.work {
                desk.take_answers(&mut done);
                desk.submit(now, &mut set_alarm);
            }
        }
        done
    }

    /// Lets students go that no note needs any more: no note of an epoch before `notes_known` is to come.
    fn dismiss(&mut self, notes_known: Epoch) {
        let first_held = self.held.first_key_value().map_or(Epoch::MAX, |(epoch, _)| *epoch);
        let needed = notes_known.min(first_held);
        while let Some((&next, _)) = self.terms.iter().nth(1)
            && next <= needed
            && self.terms.first_key_value().is_some_and(|(_, term)| term.is_idle())
        {
            self.terms.pop_first();
        }
    }
}

impl Term {
    /// Where the student's notes are, once it is loaded.
    fn desk(&mut self, config: &TagConfig, wake: &SyncActivator) -> Result<Option<&mut Desk>, CannotLoad> {
        if let Work::Awaited(lease) = &self.work
            && let Some(student) = lease.student()?
        {
            tracing::info!(model = student.student.model.0, "a student begins to tag");
            let desk = Box::new(Desk::new(student, (config.tokens_max, config.linger_max), wake.clone()));
            self.work = Work::Begun { _lease: lease.clone(), desk };
        }
        match &mut self.work {
            Work::Begun { desk, .. } => Ok(Some(desk)),
            Work::Called(_) | Work::Awaited(_) => Ok(None),
        }
    }

    fn is_idle(&self) -> bool {
        match &self.work {
            Work::Begun { desk, .. } => desk.is_idle(),
            Work::Called(_) | Work::Awaited(_) => true,
        }
    }
}
