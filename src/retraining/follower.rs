//! Follows the topics that there is something to learn from.
//!
//! In: the topics of notes, references and labels, from the earliest that is kept. Out: the changes of examples that
//! the retraining topology finds, in a [`Book`]. A look reads every partition up to where it ends then, so that the
//! book is what the log says at one moment: what a note is amended or withdrawn by is never left for later. Nothing is
//! committed.

use crate::config::Config;
use crate::reading::read_batches;
use crate::retraining::book::Book;
use crate::retraining::origin::Origin;
use crate::teaching::asking;
use crate::wire::Wire;
use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use stillroom_connectors::Log;
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_dataflow::{Epoch, ExampleChange, HeldOut, Input, Record, worker_config};
use stillroom_models::ChosenBy;
use stillroom_schemas::{Task, TopicOffsets};
use stillroom_topologies::{RetrainingParts, retraining};
use timely::communication::Allocator;
use timely::communication::allocator::Thread;
use timely::dataflow::operators::vec::input::Input as _;
use timely::dataflow::operators::{Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

/// The retraining topology on a worker of this thread, and how far the topics were read.
pub(crate) struct Follower {
    // Closed before the worker goes.
    input: InputHandleVec<Epoch, Input>,
    probe: ProbeHandle<Epoch>,
    changes: Rc<RefCell<Vec<(Epoch, ExampleChange)>>>,
    worker: Worker,
    topics: [String; 3],
    /// By whom teachers are merged.
    ensembles: BTreeMap<Task, Ensemble>,
    /// By what a choice is made, without offsets.
    chosen_by: ChosenBy,
    /// The next offset to read.
    next: TopicOffsets,
}

impl Follower {
    /// Starts the topology, with nothing read.
    ///
    /// # Errors
    /// When the configured student or ensemble cannot be loaded: by their words teachers are merged.
    pub(crate) fn new(config: &Config, wire: &Wire) -> Result<Follower> {
        let topics = &config.engine.topics;
        let panel = asking::panel(&config.teachers, None)?;
        let ensembles = panel.ensembles().clone();
        let parts = RetrainingParts {
            decode: config.engine.decode(wire.format()),
            tokenize: config.student.tokenize()?,
            panel: if config.retraining.recipe.soft { panel.with_shares() } else { panel },
            held_out: HeldOut { share: config.retraining.held_out },
        };
        let mut worker = Worker::new(worker_config(), Allocator::Thread(Thread::default()), Some(Instant::now()));
        let changes = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&changes);
        let (input, probe) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, inputs) = scope.new_input::<Input>();
            let examples = retraining(inputs, parts).examples;
            let examples = examples.inspect(move |(change, epoch): &(ExampleChange, Epoch)| {
                seen.borrow_mut().push((*epoch, change.clone()));
            });
            (input, examples.probe().0)
        });
        let topics = [&topics.notes, &topics.references, &topics.labels].map(String::clone);
        let settings = &config.retraining;
        let chosen_by = ChosenBy {
            offsets: BTreeMap::new(),
            held_out: settings.held_out,
            dev: settings.dev,
            notes_max: settings.notes_max as u64,
            soft: settings.recipe.soft,
            text_bytes_max: Some(settings.text_bytes_max),
        };
        Ok(Follower { input, probe, changes, worker, topics, ensembles, chosen_by, next: TopicOffsets::new() })
    }

    /// Reads on to where every partition ends now. Whether it came so far: not when `stop` is set meanwhile. A topic
    /// that is not there yet has nothing to read.
    ///
    /// # Errors
    /// When the log cannot be read, or has lost records that were not read yet.
    pub(crate) fn look(&mut self, topics: (&dyn Log, &Wire), book: &mut Book, stop: &AtomicBool) -> Result<bool> {
        let all = |_: &Record| true;
        self.look_until(topics, book, (stop, &all))
    }

    /// The same of those records alone that are to be taken.
    ///
    /// # Errors
    /// As those of [`Follower::look`].
    pub(crate) fn look_until(
        &mut self,
        (log, wire): (&dyn Log, &Wire),
        book: &mut Book,
        (stop, is_taken): (&AtomicBool, &dyn Fn(&Record) -> bool),
    ) -> Result<bool> {
        let mut source = wire.source(log.bounded()?);
        for topic in &self.topics {
            if log.partitions(topic)?.is_none() {
                continue;
            }
            let next = self.next.entry(topic.clone()).or_default();
            for partition in 0..source.partitions(topic)? {
                let next = *next.entry(partition).or_default();
                source.assign(topic, partition, next).context(
                    "what is to be learned cannot be followed; start anew, which reads from the earliest record",
                )?;
            }
        }
        read_batches(source.as_mut(), |mut records| {
            records.retain(is_taken);
            if !records.is_empty() {
                book.apply(self.read(records));
            }
            Ok(!stop.load(Ordering::SeqCst))
        })
    }

    /// How far each partition was read: what stands before these offsets is in the book.
    pub(crate) fn offsets(&self) -> &TopicOffsets {
        &self.next
    }

    /// Where the examples of the book come from.
    pub(crate) fn origin(&self) -> Origin {
        let [.., labels] = &self.topics;
        let (offsets, ensembles, chosen_by) = (self.next.clone(), self.ensembles.clone(), self.chosen_by.clone());
        Origin { offsets, chosen_by, ensembles, labels: labels.clone() }
    }

    /// What records change, each batch at an epoch of its own.
    fn read(&mut self, records: Vec<Record>) -> Vec<(Epoch, ExampleChange)> {
        for record in records {
            let (topic, position) = (record.topic.to_string(), record.position);
            self.next.entry(topic).or_default().insert(position.partition, position.offset + 1);
            self.input.send(Input::Record(record));
        }
        let epoch = *self.input.time() + 1;
        self.input.advance_to(epoch);
        self.worker.step_while(|| self.probe.less_than(&epoch));
        self.changes.take()
    }
}
