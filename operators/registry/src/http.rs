//! One request to a schema registry, at one of its URLs.

use crate::config::read_file;
use crate::{RegistryConfig, RegistryError};
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read;
use std::time::Duration;

/// The first pause between two tries; each that follows is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Characters of the registry's own words in an error at most.
const MESSAGE_CHARS_MAX: usize = 300;

/// What the API is spoken in.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How often every URL is tried at most when nothing can go on without an answer.
pub(crate) const TRIES_MAX: u32 = 4;

/// The client.
pub(crate) struct Http {
    client: Client,
    urls: Vec<Url>,
    user: Option<String>,
    password: Option<String>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// Below the base URL.
    pub(crate) path: &'a [&'a str],
    /// A GET if there is none, else a POST.
    pub(crate) body: Option<Value>,
    /// How often every URL is tried.
    pub(crate) tries: u32,
}

/// What the registry says when it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error_code: u32,
    message: String,
}

impl Http {
    pub(crate) fn new(config: &RegistryConfig, password: Option<String>) -> Result<Http, RegistryError> {
        let urls = config.url.split(',').map(|url| parse(url.trim())).collect::<Result<_, _>>()?;
        let mut client = Client::builder().timeout(config.timeout());
        if let Some(path) = &config.ca_location {
            let bundle = Certificate::from_pem_bundle(&read_file("ca_location", path)?);
            let bundle = bundle.map_err(|source| RegistryError::Certificates { path: path.clone(), source })?;
            client = bundle.into_iter().fold(client, |client, certificate| client.add_root_certificate(certificate));
        }
        let client = client.build().map_err(RegistryError::Client)?;
        Ok(Http { client, urls, user: config.user.clone(), password })
    }

    /// The base URLs, for messages.
    pub(crate) fn urls(&self) -> String {
        self.urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",")
    }

    /// The answer; none when the registry says that it has no such subject, version or schema.
    pub(crate) fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<Option<T>, RegistryError> {
        let mut backoff = BACKOFF_MIN;
        for _ in 1..request.tries {
            match self.call_each(request) {
                Err(error) if error.is_transient() => {}
                decided => return decided,
            }
            // The registry has no way to say when it is well again.
            std::thread::sleep(backoff);
            backoff *= 2;
        }
        self.call_each(request)
    }

    /// Asks at one URL after the other until one is well.
    fn call_each<T: DeserializeOwned>(&self, request: &Request) -> Result<Option<T>, RegistryError> {
        let (last, others) = self.urls.split_last().expect("a split gives at least one part");
        for url in others {
            match self.call_at(url, request) {
                Err(error) if error.is_transient() => {}
                decided => return decided,
            }
        }
        self.call_at(last, request)
    }

    fn call_at<T: DeserializeOwned>(&self, base: &Url, request: &Request) -> Result<Option<T>, RegistryError> {
        let mut url = base.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(request.path);
        let mut call = match &request.body {
            None => self.client.get(url.clone()),
            Some(body) => self.client.post(url.clone()).header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_string()),
        };
        if let Some(user) = &self.user {
            call = call.basic_auth(user, self.password.as_ref());
        }
        let url = url.to_string();
        let sent = call.header(ACCEPT, MEDIA_TYPE).send();
        match sent {
            Ok(response) => self.answer(url, response),
            Err(source) => Err(RegistryError::Unreachable { url, source: source.without_url().into() }),
        }
    }

    fn answer<T: DeserializeOwned>(&self, url: String, response: Response) -> Result<Option<T>, RegistryError> {
        let code = response.status();
        let status = code.as_u16();
        let mut body = Vec::new();
        if let Err(source) = response.take(ANSWER_BYTES_MAX).read_to_end(&mut body) {
            return Err(RegistryError::Unreachable { url, source: source.into() });
        }
        if code.is_success() {
            return serde_json::from_slice(&body).map(Some).map_err(|_| RegistryError::NotARegistry { url });
        }
        if code.is_server_error() || code == StatusCode::TOO_MANY_REQUESTS {
            return Err(RegistryError::Unwell { url, status });
        }
        if matches!(code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let user =
                self.user.as_ref().map_or("nobody (no user is set)".to_owned(), |user| format!("the user {user}"));
            return Err(RegistryError::Denied { url, status, user });
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        match refusal.error_code {
            // No such subject, version or schema.
            40401..=40403 => Ok(None),
            0 | 404 => Err(RegistryError::NotARegistry { url }),
            _ => {
                let message = refusal.message.chars().take(MESSAGE_CHARS_MAX).collect();
                Err(RegistryError::Refused { url, status, message })
            }
        }
    }
}

impl RegistryError {
    /// Whether the same request may be answered later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, RegistryError::Unreachable { .. } | RegistryError::Unwell { .. })
    }
}

fn parse(text: &str) -> Result<Url, RegistryError> {
    // What stands before an @ may be a password, and what cannot be parsed is shown.
    let shown = || text.rsplit('@').next().unwrap_or_default().to_owned();
    let url = Url::parse(text).map_err(|_| RegistryError::Url { url: shown() })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RegistryError::UrlHasUser { host: url.host_str().unwrap_or_default().to_owned() });
    }
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(RegistryError::Url { url: shown() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let config = RegistryConfig { url: url.to_owned(), ..RegistryConfig::default() };
        let shown = match Http::new(&config, None) {
            Ok(http) => http.urls(),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expected) && !shown.contains("secret"), "{url}: {shown}");
    }

    #[test]
    fn urls() {
        check("http://one:8081, https://two/base/", "http://one:8081/,https://two/base/");
        check("", "url has \"\", which is no http or https URL");
        check("localhost:8081", "url has \"localhost:8081\", which is no http or https URL");
        check("http://one,", "url has \"\"");
        check("http://user:secret@one:8081", "url has a user or a password for one");
        check("user:secret@one", "url has \"one\"");
    }

    #[test]
    fn certificates() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let url = "https://one".to_owned();
        let config = RegistryConfig { url, ca_location: Some(path.clone()), ..RegistryConfig::default() };
        let error = Http::new(&config, None).err().unwrap().to_string();
        assert!(error.contains("ca.pem, which ca_location names"), "{error}");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        let error = Http::new(&config, None).err().unwrap().to_string();
        assert!(error.contains("holds no certificates in PEM"), "{error}");
    }
}
