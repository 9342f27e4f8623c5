//! A file, the environment and `--set` become settings: known, of the right type, each with its full path and its origin.
//!
//! librdkafka's names have dots, which TOML takes for nested tables. A property is one setting in every layer, `kafka`,
//! `properties`, `bootstrap.servers`, so that layers override each other however the name was written.

use crate::config::Config;
use crate::config::kafka::{FILE_SUFFIX, MASK, is_secret};
use crate::config::known::{Kind, Known, key, property_of};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What the names of our environment variables start with.
const VARIABLE_PREFIX: &str = "STILLROOM__";
/// What stands between the levels in a variable's name.
const VARIABLE_LEVEL: &str = "__";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was not set.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// `--set`.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) => write!(f, "{name}"),
            Origin::Set => write!(f, "--set"),
        }
    }
}

/// A known setting with a value of its type.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The full path; a property's name is one part, with its dots.
    pub(crate) path: Vec<String>,
    /// The value.
    pub(crate) value: Value,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// The settings of a file in TOML.
///
/// # Errors
/// When the text is not TOML, or a setting is unknown, of the wrong type, or given twice.
pub(crate) fn of_file(path: &Path, text: &str) -> Result<Vec<Setting>> {
    let table: Table = toml::from_str(text).map_err(|error| syntax(path, text, &error))?;
    let mut layer = Layer::new(Origin::File(path.to_owned()));
    layer.take(Vec::new(), Value::Table(table))?;
    let mut seen = BTreeSet::new();
    for setting in &layer.settings {
        let is_new = seen.insert(&setting.path);
        ensure!(is_new, "{}: {} is given twice; keep one of them", path.display(), key(&setting.path));
    }
    Ok(layer.settings)
}

/// The settings of environment variables; others than `STILLROOM__…` are passed over.
///
/// # Errors
/// When a setting is unknown, of the wrong type, or a secret.
pub(crate) fn of_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (name, text) in variables {
        if let Some(levels) = name.strip_prefix(VARIABLE_PREFIX) {
            let path = levels.split(VARIABLE_LEVEL).map(str::to_lowercase).collect();
            let mut layer = Layer::new(Origin::Variable(name.clone()));
            layer.take_text(path, text)?;
            settings.append(&mut layer.settings);
        }
    }
    Ok(settings)
}

/// The settings of `--set`, each `a.b=c`. A name in quotes is one part, as in TOML.
///
/// # Errors
/// When there is no `=`, or a setting is unknown, of the wrong type, or a secret.
pub(crate) fn of_sets(sets: &[String]) -> Result<Vec<Setting>> {
    let mut layer = Layer::new(Origin::Set);
    for set in sets {
        // What follows a name without a `=` may be a secret.
        let name: String = set.chars().take_while(|c| c.is_alphanumeric() || "._-".contains(*c)).collect();
        let (written, text) =
            set.split_once('=').with_context(|| format!("--set {name} has no value; write --set engine.workers=4"))?;
        let path = path_of(written).with_context(|| {
            format!("--set {name}: what stands before = is not a setting's name; write --set engine.workers=4")
        })?;
        layer.take_text(path, text.to_owned())?;
    }
    Ok(layer.settings)
}

/// This process's environment variables that are ours.
///
/// # Errors
/// When one is not UTF-8.
pub(crate) fn environment() -> Result<Vec<(String, String)>> {
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(VARIABLE_PREFIX));
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let shown = name.to_string_lossy().into_owned();
        let both = name.into_string().ok().zip(value.into_string().ok());
        both.with_context(|| format!("{shown}: the variable is not UTF-8; write it in UTF-8"))
    };
    ours.map(text).collect()
}

/// Puts a value at its path.
pub(crate) fn put(table: &mut Table, path: &[String], value: Value) {
    let Some((name, sections)) = path.split_last() else { return };
    let mut at = table;
    for section in sections {
        let next = at.entry(section.as_str()).or_insert_with(|| Value::Table(Table::new()));
        match next {
            Value::Table(next) => at = next,
            // Known settings are never sections as well.
            _ => return,
        }
    }
    at.insert(name.clone(), value);
}

/// A layer that is being read.
struct Layer {
    /// Which settings there are.
    known: Known,
    /// Where the layer's values come from.
    origin: Origin,
    /// What was read.
    settings: Vec<Setting>,
}

impl Layer {
    fn new(origin: Origin) -> Layer {
        Layer { known: Known::new(), origin, settings: Vec::new() }
    }

    /// Takes a value as a file gives it: a section's is a table of others.
    fn take(&mut self, path: Vec<String>, value: Value) -> Result<()> {
        match (self.known.kind(&path), value) {
            (Kind::Section | Kind::Property, Value::Table(table)) => {
                table.into_iter().try_for_each(|(name, value)| self.take([&path[..], &[name]].concat(), value))
            }
            (Kind::Section, _) => self.refuse(&path, "is a section; name one of its settings, as config show does"),
            (Kind::Property, value) => self.push_property(path, value),
            (Kind::Setting, value) => match misfit(&path, &value) {
                None => self.push(path, value),
                Some(expected) => self.refuse_type(&path, &value, &expected),
            },
            (Kind::Unknown, value) => self.refuse_unknown(path, &value),
        }
    }

    /// Takes a value as a variable or an argument gives it: TOML if it can be read as such and is of the setting's type, else
    /// text as it stands. A property is always text.
    fn take_text(&mut self, path: Vec<String>, text: String) -> Result<()> {
        let read = match self.known.kind(&path) {
            Kind::Property => None,
            Kind::Section | Kind::Setting | Kind::Unknown => text.parse::<Value>().ok(),
        };
        let text = Value::String(text);
        let value = match read {
            Some(read @ (Value::Array(_) | Value::Table(_))) => read,
            Some(read) if misfit(&path, &read).is_none() || misfit(&path, &text).is_some() => read,
            _ => text,
        };
        self.take(path, value)
    }

    fn push(&mut self, path: Vec<String>, value: Value) -> Result<()> {
        self.settings.push(Setting { path, value, origin: self.origin.clone() });
        Ok(())
    }

    /// Takes a property, whose name is joined again.
    fn push_property(&mut self, path: Vec<String>, value: Value) -> Result<()> {
        let name = property_of(&path).unwrap_or_default().join(".");
        let place = match self.origin {
            Origin::Variable(_) => Some("the environment"),
            Origin::Set => Some("the list of processes"),
            Origin::File(_) | Origin::Default => None,
        };
        if let Some(place) = place.filter(|_| is_secret(&name)) {
            let remedy = format!("write it to a file, and the file's path to {}{FILE_SUFFIX}", key(&path));
            return self.refuse(&path, &format!("is a secret, which others can read in {place}; {remedy}"));
        }
        let text = match value {
            Value::String(text) => text,
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
            Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                return self.refuse_type(&path, &value, "a text, a number, or true or false");
            }
        };
        let section = path.len() - property_of(&path).map_or(0, <[String]>::len);
        self.push([&path[..section], &[name]].concat(), Value::String(text))
    }

    fn refuse(&self, path: &[String], reason: &str) -> Result<()> {
        bail!("{}: {} {reason}", self.origin, key(path))
    }

    /// Refuses a value of the wrong type, without showing a secret.
    fn refuse_type(&self, path: &[String], value: &Value, expected: &str) -> Result<()> {
        let is_secret = property_of(path).is_some_and(|name| is_secret(&name.join(".")));
        let is = match value {
            _ if is_secret => format!("is {MASK}"),
            Value::Array(_) if self.known.is_list(path) => "has a wrong item".to_owned(),
            Value::Array(_) => "is a list".to_owned(),
            Value::Table(_) => "is a table".to_owned(),
            value => format!("is {value}"),
        };
        self.refuse(path, &format!("{is}; write {expected}"))
    }

    /// Refuses what is not a setting; of an unknown section the first setting is named.
    fn refuse_unknown(&self, mut path: Vec<String>, mut value: &Value) -> Result<()> {
        while let Some((name, first)) = value.as_table().and_then(|table| table.iter().next()) {
            path.push(name.clone());
            value = first;
        }
        let remedy = match self.known.nearest(&path) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "config show lists the settings".to_owned(),
        };
        self.refuse(&path, &format!("is not a setting; {remedy}"))
    }
}

/// What a setting expects, if the value is not that.
fn misfit(path: &[String], value: &Value) -> Option<String> {
    let mut table = Table::new();
    put(&mut table, path, value.clone());
    // All other settings have defaults, so that an error is this one's.
    Config::deserialize(table).err().map(|error| expected(error.message()))
}

/// serde's word for what was expected, in the words of the configuration.
fn expected(message: &str) -> String {
    let word = message.rsplit("expected ").next().unwrap_or_default();
    match word {
        "usize" | "u64" => "a whole number from 0".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "a text".to_owned(),
        "a sequence" => "a list of texts, as [\"a\", \"b\"]".to_owned(),
        word => word.replace('`', ""),
    }
}

/// The parts of a name as it is written with `--set`.
fn path_of(written: &str) -> Option<Vec<String>> {
    let mut at = Value::Table(toml::from_str(&format!("{written}=0")).ok()?);
    let mut path = Vec::new();
    while let Value::Table(table) = at {
        let (name, next) = table.into_iter().next()?;
        path.push(name);
        at = next;
    }
    Some(path)
}

/// A file that is not TOML, by its line. The line itself may hold a secret and is not shown.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    anyhow!("{}: line {line} is not TOML: {}", path.display(), error.message())
}
