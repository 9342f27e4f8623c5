//! The hub's part of the configuration.

use crate::HubError;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// Where models are fetched from, and where they are kept. Every field has a default; unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HubConfig {
    /// The hub, or a mirror that speaks as it does. Default `https://huggingface.co`. Example:
    /// `endpoint = "https://mirror.example.org/huggingface"`.
    pub endpoint: String,
    /// The folder of the cache. Default that of Hugging Face's own tools: `HF_HUB_CACHE`, or `hub` below `HF_HOME`, or
    /// `~/.cache/huggingface/hub`.
    pub cache: Option<PathBuf>,
    /// The file that holds an access token, which models need that are not for all; blanks around it are cut off. It is shown to
    /// the endpoint alone, which must be https or on this machine. Default none. Example: `token_file = "/run/secrets/huggingface"`.
    pub token_file: Option<PathBuf>,
    /// Whether only the cache is used, and no request is ever made. Default false.
    pub offline: bool,
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig { endpoint: "https://huggingface.co".into(), cache: None, token_file: None, offline: false }
    }
}

impl HubConfig {
    /// Refuses an endpoint that is none, or that a token would go to in clear.
    ///
    /// # Errors
    /// Names the field, its value and the remedy, and never what may be a password.
    pub fn check(&self) -> Result<(), HubError> {
        let url = self.endpoint_url()?;
        if self.token_file.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            let reason = format!(
                "is {:?}, where the token of token_file would go in clear; give an https URL, or leave token_file out",
                shown(&self.endpoint)
            );
            return Err(HubError::Setting { field: "endpoint", reason });
        }
        Ok(())
    }

    /// The endpoint; its path ends in a slash.
    pub(crate) fn endpoint_url(&self) -> Result<Url, HubError> {
        let shown = shown(&self.endpoint);
        let refuse = |reason: String| Err(HubError::Setting { field: "endpoint", reason });
        let Ok(url) = Url::parse(&format!("{}/", self.endpoint.trim_end_matches('/'))) else {
            return refuse(format!("is {shown:?}, which is no URL; give one like https://huggingface.co"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(format!("has a user or a password for {shown}; a token goes into token_file"));
        }
        match url.scheme() {
            "http" | "https" if url.query().is_none() && url.fragment().is_none() => Ok(url),
            _ => refuse(format!(
                "is {shown:?}, which is no plain http or https URL; give one like https://huggingface.co"
            )),
        }
    }

    /// The token in `token_file`, if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, or is empty.
    pub(crate) fn read_token(&self) -> Result<Option<String>, HubError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(HubError::file("read", path))?;
        match text.trim() {
            "" => Err(HubError::Setting {
                field: "token_file",
                reason: format!("names {}, which is empty; write the token into it", path.display()),
            }),
            token => Ok(Some(token.to_owned())),
        }
    }

    /// The cache's folder; `variable` is the environment.
    ///
    /// # Errors
    /// When no folder is named and nothing says where the user's are.
    pub(crate) fn cache_folder(&self, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, HubError> {
        let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
        let below = |name: &str, path: &str| set(name).map(|folder| folder.join(path));
        self.cache
            .clone()
            .or_else(|| set("HF_HUB_CACHE"))
            .or_else(|| below("HF_HOME", "hub"))
            .or_else(|| below("XDG_CACHE_HOME", "huggingface/hub"))
            .or_else(|| below("HOME", ".cache/huggingface/hub"))
            .ok_or_else(|| HubError::Setting {
                field: "cache",
                reason: "is not set, and neither are HF_HOME and HOME; name a folder".to_owned(),
            })
    }
}

/// Whether what is sent to a URL does not leave this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An endpoint without what may be a password or a token.
fn shown(endpoint: &str) -> &str {
    let (place, rest) = endpoint.split_at(endpoint.find(['?', '#']).unwrap_or(endpoint.len()));
    match rest.contains('@') {
        // A password may have a ? in it.
        true => "(not shown)",
        false => place.rsplit('@').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = match toml::from_str::<HubConfig>(text) {
            Ok(config) => config.check().and(config.read_token()).unwrap_err().to_string(),
            Err(error) => error.message().to_owned(),
        };
        assert!(error.contains(expected) && !error.contains("secret"), "{text}: {error}");
    }

    #[test]
    fn defaults_hold_and_round_trip() {
        HubConfig::default().check().unwrap();
        let text = toml::to_string(&HubConfig::default()).unwrap();
        assert_eq!(toml::from_str::<HubConfig>(&text).unwrap(), HubConfig::default());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        check("token = 'secret'", "unknown field `token`");
        check("endpoint = 'huggingface.co'", "endpoint is \"huggingface.co\", which is no URL");
        check("endpoint = 'ftp://hub'", "endpoint is \"ftp://hub\", which is no plain http or https URL");
        check("endpoint = 'https://user:secret@hub'", "endpoint has a user or a password for hub");
        check("endpoint = 'https://hub?token=secret'", "endpoint is \"https://hub\", which is no plain");
        check("endpoint = 'https://hub#secret'", "endpoint is \"https://hub\", which is no plain");
        check("endpoint = 'https://hub?token=a@secret'", "endpoint is \"(not shown)\", which is no plain");
        check("endpoint = 'https://user:secret?secret@hub'", "endpoint is \"(not shown)\", which is no URL");
        check("token_file = '/nonexistent/t'", "cannot read /nonexistent/t");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "\n").unwrap();
        check(&format!("token_file = {path:?}"), "which is empty; write the token into it");
    }

    #[test]
    fn a_token_goes_to_https_or_to_this_machine() {
        let config = |endpoint: &str| HubConfig {
            endpoint: endpoint.to_owned(),
            token_file: Some("token".into()),
            ..HubConfig::default()
        };
        for endpoint in
            ["https://hub", "http://localhost:80", "http://127.0.0.1", "http://127.1.2.3/x", "http://[::1]:80"]
        {
            config(endpoint).check().unwrap();
        }
        for endpoint in
            ["http://hub", "http://localhost.hub", "http://10.0.0.1", "http://[::2]", "http://127.0.0.1.hub"]
        {
            let error = config(endpoint).check().unwrap_err().to_string();
            assert!(error.contains("the token of token_file would go in clear"), "{endpoint}: {error}");
            HubConfig { token_file: None, ..config(endpoint) }.check().unwrap();
        }
    }

    #[test]
    fn the_cache_is_where_hugging_face_has_it() {
        let variables = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")];
        let among = |count: usize| {
            let variable = |name: &str| {
                variables[..count].iter().find(|(known, _)| *known == name).map(|(_, value)| PathBuf::from(value))
            };
            HubConfig::default().cache_folder(variable).map(|path| path.display().to_string()).unwrap_or_default()
        };
        let expected = ["", "/h/.cache/huggingface/hub", "/x/huggingface/hub", "/f/hub", "/c"];
        assert_eq!(std::array::from_fn::<_, 5, _>(among), expected);
        let named = HubConfig { cache: Some("/mine".into()), ..HubConfig::default() };
        assert_eq!(named.cache_folder(|_| None).unwrap(), PathBuf::from("/mine"));
    }
}
