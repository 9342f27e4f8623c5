//! What happens in a demo, act by act: the stream is written to the log, and a student retrained in the middle of it.
//!
//! What is learned from and what comes of all notes depends on the stream alone, whatever is killed: nothing beyond the
//! first part is written before what a student learns from is chosen. Which of the few notes that flow meanwhile are
//! tagged by whom depends on the time.

use super::board::{Ends, Tagging, ends_of};
use super::labelling;
use crate::config::Config;
use crate::engine::Topics;
use crate::generator::{DemoEvent, DemoStream};
use crate::retraining::{Report, at_first_look, has_documents};
use crate::serving::activations;
use anyhow::Result;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stillroom_connectors::{EmbeddedLog, EmbeddedProducer, Log, partition_of, replace_file};
use stillroom_schemas::{ModelId, Note};

/// Events that are appended to the log at once.
const APPEND_EVENTS_MAX: usize = 16;

/// Events that flow at a time while a student is trained.
const FLOW_EVENTS: usize = 2;

/// As often as this: slowly, so that there are notes for as long as it takes.
const FLOW_EVERY: Duration = Duration::from_millis(500);

/// Nothing wakes who waits for a commit of the engine.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Events of a stream that come before a student is retrained: three fifths.
pub(super) fn first_part(events: &DemoStream) -> usize {
    events.clone().count() * 3 / 5
}

/// Writes the stream.
pub(super) struct Script<'a> {
    config: &'a Config,
    log: &'a EmbeddedLog,
    stop: &'a Arc<AtomicBool>,
    notes: Appender,
    references: Appender,
    whole: DemoStream,
    /// What is still to be written.
    events: Peekable<DemoStream>,
}

impl<'a> Script<'a> {
    /// # Errors
    /// When the topics cannot be read.
    pub(super) fn open(
        (config, log): (&'a Config, &'a EmbeddedLog),
        events: DemoStream,
        stop: &'a Arc<AtomicBool>,
    ) -> Result<Script<'a>> {
        let topics = &config.engine.topics;
        let notes = Appender::open(log, &topics.notes)?;
        let references = Appender::open(log, &topics.references)?;
        Ok(Script { config, log, stop, notes, references, whole: events.clone(), events: events.peekable() })
    }

    /// Writes all that is left, until a stop.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(super) fn write_all(&mut self) -> Result<()> {
        while self.has_more() {
            self.write(APPEND_EVENTS_MAX)?;
        }
        Ok(())
    }

    /// Writes so many events, has a student retrained on what they come to, and writes the rest, until a stop.
    ///
    /// # Errors
    /// When the log cannot be read or written, or the run of retraining fails.
    pub(super) fn write_and_retrain(&mut self, first: usize, tagging: &Tagging) -> Result<()> {
        let mut left = first;
        while left > 0 && self.has_more() {
            let count = left.min(APPEND_EVENTS_MAX);
            self.write(count)?;
            left -= count;
        }
        let topics: &Topics = &self.config.engine.topics;
        self.wait_for(&ends_of(topics, self.whole.clone().take(first)))?;
        if self.is_stopped() {
            return Ok(());
        }
        labelling::complete(self.config, self.log, self.whole.clone().take(first).filter_map(|event| note_of(&event)))?;
        if let Some(model) = self.retrain()? {
            // It is loaded while notes flow, and takes over between two of them.
            while self.has_more() && !tagging.is_by(&model) {
                if self.write(FLOW_EVENTS)? {
                    std::thread::park_timeout(FLOW_EVERY);
                }
            }
        }
        self.write_all()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether there is something to write, and nobody stopped it.
    fn has_more(&mut self) -> bool {
        self.events.peek().is_some() && !self.is_stopped()
    }

    /// Appends the next events, but for those that the log holds. Whether any was appended.
    fn write(&mut self, events: usize) -> Result<bool> {
        let chunk = self.events.by_ref().take(events);
        let (of_notes, of_references): (Vec<_>, Vec<_>) = chunk.partition(DemoEvent::is_note);
        let (notes, references) = (self.notes.append(&of_notes)?, self.references.append(&of_references)?);
        Ok(notes + references > 0)
    }

    /// Waits until the engine has committed so much, or a stop.
    fn wait_for(&self, ends: &Ends) -> Result<()> {
        while !self.is_stopped() && !ends.are_reached(&self.log.progress()?.inputs) {
            std::thread::park_timeout(LOOK_EVERY);
        }
        Ok(())
    }

    /// Has a student retrained, unless one was; who took over, if anybody did.
    fn retrain(&mut self) -> Result<Option<ModelId>> {
        let told = self.config.log.dir.join("retrained.json");
        if let Some(first) = activations(self.config)?.first() {
            return Ok(Some(first.model.clone()));
        }
        if told.exists() {
            return Ok(None);
        }
        let (config, stop) = (self.config, self.stop);
        let log: Arc<dyn Log> = Arc::new(self.log.clone());
        let report = std::thread::scope(|scope| {
            let running = scope.spawn(move || at_first_look(config, log, stop));
            let flowed = self.flow(|| !running.is_finished()).inspect_err(|_| stop.store(true, Ordering::SeqCst));
            let report = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            flowed.and(report)
        })?;
        let Some(report) = report else {
            if !self.is_stopped() {
                eprintln!("no run of retraining was started, and the weak student goes on");
            }
            return Ok(None);
        };
        report.lines().iter().for_each(|line| eprintln!("{line}"));
        replace_file(&told, &serde_json::to_vec(&report)?)?;
        let Report { candidate, is_promoted, .. } = report;
        Ok(is_promoted.then_some(candidate))
    }

    /// Lets notes flow, up to the half of what is left, while a run lasts: from when what it learns from is written.
    fn flow(&mut self, is_running: impl Fn() -> bool) -> Result<()> {
        let mut left = self.events.clone().count() / 2;
        while is_running() && !self.is_stopped() {
            if left > 0 && has_documents(&self.config.retraining.dir) {
                left = left.saturating_sub(FLOW_EVENTS);
                if !self.write(FLOW_EVENTS)? {
                    continue;
                }
            }
            std::thread::park_timeout(FLOW_EVERY);
        }
        Ok(())
    }
}

/// The note of an event, if it is one, and whole.
fn note_of(event: &DemoEvent) -> Option<Note> {
    let (_, value) = event.record();
    serde_json::from_slice(value.filter(|_| event.is_note())?).ok()
}

/// Appends a topic's events from the beginning, except those that an earlier process appended.
struct Appender {
    producer: EmbeddedProducer,
    /// Records of each partition that are there already: one that was killed may have been further in one than in another.
    held: BTreeMap<u32, u64>,
}

impl Appender {
    fn open(log: &EmbeddedLog, topic: &str) -> Result<Appender> {
        Ok(Appender { producer: EmbeddedProducer::open(log, topic)?, held: log.ends(topic)? })
    }

    /// How many were appended.
    fn append(&mut self, events: &[DemoEvent]) -> Result<usize> {
        let partitions = self.held.len() as u32;
        let mut records = Vec::new();
        for (key, value) in events.iter().map(DemoEvent::record) {
            match self.held.get_mut(&partition_of(key, partitions)) {
                Some(held) if *held > 0 => *held -= 1,
                _ => records.push((Some(key), value)),
            }
        }
        let appended = records.len();
        self.producer.append(records)?;
        Ok(appended)
    }
}
