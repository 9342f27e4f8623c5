//! Requests to the hub: what it says of a file, and the file's bytes from where it has them.
//!
//! A large file is answered by a redirect to another host with an address that holds for a while. Each request therefore begins at
//! the hub, and redirects are followed here, one by one, so that the token goes to no other origin than the endpoint's.

use crate::cache::is_commit;
use crate::digest::Digest;
use crate::{HubConfig, HubError, ModelName};
use reqwest::blocking::{Client, Response};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Method, StatusCode, Url, redirect};
use std::time::Duration;

/// Redirects that are followed at most.
const REDIRECTS_MAX: usize = 5;

/// The time that a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The time that an answer's head, or the next bytes of its body, may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The client.
pub(crate) struct Http {
    client: Client,
    endpoint: Url,
    token: Option<HeaderValue>,
}

/// What the hub says of a file.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// The commit that the revision is.
    pub(crate) commit: String,
    /// The file's checksum.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// A part of a file's bytes.
pub(crate) struct Part {
    /// The first byte's index in the file: the one that was asked for, or 0 from a server that knows no ranges.
    pub(crate) start: u64,
    /// From there to the end.
    pub(crate) body: Response,
}

impl Http {
    pub(crate) fn new(config: &HubConfig) -> Result<Http, HubError> {
        let bearer = |token: String| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| HubError::Setting {
                field: "token_file",
                reason: "holds what no token holds; copy it again".to_owned(),
            })?;
            value.set_sensitive(true);
            Ok(value)
        };
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(READ_TIMEOUT)
            .user_agent(concat!("stillroom/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(HubError::Client)?;
        let token = config.read_token()?.map(bearer).transpose()?;
        Ok(Http { client, endpoint: config.endpoint_url()?, token })
    }

    /// The endpoint, for messages.
    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// Where a file is asked for.
    pub(crate) fn url(&self, model: &ModelName, file: &str) -> Url {
        let mut url = self.endpoint.clone();
        let mut path = url.path_segments_mut().expect("an http URL has a path");
        path.pop_if_empty().extend(model.id.split('/')).push("resolve").push(&model.revision).push(file);
        drop(path);
        url
    }

    /// What the hub says of a file; nothing when the model does not have it.
    pub(crate) fn describe(&self, model: &ModelName, file: &str) -> Result<Option<Described>, HubError> {
        let asked = self.url(model, file);
        let (mut url, mut commit) = (asked.clone(), None);
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.send(Method::HEAD, &url, None)?;
            let (status, headers) = (answer.status(), answer.headers());
            commit = text(headers, "x-repo-commit").map(str::to_owned).or(commit);
            let not_a_hub = |reason| HubError::NotAHub { url: shown(&asked), status: status.as_u16(), reason };
            let is_described = headers.contains_key("x-linked-etag");
            match location(&url, &answer) {
                // What the hub says of a large file comes with the redirect to it, and not with its answer.
                Some(next) if !is_described && is_same_origin(&url, &next) => url = next,
                Some(_) if !is_described => return Err(not_a_hub("it says nothing of the file")),
                None if status == StatusCode::NOT_FOUND => return self.not_found(model, file, headers),
                None if !status.is_success() => return Err(self.refusal(&asked, &answer)),
                _ => {
                    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str()));
                    let size = text(headers, "x-linked-size").or_else(|| text(headers, CONTENT_LENGTH.as_str()));
                    let commit = commit.filter(|commit| is_commit(commit));
                    let commit = commit.ok_or_else(|| not_a_hub("it names no commit"))?;
                    if is_commit(&model.revision) && commit != model.revision {
                        return Err(not_a_hub("it describes another commit than was asked for"));
                    }
                    return Ok(Some(Described {
                        commit,
                        digest: etag.and_then(Digest::parse).ok_or_else(|| not_a_hub("it gives no checksum"))?,
                        size: size.and_then(|size| size.parse().ok()).ok_or_else(|| not_a_hub("it gives no size"))?,
                    }));
                }
            }
        }
        Err(HubError::NotAHub { url: shown(&asked), status: 302, reason: "it redirects on and on" })
    }

    /// The bytes of a file from `start` on.
    pub(crate) fn part(&self, model: &ModelName, file: &str, start: u64) -> Result<Part, HubError> {
        let asked = self.url(model, file);
        let mut url = asked.clone();
        for _ in 0..=REDIRECTS_MAX {
            let body = self.send(Method::GET, &url, Some(start).filter(|start| *start > 0))?;
            match (location(&url, &body), body.status()) {
                (Some(next), _) => url = next,
                (None, StatusCode::PARTIAL_CONTENT) => {
                    let range = text(body.headers(), CONTENT_RANGE.as_str()).unwrap_or_default();
                    if !range.starts_with(&format!("bytes {start}-")) {
                        let reason = "it sends another range than was asked for";
                        return Err(HubError::NotAHub { url: shown(&asked), status: 206, reason });
                    }
                    return Ok(Part { start, body });
                }
                (None, status) if status.is_success() => return Ok(Part { start: 0, body }),
                _ => return Err(self.refusal(&asked, &body)),
            }
        }
        Err(HubError::NotAHub { url: shown(&asked), status: 302, reason: "it redirects on and on" })
    }

    fn send(&self, method: Method, url: &Url, start: Option<u64>) -> Result<Response, HubError> {
        // What is compressed on its way has neither the size nor the ranges that were announced.
        let mut call = self.client.request(method, url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token.as_ref().filter(|_| is_same_origin(&self.endpoint, url)) {
            call = call.header(AUTHORIZATION, token);
        }
        if let Some(start) = start {
            call = call.header(RANGE, format!("bytes={start}-"));
        }
        let answer = call.send();
        answer.map_err(|error| HubError::Unreachable { url: shown(url), source: error.without_url().into() })
    }

    /// A file that is not there, unless it is the model that is not there.
    fn not_found(&self, model: &ModelName, file: &str, headers: &HeaderMap) -> Result<Option<Described>, HubError> {
        match text(headers, "x-error-code") {
            Some("RepoNotFound" | "RevisionNotFound") => Err(self.no_model(model)),
            // A mirror may not say what is not there. Without a configuration it would be no model.
            None if file == "config.json" => Err(self.no_model(model)),
            _ => Ok(None),
        }
    }

    fn no_model(&self, model: &ModelName) -> HubError {
        HubError::NoModel { endpoint: self.endpoint().to_owned(), model: model.to_string() }
    }

    /// What an answer says that is neither a file nor the lack of one.
    fn refusal(&self, asked: &Url, answer: &Response) -> HubError {
        let (url, code) = (shown(asked), answer.status());
        let status = code.as_u16();
        match code {
            StatusCode::UNAUTHORIZED if self.token.is_none() => {
                let remedy = "the hub has no such model, or shows it only with a token: correct the name, or name a file with a \
                              token as hub.token_file";
                HubError::Denied { url, status, remedy }
            }
            StatusCode::UNAUTHORIZED => {
                let remedy = "the token in hub.token_file is not taken, or there is no such model: correct either";
                HubError::Denied { url, status, remedy }
            }
            StatusCode::FORBIDDEN => {
                let remedy = "access must be granted: accept the model's terms on its page, and name a file with a token of that \
                              account as hub.token_file";
                HubError::Denied { url, status, remedy }
            }
            _ if code.is_server_error()
                || matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) =>
            {
                let retry_after_s = text(answer.headers(), RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
                HubError::Unwell { url, status, retry_after_s }
            }
            _ => HubError::NotAHub { url, status, reason: "it refuses to send the file" },
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where an answer redirects to.
fn location(url: &Url, answer: &Response) -> Option<Url> {
    let is_redirect = answer.status().is_redirection();
    is_redirect.then(|| text(answer.headers(), LOCATION.as_str()).and_then(|to| url.join(to).ok())).flatten()
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// A URL without its query, which may be a signature that opens the file to all.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}
