//! Gemini on Vertex AI: tokens of a service account and of the metadata server.

use crate::gemini::generate;
use crate::server::{Say, Seen, Server};
use crate::till::{Till, ask, quick};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::OnceLock;
use stillroom_teachers::{Client, TeacherError, Usage};

const VERTEX: &str = "api = 'vertex'\nmodel = 'flash'\nproject = 'p'\n";
const MODEL: &str = "/v1/projects/p/locations/us-central1/publishers/google/models/flash:generateContent";
const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Gives the tokens `token-0`, `token-1` … by the index of the request, and answers whoever shows one that it takes.
fn serve(seen: &Seen, spent: &mut Usage, lifetime: u64, takes: impl Fn(&str) -> bool) -> Say {
    if seen.path != MODEL {
        let token =
            json!({ "access_token": format!("token-{}", seen.index), "expires_in": lifetime, "token_type": "Bearer" });
        return Say::This(200, String::new(), token.to_string());
    }
    match seen.header("authorization") {
        Some(token) if takes(token) => generate(seen, spent),
        _ => {
            spent.requests += 1;
            Say::This(401, String::new(), String::new())
        }
    }
}

fn with_account(server: &Server, account: &Value) -> Result<Client, TeacherError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), account.to_string()).unwrap();
    let path = file.path().display();
    let profile = toml::from_str(&format!("{VERTEX}base = '{}'\nkey_file = '{path}'", server.base)).unwrap();
    Client::new("mine", profile).map(|client| client.with_waits(quick()))
}

fn with_metadata(server: &Server) -> Client {
    let host = server.base.strip_prefix("http://").unwrap();
    let profile = toml::from_str(&format!("{VERTEX}base = '{}'\nmetadata_host = '{host}'", server.base)).unwrap();
    Client::new("mine", profile).unwrap().with_waits(quick())
}

fn account(server: &Server) -> Value {
    json!({ "type": "service_account", "client_email": "me@p.iam", "private_key_id": "k1", "private_key": keys().0,
            "token_uri": format!("{}/token", server.base) })
}

fn paths(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|seen| seen.path).collect()
}

#[tokio::test]
async fn a_service_account_signs_for_a_token_that_is_kept() {
    let server = Server::start(|seen, spent| serve(seen, spent, 3600, |token| token == "Bearer token-0")).await;
    let client = with_account(&server, &account(&server)).unwrap();
    let till = Till::default();
    for _ in 0..3 {
        assert!(ask(&client, &till).await.outcome.is_ok());
    }
    assert_eq!(paths(&server), ["/token", MODEL, MODEL, MODEL]);
    assert_eq!(till.books().spent, server.spent());

    let form = server.seen()[0].form();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[format!("{}/token", server.base)]);
    validation.set_issuer(&["me@p.iam"]);
    let key = DecodingKey::from_rsa_pem(keys().1.as_bytes()).unwrap();
    let claims = jsonwebtoken::decode::<Value>(&form["assertion"], &key, &validation).unwrap();
    assert_eq!(claims.header.kid.as_deref(), Some("k1"));
    assert_eq!(claims.claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
}

#[tokio::test]
async fn the_metadata_server_gives_tokens_that_are_replaced_when_they_expire() {
    let server = Server::start(|seen, spent| serve(seen, spent, 0, |_| true)).await;
    let client = with_metadata(&server);
    for _ in 0..2 {
        assert!(ask(&client, &Till::default()).await.outcome.is_ok());
    }
    assert_eq!(paths(&server), [METADATA, MODEL, METADATA, MODEL]);
    assert_eq!(server.seen()[0].header("metadata-flavor"), Some("Google"));
    assert_eq!(server.seen()[3].header("authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_replaced_once() {
    let server = Server::start(|seen, spent| serve(seen, spent, 3600, |token| token != "Bearer token-0")).await;
    let client = with_metadata(&server);
    assert!(ask(&client, &Till::default()).await.outcome.is_ok());
    assert_eq!(paths(&server), [METADATA, MODEL, METADATA, MODEL]);
    let server = Server::start(|seen, spent| serve(seen, spent, 3600, |_| false)).await;
    let client = with_metadata(&server);
    assert!(matches!(ask(&client, &Till::default()).await.outcome, Err(TeacherError::Denied { status: 401, .. })));
    assert_eq!(paths(&server), [METADATA, MODEL, METADATA, MODEL]);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked_or_paid() {
    for (status, requests, expected) in [
        (403, 1, "mine does not take the key (403)"),
        (503, 6, "mine gave no answer after 6 attempts (no access token, status 503)"),
    ] {
        let server = Server::saying(status, "", "").await;
        let asked = ask(&with_metadata(&server), &Till::of(0)).await;
        let said = asked.outcome.unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((server.requests(), asked.usage), (requests, Usage::default()));
    }
}

#[tokio::test]
async fn an_account_that_is_none_is_refused_at_the_start() {
    let server = Server::start(|_, _| Say::Hang).await;
    let mut broken = account(&server);
    broken["private_key"] = json!("secret");
    let said = with_account(&server, &broken).unwrap_err().to_string();
    assert!(said.starts_with("the service account of the teacher mine has a private_key that is no RSA key"), "{said}");
    let said = with_account(&server, &json!({})).unwrap_err().to_string();
    assert!(said.starts_with("the service account of the teacher mine is not JSON with client_email"), "{said}");
}

/// A private and a public key in PEM, made by openssl once a run.
fn keys() -> &'static (String, String) {
    static KEYS: OnceLock<(String, String)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let openssl = |arguments: &[&str]| {
            let made =
                Command::new("openssl").args(arguments).arg(&path).output().expect("openssl is installed by ./test");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            String::from_utf8(made.stdout).unwrap()
        };
        openssl(&["genpkey", "-algorithm", "RSA", "-out"]);
        let public = openssl(&["pkey", "-pubout", "-in"]);
        (std::fs::read_to_string(&path).unwrap(), public)
    })
}
