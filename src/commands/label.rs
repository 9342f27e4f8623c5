//! `stillroom label`: what teachers say of notes.

use crate::commands::{ConfigArgs, check_output, some_dead_lettered};
use crate::runtime::StudentConfig;
use crate::teaching::labels::{TEXTS_OPEN_MAX, label_all, label_of, runtime};
use crate::teaching::tallies::Tallies;
use crate::teaching::{Wanted, budget};
use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use stillroom_connectors::{FILES_TOPIC, NoteFiles, Source};
use stillroom_dataflow::{ENSEMBLE, TokenizeText, entities_of};
use stillroom_schemas::{Note, OffsetUnit, Reference, Span, Task, TaskSet, TextHash};
use stillroom_teachers::ensemble::Choice;
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
    /// Folders, .txt files (a note each), .jsonl files (a note a line: {"note_id", "text", …}), or - for JSON Lines on stdin.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    teachers: TeacherArgs,
    /// What to look for, disease, medication or symptom; may be given again; all three by default.
    #[arg(long = "task", value_name = "TASK", value_parser = super::train::task)]
    tasks: Vec<Task>,
    /// Where to write the labels, a line for each note and teacher in input order; - is stdout.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
    /// Also write what these ensembles say, under the name of ensemble: a file that `teachers select` wrote.
    #[arg(long, value_name = "FILE")]
    ensemble: Option<PathBuf>,
    /// Also write the notes with the ensembles' entities, as `train` reads them.
    #[arg(long, value_name = "FILE", requires = "ensemble")]
    documents: Option<PathBuf>,
    /// Folder of the student whose words ensembles vote on.
    #[arg(long = "model", value_name = "DIR", requires = "ensemble")]
    models: Vec<PathBuf>,
}

impl LabelNotes {
    pub(crate) fn run(self) -> Result<ExitCode> {
        self.check_outputs()?;
        let (labeler, budget) = self.teachers.open()?;
        let merging = self.ensemble.as_deref().map(|path| Merging::open(path, &labeler, &self.models)).transpose()?;
        let tasks: TaskSet = match self.tasks.is_empty() {
            true => Task::ALL.into_iter().collect(),
            false => self.tasks.iter().copied().collect(),
        };
        let notes = Notes::open(&self.paths)?;
        let mut sheet = Sheet {
            labels: writer(&self.output)?,
            documents: self.documents.as_deref().map(writer).transpose()?,
            merging,
            tallies: Tallies::default(),
        };
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

impl LabelNotes {
    /// Refuses to write over what is read, or twice to the same file.
    fn check_outputs(&self) -> Result<()> {
        let outputs = [Some(&self.output), self.documents.as_ref()];
        outputs.into_iter().flatten().try_for_each(|output| check_output(output, &self.paths))?;
        ensure!(self.documents.as_ref() != Some(&self.output), "labels and documents go to the same file; name two");
        Ok(())
    }
}

/// The notes of files, each parsed; one that is none is said and left out.
struct Notes {
    files: NoteFiles,
    records: std::vec::IntoIter<stillroom_dataflow::Record>,
    unreadable: u64,
}

impl Notes {
    fn open(paths: &[PathBuf]) -> Result<Notes> {
        let mut files = NoteFiles::open(paths)?;
        files.assign(FILES_TOPIC, 0, 0)?;
        Ok(Notes { files, records: Vec::new().into_iter(), unreadable: 0 })
    }

    fn read(&mut self) -> Result<Option<Note>> {
        loop {
            for record in self.records.by_ref() {
                match serde_json::from_slice::<Note>(&record.value.unwrap_or_default()) {
                    Ok(note) => return Ok(Some(note)),
                    Err(error) => {
                        self.unreadable += 1;
                        // What the parser says may quote the text.
                        let (origin, column) = (self.files.origins().of(record.position.offset), error.column());
                        eprintln!("{origin}: left out, not a note from column {column} on");
                    }
                }
            }
            if self.files.is_finished() {
                return Ok(None);
            }
            self.records = self.files.poll(1 << 20, Duration::from_millis(100))?.into_iter();
        }
    }

    /// Sends all notes, or the error that ends them; how many could not be read.
    fn send(mut self, notes: &mpsc::Sender<Result<Note>>) -> u64 {
        while let Some(note) = self.read().transpose() {
            // Nobody takes them any more once something went wrong.
            if notes.blocking_send(note).is_err() {
                break;
            }
        }
        self.unreadable
    }
}

/// Where the labels go.
struct Sheet {
    labels: Box<dyn Write>,
    documents: Option<Box<dyn Write>>,
    merging: Option<Merging>,
    tallies: Tallies,
}

impl Sheet {
    fn write(&mut self, note: &Note, labels: &[Option<Labeled>], labeler: &Labeler) -> Result<()> {
        let text_hash = TextHash::of(&note.text);
        let mut answers = BTreeMap::new();
        for (teacher, label) in labeler.teachers().iter().zip(labels) {
            let Some(label) = label else { continue };
            self.tallies.add(teacher, label);
            if let Some(label) = label_of(&note.note_id, &text_hash, teacher, label) {
                put(&mut self.labels, &label)?;
                answers.insert(teacher.name(), label.reference);
            }
        }
        if let Some(merging) = &self.merging {
            let words = (merging.tokenize)(&note.text)?.words;
            let (tasks, spans) = merging.choice.merge(&words, |teacher, task| {
                answers.get(teacher).filter(|said| said.tasks.contains(&task)).map(|said| &said.spans[..])
            });
            if let Some(documents) = &mut self.documents {
                put(documents, &document(note, &tasks, &spans))?;
            }
            let note_id = note.note_id.clone();
            put(&mut self.labels, &Reference { note_id, annotator: ENSEMBLE.to_owned(), text_hash, tasks, spans })?;
        }
        // A kill loses no line that was paid for.
        self.labels.flush()?;
        self.documents.as_mut().map_or(Ok(()), |documents| documents.flush()).map_err(Into::into)
    }
}

/// A line that `train` and `eval` read.
fn document(note: &Note, tasks: &TaskSet, spans: &[Span]) -> serde_json::Value {
    let scored: Vec<_> = spans.iter().map(|span| (*span, 1.0)).collect();
    let entities = entities_of(&note.text, &scored, OffsetUnit::CodePoint);
    serde_json::json!({ "id": note.note_id, "text": note.text, "tasks": tasks, "entities": entities })
}

fn put(writer: &mut dyn Write, line: &impl serde::Serialize) -> Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    Ok(writer.write_all(b"\n")?)
}

fn writer(path: &Path) -> Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(std::io::stdout())));
    }
    let created = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(BufWriter::new(created)))
}

/// Merges what the teachers say.
struct Merging {
    choice: Choice,
    tokenize: TokenizeText,
}

impl Merging {
    fn open(path: &Path, labeler: &Labeler, models: &[PathBuf]) -> Result<Merging> {
        let choice = Choice::load(path)?;
        for teacher in choice.teachers() {
            ensure!(
                labeler.teachers().iter().any(|other| other.name() == teacher),
                "the ensembles in {} have the teacher {teacher}, which is not asked; add it to --teachers",
                path.display()
            );
        }
        let student = StudentConfig { folders: models.to_vec(), ..StudentConfig::default() };
        Ok(Merging { choice, tokenize: student.tokenize()? })
    }
}
