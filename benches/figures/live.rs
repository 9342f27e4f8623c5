//! A running extraction on a log in a folder, as who writes notes and reads entities sees it, for `benches/end_to_end.py`.
//!
//!     STILLROOM_FOLDER=LOG cargo run --release --example figures -- pace [NOTES [NOTES_PER_SECOND [SECONDS]]]
//!     STILLROOM_FOLDER=LOG cargo run --release --example figures -- swap [NOTES_PER_SECOND]
//!
//! `pace` appends so many notes at once and times them until the last is committed; then notes come at a steady rate, and each is timed
//! from its append to the commit of its entities. `swap` appends at a steady rate until a student is activated, has read a note that is
//! committed, and ten seconds have passed; notes are timed before the activation, until that note, and after it. Both append the demo's
//! notes, of the type `paced`, and print a line of JSON. What is committed is seen a few milliseconds later, as the log is looked at so
//! often.

use crate::feed::{KeyValue, append, folder};
use crate::support;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stillroom::engine::Topics;
use stillroom_connectors::{EmbeddedLog, EmbeddedSource, Source};
use stillroom_dataflow::activation_of;
use stillroom_schemas::{Extraction, ModelId};

/// The type of the notes, by which teachers can be told to leave them alone.
const NOTE_TYPE: &str = "paced";

/// Texts that take turns.
const TEXTS: usize = 100;

/// How long a look waits for something new.
const LOOK: Duration = Duration::from_millis(5);

/// Bytes that are read at once.
const BATCH_BYTES: usize = 1 << 20;

/// How long notes go on after the first of the new student.
const AFTER: Duration = Duration::from_secs(10);

/// When nothing is committed for so long, nothing more will be.
const STALL_MAX: Duration = Duration::from_secs(120);

/// Times a backlog, and notes at a steady rate.
pub(crate) fn pace(numbers: &[u64]) -> Result<()> {
    let at = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (backlog, rate, length) = (at(0, 300), at(1, 10), Duration::from_secs(at(2, 15)));
    let mut ward = Ward::open()?;
    let began = Instant::now();
    ward.append(backlog as usize)?;
    ward.drain()?;
    let notes_per_second = backlog as f64 / began.elapsed().as_secs_f64();
    ward.took.clear();
    let pace = Pace { began: Instant::now(), rate, before: ward.appended };
    while pace.began.elapsed() < length {
        ward.append_due(&pace)?;
        ward.look()?;
    }
    ward.drain()?;
    let milliseconds: Vec<f64> = ward.took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
    println!("{}", serde_json::json!({ "notes_per_second": notes_per_second, "milliseconds": milliseconds }));
    Ok(())
}

/// Times a change of students.
pub(crate) fn swap(numbers: &[u64]) -> Result<()> {
    let rate = numbers.first().copied().unwrap_or(5);
    let mut ward = Ward::open()?;
    let pace = Pace { began: Instant::now(), rate, before: 0 };
    while ward.activated.is_none() {
        ward.append_due(&pace)?;
        ward.look()?;
    }
    let before = std::mem::take(&mut ward.took);
    let (activated, first) = loop {
        ward.append_due(&pace)?;
        ward.look()?;
        let Some((at, model)) = &ward.activated else { continue };
        if let Some((first, _)) = ward.models.get(model) {
            break (*at, *first);
        }
    };
    let during = std::mem::take(&mut ward.took);
    while first.elapsed() < AFTER {
        ward.append_due(&pace)?;
        ward.look()?;
    }
    ward.drain()?;
    let after = std::mem::take(&mut ward.took);
    let notes: BTreeMap<&str, u64> = ward.models.iter().map(|(model, (_, notes))| (model.0.as_str(), *notes)).collect();
    let seconds = first.saturating_duration_since(activated).as_secs_f64();
    let [before, during, after] = [before, during, after].map(summary);
    println!(
        "{}",
        serde_json::json!({
            "seconds": seconds,
            "notes_by_student": notes,
            "before": before,
            "during": during,
            "after": after,
        })
    );
    Ok(())
}

/// How many notes there were, and their times in milliseconds; no times of none.
fn summary(mut took: Vec<Duration>) -> serde_json::Value {
    took.sort_unstable();
    let notes = took.len();
    let at =
        |share: f64| took.get((notes as f64 * share) as usize).or(took.last()).map(|took| took.as_secs_f64() * 1e3);
    serde_json::json!({ "notes": notes, "p50_ms": at(0.5), "p99_ms": at(0.99), "longest_ms": at(1.0) })
}

/// A steady rate.
struct Pace {
    began: Instant,
    /// Notes a second.
    rate: u64,
    /// Notes that were appended before it began.
    before: usize,
}

/// Partition, offset and entities of a note.
type Written = (u32, u64, Extraction);

/// Who writes notes and reads entities.
struct Ward {
    log: EmbeddedLog,
    topics: Topics,
    texts: Vec<String>,
    /// What the ids of its notes begin with.
    prefix: String,
    /// Notes that were appended.
    appended: usize,
    /// When those were that are not committed.
    open: HashMap<String, Instant>,
    source: EmbeddedSource,
    /// What is written and was not committed when it was looked at.
    written: Vec<Written>,
    /// How long each committed note took.
    took: Vec<Duration>,
    /// When each student's first note was committed, and how many were.
    models: BTreeMap<ModelId, (Instant, u64)>,
    /// When a student was activated since this was opened, the last one.
    activated: Option<(Instant, ModelId)>,
    /// When something was committed, or appended while nothing was open.
    moved: Instant,
}

impl Ward {
    /// Reads on from where the log ends now.
    fn open() -> Result<Ward> {
        let (log, topics) = (EmbeddedLog::open(folder()?)?, Topics::default());
        let mut source = EmbeddedSource::tail(&log);
        for topic in [&topics.extractions, &topics.models] {
            for (partition, end) in log.ends(topic)? {
                source.assign(topic, partition, end)?;
            }
        }
        Ok(Ward {
            log,
            topics,
            texts: support::notes(TEXTS).into_iter().map(|note| note.text).collect(),
            prefix: format!("{NOTE_TYPE}-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis()),
            appended: 0,
            open: HashMap::new(),
            source,
            written: Vec::new(),
            took: Vec::new(),
            models: BTreeMap::new(),
            activated: None,
            moved: Instant::now(),
        })
    }

    /// Appends so many notes.
    fn append(&mut self, count: usize) -> Result<()> {
        let note = |number: usize| -> KeyValue {
            let (id, text) = (format!("{}-{number}", self.prefix), &self.texts[number % self.texts.len()]);
            let value = serde_json::json!({ "note_id": id, "note_type": NOTE_TYPE, "text": text });
            (id.into_bytes(), value.to_string().into_bytes())
        };
        let notes: Vec<KeyValue> = (self.appended..self.appended + count).map(note).collect();
        if notes.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        if self.open.is_empty() {
            self.moved = now;
        }
        for (key, _) in &notes {
            self.open.insert(String::from_utf8(key.clone())?, now);
        }
        append(&self.log, &self.topics.notes, &notes)?;
        self.appended += notes.len();
        Ok(())
    }

    /// Appends what is due by now.
    fn append_due(&mut self, &Pace { began, rate, before }: &Pace) -> Result<()> {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
        self.append(due - (self.appended - before))
    }

    /// Takes in what is committed by now, after a short wait for something new.
    fn look(&mut self) -> Result<()> {
        for record in self.source.poll(BATCH_BYTES, LOOK)? {
            if *record.topic == *self.topics.models {
                let activation = activation_of(&record).context("a record of the models is no activation")?;
                self.activated = Some((Instant::now(), activation.model));
            } else if let Some(value) = &record.value {
                let extraction = serde_json::from_slice(value).context("an extraction cannot be read")?;
                self.written.push((record.position.partition, record.position.offset, extraction));
            }
        }
        if self.written.is_empty() {
            return self.check_moves();
        }
        let progress = self.log.progress()?;
        let ends = progress.outputs.get(&self.topics.extractions);
        let is_committed = |partition: &u32, offset: &u64| ends.and_then(|ends| ends.get(partition)) > Some(offset);
        let now = Instant::now();
        let written = std::mem::take(&mut self.written).into_iter();
        let (committed, open): (Vec<Written>, Vec<Written>) =
            written.partition(|(partition, offset, _)| is_committed(partition, offset));
        self.written = open;
        for (_, _, extraction) in committed {
            let Some(appended) = self.open.remove(&extraction.note_id) else { continue };
            self.took.push(now - appended);
            self.models.entry(extraction.model).or_insert((now, 0)).1 += 1;
            self.moved = now;
        }
        self.check_moves()
    }

    /// Looks until all notes are committed.
    fn drain(&mut self) -> Result<()> {
        while !self.open.is_empty() {
            self.look()?;
        }
        Ok(())
    }

    fn check_moves(&self) -> Result<()> {
        ensure!(
            self.open.is_empty() || self.moved.elapsed() < STALL_MAX,
            "{} notes are not committed, and nothing was for {} s; is `stillroom run` there?",
            self.open.len(),
            STALL_MAX.as_secs()
        );
        Ok(())
    }
}
