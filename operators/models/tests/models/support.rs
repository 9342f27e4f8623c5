//! Registries with students to put in.

use crate::server::{KEY_ID, SECRET, Server};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use stillroom_models::{Entry, ModelsConfig, ModelsError, NewEntry, Registry};
use stillroom_schemas::ModelId;
use tempfile::TempDir;

/// The files of the students of these tests.
pub(crate) const FILES: [&str; 5] =
    ["config.json", "golden.json", "manifest.json", "model.safetensors", "tokenizer.json"];

/// More than goes in one request.
pub(crate) const LARGE: usize = (8 << 20) + 12_345;

/// A registry, and where its files lie, whoever serves them.
pub(crate) struct Site {
    /// Names what it is, for messages of tests.
    pub(crate) kind: &'static str,
    pub(crate) config: ModelsConfig,
    pub(crate) root: PathBuf,
    pub(crate) server: Option<Server>,
    home: TempDir,
}

/// A student in a folder.
pub(crate) struct Student {
    pub(crate) folder: PathBuf,
    pub(crate) entry: NewEntry,
}

impl Site {
    /// A registry in a folder.
    pub(crate) fn folder() -> Site {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("registry");
        let config = ModelsConfig {
            registry: root.to_str().unwrap().to_owned(),
            cache: home.path().join("cache"),
            ..ModelsConfig::default()
        };
        Site { kind: "folder", config, root, server: None, home }
    }

    /// A registry in a bucket, below a prefix.
    pub(crate) fn bucket() -> Site {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("buckets/models")).unwrap();
        fs::write(at("id"), format!("{KEY_ID}\n")).unwrap();
        fs::write(at("secret"), format!("{SECRET}\n")).unwrap();
        let server = Server::start(&at("buckets"));
        let config = ModelsConfig {
            registry: "s3://models/of/mine/".to_owned(),
            cache: at("cache"),
            endpoint: Some(format!("http://{}", server.address)),
            allow_http: true,
            access_key_id_file: Some(at("id")),
            secret_access_key_file: Some(at("secret")),
            ..ModelsConfig::default()
        };
        Site { kind: "bucket", config, root: at("buckets/models/of/mine"), server: Some(server), home }
    }

    /// One of each.
    pub(crate) fn both() -> [Site; 2] {
        [Site::folder(), Site::bucket()]
    }

    pub(crate) fn open(&self) -> Registry {
        Registry::open(&self.config).unwrap()
    }

    /// A student whose weights are `bytes` long and begin with its name.
    pub(crate) fn student(&self, name: &str, bytes: usize) -> Student {
        let folder = self.home.path().join("students").join(name);
        fs::create_dir_all(&folder).unwrap();
        for file in FILES {
            fs::write(folder.join(file), format!("{file} of {name}")).unwrap();
        }
        let mut weights: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
        weights[..name.len()].copy_from_slice(name.as_bytes());
        fs::write(folder.join("model.safetensors"), &weights).unwrap();
        let weights_hash: String = Sha256::digest(&weights).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = NewEntry {
            model: ModelId(format!("{name}@{}", &weights_hash[..12])),
            weights_hash,
            parent: None,
            added_at: "2026-01-02T03:04:05Z".to_owned(),
            stillroom: "0.1.0".to_owned(),
            training: None,
        };
        Student { folder, entry }
    }

    /// Where a file of a student lies in the registry.
    pub(crate) fn stored(&self, model: &ModelId, file: &str) -> PathBuf {
        self.root.join(&model.0).join(file)
    }

    /// Where a file of a student lies in the cache.
    pub(crate) fn cached(&self, model: &ModelId, file: &str) -> PathBuf {
        self.config.cache.join(&model.0).join(file)
    }

    /// The contents of a file beside the registry.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.home.path().join(name), text).unwrap();
    }
}

impl Student {
    pub(crate) fn id(&self) -> &ModelId {
        &self.entry.model
    }

    pub(crate) fn add(&self, registry: &Registry) -> Result<Entry, ModelsError> {
        registry.add(&self.folder, &FILES.map(str::to_owned), self.entry.clone())
    }
}

/// The names of the files in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// The ids of all students of a registry, the oldest first.
pub(crate) fn listed(registry: &Registry) -> Vec<ModelId> {
    registry.list().unwrap().into_iter().map(|entry| entry.model).collect()
}

/// An error with all its causes, as a user sees it.
pub(crate) fn shown<T>(result: Result<T, ModelsError>) -> String {
    let Err(error) = result else { panic!("it should have failed") };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
