//! Access tokens for Vertex AI: from a service account or from the metadata server of Google Cloud, kept until shortly before they expire.
//!
//! Formats: <https://developers.google.com/identity/protocols/oauth2/service-account#httprest> and
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>.

use crate::{Profile, TeacherError};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// What the token may do; the only scope that Vertex AI knows.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The metadata server, where neither the profile nor `GCE_METADATA_HOST` names another.
const METADATA_HOST: &str = "metadata.google.internal";

/// How long an assertion holds at most.
const ASSERTION_SECONDS: u64 = 3600;

/// A token that expires within this time is replaced, so that none expires on its way.
const MARGIN_MAX: Duration = Duration::from_secs(300);

/// The longest that a token is used; Google's own hold for an hour, or by policy for twelve.
const LIFETIME_BELIEVED_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Where tokens come from, and the one in use.
pub(super) struct Tokens {
    source: Source,
    http: reqwest::Client,
    /// Held while a token is fetched, so that one request fetches it for all.
    cached: tokio::sync::Mutex<Option<Token>>,
}

enum Source {
    Account { account: Account, key: EncodingKey },
    Metadata { url: String },
}

struct Token {
    bearer: HeaderValue,
    until: Instant,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum NoToken {
    /// It will not be given.
    Denied { status: u16 },
    /// It may be given later.
    Later { reason: String },
}

/// What a file of a service account says of it.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    #[serde(default)]
    private_key_id: Option<String>,
    private_key: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl Tokens {
    /// Tokens from the account that `secret` is, else from the metadata server.
    pub(super) fn new(name: &str, profile: &Profile, secret: Option<&str>) -> Result<Tokens, TeacherError> {
        let refuse = |reason: &str| TeacherError::Config {
            object: format!("the service account of the teacher {name}"),
            reason: reason.to_owned(),
        };
        let timeout = Duration::from_millis(profile.timeout_ms);
        let http = reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none());
        let (source, http) = match secret {
            Some(secret) => {
                let account: Account = serde_json::from_str(secret).map_err(|_| {
                    refuse("is not JSON with client_email, private_key and token_uri; download its key again")
                })?;
                let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes())
                    .map_err(|_| refuse("has a private_key that is no RSA key in PEM; download its key again"))?;
                (Source::Account { account, key }, http)
            }
            // The metadata server is a neighbour, whom no proxy knows.
            None => (Source::Metadata { url: metadata_url(profile) }, http.no_proxy()),
        };
        let http =
            http.build().map_err(|_| refuse("cannot be used, as the certificates of the system cannot be read"))?;
        Ok(Tokens { source, http, cached: tokio::sync::Mutex::default() })
    }

    /// The value of `Authorization`.
    pub(super) async fn bearer(&self) -> Result<HeaderValue, NoToken> {
        let mut cached = self.cached.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.bearer.clone());
        }
        let token = self.fetch().await?;
        let bearer = token.bearer.clone();
        *cached = Some(token);
        Ok(bearer)
    }

    /// Forgets a token that was not taken, unless another has taken its place.
    pub(super) async fn forget(&self, refused: &HeaderValue) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|token| token.bearer == *refused) {
            *cached = None;
        }
    }

    async fn fetch(&self) -> Result<Token, NoToken> {
        let later = |reason: &str| NoToken::Later { reason: reason.to_owned() };
        let request = match &self.source {
            Source::Account { account, key } => {
                let assertion = assertion(account, key).map_err(|_| later("the access token cannot be asked for"))?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                self.http.post(&account.token_uri).form(&[("grant_type", grant), ("assertion", &assertion)])
            }
            Source::Metadata { url } => self.http.get(url).header("Metadata-Flavor", "Google"),
        };
        let response = request.send().await.map_err(|_| later("no access token, as its server does not answer"))?;
        let status = response.status().as_u16();
        match status {
            200 => {}
            408 | 429 | 500.. => return Err(later(&format!("no access token, status {status}"))),
            _ => return Err(NoToken::Denied { status }),
        }
        let granted: Granted =
            response.json().await.map_err(|_| later("no access token in what its server answers"))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", granted.access_token))
            .map_err(|_| later("the access token is not one"))?;
        bearer.set_sensitive(true);
        let lifetime = Duration::from_secs(granted.expires_in).min(LIFETIME_BELIEVED_MAX);
        Ok(Token { bearer, until: Instant::now() + lifetime - MARGIN_MAX.min(lifetime / 2) })
    }
}

fn metadata_url(profile: &Profile) -> String {
    let host = match profile.metadata_host.as_str() {
        "" => std::env::var("GCE_METADATA_HOST").unwrap_or_else(|_| METADATA_HOST.to_owned()),
        host => host.to_owned(),
    };
    format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token")
}

fn assertion(account: &Account, key: &EncodingKey) -> Result<String, jsonwebtoken::errors::Error> {
    let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims =
        Claims { iss: &account.client_email, scope: SCOPE, aud: &account.token_uri, iat, exp: iat + ASSERTION_SECONDS };
    let header = Header { kid: account.private_key_id.clone(), ..Header::new(Algorithm::RS256) };
    jsonwebtoken::encode(&header, &claims, key)
}
