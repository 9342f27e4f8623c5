//! `stillroom demo`: synthetic notes through the extraction topology on an embedded log.

use crate::commands::print_line;
use crate::commands::run::{LogRun, StopNotes, stop_on_signal};
use crate::config::Config;
use crate::engine::{Committed, Observer, Topics};
use crate::generator::{DemoEvent, DemoStream, GENERATOR, teacher_vocabulary};
use crate::highlight;
use crate::teaching::TeachersConfig;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stillroom_connectors::{EmbeddedLog, EmbeddedProducer, partition_of, replace_file};
use stillroom_dataflow::{Output, Sampling};
use stillroom_schemas::{Comparison, Level, Quality, QualityKey, Task, TopicOffsets};

/// Events that are appended to the log at once.
const APPEND_EVENTS_MAX: usize = 16;

/// A note or two an epoch, so that a person sees figures change.
const EPOCH_BYTES_MAX: usize = 4 << 10;

/// The name of the teacher.
const TEACHER: &str = "vocabulary";

/// Arguments of `demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Synthetic notes to write; amendments, withdrawals and references come on top.
    #[arg(long, default_value_t = 200)]
    notes: u64,
    /// The same seed gives the same notes, entities and counts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The log's folder; a demo that was interrupted in it goes on.
    #[arg(long, default_value = "stillroom-demo")]
    dir: PathBuf,
}

/// What a demo's folder holds, beside its log.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    notes: u64,
    seed: u64,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut config = Config::default();
        config.log.dir.clone_from(&self.dir);
        config.engine.epoch_bytes_max = EPOCH_BYTES_MAX;
        config.teachers = self.teachers();
        let topics = &config.engine.topics;
        let log = EmbeddedLog::open(&self.dir)?;
        self.check_folder(&log, topics)?;
        write_teacher(&config.teachers.profiles)?;
        // The producer appends nothing before this process has the log to itself.
        let run = LogRun::open(&config, Arc::new(log.clone()), None)?;
        let (stop, ends) = (stop_on_signal(StopNotes::default())?, ends_of(topics, &self.events()));
        if ends.are_reached(&log.progress()?.inputs) {
            eprintln!(
                "{} holds a finished demo; remove it to see it again, or choose another --dir",
                self.dir.display()
            );
        } else {
            eprintln!("notes and references are appended to {}, and read from there as they come", self.dir.display());
            let board =
                Board { ends: ends.clone(), is_coloured: std::io::stdout().is_terminal(), stop: Arc::clone(&stop) };
            let progress = std::thread::scope(|scope| {
                let producing = scope.spawn(|| {
                    let produced = self.produce(&log, topics, &stop);
                    // Without the rest of the input the run would wait for it for ever.
                    produced.inspect_err(|_| stop.store(true, Ordering::SeqCst))
                });
                let ran = run.run(Box::new(board), Arc::clone(&stop));
                stop.store(true, Ordering::SeqCst);
                producing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(ran)
            })?;
            if !ends.are_reached(&progress.inputs) {
                eprintln!("interrupted; the same command goes on from here");
                print_line(summary(&log, topics)?)?;
                return Ok(ExitCode::FAILURE);
            }
        }
        print_line(summary(&log, topics)?)?;
        Ok(ExitCode::SUCCESS)
    }

    /// A folder holds one demo: its summary would speak of another otherwise, and a real log gets no notes that are made up.
    fn check_folder(&self, log: &EmbeddedLog, topics: &Topics) -> Result<()> {
        let (dir, path) = (self.dir.display(), self.dir.join("demo.json"));
        let identity = Identity { notes: self.notes, seed: self.seed };
        if path.exists() {
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let other: Identity = serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged; remove {dir}, or choose another --dir", path.display()))?;
            let Identity { notes, seed } = other;
            ensure!(
                other == identity,
                "{dir} holds a demo of {notes} notes with seed {seed}; remove it, or choose another --dir"
            );
            return Ok(());
        }
        ensure!(
            log.partitions(&topics.notes).is_err(),
            "{dir} holds a log that is no demo's; choose another --dir, so that made-up notes do not get into it"
        );
        Ok(replace_file(&path, &serde_json::to_vec(&identity)?)?)
    }

    /// A vocabulary that is asked about every note.
    fn teachers(&self) -> TeachersConfig {
        TeachersConfig {
            profiles: self.dir.join("teachers"),
            store: self.dir.join("labels.redb"),
            ask: vec![TEACHER.to_owned()],
            sampling: Sampling { rate: 1.0, ..Sampling::default() },
            ..TeachersConfig::default()
        }
    }

    fn events(&self) -> DemoStream {
        DemoStream::new(self.seed, self.notes)
    }

    /// Appends the events that the log does not hold yet.
    fn produce(&self, log: &EmbeddedLog, topics: &Topics, stop: &AtomicBool) -> Result<()> {
        let mut notes = Appender::open(log, &topics.notes)?;
        let mut references = Appender::open(log, &topics.references)?;
        let mut events = self.events().peekable();
        while events.peek().is_some() && !stop.load(Ordering::SeqCst) {
            let chunk = events.by_ref().take(APPEND_EVENTS_MAX);
            let (of_notes, of_references): (Vec<_>, Vec<_>) = chunk.partition(DemoEvent::is_note);
            notes.append(&of_notes)?;
            references.append(&of_references)?;
        }
        Ok(())
    }
}

/// Writes the files of the demo's teacher.
fn write_teacher(folder: &Path) -> Result<()> {
    let about = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(folder).with_context(|| about(folder))?;
    let mut profile = "# Names that are often in the demo's notes.\napi = \"vocabulary\"\nsources = [\n".to_owned();
    for task in Task::ALL {
        let (name, file) = (task.name(), format!("{}.tsv", task.name()));
        let path = folder.join(&file);
        std::fs::write(&path, teacher_vocabulary(task)).with_context(|| about(&path))?;
        profile += &format!("  {{ task = \"{name}\", path = \"{file}\" }},\n");
    }
    let path = folder.join(format!("{TEACHER}.toml"));
    std::fs::write(&path, profile + "]\n").with_context(|| about(&path))
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

    fn append(&mut self, events: &[DemoEvent]) -> Result<()> {
        let partitions = self.held.len() as u32;
        let mut records = Vec::new();
        for (key, value) in events.iter().map(DemoEvent::record) {
            match self.held.get_mut(&partition_of(key, partitions)) {
                Some(held) if *held > 0 => *held -= 1,
                _ => records.push((Some(key), value)),
            }
        }
        self.producer.append(records)?;
        Ok(())
    }
}

/// Records that the whole stream comes to, by topic.
#[derive(Clone)]
struct Ends {
    topics: [String; 2],
    notes: u64,
    references: u64,
}

fn ends_of(topics: &Topics, events: &DemoStream) -> Ends {
    let (mut notes, mut references) = (0, 0);
    for event in events.clone() {
        *(if event.is_note() { &mut notes } else { &mut references }) += 1;
    }
    Ends { topics: [topics.notes.clone(), topics.references.clone()], notes, references }
}

impl Ends {
    fn are_reached(&self, inputs: &TopicOffsets) -> bool {
        let read = |topic: &String| inputs.get(topic).map_or(0, |offsets| offsets.values().sum::<u64>());
        read(&self.topics[0]) >= self.notes && read(&self.topics[1]) >= self.references
    }
}

/// Prints what is committed, and ends the run with the last of it.
struct Board {
    ends: Ends,
    is_coloured: bool,
    stop: Arc<AtomicBool>,
}

impl Board {
    fn line(&self, output: &Output) -> Option<String> {
        Some(match output {
            Output::Extracted { extraction, .. } => {
                let entities = extraction.entities.iter().map(|entity| highlight::entity(entity, self.is_coloured));
                let kind = highlight::plain(extraction.note_type.as_deref().unwrap_or("note"));
                let revision = if extraction.revision > 1 { " (amended)" } else { "" };
                format!(
                    "{} {kind}{revision}  {}",
                    highlight::plain(&extraction.note_id),
                    entities.collect::<Vec<_>>().join(" ")
                )
            }
            Output::Withdrawn { state, .. } => format!("{} withdrawn", state.note_id),
            Output::DeadLettered { letter, .. } => {
                format!("{}/{} offset {} dead letter: {}", letter.topic, letter.partition, letter.offset, letter.error)
            }
            _ => return None,
        })
    }
}

impl Observer for Board {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        let mut shown = std::io::stdout().lock();
        for line in committed.outputs.iter().filter_map(|output| self.line(output)) {
            writeln!(shown, "{line}")?;
        }
        let sides = [
            (Comparison::StudentReference, GENERATOR, "F1 against the generator"),
            (Comparison::StudentTeacher, TEACHER, "agreement with the vocabulary"),
            (Comparison::TeachersReference, GENERATOR, "F1 of the vocabulary"),
        ];
        let figures = sides.into_iter().filter_map(|(comparison, reference, what)| {
            let of_side = committed.quality.iter().filter(|(key, _)| is_headline(key, comparison, reference));
            let figures =
                of_side.filter_map(|(key, quality)| Some(format!("{} {:.3}", key.task.name(), quality.as_ref()?.f1)));
            let figures: Vec<String> = figures.collect();
            (!figures.is_empty()).then(|| format!("{what}: {}", figures.join(", ")))
        });
        for line in figures {
            writeln!(shown, "       {line}")?;
        }
        if self.ends.are_reached(&committed.progress.inputs) {
            self.stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// A figure that is shown: words, over all note types and sites.
fn is_headline(key: &QualityKey, comparison: Comparison, reference: &str) -> bool {
    key.level == Level::Word && key.rollup && key.comparison == comparison && key.reference == reference
}

/// What the log says of the whole demo, as one line of JSON.
fn summary(log: &EmbeddedLog, topics: &Topics) -> Result<serde_json::Value> {
    let totals = log.progress()?.totals;
    let mut f1: BTreeMap<&str, f64> = Task::ALL.map(|task| (task.name(), 0.0)).into();
    for value in log.last_values(&topics.quality)?.values() {
        let quality: Quality = serde_json::from_slice(value)?;
        if is_headline(&quality.key, Comparison::StudentReference, GENERATOR) {
            f1.insert(quality.key.task.name(), (quality.f1 * 1e4).round() / 1e4);
        }
    }
    let mut summary = serde_json::to_value(totals)?;
    summary["f1"] = serde_json::to_value(f1)?;
    Ok(summary)
}
