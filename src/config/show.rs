//! `stillroom config show`: a configuration as text, with secrets masked.

use crate::config::Loaded;
use crate::config::known::{key, leaves};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;

impl Loaded {
    /// The configuration in TOML, defaults included, as [`Config::load`](crate::config::Config::load) reads it. Secrets are
    /// masked, and refused when they are read back.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub(crate) fn show(&self) -> Result<String> {
        toml::to_string_pretty(&self.config).context("the configuration cannot be written as TOML")
    }

    /// A line for every setting, in the order of their paths: `engine.workers = 4    # stillroom.toml`. This is TOML as well.
    ///
    /// # Errors
    /// When a path is not UTF-8.
    pub(crate) fn show_origins(&self) -> Result<String> {
        let tree = serde_json::to_value(&self.config).context("the configuration cannot be written")?;
        let mut lines = String::new();
        for (path, value) in leaves(&tree) {
            let key = key(&path);
            let origin = self.origins.of(&key);
            match value {
                Value::Null => writeln!(lines, "# {key} is not set    # {origin}")?,
                value => writeln!(lines, "{key} = {}    # {origin}", line(value)?)?,
            }
        }
        Ok(lines)
    }
}

/// A value in TOML on one line.
fn line(value: &Value) -> Result<String> {
    // TOML would spread a certificate over its lines; JSON's escapes are TOML's too.
    if let Value::String(text) = value {
        return serde_json::to_string(text).context("a text cannot be written");
    }
    Ok(toml::Value::try_from(without_nulls(value)).context("a value cannot be written as TOML")?.to_string())
}

/// The same without fields that have no value, as in the tables of a list: TOML has no word for that.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Object(fields) => {
            let with_value = fields.iter().filter(|(_, value)| !value.is_null());
            with_value.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        value => value.clone(),
    }
}
