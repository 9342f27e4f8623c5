//! Which settings there are: what a path leads to, how it is written, and which setting's name is nearest to a mistaken one.

use crate::config::Config;
use crate::config::kafka::{FILE_SUFFIX, PROPERTIES};
use serde_json::Value;

/// Letters that a mistaken path and the setting that was meant differ in at most.
const TYPOS_MAX: usize = 3;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table of settings.
    Section,
    /// A setting of ours.
    Setting,
    /// A property of librdkafka, or a part of its name.
    Property,
    /// Nothing.
    Unknown,
}

/// The settings that there are. The defaults are the list: every setting has one.
pub(crate) struct Known {
    /// The defaults; null for a setting that has none.
    defaults: Value,
}

impl Known {
    /// The settings of [`Config`].
    ///
    /// # Panics
    /// When a default is neither text nor number nor list, which a test would show.
    pub(crate) fn new() -> Known {
        let defaults = serde_json::to_value(Config::default());
        Known { defaults: defaults.expect("the defaults are texts, numbers and lists") }
    }

    /// What a path leads to.
    pub(crate) fn kind(&self, path: &[String]) -> Kind {
        if let Some(name) = property_of(path).filter(|name| !name.is_empty()) {
            return if name.iter().any(String::is_empty) { Kind::Unknown } else { Kind::Property };
        }
        match self.default(path) {
            Some(Value::Object(_)) => Kind::Section,
            Some(_) => Kind::Setting,
            None => Kind::Unknown,
        }
    }

    /// Whether a setting is a list.
    pub(crate) fn is_list(&self, path: &[String]) -> bool {
        self.default(path).is_some_and(Value::is_array)
    }

    /// The full path of the setting that was meant by an unknown one: one that is written almost like it, one of its name
    /// elsewhere, the file that holds what was given in plain, or a property that stands directly in `[kafka]`.
    pub(crate) fn nearest(&self, path: &[String]) -> Option<String> {
        if property_of(path).is_some() {
            return None;
        }
        let written = key(path);
        let paths: Vec<Vec<String>> = leaves(&self.defaults).into_iter().map(|(path, _)| path).collect();
        // A property's name is not known, but the section that it belongs to is.
        let in_properties = key(&below_properties(path.get(2..).unwrap_or_default()));
        let candidates = paths.iter().map(|known| key(known)).chain([in_properties]);
        let distance = |known: String| (strsim::damerau_levenshtein(&written, &known), known);
        if let Some((0..=TYPOS_MAX, known)) = candidates.map(distance).min() {
            return Some(known);
        }
        let name = |path: &[String]| path.last().map_or(String::new(), |name| name.replace(FILE_SUFFIX, ""));
        let mut namesakes = paths.iter().filter(|known| name(known) == name(path));
        match (namesakes.next(), namesakes.next(), path) {
            (Some(known), None, _) => Some(key(known)),
            (None, _, [kafka, name @ ..]) if kafka == "kafka" && name.len() > 1 => Some(key(&below_properties(name))),
            _ => None,
        }
    }

    fn default(&self, path: &[String]) -> Option<&Value> {
        path.iter().try_fold(&self.defaults, |value, name| value.get(name))
    }
}

/// The part of a path below the section of librdkafka's properties.
pub(crate) fn property_of(path: &[String]) -> Option<&[String]> {
    let mut names = path.iter();
    let is_below = PROPERTIES.split('.').all(|section| names.next().is_some_and(|name| name == section));
    is_below.then_some(names.as_slice())
}

/// The path of a property from the parts of its name.
fn below_properties(name: &[String]) -> Vec<String> {
    PROPERTIES.split('.').map(str::to_owned).chain(name.iter().cloned()).collect()
}

/// A path as it is written: `engine.workers`. What would be taken for something else is in quotes, but for a property's dots.
pub(crate) fn key(path: &[String]) -> String {
    let dots = property_of(path).is_some();
    let is_bare = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let write = |name: &String| {
        let needs_no_quotes = if dots { name.split('.').all(is_bare) } else { is_bare(name) };
        if needs_no_quotes { name.clone() } else { format!("{name:?}") }
    };
    path.iter().map(write).collect::<Vec<_>>().join(".")
}

/// The settings of a tree with their paths, in the order of the paths.
pub(crate) fn leaves(tree: &Value) -> Vec<(Vec<String>, &Value)> {
    let mut open = vec![(Vec::new(), tree)];
    let mut leaves = Vec::new();
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(fields) => {
                open.extend(
                    fields.iter().map(|(name, value)| ([&path[..], std::slice::from_ref(name)].concat(), value)),
                );
            }
            _ => leaves.push((path, value)),
        }
    }
    leaves.sort_by(|one, other| one.0.cmp(&other.0));
    leaves
}
