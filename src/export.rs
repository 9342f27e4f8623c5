//! The sink for programs of others: what is extracted of notes, in the formats of `extract --format`, while notes flow.
//!
//! ```text
//! extractions ─► Changes ─► locate ◄─ states        of each note the last extraction, and where its text stands
//!                              │
//!                   notes ─► Part ─► Folder         a part of so many notes, which is there as a whole or not at all
//! ```
//!
//! In: the topic of extractions as far as it is committed, from where the last part ends. Out: parts, each a complete
//! result of the format over notes that were extracted since the part before, with the notes that have no entities any
//! more. Readers replace by note: of two parts the later one says what is so. The folder alone says how far it goes;
//! nothing is committed to the log, and a kill at any time loses nothing and writes nothing twice.
//!
//! Kept: the extractions of one part. For each part, states are read from the last that was needed on, and notes from
//! the first that is in the part to the last: little more than these when they are extracted as they come, and up to
//! all of the topic of notes where old ones were tagged again.

mod changes;
mod folder;
mod lines;
mod locating;
mod part;
#[cfg(test)]
mod tests;

pub(crate) use folder::Counts;
pub(crate) use lines::LinesWriter;
pub(crate) use part::ExportFormat;

use crate::config::Config;
use crate::log::{is_outage, open_written_log};
use crate::reading::read_batches;
use crate::retraining::NotesTopic;
use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use changes::{Changes, Split};
use folder::{Folder, Manifest, Offsets};
use locating::{Located, locate};
use part::Part;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stillroom_connectors::Log;

/// A stop wakes nobody who waits for the next look.
const WAIT: Duration = Duration::from_millis(100);

/// Between two looks whether more is committed, at most: on Kafka each is a client of its own.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long states may come after the extractions that they were committed with.
const STATES_LATE: Duration = Duration::from_secs(10);

/// How parts are cut.
pub(crate) struct PartSize {
    /// Notes in a part at most, those that have no entities any more among them.
    pub(crate) notes: usize,
    /// After how long a part that is not full is written, if there is anything for it, of an export that goes on.
    pub(crate) every: Option<Duration>,
}

/// Is given the name of each part, and how much is in it.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(&str, &Counts) -> Result<()>;

/// An export into a folder that no other process has.
pub(crate) struct Exporter<'a> {
    config: &'a Config,
    log: Arc<dyn Log>,
    wire: Wire,
    format: ExportFormat,
    size: PartSize,
    folder: Folder,
    /// Of the topic of extractions; not known before something is committed to it.
    topic_id: Option<String>,
    /// Where the last part ends, and from where on states are searched for the next.
    reached: (Offsets, Offsets),
    /// Since then.
    changes: Changes,
    totals: Counts,
}

impl<'a> Exporter<'a> {
    /// Opens the folder, which is made where it is missing, and goes on from its last part.
    ///
    /// # Errors
    /// When the folder is in use, or holds another format or another topic; when the format cannot be written as it is
    /// asked for; when there is no such log, or it has no topic of extractions.
    pub(crate) fn open(config: &'a Config, path: &Path, format: ExportFormat, size: PartSize) -> Result<Exporter<'a>> {
        let log = open_written_log(config)?;
        let topic = &config.engine.topics.extractions;
        ensure!(
            log.partitions(topic)?.is_some(),
            "{} has no topic {topic}; correct its name in [engine.topics], or start `stillroom run` once",
            log.place()
        );
        let wire = Wire::open(config)?;
        let folder = Folder::open(path)?;
        let reached = match folder.last() {
            Some(last) => {
                check_last(last, path, (format.name, topic))?;
                (last.to.clone(), last.states.clone())
            }
            None => Default::default(),
        };
        // What cannot be written is said now, and not when notes come.
        drop(Part::begin(folder.begin()?, &format)?);
        let changes = Changes::after(reached.0.clone());
        let (topic_id, totals) = (None, Counts::default());
        Ok(Exporter { config, log, wire, format, size, folder, topic_id, reached, changes, totals })
    }

    /// Writes parts until all is in them that was committed when this began, or, of an export that goes on, until `stop`
    /// is set; how much was written. What is not in a part by then comes with the next export. One that goes on waits for
    /// a log that cannot be reached any more.
    ///
    /// # Errors
    /// When the log cannot be read, is another one, or has lost records that were not read yet; when the folder cannot
    /// be written; and the first error of `tell`.
    pub(crate) fn run(mut self, stop: &AtomicBool, tell: Tell<'_>) -> Result<Counts> {
        let mut written_at = Instant::now();
        loop {
            let looked = self.turn(&mut written_at, stop, tell);
            let Some(every) = self.size.every else {
                looked?;
                return Ok(self.totals);
            };
            match looked {
                Err(error) if is_outage(&error) => {
                    eprintln!("the log is away, and is waited for: {error:#}");
                    self.changes = Changes::after(self.reached.0.clone());
                }
                looked => looked?,
            }
            let until = Instant::now() + every.min(LOOK_EVERY);
            while !stop.load(Ordering::SeqCst) && Instant::now() < until {
                std::thread::park_timeout(WAIT);
            }
            if stop.load(Ordering::SeqCst) {
                return Ok(self.totals);
            }
        }
    }

    /// Reads on to where the topic is committed now, and writes the parts that are due.
    fn turn(&mut self, written_at: &mut Instant, stop: &AtomicBool, tell: Tell<'_>) -> Result<()> {
        if !self.is_written()? {
            return Ok(());
        }
        let mut source = self.wire.source(self.log.bounded()?);
        let topic = &self.config.engine.topics.extractions;
        for partition in 0..source.partitions(topic)? {
            let next = self.changes.to().get(&partition).copied().unwrap_or(0);
            let assigned = source.assign(topic, partition, next);
            assigned.context(
                "the export cannot go on from where its last part ends; if that is gone, export to another folder",
            )?;
        }
        let format = self.wire.format();
        let is_whole = read_batches(source.as_mut(), |records| {
            for record in records {
                self.changes.take(&record, format.as_ref())?;
                if self.changes.is_full(self.size.notes) {
                    if !self.write(stop, tell)? {
                        return Ok(false);
                    }
                    *written_at = Instant::now();
                }
            }
            Ok(!stop.load(Ordering::SeqCst))
        })?;
        let is_due = self.size.every.is_none_or(|every| written_at.elapsed() >= every);
        if is_whole && is_due && !self.changes.is_empty() && self.write(stop, tell)? {
            *written_at = Instant::now();
        }
        Ok(())
    }

    /// Whether anything is committed to the topic of extractions: what stands on it before that may go again. Each look asks
    /// whether it is the topic that was read before: offsets of another one would pass over records in silence.
    fn is_written(&mut self) -> Result<bool> {
        let topic = &self.config.engine.topics.extractions;
        let Some(id) = self.log.progress()?.topic_ids.remove(topic) else { return Ok(false) };
        let known = self.topic_id.as_ref().or(self.folder.last().map(|last| &last.topic_id));
        ensure!(
            known.is_none_or(|known| *known == id),
            "{} holds what was extracted on another log, or before the topic {topic} was created anew; export to another \
             folder",
            self.folder.path().display()
        );
        self.topic_id = Some(id);
        Ok(true)
    }

    /// Writes what changed as a part. Whether it came so far: not when `stop` is set meanwhile.
    fn write(&mut self, stop: &AtomicBool, tell: Tell<'_>) -> Result<bool> {
        let Split { extracted, withdrawn, to } = std::mem::take(&mut self.changes).split();
        let (log, topics) = (self.log.as_ref(), &self.config.engine.topics);
        let Some(located) = locate((log, &topics.state), extracted, &self.reached.1, STATES_LATE, stop)? else {
            return Ok(false);
        };
        let Located { wanted, superseded, unknown, states } = located;
        let mut part = Part::begin(self.folder.begin()?, &self.format)?;
        for note_id in unknown {
            part.leave_out(note_id, "the topic of states does not know it; restore that topic");
        }
        let notes = NotesTopic { log, wire: &self.wire, name: &topics.notes };
        if !part.write(notes, wanted, stop)? {
            return Ok(false);
        }
        let (draft, mut counts) = part.finish(withdrawn)?;
        counts.superseded = superseded;
        if counts != (Counts { superseded, ..Counts::default() }) {
            let manifest = Manifest {
                format: self.format.name.to_owned(),
                topic: topics.extractions.clone(),
                topic_id: self.topic_id.clone().context("nothing is committed to the topic of extractions")?,
                from: self.folder.last().map(|last| last.to.clone()).unwrap_or_default(),
                to: to.clone(),
                states: states.clone(),
                counts,
            };
            let name = self.folder.commit(draft, manifest)?;
            tell(&name, &counts)?;
        }
        self.totals += counts;
        (self.reached, self.changes) = ((to.clone(), states), Changes::after(to));
        Ok(true)
    }
}

/// Refuses to go on with what is of another format, or of another topic.
fn check_last(last: &Manifest, path: &Path, (format, topic): (&str, &str)) -> Result<()> {
    let (path, Manifest { format: of_last, topic: topic_of_last, .. }) = (path.display(), last);
    ensure!(
        of_last == format,
        "{path} holds an export as {of_last}; go on with --format {of_last}, or export to another folder"
    );
    ensure!(
        topic_of_last == topic,
        "{path} holds an export of the topic {topic_of_last}, and not of {topic}; correct engine.topics.extractions, or export \
         to another folder"
    );
    Ok(())
}
