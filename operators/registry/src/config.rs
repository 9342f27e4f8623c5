//! The registry's part of the configuration.

use crate::RegistryError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the schema registry is and how it is used. Every field has a default; unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// The registry's base URL, or several, separated by commas and tried in order; empty for no registry. User and password do
    /// not belong here. Default empty. Example: `url = "https://one:8081,https://two:8081"`.
    pub url: String,
    /// How extractions and quality figures are written: `avro` or `json_schema`. What is read may be either. Default `avro`.
    pub format: Format,
    /// Whether a schema that the registry lacks is registered at the start, under the topic's name with `-value` added. Default
    /// false.
    pub auto_register: bool,
    /// The user, for basic authentication; needs `password_file`. Default none. Example: `user = "stillroom"`.
    pub user: Option<String>,
    /// The file that holds the user's password; it is read at the start, and a newline at its end is cut off. Default none.
    /// Example: `password_file = "/run/secrets/registry"`.
    pub password_file: Option<PathBuf>,
    /// A file of certificates in PEM, trusted in addition to the system's. Default none. Example: `ca_location = "ca.pem"`.
    pub ca_location: Option<PathBuf>,
    /// Milliseconds that one request may take, 1 to 600000. Default 5000.
    pub timeout_ms: u64,
    /// Whether a value that does not begin with a zero byte is taken as plain JSON; otherwise it is a dead letter. Default false.
    pub accept_plain: bool,
}

/// In what the datum of a framed value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The binary encoding of Avro.
    #[default]
    Avro,
    /// JSON, described by a JSON Schema.
    JsonSchema,
}

impl Default for RegistryConfig {
    fn default() -> RegistryConfig {
        RegistryConfig {
            url: String::new(),
            format: Format::Avro,
            auto_register: false,
            user: None,
            password_file: None,
            ca_location: None,
            timeout_ms: 5000,
            accept_plain: false,
        }
    }
}

impl RegistryConfig {
    /// Refuses values outside their ranges, and a user without a password.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn check(&self) -> Result<(), RegistryError> {
        let timeout_ms = self.timeout_ms;
        if !(1..=600_000).contains(&timeout_ms) {
            return Err(RegistryError::Config(format!("timeout_ms is {timeout_ms}; choose a value from 1 to 600000")));
        }
        match (&self.user, &self.password_file) {
            (Some(_), None) => Err(RegistryError::Config("user is set, but password_file is not; set both".to_owned())),
            (None, Some(_)) => Err(RegistryError::Config("password_file is set, but user is not; set both".to_owned())),
            _ => Ok(()),
        }
    }

    /// The password in `password_file`, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_password(&self) -> Result<Option<String>, RegistryError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let bytes = read_file("password_file", path)?;
        let text = String::from_utf8(bytes).map_err(|_| RegistryError::NotUtf8 { path: path.clone() })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }

    /// The time that one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// The file that `field` of the configuration names.
pub(crate) fn read_file(field: &'static str, path: &Path) -> Result<Vec<u8>, RegistryError> {
    std::fs::read(path).map_err(|source| RegistryError::File { field, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = match toml::from_str::<RegistryConfig>(text) {
            Ok(config) => config.check().and(config.read_password()).unwrap_err().to_string(),
            Err(error) => error.message().to_owned(),
        };
        assert!(error.contains(expected), "{text}: {error}");
    }

    #[test]
    fn defaults_hold_and_round_trip() {
        RegistryConfig::default().check().unwrap();
        let text = toml::to_string(&RegistryConfig::default()).unwrap();
        assert_eq!(toml::from_str::<RegistryConfig>(&text).unwrap(), RegistryConfig::default());
        assert_eq!(toml::from_str::<RegistryConfig>("").unwrap(), RegistryConfig::default());
        assert_eq!(toml::from_str::<RegistryConfig>("format = 'json_schema'").unwrap().format, Format::JsonSchema);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        check("timeout_ms = 0", "timeout_ms is 0; choose a value from 1 to 600000");
        check("password = 'x'", "unknown field `password`");
        check("user = 'u'", "user is set, but password_file is not; set both");
        check("password_file = 'p'", "password_file is set, but user is not; set both");
        check("user = 'u'\npassword_file = '/nonexistent/p'", "cannot read /nonexistent/p, which password_file names");
    }

    #[test]
    fn one_newline_is_cut_off_a_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let config = RegistryConfig { password_file: Some(path.clone()), ..RegistryConfig::default() };
        for (text, expected) in [("a b", "a b"), ("a \n", "a "), ("a\r\n", "a"), ("a\n\n", "a\n")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(config.read_password().unwrap().as_deref(), Some(expected));
        }
    }
}
