//! The configuration of a study, a file in TOML. Paths are relative to the file's folder.

use crate::recipe::RecipeConfig;
use crate::refused::{Refused, dollars, in_range, not_empty};
use crate::runtime::{StudentConfig, threads_or_cores};
use crate::study::dataset::DatasetConfig;
use crate::teaching::TeachersConfig;
use crate::training::{DEV_DOCUMENTS_MAX, PATIENCE, training_device};
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use stillroom_dataflow::Bootstrap;
use stillroom_hub::HubConfig;
use stillroom_schemas::Task;
use stillroom_student::Precision;
use stillroom_teachers::ensemble::TEACHERS_MAX;

/// A study. Every field but `name` and `datasets` has a default; unknown ones are refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StudyConfig {
    /// What the report is called, and whose folder `out` is. Example: `name = "Diseases in abstracts"`.
    pub(crate) name: String,
    /// The folder of everything that the study makes; it is created. Default `study`.
    pub(crate) out: PathBuf,
    /// Annotated corpora.
    pub(crate) datasets: Vec<DatasetConfig>,
    /// Who labels.
    pub(crate) teachers: StudyTeachers,
    /// Who learns.
    pub(crate) students: StudyStudents,
    /// Where bases are fetched from that are no folders.
    pub(crate) hub: HubConfig,
    /// What a machine costs.
    pub(crate) prices: StudyPrices,
    /// What is written.
    pub(crate) report: ReportConfig,
}

/// Who labels, for each task, 10 at most: names of teachers as `label` takes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StudyTeachers {
    /// For diseases. Default none. Example: `disease = ["gpt-4o", "mine"]`.
    pub(crate) disease: Vec<String>,
    /// For medications. Default none.
    pub(crate) medication: Vec<String>,
    /// For symptoms. Default none.
    pub(crate) symptom: Vec<String>,
    /// The folder of profiles: `NAME.toml` describes the teacher NAME. Default `teachers`.
    pub(crate) profiles: PathBuf,
    /// The folder of keys, where the file NAME holds the key of the teacher NAME. Default: as their profiles say.
    pub(crate) keys: Option<PathBuf>,
    /// A file of prices that goes over those that come with the program. Default none.
    pub(crate) prices: Option<PathBuf>,
    /// The file of answers and spend, which keeps anything from being paid twice. Default `labels.redb` in `out`.
    pub(crate) store: Option<PathBuf>,
    /// Whether the texts are not of real patients, so that any teacher may see them. Default false.
    pub(crate) public: bool,
    /// Teachers that may see notes of real patients, beside those whose profiles say so. Default none.
    pub(crate) phi_allowed: Vec<String>,
    /// Dollars that a run of the study may spend, 0 to 1000000; 0 is no limit. Default 0.
    pub(crate) usd_max: f64,
    /// Dollars that may be spent in a day, UTC, by all that use the store, 0 to 1000000; 0 is no limit. Default 0.
    pub(crate) usd_a_day_max: f64,
}

impl Default for StudyTeachers {
    fn default() -> StudyTeachers {
        StudyTeachers {
            disease: Vec::new(),
            medication: Vec::new(),
            symptom: Vec::new(),
            profiles: "teachers".into(),
            keys: None,
            prices: None,
            store: None,
            public: false,
            phi_allowed: Vec::new(),
            usd_max: 0.0,
            usd_a_day_max: 0.0,
        }
    }
}

impl StudyTeachers {
    /// The names for a task.
    pub(crate) fn of(&self, task: Task) -> &[String] {
        match task {
            Task::Disease => &self.disease,
            Task::Medication => &self.medication,
            Task::Symptom => &self.symptom,
        }
    }
}

/// Who learns: a student of each base, from each source, for each task, with each seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StudyStudents {
    /// What they start from: folders, and names as `train --base` takes them. Default none, and nobody learns. Example:
    /// `bases = ["biobert"]`.
    pub(crate) bases: Vec<String>,
    /// Whose labels they learn from: `human`, `teachers` for the chosen ensemble, or the name of a teacher. Default
    /// `["human", "teachers"]`.
    pub(crate) sources: Vec<String>,
    /// Whether one student learns all tasks; the published way is a student for each. Default false.
    pub(crate) tasks_together: bool,
    /// Notes without annotations that the teachers label as well, as `label` reads them: folders, `.txt` and `.jsonl` files. Default none.
    pub(crate) notes: Vec<PathBuf>,
    /// The seeds of shuffling, initialisation and dropout. Default `[0]`.
    pub(crate) seeds: Vec<u64>,
    /// How they learn.
    pub(crate) recipe: RecipeConfig,
    /// Stop after this many passes without a better F1 on dev. Default 3.
    pub(crate) patience: usize,
    /// Documents of every dataset's dev part that are read after a pass; at the end all are. Default 100.
    pub(crate) dev_documents_max: usize,
    /// Threads, of training and of reading; 0 is one for every core. Sums are made in another order by another number on a processor,
    /// which therefore trains anew. Default 0.
    pub(crate) threads: usize,
    /// What trains and reads: `cpu`, or `cuda:0` in a build with the feature `cuda`. Default `cpu`.
    pub(crate) device: String,
    /// In what is multiplied when students read, `auto`, `int8`, `bf16`, `f16` or `f32`, as `[student] precision`. Default `auto`.
    pub(crate) precision: Precision,
}

impl Default for StudyStudents {
    fn default() -> StudyStudents {
        StudyStudents {
            bases: Vec::new(),
            sources: vec![HUMAN.to_owned(), TEACHERS.to_owned()],
            tasks_together: false,
            notes: Vec::new(),
            seeds: vec![0],
            recipe: RecipeConfig::default(),
            patience: PATIENCE,
            dev_documents_max: DEV_DOCUMENTS_MAX,
            threads: 0,
            device: "cpu".to_owned(),
            precision: Precision::default(),
        }
    }
}

impl StudyStudents {
    /// How students in these folders read.
    pub(crate) fn reader(&self, folders: Vec<PathBuf>) -> StudentConfig {
        let (device, threads) = (self.device.clone(), self.threads());
        StudentConfig { folders, device, precision: self.precision, threads }
    }

    /// Refuses what students cannot learn or read with, as far as it is known before their bases are.
    fn check(&self) -> Result<(), Refused> {
        no_repeat("students.bases", &self.bases)?;
        no_repeat("students.sources", &self.sources)?;
        no_repeat("students.seeds", &self.seeds)?;
        let reader = self.reader(Vec::new());
        reader.check().map_err(|mut refused| {
            refused.keys.iter_mut().for_each(|key| *key = key.replacen("student.", "students.", 1));
            refused
        })?;
        self.precision.resolved(reader.is_on_gpu()).map_err(|error| {
            Refused::new("students.precision", format!("is not one of students.device: {error}"))
                .with("students.device")
        })?;
        if self.bases.is_empty() {
            return Ok(());
        }
        self.recipe.check("students.recipe")?;
        training_device(&self.device, Precision::Auto)
            .map_err(|error| Refused::new("students.device", format!("cannot train: {error:#}")))?;
        Ok(())
    }

    /// Threads: as many as there are cores, where nothing is said.
    pub(crate) fn threads(&self) -> usize {
        threads_or_cores(self.threads)
    }
}

/// The source of labels that people gave.
pub(crate) const HUMAN: &str = "human";

/// The source of labels that the chosen ensemble gave.
pub(crate) const TEACHERS: &str = "teachers";

/// What a machine costs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StudyPrices {
    /// Dollars an hour of the machine that runs students and vocabularies, 0 to 1000. Default 0: not stated, and their dollars are not
    /// told. Example: `usd_an_hour = 0.096`.
    pub(crate) usd_an_hour: f64,
}

/// What is written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReportConfig {
    /// Samples of each bootstrap, 40 to 1000000. Default 1000.
    pub(crate) samples: usize,
    /// The seed of bootstraps and of the draw of the review. Default 0.
    pub(crate) seed: u64,
    /// Rows of the review for each task at most; 0 for none. Default 100.
    pub(crate) review_rows: usize,
}

impl Default for ReportConfig {
    fn default() -> ReportConfig {
        ReportConfig { samples: 1000, seed: 0, review_rows: 100 }
    }
}

impl ReportConfig {
    /// How intervals are drawn.
    pub(crate) fn bootstrap(&self) -> Bootstrap {
        Bootstrap { samples: self.samples, seed: self.seed }
    }
}

impl StudyConfig {
    /// Reads a file; what it says of paths is taken from its folder on.
    ///
    /// # Errors
    /// When it cannot be read, a setting is unknown, or a value cannot be used; names the setting.
    pub(crate) fn load(path: &Path) -> Result<StudyConfig> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the study {}; name a file in TOML", path.display()))?;
        let place = |error: &toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            anyhow!("{}, line {line}: {}", path.display(), error.message())
        };
        let mut config: StudyConfig = toml::from_str(&text).map_err(|error| place(&error))?;
        config.check().map_err(|refused| anyhow!("{}: {refused}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.rebase(folder);
        Ok(config)
    }

    fn rebase(&mut self, folder: &Path) {
        if self.out.as_os_str().is_empty() {
            self.out = "study".into();
        }
        let datasets = self.datasets.iter_mut();
        let of_datasets =
            datasets.flat_map(|dataset| dataset.train.iter_mut().chain(&mut dataset.dev).chain(&mut dataset.test));
        let StudyTeachers { profiles, keys, prices, store, .. } = &mut self.teachers;
        let of_teachers = [Some(profiles), keys.as_mut(), prices.as_mut(), store.as_mut()].into_iter().flatten();
        let HubConfig { cache, token_file, .. } = &mut self.hub;
        let of_hub = [cache.as_mut(), token_file.as_mut()].into_iter().flatten();
        let others = of_hub.chain(&mut self.students.notes).chain([&mut self.out]);
        for path in of_datasets.chain(of_teachers).chain(others) {
            *path = folder.join(&*path);
        }
        for base in &mut self.students.bases {
            // What is no folder there is the name of a model.
            let path = folder.join(&*base);
            if path.is_dir() {
                *base = path.to_string_lossy().into_owned();
            }
        }
    }

    fn check(&self) -> Result<(), Refused> {
        not_empty("name", self.name.trim().is_empty(), "say what the study is called")?;
        not_empty("datasets", self.datasets.is_empty(), "describe one as [[datasets]]")?;
        for (index, dataset) in self.datasets.iter().enumerate() {
            dataset.check(&self.datasets[..index])?;
        }
        self.check_teachers()?;
        let students = &self.students;
        in_range("report.samples", self.report.samples as u64, 40..=1_000_000)?;
        not_empty("students.seeds", students.seeds.is_empty(), "write [0]")?;
        not_empty("students.sources", students.sources.is_empty(), "write human, teachers or a teacher's name")?;
        let is_teacher = |name: &String| Task::ALL.iter().any(|task| self.teachers.of(*task).contains(name));
        let is_source = |name: &&String| [HUMAN, TEACHERS].contains(&name.as_str()) || is_teacher(name);
        if let Some(name) = students.sources.iter().find(|name| !is_source(name)) {
            let reason = format!("names {name}, who is no teacher of the study; write human, teachers or one of them");
            return Err(Refused::new("students.sources", reason));
        }
        students.check()?;
        self.hub.check().map_err(|error| Refused::new("hub", error.to_string()))?;
        dollars("prices.usd_an_hour", self.prices.usd_an_hour, 1000.0)
    }

    fn check_teachers(&self) -> Result<(), Refused> {
        for task in Task::ALL {
            let (key, names) = (format!("teachers.{}", task.name()), self.teachers.of(task));
            no_repeat(&key, names)?;
            if names.len() > TEACHERS_MAX {
                let reason = format!("names {} teachers; name {TEACHERS_MAX} at most", names.len());
                return Err(Refused::new(key, reason));
            }
            let reserved = [HUMAN, TEACHERS];
            if let Some(name) = names.iter().find(|name| reserved.contains(&name.as_str()) || name.ends_with(".toml")) {
                let reason = format!("names {name}; name a teacher, whose file NAME.toml is in teachers.profiles");
                return Err(Refused::new(key, reason));
            }
        }
        dollars("teachers.usd_max", self.teachers.usd_max, 1e6)?;
        dollars("teachers.usd_a_day_max", self.teachers.usd_a_day_max, 1e6)
    }

    /// The teachers' part, as `label` has it.
    pub(crate) fn teachers_config(&self) -> TeachersConfig {
        let teachers = &self.teachers;
        TeachersConfig {
            profiles: teachers.profiles.clone(),
            keys: teachers.keys.clone().unwrap_or_default(),
            phi_allowed: teachers.phi_allowed.clone(),
            prices: teachers.prices.clone().unwrap_or_default(),
            store: teachers.store.clone().unwrap_or_else(|| self.out.join("labels.redb")),
            usd_a_day_max: teachers.usd_a_day_max,
            ..TeachersConfig::default()
        }
    }
}

/// Refuses a list that has something twice.
fn no_repeat<T: Display + PartialEq>(key: &str, values: &[T]) -> Result<(), Refused> {
    match values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)) {
        Some((_, value)) => Err(Refused::new(key, format!("has {value} twice; name each once"))),
        None => Ok(()),
    }
}
