//! The teachers that the configuration and the command line name.

pub(crate) mod asking;
pub(crate) mod labels;
pub(crate) mod merging;
pub(crate) mod notes;
pub(crate) mod selecting;
pub(crate) mod tallies;

use crate::refused::{Refused, in_range, not_empty};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_dataflow::{ENSEMBLE, Sampling, TeacherPanel};
use stillroom_teachers::vocabulary::{Vocabulary, VocabularyConfig};
use stillroom_teachers::{Budget, Labeler, Limits, NanoUsd, Prices, Profile, Store, Teacher};

/// Who labels notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TeachersConfig {
    /// The folder of profiles: `NAME.toml` describes the teacher NAME, and goes before one of this name that comes with the program.
    /// Default `teachers`.
    pub(crate) profiles: PathBuf,
    /// The folder of keys, where the file NAME holds the key of the teacher NAME if its profile names none. Empty: none. Example:
    /// `keys = "/run/secrets"`.
    pub(crate) keys: PathBuf,
    /// Teachers that may see notes of real patients, beside those whose profiles say so. Default none.
    pub(crate) phi_allowed: Vec<String>,
    /// A file of prices that goes over those that come with the program. Empty: none.
    pub(crate) prices: PathBuf,
    /// The file of answers and spend, which keeps anything from being paid twice. Default `labels.redb`.
    pub(crate) store: PathBuf,
    /// Dollars that may be spent in a day, UTC, 0 to 1000000; 0 is no limit. Default 0.
    pub(crate) usd_a_day_max: f64,
    /// The teachers that `run` asks about a sample of the notes, 5 at most. Default none. Example: `ask = ["gpt-4o-mini", "mine"]`.
    pub(crate) ask: Vec<String>,
    /// Which notes they are asked about.
    pub(crate) sampling: Sampling,
    /// Bytes of notes that `run` may have waiting for teachers, an equal share for each, 64 KiB to 64 GiB; what is drawn beyond is not
    /// asked about. Default 16 MiB.
    pub(crate) waiting_bytes_max: usize,
    /// The ensembles that `run` measures: a file that `teachers select` wrote. Empty: none.
    pub(crate) ensemble: PathBuf,
}

impl Default for TeachersConfig {
    fn default() -> TeachersConfig {
        TeachersConfig {
            profiles: "teachers".into(),
            keys: PathBuf::new(),
            phi_allowed: Vec::new(),
            prices: PathBuf::new(),
            store: "labels.redb".into(),
            usd_a_day_max: 0.0,
            ask: Vec::new(),
            sampling: Sampling::default(),
            waiting_bytes_max: 16 << 20,
            ensemble: PathBuf::new(),
        }
    }
}

/// What a command asks for.
pub(crate) struct Wanted<'a> {
    /// Names of teachers, or files of profiles.
    pub(crate) teachers: &'a [String],
    /// What may be spent by this command.
    pub(crate) budget: Option<NanoUsd>,
    /// Whether answers and spend are kept.
    pub(crate) keeps: bool,
    /// Whether the notes are not of real patients.
    pub(crate) is_public: bool,
    /// Whether questions whose answer was of no use are asked again.
    pub(crate) retries_failed: bool,
}

impl TeachersConfig {
    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        not_empty("teachers.store", self.store.as_os_str().is_empty(), "name a file")?;
        if !self.usd_a_day_max.is_finite() || self.usd_a_day_max < 0.0 {
            let reason = format!("is {}; choose a value from 0 to 1000000", self.usd_a_day_max);
            return Err(Refused::new("teachers.usd_a_day_max", reason));
        }
        in_range("teachers.usd_a_day_max", self.usd_a_day_max as u64, 0..=1_000_000)?;
        in_range("teachers.waiting_bytes_max", self.waiting_bytes_max as u64, 64 << 10..=64 << 30)?;
        if self.ask.len() > TeacherPanel::TEACHERS_MAX {
            let reason = format!("names {} teachers; name {} at most", self.ask.len(), TeacherPanel::TEACHERS_MAX);
            return Err(Refused::new("teachers.ask", reason));
        }
        let Sampling { rate, note_types, uncertainty_min, uncertain_rate } = &self.sampling;
        let mut named = BTreeSet::new();
        if let Some(twice) = note_types.iter().find(|of_type| !named.insert(&of_type.note_type)) {
            let reason = format!("has the type {} twice; name it once", twice.note_type);
            return Err(Refused::new("teachers.sampling.note_types", reason));
        }
        let of_types = note_types.iter().map(|of_type| ("note_types", of_type.rate));
        let shares = [("rate", *rate), ("uncertainty_min", *uncertainty_min), ("uncertain_rate", *uncertain_rate)];
        match shares.into_iter().chain(of_types).find(|(_, share)| !(0.0..=1.0).contains(share)) {
            Some((setting, share)) => {
                let reason = format!("is {share}; choose a share from 0 to 1");
                Err(Refused::new(format!("teachers.sampling.{setting}"), reason))
            }
            None => Ok(()),
        }
    }

    /// Whether `run` asks or measures any.
    pub(crate) fn is_used_by_run(&self) -> bool {
        !self.ask.is_empty() || self.ensemble().is_some()
    }

    /// The file of the chosen ensembles, if there is one.
    pub(crate) fn ensemble(&self) -> Option<&Path> {
        Some(self.ensemble.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// The teachers that a command wants, and what they are paid from.
    ///
    /// # Errors
    /// When a teacher is unknown, cannot be used, or may not see these notes; when another process has the store.
    pub(crate) fn open(&self, wanted: &Wanted<'_>) -> Result<(Labeler, Arc<Budget>)> {
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let prices = Prices::load(Some(self.prices.as_path()).filter(|_| is_set(&self.prices)))?;
        let store = Arc::new(match wanted.keeps {
            true => Store::open(&self.store)?,
            false => Store::in_memory()?,
        });
        let day = (self.usd_a_day_max > 0.0).then(|| nano_usd(self.usd_a_day_max));
        let limits = Limits { run: wanted.budget, day };
        let budget = Arc::new(Budget::new(limits, prices, Arc::clone(&store)));
        let mut teachers: Vec<Teacher> = Vec::new();
        for name in wanted.teachers {
            let teacher = self.teacher(name, wanted.is_public, &budget)?;
            ensure!(
                teachers.iter().all(|other| other.name() != teacher.name()),
                "the teacher {} is named twice; name it once",
                teacher.name()
            );
            ensure!(
                teacher.name() != ENSEMBLE,
                "a teacher cannot be named {ENSEMBLE}, as all together are; rename its file"
            );
            teachers.push(teacher);
        }
        Ok((Labeler::new(teachers, store, &budget, wanted.retries_failed), budget))
    }

    /// The names of the teachers that have files.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub(crate) fn described(&self) -> Result<Vec<String>> {
        let about = || format!("cannot read the folder {} of teachers", self.profiles.display());
        let entries = match std::fs::read_dir(&self.profiles) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().with_context(about)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(about),
        };
        let paths = entries.into_iter().map(|entry| entry.path());
        let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let mut names: Vec<String> =
            files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    fn teacher(&self, wanted: &str, is_public: bool, budget: &Arc<Budget>) -> Result<Teacher> {
        let path = match wanted.ends_with(".toml") {
            true => PathBuf::from(wanted),
            false => self.profiles.join(format!("{wanted}.toml")),
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut profile = match Described::load(&path)? {
            Some(Described::Vocabulary(config)) => return Ok(Teacher::local(&name, Vocabulary::load(&config)?)),
            Some(Described::Remote(profile)) => *profile,
            None => Profile::built_in(wanted).with_context(|| self.unknown(wanted))?,
        };
        ensure!(
            is_public || profile.phi_allowed || self.phi_allowed.contains(&name),
            "the teacher {name} may not see notes of real patients; add it to [teachers] phi_allowed if your agreement with its vendor \
             covers them; label and teachers select take --public for notes that are not of real patients"
        );
        if profile.key_file.is_none() && !self.keys.as_os_str().is_empty() {
            let key = self.keys.join(&name);
            profile.key_file = key.exists().then_some(key);
        }
        Ok(Teacher::remote(&name, profile, budget)?)
    }

    fn unknown(&self, wanted: &str) -> String {
        let known: Vec<&str> = Profile::built_in_names().collect();
        let path = self.profiles.join(format!("{wanted}.toml"));
        let described = if wanted.ends_with(".toml") { Path::new(wanted) } else { &path };
        let (known, described) = (known.join(", "), described.display());
        format!("there is no teacher {wanted}; name one of {known}, or describe it in {described}")
    }
}

/// What a teacher's file describes.
enum Described {
    Remote(Box<Profile>),
    Vocabulary(VocabularyConfig),
}

impl Described {
    /// Nothing when there is no such file. Relative paths in it are relative to its folder.
    fn load(path: &Path) -> Result<Option<Described>> {
        let about = || format!("cannot read the teacher in {}", path.display());
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(about),
        };
        let mut table: toml::Table =
            text.parse::<toml::Table>().map_err(|error| anyhow::anyhow!("{}", error.message())).with_context(about)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if table.get("api").and_then(toml::Value::as_str) == Some("vocabulary") {
            table.remove("api");
            let mut config: VocabularyConfig = table.try_into().map_err(message).with_context(about)?;
            for source in &mut config.sources {
                source.path = folder.join(&source.path);
                source.concepts = source.concepts.as_ref().map(|concepts| folder.join(concepts));
            }
            config.exclusions.iter_mut().for_each(|path| *path = folder.join(&*path));
            return Ok(Some(Described::Vocabulary(config)));
        }
        let mut profile: Profile = table.try_into().map_err(message).with_context(about)?;
        for path in [&mut profile.key_file, &mut profile.prompt] {
            *path = path.as_ref().map(|path| folder.join(path));
        }
        Ok(Some(Described::Remote(Box::new(profile))))
    }
}

/// Without the lines of the file, which may hold what is nobody's business.
pub(crate) fn message(error: toml::de::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message().to_owned())
}

/// Billionths of a dollar.
pub(crate) fn nano_usd(usd: f64) -> NanoUsd {
    (usd * 1e9).round() as NanoUsd
}

/// Reads an amount such as `25usd`, `25` or `0.5usd`.
///
/// # Errors
/// When it is no amount of dollars.
pub(crate) fn budget(text: &str) -> Result<NanoUsd> {
    let number = text.trim().trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text.trim()[number.len()..];
    match number.trim().parse::<f64>() {
        Ok(usd) if (0.0..=1e6).contains(&usd) && (unit.is_empty() || unit.eq_ignore_ascii_case("usd")) => {
            Ok(nano_usd(usd))
        }
        _ => bail!("give dollars from 0 to 1000000, such as 25usd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets() {
        assert_eq!(budget("25usd").unwrap(), 25_000_000_000);
        assert_eq!(budget(" 0.5 USD").unwrap(), 500_000_000);
        assert_eq!(budget("3").unwrap(), 3_000_000_000);
        for wrong in ["", "usd", "-1", "5eur", "inf", "NaN", "1e9"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }
}
