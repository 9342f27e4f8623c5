//! From a base to its folder: out of the cache, or by downloads into it.

use crate::cache::{Cached, Snapshot};
use crate::http::{Described, Http};
use crate::{Base, HubConfig, HubError, ModelName};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files of a base: of each row the first that is there.
const NEEDED: [&[&str]; 3] =
    [&["config.json"], &["tokenizer.json", "vocab.txt"], &["model.safetensors", "pytorch_model.bin"]];

/// Says how the tokenizer folds letters; models that were published early do without.
const OPTIONAL: &str = "tokenizer_config.json";

/// Attempts in a row that may bring nothing.
const TRIES_MAX: u32 = 5;

/// The first pause between two attempts; each that follows is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(200);

/// The longest wait that the hub may ask for.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Bytes that are read from the network at a time.
const BLOCK: usize = 1 << 16;

/// The hub, or a mirror of it, and the cache.
pub struct Hub {
    config: HubConfig,
}

/// How a download goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download<'a> {
    /// The file.
    pub file: &'a str,
    /// Its bytes that are here.
    pub bytes: u64,
    /// All of its bytes.
    pub size: u64,
}

/// Who is told how downloads go.
type Observe<'a> = &'a mut dyn FnMut(Download<'_>);

impl Hub {
    /// The hub of a configuration; no request is made.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn new(config: &HubConfig) -> Result<Hub, HubError> {
        config.check()?;
        Ok(Hub { config: config.clone() })
    }

    /// The folder that holds a base's files: configuration, tokenizer and weights.
    ///
    /// A revision that is complete in the cache stays what it was when it was fetched, and no request is made for it; another commit
    /// is had by naming it. A file of it that is damaged is fetched anew, of the same commit.
    ///
    /// # Errors
    /// When there is no such model, it lacks files, it cannot be downloaded, a file does not have its checksum, or nothing says where
    /// the cache is.
    pub fn folder(&self, base: &Base, observe: Observe<'_>) -> Result<PathBuf, HubError> {
        let model = match base {
            Base::Folder(folder) => return Ok(folder.clone()),
            Base::Model(model) => model,
        };
        let cache = self.config.cache_folder(|name| std::env::var_os(name).map(PathBuf::from))?;
        let cached = Cached::new(&cache, model);
        let mut wanted = model.clone();
        if let Some(snapshot) = cached.snapshot()
            && let Some(files) = complete(&snapshot)
        {
            match files.into_iter().try_for_each(|file| verify_cached(model, &snapshot, file)) {
                Ok(()) => return Ok(snapshot.folder),
                Err(error @ HubError::DamagedBlob { .. }) if !self.config.offline => {
                    tracing::warn!(%error, "the file is fetched anew");
                    wanted.revision = snapshot.commit;
                }
                Err(error) => return Err(error),
            }
        }
        if self.config.offline {
            return Err(HubError::Offline { model: model.to_string(), cache });
        }
        Fetch { http: Http::new(&self.config)?, cached, model: &wanted }.all(observe)
    }
}

/// The files of a snapshot that has all that a base needs.
fn complete(snapshot: &Snapshot) -> Option<Vec<&'static str>> {
    let one_of = |files: &&[&'static str]| files.iter().copied().find(|file| snapshot.has(file));
    let mut files = NEEDED.iter().map(one_of).collect::<Option<Vec<_>>>()?;
    match snapshot.has(OPTIONAL) {
        true => files.push(OPTIONAL),
        false if snapshot.lacks(OPTIONAL) => {}
        false => return None,
    }
    Some(files)
}

/// Refuses a file of the cache that is not what its name says. It stays where it is, as other tools share the cache.
fn verify_cached(model: &ModelName, snapshot: &Snapshot, file: &str) -> Result<(), HubError> {
    // Where there are no links, nothing says what the file was.
    let Some((expected, blob)) = snapshot.blob_of(file) else { return Ok(()) };
    let found = expected.of_file(&blob).map_err(HubError::file("read", &blob))?;
    if found == expected.digits() {
        return Ok(());
    }
    Err(HubError::DamagedBlob { model: model.to_string(), file: file.to_owned(), path: blob, found })
}

/// Downloads of one model.
struct Fetch<'a> {
    http: Http,
    cached: Cached,
    model: &'a ModelName,
}

impl Fetch<'_> {
    /// Fetches what the cache lacks of the commit that the revision is now.
    fn all(&self, observe: Observe<'_>) -> Result<PathBuf, HubError> {
        let [config, others @ ..] = &NEEDED;
        let (file, described) = self.first_of(self.model, config)?;
        // All files are of one commit, also when the branch moves in between.
        let commit = ModelName { id: self.model.id.clone(), revision: described.commit.clone() };
        let snapshot = self.cached.of_commit(&described.commit);
        self.file(&commit, (file, &described), &snapshot, observe)?;
        match patiently(|_| self.http.describe(&commit, OPTIONAL))? {
            Some(described) => self.file(&commit, (OPTIONAL, &described), &snapshot, observe)?,
            None => snapshot.note_absent(OPTIONAL)?,
        }
        for files in others {
            let (file, described) = self.first_of(&commit, files)?;
            self.file(&commit, (file, &described), &snapshot, observe)?;
        }
        self.cached.remember(&commit.revision)?;
        Ok(snapshot.folder)
    }

    /// The first of these files that the model has.
    fn first_of(&self, model: &ModelName, files: &[&'static str]) -> Result<(&'static str, Described), HubError> {
        for file in files {
            if let Some(described) = patiently(|_| self.http.describe(model, file))? {
                return Ok((file, described));
            }
        }
        Err(HubError::NoFile { model: model.to_string(), files: files.join(" and no ") })
    }

    /// Fetches a file, unless its blob is there and whole, and gives it its name.
    fn file(
        &self,
        commit: &ModelName,
        (file, described): (&str, &Described),
        snapshot: &Snapshot,
        observe: Observe<'_>,
    ) -> Result<(), HubError> {
        let _lock = self.cached.lock(&described.digest)?;
        let [blob, incomplete] = self.cached.blob(&described.digest)?;
        let digest = &described.digest;
        let is_whole = || digest.of_file(&blob).map(|found| found == digest.digits());
        if !blob.is_file() || !is_whole().map_err(HubError::file("read", &blob))? {
            let has_earlier = incomplete.is_file();
            match self.download(commit, (file, described), &incomplete, observe) {
                // What an earlier run left may be what is damaged.
                Err(HubError::Damaged { .. }) if has_earlier => {
                    self.download(commit, (file, described), &incomplete, observe)?;
                }
                done => done?,
            }
            fs::rename(&incomplete, &blob).map_err(HubError::file("rename", &incomplete))?;
        }
        snapshot.link(file, &blob)
    }

    /// Brings `to` to its full size, from where it ends, and verifies it.
    fn download(
        &self,
        commit: &ModelName,
        (file, described): (&str, &Described),
        to: &Path,
        observe: Observe<'_>,
    ) -> Result<(), HubError> {
        let mut there = fs::metadata(to).map_or(0, |metadata| metadata.len());
        patiently(|failures| {
            let before = there;
            let done = self.attempt(commit, (file, described), to, observe);
            there = fs::metadata(to).map_or(0, |metadata| metadata.len());
            if there > before {
                *failures = 0;
            }
            done
        })?;
        let found = described.digest.of_file(to).map_err(HubError::file("read", to))?;
        let expected = described.digest.digits();
        if found == expected {
            return Ok(());
        }
        fs::remove_file(to).map_err(HubError::file("remove", to))?;
        let (model, file, expected) = (commit.to_string(), file.to_owned(), expected.to_owned());
        Err(HubError::Damaged { model, file, found, expected })
    }

    /// One request for what `to` lacks.
    fn attempt(
        &self,
        commit: &ModelName,
        (file, described): (&str, &Described),
        to: &Path,
        observe: Observe<'_>,
    ) -> Result<(), HubError> {
        let failed = |action| HubError::file(action, to);
        let mut target = OpenOptions::new().create(true).append(true).open(to).map_err(failed("open"))?;
        let size = described.size;
        let mut bytes = target.metadata().map_err(failed("read"))?.len();
        if bytes > size {
            target.set_len(0).map_err(failed("truncate"))?;
            bytes = 0;
        }
        if bytes < size {
            let part = self.http.part(commit, file, bytes)?;
            if part.start < bytes {
                target.set_len(part.start).map_err(failed("truncate"))?;
                bytes = part.start;
            }
            let url = || String::from(self.http.url(commit, file));
            let (body, there) = (part.body.take(size - bytes), bytes);
            bytes += copy(body, &mut target, (to, url), |more| observe(Download { file, bytes: there + more, size }))?;
            if bytes < size {
                return Err(HubError::Truncated { url: url(), bytes, size });
            }
        }
        // What is renamed must be on the disk, or a loss of power would leave a file of zeros under a good name.
        target.sync_all().map_err(failed("sync"))
    }
}

/// Appends a body to `target`; the number of its bytes. `on` is the file's path and the URL, for errors.
fn copy(
    mut body: impl Read,
    target: &mut File,
    (path, url): (&Path, impl Fn() -> String),
    mut observe: impl FnMut(u64),
) -> Result<u64, HubError> {
    let (mut block, mut bytes) = (vec![0; BLOCK], 0);
    loop {
        let read =
            body.read(&mut block).map_err(|source| HubError::Unreachable { url: url(), source: source.into() })?;
        if read == 0 {
            return Ok(bytes);
        }
        target.write_all(&block[..read]).map_err(HubError::file("write", path))?;
        bytes += read as u64;
        observe(bytes);
    }
}

/// Tries until it is done, or fails for good, or has failed too often in a row; `attempt` may set the number of failures back.
fn patiently<T>(mut attempt: impl FnMut(&mut u32) -> Result<T, HubError>) -> Result<T, HubError> {
    let mut failures = 0;
    loop {
        let error = match attempt(&mut failures) {
            Err(error) if error.is_transient() => error,
            decided => return decided,
        };
        failures += 1;
        let asked = match &error {
            HubError::Unwell { retry_after_s, .. } => retry_after_s.map(Duration::from_secs),
            _ => None,
        };
        let wait = asked.unwrap_or(BACKOFF_MIN * (1 << (failures - 1)));
        if failures >= TRIES_MAX || wait > WAIT_MAX {
            return Err(error);
        }
        tracing::info!(%error, wait_ms = wait.as_millis() as u64, "the hub is asked again");
        // What the hub asks for, or a growing pause: nothing tells when it is well again, and this thread does nothing else.
        std::thread::sleep(wait);
    }
}
