//! `stillroom label`: what teachers say of notes.

use crate::commands::{ConfigArgs, check_output, some_dead_lettered};
use crate::inputs::InputArgs;
use crate::teaching::labels::{TEXTS_OPEN_MAX, label_all, label_of, runtime};
use crate::teaching::notes::Notes;
use crate::teaching::tallies::Tallies;
use crate::teaching::{Wanted, budget};
use anyhow::{Context, Result};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use stillroom_schemas::{Note, Task, TaskSet, TextHash};
use stillroom_teachers::{Budget, Labeled, Labeler, NanoUsd};
use tokio::sync::mpsc;

/// Arguments that all commands have that ask teachers.
#[derive(Args)]
pub(crate) struct TeacherArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Teachers, separated by commas: names, or files of profiles.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    pub(crate) teachers: Vec<String>,
    /// Dollars that this command may spend, such as 25usd; at the limit a teacher stops, and the others go on.
    #[arg(long, value_name = "AMOUNT", value_parser = budget)]
    pub(crate) budget: Option<NanoUsd>,
    /// The texts are not notes of real patients, so that any teacher may see them.
    #[arg(long)]
    pub(crate) public: bool,
    /// Ask again where the answer was of no use, which is paid again.
    #[arg(long)]
    pub(crate) retry_failed: bool,
}

impl TeacherArgs {
    /// # Errors
    /// When a teacher cannot be used.
    pub(crate) fn open(&self) -> Result<(Labeler, Arc<Budget>)> {
        let loaded = self.config.load()?;
        loaded.config.teachers.open(&Wanted {
            teachers: &self.teachers,
            budget: self.budget,
            keeps: true,
            is_public: self.public,
            retries_failed: self.retry_failed,
        })
    }
}

/// Arguments of `label`.
#[derive(Args)]
pub(crate) struct LabelNotes {
    /// Folders, .txt files (a note each), .jsonl files (a note a line: {"note_id", "text", …}), .csv, .parquet, .ndjson and .json (FHIR)
    /// and .hl7 files, or - for JSON Lines on stdin.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    teachers: TeacherArgs,
    #[command(flatten)]
    inputs: InputArgs,
    /// What to look for, disease, medication or symptom; may be given again; all three by default.
    #[arg(long = "task", value_name = "TASK", value_parser = crate::corpora::task)]
    tasks: Vec<Task>,
    /// Where to write the labels, a line for each note and teacher in input order; - is stdout.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
}

impl LabelNotes {
    pub(crate) fn run(self) -> Result<ExitCode> {
        check_output(&self.output, &self.paths)?;
        let (labeler, budget) = self.teachers.open()?;
        let tasks: TaskSet = match self.tasks.is_empty() {
            true => Task::ALL.into_iter().collect(),
            false => self.tasks.iter().copied().collect(),
        };
        self.inputs.check(&self.paths)?;
        let notes = Notes::open(&self.paths, self.inputs.formats()?)?;
        let mut sheet = Sheet { labels: writer(&self.output)?, tallies: Tallies::default() };
        let labeler = Arc::new(labeler);
        let ask = |note: Result<Note>| {
            let (labeler, tasks) = (Arc::clone(&labeler), tasks.clone());
            async move {
                let note = note?;
                let labels = label_all(labeler, note.text.clone(), tasks).await?;
                anyhow::Ok((note, labels))
            }
        };
        let (sender, receiver) = mpsc::channel(1);
        // On a thread of its own, as the next note may be long in coming.
        let reading = std::thread::spawn(move || notes.send(&sender));
        runtime()?.block_on(async {
            let notes = stream::unfold(receiver, async |mut notes| notes.recv().await.map(|note| (note, notes)));
            let mut labelled = pin!(notes.map(ask).buffered(TEXTS_OPEN_MAX));
            while let Some((note, labels)) = labelled.try_next().await? {
                sheet.write(&note, &labels, &labeler).context("cannot write the labels")?;
            }
            anyhow::Ok(())
        })?;
        let unreadable = reading.join().ok().context("reading the notes ended before its time")?;
        eprintln!("{}", sheet.tallies.table(&labeler, &budget)?);
        let is_whole = unreadable == 0 && sheet.tallies.is_whole();
        Ok(if is_whole { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

/// Where the labels go.
struct Sheet {
    labels: Box<dyn Write>,
    tallies: Tallies,
}

impl Sheet {
    fn write(&mut self, note: &Note, labels: &[Option<Labeled>], labeler: &Labeler) -> Result<()> {
        let text_hash = TextHash::of(&note.text);
        for (teacher, label) in labeler.teachers().iter().zip(labels) {
            let Some(label) = label else { continue };
            self.tallies.add(teacher, label);
            if let Some(label) = label_of(&note.note_id, &text_hash, teacher, label) {
                serde_json::to_writer(&mut self.labels, &label)?;
                self.labels.write_all(b"\n")?;
            }
        }
        // A kill loses no line that was paid for.
        Ok(self.labels.flush()?)
    }
}

/// Where lines of results go; - is stdout.
///
/// # Errors
/// When the file cannot be made.
pub(crate) fn writer(path: &Path) -> Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(std::io::stdout())));
    }
    let created = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(BufWriter::new(created)))
}
