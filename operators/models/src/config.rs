//! The registry's part of the configuration.

use crate::ModelsError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the address of a bucket begins with.
const BUCKET_SCHEME: &str = "s3://";

/// Where students are kept. Every field has a default; unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// The registry: a folder, which the first student that is added makes, or a bucket of S3 or of what speaks as it does, with or
    /// without a prefix. Default `stillroom-models`. Example: `registry = "s3://models/stillroom"`.
    pub registry: String,
    /// The folder where students of a bucket are kept on this machine. Default `stillroom-models-cache`.
    pub cache: PathBuf,
    /// The most that the cache holds, in bytes: before a student is fetched, those that were used least lately go. One that is being
    /// fetched, and those that the same command has fetched before, stay whatever their size. Default 21474836480, which is 20 GiB.
    pub cache_bytes_max: u64,
    /// The endpoint of the bucket's server. Default none, that of AWS in the region. Example: `endpoint = "https://minio:9000"`.
    pub endpoint: Option<String>,
    /// The region of the bucket. Default `us-east-1`, which most servers other than AWS's expect.
    pub region: String,
    /// Whether the endpoint may be plain http, where files go in clear; keys never do. Default false.
    pub allow_http: bool,
    /// The file that holds the id of the access key; needs `secret_access_key_file`. Blanks around it are cut off. Default none: what
    /// AWS's own tools use too, which is `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the environment, a
    /// web identity, a container's role, or the machine's. Example: `access_key_id_file = "/run/secrets/s3-id"`.
    pub access_key_id_file: Option<PathBuf>,
    /// The file that holds the secret of the access key; needs `access_key_id_file`. Blanks around it are cut off. Default none.
    /// Example: `secret_access_key_file = "/run/secrets/s3-secret"`.
    pub secret_access_key_file: Option<PathBuf>,
}

impl Default for ModelsConfig {
    fn default() -> ModelsConfig {
        ModelsConfig {
            registry: "stillroom-models".into(),
            cache: "stillroom-models-cache".into(),
            cache_bytes_max: 20 << 30,
            endpoint: None,
            region: "us-east-1".into(),
            allow_http: false,
            access_key_id_file: None,
            secret_access_key_file: None,
        }
    }
}

/// Where a registry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// In a folder.
    Folder(&'a Path),
    /// In a bucket, below a prefix, which may be empty.
    Bucket(&'a str, &'a str),
}

/// What requests are signed with.
pub(crate) struct Keys {
    /// The access key's id.
    pub(crate) id: String,
    /// Its secret.
    pub(crate) secret: String,
}

impl ModelsConfig {
    /// Refuses a registry that is neither a folder nor a bucket, an endpoint that is none, and half a key.
    ///
    /// # Errors
    /// Names the field, its value and the remedy, and never what may be a password.
    pub fn check(&self) -> Result<(), ModelsError> {
        self.place()?;
        if self.cache.as_os_str().is_empty() {
            return refuse("cache", "is empty; name a folder".to_owned());
        }
        if self.cache_bytes_max == 0 {
            return refuse("cache_bytes_max", "is 0, and no student fits; give bytes for several students".to_owned());
        }
        if self.region.trim().is_empty() {
            return refuse("region", "is empty; name a region such as us-east-1".to_owned());
        }
        self.check_endpoint()?;
        match (&self.access_key_id_file, &self.secret_access_key_file) {
            (Some(_), None) => refuse(
                "access_key_id_file",
                "is set, but secret_access_key_file is not; set both, or none of them".to_owned(),
            ),
            (None, Some(_)) => refuse(
                "secret_access_key_file",
                "is set, but access_key_id_file is not; set both, or none of them".to_owned(),
            ),
            _ => Ok(()),
        }
    }

    fn check_endpoint(&self) -> Result<(), ModelsError> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let example = "give one like https://minio:9000";
        // What stands before an @ may be a password, and what follows a ? a token.
        if endpoint.contains(['@', '?', '#']) {
            let reason = format!("has a user, a query or a fragment; keys go into files: {example}");
            return refuse("endpoint", reason);
        }
        match endpoint.split_once("://") {
            Some(("http" | "https", host)) if host.trim_matches('/').is_empty() => {
                refuse("endpoint", format!("is {endpoint:?}, which names no host; {example}"))
            }
            Some(("https", _)) => Ok(()),
            Some(("http", _)) if self.allow_http => Ok(()),
            Some(("http", _)) => {
                let reason = format!("is {endpoint:?}, where students would go in clear; {example}, or set allow_http");
                refuse("endpoint", reason)
            }
            _ => refuse("endpoint", format!("is {endpoint:?}, which is no http or https URL; {example}")),
        }
    }

    /// Where the registry is.
    ///
    /// # Errors
    /// When it is neither a folder nor a bucket.
    pub(crate) fn place(&self) -> Result<Place<'_>, ModelsError> {
        let (registry, example) = (self.registry.as_str(), "name a folder, or a bucket like s3://bucket/prefix");
        if let Some(address) = registry.strip_prefix(BUCKET_SCHEME) {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            let of_letters = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            let is_part = |part: &str| !part.starts_with('.') && part.bytes().all(of_letters);
            let prefix = prefix.trim_end_matches('/');
            let is_prefix = prefix.is_empty() || prefix.split('/').all(|part| !part.is_empty() && is_part(part));
            if bucket.is_empty() || !is_part(bucket) || !is_prefix {
                let reason = format!(
                    "is {registry:?}, which is no bucket with a prefix of letters, digits and . - _ between slashes; {example}"
                );
                return refuse("registry", reason);
            }
            return Ok(Place::Bucket(bucket, prefix));
        }
        match registry {
            "" => refuse("registry", format!("is empty; {example}")),
            _ if registry.contains("://") => {
                refuse("registry", format!("is {registry:?}, which is of no known kind; {example}"))
            }
            _ => Ok(Place::Folder(Path::new(registry))),
        }
    }

    /// The access key in its files, if there are any.
    ///
    /// # Errors
    /// When a file cannot be read, or is empty.
    pub(crate) fn read_keys(&self) -> Result<Option<Keys>, ModelsError> {
        let (Some(id), Some(secret)) = (&self.access_key_id_file, &self.secret_access_key_file) else {
            return Ok(None);
        };
        Ok(Some(Keys { id: read("access_key_id_file", id)?, secret: read("secret_access_key_file", secret)? }))
    }
}

fn refuse<T>(field: &'static str, reason: String) -> Result<T, ModelsError> {
    Err(ModelsError::Setting { field, reason })
}

fn read(field: &'static str, path: &Path) -> Result<String, ModelsError> {
    let text = std::fs::read_to_string(path).map_err(ModelsError::file("read", path))?;
    match text.trim() {
        "" => refuse(field, format!("names {}, which is empty; write the key into it", path.display())),
        key => Ok(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = match toml::from_str::<ModelsConfig>(text) {
            Ok(config) => config.check().and(config.read_keys().map(|_| ())).unwrap_err().to_string(),
            Err(error) => error.message().to_owned(),
        };
        assert!(error.starts_with(expected) && !error.contains("hidden"), "{text}: {error}");
    }

    #[test]
    fn defaults_hold_and_round_trip() {
        ModelsConfig::default().check().unwrap();
        let text = toml::to_string(&ModelsConfig::default()).unwrap();
        assert_eq!(toml::from_str::<ModelsConfig>(&text).unwrap(), ModelsConfig::default());
        assert_eq!(toml::from_str::<ModelsConfig>("").unwrap(), ModelsConfig::default());
    }

    #[test]
    fn places() {
        for (registry, place) in [
            ("models", Place::Folder(Path::new("models"))),
            ("/srv/a b", Place::Folder(Path::new("/srv/a b"))),
            ("s3://models", Place::Bucket("models", "")),
            ("s3://models/", Place::Bucket("models", "")),
            ("s3://my.models/a/b_c/", Place::Bucket("my.models", "a/b_c")),
        ] {
            let config = ModelsConfig { registry: registry.to_owned(), ..ModelsConfig::default() };
            assert_eq!(config.place().unwrap(), place);
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        check("secret = 'hidden'", "unknown field `secret`");
        check("registry = ''", "registry is empty; name a folder");
        check("registry = 's3://'", "registry is \"s3://\", which is no bucket");
        check("registry = 's3:///a'", "registry is \"s3:///a\", which is no bucket");
        check("registry = 's3://b/../a'", "registry is \"s3://b/../a\", which is no bucket");
        check("registry = 's3://b//a'", "registry is \"s3://b//a\", which is no bucket");
        check("registry = 'gs://b'", "registry is \"gs://b\", which is of no known kind");
        check("cache = ''", "cache is empty; name a folder");
        check("cache_bytes_max = 0", "cache_bytes_max is 0, and no student fits");
        check("region = ' '", "region is empty; name a region");
        check("endpoint = 'minio:9000'", "endpoint is \"minio:9000\", which is no http or https URL");
        check("endpoint = 'https://'", "endpoint is \"https://\", which names no host");
        check("endpoint = 'http://minio'", "endpoint is \"http://minio\", where students would go in clear");
        check("endpoint = 'https://user:hidden@minio'", "endpoint has a user, a query or a fragment");
        check("endpoint = 'https://minio?token=hidden'", "endpoint has a user, a query or a fragment");
        check("access_key_id_file = 'i'", "access_key_id_file is set, but secret_access_key_file is not");
        check("secret_access_key_file = 's'", "secret_access_key_file is set, but access_key_id_file is not");
        let keys = "access_key_id_file = '/nonexistent/i'\nsecret_access_key_file = '/nonexistent/s'";
        check(keys, "cannot read /nonexistent/i");
        let folder = tempfile::tempdir().unwrap();
        let (id, secret) = (folder.path().join("id"), folder.path().join("secret"));
        std::fs::write(&id, "hidden").unwrap();
        std::fs::write(&secret, " \n").unwrap();
        let keys = format!("access_key_id_file = {id:?}\nsecret_access_key_file = {secret:?}");
        check(&keys, "secret_access_key_file names");
        ModelsConfig { allow_http: true, endpoint: Some("http://minio".into()), ..ModelsConfig::default() }
            .check()
            .unwrap();
    }
}
