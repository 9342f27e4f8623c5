//! Shadow mode: a candidate reads a share of the notes that the serving student has read, before it serves.
//!
//! ```text
//! notes, states, references, labels ─► Shadow ─┬─► Publisher ─► topic of the shadow
//!                                   (topology) └─► Ledger ────► Figures: both students on the same notes
//! ```
//!
//! It runs beside the extraction, on a thread or in a process of its own, and needs nothing of it but the log: it neither
//! slows nor breaks what serves. It commits nothing. The candidate reads what the extraction has committed and no further,
//! so that what the serving student says of the same notes is there too.

mod course;
mod ledger;
mod publisher;
#[cfg(test)]
mod tests;

pub(crate) use course::{Course, End};
pub(crate) use ledger::Figures;
pub(crate) use publisher::prepare_topic;

use crate::config::Config;
use crate::engine::{Topics, state_of};
use crate::log::{is_outage, open_written_log};
use crate::promotion::Switch;
use crate::reading::{POLL_WAIT, assign_or_first, read_batches};
use crate::runtime::StudentConfig;
use crate::students::Verified;
use crate::teaching::asking;
use crate::wire::Wire;
use anyhow::Result;
use course::{Halt, is_past};
use ledger::Ledger;
use publisher::Publisher;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stillroom_connectors::Log;
use stillroom_dataflow::{
    Epoch, ExtractConfig, Input, Output, PairUpsert, Record, ReferenceUpsert, Students, TagConfig, worker_config,
};
use stillroom_schemas::{NoteState, TaskSet, TopicOffsets};
use stillroom_topologies::{ShadowParts, shadow};
use timely::communication::Allocator;
use timely::communication::allocator::Thread;
use timely::dataflow::operators::vec::input::Input as _;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

/// Bytes of notes that are read at once: what the candidate may read beyond the last note that it is to read.
const NOTES_BYTES: usize = 64 << 10;

/// Neither a stop nor the log wakes who waits for both; a student's answer wakes the worker.
const WAIT: Duration = Duration::from_millis(50);

/// Where the topics of notes and of states end, as far as they are committed. What is read is not there without these.
///
/// # Errors
/// When the log cannot be reached.
pub(crate) fn ends_now(config: &Config) -> Result<TopicOffsets> {
    let (mut progress, topics) = (open_written_log(config)?.progress()?, &config.engine.topics);
    let ends = [
        (topics.notes.clone(), progress.inputs.remove(&topics.notes)),
        // Where outputs end Kafka does not say here: they are read whole then, which is slower and comes to the same.
        (topics.state.clone(), progress.outputs.remove(&topics.state)),
    ];
    Ok(ends.into_iter().filter_map(|(topic, ends)| Some((topic, ends?))).collect())
}

/// What leaves the topology.
#[derive(Default)]
struct Changes {
    pairs: Vec<PairUpsert>,
    references: Vec<ReferenceUpsert>,
    quality: Vec<Output>,
}

/// The shadow topology on a worker of this thread, and how far the topics were read.
pub(crate) struct Shadow {
    // Closed before the worker goes.
    inputs: InputHandleVec<Epoch, Input>,
    states: InputHandleVec<Epoch, (u32, NoteState)>,
    probe: ProbeHandle<Epoch>,
    changes: Rc<RefCell<Changes>>,
    worker: Worker,
    students: Students,
    log: Arc<dyn Log>,
    wire: Wire,
    topics: Topics,
    /// The next offset to read.
    next: TopicOffsets,
    /// Where the candidate began to read notes, by partition.
    begin: BTreeMap<u32, u64>,
    ledger: Ledger,
    publisher: Publisher,
    tasks: TaskSet,
}

impl Shadow {
    /// Lets a candidate begin to read a share of the notes, from 0 to 1, from the offsets `begin` on: from the first where it has
    /// none. References and labels are read from their beginning.
    ///
    /// # Errors
    /// When the candidate or an ensemble cannot be loaded, or the log cannot be read or written.
    pub(crate) fn open(
        config: &Config,
        (switch, candidate): (&Switch, &Verified),
        share: f64,
        begin: TopicOffsets,
    ) -> Result<Shadow> {
        let (log, wire, engine) = (open_written_log(config)?, Wire::open(config)?, &config.engine);
        let serving = switch.serving.model.clone();
        let publisher =
            Publisher::open(Arc::clone(&log), &engine.topics.shadow, [&serving, candidate.student.model()])?;
        let student = StudentConfig { folders: vec![candidate.folder.clone()], ..config.student.clone() };
        let runtime = student.start(engine)?;
        let (students, lease) = Students::only(runtime.pool);
        let linger_max = Duration::from_millis(engine.linger_ms_max);
        let parts = ShadowParts {
            decode: engine.decode(wire.format()),
            share,
            tokenize: runtime.tokenize,
            candidate: (students.clone(), lease),
            tag: TagConfig { tokens_max: engine.tokens_max, linger_max, activation_epochs: 1 },
            extract: ExtractConfig::of_mentions(engine.offset_unit, engine.record_bytes_max),
            serving,
            panel: asking::panel(&config.teachers, None)?,
        };
        let mut worker = Worker::new(worker_config(), Allocator::Thread(Thread::default()), Some(Instant::now()));
        let changes = Rc::new(RefCell::new(Changes::default()));
        let (inputs, states, probe) = install(&mut worker, parts, &changes);
        Ok(Shadow {
            inputs,
            states,
            probe,
            changes,
            worker,
            students,
            log,
            wire,
            topics: engine.topics.clone(),
            begin: begin.get(&engine.topics.notes).cloned().unwrap_or_default(),
            next: begin,
            ledger: Ledger::default(),
            publisher,
            tasks: candidate.student.tasks().iter().copied().collect(),
        })
    }

    /// Reads along until one of the ends of `course`, or `stop` is set; `is_current` tells whether who serves still does. A log
    /// that cannot be reached is waited for, unless what is there is all that is to be read: what was read stays.
    ///
    /// # Errors
    /// When the log cannot be read or written for another reason, or the candidate's threads end.
    pub(crate) fn read_along(
        &mut self,
        is_current: &dyn Fn() -> Result<bool>,
        course: Course,
        stop: &AtomicBool,
    ) -> Result<End> {
        loop {
            let ends_at = match self.look_once(is_current, course, stop) {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => course.until,
                Err(error) if !course.is_bounded && is_outage(&error) => {
                    eprintln!("reading along goes on when the log can be reached: {error:#}");
                    course.cut
                }
                Err(error) => return Err(error),
            };
            let next = Instant::now() + course.look_every;
            while Instant::now() < next && !stop.load(Ordering::SeqCst) && !is_past(ends_at) {
                std::thread::park_timeout(WAIT);
            }
            if stop.load(Ordering::SeqCst) {
                return Ok(End::Stopped);
            }
            if is_past(ends_at) {
                return Ok(End::Late);
            }
        }
    }

    /// One look at the log, and whether it was the last.
    fn look_once(
        &mut self,
        is_current: &dyn Fn() -> Result<bool>,
        course: Course,
        stop: &AtomicBool,
    ) -> Result<Option<End>> {
        let is_whole = self.look(course.notes, Halt { stop, cut: course.cut })?;
        Ok(if self.ledger.notes() >= course.notes {
            Some(End::Read)
        } else if stop.load(Ordering::SeqCst) {
            Some(End::Stopped)
        } else if !is_whole {
            Some(End::Late)
        } else if course.is_bounded {
            Some(End::Exhausted)
        } else if is_past(course.until) {
            Some(End::Late)
        } else {
            (!is_current()?).then_some(End::Replaced)
        })
    }

    /// How both students do on the notes that both have read.
    pub(crate) fn figures(&self) -> Figures {
        self.ledger.figures(&self.tasks)
    }

    /// Reads what was said, and then notes up to where they were committed before, until both students have read `notes_max` of
    /// them. Whether it came so far: not when it is to end before.
    fn look(&mut self, notes_max: usize, halt: Halt<'_>) -> Result<bool> {
        // What is committed has its state, so states are read after.
        let committed = self.log.progress()?.inputs.remove(&self.topics.notes).unwrap_or_default();
        let is_whole = self.read_said(halt)? && self.read_notes(&committed, notes_max, halt)?;
        // What the log did not take before.
        self.publisher.publish(&[])?;
        Ok(is_whole)
    }

    /// Reads states, references and labels to where they end now.
    fn read_said(&mut self, halt: Halt<'_>) -> Result<bool> {
        let topics = [&self.topics.state, &self.topics.references, &self.topics.labels].map(String::clone);
        let mut source = self.wire.source(self.log.bounded()?);
        for topic in &topics {
            if self.log.partitions(topic)?.is_none() {
                continue;
            }
            let next = self.next.entry(topic.clone()).or_default();
            for partition in 0..source.partitions(topic)? {
                let next = *next.entry(partition).or_default();
                assign_or_first(source.as_mut(), (topic, partition), next)?;
            }
        }
        read_batches(source.as_mut(), |records| {
            for record in records {
                self.has_read(&record);
                if *record.topic == *self.topics.state {
                    let (partition, state) = (record.position.partition, state_of(&record)?);
                    // The candidate reads no earlier notes, and what is said of them would be kept for nothing.
                    if state.offset >= self.begin.get(&partition).copied().unwrap_or_default() {
                        self.states.send((partition, state));
                    }
                } else {
                    self.inputs.send(Input::Record(record));
                }
            }
            self.settle(halt)
        })
    }

    /// Reads notes that are committed.
    fn read_notes(&mut self, committed: &BTreeMap<u32, u64>, notes_max: usize, halt: Halt<'_>) -> Result<bool> {
        let topic = self.topics.notes.clone();
        if self.log.partitions(&topic)?.is_none() {
            return Ok(true);
        }
        let mut source = self.wire.source(self.log.bounded()?);
        source.partitions(&topic)?;
        let is_left = |next: &TopicOffsets, partition: u32, end: u64| {
            next.get(&topic).and_then(|next| next.get(&partition)).copied().unwrap_or_default() < end
        };
        for (&partition, &end) in committed {
            if is_left(&self.next, partition, end) {
                let next = *self.next.entry(topic.clone()).or_default().entry(partition).or_default();
                assign_or_first(source.as_mut(), (&topic, partition), next)?;
            }
        }
        while committed.iter().any(|(partition, end)| is_left(&self.next, *partition, *end))
            && !source.is_finished()
            && self.ledger.notes() < notes_max
        {
            for record in source.poll(NOTES_BYTES, POLL_WAIT)? {
                let end = committed.get(&record.position.partition).copied().unwrap_or_default();
                if record.position.offset < end {
                    self.has_read(&record);
                    self.inputs.send(Input::Record(record));
                }
            }
            if !self.settle(halt)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn has_read(&mut self, record: &Record) {
        let (topic, position) = (record.topic.to_string(), record.position);
        self.next.entry(topic).or_default().insert(position.partition, position.offset + 1);
    }

    /// Completes an epoch of what was read, and takes in what came of it. Whether it came so far: not when it is to end
    /// before.
    fn settle(&mut self, halt: Halt<'_>) -> Result<bool> {
        let epoch = *self.inputs.time() + 1;
        self.inputs.advance_to(epoch);
        self.states.advance_to(epoch);
        while self.probe.less_than(&epoch) {
            if let Some(failure) = self.students.failure() {
                return Err(failure.into());
            }
            if halt.is_due() {
                return Ok(false);
            }
            self.worker.step_or_park(Some(WAIT));
        }
        let Changes { pairs, references, quality } = self.changes.take();
        self.ledger.apply(pairs, references);
        self.publisher.publish(&quality)?;
        Ok(!halt.is_due())
    }
}

/// The inputs of the topology, and a probe of all that leaves it.
type Installed = (InputHandleVec<Epoch, Input>, InputHandleVec<Epoch, (u32, NoteState)>, ProbeHandle<Epoch>);

/// Puts the topology on a worker; what leaves it goes to `changes`.
fn install(worker: &mut Worker, parts: ShadowParts, changes: &Rc<RefCell<Changes>>) -> Installed {
    let (of_pairs, of_references, of_quality) = (Rc::clone(changes), Rc::clone(changes), Rc::clone(changes));
    worker.dataflow::<Epoch, _, _>(|scope| {
        let (inputs, records) = scope.new_input::<Input>();
        let (states, said) = scope.new_input::<(u32, NoteState)>();
        let probe = ProbeHandle::new();
        let leaving = shadow(records, said, parts);
        let pairs = leaving.pairs.inspect(move |pair: &PairUpsert| of_pairs.borrow_mut().pairs.push(pair.clone()));
        pairs.probe_with(&probe);
        let references = leaving.references.inspect(move |reference: &ReferenceUpsert| {
            of_references.borrow_mut().references.push(reference.clone());
        });
        references.probe_with(&probe);
        let quality =
            leaving.quality.inspect(move |change: &Output| of_quality.borrow_mut().quality.push(change.clone()));
        quality.probe_with(&probe);
        (inputs, states, probe)
    })
}
