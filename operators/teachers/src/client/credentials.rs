//! What a request shows that it may be answered: a key from a file, or tokens of Vertex AI.
//!
//! A key that is refused is read again, as whoever gives keys for an hour (Entra) or rotates them writes a new one into the file; a token
//! that is refused is fetched again.

use super::attempt::key_header;
use super::vertex::{NoToken, Tokens};
use crate::{Api, Profile, TeacherError};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use std::sync::{Mutex, PoisonError};

/// A header, whose value is secret.
pub(super) type Shown = (HeaderName, HeaderValue);

/// What a teacher's requests show.
pub(super) enum Credentials {
    /// From the profile's `key_file`, if there is one.
    Key(Mutex<Option<Shown>>),
    /// Of Vertex AI, which takes no key.
    Tokens(Box<Tokens>),
}

impl Credentials {
    /// # Errors
    /// When the file of the key, or of the service account, cannot be read or holds none.
    pub(super) fn new(name: &str, profile: &Profile) -> Result<Credentials, TeacherError> {
        let secret = read_secret(name, profile)?;
        match profile.api {
            Api::Vertex => Ok(Credentials::Tokens(Box::new(Tokens::new(name, profile, secret.as_deref())?))),
            _ => Ok(Credentials::Key(Mutex::new(shown(name, profile.api, secret)?))),
        }
    }

    /// What the next request shows.
    pub(super) async fn shown(&self) -> Result<Option<Shown>, NoToken> {
        match self {
            // A key is replaced whole.
            Credentials::Key(key) => Ok(key.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            Credentials::Tokens(tokens) => Ok(Some((AUTHORIZATION, tokens.bearer().await?))),
        }
    }

    /// Whether the next request shows something else than the refused one did.
    pub(super) async fn renew(&self, name: &str, profile: &Profile, refused: Option<&Shown>) -> bool {
        match self {
            Credentials::Key(key) => {
                let read = read_secret(name, profile).and_then(|secret| shown(name, profile.api, secret));
                // A file that is being written is read when the next request is refused.
                let Ok(read) = read else { return false };
                let is_new = read.as_ref() != refused;
                *key.lock().unwrap_or_else(PoisonError::into_inner) = read;
                is_new
            }
            Credentials::Tokens(tokens) => {
                if let Some((_, refused)) = refused {
                    tokens.forget(refused).await;
                }
                true
            }
        }
    }
}

/// The key, or the service account.
fn read_secret(name: &str, profile: &Profile) -> Result<Option<String>, TeacherError> {
    let Some(path) = &profile.key_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|source| TeacherError::File { path: path.clone(), source })?;
    match text.trim() {
        "" => Err(TeacherError::Config {
            object: format!("the key_file of the teacher {name}"),
            reason: "is empty; write the key into it".to_owned(),
        }),
        key => Ok(Some(key.to_owned())),
    }
}

fn shown(name: &str, api: Api, secret: Option<String>) -> Result<Option<Shown>, TeacherError> {
    let Some((header, value)) = secret.as_deref().and_then(|key| key_header(api, key)) else { return Ok(None) };
    let mut value = HeaderValue::from_str(&value).map_err(|_| TeacherError::Config {
        object: format!("the key of the teacher {name}"),
        reason: "holds what no key holds; copy it again".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Some((HeaderName::from_static(header), value)))
}
