//! `stillroom demo`: synthetic notes through the extraction topology on an embedded log, and a weak student that is
//! retrained while they flow.
//!
//! ```text
//! first part of the notes ─► the weak student tags them, a vocabulary labels them, references come
//!                            └─► all committed and labelled ─► a trigger ─► training ─► gate ─► activation
//! a few notes ─► whoever serves tags them meanwhile                                            │
//! the rest of the notes ─► tagged by the student that took over ◄──────────────────────────────┘
//! ```

mod board;
mod labelling;
mod measuring;
mod script;
mod setting;
mod weak;

use crate::commands::print_line;
use crate::commands::run::{LogRun, StopNotes, stop_on_signal};
use crate::config::Config;
use crate::engine::Topics;
use crate::generator::{DemoStream, annotated_notes};
use anyhow::{Context, Result, ensure};
use board::{Board, Ends, Tagging, ends_of};
use clap::Args;
use script::Script;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use stillroom_connectors::{EmbeddedLog, GoldDocument, replace_file};
use stillroom_schemas::Progress;
use stillroom_student::Precision;

/// With fewer notes too few of the first part are held out to measure a candidate by.
const RETRAINING_NOTES_MIN: u64 = 300;

/// Arguments of `demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Synthetic notes to write; amendments, withdrawals and references come on top. With fewer than 300 nobody is
    /// retrained.
    #[arg(long, default_value_t = 400)]
    notes: u64,
    /// The same seed gives the same notes and counts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The log's folder; a demo that was interrupted in it goes on.
    #[arg(long, default_value = "stillroom-demo")]
    dir: PathBuf,
    /// Folder of the student that the weak one is cut from, or that tags where nobody is retrained; by default the one
    /// that comes with stillroom.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// In what is multiplied: auto is int8, or f32 on a processor without AVX2; f32 is as in training.
    #[arg(long, default_value_t)]
    precision: Precision,
    /// Let the student tag as it is, and train none.
    #[arg(long)]
    without_retraining: bool,
}

/// What a demo's folder holds, beside its log.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    notes: u64,
    seed: u64,
    /// Absent in folders of versions that retrained nobody.
    #[serde(default)]
    retrains: bool,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let began = Instant::now();
        let config = self.config()?;
        let log = EmbeddedLog::open(&self.dir)?;
        self.check_folder(&log, &config.engine.topics)?;
        setting::write(&config, &self.dir)?;
        // Nothing is appended or trained before this process has the log to itself.
        let run = LogRun::open(&config, Arc::new(log.clone()), None)?;
        let (stop, ends) = (stop_on_signal(StopNotes::default())?, ends_of(&config.engine.topics, self.events()));
        let was_finished = ends.are_reached(&log.progress()?.inputs);
        if was_finished {
            eprintln!(
                "{} holds a finished demo; remove it to see it again, or choose another --dir",
                self.dir.display()
            );
        } else {
            if self.retrains() {
                weak::make(&self.model()?, &self.dir, self.seed)?;
            }
            eprintln!("notes and references are appended to {}, and read from there as they come", self.dir.display());
            let progress = self.play(run, (&config, &log), (&ends, &stop))?;
            if !ends.are_reached(&progress.inputs) {
                eprintln!("interrupted; the same command goes on from here");
                print_line(serde_json::to_value(log.progress()?.totals)?)?;
                return Ok(ExitCode::FAILURE);
            }
        }
        let mut summary = match self.retrains() {
            true => measuring::summary_of_students(&config, &log, &self.documents())?,
            false => measuring::summary(&log, &config.engine.topics)?,
        };
        // What was finished before took some other command's time.
        if !was_finished {
            summary["seconds"] = ((began.elapsed().as_secs_f64() * 10.0).round() / 10.0).into();
        }
        print_line(summary)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Runs the topology on the log while the stream is written to it.
    fn play(
        &self,
        run: LogRun<'_>,
        (config, log): (&Config, &EmbeddedLog),
        (ends, stop): (&Ends, &Arc<AtomicBool>),
    ) -> Result<Progress> {
        let tagging = Tagging::default();
        let board = Board {
            ends: ends.clone(),
            is_coloured: std::io::stdout().is_terminal(),
            names_students: self.retrains(),
            tagging: tagging.clone(),
            stop: Arc::clone(stop),
        };
        let produce = || {
            let mut script = Script::open((config, log), self.events(), stop)?;
            match self.retrains() {
                true => script.write_and_retrain(self.first_part(), &tagging),
                false => script.write_all(),
            }
        };
        std::thread::scope(|scope| {
            // Without the rest of the input the run would wait for it for ever.
            let producing = scope.spawn(|| produce().inspect_err(|_| stop.store(true, Ordering::SeqCst)));
            let ran = run.run(Box::new(board), Arc::clone(stop));
            stop.store(true, Ordering::SeqCst);
            producing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(ran)
        })
    }

    /// A folder holds one demo: its summary would speak of another otherwise, and a real log gets no notes that are made up.
    fn check_folder(&self, log: &EmbeddedLog, topics: &Topics) -> Result<()> {
        let (dir, path) = (self.dir.display(), self.dir.join("demo.json"));
        let identity = Identity { notes: self.notes, seed: self.seed, retrains: self.retrains() };
        if path.exists() {
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let other: Identity = serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged; remove {dir}, or choose another --dir", path.display()))?;
            let is_same = other == identity;
            let Identity { notes, seed, retrains } = other;
            let retraining = if retrains { " and retraining" } else { "" };
            ensure!(
                is_same,
                "{dir} holds a demo of {notes} notes with seed {seed}{retraining}; remove it, or choose another --dir"
            );
            return Ok(());
        }
        ensure!(
            log.partitions(&topics.notes).is_err(),
            "{dir} holds a log that is no demo's; choose another --dir, so that made-up notes do not get into it"
        );
        Ok(replace_file(&path, &serde_json::to_vec(&identity)?)?)
    }

    fn retrains(&self) -> bool {
        !self.without_retraining && self.notes >= RETRAINING_NOTES_MIN
    }

    fn events(&self) -> DemoStream {
        DemoStream::new(self.seed, self.notes)
    }

    /// How many events are there before a student is retrained.
    fn first_part(&self) -> usize {
        script::first_part(&self.events())
    }

    /// The notes that come after these, as they are in their first revision: no student learns from them.
    fn documents(&self) -> Vec<GoldDocument> {
        let notes = annotated_notes(self.seed, self.notes);
        measuring::documents_after(self.events().take(self.first_part()), notes)
    }
}
