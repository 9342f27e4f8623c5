//! A demo's configuration, and the files that it names: the teacher, its ensemble, and the configuration itself for who
//! wants to look at the log by other commands.

use super::Demo;
use crate::config::Config;
use crate::generator::teacher_vocabulary;
use crate::recipe::RecipeConfig;
use crate::retraining::RetrainingConfig;
use crate::runtime::StudentConfig;
use crate::teaching::TeachersConfig;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use stillroom_connectors::replace_file;
use stillroom_dataflow::Sampling;
use stillroom_dataflow::ensemble::{Ensemble, Rule};
use stillroom_schemas::Task;
use stillroom_teachers::ensemble::{Choice, Chosen};

/// A note or two an epoch, so that a person sees figures change.
const EPOCH_BYTES_MAX: usize = 4 << 10;

/// The name of the teacher.
pub(super) const TEACHER: &str = "vocabulary";

/// The file of the configuration.
const FILE: &str = "stillroom.toml";

/// Examples that start a run, of the five hundred or so that the first part of the notes comes to.
const LABELS_MIN: u64 = 300;

/// More than by default: of few notes enough must be held out.
pub(super) const HELD_OUT: f64 = 0.3;

/// What trains is told from what tags by its niceness alone. As many threads everywhere: another number would make
/// another student.
const THREADS: usize = 2;

impl Demo {
    /// The configuration. Its paths are absolute, so that its file can be used from any folder.
    ///
    /// # Errors
    /// When the working folder cannot be found, or the student.
    pub(super) fn config(&self) -> Result<Config> {
        let dir = std::path::absolute(&self.dir).with_context(|| format!("cannot find {}", self.dir.display()))?;
        let mut config = Config::default();
        config.log.dir.clone_from(&dir);
        config.engine.epoch_bytes_max = EPOCH_BYTES_MAX;
        config.student.precision = self.precision;
        config.teachers = teachers(&dir);
        if self.retrains() {
            config.student.folders = vec![dir.join(super::weak::NAME)];
            config.teachers.ensemble = dir.join("ensemble.toml");
            config.models.registry = dir.join("students").display().to_string();
            config.retraining = retraining(dir.join("retraining"));
        } else {
            config.student.folders = vec![self.model()?];
        }
        Ok(config)
    }

    /// The folder of the student that is named, or of the one that comes with stillroom.
    ///
    /// # Errors
    /// When it cannot be found.
    pub(super) fn model(&self) -> Result<PathBuf> {
        let named = StudentConfig { folders: self.model.iter().cloned().collect(), ..StudentConfig::default() };
        let folder = named.student_folders()?.swap_remove(0);
        std::path::absolute(&folder).with_context(|| format!("cannot find {}", folder.display()))
    }
}

/// A vocabulary that is asked about every note.
fn teachers(dir: &Path) -> TeachersConfig {
    TeachersConfig {
        profiles: dir.join("teachers"),
        store: dir.join("labels.redb"),
        ask: vec![TEACHER.to_owned()],
        sampling: Sampling { rate: 1.0, ..Sampling::default() },
        ..TeachersConfig::default()
    }
}

/// A run of less than a minute: of the two layers of the weak student the second one learns, and its heads.
fn retraining(dir: PathBuf) -> RetrainingConfig {
    let recipe = RecipeConfig {
        rate: 5e-4,
        head_rate_factor: 10.0,
        epochs: 5,
        linear_decay: true,
        freeze: super::weak::LAYERS - 1,
        ..RecipeConfig::default()
    };
    RetrainingConfig {
        dir,
        labels_min: LABELS_MIN,
        // Who starts a demo again whose run failed has mended what was wrong.
        interval_min_minutes: 0,
        held_out: HELD_OUT,
        threads: THREADS,
        patience: recipe.epochs,
        recipe,
        ..RetrainingConfig::default()
    }
}

/// Writes the files that the configuration names, and the configuration.
///
/// # Errors
/// When one cannot be written.
pub(super) fn write(config: &Config, dir: &Path) -> Result<()> {
    let TeachersConfig { profiles, ensemble, .. } = &config.teachers;
    write_teacher(profiles)?;
    if !ensemble.as_os_str().is_empty() {
        replace_file(ensemble, choice().to_text().as_bytes())?;
    }
    Ok(replace_file(&dir.join(FILE), text_of(config)?.as_bytes())?)
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

/// The teacher alone, which nobody chose: there is no other.
fn choice() -> Choice {
    let alone = || Chosen {
        f1: 0.0,
        interval: (0.0, 0.0),
        documents: 0,
        ensemble: Ensemble { teachers: vec![TEACHER.to_owned()], rule: Rule::Union },
    };
    Choice(Task::ALL.map(|task| (task, alone())).into())
}

/// What of a configuration is not the default, as TOML.
///
/// # Errors
/// When a path is not UTF-8.
fn text_of(config: &Config) -> Result<String> {
    let about = "the configuration of the demo cannot be written; choose a --dir whose path is UTF-8";
    let table = |config: &Config| toml::Table::try_from(config).context(about);
    let differences = differences(table(config)?, &table(&Config::default())?);
    let text = toml::to_string(&differences).context(about)?;
    Ok(format!(
        "# Of the demo in this folder, for `stillroom quality`, `models list` and others by -c; all else is default.\n\
         {text}"
    ))
}

/// What of a table is not as usual.
fn differences(table: toml::Table, usual: &toml::Table) -> toml::Table {
    let differs = |(key, value): (String, toml::Value)| match (value, usual.get(&key)) {
        (toml::Value::Table(inner), Some(toml::Value::Table(usual))) => {
            let inner = differences(inner, usual);
            (!inner.is_empty()).then_some((key, toml::Value::Table(inner)))
        }
        (value, usual) => {
            let is_usual = usual == Some(&value);
            (!is_usual).then_some((key, value))
        }
    };
    table.into_iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: Demo,
    }

    /// Of a demo with these arguments.
    fn config(arguments: &[&str]) -> Config {
        let line = ["demo", "--dir", "somewhere", "--model", "a-student"];
        Line::parse_from(line.iter().chain(arguments)).demo.config().unwrap()
    }

    #[test]
    fn the_file_says_what_the_demo_runs_with() {
        for arguments in [Vec::new(), vec!["--without-retraining", "--precision", "f32"]] {
            let config = config(&arguments);
            config.check().unwrap();
            let text = text_of(&config).unwrap();
            assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
            assert!(!text.contains("tick_ms"), "{text}");
        }
        assert_eq!(text_of(&Config::default()).unwrap().lines().count(), 1);
    }

    #[test]
    fn few_notes_are_tagged_by_the_student_as_it_is() {
        let folder = |arguments: &[&str]| config(arguments).student.folders[0].file_name().unwrap().to_owned();
        assert_eq!(folder(&["--notes", "299"]), "a-student");
        assert_eq!(folder(&["--notes", "300"]), "weak");
        assert_eq!(folder(&["--notes", "300", "--without-retraining"]), "a-student");
    }

    #[test]
    fn the_choice_is_one_that_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ensemble.toml");
        std::fs::write(&path, choice().to_text()).unwrap();
        assert_eq!(Choice::load(&path).unwrap(), choice());
    }
}
