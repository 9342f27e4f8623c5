//! `stillroom train`: a student from annotated documents, and from notes that teachers labelled.

use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::corpora::{Drawn, Problems, ReadingArgs, gold_documents};
use crate::held_out::HeldOut;
use crate::recipe::RecipeConfig;
use crate::runtime::threads_or_cores;
use crate::teaching::merging::{Labels, Merging};
use crate::training::{
    DEV_DOCUMENTS_MAX, PATIENCE, base_folder, bound_memory, corpus_of, document, hash_of, leash, train_student,
    training_device,
};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use stillroom_dataflow::{SoftSpans, Tokenizer};
use stillroom_schemas::{Note, Task, TaskSet};
use stillroom_student::{
    Corpus, DataFile, Distillation, Document, Manifest, Precision, Recipe, Student, TrainConfig, sha256,
};
use stillroom_teachers::ensemble::Choice;

/// Notes to learn from, by what teachers said of them.
#[derive(Args)]
struct LabelledNotes {
    /// Notes to learn from by their labels: folders, .txt files (a note each), .jsonl files (a note a line), or - for such lines on
    /// stdin.
    #[arg(long, value_name = "PATH", num_args = 1.., requires_all = ["labels", "ensemble"])]
    notes: Vec<PathBuf>,
    /// Labels of these notes, as `label` writes them; may be given again. A later label of the same teacher for the same text replaces
    /// an earlier one.
    #[arg(long, value_name = "FILE", requires = "notes")]
    labels: Vec<PathBuf>,
    /// The ensembles that merge the labels: a file that `teachers select` wrote. A task is learned from the notes that have a label of
    /// every teacher of its ensemble.
    #[arg(long, value_name = "FILE", requires = "notes")]
    ensemble: Option<PathBuf>,
}

/// Students to learn from.
#[derive(Args)]
struct Distilling {
    /// Folders of students that this one also learns from, by the mean of their probabilities: several of other seeds become one, and
    /// notes need no labels. Their tokenizer must be that of the base.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    distil: Vec<PathBuf>,
    /// The part of the loss that is theirs; the rest is that of the annotations, where there are any.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, requires = "distil")]
    distil_share: f64,
    /// What their logits and the student's are divided by before they are compared.
    #[arg(long, default_value_t = 1.0, requires = "distil")]
    temperature: f64,
    /// Notes without annotations to learn from by what the students say: as for --notes.
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "distil")]
    unlabelled: Vec<PathBuf>,
}

/// Arguments of `train`.
#[derive(Args)]
pub(crate) struct Train {
    /// The BERT or DistilBERT to start from: biobert, bioclinbert, bert-base-cased, bert-base-uncased, an id of the Hugging Face hub
    /// (owner/name, or owner/name@revision), or a folder in its layout.
    #[arg(long, value_name = "NAME|DIR")]
    base: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// Annotated documents to learn from: a file or folder in a format of `corpus convert`, or a part of it, such as n2c2:train; what is
    /// given twice counts twice.
    #[arg(long = "train", required_unless_present_any = ["notes", "unlabelled"], value_name = "PATH[:PART]")]
    train: Vec<PathBuf>,
    #[command(flatten)]
    labelled: LabelledNotes,
    #[command(flatten)]
    distilling: Distilling,
    /// Annotated documents to choose the student and its thresholds by.
    #[arg(long = "dev", required = true, value_name = "PATH[:PART]")]
    dev: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Folder for the student. A run that was interrupted goes on.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The student's name; the folder's by default.
    #[arg(long)]
    name: Option<String>,
    /// A task to learn, disease, medication or symptom; may be given again; all three by default.
    #[arg(long = "task", value_name = "TASK", value_parser = crate::corpora::task)]
    tasks: Vec<Task>,
    #[command(flatten)]
    recipe: RecipeConfig,
    /// Stop after this many passes without a better dev F1.
    #[arg(long, default_value_t = PATIENCE)]
    patience: usize,
    /// Documents of every dev file that are tagged after a pass; at the end all are.
    #[arg(long, default_value_t = DEV_DOCUMENTS_MAX)]
    dev_documents_max: usize,
    /// Seed of shuffling, initialisation and dropout.
    #[arg(long, default_value_t = Recipe::default().seed)]
    seed: u64,
    /// Threads of a processor; 0 is one for every core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// cpu, or a GPU in a build with the feature cuda: cuda, which is the first, or cuda:1.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// In what a GPU multiplies: f32 by default, or bf16; weights and gradients are f32 in any case.
    #[arg(long, default_value_t)]
    precision: Precision,
    /// Train once nobody else has the lock of this file, and end when stdin is closed: for the process that retrains.
    #[arg(long, value_name = "FILE", hide = true)]
    leash: Option<PathBuf>,
    /// Bytes of data that this process may have, 0 without a bound: for the process that retrains.
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide = true)]
    memory_bytes_max: u64,
}

impl Train {
    pub(crate) fn run(self) -> Result<ExitCode> {
        bound_memory(self.memory_bytes_max)?;
        let _lock = self.leash.as_deref().map(leash).transpose()?;
        let recipe = Recipe { distillation: self.distilling.distillation(), ..self.recipe.seeded(self.seed) };
        if let Some((setting, reason)) = recipe.refused() {
            bail!("cannot train: {setting} {reason}");
        }
        let device = training_device(&self.device, self.precision)?;
        let tasks = if self.tasks.is_empty() { Task::ALL.to_vec() } else { self.tasks };
        let mut problems = Problems::default();
        let mut train_files = corpora(&self.train, &self.reading, &mut problems)?;
        let dev_files = corpora(&self.dev, &self.reading, &mut problems)?;
        let held_out = dev_files.iter().flat_map(|Corpus { file, documents }| {
            documents.iter().map(move |document| (document.text.as_str(), file.name.clone()))
        });
        let held_out = HeldOut::new(held_out);
        warn_of_held_out(&train_files, &held_out);
        // A download may take long, and is begun when all else is there.
        let base = base_folder(&self.base, &self.config.load()?.config.hub)?;
        train_files.extend(self.labelled.corpus(&base, (&tasks[..], self.recipe.soft), &held_out)?);
        train_files.extend(self.distilling.corpus(&held_out)?);
        if self.recipe.soft {
            tell_soft(&train_files);
        }
        let folder_name =
            || self.out.file_name().map_or_else(|| "student".into(), |name| name.to_string_lossy().into_owned());
        let config = TrainConfig {
            name: self.name.clone().unwrap_or_else(folder_name),
            command: std::env::args().skip(1).fold("stillroom".into(), |line, argument| line + " " + &argument),
            tasks,
            recipe,
            patience: self.patience,
            dev_documents_max: self.dev_documents_max,
            teachers: self.distilling.teachers()?,
            threads: threads_or_cores(self.threads),
            device,
            base,
            out: self.out,
        };
        let manifest = train_student(&config, &train_files, &dev_files)?;
        print_dev_counts(&manifest)?;
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

/// Says how many documents are to be learned from and to be chosen by. Unlike notes they are not refused: who names a file for both
/// may only want to see that a student learns.
fn warn_of_held_out(train_files: &[Corpus], held_out: &HeldOut) {
    for Corpus { file, documents } in train_files {
        let count = documents.iter().filter(|document| held_out.has(&document.text)).count();
        if count > 0 {
            eprintln!(
                "{count} of {} documents of {} are among the --dev documents: dev figures, thresholds and the choice of the pass are \
                 flattered; take them out of one of the two",
                documents.len(),
                file.name
            );
        }
    }
}

/// Says of how many documents the shares of teachers are learned: those of people have none.
fn tell_soft(train_files: &[Corpus]) {
    let documents = || train_files.iter().flat_map(|corpus| &corpus.documents);
    let count = documents().filter(|document| !document.soft.is_empty()).count();
    eprintln!("{count} of {} documents have soft labels", documents().count());
}

/// How well a student does on each dev file.
pub(crate) fn print_dev_counts(manifest: &Manifest) -> Result<()> {
    for (file, tasks) in &manifest.dev_counts {
        for (task, counts) in tasks {
            print_line(format_args!("{file} {}: word-level F1 {:.4}", task.name(), counts.f1()))?;
        }
    }
    Ok(())
}

impl LabelledNotes {
    /// The documents that the notes become; nothing when there are none.
    ///
    /// # Errors
    /// When a file cannot be read or a line of labels is none, when a teacher of an ensemble has no label, or no note all of one, and
    /// when a note is held out.
    fn corpus(&self, base: &Path, (tasks, is_soft): (&[Task], bool), held_out: &HeldOut) -> Result<Option<Corpus>> {
        let Some(ensemble) = &self.ensemble else { return Ok(None) };
        let mut choice = Choice::load(ensemble)?;
        choice.0.retain(|task, _| tasks.contains(task));
        ensure!(
            !choice.0.is_empty(),
            "{} has no ensemble for the tasks that are to be learned; choose one by teachers select, or name other tasks",
            ensemble.display()
        );
        let mut labels = Labels::default();
        self.labels.iter().try_for_each(|path| labels.read(path))?;
        let tokenizer = Tokenizer::load(base)?;
        let mut merging =
            Merging::new(choice, Arc::new(move |text: &str| tokenizer.tokenize(text)), labels)?.softly(is_soft);
        let mut documents = Vec::new();
        let unreadable = held_out.learn(&self.notes, |note| {
            documents.extend(merging.merge(note)?);
            Ok(())
        })?;
        eprintln!("{}", merging.finish(unreadable)?);
        let of_notes: Vec<String> = self.notes.iter().map(|path| short(path)).collect();
        let name = format!("{} by {}", of_notes.join(" + "), short(ensemble));
        corpus_of(name, documents).map(Some)
    }
}

impl Distilling {
    fn distillation(&self) -> Option<Distillation> {
        let by = Distillation { share: self.distil_share, temperature: self.temperature };
        (!self.distil.is_empty()).then_some(by)
    }

    /// # Errors
    /// When a folder holds no student.
    fn teachers(&self) -> Result<Vec<Student>> {
        Ok(self.distil.iter().map(|folder| Student::load(folder)).collect::<Result<_, _>>()?)
    }

    /// The notes without annotations, as documents that were annotated for no task; nothing when there are none.
    ///
    /// # Errors
    /// When a file cannot be read, or a note is held out.
    fn corpus(&self, held_out: &HeldOut) -> Result<Option<Corpus>> {
        if self.unlabelled.is_empty() {
            return Ok(None);
        }
        let mut documents = Vec::new();
        held_out.learn(&self.unlabelled, |Note { note_id: id, text, .. }| {
            documents.push(Document { id, text, tasks: TaskSet::new(), spans: Vec::new(), soft: SoftSpans::new() });
            Ok(())
        })?;
        let names: Vec<String> = self.unlabelled.iter().map(|path| short(path)).collect();
        corpus_of(names.join(" + "), documents).map(Some)
    }
}

/// The documents of files, folders and parts of them.
///
/// # Errors
/// When one cannot be read, or holds no annotated document.
pub(crate) fn corpora(paths: &[PathBuf], reading: &ReadingArgs, problems: &mut Problems) -> Result<Vec<Corpus>> {
    paths.iter().map(|path| corpus(path, reading, problems)).collect()
}

fn corpus(path: &Path, reading: &ReadingArgs, problems: &mut Problems) -> Result<Corpus> {
    let gold = gold_documents(path, &reading.config(), &Drawn::default(), problems)?;
    let documents: Vec<Document> = gold.into_iter().map(document).collect();
    let is_lines = path.is_file() && path.extension().is_some_and(|extension| extension == "jsonl");
    let hash = match is_lines {
        true => sha256(&std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        false => hash_of(&documents)?,
    };
    let file = DataFile { name: short(path), hash, documents: documents.len() };
    Ok(Corpus { file, documents })
}

/// Where a corpus lies differs from machine to machine; its folder and file are its name.
fn short(path: &Path) -> String {
    path.iter().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<PathBuf>().display().to_string()
}
