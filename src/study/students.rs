//! The students of a study: who is to be trained, on what, and what each finds.

use crate::evaluation::extract_gold;
use crate::study::config::{HUMAN, StudyConfig, TEACHERS};
use crate::study::data::{Data, Item};
use crate::study::report::StudentRow;
use crate::study::steps::{Steps, hash};
use crate::study::training::Lessons;
use crate::training::{base_folder, corpus_of, train_student, training_device};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use stillroom_connectors::{GoldDocument, Part};
use stillroom_dataflow::{ScoredSpan, SoftSpans};
use stillroom_hub::Base;
use stillroom_schemas::{Entity, Note, Span, Task, TaskSet};
use stillroom_student::{
    BertConfig, Corpus, DataFile, Device, Document, Manifest, Precision, TrainConfig, base_files, gpus, sha256,
};

/// A student that is to be trained.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its name among the systems of its tasks.
    pub(crate) name: String,
    /// What it starts from, as the configuration names it.
    base: String,
    /// The last part of that.
    pub(crate) base_name: String,
    /// Whose labels it learns from.
    pub(crate) source: String,
    /// What it learns.
    pub(crate) tasks: Vec<Task>,
    /// Its seed.
    pub(crate) seed: u64,
}

/// A base that is there.
pub(crate) struct Basis {
    folder: PathBuf,
    /// The hashes of the files that training reads.
    hashes: BTreeMap<String, String>,
}

/// The bases of the study by their names; those that are no folders are downloaded.
///
/// # Errors
/// When one cannot be had or read, or does not fit the recipe, or there is no such GPU to train on.
pub(crate) fn bases(config: &StudyConfig) -> Result<BTreeMap<String, Basis>> {
    let students = &config.students;
    if !students.bases.is_empty()
        && let Device::Cuda(gpu) = training_device(&students.device, Precision::Auto)?
    {
        gpus(&gpu.indices)?;
    }
    let basis = |name: &String| {
        let folder = base_folder(name, &config.hub)?;
        check_base(config, name, &folder)?;
        let hashes = hashes_of(&folder)?;
        Ok((name.clone(), Basis { folder, hashes }))
    };
    students.bases.iter().map(basis).collect()
}

/// Every student of the study: each base, from each source, for each task, with each seed.
///
/// # Errors
/// When there is no such base, when two have one name, when a folder does not fit the recipe, or when a student has nothing to learn from.
pub(crate) fn plans(config: &StudyConfig, data: &Data, notes: &[Note]) -> Result<Vec<Plan>> {
    let students = &config.students;
    let together = [data.tasks.clone()];
    let alone: Vec<Vec<Task>> = data.tasks.iter().map(|task| vec![*task]).collect();
    let groups = if students.tasks_together { &together[..] } else { &alone[..] };
    let (mut plans, mut names) = (Vec::new(), BTreeSet::new());
    for base in &students.bases {
        Base::parse(base)?;
        // The others may have to be downloaded first.
        if Path::new(base).is_dir() {
            check_base(config, base, Path::new(base))?;
        }
        let base_name = Path::new(base).file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(names.insert(base_name.clone()), "two of students.bases are called {base_name}; rename a folder");
        for source in &students.sources {
            for tasks in groups.iter().map(|group| taught(config, source, group)).filter(|tasks| !tasks.is_empty()) {
                for &seed in &students.seeds {
                    let of_seed = if students.seeds.len() > 1 { format!(", seed {seed}") } else { String::new() };
                    plans.push(Plan {
                        name: format!("{base_name} from {source}{of_seed}"),
                        base: base.clone(),
                        base_name: base_name.clone(),
                        source: source.clone(),
                        tasks: tasks.clone(),
                        seed,
                    });
                }
            }
        }
    }
    let trains = |plan: &Plan, item: Item<'_>| item.part == Part::Train && plan.of_people(&item).is_some();
    let has_lessons =
        |plan: &&Plan| data.all().any(|item| trains(plan, item)) || (plan.source != HUMAN && !notes.is_empty());
    if let Some(plan) = plans.iter().find(|plan| !has_lessons(plan)) {
        let name = &plan.name;
        bail!("there is no document to train {name} on; give a dataset of the study train, or students notes");
    }
    Ok(plans)
}

/// The tasks that a source has labels for.
fn taught(config: &StudyConfig, source: &str, tasks: &[Task]) -> Vec<Task> {
    let has_labels = |task: &&Task| match source {
        HUMAN => true,
        TEACHERS => !config.teachers.of(**task).is_empty(),
        name => config.teachers.of(**task).iter().any(|teacher| teacher == name),
    };
    tasks.iter().filter(has_labels).copied().collect()
}

impl Plan {
    /// Trains it, unless that is done; an interrupted training goes on.
    ///
    /// # Errors
    /// When the base cannot be loaded, or there is nothing to learn from.
    pub(crate) fn train(
        &self,
        config: &StudyConfig,
        (data, bases, lessons): (&Data, &BTreeMap<String, Basis>, &Lessons),
        steps: &Steps,
    ) -> Result<StudentRow> {
        let students = &config.students;
        let basis = bases.get(&self.base).with_context(|| format!("there is no base {}", self.base))?;
        let train = lessons.corpora(self, data)?;
        let dev = self.dev(data)?;
        // The order of the sums of a batch is that of the processor's threads; a GPU adds up a batch as a whole.
        let threads = (!students.reader(Vec::new()).is_on_gpu()).then(|| students.threads());
        let identity = (
            (&basis.hashes, students.recipe.seeded(self.seed), &self.tasks, (&students.device, threads)),
            (files(&train), files(&dev), students.patience, students.dev_documents_max),
        );
        let tasks: Vec<&str> = self.tasks.iter().map(|task| task.name()).collect();
        let readable = [self.base_name.as_str(), &self.source, &tasks.join("-"), &self.seed.to_string()].join(".");
        let folder = format!("students/{readable}.{}", &hash(&identity)?[..12]);
        let out = steps.path(&folder);
        let manifest: Manifest = match out.join("manifest.json").exists() && !out.join("checkpoint").exists() {
            true => {
                eprintln!("{folder}: done before");
                serde_json::from_slice(&std::fs::read(out.join("manifest.json"))?)
                    .with_context(|| format!("{} is damaged; remove it", out.display()))?
            }
            false => {
                eprintln!("{folder}");
                let config = TrainConfig {
                    base: basis.folder.clone(),
                    name: readable,
                    command: format!("stillroom study ({})", config.name),
                    tasks: self.tasks.clone(),
                    recipe: students.recipe.seeded(self.seed),
                    patience: students.patience,
                    dev_documents_max: students.dev_documents_max,
                    teachers: Vec::new(),
                    threads: students.threads(),
                    device: training_device(&students.device, Precision::Auto)?,
                    out,
                };
                train_student(&config, &train, &dev).with_context(|| format!("cannot train {}", self.name))?
            }
        };
        Ok(StudentRow {
            name: self.name.clone(),
            base: self.base_name.clone(),
            source: self.source.clone(),
            tasks: self.tasks.clone(),
            seed: self.seed,
            documents: train.iter().map(|corpus| corpus.file.documents).sum(),
            epochs: manifest.dev_f1_by_epoch.len(),
            weights_hash: manifest.weights_hash,
            folder,
        })
    }

    /// The dev documents of the study, a corpus a dataset, with its tasks alone.
    fn dev(&self, data: &Data) -> Result<Vec<Corpus>> {
        let documents = data.all().filter(|item| item.part == Part::Dev).filter_map(|item| self.of_people(&item));
        corpora_of(documents, "dev")
    }

    /// A document as people annotated it, with this student's tasks alone; nothing if it has none of them.
    pub(crate) fn of_people(&self, item: &Item<'_>) -> Option<(String, Document)> {
        let GoldDocument { id, text, tasks, spans, .. } = item.document;
        let tasks: TaskSet = self.tasks.iter().filter(|task| tasks.contains(task)).copied().collect();
        let spans = spans.iter().filter(|span| tasks.contains(&span.task)).copied().collect();
        let document = Document { id: id.clone(), text: text.clone(), tasks, spans, soft: SoftSpans::new() };
        (!document.tasks.is_empty()).then(|| (item.dataset.to_owned(), document))
    }
}

/// What a student found.
#[derive(Serialize, Deserialize)]
pub(crate) struct Read {
    /// By the position of the document among all.
    pub(crate) spans: BTreeMap<usize, Vec<ScoredSpan>>,
    /// Seconds a document.
    pub(crate) seconds: f64,
}

/// Reads all documents that it is measured on, as a step.
///
/// # Errors
/// When the student cannot be loaded.
pub(crate) fn read(config: &StudyConfig, data: &Data, student: &StudentRow, steps: &Steps) -> Result<Read> {
    let is_measured = |item: &Item<'_>| {
        item.part != Part::Train && student.tasks.iter().any(|task| item.document.tasks.contains(task))
    };
    let items: Vec<Item<'_>> = data.all().filter(is_measured).collect();
    let reader = config.students.reader(vec![steps.path(&student.folder)]);
    let texts: Vec<(usize, &str)> = items.iter().map(|item| (item.index, item.document.text.as_str())).collect();
    // Thresholds and temperatures stand in the manifest.
    let manifest = sha256(&std::fs::read(steps.path(&student.folder).join("manifest.json"))?);
    let made_from = (manifest, (&reader.device, reader.precision, reader.threads), hash(&texts)?);
    let name = format!("read {}", Path::new(&student.folder).file_name().unwrap_or_default().to_string_lossy());
    steps.run(&name, &made_from, || {
        let documents: Vec<GoldDocument> = items.iter().map(|item| item.document.clone()).collect();
        let extracted = extract_gold(&reader, &documents)?;
        let span = |&Entity { task, start, end, score, .. }: &Entity| (Span { task, start, end }, score as f32);
        let spans = extracted.entities.iter().map(|entities| entities.iter().map(span).collect());
        let seconds = extracted.seconds / items.len().max(1) as f64;
        Ok(Read { spans: items.iter().map(|item| item.index).zip(spans).collect(), seconds })
    })
}

/// Documents as corpora, one a dataset.
pub(crate) fn corpora_of(documents: impl Iterator<Item = (String, Document)>, part: &str) -> Result<Vec<Corpus>> {
    let mut of_datasets: Vec<(String, Vec<Document>)> = Vec::new();
    for (dataset, document) in documents {
        match of_datasets.iter_mut().find(|(name, _)| *name == dataset) {
            Some((_, documents)) => documents.push(document),
            None => of_datasets.push((dataset, vec![document])),
        }
    }
    of_datasets.into_iter().map(|(dataset, documents)| corpus_of(format!("{dataset}:{part}"), documents)).collect()
}

fn files(corpora: &[Corpus]) -> Vec<&DataFile> {
    corpora.iter().map(|corpus| &corpus.file).collect()
}

/// Tells a base from others: the hashes of the files that training reads, whatever else is beside them.
///
/// # Errors
/// When it cannot be read.
fn hashes_of(base: &Path) -> Result<BTreeMap<String, String>> {
    let hash = |path: PathBuf| {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {} of a base", path.display()))?;
        Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), sha256(&bytes)))
    };
    base_files(base)?.into_iter().map(hash).collect()
}

/// Refuses a base that the recipe does not fit.
fn check_base(config: &StudyConfig, name: &str, folder: &Path) -> Result<()> {
    let (freeze, layers) = (config.students.recipe.freeze, BertConfig::load(folder)?.num_hidden_layers);
    ensure!(
        freeze <= layers,
        "students.recipe.freeze is {freeze}, and the base {name} has {layers} layers; freeze {layers} at most"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_the_files_that_training_reads() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), name).unwrap();
        ["config.json", "vocab.txt", "pytorch_model.bin", "README.txt", "special_tokens_map.json"]
            .into_iter()
            .for_each(write);
        let hashes = hashes_of(folder.path()).unwrap();
        assert_eq!(hashes.keys().collect::<Vec<_>>(), ["config.json", "pytorch_model.bin", "vocab.txt"]);
        assert_eq!(hashes["vocab.txt"], sha256(b"vocab.txt"));
        write("model.safetensors");
        let hashes = hashes_of(folder.path()).unwrap();
        assert_eq!(hashes.keys().collect::<Vec<_>>(), ["config.json", "model.safetensors", "vocab.txt"]);
    }
}
