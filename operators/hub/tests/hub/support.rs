//! What the tests share: a model on a server, and a cache.

use crate::server::Server;
use std::path::{Path, PathBuf};
use stillroom_hub::{Base, Download, Hub, HubConfig, HubError};
use tempfile::TempDir;

/// The weights of the model: more than is read at once.
pub(crate) const WEIGHTS: usize = 200_000;

/// A model that the hub has, and an empty cache.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) config: HubConfig,
    folder: TempDir,
}

impl Site {
    /// With files of these names.
    pub(crate) fn with(files: &[&str]) -> Site {
        let bytes = |file: &str| match file.rsplit_once('.') {
            Some((_, "safetensors" | "bin")) => (0..WEIGHTS).map(|index| (index * 31 % 251) as u8).collect(),
            _ => format!("the bytes of {file}").into_bytes(),
        };
        let server = Server::start("made/up", files.iter().map(|file| ((*file).to_owned(), bytes(file))));
        let folder = tempfile::tempdir().unwrap();
        let cache = Some(folder.path().join("hub"));
        Site { config: HubConfig { endpoint: server.url(), cache, ..HubConfig::default() }, server, folder }
    }

    /// With all that a base needs.
    pub(crate) fn new() -> Site {
        Site::with(&["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
    }

    /// Where a file for the test may be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn fetch(&self, name: &str) -> Result<PathBuf, HubError> {
        self.fetch_observed(name, &mut |_| {})
    }

    pub(crate) fn fetch_observed(
        &self,
        name: &str,
        observe: &mut dyn FnMut(Download<'_>),
    ) -> Result<PathBuf, HubError> {
        Hub::new(&self.config)?.folder(&Base::parse(name)?, observe)
    }

    /// Has the server demand a token, which is in the file that the settings name.
    pub(crate) fn demand(&mut self, token: &str) {
        let path = self.path("token");
        std::fs::write(&path, format!("{token}\n")).unwrap();
        self.config.token_file = Some(path);
        self.server.state().token = Some("hf_secret".to_owned());
    }

    /// That a folder has what the server has.
    pub(crate) fn assert_whole(&self, folder: &Path) {
        let state = self.server.state();
        let names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), state.files.len(), "{names:?}");
        for (file, bytes) in &state.files {
            assert!(std::fs::read(folder.join(file)).unwrap() == *bytes, "{file}");
        }
    }

    /// The requests since the last call, as `METHOD path`, without those for the way between.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.server.state().requests);
        requests.into_iter().map(|request| request.line).collect()
    }
}
