//! The datasets of a study, read and checked.

use crate::corpora::{Problems, gold_documents};
use crate::held_out::HeldOut;
use crate::study::config::StudyConfig;
use crate::study::dataset::{DatasetConfig, Role};
use crate::study::report::DatasetRow;
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use stillroom_connectors::{GoldDocument, Part, Split};
use stillroom_dataflow::Tokenizer;
use stillroom_schemas::{Task, TaskSet};

/// All datasets.
pub(crate) struct Data {
    datasets: Vec<Dataset>,
    /// What is wrong with their files.
    pub(crate) problems: u64,
    /// What the study is about, in the order of [`Task::ALL`].
    pub(crate) tasks: Vec<Task>,
}

struct Dataset {
    name: String,
    role: Role,
    parts: BTreeMap<Part, Vec<GoldDocument>>,
}

/// A document and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    /// Its position among all documents.
    pub(crate) index: usize,
    /// The name of its dataset.
    pub(crate) dataset: &'a str,
    /// What the dataset is for.
    pub(crate) role: Role,
    /// The part.
    pub(crate) part: Part,
    /// The document. Its tasks are those that the study uses of it.
    pub(crate) document: &'a GoldDocument,
}

impl Data {
    /// Reads the datasets.
    ///
    /// # Errors
    /// When one cannot be read, or is not annotated for a task that it is to be used for, when teachers have a task that no dataset has, or
    /// when documents are there for training and for measuring.
    pub(crate) fn load(config: &StudyConfig) -> Result<Data> {
        let mut problems = Problems::default();
        let load = |dataset: &DatasetConfig| {
            Dataset::load(dataset, &mut problems).with_context(|| format!("the dataset {}", dataset.name))
        };
        let datasets = config.datasets.iter().map(load).collect::<Result<Vec<_>>>()?;
        let mut data = Data { datasets, problems: problems.finish(), tasks: Vec::new() };
        let has = |task: &Task| data.items(*task).any(|item| item.part == Part::Dev);
        let tasks: Vec<Task> = Task::ALL.into_iter().filter(has).collect();
        for task in Task::ALL {
            ensure!(
                tasks.contains(&task) || config.teachers.of(task).is_empty(),
                "there are teachers for {0}, but no dev document of the study is annotated for it; leave out [teachers] {0}, or add a \
                 dataset",
                task.name()
            );
        }
        ensure!(!tasks.is_empty(), "there is no dataset to choose by; describe one with role = \"study\"");
        data.tasks = tasks;
        Task::ALL.into_iter().try_for_each(|task| data.check_apart(task))?;
        Ok(data)
    }

    /// Refuses documents of a task that a student would learn from and be chosen by or measured on, in whatever datasets they are.
    fn check_apart(&self, task: Task) -> Result<()> {
        // Formats differ in the blanks that they leave around a text.
        let mut learned: HashMap<&str, Item<'_>> = HashMap::new();
        for item in self.items(task).filter(|item| item.part == Part::Train) {
            learned.entry(item.document.text.trim()).or_insert(item);
        }
        let mut of_places: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for item in self.items(task).filter(|item| item.part != Part::Train) {
            let text = item.document.text.trim();
            if let Some(train) = learned.get(text) {
                let place =
                    format!("{} {} and {} {}", train.dataset, train.part.name(), item.dataset, item.part.name());
                of_places.entry(place).or_default().insert(text);
            }
        }
        if of_places.is_empty() {
            return Ok(());
        }
        let places: Vec<String> =
            of_places.iter().map(|(place, texts)| format!("{place} share {}", texts.len())).collect();
        bail!(
            "students would be measured on documents that they learn {} from: {}; take each of these documents out of one part",
            task.name(),
            places.join(", ")
        )
    }

    /// The documents that students are chosen by and measured on.
    pub(crate) fn held_out(&self) -> HeldOut {
        let held_out = self.all().filter(|item| item.part != Part::Train);
        HeldOut::new(
            held_out.map(|item| (item.document.text.as_str(), format!("{} {}", item.dataset, item.part.name()))),
        )
    }

    /// The documents that are annotated for a task, dataset by dataset and part by part.
    pub(crate) fn items(&self, task: Task) -> impl Iterator<Item = Item<'_>> {
        self.all().filter(move |item| item.document.tasks.contains(&task))
    }

    /// All documents.
    pub(crate) fn all(&self) -> impl Iterator<Item = Item<'_>> {
        let parts = self.datasets.iter().flat_map(|dataset| {
            dataset
                .parts
                .iter()
                .flat_map(move |(&part, documents)| documents.iter().map(move |document| (dataset, part, document)))
        });
        parts.enumerate().map(|(index, (dataset, part, document))| Item {
            index,
            dataset: &dataset.name,
            role: dataset.role,
            part,
            document,
        })
    }

    /// What there is of each dataset and part.
    ///
    /// # Errors
    /// When a text cannot be cut into words.
    pub(crate) fn rows(&self) -> Result<Vec<DatasetRow>> {
        let tokenizer = Tokenizer::words_only();
        let mut rows = Vec::new();
        for dataset in &self.datasets {
            for (part, documents) in &dataset.parts {
                let mut row = DatasetRow {
                    dataset: dataset.name.clone(),
                    role: dataset.role,
                    part: part.name().to_owned(),
                    documents: documents.len(),
                    words: 0,
                    entities: BTreeMap::new(),
                };
                for document in documents {
                    row.words += tokenizer.tokenize(&document.text)?.words.len();
                    for task in &document.tasks {
                        let of_task = document.spans.iter().filter(|span| span.task == *task);
                        *row.entities.entry(*task).or_default() += of_task.count();
                    }
                }
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

impl Dataset {
    fn load(config: &DatasetConfig, problems: &mut Problems) -> Result<Dataset> {
        let (reading, mut parts) = (config.reading()?, BTreeMap::new());
        let given = [
            (Part::Train, &config.train, config.train_max),
            (Part::Dev, &config.dev, config.dev_max),
            (Part::Test, &config.test, config.test_max),
        ];
        for (part, paths, documents_max) in given {
            let mut documents = Vec::new();
            for path in paths {
                documents.extend(gold_documents(path, &reading, &config.split, problems)?);
            }
            let documents = drawn(documents, documents_max, config.split.seed)?;
            if !documents.is_empty() {
                parts.insert(part, of_tasks(documents, config, part)?);
            }
        }
        Ok(Dataset { name: config.name.clone(), role: config.role, parts })
    }
}

/// So many documents at most, in their order; 0 is all.
fn drawn(documents: Vec<GoldDocument>, documents_max: usize, seed: u64) -> Result<Vec<GoldDocument>> {
    if documents_max == 0 || documents.len() <= documents_max {
        return Ok(documents);
    }
    let untold: Vec<(String, Option<Part>)> = documents.iter().map(|document| (document.id.clone(), None)).collect();
    let parts = Split { dev: documents_max, test: 0, seed }.parts(&untold)?;
    Ok(documents.into_iter().zip(parts).filter(|(_, part)| *part == Part::Dev).map(|(document, _)| document).collect())
}

/// The documents with the tasks that the dataset is used for.
fn of_tasks(mut documents: Vec<GoldDocument>, config: &DatasetConfig, part: Part) -> Result<Vec<GoldDocument>> {
    let annotated: TaskSet = documents.iter().flat_map(|document| document.tasks.clone()).collect();
    for task in &config.tasks {
        let (task_name, part_name) = (task.name(), part.name());
        ensure!(
            annotated.contains(task),
            "no document in {part_name} is annotated for {task_name}; take it out of tasks, or read its labels as {task_name} by map"
        );
    }
    if !config.tasks.is_empty() {
        documents.iter_mut().for_each(|document| document.tasks.retain(|task| config.tasks.contains(task)));
        documents.retain(|document| !document.tasks.is_empty());
    }
    Ok(documents)
}
