//! A teacher as data.

use crate::TeacherError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How to talk to a teacher. Every field but `api` has a default; unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The kind of its API.
    pub api: Api,
    /// The base URL; the vendor's own by default. Azure has none: give the resource's. Example: `base = "http://localhost:8000"`.
    #[serde(default)]
    pub base: String,
    /// The model as the vendor names it, on Azure the deployment; of BioPortal the ontologies, separated by commas.
    #[serde(default)]
    pub model: String,
    /// The file that holds the key, or on Vertex AI the service account as JSON; read at the start. Absent: no key, and on Vertex AI
    /// the metadata server is asked. A token of Entra for Azure is given as `Bearer TOKEN`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// A file of instructions of its own; those that come with the program by default.
    #[serde(default)]
    pub prompt: Option<PathBuf>,
    /// The version of the API on Azure. Default `2024-10-21`.
    #[serde(default = "default_api_version")]
    pub api_version: String,
    /// The project on Vertex AI.
    #[serde(default)]
    pub project: String,
    /// The location on Vertex AI. Default `us-central1`.
    #[serde(default = "default_location")]
    pub location: String,
    /// The host of the metadata server that gives tokens for Vertex AI; by default what `GCE_METADATA_HOST` names, else Google Cloud's.
    #[serde(default)]
    pub metadata_host: String,
    /// The temperature; absent where the model takes none. The published value is 0.01.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Nucleus sampling; absent where the model takes none. The published value is 0.9.
    #[serde(default)]
    pub top_p: Option<f64>,
    /// The seed; absent where the model takes none.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Tokens of an answer at most, those of reasoning included; a longer answer is cut off and fails. Default 4096.
    #[serde(default = "default_tokens_out_max")]
    pub tokens_out_max: u64,
    /// Whether there is a system role; else the instructions go before the note. Default true.
    #[serde(default = "default_true")]
    pub has_system_role: bool,
    /// Whether the form of the answer can be prescribed; else the first JSON object of the answer is taken. Default true.
    #[serde(default = "default_true")]
    pub has_json_schema: bool,
    /// Semantic types that BioPortal looks for; all by default. Example: `semantic_types = ["T047"]`.
    #[serde(default)]
    pub semantic_types: Vec<String>,
    /// What a teacher without instructions can find. Default all tasks.
    #[serde(default = "default_tasks")]
    pub tasks: stillroom_schemas::TaskSet,
    /// Whether notes of real patients may be sent to it. Default false.
    #[serde(default)]
    pub phi_allowed: bool,
    /// Requests at once at most; fewer when it is slow or refuses. Default 8.
    #[serde(default = "default_open_max")]
    pub requests_open_max: usize,
    /// Requests a minute at most; 0 for no limit. Default 0.
    #[serde(default)]
    pub requests_a_minute_max: u64,
    /// Tokens a minute at most, read and written; 0 for no limit. Default 0.
    #[serde(default)]
    pub tokens_a_minute_max: u64,
    /// Milliseconds that one request may take. Default 60000.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Attempts at most, the first one included. Default 6.
    #[serde(default = "default_attempts")]
    pub attempts_max: u32,
}

/// The kinds of API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI's Chat Completions, and servers that speak it.
    Openai,
    /// The same on Azure.
    Azure,
    /// Gemini with an API key.
    Gemini,
    /// Gemini on Vertex AI.
    Vertex,
    /// BioPortal's annotator.
    Bioportal,
}

fn default_true() -> bool {
    true
}

fn default_api_version() -> String {
    "2024-10-21".to_owned()
}

fn default_location() -> String {
    "us-central1".to_owned()
}

fn default_tokens_out_max() -> u64 {
    4096
}

fn default_open_max() -> usize {
    8
}

fn default_timeout() -> u64 {
    60_000
}

fn default_attempts() -> u32 {
    6
}

fn default_tasks() -> stillroom_schemas::TaskSet {
    stillroom_schemas::Task::ALL.into_iter().collect()
}

/// The profiles that come with the program, by name.
const BUILT_IN: [(&str, &str); 6] = [
    ("gpt-4o", include_str!("../profiles/gpt-4o.toml")),
    ("gpt-4o-mini", include_str!("../profiles/gpt-4o-mini.toml")),
    ("o1-mini", include_str!("../profiles/o1-mini.toml")),
    ("gemini-1.5-flash", include_str!("../profiles/gemini-1.5-flash.toml")),
    ("rxnorm", include_str!("../profiles/rxnorm.toml")),
    ("snomedct", include_str!("../profiles/snomedct.toml")),
];

impl Profile {
    /// The profile of this name that comes with the program.
    pub fn built_in(name: &str) -> Option<Profile> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(toml::from_str(text).expect("a test reads every profile that comes with the program"))
    }

    /// The names of the profiles that come with the program.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The model whose price its requests have; none where they cost nothing.
    pub fn priced_model(&self) -> Option<&str> {
        (self.api != Api::Bioportal).then_some(self.model.as_str())
    }

    /// All of it that an answer depends on.
    pub fn fingerprint(&self) -> String {
        let Profile { api, base, model, temperature, top_p, seed, tokens_out_max, semantic_types, .. } = self;
        let form = (self.has_system_role, self.has_json_schema, &self.api_version, &self.project, &self.location);
        serde_json::json!([api, base, model, temperature, top_p, seed, tokens_out_max, semantic_types, form])
            .to_string()
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the profile and the field.
    pub fn check(&self, name: &str) -> Result<(), TeacherError> {
        let refuse = |reason: &str| {
            Err(TeacherError::Config { object: format!("the teacher {name}"), reason: reason.to_owned() })
        };
        match self.api {
            _ if self.model.is_empty() => refuse("has no model; name one as its vendor does"),
            Api::Azure if self.base.is_empty() => refuse("has no base; give https://RESOURCE.openai.azure.com"),
            Api::Vertex if self.project.is_empty() => refuse("has no project; name one of Google Cloud's"),
            _ if self.requests_open_max == 0 => refuse("has requests_open_max = 0; choose 1 or more"),
            _ if self.attempts_max == 0 => refuse("has attempts_max = 0; choose 1 or more"),
            _ if self.timeout_ms == 0 => refuse("has timeout_ms = 0; choose 1 or more"),
            _ if self.tokens_out_max == 0 => refuse("has tokens_out_max = 0; choose 1 or more"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_that_comes_with_the_program_can_be_used() {
        for name in Profile::built_in_names() {
            let profile = Profile::built_in(name).unwrap();
            profile.check(name).unwrap();
            assert!(!profile.phi_allowed, "{name} may not see notes of patients before its user says so");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |text: &str, expected: &str| {
            let said = match toml::from_str::<Profile>(text) {
                Ok(profile) => profile.check("mine").unwrap_err().to_string(),
                Err(error) => error.message().to_owned(),
            };
            assert!(said.contains(expected), "{text}: {said}");
        };
        check("api = 'openai'", "the teacher mine has no model");
        check("api = 'azure'\nmodel = 'm'", "has no base; give https://RESOURCE");
        check("api = 'vertex'\nmodel = 'm'", "has no project");
        check("api = 'openai'\nmodel = 'm'\nattempts_max = 0", "attempts_max = 0");
        check("api = 'openai'\ntemprature = 1", "unknown field `temprature`");
    }
}
